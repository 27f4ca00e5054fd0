//! The work of a reunite, and the first part of a restore's: a segment's nameless files to their places.

use std::sync::Arc;

use salvor_domain::finding::FindingCounts;
use salvor_domain::job::{JobKind, JobRequest, REUNITED};
use salvor_domain::limits::JobLimits;
use salvor_domain::path::{FilePath, shown};
use salvor_domain::progress::Amount;
use salvor_domain::volume::FileState;
use salvor_engine::{
    LostFolder, Progress, ReuniteItem, ReuniteOptions, ReuniteReport, ReuniteResult, Sink, reunite_batch,
};

use super::folders;
use crate::restore::drivers::{deleted, fail};
use crate::restore::store::figures::{self, SourceFigures};
use crate::restore::store::orphans::{self, OrphanFor};
use crate::restore::store::segments::{self, Item, ItemState};
use crate::restore::work::{Halt, Work};
use crate::volumes::catalogue::{self, CatalogueRow};
use crate::volumes::findings::{self, NewFinding};

/// Files for one barrier and one commit.
const BATCH: usize = 8_000;

/// Gives the waiting items of the segment that have an orphan their file. In a restore an orphan that does not fit after all
/// leaves its item to the copies; in a reunite that item has failed.
pub async fn go(work: &Work, volume: &Sink) -> Result<(), Halt> {
    let mut tx = work.core.db.read().await?;
    let waiting = orphans::waiting(&mut tx, work.job.id, work.segment.id).await?;
    drop(tx);
    if waiting.is_empty() {
        return Ok(());
    }
    let moves = Moves { work, volume, folders: open(work, volume, &waiting).await };
    let (mut rest, mut limits) = (waiting.as_slice(), work.job.limits);
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(batch_files(limits).min(rest.len()));
        limits = moves.batch(batch).await?;
        rest = later;
    }
    Ok(())
}

/// A limit of so many files a second is heard from about as often as every other job.
fn batch_files(limits: JobLimits) -> usize {
    const SECONDS: usize = 2;
    let by_limit = limits.files_per_second.and_then(|files| usize::try_from(files).ok());
    by_limit.map_or(BATCH, |files| files.saturating_mul(SECONDS).clamp(1, BATCH))
}

type Folders = Vec<(usize, LostFolder)>;

/// The folders that the orphans lie in, with their numbers; those that cannot be opened now are left out.
async fn open(work: &Work, volume: &Sink, waiting: &[(Item, OrphanFor)]) -> Folders {
    let mut numbers: Vec<usize> = waiting.iter().map(|(_, orphan)| orphan.taken.folder).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let from = match &work.job.request {
        JobRequest::Reunite { from } => from.as_slice(),
        _ => &[],
    };
    let mut opened = Vec::with_capacity(numbers.len());
    for number in numbers {
        if let Ok(Some(folder)) = folders::open(work, volume.root(), from, number).await {
            opened.push((number, folder));
        }
    }
    opened
}

struct Moves<'a> {
    work: &'a Work,
    volume: &'a Sink,
    folders: Folders,
}

/// What came of a batch, by what has to be written down.
#[derive(Default)]
struct Verdicts<'r> {
    done: Vec<&'r FilePath>,
    kept: Vec<&'r FilePath>,
    failures: Vec<(FilePath, String)>,
    given: Amount,
    /// Names under which the orphans that were moved may have been found.
    found: Vec<FilePath>,
    newer: Vec<NewFinding>,
    notes: Vec<(&'static str, String)>,
    stopped: bool,
}

impl Moves<'_> {
    /// Gives the limits that the job has by now.
    async fn batch(&self, batch: &[(Item, OrphanFor)]) -> Result<JobLimits, Halt> {
        let work = self.work;
        let paths: Vec<FilePath> = batch.iter().map(|(item, _)| item.path.clone()).collect();
        let mut tx = work.core.db.read().await?;
        let rows = catalogue::get(&mut tx, work.place.volume.id, &paths).await?;
        drop(tx);
        // What its owner deleted meanwhile stays deleted.
        let rows: Vec<_> = rows.into_iter().filter(|row| row.state != FileState::Tombstone).collect();
        let items: Vec<ReuniteItem> =
            batch.iter().filter_map(|(item, orphan)| self.wanted(item, orphan, &rows)).collect();
        let items = Arc::new(items);
        let options = ReuniteOptions { threads: work.threads, label: work.label()?, limit: work.job_limit() };
        let folders: Vec<LostFolder> = self.folders.iter().map(|(_, folder)| folder.clone()).collect();
        let (volume, wanted) = (self.volume.clone(), items.clone());
        // A rename is over before anyone could watch it: the job's own progress is the copies'.
        let (control, progress) = (work.control.clone(), Progress::new());
        let (report, seconds) = work
            .blocking(move || reunite_batch(&volume, &folders, &wanted, &options, &control, &progress))
            .await?;
        self.record(batch, &rows, &items, &report, seconds).await
    }

    fn wanted(&self, item: &Item, orphan: &OrphanFor, rows: &[CatalogueRow]) -> Option<ReuniteItem> {
        let row = &rows[rows.binary_search_by(|row| row.path.cmp(&item.path)).ok()?];
        let taken = &orphan.taken;
        // A folder that is away is past the end of those that are there.
        let folder = self.folders.iter().position(|(number, _)| *number == taken.folder);
        Some(ReuniteItem {
            path: row.path.clone(),
            size: row.size,
            mtime_ns: row.mtime_ns,
            digest: row.digest,
            mode: row.mode,
            known_corrupt: item.corrupt,
            folder: folder.unwrap_or(self.folders.len()),
            orphan: taken.path.clone(),
            stamp: taken.stamp,
            twin: taken.twin.clone(),
        })
    }

    async fn record(
        &self,
        batch: &[(Item, OrphanFor)],
        rows: &[CatalogueRow],
        items: &[ReuniteItem],
        report: &ReuniteReport,
        seconds: f64,
    ) -> Result<JobLimits, Halt> {
        let work = self.work;
        let mut verdicts = self.judge(batch, rows, items, report);
        let (volume, now, segment) = (work.place.volume.id, work.core.clock.now(), work.segment.id);
        let (mut tx, mut job) = work.begin().await?;
        let dead = deleted::verified(work, &mut tx, self.volume, &verdicts.done).await?;
        let (gone, done): (Vec<_>, _) = verdicts.done.into_iter().partition(|path| dead.contains(*path));
        verdicts.done = done;
        verdicts.kept.extend(gone);
        // Only what still lies in this segment: a file that was brought sooner meanwhile is counted there.
        let settled = segments::settle(&mut tx, segment, &verdicts.done, ItemState::Done).await?;
        let kept = segments::settle(&mut tx, segment, &verdicts.kept, ItemState::Skipped).await?;
        if work.job.kind() == JobKind::Reunite {
            job.files.failed += fail(work, &mut tx, &verdicts.failures).await?;
        } else {
            // The copies' turn.
            let failed: Vec<&FilePath> = verdicts.failures.iter().map(|(path, _)| path).collect();
            orphans::forget(&mut tx, job.id, &failed).await?;
            for (path, reason) in &verdicts.failures {
                work.note(&mut tx, "orphan", 20, &format!("{path}: {reason}; a copy is asked for it"))
                    .await?;
            }
        }
        let done: Vec<FilePath> = verdicts.done.iter().map(|&path| path.clone()).collect();
        findings::resolve(&mut tx, volume, &done, now).await?;
        findings::resolve(&mut tx, volume, &verdicts.found, now).await?;
        findings::report(&mut tx, volume, job.id, now, &verdicts.newer).await?;
        let changed = FindingCounts { changed: verdicts.newer.len() as u64, ..FindingCounts::default() };
        figures::add_findings(&mut tx, job.id, &changed).await?;
        if verdicts.given.files > 0 {
            let given = SourceFigures { amount: verdicts.given, busy_seconds: seconds };
            figures::add_source(&mut tx, job.id, REUNITED, given).await?;
        }
        for (what, note) in &verdicts.notes {
            work.note(&mut tx, what, 20, note).await?;
        }
        job.files.done += settled.files;
        job.files.skipped += kept.files;
        job.bytes.done += settled.bytes;
        work.commit(tx, &job).await?;
        match &report.fatal {
            Some(fault) => Err(Halt::Stuck(format!("nothing more can be written: {fault}"))),
            None if verdicts.stopped => Err(Halt::Stopped),
            None => Ok(job.limits),
        }
    }

    fn judge<'r>(
        &self,
        batch: &'r [(Item, OrphanFor)],
        rows: &[CatalogueRow],
        items: &'r [ReuniteItem],
        report: &ReuniteReport,
    ) -> Verdicts<'r> {
        let mut verdicts = Verdicts::default();
        for (item, _) in batch {
            if rows.binary_search_by(|row| row.path.cmp(&item.path)).is_err() {
                verdicts.kept.push(&item.path);
                let note = format!("{}: its owner deleted it meanwhile; it stays deleted", item.path);
                verdicts.notes.push(("deleted", note));
            }
        }
        for (item, result) in items.iter().zip(&report.results) {
            match result {
                ReuniteResult::Moved { quarantined } => {
                    verdicts.put(item, quarantined.as_deref());
                    let name = |(_, lost)| folders::name(lost, self.volume.root(), &item.orphan);
                    verdicts
                        .found
                        .extend(self.folders.get(item.folder).map(|(n, lost)| (n, lost)).and_then(name));
                }
                ReuniteResult::Copied { quarantined, .. } => verdicts.put(item, quarantined.as_deref()),
                ReuniteResult::InPlace => verdicts.done.push(&item.path),
                ReuniteResult::NewerKept { size } => {
                    verdicts.kept.push(&item.path);
                    verdicts.newer.push(super::newer((item.path.clone(), *size)));
                }
                // What stops all files stops the job: they wait until it goes on.
                ReuniteResult::Failed { .. } if report.fatal.is_some() => verdicts.stopped = true,
                ReuniteResult::Failed { reason } => {
                    verdicts.failures.push((item.path.clone(), reason.clone()))
                }
                ReuniteResult::NotStarted => verdicts.stopped = true,
            }
        }
        verdicts
    }
}

impl<'r> Verdicts<'r> {
    fn put(&mut self, item: &'r ReuniteItem, quarantined: Option<&[u8]>) {
        self.done.push(&item.path);
        self.given += Amount::file(item.size);
        if let Some(place) = quarantined {
            let note = format!("{}: the corrupt file that was there is kept as {}", item.path, shown(place));
            self.notes.push(("quarantine", note));
        }
    }
}
