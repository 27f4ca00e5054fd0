//! What is measured of copies: kept when restores and drills end, and by a short probe when a plan has nothing newer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use salvor_domain::cost::{self, Basis, Measurement};
use salvor_domain::event::EventKind;
use salvor_domain::limits::JobLimits;
use salvor_domain::progress::Amount;
use salvor_domain::volume::FileState;
use salvor_engine::{
    Control, Progress, RestoreItem, RestoreOptions, RestoreReport, RestoreResult, Sink, SourceHandle,
    restore_batch,
};

use crate::database::Tx;
use crate::events;
use crate::restore::scratch::Scratch;
use crate::restore::store::segments::Item;
use crate::restore::store::{Job, figures};
use crate::restore::work::{Halt, Work};
use crate::volumes::catalogue::{self, CatalogueRow};
use crate::volumes::{rates_store, store as volumes};

/// A job that took less says nothing about a rate; what is done in order to measure says something sooner.
const ENOUGH_SECONDS: f64 = 0.05;
const ENOUGH_TO_MEASURE_SECONDS: f64 = 0.001;
/// A plan probes a copy when nothing was measured of it for so long …
const STALE: TimeDelta = TimeDelta::days(7);
/// … and takes this long for each, at the most …
const PROBE_SECONDS: f64 = 1.0;
/// … for so many copies …
const MOST_PROBES: usize = 4;
/// … with so many files.
const PROBE_FILES: usize = 20;
/// A job that is done at once needs no estimate: files and bytes from which on it does.
const WORTH: Amount = Amount { files: 500, bytes: 256 << 20 };

/// Keeps what a job measured of a copy; nothing when a limit of the job's own held it back, for then that was measured.
pub async fn keep(
    tx: &mut Tx,
    job: &Job,
    bit: u8,
    basis: Basis,
    amount: Amount,
    seconds: f64,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let enough = if basis == Basis::Job { ENOUGH_SECONDS } else { ENOUGH_TO_MEASURE_SECONDS };
    if seconds < enough || amount == Amount::default() || was_held_back(tx, job).await? {
        return Ok(());
    }
    let measured = Measurement { at: now, basis, files: amount.files, bytes: amount.bytes, seconds };
    rates_store::add(tx, job.volume_id, bit, &measured, Some(job.id)).await
}

/// Whether the job has a limit of its own, or had one for a while.
async fn was_held_back(tx: &mut Tx, job: &Job) -> sqlx::Result<bool> {
    Ok(job.limits != JobLimits::default() || events::has(tx, job.id, EventKind::LimitChanged).await?)
}

/// A restore came to its end: what it measured of each copy that it read. Told again after a retry, with all that was read.
pub async fn keep_of_restore(tx: &mut Tx, job: &Job, now: DateTime<Utc>) -> sqlx::Result<()> {
    if was_held_back(tx, job).await? {
        return Ok(());
    }
    let copies = volumes::copies(tx, job.volume_id).await?;
    for (name, figures) in figures::sources(tx, job.id).await? {
        let Some(copy) = copies.iter().find(|copy| copy.name == name) else { continue };
        rates_store::forget_job(tx, job.volume_id, copy.bit, job.id).await?;
        keep(tx, job, copy.bit, Basis::Job, figures.amount, figures.busy_seconds, now).await?;
    }
    Ok(())
}

/// Some of the files of a part of a plan, spread over all of it.
#[derive(Debug, Default)]
pub struct Few {
    stride: u64,
    seen: u64,
    items: Vec<Item>,
}

impl Few {
    pub fn offer(&mut self, item: &Item) {
        self.stride = self.stride.max(1);
        if self.seen.is_multiple_of(self.stride) {
            self.items.push(item.clone());
            if self.items.len() > PROBE_FILES {
                let mut at = 0;
                self.items.retain(|_| {
                    at += 1;
                    at % 2 == 1
                });
                self.stride *= 2;
            }
        }
        self.seen += 1;
    }
}

/// A copy's part of a plan that is being made.
pub struct PlannedPart<'a> {
    pub bit: u8,
    pub source: &'a SourceHandle,
    pub amount: Amount,
    pub few: &'a Few,
}

/// Probes those copies of a plan that nothing recent is known of, if the plan is worth it.
pub async fn probe_if_stale(work: &Work, parts: &[PlannedPart<'_>]) -> Result<(), Halt> {
    let job = &work.job;
    let is_large =
        |part: &PlannedPart<'_>| part.amount.files > WORTH.files || part.amount.bytes > WORTH.bytes;
    // Somebody reads the plan before anything moves; but a customer who waits is not kept waiting.
    let is_read = job.dry_run || !job.approved;
    if job.ticket.is_some() || job.limits != JobLimits::default() || !(is_read || parts.iter().any(is_large))
    {
        return Ok(());
    }
    let mut tx = work.core.db.read().await?;
    let measured = rates_store::measurements(&mut tx, job.volume_id).await?;
    drop(tx);
    let now = work.core.clock.now();
    let is_stale = |part: &&PlannedPart<'_>| {
        let known = measured.get(&part.bit).map_or(&[][..], Vec::as_slice);
        part.amount.files > 0 && !cost::is_fresh(known, now, STALE)
    };
    for part in parts.iter().filter(is_stale).take(MOST_PROBES) {
        probe(work, part).await?;
    }
    Ok(())
}

/// A probe that cannot be made leaves the plan without its figure, and says so in the log of this program alone.
async fn probe(work: &Work, part: &PlannedPart<'_>) -> Result<(), Halt> {
    let (data_dir, name) = (work.core.config.server.data_dir.clone(), work.core.new_worker_id().to_string());
    let scratch = tokio::task::spawn_blocking(move || Scratch::make(&data_dir, &name));
    let scratch = match scratch.await.map_err(Halt::panicked)? {
        Ok(scratch) => Arc::new(scratch),
        Err(why) => {
            tracing::warn!("no probe: {why}");
            return Ok(());
        }
    };
    let mut few = part.few.items.clone();
    few.truncate(PROBE_FILES);
    few.sort_by(|a, b| a.path.cmp(&b.path));
    let paths: Vec<_> = few.into_iter().map(|item| item.path).collect();
    let mut tx = work.core.db.read().await?;
    let rows = catalogue::get(&mut tx, work.place.volume.id, &paths).await?;
    drop(tx);
    let tried = Tried::of(work, &scratch, part.source, &rows, Some(PROBE_SECONDS)).await;
    // Removed before the plan goes on; a folder that cannot be is the next sweep's.
    tokio::task::spawn_blocking(move || drop(scratch)).await.map_err(Halt::panicked)?;
    let tried = match tried {
        Ok(tried) => tried,
        Err(TryFault::Halt(halt)) => return Err(halt),
        Err(TryFault::Scratch(why)) => {
            tracing::warn!("no probe: {why}");
            return Ok(());
        }
    };
    let (mut tx, job) = work.begin().await?;
    keep(&mut tx, &job, part.bit, Basis::Probe, tried.moved, tried.seconds, work.core.clock.now()).await?;
    work.commit(tx, &job).await
}

/// Files that were restored from one copy to scratch, verified, and thrown away.
pub struct Tried {
    /// In the order of the rows.
    pub report: RestoreReport,
    /// What moved in `seconds`, the part of a file that was not reached in time included.
    pub moved: Amount,
    pub seconds: f64,
    /// The time was over before all were tried.
    pub is_over: bool,
}

pub enum TryFault {
    Halt(Halt),
    /// Scratch cannot be used, with the reason.
    Scratch(String),
}

impl Tried {
    /// Tries these files of one copy, for at most so many seconds. `rows` are in path order.
    pub async fn of(
        work: &Work,
        scratch: &Arc<Scratch>,
        source: &SourceHandle,
        rows: &[CatalogueRow],
        most_seconds: Option<f64>,
    ) -> Result<Self, TryFault> {
        const LOOK: Duration = Duration::from_millis(20);
        let items: Vec<RestoreItem> =
            rows.iter().filter(|row| row.state != FileState::Tombstone).map(item).collect();
        // What is thrown away at once is there once: room for a batch is enough.
        let needed: u64 = items.iter().map(|item| item.size).sum();
        let part = {
            let scratch = scratch.clone();
            tokio::task::spawn_blocking(move || scratch.has_room(needed).and_then(|()| scratch.part()))
        };
        let part = part.await.map_err(|broken| TryFault::Halt(Halt::panicked(broken)))?;
        let part = part.map_err(TryFault::Scratch)?;
        let label = work.label().map_err(TryFault::Halt)?;
        let options = RestoreOptions { threads: work.threads, label, limit: work.job_limit() };
        let (control, progress) = (Control::new(), Progress::new());
        let (sources, target) = ([source.clone()], Sink::new(part.root.clone()));
        let (its_control, its_progress) = (control.clone(), progress.clone());
        let started = Instant::now();
        let mut trying = tokio::task::spawn_blocking(move || {
            let report = restore_batch(&target, &sources, &items, &options, &its_control, &its_progress);
            let ended = Instant::now();
            drop((target, part));
            (report, ended)
        });
        let mut over = None;
        let (report, ended) = loop {
            tokio::select! {
                done = &mut trying => break done.map_err(|broken| TryFault::Halt(Halt::panicked(broken)))?,
                () = tokio::time::sleep(LOOK) => {}
            }
            let seconds = started.elapsed().as_secs_f64();
            if work.control.stop().is_some() {
                control.cancel();
            } else if over.is_none() && most_seconds.is_some_and(|most| seconds >= most) {
                over = Some((Amount { files: progress.files(), bytes: progress.bytes() }, seconds));
                control.pause();
            }
        };
        let (moved, seconds) =
            over.unwrap_or_else(|| (restored(&report), ended.duration_since(started).as_secs_f64()));
        Ok(Self { report, moved, seconds, is_over: over.is_some() })
    }
}

fn item(row: &CatalogueRow) -> RestoreItem {
    RestoreItem {
        path: row.path.clone(),
        size: row.size,
        mtime_ns: row.mtime_ns,
        digest: row.digest,
        mode: Some(row.mode),
        sources: vec![0],
        holders: 1,
        known_corrupt: false,
    }
}

fn restored(report: &RestoreReport) -> Amount {
    let bytes = report.outcomes.iter().filter_map(|outcome| match outcome.result {
        RestoreResult::Restored { bytes, .. } => Some(bytes),
        _ => None,
    });
    bytes.map(Amount::file).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use salvor_domain::path::FilePath;

    #[test]
    fn a_few_are_spread_over_all() {
        for total in [0_usize, 1, 20, 21, 1_000, 12_345] {
            let mut few = Few::default();
            for number in 0..total {
                let path = FilePath::new(format!("{number:06}")).unwrap();
                few.offer(&Item { path, size: 1, corrupt: false });
            }
            assert!(
                few.items.len() <= PROBE_FILES && few.items.len() >= total.min(PROBE_FILES / 2),
                "{total}"
            );
            if let (Some(first), Some(last)) = (few.items.first(), few.items.last()) {
                let number = |item: &Item| item.path.to_string().parse::<usize>().unwrap();
                assert!(number(first) == 0 && number(last) >= total / 2, "{total}");
            }
        }
    }
}
