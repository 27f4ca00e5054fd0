//! The work of a restore: one segment's files from the copies, verified, durable, and only then recorded.
//!
//! The engine hands out what is durable group by group, and one group is recorded while the next is on its way.

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

use chrono::{DateTime, Utc};
use salvor_domain::finding::{FindingCounts, FindingKind};
use salvor_domain::job::JobRequest;
use salvor_domain::path::{FilePath, shown};
use salvor_domain::progress::Amount;
use salvor_domain::volume::{FileState, Mode};
use salvor_engine::{
    CopyFault, CopyFaultKind, RestoreItem, RestoreOptions, RestoreOutcome, RestoreResult, Sink, SourceHandle,
    restore_stream,
};

use crate::database::Tx;
use crate::restore::drivers::{deleted, reunite};
use crate::restore::rates;
use crate::restore::store::figures::SourceFigures;
use crate::restore::store::segments::{self, Item, ItemState};
use crate::restore::store::{Job, figures, moving, orphans};
use crate::restore::work::{Copy, Halt, Work};
use crate::volumes::catalogue::{self, CatalogueRow};
use crate::volumes::findings::{self, NewFinding};
use crate::volumes::store as volumes;

/// Why a file that no copy holds is not restored.
pub const NO_COPY: &str = "no copy within reach holds it";
/// For one segment, however many its copy bears: each has a quarter of a megabyte of room.
const MOST_THREADS: usize = 64;
/// Durable groups that wait to be recorded; the engine waits when there are more.
const GROUPS: usize = 1;

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

    /// Whether the volume's own nameless files may give what is wanted: not where the copies to read from were named.
    pub fn may_reunite(&self) -> bool {
        self.folder.is_none() && self.from.is_empty()
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
        Some(folder) => work.open_folder(folder).await,
        None => work.volume_root().await,
    };
    let root = root.map_err(Halt::Stuck)?;
    let target = Sink::new(root);
    if asked.may_reunite() {
        reunite::go(work, &target).await?;
    }
    let mut tx = work.core.db.read().await?;
    let items = segments::waiting_items(&mut tx, work.segment.id).await?;
    drop(tx);
    if items.is_empty() {
        return Ok(());
    }
    let (opened, away) = work.open_sources(|copy| asked.wants(copy)).await;
    if opened.is_empty() && !away.is_empty() {
        return Err(Halt::Stuck(format!("there is no copy to restore from: {}", away.join("; "))));
    }
    let (places, sources) = opened.into_iter().unzip();
    let segment = Segment { work, asked, target, places, sources, away };
    segment.restore().await
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

/// What came of a group, by what has to be written down.
#[derive(Default)]
struct Verdicts<'r> {
    /// Verified and durable.
    done: Vec<&'r FilePath>,
    kept: Vec<&'r FilePath>,
    failed: Vec<&'r FilePath>,
    failures: Vec<(FilePath, String)>,
    findings: Vec<NewFinding>,
    notes: Vec<(&'static str, String)>,
    /// Files wait because every copy is out of reach.
    copies_away: bool,
}

/// Outcomes that are durable, each with the place of its file among the segment's rows.
type Group = Vec<(usize, RestoreOutcome)>;

impl Segment<'_> {
    /// Restores what waits in the segment, and records each group while the next is on its way.
    async fn restore(&self) -> Result<(), Halt> {
        let work = self.work;
        let (items, rows, dead) = self.read().await?;
        if self.asked.folder.is_none() {
            deleted::set_aside(work, &self.target, dead).await?;
        }
        let deleted: Vec<&FilePath> = items
            .iter()
            .filter(|item| rows.binary_search_by(|row| row.path.cmp(&item.path)).is_err())
            .map(|item| &item.path)
            .collect();
        if !deleted.is_empty() {
            self.record(self.judge_deleted(&deleted), &rows, &Vec::new(), 0.0).await?;
        }
        let wanted: Vec<RestoreItem> = rows
            .iter()
            .filter_map(|row| {
                let item = items.binary_search_by(|item| item.path.cmp(&row.path)).ok()?;
                Some(self.wanted(row, &items[item]))
            })
            .collect();
        let threads = if work.job.limits.gentle { work.threads } else { MOST_THREADS };
        let options = RestoreOptions { threads, label: work.label()?, limit: work.job_limit() };
        let (target, sources) = (self.target.clone(), self.sources.clone());
        let (control, progress) = (work.control.clone(), work.progress.clone());
        let (sender, groups) = tokio::sync::mpsc::channel(GROUPS);
        let engine = work.blocking(move || {
            restore_stream(&target, &sources, wanted, &options, &control, &progress, |group| {
                // Who no longer records has said stop as well.
                let _ = sender.blocking_send(group);
            })
        });
        let (ended, recorded) = tokio::join!(engine, self.record_all(&rows, groups));
        let (end, _) = ended?;
        match (recorded, end.fatal) {
            (Err(halt @ (Halt::Lost | Halt::Database(_))), _) => Err(halt),
            (_, Some(fault)) => Err(Halt::Stuck(format!("nothing more can be written: {fault}"))),
            (Err(halt), None) => Err(halt),
            (Ok(()), None) if end.complete => Ok(()),
            (Ok(()), None) => Err(Halt::Stopped),
        }
    }

    /// What waits, what the catalogue knows of it, and what its owner deleted meanwhile.
    async fn read(&self) -> Result<(Vec<Item>, Vec<CatalogueRow>, Vec<CatalogueRow>), Halt> {
        let mut tx = self.work.core.db.read().await?;
        let items = segments::waiting_items(&mut tx, self.work.segment.id).await?;
        let paths: Vec<FilePath> = items.iter().map(|item| item.path.clone()).collect();
        let rows = catalogue::get(&mut tx, self.work.place.volume.id, &paths).await?;
        let (dead, rows) = rows.into_iter().partition(|row| row.state == FileState::Tombstone);
        Ok((items, rows, dead))
    }

    /// Records the groups as they come. When the job is to go no further the engine is told, and what it had linked by
    /// then is still recorded; when nothing can be recorded, the rest is left to whoever takes the segment next.
    async fn record_all(
        &self,
        rows: &[CatalogueRow],
        mut groups: tokio::sync::mpsc::Receiver<Group>,
    ) -> Result<(), Halt> {
        let mut recorded = Ok(());
        let mut since = Instant::now();
        while let Some(group) = groups.recv().await {
            let seconds = since.elapsed().as_secs_f64() * self.work.share();
            since = Instant::now();
            let verdicts = self.judge(&group);
            let copies_away = verdicts.copies_away;
            match self.record(verdicts, rows, &group, seconds).await {
                Ok(()) | Err(Halt::Stopped) if copies_away => {
                    self.work.control.pause();
                    recorded = Err(Halt::Stuck("every copy is out of reach".into()));
                }
                Ok(()) => {}
                Err(Halt::Stopped) => {
                    self.work.control.pause();
                    recorded = recorded.and(Err(Halt::Stopped));
                }
                Err(halt) => {
                    self.work.control.cancel();
                    return Err(halt);
                }
            }
        }
        recorded
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
        mut verdicts: Verdicts<'_>,
        rows: &[CatalogueRow],
        group: &Group,
        seconds: f64,
    ) -> Result<(), Halt> {
        let work = self.work;
        let (volume, now) = (work.place.volume.id, work.core.clock.now());
        let (mut tx, mut job) = work.begin().await?;
        let segment = work.segment.id;
        if self.asked.folder.is_none() {
            let dead = deleted::verified(work, &mut tx, &self.target, &verdicts.done).await?;
            verdicts.delete(&dead);
        }
        // Only what still lies in this segment: a file that was brought sooner meanwhile is counted there.
        let done = segments::settle(&mut tx, segment, &verdicts.done, ItemState::Done).await?;
        let kept = segments::settle(&mut tx, segment, &verdicts.kept, ItemState::Skipped).await?;
        let failed = segments::settle(&mut tx, segment, &verdicts.failed, ItemState::Failed).await?;
        figures::add_failures(&mut tx, job.id, &verdicts.failures, now).await?;
        if self.asked.folder.is_none() {
            let done: Vec<FilePath> = verdicts.done.iter().map(|&path| path.clone()).collect();
            findings::resolve(&mut tx, volume, &done, now).await?;
            findings::report(&mut tx, volume, job.id, now, &verdicts.findings).await?;
            let changed =
                FindingCounts { changed: verdicts.findings.len() as u64, ..FindingCounts::default() };
            figures::add_findings(&mut tx, job.id, &changed).await?;
        }
        self.record_sources(&mut tx, &job, rows, group, seconds).await?;
        for (what, note) in &verdicts.notes {
            work.note(&mut tx, what, 20, note).await?;
        }
        job.files.done += done.files;
        job.files.skipped += kept.files;
        job.files.failed += failed.files;
        job.bytes.done += done.bytes;
        work.progress.settle(in_group(rows, group));
        moving::set(&mut tx, segment, work.worker, work.progress.moving()).await?;
        work.commit(tx, &job).await
    }

    fn judge_deleted<'r>(&self, deleted: &[&'r FilePath]) -> Verdicts<'r> {
        let mut verdicts = Verdicts::default();
        deleted.iter().for_each(|path| verdicts.stays_deleted(path));
        verdicts
    }

    fn judge<'r>(&self, group: &'r Group) -> Verdicts<'r> {
        let mut verdicts = Verdicts::default();
        for (_, outcome) in group {
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
                RestoreResult::InPlace => verdicts.done.push(path),
                RestoreResult::NewerKept { size, .. } => {
                    verdicts.kept.push(path);
                    verdicts.findings.push(NewFinding {
                        path: path.clone(),
                        kind: FindingKind::Changed,
                        size: *size,
                        detail: "newer than the catalogue; a restore left it alone".into(),
                    });
                }
                // No file is lost because no copy can be reached now: it waits until the job goes on.
                RestoreResult::Failed { .. } if are_away(&outcome.copy_faults) => verdicts.copies_away = true,
                RestoreResult::Failed { reason } => verdicts.fail(path, reason.clone()),
                RestoreResult::InNoCopy => {
                    let reason = match self.away.as_slice() {
                        [] => NO_COPY.to_owned(),
                        away => format!("{NO_COPY}: {}", away.join("; ")),
                    };
                    verdicts.fail(path, reason);
                }
                // Such are not handed out: they wait until the job goes on.
                RestoreResult::NotStarted => {}
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
        group: &Group,
        seconds: f64,
    ) -> Result<(), Halt> {
        let mut given = vec![Amount::default(); self.sources.len()];
        for (index, outcome) in group {
            if let RestoreResult::Restored { source, bytes, .. } = &outcome.result
                && let Some(given) = given.get_mut(*source)
            {
                given.files += 1;
                given.bytes += bytes;
            }
            for fault in &outcome.copy_faults {
                let Some(row) = rows.get(*index) else { continue };
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
    fn stays_deleted(&mut self, path: &'r FilePath) {
        self.kept.push(path);
        self.notes.push(("deleted", format!("{path}: its owner deleted it meanwhile; it stays deleted")));
    }

    /// These were brought back, and have a tombstone by now.
    fn delete(&mut self, dead: &HashSet<FilePath>) {
        if !dead.is_empty() {
            let (gone, done) =
                std::mem::take(&mut self.done).into_iter().partition(|path| dead.contains(*path));
            self.done = done;
            Vec::into_iter(gone).for_each(|path: &FilePath| self.stays_deleted(path));
        }
    }

    fn fail(&mut self, path: &'r FilePath, reason: String) {
        self.failed.push(path);
        self.failures.push((path.clone(), reason));
    }
}

/// The bytes of a group's files that are counted as moved.
fn in_group(rows: &[CatalogueRow], group: &Group) -> u64 {
    let moved = |outcome: &RestoreOutcome| {
        matches!(outcome.result, RestoreResult::Restored { .. } | RestoreResult::InPlace)
    };
    let bytes = group.iter().filter(|(_, outcome)| moved(outcome));
    bytes.filter_map(|(index, _)| Some(rows.get(*index)?.size)).sum()
}

/// The restore came to its end: what each copy's speed was.
pub async fn finish(tx: &mut Tx, job: &Job, now: DateTime<Utc>) -> sqlx::Result<()> {
    if job.files.failed == 0 {
        orphans::clear(tx, job.id).await?;
    }
    rates::keep_of_restore(tx, job, now).await
}
