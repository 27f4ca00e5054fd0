//! Adopt: a catalogue filled from a copy that another tool made.
//!
//! The copy's list is the plan; then each file of it is read, hashed and compared with the catalogue and with a look at the
//! volume. Nothing is written to either: what it finds goes into the catalogue, the findings and the copy's faults. What the
//! catalogue knows already stays as it is; an owner's tombstone stays; a file that somebody catalogues meanwhile is theirs.

use std::ops::ControlFlow;

use salvor_domain::job::{JobRequest, Plan};
use salvor_domain::path::FilePath;
use salvor_domain::readiness::CopyAge;
use salvor_domain::units;
use salvor_domain::volume::{FileState, Mode};
use salvor_engine::{AdoptOptions, Control, Holding, SourceFault, SourceHandle, adopt_batch};
use tokio::sync::mpsc;

use crate::restore::drivers::adopt_verdict::Verdicts;
use crate::restore::drivers::check_plan::LOST_AND_FOUND;
use crate::restore::drivers::filling::Filling;
use crate::restore::drivers::{Planned, batch_len, counts, settle};
use crate::restore::store::figures::{self, SourceFigures};
use crate::restore::store::segments::{self, Item};
use crate::restore::work::{Copy, Halt, Work, listed};
use crate::volumes::store as volumes;
use crate::volumes::{catalogue, findings};

/// Files of the list that are looked up in the catalogue at a time, and how many such batches may wait.
const LISTED: usize = 1_000;
const WAITING: usize = 4;
/// Files and bytes between two commits.
const BATCH_FILES: usize = 250;
const BATCH_BYTES: u64 = 64 << 20;

/// The copy that is adopted.
fn adopted(work: &Work) -> Result<&Copy, Halt> {
    let JobRequest::Protect { adopt: Some(name), .. } = &work.job.request else {
        return Err(Halt::Fail("its request is not to adopt a copy".into()));
    };
    let copy = work.place.copies.iter().find(|copy| copy.config.name == *name);
    copy.ok_or_else(|| Halt::Fail(format!("the configuration has no copy \"{name}\" any more")))
}

/// A volume that was taken offline looks like one that lost everything.
fn check_mode(work: &Work) -> Result<(), Halt> {
    match work.place.volume.mode.mode() {
        Mode::Normal | Mode::ReadOnly => Ok(()),
        Mode::Failover => Err(Halt::Pause("the volume is offline: resume when it is back".into())),
    }
}

async fn open(work: &Work, copy: &Copy) -> Result<SourceHandle, String> {
    let (mut sources, away) = work.open_sources(|other| other.config.name == copy.config.name).await;
    sources.pop().map(|(_, handle)| handle).ok_or_else(|| listed(&away))
}

pub async fn plan(work: &Work) -> Result<Planned, Halt> {
    check_mode(work)?;
    let copy = adopted(work)?;
    work.volume_root().await.map_err(Halt::Stuck)?;
    let handle = open(work, copy).await.map_err(Halt::Stuck)?;
    let (adopted_at, taken_at) = (work.core.clock.now(), handle.source.taken_at().map(Into::into));
    let mut planning = Planning::new(copy);
    planning.longest_path = work.core.db.read().await?.longest_path();
    let (sender, mut batches) = mpsc::channel(WAITING);
    let control = work.control.clone();
    // Ends by itself when the receiver is dropped or the job is stopped.
    let listing = tokio::task::spawn_blocking(move || list(&handle, &control, &sender));
    while let Some(batch) = batches.recv().await {
        planning.take(work, batch).await?;
    }
    if work.control.stop().is_some() {
        return Err(Halt::Stopped);
    }
    match listing.await.map_err(Halt::panicked)? {
        Ok(()) => planning.age = Some(CopyAge { adopted_at: Some(adopted_at), taken_at, ..copy.row.age }),
        Err(SourceFault::Gone(why)) => {
            let name = &copy.config.name;
            return Err(Halt::Stuck(format!("the copy \"{name}\" is out of reach: {why}")));
        }
        Err(fault) => planning.incomplete(&fault.to_string()),
    }
    planning.record(work, true).await?;
    Ok(planning.planned())
}

fn list(
    handle: &SourceHandle,
    control: &Control,
    batches: &mpsc::Sender<Vec<Holding>>,
) -> Result<(), SourceFault> {
    let mut batch = Vec::with_capacity(LISTED);
    let listed = handle.source.list(&mut |holding| {
        batch.push(holding);
        if batch.len() < LISTED {
            return ControlFlow::Continue(());
        }
        let full = std::mem::replace(&mut batch, Vec::with_capacity(LISTED));
        match control.stop().is_some() || batches.blocking_send(full).is_err() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    // Whoever receives may be gone; then nobody waits for the rest.
    let _ = batches.blocking_send(batch);
    listed
}

struct Planning<'a> {
    copy: &'a Copy,
    longest_path: usize,
    filling: Filling,
    /// Known already to be held by this copy.
    known: u64,
    tombstoned: u64,
    orphans: u64,
    failures: Vec<(FilePath, String)>,
    failed: u64,
    /// How old the copy is, once it was listed to its end.
    age: Option<CopyAge>,
}

impl<'a> Planning<'a> {
    fn new(copy: &'a Copy) -> Self {
        Self {
            copy,
            longest_path: 0,
            filling: Filling::new(0, Some(copy.row.bit)),
            known: 0,
            tombstoned: 0,
            orphans: 0,
            failures: Vec::new(),
            failed: 0,
            age: None,
        }
    }

    async fn take(&mut self, work: &Work, mut batch: Vec<Holding>) -> Result<(), Halt> {
        batch.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        batch.dedup_by(|a, b| a.path == b.path);
        let paths: Vec<FilePath> = batch.iter().map(|holding| holding.path.clone()).collect();
        let mut tx = work.core.db.read().await?;
        let rows = catalogue::get(&mut tx, work.place.volume.id, &paths).await?;
        drop(tx);
        for Holding { path, stat } in batch {
            let row = rows.binary_search_by(|row| row.path.cmp(&path)).ok().and_then(|at| rows.get(at));
            match row {
                Some(row) if row.state == FileState::Tombstone => self.tombstoned += 1,
                Some(row) if self.copy.row.holds(row.holders) && row.size == stat.size => self.known += 1,
                _ => self.wanted(path, stat.size),
            }
        }
        if self.filling.is_full() {
            self.record(work, false).await?;
        }
        Ok(())
    }

    fn wanted(&mut self, path: FilePath, size: u64) {
        if path.as_bytes().starts_with(LOST_AND_FOUND) {
            self.orphans += 1;
        } else if path.as_bytes().len() > self.longest_path {
            let longest = self.longest_path;
            let reason = format!("its path is longer than the {longest} bytes that this database can keep");
            self.fail(path, reason);
        } else {
            self.filling.add(Item { path, size, corrupt: false });
        }
    }

    /// What was not listed is not known: the job says so, as a failure that stands for all of it.
    fn incomplete(&mut self, why: &str) {
        let name = &self.copy.config.name;
        if let Ok(path) = FilePath::new(name.as_bytes()) {
            self.fail(path, format!("not everything in the copy \"{name}\" could be listed: {why}"));
        }
    }

    fn fail(&mut self, path: FilePath, reason: String) {
        self.failed += 1;
        self.failures.push((path, reason));
    }

    async fn record(&mut self, work: &Work, at_end: bool) -> Result<(), Halt> {
        let (mut tx, mut job) = work.begin().await?;
        self.filling.record(&mut tx, &job, at_end).await?;
        figures::add_failures(&mut tx, job.id, &self.failures, work.core.clock.now()).await?;
        if !job.dry_run {
            for (_, reason) in &self.failures {
                work.note(&mut tx, "unlisted", 20, reason).await?;
            }
            if let Some(age) = self.age.filter(|_| at_end) {
                volumes::set_copy_age(&mut tx, work.place.volume.id, self.copy.row.bit, age).await?;
            }
        }
        self.failures.clear();
        (job.files, job.bytes) = counts(self.filling.total, self.failed);
        work.commit(tx, &job).await
    }

    fn planned(self) -> Planned {
        let (name, total) = (&self.copy.config.name, self.filling.total);
        let mut summary = match total.files {
            0 => format!("{name} has nothing that is not known already"),
            files => format!(
                "{} to adopt from {name} ({})",
                units::counted(files, "file", "files"),
                units::bytes(total.bytes)
            ),
        };
        for (count, what) in [
            (self.known, "known already"),
            (self.tombstoned, "deleted by their owners"),
            (self.orphans, "in lost+found left out"),
        ] {
            if count > 0 {
                summary.push_str(&format!("; {} {what}", units::count(count)));
            }
        }
        let (files, bytes) = counts(self.filling.total, self.failed);
        let plan = Plan { total, in_place: self.known, tombstoned: self.tombstoned, ..Plan::default() };
        Planned { plan, files, bytes, summary }
    }
}

pub async fn work(work: &Work) -> Result<(), Halt> {
    check_mode(work)?;
    let copy = adopted(work)?;
    let root = work.volume_root().await.map_err(Halt::Stuck)?;
    let handle = open(work, copy).await.map_err(Halt::Stuck)?;
    let mut tx = work.core.db.read().await?;
    let items = segments::waiting_items(&mut tx, work.segment.id).await?;
    drop(tx);
    let mut left = items.as_slice();
    while !left.is_empty() {
        let (batch, rest) =
            left.split_at(batch_len(left.iter().map(|item| item.size), BATCH_FILES, BATCH_BYTES));
        let paths: Vec<FilePath> = batch.iter().map(|item| item.path.clone()).collect();
        let options = AdoptOptions { threads: work.threads, limit: work.job_limit() };
        let (control, progress) = (work.control.clone(), work.progress.clone());
        let (volume, handle) = (root.clone(), handle.clone());
        let (outcomes, seconds) = work
            .blocking(move || {
                let outcomes = adopt_batch(&volume, &handle, &paths, &options, &control, &progress);
                // A volume that went away is not a volume whose files are missing.
                volume.reachable().map(|()| outcomes)
            })
            .await?;
        record(work, copy, batch, &outcomes.map_err(Halt::Stuck)?, seconds).await?;
        left = rest;
    }
    Ok(())
}

async fn record(
    work: &Work,
    copy: &Copy,
    batch: &[Item],
    outcomes: &[salvor_engine::AdoptOutcome],
    seconds: f64,
) -> Result<(), Halt> {
    let (volume, bit) = (work.place.volume.id, copy.row.bit);
    let now = work.core.clock.now();
    let paths: Vec<FilePath> = batch.iter().map(|item| item.path.clone()).collect();
    let (mut tx, mut job) = work.begin().await?;
    let rows = catalogue::get(&mut tx, volume, &paths).await?;
    let mut verdicts = Verdicts::new(&copy.config.name, bit, now);
    for (path, outcome) in paths.iter().zip(outcomes) {
        let row = rows.binary_search_by(|row| row.path.cmp(path)).ok().and_then(|at| rows.get(at));
        verdicts.add(path, row, outcome);
    }
    settle(work, &mut tx, &mut job, &verdicts.done, &verdicts.skipped, &verdicts.failures).await?;
    catalogue::add(&mut tx, volume, &verdicts.rows).await?;
    findings::report(&mut tx, volume, job.id, now, &verdicts.findings).await?;
    figures::add_findings(&mut tx, job.id, &verdicts.counts).await?;
    catalogue::set_holder(&mut tx, volume, bit, &verdicts.held, true).await?;
    volumes::clear_copy_faults(&mut tx, volume, bit, &verdicts.held).await?;
    for (path, reason) in &verdicts.faults {
        volumes::record_copy_fault(&mut tx, volume, bit, path, reason, job.id, now).await?;
        let name = &copy.config.name;
        work.refuse_copy(&mut tx, name, &format!("{name} gave {path} wrongly: {reason}.")).await?;
    }
    for note in &verdicts.notes {
        work.note(&mut tx, "another version", 20, note).await?;
    }
    let read = SourceFigures { amount: verdicts.read, busy_seconds: seconds };
    figures::add_source(&mut tx, job.id, &copy.config.name, read).await?;
    job.bytes.done += verdicts.read.bytes;
    work.commit(tx, &job).await?;
    match verdicts.gone {
        Some(why) => Err(Halt::Stuck(format!("the copy \"{}\" is out of reach: {why}", copy.config.name))),
        None if verdicts.stopped => Err(Halt::Stopped),
        None => Ok(()),
    }
}
