//! Reunite: files whose names are lost go back where the catalogue says they belong, by their bytes and at rename speed.
//!
//! The plan finds them ([`nameless`]) and writes down, beside each item, which of them is for it; the work ([`moves`]) gives
//! them their places. A restore does the same with what it wants, before the copies give the rest. What nobody knows, or
//! nobody needs, stays where it is and becomes a finding for a person to look at.

mod claims;
pub mod folders;
mod moves;
mod nameless;

use std::sync::Arc;

use salvor_domain::finding::{FindingCounts, FindingKind};
use salvor_domain::job::{ByteCounts, FileCounts, JobRequest, Plan};
use salvor_domain::path::{FilePath, shown};
use salvor_domain::progress::Amount;
use salvor_domain::units;
use salvor_domain::volume::Mode;
use salvor_engine::{Root, Sink};

pub use claims::Claims;
pub use moves::go;
pub use nameless::{Match, Nameless, Telling, Told};

use crate::database::Tx;
use crate::restore::drivers::{Planned, counts};
use crate::restore::store::{Job, figures, orphans};
use crate::restore::work::{Halt, Work};
use crate::volumes::catalogue::{self, CatalogueRow};
use crate::volumes::findings::{self, Looked, NewFinding};

/// Rows of the catalogue that are looked at at a time.
const PAGE: u32 = 4_000;

fn given(job: &Job) -> Result<&[String], Halt> {
    match &job.request {
        JobRequest::Reunite { from } => Ok(from),
        _ => Err(Halt::Fail("its request is not a reunite".into())),
    }
}

pub async fn plan(work: &Work) -> Result<Planned, Halt> {
    let from = given(&work.job)?;
    let root = work.volume_root().await.map_err(Halt::Stuck)?;
    let mut planning = Planning::default();
    let mut nameless = Nameless::find(work, &root, from).await?;
    planning.unreadable = std::mem::take(&mut nameless.unreadable);
    let mut page = if nameless.is_empty() { Vec::new() } else { page_after(work, &[]).await? };
    while let Some(last) = page.last() {
        let last = last.path.clone();
        // While one page is compared, the one before it is written down and the next one is read.
        let (matched, (), next) = tokio::try_join!(
            nameless.sort_out(work, page),
            planning.record_if_full(work, &root),
            page_after(work, last.as_bytes()),
        )?;
        matched.matches.into_iter().for_each(|found| planning.claims.add(found));
        planning.newer.extend(matched.newer.into_iter().map(newer));
        page = next;
    }
    work.still_there(&root).await?;
    planning.record(work, true).await?;
    planning.list(work, &mut nameless).await?;
    Ok(planning.planned(&nameless))
}

async fn page_after(work: &Work, after: &[u8]) -> Result<Vec<CatalogueRow>, Halt> {
    let mut tx = work.core.db.read().await?;
    Ok(catalogue::after(&mut tx, work.place.volume.id, Some(after), PAGE).await?)
}

fn newer((path, size): (FilePath, u64)) -> NewFinding {
    let detail = "newer than the catalogue; a reunite left it alone".to_owned();
    NewFinding { path, kind: FindingKind::Changed, size, detail }
}

#[derive(Default)]
struct Planning {
    claims: Claims,
    newer: Vec<NewFinding>,
    newer_count: u64,
    unreadable: Vec<(Vec<u8>, String)>,
    /// Orphans that stay: whose bytes nobody knows, and that nobody needs.
    unknown: Amount,
    spare: u64,
}

impl Planning {
    async fn record_if_full(&mut self, work: &Work, root: &Arc<Root>) -> Result<(), Halt> {
        if !self.claims.is_full() && self.newer.len() < PAGE as usize {
            return Ok(());
        }
        work.still_there(root).await?;
        self.record(work, false).await
    }

    async fn record(&mut self, work: &Work, at_end: bool) -> Result<(), Halt> {
        let newer = std::mem::take(&mut self.newer);
        self.newer_count += newer.len() as u64;
        let (mut tx, mut job) = work.begin().await?;
        self.claims.record(&mut tx, &job, at_end).await?;
        let now = work.core.clock.now();
        // Whoever only looks is told as well what could not be looked at.
        if at_end {
            figures::add_failures(&mut tx, job.id, &self.failures(), now).await?;
        }
        if !job.dry_run {
            findings::report(&mut tx, work.place.volume.id, job.id, now, &newer).await?;
            let changed = FindingCounts { changed: newer.len() as u64, ..FindingCounts::default() };
            figures::add_findings(&mut tx, job.id, &changed).await?;
        }
        (job.files, job.bytes) = self.figures();
        work.commit(tx, &job).await
    }

    /// Writes down what stays nameless.
    async fn list(&mut self, work: &Work, nameless: &mut Nameless) -> Result<(), Halt> {
        let mut from = Some(0);
        while let Some(start) = from {
            let (left, next) = nameless.told(work, start, &Telling::Left).await?;
            from = next;
            let unknown = left.iter().filter(|left| left.unknown);
            let unknown: Amount = unknown.map(|left| Amount::file(left.size)).sum();
            self.unknown += unknown;
            self.spare += left.len() as u64 - unknown.files;
            if work.job.dry_run {
                continue;
            }
            let (mut tx, job) = work.begin().await?;
            let longest = tx.longest_path();
            let found: Vec<_> = left.into_iter().filter_map(|left| finding(left, longest)).collect();
            findings::report(&mut tx, work.place.volume.id, job.id, work.core.clock.now(), &found).await?;
            let orphan = FindingCounts { orphan: unknown.files, ..FindingCounts::default() };
            figures::add_findings(&mut tx, job.id, &orphan).await?;
            work.commit(tx, &job).await?;
        }
        Ok(())
    }

    fn failures(&self) -> Vec<(FilePath, String)> {
        let named = self.unreadable.iter().filter_map(|(path, reason)| {
            let start = path.iter().position(|byte| *byte != b'/')?;
            let reason = format!("{reason}; what lies there was not looked at");
            Some((FilePath::new(&path[start..]).ok()?, reason))
        });
        named.collect()
    }

    fn figures(&self) -> (FileCounts, ByteCounts) {
        counts(self.claims.total(), self.unreadable.len() as u64)
    }

    fn planned(self, nameless: &Nameless) -> Planned {
        let (files, bytes) = self.figures();
        let plan = Plan { total: self.claims.total(), newer: self.newer_count, ..Plan::default() };
        Planned { plan, files, bytes, summary: self.summary(nameless) }
    }

    fn summary(&self, nameless: &Nameless) -> String {
        let places = nameless.places();
        let mut text = match (places.as_slice(), self.unreadable.is_empty()) {
            ([], true) => "there is no lost+found, neither in the volume nor on its file system".to_owned(),
            ([], false) => "no folder could be looked in".to_owned(),
            (places, _) => {
                format!("{} to put back from {}", amount(self.claims.total()), places.join(" and "))
            }
        };
        if self.unknown.files > 0 {
            text.push_str(&format!("; {} that the catalogue does not know", amount(self.unknown)));
        }
        if self.spare > 0 {
            let files = units::counted(self.spare, "file is", "files are");
            text.push_str(&format!("; {files} known and not needed"));
        }
        if nameless.others() > 0 {
            let others = units::counted(
                nameless.others(),
                "symbolic link or special file",
                "symbolic links or special files",
            );
            text.push_str(&format!("; {others} left out"));
        }
        for (path, reason) in self.unreadable.iter().take(3) {
            text.push_str(&format!("; {}: {reason}", shown(path)));
        }
        text
    }
}

fn amount(amount: Amount) -> String {
    format!(
        "{} ({})",
        units::counted(amount.files, "nameless file", "nameless files"),
        units::bytes(amount.bytes)
    )
}

/// The finding of an orphan; `None` when its path is longer than the database can keep.
pub fn finding(told: Told, longest: usize) -> Option<NewFinding> {
    let fits = told.path.as_bytes().len() <= longest;
    let (path, size, detail) = (told.path, told.size, told.detail);
    fits.then_some(NewFinding { path, kind: FindingKind::Orphan, size, detail })
}

pub async fn work(work: &Work) -> Result<(), Halt> {
    given(&work.job)?;
    if work.place.volume.mode.mode() == Mode::Failover {
        return Err(Halt::Pause("the volume is offline (failover); resume when it is back".into()));
    }
    let root = work.volume_root().await.map_err(Halt::Stuck)?;
    go(work, &Sink::new(root)).await
}

/// The reunite came to its end: orphans that were found earlier and not again are nameless no more.
pub async fn finish(tx: &mut Tx, job: &Job, now: chrono::DateTime<chrono::Utc>) -> sqlx::Result<()> {
    let JobRequest::Reunite { from } = &job.request else { return Ok(()) };
    if job.dry_run {
        return Ok(());
    }
    if job.files.failed == 0 {
        orphans::clear(tx, job.id).await?;
        if from.is_empty() {
            let looked = Looked { job: job.id, since: job.started_at.unwrap_or(now) };
            findings::resolve_unseen(tx, job.volume_id, looked, &[FindingKind::Orphan], |_| true, now)
                .await?;
        }
    }
    Ok(())
}
