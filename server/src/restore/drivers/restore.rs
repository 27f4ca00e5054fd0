//! The work of a restore: one segment's files from the copies, verified, durable, and only then recorded.
//!
//! The engine hands out what is durable group by group, and one group is recorded while the next is on its way. A file that no
//! copy gave has failed, unless one that holds it is out of reach: then it waits in its segment ([`Halt::Away`]).

use std::collections::{BTreeSet, HashSet};
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
use crate::restore::drivers::{deleted, fail, reunite};
use crate::restore::rates;
use crate::restore::store::figures::SourceFigures;
use crate::restore::store::segments::{self, Item, ItemState};
use crate::restore::store::{Job, figures, moving, orphans};
use crate::restore::work::{Absent, Copy, Halt, Work};
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
        return Err(Halt::Away(away));
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
    /// Copies that could not be opened.
    away: Vec<Absent>,
}

/// What came of a group, by what has to be written down.
#[derive(Default)]
struct Verdicts<'r> {
    /// Verified and durable.
    done: Vec<&'r FilePath>,
    kept: Vec<&'r FilePath>,
    failures: Vec<(FilePath, String)>,
    findings: Vec<NewFinding>,
    notes: Vec<(&'static str, String)>,
    /// The copies, by their places, that other files wait for.
    awaited: BTreeSet<usize>,
}

/// Outcomes that are durable, each with the place of its file among the segment's rows.
type Group = Vec<(usize, RestoreOutcome)>;

impl Segment<'_> {
    /// Restores what waits in the segment, and records each group while the next is on its way.
    async fn restore(&self) -> Result<(), Halt> {
        let work = self.work;
        let (items, mut rows, dead) = self.read().await?;
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
        let mut awaited = self.leave_out(&mut rows);
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
            (Ok(meanwhile), None) if end.complete => {
                awaited.extend(meanwhile);
                if awaited.is_empty() { Ok(()) } else { Err(Halt::Away(self.absent(&awaited).await)) }
            }
            (Ok(_), None) => Err(Halt::Stopped),
        }
    }

    /// Takes out what only copies hold that could not be opened, and gives those: nobody else is asked for it.
    fn leave_out(&self, rows: &mut Vec<CatalogueRow>) -> BTreeSet<usize> {
        let mut awaited = BTreeSet::new();
        rows.retain(|row| {
            let holders = self.awaited(row, &[]);
            let is_left_out = !holders.is_empty() && !self.places.iter().any(|place| self.holds(*place, row));
            if is_left_out {
                awaited.extend(holders);
            }
            !is_left_out
        });
        awaited
    }

    /// The copies that hold the file and are out of reach, by their places.
    fn awaited(&self, row: &CatalogueRow, faults: &[CopyFault]) -> Vec<usize> {
        let gone = faults.iter().filter(|fault| fault.kind == CopyFaultKind::Gone);
        let gone = gone.map(|fault| self.places[fault.source]);
        let away = self.away.iter().map(|absent| absent.copy).chain(gone);
        away.filter(|place| self.holds(*place, row)).collect()
    }

    /// As the catalogue knows; where that knows none of the copies, the plan saw it in the one whose lane this is.
    fn holds(&self, place: usize, row: &CatalogueRow) -> bool {
        let copies = &self.work.place.copies;
        let is_known = |copy: &Copy| self.asked.wants(copy) && copy.row.holds(row.holders);
        let is_own = Some(copies[place].row.bit) == self.work.segment.source_bit;
        copies[place].row.holds(row.holders) || is_own && !copies.iter().any(is_known)
    }

    /// Those that went away meanwhile are asked anew: so the reason is the one that the next try will give as well.
    async fn absent(&self, awaited: &BTreeSet<usize>) -> Vec<Absent> {
        let copies = &self.work.place.copies;
        let is_new = |place: &usize| self.away.iter().all(|absent| absent.copy != *place);
        let bits: Vec<u8> =
            awaited.iter().filter(|place| is_new(place)).map(|place| copies[*place].row.bit).collect();
        let (back, mut absent) = self.work.open_sources(|copy| bits.contains(&copy.row.bit)).await;
        absent.extend(self.away.iter().filter(|absent| awaited.contains(&absent.copy)).cloned());
        absent.extend(back.into_iter().map(|(copy, _)| Absent {
            copy,
            name: copies[copy].config.name.clone(),
            why: "it went away for a moment".into(),
        }));
        absent.sort_by_key(|absent| absent.copy);
        absent
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

    /// Records the groups as they come, and gives the copies that files wait for. When the job is to go no further the engine is
    /// told, and what it had linked by then is still recorded; when nothing can be recorded, the rest is left to whoever takes
    /// the segment next.
    async fn record_all(
        &self,
        rows: &[CatalogueRow],
        mut groups: tokio::sync::mpsc::Receiver<Group>,
    ) -> Result<BTreeSet<usize>, Halt> {
        let mut awaited = BTreeSet::new();
        let mut stopped = false;
        let mut since = Instant::now();
        while let Some(group) = groups.recv().await {
            let seconds = since.elapsed().as_secs_f64() * self.work.share();
            since = Instant::now();
            let mut verdicts = self.judge(&group, rows);
            awaited.append(&mut verdicts.awaited);
            match self.record(verdicts, rows, &group, seconds).await {
                Ok(()) => {}
                Err(Halt::Stopped) => {
                    self.work.control.pause();
                    stopped = true;
                }
                Err(halt) => {
                    self.work.control.cancel();
                    return Err(halt);
                }
            }
        }
        if stopped { Err(Halt::Stopped) } else { Ok(awaited) }
    }

    /// Copies that are known to hold the file come first, then the others; each in order of preference, but the copy whose
    /// lane this is before them.
    fn wanted(&self, row: &CatalogueRow, item: &Item) -> RestoreItem {
        let holds = |source: &usize| self.holds(self.places[*source], row);
        let (mut sources, others): (Vec<usize>, Vec<usize>) = (0..self.sources.len()).partition(holds);
        sources.sort_by_key(|source| !self.is_own(*source));
        let holders = sources.len();
        sources.extend(others);
        RestoreItem {
            path: row.path.clone(),
            size: row.size,
            mtime_ns: row.mtime_ns,
            digest: row.digest,
            mode: Some(row.mode),
            sources,
            holders,
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
        job.files.failed += fail(work, &mut tx, &verdicts.failures).await?;
        if self.asked.folder.is_none() {
            let done: Vec<FilePath> = verdicts.done.iter().map(|&path| path.clone()).collect();
            findings::resolve(&mut tx, volume, &done, now).await?;
            findings::report(&mut tx, volume, job.id, now, &verdicts.findings).await?;
            findings::report(&mut tx, volume, job.id, now, &verdicts.stay_lost(rows)).await?;
            let changed =
                FindingCounts { changed: verdicts.findings.len() as u64, ..FindingCounts::default() };
            figures::add_findings(&mut tx, job.id, &changed).await?;
        }
        self.record_sources(&mut tx, &job, rows, group, seconds).await?;
        for (what, note) in &verdicts.notes {
            work.note(&mut tx, what, 20, note).await?;
        }
        if work.segment.stuck.is_some() && group.iter().any(|(_, outcome)| self.has_answered(outcome)) {
            work.lane_is_back(&mut tx).await?;
        }
        job.files.done += done.files;
        job.files.skipped += kept.files;
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

    /// Whether the copy whose lane this is said anything of a file.
    fn has_answered(&self, outcome: &RestoreOutcome) -> bool {
        let gave = matches!(outcome.result, RestoreResult::Restored { source, .. } if self.is_own(source));
        let refused = |fault: &CopyFault| fault.kind != CopyFaultKind::Gone && self.is_own(fault.source);
        gave || outcome.copy_faults.iter().any(refused)
    }

    fn judge<'r>(&self, group: &'r Group, rows: &[CatalogueRow]) -> Verdicts<'r> {
        let mut verdicts = Verdicts::default();
        for (index, outcome) in group {
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
                RestoreResult::Failed { reason } => verdicts.fail(path, reason.clone()),
                RestoreResult::NotGiven { reason } => {
                    let row = rows.get(*index);
                    match row.map(|row| self.awaited(row, &outcome.copy_faults)).unwrap_or_default() {
                        awaited if awaited.is_empty() => verdicts.fail(path, reason.clone()),
                        awaited => verdicts.awaited.extend(awaited),
                    }
                }
                RestoreResult::InNoCopy => verdicts.fail(path, NO_COPY.to_owned()),
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
        for absent in &self.away {
            self.work.note_absent(tx, absent).await?;
        }
        Ok(())
    }

    async fn record_fault(&self, tx: &mut Tx, row: &CatalogueRow, fault: &CopyFault) -> Result<(), Halt> {
        let work = self.work;
        let copy = self.copy(fault.source);
        let (name, reason) = (&copy.config.name, &fault.reason);
        match fault.kind {
            CopyFaultKind::Gone => {
                let absent =
                    Absent { copy: self.places[fault.source], name: name.clone(), why: reason.clone() };
                return Ok(work.note_absent(tx, &absent).await?);
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

    fn fail(&mut self, path: &FilePath, reason: String) {
        self.failures.push((path.clone(), reason));
    }

    /// Of what failed, that which is not there: of what is corrupt there is a finding already.
    fn stay_lost(&self, rows: &[CatalogueRow]) -> Vec<NewFinding> {
        let row = |path: &FilePath| rows.binary_search_by(|row| row.path.cmp(path)).ok().map(|at| &rows[at]);
        let failed = self.failures.iter().filter_map(|(path, why)| Some((row(path)?, why)));
        let gone = failed.filter(|(row, _)| row.state != FileState::Corrupt);
        gone.map(|(row, why)| stays_lost(&row.path, row.size, why)).collect()
    }
}

/// That a file could not be brought back is known from then on, without a check.
pub fn stays_lost(path: &FilePath, size: u64, why: &str) -> NewFinding {
    let detail = format!("a restore could not bring it back: {why}");
    NewFinding { path: path.clone(), kind: FindingKind::Missing, size, detail }
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
