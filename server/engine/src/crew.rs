//! The threads of a batch: items in path order, in runs of neighbours, so that a folder's handle is opened once and two
//! threads seldom want the same folder.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use salvor_domain::path::FilePath;

use crate::hash::Buffer;

/// At most this many neighbours in one run: enough to share a folder, few enough to share the work.
const RUN: usize = 32;

/// Gives each item to one of `threads` threads and returns what came of it in the order of the items. `Break` tells all
/// threads to take no further items; `None` stands for an item that was not begun.
pub(crate) fn work<I: Sync, T: Send>(
    items: &[I],
    path: impl Fn(&I) -> &FilePath,
    threads: usize,
    job: impl Fn(&I, &mut Buffer) -> ControlFlow<(), T> + Sync,
) -> Vec<Option<T>> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by(|&a, &b| path(&items[a]).cmp(path(&items[b])));
    let threads = threads.clamp(1, items.len().max(1));
    let run = (items.len() / (threads * 8)).clamp(1, RUN);
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut buffer = Buffer::new();
        let mut done = Vec::new();
        loop {
            let from = next.fetch_add(run, Ordering::Relaxed);
            if from >= order.len() {
                return done;
            }
            for &index in &order[from..order.len().min(from + run)] {
                match job(&items[index], &mut buffer) {
                    ControlFlow::Continue(result) => done.push((index, result)),
                    ControlFlow::Break(()) => {
                        next.store(order.len(), Ordering::Relaxed);
                        return done;
                    }
                }
            }
        }
    };
    let mut results: Vec<Option<T>> = items.iter().map(|_| None).collect();
    std::thread::scope(|scope| {
        // A thread that cannot be started is one fewer; this one works in any case.
        let others: Vec<_> = (1..threads)
            .filter_map(|_| {
                std::thread::Builder::new().name("salvor-bytes".into()).spawn_scoped(scope, worker).ok()
            })
            .collect();
        let mut done = worker();
        for other in others {
            match other.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        for (index, result) in done {
            results[index] = Some(result);
        }
    });
    results
}
