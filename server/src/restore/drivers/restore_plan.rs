//! The plan of a restore: what is asked for, minus what is there and good, by the copy that each file will come from.
//!
//! The files of each copy are cut into segments of their own, so that different copies work at the same time; within a copy
//! what was used lately goes first, and files of one age go by directory. What only a copy holds that is out of reach lies in its
//! lane and waits for it. Files that no copy holds become items that have failed already: a retry asks the copies again.

use salvor_domain::finding::{FindingCounts, FindingKind};
use salvor_domain::job::{ByteCounts, FileCounts, JobRequest, Plan};
use salvor_domain::path::FilePath;
use salvor_domain::progress::{Amount, EtaRange, Rate};
use salvor_domain::segment;
use salvor_domain::units;
use salvor_domain::volume::FileState;
use salvor_engine::{Entry, SourceHandle};

use crate::restore::drivers::filling::Filling;
use crate::restore::drivers::restore::{Asked, NO_COPY, stays_lost};
use crate::restore::drivers::reunite::{Claims, Nameless};
use crate::restore::drivers::{Planned, counts};
use crate::restore::estimate;
use crate::restore::hands::Hands;
use crate::restore::need::{Age, Rank};
use crate::restore::planner::{Merge, Pair, Scope};
use crate::restore::rates::{self, Few, PlannedPart};
use crate::restore::store::figures;
use crate::restore::store::segments::{self, Item, ItemState, NewSegment, SegmentKind};
use crate::restore::work::{Absent, Copy, Halt, Work};
use crate::volumes::catalogue::Outline;
use crate::volumes::findings::{self, NewFinding};
use crate::volumes::rates_store;

/// Paths of files in no copy that a plan names.
const NAMED: usize = 100;
/// Wanted files that are looked for in the copies at a time.
const BATCH: usize = 1_000;

pub async fn plan(work: &Work) -> Result<Planned, Halt> {
    let asked = Asked::of(&work.job)?;
    let JobRequest::Restore { paths, files, .. } = &work.job.request else {
        return Err(Halt::Fail("its request is not a restore".into()));
    };
    let root = match asked.folder {
        Some(folder) => work.open_folder(folder).await.map_err(Halt::Stuck)?,
        None => work.volume_root().await.map_err(Halt::Stuck)?,
    };
    let (sources, away) = work.open_sources(|copy| asked.wants(copy)).await;
    if sources.is_empty() && away.is_empty() {
        return Err(Halt::Fail("there is no copy to restore from: the volume has no copy".into()));
    }
    if !work.job.dry_run {
        work.sweep(root.clone());
    }
    let scope = Scope::new(paths, files);
    let mut planning = Planning::new(work, asked, sources, &away);
    if asked.may_reunite() {
        planning.nameless =
            Some(Nameless::find(work, &root, &[]).await?).filter(|nameless| !nameless.is_empty());
    }
    let mut merge =
        Merge::begin(&work.core, work.place.volume.id, Hands::Here(root), &scope, &work.control).await?;
    while let Some(pair) = merge.next().await? {
        planning.at(pair);
        if planning.wanted.len() >= BATCH || planning.newer_found.len() >= BATCH {
            merge.still_there().await?;
            planning.assign().await?;
            planning.record(false, &[]).await?;
        }
    }
    planning.assign().await?;
    planning.unmet = merge.unmet();
    planning.record(true, &away).await?;
    planning.probe().await?;
    planning.planned().await
}

struct Planning<'a> {
    work: &'a Work,
    asked: Asked<'a>,
    /// What comes from each copy: first those that are there, then those that are out of reach.
    parts: Vec<Part>,
    /// Where anything lies nameless.
    nameless: Option<Nameless>,
    claims: Claims,
    wanted: Vec<(Outline, bool)>,
    newer_found: Vec<NewFinding>,
    lost: Vec<Item>,
    /// Asked for, and not in the catalogue.
    unmet: Vec<(FilePath, String)>,
    plan: Plan,
}

/// What comes from one copy: segments for each age, and some files for a probe.
struct Part {
    /// The copy's place among the volume's.
    copy: usize,
    /// None while it is out of reach.
    source: Option<SourceHandle>,
    ages: [Filling; Age::ALL.len()],
    few: Few,
}

impl Part {
    fn new(work: &Work, copy: usize, source: Option<SourceHandle>) -> Self {
        let Copy { row, config } = &work.place.copies[copy];
        // Until it was measured, a folder passes for quick, and what is reached over a network does not.
        let unmeasured = if config.place.folder().is_some() { f64::INFINITY } else { 0.0 };
        let measured = Rate {
            files_per_second: row.files_per_second.unwrap_or(unmeasured),
            bytes_per_second: row.bytes_per_second.unwrap_or(unmeasured),
        };
        let rate = estimate::held_back(&work.core, config, row, Some(measured)).unwrap_or(measured);
        let most = segment::of_copy(rate);
        let filling = |age| Filling::new(Rank::of(age, 0), Some(row.bit)).with_most(most);
        Self { copy, source, ages: Age::ALL.map(filling), few: Few::default() }
    }

    fn total(&self) -> Amount {
        self.ages.iter().map(|filling| filling.total).sum()
    }
}

impl<'a> Planning<'a> {
    fn new(work: &'a Work, asked: Asked<'a>, sources: Vec<(usize, SourceHandle)>, away: &[Absent]) -> Self {
        let there = sources.into_iter().map(|(copy, source)| Part::new(work, copy, Some(source)));
        let parts = there.chain(away.iter().map(|absent| Part::new(work, absent.copy, None))).collect();
        let (wanted, newer_found, lost, unmet) = Default::default();
        let (nameless, claims, plan) = Default::default();
        Self { work, asked, parts, nameless, claims, wanted, newer_found, lost, unmet, plan }
    }

    fn at(&mut self, pair: Pair) {
        match pair {
            Pair::Both(row, _) if row.state == FileState::Tombstone => {}
            Pair::Absent(row, _) if row.state == FileState::Tombstone => self.plan.tombstoned += 1,
            Pair::Absent(row, unreadable) => self.wanted.push((row, unreadable.is_some())),
            Pair::Both(row, entry) => self.compare(row, &entry),
            Pair::Uncatalogued(_) | Pair::Other(_) | Pair::Unreadable { .. } => {}
        }
    }

    fn compare(&mut self, row: Outline, entry: &Entry) {
        let known_corrupt = row.state == FileState::Corrupt && self.asked.folder.is_none();
        if entry.mtime_ns > row.mtime_ns {
            self.plan.newer += 1;
            if self.asked.folder.is_none() {
                self.newer_found.push(NewFinding {
                    path: row.path,
                    kind: FindingKind::Changed,
                    size: entry.size,
                    detail: "newer than the catalogue; a restore left it alone".into(),
                });
            }
        } else if entry.size == row.size && entry.mtime_ns == row.mtime_ns && !known_corrupt {
            self.plan.in_place += 1;
        } else {
            self.wanted.push((row, known_corrupt));
        }
    }

    /// Gives each wanted file to the volume's nameless file that has its bytes, else to the first copy that has it.
    async fn assign(&mut self) -> Result<(), Halt> {
        if let Some(nameless) = &mut self.nameless {
            let (matches, others) = nameless.claim(self.work, std::mem::take(&mut self.wanted)).await?;
            matches.into_iter().for_each(|found| self.claims.add(found));
            self.wanted = others;
        }
        let unheld: Vec<FilePath> = self
            .wanted
            .iter()
            .filter(|(row, _)| self.holder(row).is_none())
            .map(|(row, _)| row.path.clone())
            .collect();
        let mut looked_up = self.look_up(unheld).await?.into_iter();
        let now = self.work.core.clock.now();
        for (row, corrupt) in std::mem::take(&mut self.wanted) {
            let age = Age::of(row.mtime_ns, now);
            let part = match self.holder(&row) {
                Some(part) => Some(part),
                None => looked_up.next().flatten(),
            };
            let item = Item { path: row.path, size: row.size, corrupt };
            match part {
                Some(part) => self.fill(part, age, item),
                None => self.lose(item),
            }
        }
        Ok(())
    }

    /// The first copy that the catalogue knows to hold the file; one that is out of reach comes last.
    fn holder(&self, row: &Outline) -> Option<usize> {
        self.parts.iter().position(|part| self.copy(part.copy).row.holds(row.holders))
    }

    fn copy(&self, index: usize) -> &Copy {
        &self.work.place.copies[index]
    }

    /// Where the catalogue knows no copy, one may hold the file all the same.
    async fn look_up(&self, paths: Vec<FilePath>) -> Result<Vec<Option<usize>>, Halt> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let there = self.parts.iter().map_while(|part| part.source.as_ref());
        let sources: Vec<_> = there.map(|handle| handle.source.clone()).collect();
        if sources.is_empty() {
            // Nobody can say so now: the first that is back does.
            return Ok(vec![Some(0); paths.len()]);
        }
        let look = move || {
            paths.iter().map(|path| sources.iter().position(|source| source.stat(path).is_ok())).collect()
        };
        tokio::task::spawn_blocking(look).await.map_err(Halt::panicked)
    }

    fn fill(&mut self, part: usize, age: Age, item: Item) {
        let Some(part) = self.parts.get_mut(part) else { return };
        part.few.offer(&item);
        part.ages[age as usize].add(item);
    }

    fn lose(&mut self, item: Item) {
        self.plan.in_no_copy += 1;
        self.plan.in_no_copy_bytes += item.size;
        if self.plan.in_no_copy_paths.len() < NAMED {
            self.plan.in_no_copy_paths.push(item.path.to_string());
        }
        self.lost.push(item);
    }

    /// Writes down what is ready: segments with their items, files that failed already, findings.
    async fn record(&mut self, at_end: bool, away: &[Absent]) -> Result<(), Halt> {
        let work = self.work;
        let (mut tx, mut job) = work.begin().await?;
        for filling in self.parts.iter_mut().flat_map(|part| &mut part.ages) {
            filling.record(&mut tx, &job, at_end).await?;
        }
        self.claims.record(&mut tx, &job, at_end).await?;
        let now = work.core.clock.now();
        // Whoever only looks is told as well what would fail.
        self.record_lost(&mut tx, &job).await?;
        figures::add_failures(&mut tx, job.id, &self.unmet, now).await?;
        if !job.dry_run {
            findings::report(&mut tx, work.place.volume.id, job.id, now, &self.newer_found).await?;
            let newer = FindingCounts { changed: self.newer_found.len() as u64, ..FindingCounts::default() };
            figures::add_findings(&mut tx, job.id, &newer).await?;
        }
        for absent in away {
            work.note_absent(&mut tx, absent).await?;
        }
        self.lost.clear();
        self.newer_found.clear();
        (job.files, job.bytes) = self.figures();
        work.commit(tx, &job).await
    }

    async fn record_lost(
        &self,
        tx: &mut crate::database::Tx,
        job: &crate::restore::store::Job,
    ) -> Result<(), Halt> {
        if self.lost.is_empty() {
            return Ok(());
        }
        let now = self.work.core.clock.now();
        if !job.dry_run {
            let segment = NewSegment {
                kind: SegmentKind::Work,
                rank: job.ticket.map_or(i64::MAX / 2, |_| Rank::TICKET),
                range: None,
                files: self.lost.len() as u64,
                bytes: self.lost.iter().map(|item| item.size).sum(),
                done_at: Some(now),
            };
            let id = segments::insert(tx, job.id, &segment).await?;
            segments::insert_items(tx, id, &self.lost, ItemState::Failed).await?;
        }
        if !job.dry_run && self.asked.folder.is_none() {
            // Of what is corrupt or unreadable there is a finding, or it would not have been planned for.
            let gone = self.lost.iter().filter(|item| !item.corrupt);
            let gone: Vec<_> = gone.map(|item| stays_lost(&item.path, item.size, NO_COPY)).collect();
            findings::report(tx, self.work.place.volume.id, job.id, now, &gone).await?;
        }
        let failures: Vec<_> = self.lost.iter().map(|item| (item.path.clone(), NO_COPY.to_owned())).collect();
        Ok(figures::add_failures(tx, job.id, &failures, now).await?)
    }

    /// What will be moved.
    fn total(&self) -> Amount {
        self.parts.iter().map(Part::total).sum()
    }

    fn figures(&self) -> (FileCounts, ByteCounts) {
        let lost = self.plan.in_no_copy + self.unmet.len() as u64;
        counts([self.total(), self.claims.total()].into_iter().sum(), lost)
    }

    /// Copies that nothing recent is known of are tried for a moment.
    async fn probe(&self) -> Result<(), Halt> {
        let parts: Vec<_> = self
            .parts
            .iter()
            .filter_map(|part| {
                let (bit, source) = (self.copy(part.copy).row.bit, part.source.as_ref()?);
                Some(PlannedPart { bit, source, amount: part.total(), few: &part.few })
            })
            .collect();
        rates::probe_if_stale(self.work, &parts).await
    }

    async fn planned(mut self) -> Result<Planned, Halt> {
        let (files, bytes) = self.figures();
        self.plan.total = self.total();
        let mut tx = self.work.core.db.read().await?;
        let measured = rates_store::measurements(&mut tx, self.work.place.volume.id).await?;
        drop(tx);
        self.plan.reunite = self.claims.total();
        let limits = self.work.job.limits;
        let planned = |part: &Part| {
            let copy = self.copy(part.copy);
            let measured = measured.get(&copy.row.bit).map_or(&[][..], Vec::as_slice);
            match part.source {
                Some(_) => estimate::planned(&self.work.core, limits, copy, part.total(), measured),
                None => estimate::unknown(copy, part.total(), "it is out of reach"),
            }
        };
        self.plan.sources = self.parts.iter().filter(|part| part.total().files > 0).map(planned).collect();
        self.plan.estimate = estimate::whole(limits, &self.plan.sources);
        let summary = summary(&self.plan, self.unmet.len() as u64);
        Ok(Planned { summary, plan: self.plan, files, bytes })
    }
}

/// `unmet`: how many names were asked for that the catalogue does not have.
fn summary(plan: &Plan, unmet: u64) -> String {
    let amount = |amount: &Amount| {
        format!("{} ({})", units::counted(amount.files, "file", "files"), units::bytes(amount.bytes))
    };
    let nameless = (plan.reunite.files > 0)
        .then(|| format!("{} from the volume itself (nameless files)", amount(&plan.reunite)));
    let copies = plan.sources.iter().map(|source| format!("{} from {}", amount(&source.amount), source.name));
    let parts: Vec<_> = nameless.into_iter().chain(copies).collect();
    let mut text = if parts.is_empty() { "nothing to restore".to_owned() } else { parts.join(", ") };
    if let Some(EtaRange { low_seconds, high_seconds }) = plan.estimate {
        text.push_str(&format!("; about {}", units::duration_range(low_seconds, high_seconds)));
    }
    for (count, what) in [
        (plan.in_place, "in place already"),
        (plan.newer, "newer on the volume and left alone"),
        (plan.tombstoned, "deleted by their owners"),
        (plan.in_no_copy, "in no copy"),
        (unmet, "not in the catalogue"),
    ] {
        if count > 0 {
            text.push_str(&format!("; {} {what}", units::count(count)));
        }
    }
    text
}
