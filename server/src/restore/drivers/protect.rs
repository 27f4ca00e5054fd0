//! Protect: new and changed files from the primary to the copies, and the catalogue brought up to date.
//!
//! What vanished from the primary stays in the copies; what an owner deleted stays deleted; a file whose bytes changed
//! although its time did not is damage, and is not spread.

use std::collections::HashMap;

use salvor_domain::finding::{FindingCounts, FindingKind};
use salvor_domain::job::{JobRequest, Plan};
use salvor_domain::path::{FilePath, shown};
use salvor_domain::progress::Amount;
use salvor_domain::readiness::CopyAge;
use salvor_domain::units;
use salvor_domain::volume::{FileState, Mode};
use salvor_engine::{
    CopyResult, Entry, Hashed, Kind, Known, ProtectItem, ProtectOptions, ProtectReport, ProtectResult,
    TargetPlace, protect_batch,
};

use crate::config::CopyConfig;
use crate::core::Core;
use crate::database::Tx;
use crate::restore::drivers::check_plan::LOST_AND_FOUND;
use crate::restore::drivers::filling::Filling;
use crate::restore::drivers::{Planned, batch_len, counts, settle};
use crate::restore::hands::Hands;
use crate::restore::planner::{Merge, Pair, Scope};
use crate::restore::store::figures::SourceFigures;
use crate::restore::store::segments::{self, Item};
use crate::restore::store::{Job, figures};
use crate::restore::work::{Copy, Halt, Work};
use crate::volumes::catalogue::{self, CatalogueRow};
use crate::volumes::findings::{self, NewFinding};
use crate::volumes::store as volumes;

const BATCH_FILES: usize = 250;
const BATCH_BYTES: u64 = 32 << 20;
const FAR_THREADS: usize = 16;
/// Why a file that may be damaged is left out.
const SUSPICIOUS: &str = "its bytes changed but its time did not: not copied, since it may be damaged";

/// Whether a protect that names the copies `to` writes to this one: to all that take files if none is named.
fn writes_to(to: &[String], copy: &CopyConfig) -> bool {
    copy.place.takes_files() && (to.is_empty() || to.contains(&copy.name))
}

/// The copies that the job writes to, in the volume's order.
fn targets(work: &Work) -> Result<Vec<Copy>, Halt> {
    let JobRequest::Protect { to, .. } = &work.job.request else {
        return Err(Halt::Fail("its request is not a protect".into()));
    };
    Ok(work.place.copies.iter().filter(|copy| writes_to(to, &copy.config)).cloned().collect())
}

/// Only a volume in `normal` is protected; the mode may have changed between a word to the job and this segment.
fn check_mode(work: &Work) -> Result<(), Halt> {
    match work.place.volume.mode.mode() {
        Mode::Normal => Ok(()),
        mode => Err(Halt::Pause(format!(
            "the volume is {mode}: protect would copy its damage; resume when it is normal"
        ))),
    }
}

pub async fn plan(work: &Work) -> Result<Planned, Halt> {
    check_mode(work)?;
    let copies = targets(work)?;
    let bits = copies.iter().fold(0, |bits, copy| bits | 1_u64 << copy.row.bit);
    let root = work.volume_root().await.map_err(Halt::Stuck)?;
    for copy in copies.iter().filter(|_| !work.job.dry_run) {
        // A copy that is out of reach is the work's to say.
        if let Some(folder) = copy.config.place.folder()
            && let Ok(folder) = work.open_folder(folder).await
        {
            work.sweep(folder);
        }
    }
    let mut planning = Planning { bits, ..Planning::default() };
    planning.longest_path = work.core.db.read().await?.longest_path();
    let mut merge =
        Merge::begin(&work.core, work.place.volume.id, Hands::Here(root), &Scope::default(), &work.control)
            .await?;
    while let Some(pair) = merge.next().await? {
        planning.at(pair);
        if planning.filling.is_full() {
            planning.record(work, false).await?;
        }
    }
    planning.record(work, true).await?;
    Ok(planning.planned())
}

#[derive(Default)]
struct Planning {
    bits: u64,
    longest_path: usize,
    filling: Filling,
    failures: Vec<(FilePath, String)>,
    failed: u64,
    in_place: u64,
    links: u64,
    orphans: u64,
    notes: Vec<String>,
}

impl Planning {
    fn at(&mut self, pair: Pair) {
        match pair {
            Pair::Both(row, entry) if row.state == FileState::Tombstone => {
                if entry.mtime_ns > row.mtime_ns {
                    self.take(entry);
                }
            }
            Pair::Both(row, entry) => {
                let same = row.size == entry.size && row.mtime_ns == entry.mtime_ns;
                if same && row.holders & self.bits == self.bits {
                    self.in_place += 1;
                } else {
                    self.take(entry);
                }
            }
            Pair::Uncatalogued(entry) if entry.path.as_bytes().starts_with(LOST_AND_FOUND) => {
                self.orphans += 1
            }
            Pair::Uncatalogued(entry) => self.take(entry),
            Pair::Other(kind) => self.links += u64::from(kind != Kind::Folder),
            Pair::Unreadable { path, reason } => self.unreadable(path, &reason),
            Pair::Absent(row, Some(reason)) => self.fail(row.path, reason),
            // What vanished from the primary is left alone in the copies.
            Pair::Absent(_, None) => {}
        }
    }

    fn take(&mut self, entry: Entry) {
        if entry.path.as_bytes().len() > self.longest_path {
            let reason = format!(
                "its path is longer than the {} bytes that this database can keep",
                self.longest_path
            );
            return self.fail(entry.path, reason);
        }
        self.filling.add(Item { path: entry.path, size: entry.size, corrupt: false });
    }

    /// A folder that cannot be read counts as one failure: its files are not known.
    fn unreadable(&mut self, path: Vec<u8>, reason: &str) {
        self.notes.push(format!("{}: {reason}; nothing there was protected", shown(&path)));
        match FilePath::new(path) {
            Ok(path) => self.fail(path, format!("{reason}; nothing there was protected")),
            Err(_) => self.failed += 1,
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
            for note in &self.notes {
                work.note(&mut tx, "unreadable", 20, note).await?;
            }
        }
        self.failures.clear();
        self.notes.clear();
        (job.files, job.bytes) = counts(self.filling.total, self.failed);
        work.commit(tx, &job).await
    }

    fn planned(self) -> Planned {
        let total = self.filling.total;
        let mut summary = match total.files {
            0 => "every file is protected already".to_owned(),
            files => {
                format!(
                    "{} to protect ({})",
                    units::counted(files, "file", "files"),
                    units::bytes(total.bytes)
                )
            }
        };
        if self.links > 0 {
            let links = units::counted(
                self.links,
                "symbolic link or special file",
                "symbolic links or special files",
            );
            summary.push_str(&format!("; {links} left out"));
        }
        if self.orphans > 0 {
            let orphans = units::counted(self.orphans, "file", "files");
            summary.push_str(&format!("; {orphans} in lost+found left out"));
        }
        let (files, bytes) = counts(self.filling.total, self.failed);
        Planned { plan: Plan { total, in_place: self.in_place, ..Plan::default() }, files, bytes, summary }
    }
}

pub async fn work(work: &Work) -> Result<(), Halt> {
    check_mode(work)?;
    let primary = work.volume_root().await.map_err(Halt::Stuck)?;
    let copies = targets(work)?;
    let mut open = Vec::new();
    for copy in &copies {
        let target = work.open_target(copy).await.map_err(|why| {
            Halt::Stuck(format!("the copy \"{}\" is out of reach: {why}", copy.config.name))
        })?;
        open.push(target);
    }
    // Each object waits for answers from afar, not for this machine.
    let far = open.iter().any(|target| matches!(target.place, TargetPlace::Store(_)));
    let threads = if far { work.threads.max(FAR_THREADS) } else { work.threads };
    let segment = Segment { work, copies };
    let mut tx = work.core.db.read().await?;
    let items = segments::waiting_items(&mut tx, work.segment.id).await?;
    drop(tx);
    let mut left = items.as_slice();
    while !left.is_empty() {
        let (batch, rest) =
            left.split_at(batch_len(left.iter().map(|item| item.size), BATCH_FILES, BATCH_BYTES));
        let known = segment.known(batch).await?;
        let wanted: Vec<ProtectItem> = batch.iter().map(|item| segment.wanted(item, &known)).collect();
        let options = ProtectOptions { threads, limit: work.job_limit(), label: work.label()? };
        let (primary, open) = (primary.clone(), open.clone());
        let (control, progress) = (work.control.clone(), work.progress.clone());
        let (report, seconds) = work
            .blocking(move || protect_batch(&primary, &open, &wanted, &options, &control, &progress))
            .await?;
        segment.record(batch, &known, &report, seconds).await?;
        left = rest;
    }
    Ok(())
}

struct Segment<'a> {
    work: &'a Work,
    /// In the order of the engine's targets.
    copies: Vec<Copy>,
}

type Rows = HashMap<FilePath, CatalogueRow>;

/// What came of a batch.
#[derive(Default)]
struct Verdicts {
    done: Vec<FilePath>,
    skipped: Vec<FilePath>,
    failures: Vec<(FilePath, String)>,
    rows: Vec<CatalogueRow>,
    suspicious: Vec<NewFinding>,
    bytes_done: u64,
    given: Vec<Amount>,
    /// For each copy, the files that it has now.
    holding: Vec<Vec<FilePath>>,
    notes: Vec<String>,
    stopped: bool,
}

impl Segment<'_> {
    async fn known(&self, batch: &[Item]) -> Result<Rows, Halt> {
        let paths: Vec<FilePath> = batch.iter().map(|item| item.path.clone()).collect();
        let mut tx = self.work.core.db.read().await?;
        let rows = catalogue::get(&mut tx, self.work.place.volume.id, &paths).await?;
        // A deleted file that is there again is a new file.
        let rows = rows.into_iter().filter(|row| row.state != FileState::Tombstone);
        Ok(rows.map(|row| (row.path.clone(), row)).collect())
    }

    fn wanted(&self, item: &Item, known: &Rows) -> ProtectItem {
        let known = known.get(&item.path);
        ProtectItem {
            path: item.path.clone(),
            known: known.map(|row| Known { size: row.size, mtime_ns: row.mtime_ns, digest: row.digest }),
            copies: (0..self.copies.len()).collect(),
        }
    }

    async fn record(
        &self,
        batch: &[Item],
        known: &Rows,
        report: &ProtectReport,
        seconds: f64,
    ) -> Result<(), Halt> {
        let work = self.work;
        let verdicts = self.judge(batch, known, report);
        let (volume, now) = (work.place.volume.id, work.core.clock.now());
        let (mut tx, mut job) = work.begin().await?;
        settle(work, &mut tx, &mut job, &verdicts.done, &verdicts.skipped, &verdicts.failures).await?;
        catalogue::upsert(&mut tx, volume, &verdicts.rows).await?;
        findings::resolve(&mut tx, volume, &verdicts.done, now).await?;
        self.record_suspicious(&mut tx, &job, &verdicts.suspicious).await?;
        for ((copy, amount), holding) in self.copies.iter().zip(&verdicts.given).zip(&verdicts.holding) {
            volumes::clear_copy_faults(&mut tx, volume, copy.row.bit, holding).await?;
            if amount.files > 0 {
                let more = SourceFigures { amount: *amount, busy_seconds: seconds };
                figures::add_source(&mut tx, job.id, &copy.config.name, more).await?;
            }
        }
        for note in &verdicts.notes {
            work.note(&mut tx, "quarantine", 20, note).await?;
        }
        job.bytes.done += verdicts.bytes_done;
        work.commit(tx, &job).await?;
        match report.lost_copies.first() {
            Some((copy, fault)) => {
                let name = self.copies.get(*copy).map_or("?", |copy| copy.config.name.as_str());
                Err(Halt::Stuck(format!("the copy \"{name}\" takes no more files: {fault}")))
            }
            None if verdicts.stopped => Err(Halt::Stopped),
            None => Ok(()),
        }
    }

    async fn record_suspicious(&self, tx: &mut Tx, job: &Job, found: &[NewFinding]) -> sqlx::Result<()> {
        let (volume, now) = (self.work.place.volume.id, self.work.core.clock.now());
        findings::report(tx, volume, job.id, now, found).await?;
        let paths: Vec<FilePath> = found.iter().map(|finding| finding.path.clone()).collect();
        catalogue::set_state(tx, volume, &paths, FileState::Corrupt).await?;
        let counts = FindingCounts { corrupt: found.len() as u64, ..FindingCounts::default() };
        figures::add_findings(tx, job.id, &counts).await
    }

    fn judge(&self, batch: &[Item], known: &Rows, report: &ProtectReport) -> Verdicts {
        let mut verdicts = Verdicts {
            given: vec![Amount::default(); self.copies.len()],
            holding: vec![Vec::new(); self.copies.len()],
            ..Verdicts::default()
        };
        for (item, outcome) in batch.iter().zip(&report.outcomes) {
            let path = outcome.path.clone();
            match &outcome.result {
                ProtectResult::Read { file, copies } => {
                    let lost = |copy: &usize| report.lost_copies.iter().any(|(lost, _)| lost == copy);
                    self.read(&mut verdicts, item, known.get(&path), file, copies, &lost);
                }
                ProtectResult::Suspicious { file } => {
                    verdicts.suspicious.push(NewFinding {
                        path: path.clone(),
                        kind: FindingKind::Corrupt,
                        size: file.size,
                        detail: "same time, other bytes: protect did not copy it".into(),
                    });
                    verdicts.failures.push((path, SUSPICIOUS.to_owned()));
                }
                ProtectResult::Missing => verdicts.skipped.push(path),
                ProtectResult::Failed { reason } => verdicts.failures.push((path, reason.clone())),
                ProtectResult::NotStarted => verdicts.stopped = true,
            }
        }
        verdicts
    }

    /// One file that was read: where it is now, and whether that is everywhere.
    fn read(
        &self,
        verdicts: &mut Verdicts,
        item: &Item,
        known: Option<&CatalogueRow>,
        file: &Hashed,
        results: &[(usize, CopyResult)],
        lost: &dyn Fn(&usize) -> bool,
    ) {
        let mut holders = known.filter(|row| row.digest == file.digest).map_or(0, |row| row.holders);
        let mut reasons = Vec::new();
        let mut only_lost = true;
        for (copy, result) in results {
            let Some(target) = self.copies.get(*copy) else { continue };
            let name = &target.config.name;
            match result {
                CopyResult::Failed { reason } => {
                    holders &= !(1 << target.row.bit);
                    only_lost &= lost(copy);
                    reasons.push(format!("{name}: {reason}"));
                    continue;
                }
                CopyResult::Replaced { quarantined: Some(place) } => verdicts.notes.push(format!(
                    "{}: the copy \"{name}\" had a newer version; it is kept there as {}",
                    item.path,
                    shown(place)
                )),
                CopyResult::Written
                | CopyResult::Replaced { quarantined: None }
                | CopyResult::AlreadyThere => {}
            }
            holders |= 1 << target.row.bit;
            verdicts.holding[*copy].push(item.path.clone());
            if !matches!(result, CopyResult::AlreadyThere) {
                verdicts.given[*copy] += Amount::file(file.size);
            }
        }
        if holders != 0 {
            verdicts.rows.push(self.row(item, file, holders));
        }
        if reasons.is_empty() {
            verdicts.done.push(item.path.clone());
            verdicts.bytes_done += item.size;
        } else if only_lost {
            // The job pauses over its copy; the file waits with it.
            verdicts.stopped = true;
        } else {
            verdicts.failures.push((item.path.clone(), reasons.join("; ")));
        }
    }

    fn row(&self, item: &Item, file: &Hashed, holders: u64) -> CatalogueRow {
        CatalogueRow {
            path: item.path.clone(),
            size: file.size,
            mtime_ns: file.mtime_ns,
            digest: file.digest,
            mode: file.mode,
            state: FileState::Present,
            holders,
            verified_at: self.work.core.clock.now(),
        }
    }
}

/// The protect came to its end. What was written after it began may be in no copy yet, so its start is the age that counts.
pub async fn finish(core: &Core, tx: &mut Tx, job: &Job) -> sqlx::Result<()> {
    let (JobRequest::Protect { to, adopt: None }, Some(started), false) =
        (&job.request, job.started_at, job.dry_run)
    else {
        return Ok(());
    };
    let volume = volumes::volume_by_id(tx, job.volume_id).await?;
    let Some(volume) = volume.and_then(|volume| core.config.volume(&volume.name)) else { return Ok(()) };
    for copy in volumes::copies(tx, job.volume_id).await? {
        if volume.copies.iter().any(|config| config.name == copy.name && writes_to(to, config)) {
            let age = CopyAge { protected_at: Some(started), except: job.files.failed, ..copy.age };
            volumes::set_copy_age(tx, job.volume_id, copy.bit, age).await?;
        }
    }
    if to.is_empty() {
        volumes::set_protected_at(tx, job.volume_id, started).await?;
    }
    Ok(())
}
