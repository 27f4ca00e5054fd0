//! How a job is stopped, and how it is watched while it runs.
//!
//! Both are cheap shared handles: clone them into the worker and keep one. The engine looks at the flag before each file
//! and after each buffer, so that a pause takes effect within a moment even inside a large file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// How long a sleeping thread sleeps at most before it looks at its flag again.
const LOOK: Duration = Duration::from_millis(50);

/// The stop flag of one job.
#[derive(Debug, Clone, Default)]
pub struct Control(Arc<AtomicU8>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Stop {
    Pause,
    Cancel,
}

/// The work was stopped by its [`Control`]; nothing half-done is visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped before it was done")]
pub struct Stopped;

impl Control {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn pause(&self) {
        // A cancelled job stays cancelled.
        let _ = self.0.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub fn cancel(&self) {
        self.0.store(2, Ordering::Relaxed);
    }

    /// Lets a paused job go on; a cancelled one stays cancelled.
    pub fn resume(&self) {
        let _ = self.0.compare_exchange(1, 0, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub fn stop(&self) -> Option<Stop> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Stop::Pause),
            _ => Some(Stop::Cancel),
        }
    }

    pub fn check(&self) -> Result<(), Stopped> {
        if self.stop().is_some() { Err(Stopped) } else { Ok(()) }
    }

    /// Sleeps so long, or until it is told to stop.
    pub(crate) fn sleep(&self, mut time: Duration) -> Result<(), Stopped> {
        while !time.is_zero() {
            self.check()?;
            std::thread::sleep(time.min(LOOK));
            time = time.saturating_sub(LOOK);
        }
        self.check()
    }
}

/// What a job has done so far. Bytes grow while they move, not only when their file is finished. Whoever records what was
/// done says so with [`Progress::settle`]; the rest is on its way.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    files: AtomicU64,
    bytes: AtomicU64,
    settled: AtomicU64,
}

impl Progress {
    pub fn new() -> Self {
        Self::default()
    }

    /// Files that are finished and well.
    pub fn files(&self) -> u64 {
        self.0.files.load(Ordering::Relaxed)
    }

    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    pub fn add_file(&self) {
        self.add_files(1);
    }

    pub fn add_files(&self, files: u64) {
        self.0.files.fetch_add(files, Ordering::Relaxed);
    }

    pub fn add_bytes(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes were recorded as done.
    pub fn settle(&self, bytes: u64) {
        self.0.settled.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that have moved and are not recorded yet; those of attempts that come to nothing are taken back.
    pub fn moving(&self) -> u64 {
        self.bytes().saturating_sub(self.0.settled.load(Ordering::Relaxed))
    }

    /// Of an attempt that comes to nothing.
    pub fn take_back(&self, bytes: u64) {
        self.0.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Bytes of one attempt: counted as they move, taken back if the attempt comes to nothing (the next copy is tried and
/// would count them again).
pub(crate) struct Tally<'a> {
    progress: &'a Progress,
    moved: u64,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(progress: &'a Progress) -> Self {
        Self { progress, moved: 0 }
    }

    pub(crate) fn add(&mut self, bytes: u64) {
        self.progress.add_bytes(bytes);
        self.moved += bytes;
    }

    /// The file is done: its bytes and itself stay counted.
    pub(crate) fn keep(mut self) {
        self.moved = 0;
        self.progress.add_file();
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        self.progress.take_back(self.moved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_job_cannot_be_paused_or_resumed_back_to_life() {
        let control = Control::new();
        assert_eq!((control.stop(), control.check()), (None, Ok(())));
        control.pause();
        assert_eq!((control.stop(), control.check()), (Some(Stop::Pause), Err(Stopped)));
        control.resume();
        assert_eq!(control.stop(), None);
        control.cancel();
        control.pause();
        control.resume();
        assert_eq!(control.stop(), Some(Stop::Cancel));
    }

    #[test]
    fn an_attempt_that_came_to_nothing_is_not_counted() {
        let progress = Progress::new();
        let mut tally = Tally::new(&progress);
        tally.add(10);
        assert_eq!(progress.bytes(), 10, "bytes show while they move");
        drop(tally);
        assert_eq!((progress.files(), progress.bytes()), (0, 0));
        let mut tally = Tally::new(&progress);
        tally.add(7);
        tally.keep();
        assert_eq!((progress.files(), progress.bytes()), (1, 7));
        assert_eq!(progress.moving(), 7);
        progress.settle(5);
        assert_eq!((progress.moving(), progress.bytes()), (2, 7), "what is recorded is no longer on its way");
        progress.settle(5);
        assert_eq!(progress.moving(), 0, "never below nothing");
    }
}
