//! A walk whose files are asked for their facts by several threads at once, ahead of whoever takes the events.
//!
//! The calling thread reads folders, in order; the others ask. Each batch of questions has its place in a queue, so that
//! the order of the events is that of a plain walk. Bounded: batches in the queue, questions in a batch, and folders that
//! these keep open.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::{Step, Walk, WalkEvent};

/// Events that travel together.
const BATCH: usize = 512;
/// Batches that are asked for before the first of them is taken.
const AHEAD: usize = 6;
/// Folders that one batch keeps open: where every folder holds one file, batches are small.
const FOLDERS: usize = 32;

struct Task {
    steps: Vec<Step>,
    answers: Sender<Vec<WalkEvent>>,
}

impl Walk<'_> {
    /// Hands over the events in their order, never none at once, until `take` breaks off. A thread that cannot be started
    /// is one fewer.
    pub fn in_batches(mut self, threads: usize, mut take: impl FnMut(Vec<WalkEvent>) -> ControlFlow<()>) {
        let (ask, tasks) = mpsc::channel();
        let tasks = Mutex::new(tasks);
        thread::scope(|scope| {
            // Ends with the closure: then the threads have nothing more to wait for.
            let ask = ask;
            let threads = (0..threads).filter(|_| {
                thread::Builder::new()
                    .name("salvor-walk".into())
                    .spawn_scoped(scope, || answer_all(&tasks))
                    .is_ok()
            });
            let alone = threads.count() == 0;
            let mut queue: VecDeque<Receiver<Vec<WalkEvent>>> = VecDeque::new();
            loop {
                let steps = self.some_steps();
                let at_end = steps.is_empty();
                if !at_end {
                    let (answers, answered) = mpsc::channel();
                    let task = Task { steps, answers };
                    if alone {
                        task.answer();
                    } else if ask.send(task).is_err() {
                        return;
                    }
                    queue.push_back(answered);
                }
                while queue.len() > AHEAD || at_end {
                    let Some(oldest) = queue.pop_front() else { return };
                    // No answer: the thread panicked, and so does the scope.
                    let Ok(events) = oldest.recv() else { return };
                    if !events.is_empty() && take(events).is_break() {
                        return;
                    }
                }
            }
        });
    }

    fn some_steps(&mut self) -> Vec<Step> {
        let mut steps = Vec::with_capacity(BATCH);
        let mut folders = 0;
        let mut last = None;
        while steps.len() < BATCH && folders < FOLDERS {
            let Some(step) = self.step() else { break };
            if let Step::Ask(ask) = &step
                && last.replace(Arc::as_ptr(&ask.folder)) != Some(Arc::as_ptr(&ask.folder))
            {
                folders += 1;
            }
            steps.push(step);
        }
        steps
    }
}

impl Task {
    fn answer(self) {
        // Whoever wanted to know may have broken off.
        let _ = self.answers.send(self.steps.into_iter().filter_map(Step::answer).collect());
    }
}

fn answer_all(tasks: &Mutex<Receiver<Task>>) {
    loop {
        let next = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(task) => task.answer(),
            Err(_) => return,
        }
    }
}
