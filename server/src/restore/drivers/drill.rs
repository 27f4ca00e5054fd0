//! The work of a drill: one copy's sample is restored to scratch in small batches, verified, measured and thrown away.
//!
//! Small files and large ones are tried apart, so that the cost of a file and that of a byte both show. What a copy does not
//! give as the catalogue has it is a fault of the copy. Neither the volume nor any copy is written to.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use salvor_domain::cost::Basis;
use salvor_domain::path::FilePath;
use salvor_domain::progress::Amount;
use salvor_domain::readiness::DrillResult;
use salvor_domain::sample::SMALL_BYTES;
use salvor_domain::volume::FileState;
use salvor_engine::{CopyFault, CopyFaultKind, RestoreResult, SourceHandle};

use super::drill_plan::Asked;
use crate::database::Tx;
use crate::restore::rates::{self, Tried, TryFault};
use crate::restore::scratch::Scratch;
use crate::restore::store::figures::SourceFigures;
use crate::restore::store::segments::{self, Item, ItemState};
use crate::restore::store::{Job, drills, figures};
use crate::restore::work::{Absent, Copy, Halt, Work};
use crate::volumes::catalogue::{self, CatalogueRow};
use crate::volumes::{rates_store, store as volumes};

pub use super::drill_plan::plan;

/// Files and bytes that lie in scratch at a time.
const BATCH_FILES: usize = 50;
pub const BATCH_BYTES: u64 = 16 << 20;

pub async fn work(work: &Work) -> Result<(), Halt> {
    let asked = Asked::of(&work.job.request)?;
    let mut tx = work.core.db.read().await?;
    let bit = drills::bit(&mut tx, work.segment.id).await?;
    let mut items = segments::waiting_items(&mut tx, work.segment.id).await?;
    let before = figures::sources(&mut tx, work.job.id).await?;
    drop(tx);
    let Some(copy) = work.place.copies.iter().find(|copy| Some(copy.row.bit) == bit) else {
        return Err(Halt::Fail("a copy that it was to try is no longer in the configuration".into()));
    };
    let (mut sources, away) = work.open_sources(|other| other.row.bit == copy.row.bit).await;
    let Some((_, source)) = sources.pop() else {
        let why = away.first().map_or_else(|| "it is out of reach".to_owned(), Absent::to_string);
        return Trial::of(work, copy).fail(&items, &why).await;
    };
    let scratch = make_scratch(work).await?;
    let mut trial = Trial::of(work, copy);
    // What an earlier holder of this segment used of the time counts.
    let used = before.get(&copy.config.name).map_or(0.0, |figures| figures.busy_seconds);
    trial.seconds_left = asked.budget.seconds.map(|most| (most - used).max(0.0));
    // Small ones first: when the time is short, they are what says most.
    items.sort_by(|a, b| (a.size > SMALL_BYTES, &a.path).cmp(&(b.size > SMALL_BYTES, &b.path)));
    let outcome = trial.run(&items, &source, &scratch).await;
    // Whatever came of it, scratch is empty before anybody hears.
    let removed = tokio::task::spawn_blocking(move || drop(scratch)).await.map_err(Halt::panicked);
    outcome.and(removed)
}

async fn make_scratch(work: &Work) -> Result<Arc<Scratch>, Halt> {
    let (data_dir, name) = (work.core.config.server.data_dir.clone(), work.worker.to_string());
    let made = tokio::task::spawn_blocking(move || Scratch::make(&data_dir, &name));
    made.await.map_err(Halt::panicked)?.map(Arc::new).map_err(Halt::Stuck)
}

/// One copy on trial.
struct Trial<'a> {
    work: &'a Work,
    copy: &'a Copy,
    /// Absent when there is no limit.
    seconds_left: Option<f64>,
    small: Measured,
    large: Measured,
}

#[derive(Default)]
struct Measured {
    amount: Amount,
    seconds: f64,
}

/// What came of a batch.
#[derive(Default)]
struct Verdicts {
    verified: Vec<FilePath>,
    failed: Vec<(FilePath, String)>,
    /// Gone from the catalogue since they were chosen.
    gone: Vec<FilePath>,
    faults: Vec<(FilePath, CopyFault)>,
}

impl<'a> Trial<'a> {
    fn of(work: &'a Work, copy: &'a Copy) -> Self {
        let (small, large) = Default::default();
        Self { work, copy, seconds_left: None, small, large }
    }

    async fn run(
        &mut self,
        items: &[Item],
        source: &SourceHandle,
        scratch: &Arc<Scratch>,
    ) -> Result<(), Halt> {
        let mut left = items;
        while !left.is_empty() {
            if self.seconds_left == Some(0.0) {
                return self.end(left).await;
            }
            let (batch, rest) = left.split_at(batch_len(left));
            if !self.try_batch(batch, source, scratch).await? {
                // The time was over within this batch: what it did not reach still waits.
                let mut tx = self.work.core.db.read().await?;
                let waiting = segments::waiting_items(&mut tx, self.work.segment.id).await?;
                drop(tx);
                return self.end(&waiting).await;
            }
            left = rest;
        }
        self.end(&[]).await
    }

    /// Tries a batch and records what came of it; false when the time was over before its end.
    async fn try_batch(
        &mut self,
        batch: &[Item],
        source: &SourceHandle,
        scratch: &Arc<Scratch>,
    ) -> Result<bool, Halt> {
        let work = self.work;
        let paths: Vec<FilePath> = batch.iter().map(|item| item.path.clone()).collect();
        let mut tx = work.core.db.read().await?;
        let rows = catalogue::get(&mut tx, work.place.volume.id, &paths).await?;
        drop(tx);
        let rows: Vec<_> = rows.into_iter().filter(|row| row.state != FileState::Tombstone).collect();
        let tried = Tried::of(work, scratch, source, &rows, self.seconds_left).await;
        let tried = tried.map_err(|fault| match fault {
            TryFault::Halt(halt) => halt,
            TryFault::Scratch(why) => Halt::Stuck(why),
        })?;
        if let Some(fault) = &tried.report.fatal {
            return Err(Halt::Stuck(format!("nothing more can be written to scratch: {fault}")));
        }
        let of_class =
            if batch.iter().all(|item| item.size > SMALL_BYTES) { &mut self.large } else { &mut self.small };
        of_class.amount += tried.moved;
        of_class.seconds += tried.seconds;
        if let Some(left) = &mut self.seconds_left {
            *left = (*left - tried.seconds).max(0.0);
        }
        let verdicts = self.judge(&paths, &rows, &tried);
        self.record(&rows, verdicts, tried.seconds).await?;
        if work.control.stop().is_some() { Err(Halt::Stopped) } else { Ok(!tried.is_over) }
    }

    fn judge(&self, paths: &[FilePath], rows: &[CatalogueRow], tried: &Tried) -> Verdicts {
        let name = &self.copy.config.name;
        let mut verdicts = Verdicts::default();
        for path in paths {
            if rows.binary_search_by(|row| row.path.cmp(path)).is_err() {
                verdicts.gone.push(path.clone());
            }
        }
        for outcome in &tried.report.outcomes {
            let path = outcome.path.clone();
            match &outcome.result {
                RestoreResult::Restored { .. } | RestoreResult::InPlace => verdicts.verified.push(path),
                RestoreResult::Failed { reason } | RestoreResult::NotGiven { reason } => {
                    let reason = outcome.copy_faults.first().map_or(reason, |fault| &fault.reason);
                    verdicts.failed.push((path, format!("{name}: {reason}")));
                }
                RestoreResult::NewerKept { .. } | RestoreResult::InNoCopy => {
                    verdicts.failed.push((path, format!("{name}: something else lies in scratch")));
                }
                RestoreResult::NotStarted => continue,
            }
            verdicts
                .faults
                .extend(outcome.copy_faults.iter().map(|fault| (outcome.path.clone(), fault.clone())));
        }
        verdicts
    }

    async fn record(&self, rows: &[CatalogueRow], verdicts: Verdicts, seconds: f64) -> Result<(), Halt> {
        let work = self.work;
        let (volume, segment, now) = (work.place.volume.id, work.segment.id, work.core.clock.now());
        let bit = self.copy.row.bit;
        let (mut tx, mut job) = work.begin().await?;
        segments::settle(&mut tx, segment, &verdicts.verified, ItemState::Done).await?;
        segments::settle(&mut tx, segment, &verdicts.gone, ItemState::Skipped).await?;
        let failed: Vec<&FilePath> = verdicts.failed.iter().map(|(path, _)| path).collect();
        segments::settle(&mut tx, segment, &failed, ItemState::Failed).await?;
        // These very bytes were read from it just now.
        catalogue::set_holder(&mut tx, volume, bit, &verdicts.verified, true).await?;
        volumes::clear_copy_faults(&mut tx, volume, bit, &verdicts.verified).await?;
        for (path, fault) in &verdicts.faults {
            self.record_fault(&mut tx, path, fault, now).await?;
        }
        self.add_failures(&mut tx, &job, &verdicts.failed, now).await?;
        let size = |path: &FilePath| {
            rows.binary_search_by(|row| row.path.cmp(path))
                .ok()
                .and_then(|at| rows.get(at))
                .map_or(0, |row| row.size)
        };
        let bytes: u64 = verdicts.verified.iter().map(size).sum();
        let amount = Amount { files: verdicts.verified.len() as u64, bytes };
        let figures = SourceFigures { amount, busy_seconds: seconds };
        figures::add_source(&mut tx, job.id, &self.copy.config.name, figures).await?;
        job.files.done += amount.files;
        job.files.failed += verdicts.failed.len() as u64;
        job.files.skipped += verdicts.gone.len() as u64;
        job.bytes.done += bytes;
        work.commit(tx, &job).await
    }

    /// The same file may fail in several copies: each has its say.
    async fn add_failures(
        &self,
        tx: &mut Tx,
        job: &Job,
        failures: &[(FilePath, String)],
        now: DateTime<Utc>,
    ) -> Result<(), Halt> {
        let mut all = Vec::with_capacity(failures.len());
        for (path, reason) in failures {
            let reason = match figures::failure_reason(tx, job.id, path).await? {
                Some(before) if before != *reason => format!("{before}; {reason}"),
                _ => reason.clone(),
            };
            all.push((path.clone(), reason));
        }
        Ok(figures::add_failures(tx, job.id, &all, now).await?)
    }

    async fn record_fault(
        &self,
        tx: &mut Tx,
        path: &FilePath,
        fault: &CopyFault,
        now: DateTime<Utc>,
    ) -> Result<(), Halt> {
        let (work, name, reason) = (self.work, &self.copy.config.name, &fault.reason);
        if fault.kind == CopyFaultKind::Gone {
            let note = format!("The copy \"{name}\": {reason}.");
            return Ok(work.note(tx, &note, 1, &note).await?);
        }
        let (volume, bit) = (work.place.volume.id, self.copy.row.bit);
        volumes::record_copy_fault(tx, volume, bit, path, reason, work.job.id, now).await?;
        let sentence = format!("The copy \"{name}\" was refused for {path}: {reason}.");
        Ok(work.refuse_copy(tx, name, &sentence).await?)
    }

    /// The copy is out of reach: none of its files can be tried.
    async fn fail(&self, items: &[Item], why: &str) -> Result<(), Halt> {
        let failed = items.iter().map(|item| (item.path.clone(), why.to_owned())).collect();
        self.record(&[], Verdicts { failed, ..Verdicts::default() }, 0.0).await
    }

    /// Keeps what was measured; what the time did not reach is left out.
    async fn end(&self, left: &[Item]) -> Result<(), Halt> {
        let (work, now) = (self.work, self.work.core.clock.now());
        let (mut tx, mut job) = work.begin().await?;
        for measured in [&self.small, &self.large] {
            let (amount, seconds) = (measured.amount, measured.seconds);
            rates::keep(&mut tx, &job, self.copy.row.bit, Basis::Drill, amount, seconds, now).await?;
        }
        if !left.is_empty() {
            let paths: Vec<&FilePath> = left.iter().map(|item| &item.path).collect();
            segments::settle(&mut tx, work.segment.id, &paths, ItemState::Skipped).await?;
            job.files.skipped += left.len() as u64;
            let files = salvor_domain::units::counted(left.len() as u64, "file", "files");
            let note = format!(
                "{}: the time of a drill was over; {files} of the sample were not tried.",
                self.copy.config.name
            );
            work.note(&mut tx, &note, 1, &note).await?;
        }
        work.commit(tx, &job).await
    }
}

fn batch_len(items: &[Item]) -> usize {
    let mut bytes = 0_u64;
    let is_small = items.first().is_some_and(|item| item.size <= SMALL_BYTES);
    let fits = items.iter().take(BATCH_FILES).take_while(|item| {
        let fits = (bytes == 0 || bytes.saturating_add(item.size) <= BATCH_BYTES)
            && (item.size <= SMALL_BYTES) == is_small;
        bytes = bytes.saturating_add(item.size);
        fits
    });
    fits.count().max(1)
}

/// The drill came to its end: what it found of each copy.
pub async fn finish(tx: &mut Tx, job: &Job, now: DateTime<Utc>) -> sqlx::Result<()> {
    if job.dry_run {
        return Ok(());
    }
    let copies = volumes::copies(tx, job.volume_id).await?;
    let sources = figures::sources(tx, job.id).await?;
    let failures = figures::failures(tx, job.id, salvor_domain::job::REPORTED_FAILURES).await?;
    for (bit, tally) in drills::tallies(tx, job.id).await? {
        let Some(copy) = copies.iter().find(|copy| copy.bit == bit) else { continue };
        let given = sources.get(&copy.name).copied().unwrap_or_default();
        let first = failures.iter().find(|(_, reason)| reason.contains(&copy.name));
        let found = DrillResult {
            job: job.id.to_string(),
            at: now,
            verified: tally.verified,
            failed: tally.failed,
            skipped: tally.skipped + tally.waiting,
            bytes: given.amount.bytes,
            seconds: given.busy_seconds,
            reason: first.filter(|_| tally.failed > 0).map(|(path, reason)| format!("{path}: {reason}")),
        };
        rates_store::record_drill(tx, job.volume_id, bit, job.id, &found).await?;
    }
    Ok(())
}
