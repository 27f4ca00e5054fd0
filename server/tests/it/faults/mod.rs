//! Faults of what is around Salvor, each on purpose: disks, copies, the database. Every one ends in the right state with the right
//! words, and the job goes on by itself when the cause is gone.
//!
//! Where a fault takes a privilege that is missing (mounts) or a program that is not there, the test says so and passes.

mod away;
mod database;
mod disk;
pub mod hung;
mod places;
mod program;
mod target;

use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::TimeDelta;
use salvor::events;
use salvor_domain::event::EventKind;
use salvor_domain::ids::JobId;
use salvor_domain::job::JobReport;

use crate::support::TestApp;
use crate::support::disk::LoopDisk;
use crate::support::jobs::{self, Files, protect, tree, until, until_state, without_own};

/// Files that a restore has to bring back: enough for two segments.
const FILES: usize = 1_500;

fn fill(app: &TestApp) {
    for number in 0..FILES {
        app.write(format!("files/site {}/{number}.jpg", number % 20), &noise(number, 2_000 + number));
    }
}

/// Bytes that differ from file to file.
pub fn noise(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| ((at + 1) * (seed + 7) % 251) as u8).collect()
}

fn lose(app: &TestApp) {
    for entry in std::fs::read_dir(app.path("files")).unwrap().map(Result::unwrap) {
        if entry.file_name() != ".salvor" {
            std::fs::remove_dir_all(entry.path()).unwrap();
        }
    }
}

/// A volume that was protected and has lost everything; gives what it had.
async fn lost(app: &TestApp) -> Files {
    fill(app);
    jobs::run(app, protect()).await;
    let before = without_own(tree(&app.path("files")));
    lose(app);
    before
}

/// Waits until Salvor itself has paused the job, with a time for the next try.
async fn stuck(app: &TestApp, id: JobId) -> JobReport {
    until(app, id, "it is stuck", |report| report.state == "paused" && report.tries_again_at.is_some()).await
}

/// Lets the next `tries` come to pass, each in vain.
async fn in_vain(app: &TestApp, id: JobId, tries: usize) {
    for _ in 0..tries {
        let before = stuck(app, id).await.tries_again_at;
        app.advance(TimeDelta::seconds(61));
        let is_later = |report: &JobReport| report.tries_again_at.is_some_and(|at| Some(at) != before);
        until(app, id, "it was tried in vain", is_later).await;
    }
}

/// The cause is gone: nobody says a word, and the job comes to its end.
async fn goes_on(app: &TestApp, id: JobId) -> JobReport {
    app.advance(TimeDelta::seconds(61));
    until_state(app, id, "finished").await
}

/// The job's log says that it was stuck and that it went on, each once, however often it was tried.
async fn told_once(app: &TestApp, id: JobId) {
    let mut tx = app.core.db.read().await.unwrap();
    let log = events::about(&mut tx, &id.to_string(), 100).await.unwrap();
    let count = |kind| log.iter().filter(|event| event.kind == kind).count();
    assert_eq!((count(EventKind::JobPaused), count(EventKind::JobResumed)), (1, 1), "{log:#?}");
}

/// A small ext4 of its own, mounted for one test; `None` where the privilege is missing.
pub struct Disk {
    disk: LoopDisk,
    _image: tempfile::TempDir,
}

impl Disk {
    pub fn mount(at: PathBuf, megabytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let disk = LoopDisk::new(&folder.path().join("image"), &at, megabytes)?;
        // Without a journal, inodes of files deleted within the last minute are not given out again: twice as many as usual.
        let make = ["-q", "-F", "-m", "0", "-N", "4096", "-O", "^has_journal", "-E", "lazy_itable_init=1"];
        let is_there = disk.made("mkfs.ext4", &make) && disk.mount("defaults");
        is_there.then(|| {
            std::fs::remove_dir(at.join("lost+found")).unwrap();
            Self { disk, _image: folder }
        })
    }

    pub fn remount(&self, option: &str) {
        assert!(self.disk.mount(&format!("remount,{option}")));
    }

    pub fn unmount(&self) {
        assert!(self.disk.detach());
    }

    pub fn path(&self) -> &Path {
        &self.disk.point
    }
}

fn run(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
