//! The pipeline of a restore: a crew of threads that read, verify and link, and the caller's own thread, which makes
//! durable what they linked, one group after the other, while they go on.
//!
//! A group is what was linked when it was closed. Its barrier begins after that and runs beside the threads; only when it
//! has passed is the group handed out (I2). A barrier that fails ends the restore, and its group is never handed out.
//!
//! The threads are not tied to the call: one that hangs in a copy which does not answer is left behind with nothing that
//! anybody waits for, and when it comes back it finds that it was given up and goes without touching the target.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::desk::{Desk, Group, Hand, Turn};
use super::{RestoreItem, RestoreOptions, RestoreOutcome, RestoreResult, SourceHandle};
use crate::control::{Control, Progress};
use crate::fault::{WriteFault, WriteFaultKind};
use crate::hash::Buffer;
use crate::sink::Sink;

/// How a restore ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreEnd {
    /// Every item's outcome was handed out. If not, it was stopped, and the others may be tried again.
    pub complete: bool,
    /// Why it ended early: every further file would meet the same.
    pub fatal: Option<WriteFault>,
}

/// Restores the items and hands out what came of them, with each its place among the items, group by group as they become
/// durable. Returns when all are done, or soon after `control` says stop or the target takes no more files: what was
/// linked by then is handed out as well.
pub fn restore_stream(
    target: &Sink,
    sources: &[SourceHandle],
    items: Vec<RestoreItem>,
    options: &RestoreOptions,
    control: &Control,
    progress: &Progress,
    mut on_durable: impl FnMut(Vec<(usize, RestoreOutcome)>),
) -> RestoreEnd {
    let stream = Arc::new(Stream::new(target, sources, items, options, control, progress));
    let mut crew = Crew { stream: &stream, threads: Vec::new() };
    crew.tend(stream.items.len(), 0);
    let mut handed_out = 0;
    loop {
        match stream.desk.turn(|| stream.is_over()) {
            Turn::Group(group) => {
                let settled = stream.confirm(group);
                handed_out += settled.len();
                if !settled.is_empty() {
                    on_durable(settled);
                }
            }
            Turn::Wait { to_take, at_work } => crew.tend(to_take, at_work),
            Turn::End => break,
        }
    }
    crew.end();
    RestoreEnd { complete: handed_out == stream.items.len(), fatal: stream.fatal() }
}

/// What the threads of one restore have in common.
pub(super) struct Stream {
    pub(super) target: Sink,
    pub(super) sources: Vec<SourceHandle>,
    pub(super) items: Vec<RestoreItem>,
    pub(super) options: RestoreOptions,
    pub(super) control: Control,
    pub(super) progress: Progress,
    /// Why copies are not asked any more in this restore.
    gone: Vec<Mutex<Option<String>>>,
    fatal: Mutex<Option<WriteFault>>,
    /// Writes in a row that failed as those of a failing disk do.
    pub(super) failing: AtomicUsize,
    /// A thread broke down: that is Salvor's own fault, and no other one should meet it.
    broken: AtomicBool,
    desk: Desk,
}

impl Stream {
    fn new(
        target: &Sink,
        sources: &[SourceHandle],
        items: Vec<RestoreItem>,
        options: &RestoreOptions,
        control: &Control,
        progress: &Progress,
    ) -> Self {
        let fatal = target.root().reachable().err().map(|why| WriteFault::new(WriteFaultKind::Gone, why));
        let most = first_sources(sources, &items).map(|source| *source.source.parallel().end()).max();
        let threads = options.threads.min(most.unwrap_or(1)).max(1);
        let desk = Desk::new(order(sources, &items), (items.len() / (threads * 8)).clamp(1, RUN));
        Self {
            target: target.clone(),
            sources: sources.to_vec(),
            gone: sources.iter().map(|_| Mutex::default()).collect(),
            items,
            options: options.clone(),
            control: control.clone(),
            progress: progress.clone(),
            fatal: Mutex::new(fatal),
            failing: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
            desk,
        }
    }

    pub(super) fn fatal(&self) -> Option<WriteFault> {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn end_with(&self, fault: WriteFault) {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
    }

    fn is_over(&self) -> bool {
        self.control.stop().is_some()
            || self.broken.load(Ordering::Relaxed)
            || self.fatal.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(super) fn gone(&self, source: usize) -> Option<String> {
        self.gone.get(source)?.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_gone(&self, source: usize, why: &str) {
        if let Some(gone) = self.gone.get(source) {
            gone.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| why.to_owned());
        }
    }

    /// Makes a group durable; what is not is left out of it.
    fn confirm(&self, mut group: Group) -> Vec<(usize, RestoreOutcome)> {
        let size = group.size();
        if group.settled.iter().any(|(_, outcome)| outcome.result.needs_barrier()) {
            // A volume that was unmounted or renamed meanwhile took the files with it.
            let still_there =
                || self.target.root().reachable().map_err(|why| WriteFault::new(WriteFaultKind::Gone, why));
            if let Err(fault) = self.target.barrier().and_then(|()| still_there()) {
                let reason = format!("the disk did not confirm what was written: {}", fault.reason);
                self.end_with(WriteFault { reason, ..fault });
                group.settled.retain(|(_, outcome)| !outcome.result.needs_barrier());
            }
        }
        if self.fatal().is_some() {
            // What stops all files may have failed these as well: they are tried again.
            let has_failed = |result: &RestoreResult| {
                matches!(result, RestoreResult::Failed { .. } | RestoreResult::NotGiven { .. })
            };
            group.settled.retain(|(_, outcome)| !has_failed(&outcome.result));
        }
        self.desk.confirmed(size);
        group.settled
    }

    /// One thread of the crew, to its end.
    fn work(&self, hand: &Arc<Hand>) {
        let _at_work = AtWork { stream: self, hand };
        let mut buffer = Buffer::new();
        while let Some(index) = self.desk.take(hand, || self.is_over()) {
            let Some(item) = self.items.get(index) else { return };
            let Some(outcome) = self.restore(item, &mut buffer, hand) else { return };
            hand.done();
            let bytes = if outcome.result.needs_barrier() { item.size } else { 0 };
            self.desk.put((index, outcome), bytes);
        }
    }
}

/// Whatever way a thread ends, it leaves.
struct AtWork<'a> {
    stream: &'a Stream,
    hand: &'a Arc<Hand>,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.stream.broken.store(true, Ordering::Relaxed);
        }
        self.stream.desk.leave(self.hand);
    }
}

/// At most this many neighbours are taken at a time: enough to share a folder, few enough to share the work.
const RUN: usize = 32;

/// In the order in which the copies like to be read, else by path.
fn order(sources: &[SourceHandle], items: &[RestoreItem]) -> Vec<usize> {
    let location = |item: &RestoreItem| {
        item.sources.first().and_then(|&source| sources.get(source)?.source.location(&item.path))
    };
    let locations: Vec<Option<u64>> = items.iter().map(location).collect();
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by(|&a, &b| (locations[a], &items[a].path).cmp(&(locations[b], &items[b].path)));
    order
}

fn first_sources<'a>(
    sources: &'a [SourceHandle],
    items: &'a [RestoreItem],
) -> impl Iterator<Item = &'a SourceHandle> {
    let is_first = move |source: &usize| items.iter().any(|item| item.sources.first() == Some(source));
    (0..sources.len()).filter(is_first).filter_map(|source| sources.get(source))
}

struct Crew<'a> {
    stream: &'a Arc<Stream>,
    threads: Vec<(Arc<Hand>, JoinHandle<()>)>,
}

impl Crew<'_> {
    /// As many threads as there is work for, and as the copies bear.
    fn tend(&mut self, to_take: usize, at_work: usize) {
        let stream = self.stream;
        for source in stream.desk.give_up_hung(|source| stream.patience(source)) {
            let Some(handle) = stream.sources.get(source) else { continue };
            handle.gate.give_up_one();
            let seconds = stream.patience(source).as_secs_f64();
            stream.set_gone(source, &format!("it has not answered for {seconds} s"));
        }
        stream.sources.iter().for_each(|handle| handle.gate.look());
        let width = first_sources(&stream.sources, &stream.items).map(|handle| handle.gate.width()).max();
        let wanted = width.unwrap_or(1).min(stream.options.threads).max(1);
        for _ in at_work..wanted.min(at_work + to_take) {
            if !self.add() {
                return;
            }
        }
    }

    fn add(&mut self) -> bool {
        let hand = self.stream.desk.join();
        let (stream, its_hand) = (Arc::clone(self.stream), Arc::clone(&hand));
        let body = move || stream.work(&its_hand);
        match std::thread::Builder::new().name("salvor-bytes".into()).spawn(body) {
            Ok(thread) => {
                self.threads.push((hand, thread));
                true
            }
            // A thread that cannot be started is one fewer; without any nothing can be done.
            Err(error) => {
                if self.threads.is_empty() {
                    let reason = format!(
                        "no thread could be started ({error}): raise the limit (TasksMax) of the service"
                    );
                    self.stream.end_with(WriteFault::new(WriteFaultKind::Other, reason));
                }
                self.stream.desk.leave(&hand);
                false
            }
        }
    }

    /// A thread that broke down takes the caller with it; one that hangs is not waited for.
    fn end(self) {
        for (hand, thread) in self.threads {
            if !hand.is_given_up()
                && let Err(panic) = thread.join()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

impl Stream {
    pub(super) fn patience(&self, source: usize) -> std::time::Duration {
        self.sources.get(source).map_or(std::time::Duration::MAX, |handle| handle.source.patience())
    }
}
