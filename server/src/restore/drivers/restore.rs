//! The work of a restore: one segment's files from the copies, verified, durable, and only then recorded.

use std::path::Path;

use salvor_domain::finding::{FindingCounts, FindingKind};
use salvor_domain::job::JobRequest;
use salvor_domain::path::{FilePath, shown};
use salvor_domain::progress::Amount;
use salvor_domain::volume::{FileState, Mode};
use salvor_engine::{
    CopyFault, CopyFaultKind, RestoreItem, RestoreOptions, RestoreReport, RestoreResult, Sink, SourceHandle,
    restore_batch,
};

use crate::database::Tx;
use crate::restore::store::figures::SourceFigures;
use crate::restore::store::segments::{self, Item, ItemState};
use crate::restore::store::{Job, figures};
use crate::restore::work::{Copy, Halt, Work, open_folder};
use crate::volumes::catalogue::{self, CatalogueRow};
use crate::volumes::findings::{self, NewFinding};
use crate::volumes::store as volumes;

/// Why a file that no copy holds is not restored.
pub const NO_COPY: &str = "no copy within reach holds it";
/// The first batch of a segment; while batches are quick they grow, up to a whole segment for one barrier.
const FIRST_BATCH: usize = 200;
const BATCH_BYTES: u64 = 16 << 20;
const QUICK_SECONDS: f64 = 0.3;

/// What a restore was asked for, beside its files.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    from: &'a [String],
    /// Instead of the volume.
    pub folder: Option<&'a Path>,
}

impl<'a> Asked<'a> {
    pub fn of(job: &'a Job) -> Result<Self, Halt> {
        match &job.request {
            JobRequest::Restore { from, to_folder, .. } => {
                Ok(Self { from, folder: to_folder.as_deref().map(Path::new) })
            }
            _ => Err(Halt::Fail("its request is not a restore".into())),
        }
    }

    pub fn wants(&self, copy: &Copy) -> bool {
        self.from.is_empty() || self.from.contains(&copy.config.name)
    }
}

pub async fn work(work: &Work) -> Result<(), Halt> {
    let asked = Asked::of(&work.job)?;
    if asked.folder.is_none() && work.place.volume.mode.mode() == Mode::Failover {
        return Err(Halt::Pause("the volume is offline (failover); resume when it is back".into()));
    }
    let root = match asked.folder {
        Some(folder) => open_folder(folder).await,
        None => work.volume_root().await,
    };
    let root = root.map_err(Halt::Stuck)?;
    let (opened, away) = work.open_sources(|copy| asked.wants(copy)).await;
    if opened.is_empty() && !away.is_empty() {
        return Err(Halt::Stuck(format!("there is no copy to restore from: {}", away.join("; "))));
    }
    let (places, sources) = opened.into_iter().unzip();
    let segment = Segment { work, asked, target: Sink::new(root), places, sources, away };
    let mut tx = work.core.db.read().await?;
    let items = segments::waiting_items(&mut tx, work.segment.id).await?;
    drop(tx);
    let mut left = items.as_slice();
    let mut most = FIRST_BATCH;
    while !left.is_empty() {
        let (batch, rest) = left.split_at(batch_len(left, most));
        let seconds = segment.restore(batch).await?;
        if seconds < QUICK_SECONDS {
            most *= 2;
        }
        left = rest;
    }
    Ok(())
}

fn batch_len(items: &[Item], most: usize) -> usize {
    let mut bytes = 0;
    let fits = items.iter().take(most).take_while(|item| {
        let fits = bytes < BATCH_BYTES;
        bytes += item.size;
        fits
    });
    fits.count()
}

struct Segment<'a> {
    work: &'a Work,
    asked: Asked<'a>,
    target: Sink,
    /// The sources' places among the volume's copies.
    places: Vec<usize>,
    sources: Vec<SourceHandle>,
    /// Why copies are out of reach.
    away: Vec<String>,
}

/// What came of a batch, by what has to be written down.
#[derive(Default)]
struct Verdicts<'r> {
    /// Verified and durable.
    done: Vec<&'r FilePath>,
    kept: Vec<&'r FilePath>,
    failed: Vec<&'r FilePath>,
    failures: Vec<(FilePath, String)>,
    findings: Vec<NewFinding>,
    notes: Vec<(&'static str, String)>,
    stopped: bool,
    /// Files wait because every copy is out of reach.
    copies_away: bool,
}

impl Segment<'_> {
    /// Restores a part of the segment and records what came of it; gives the seconds it took.
    async fn restore(&self, batch: &[Item]) -> Result<f64, Halt> {
        let work = self.work;
        let paths: Vec<FilePath> = batch.iter().map(|item| item.path.clone()).collect();
        let mut tx = work.core.db.read().await?;
        let rows = catalogue::get(&mut tx, work.place.volume.id, &paths).await?;
        drop(tx);
        let rows: Vec<_> = rows.into_iter().filter(|row| row.state != FileState::Tombstone).collect();
        let wanted: Vec<RestoreItem> = rows
            .iter()
            .filter_map(|row| {
                let item = batch.binary_search_by(|item| item.path.cmp(&row.path)).ok()?;
                Some(self.wanted(row, &batch[item]))
            })
            .collect();
        let options = RestoreOptions { threads: work.threads, label: work.label()?, limit: work.job_limit() };
        let (target, sources) = (self.target.clone(), self.sources.clone());
        let (control, progress) = (work.control.clone(), work.progress.clone());
        let (report, seconds) = work
            .blocking(move || restore_batch(&target, &sources, &wanted, &options, &control, &progress))
            .await?;
        self.record(batch, &rows, &report, seconds).await?;
        Ok(seconds)
    }

    /// Copies that are known to hold the file come first, then the others; each in order of preference, but the copy whose
    /// lane this is before them.
    fn wanted(&self, row: &CatalogueRow, item: &Item) -> RestoreItem {
        let holds = |source: &usize| {
            let place = self.places[*source];
            self.work.place.copies[place].row.holds(row.holders)
        };
        let (mut sources, others): (Vec<usize>, Vec<usize>) = (0..self.sources.len()).partition(holds);
        sources.sort_by_key(|source| !self.is_own(*source));
        sources.extend(others);
        RestoreItem {
            path: row.path.clone(),
            size: row.size,
            mtime_ns: row.mtime_ns,
            digest: row.digest,
            mode: Some(row.mode),
            sources,
            known_corrupt: item.corrupt,
        }
    }

    fn is_own(&self, source: usize) -> bool {
        Some(self.copy(source).row.bit) == self.work.segment.source_bit
    }

    async fn record(
        &self,
        batch: &[Item],
        rows: &[CatalogueRow],
        report: &RestoreReport,
        seconds: f64,
    ) -> Result<(), Halt> {
        let work = self.work;
        let verdicts = self.judge(batch, rows, report);
        let (volume, now) = (work.place.volume.id, work.core.clock.now());
        let (mut tx, mut job) = work.begin().await?;
        let segment = work.segment.id;
        // Only what still lies in this segment: a file that was brought sooner meanwhile is counted there.
        let done = segments::settle(&mut tx, segment, &verdicts.done, ItemState::Done).await?;
        let kept = segments::settle(&mut tx, segment, &verdicts.kept, ItemState::Skipped).await?;
        let failed = segments::settle(&mut tx, segment, &verdicts.failed, ItemState::Failed).await?;
        figures::add_failures(&mut tx, job.id, &verdicts.failures, now).await?;
        if self.asked.folder.is_none() {
            let done: Vec<FilePath> = verdicts.done.iter().map(|&path| path.clone()).collect();
            catalogue::verified(&mut tx, volume, &done, now).await?;
            findings::resolve(&mut tx, volume, &done, now).await?;
            findings::report(&mut tx, volume, job.id, now, &verdicts.findings).await?;
            let changed =
                FindingCounts { changed: verdicts.findings.len() as u64, ..FindingCounts::default() };
            figures::add_findings(&mut tx, job.id, &changed).await?;
        }
        self.record_sources(&mut tx, &job, rows, report, seconds).await?;
        for (what, note) in &verdicts.notes {
            work.note(&mut tx, what, 20, note).await?;
        }
        job.files.done += done.files;
        job.files.skipped += kept.files;
        job.files.failed += failed.files;
        job.bytes.done += done.bytes;
        work.commit(tx, &job).await?;
        match &report.fatal {
            Some(fault) => Err(Halt::Stuck(format!("nothing more can be written: {fault}"))),
            None if verdicts.copies_away => Err(Halt::Stuck("every copy is out of reach".into())),
            None if verdicts.stopped => Err(Halt::Stopped),
            None => Ok(()),
        }
    }

    fn judge<'r>(&self, batch: &'r [Item], rows: &[CatalogueRow], report: &'r RestoreReport) -> Verdicts<'r> {
        let mut verdicts = Verdicts::default();
        for item in batch {
            if rows.binary_search_by(|row| row.path.cmp(&item.path)).is_err() {
                verdicts.kept.push(&item.path);
                let note = format!("{}: its owner deleted it meanwhile; it stays deleted", item.path);
                verdicts.notes.push(("deleted", note));
            }
        }
        for outcome in &report.outcomes {
            let path = &outcome.path;
            match &outcome.result {
                RestoreResult::Restored { quarantined, .. } => {
                    verdicts.done.push(path);
                    if let Some(place) = quarantined {
                        let note =
                            format!("{path}: the corrupt file that was there is kept as {}", shown(place));
                        verdicts.notes.push(("quarantine", note));
                    }
                }
                RestoreResult::InPlace => {
                    verdicts.done.push(path);
                }
                RestoreResult::NewerKept { size, .. } => {
                    verdicts.kept.push(path);
                    verdicts.findings.push(NewFinding {
                        path: path.clone(),
                        kind: FindingKind::Changed,
                        size: *size,
                        detail: "newer than the catalogue; a restore left it alone".into(),
                    });
                }
                // What stops all files stops the job: they wait until it goes on.
                RestoreResult::Failed { .. } if report.fatal.is_some() => verdicts.stopped = true,
                // Nor is a file lost because no copy can be reached now.
                RestoreResult::Failed { .. } if are_away(&outcome.copy_faults) => verdicts.copies_away = true,
                RestoreResult::Failed { reason } => verdicts.fail(path, reason.clone()),
                RestoreResult::InNoCopy => {
                    let reason = match self.away.as_slice() {
                        [] => NO_COPY.to_owned(),
                        away => format!("{NO_COPY}: {}", away.join("; ")),
                    };
                    verdicts.fail(path, reason);
                }
                RestoreResult::NotStarted => verdicts.stopped = true,
            }
        }
        verdicts
    }

    /// Adds up what each copy gave, and what it did not give although it should have.
    async fn record_sources(
        &self,
        tx: &mut Tx,
        job: &Job,
        rows: &[CatalogueRow],
        report: &RestoreReport,
        seconds: f64,
    ) -> Result<(), Halt> {
        let mut given = vec![Amount::default(); self.sources.len()];
        for (row, outcome) in rows.iter().zip(&report.outcomes) {
            if let RestoreResult::Restored { source, bytes, .. } = &outcome.result
                && let Some(given) = given.get_mut(*source)
            {
                given.files += 1;
                given.bytes += bytes;
            }
            for fault in &outcome.copy_faults {
                self.record_fault(tx, row, fault).await?;
            }
        }
        let all: u64 = given.iter().map(|given| given.files).sum();
        for (source, amount) in given.into_iter().enumerate().filter(|(_, given)| given.files > 0) {
            let busy_seconds = seconds * amount.files as f64 / all as f64;
            let name = &self.copy(source).config.name;
            figures::add_source(tx, job.id, name, SourceFigures { amount, busy_seconds }).await?;
        }
        for reason in &self.away {
            self.work.note(tx, reason, 1, reason).await?;
        }
        Ok(())
    }

    async fn record_fault(&self, tx: &mut Tx, row: &CatalogueRow, fault: &CopyFault) -> Result<(), Halt> {
        let work = self.work;
        let copy = self.copy(fault.source);
        let (name, reason) = (&copy.config.name, &fault.reason);
        match fault.kind {
            CopyFaultKind::Gone => {
                let note = format!("the copy \"{name}\": {reason}");
                work.note(tx, &note, 1, &note).await?;
                return Ok(());
            }
            // Nobody said that it would hold it.
            CopyFaultKind::Missing if !copy.row.holds(row.holders) => return Ok(()),
            CopyFaultKind::Missing | CopyFaultKind::Corrupt | CopyFaultKind::Io => {}
        }
        let (volume, now) = (work.place.volume.id, work.core.clock.now());
        volumes::record_copy_fault(tx, volume, copy.row.bit, &row.path, reason, work.job.id, now).await?;
        let sentence = format!("The copy \"{name}\" did not give {}: {reason}.", row.path);
        Ok(work.refuse_copy(tx, name, &sentence).await?)
    }

    fn copy(&self, source: usize) -> &Copy {
        &self.work.place.copies[self.places[source]]
    }
}

fn are_away(faults: &[CopyFault]) -> bool {
    !faults.is_empty() && faults.iter().all(|fault| fault.kind == CopyFaultKind::Gone)
}

impl<'r> Verdicts<'r> {
    fn fail(&mut self, path: &'r FilePath, reason: String) {
        self.failed.push(path);
        self.failures.push((path.clone(), reason));
    }
}

/// The restore came to its end: what each copy's speed was.
pub async fn finish(tx: &mut Tx, job: &Job) -> sqlx::Result<()> {
    const ENOUGH_SECONDS: f64 = 0.05;
    let copies = volumes::copies(tx, job.volume_id).await?;
    for (name, figures) in figures::sources(tx, job.id).await? {
        let Some(copy) = copies.iter().find(|copy| copy.name == name) else { continue };
        if figures.busy_seconds >= ENOUGH_SECONDS {
            let files = figures.amount.files as f64 / figures.busy_seconds;
            let bytes = figures.amount.bytes as f64 / figures.busy_seconds;
            volumes::record_rate(tx, job.volume_id, copy.bit, files, bytes).await?;
        }
    }
    Ok(())
}
