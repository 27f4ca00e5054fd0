//! The second half of a full check: every byte of the files in a range of the catalogue.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use salvor_domain::finding::{FindingCounts, FindingKind};
use salvor_domain::job::JobRequest;
use salvor_domain::path::FilePath;
use salvor_domain::units;
use salvor_domain::volume::FileState;
use salvor_engine::{CheckOutcome, Expected};

use crate::database::Tx;
use crate::restore::drivers::batch_len;
use crate::restore::planner::Scope;
use crate::restore::store::{Job, figures, segments};
use crate::restore::work::{Halt, Work};
use crate::volumes::catalogue::{self, CatalogueRow};
use crate::volumes::findings::{self, Looked, NewFinding};
use crate::volumes::store as volumes;

/// The first batch of a segment; while batches are quick they grow, up to a whole segment for one commit.
const FIRST_BATCH: usize = 250;
const BATCH_BYTES: u64 = 64 << 20;
const QUICK_SECONDS: f64 = 0.3;

pub async fn work(work: &Work) -> Result<(), Halt> {
    let JobRequest::Check { paths, .. } = &work.job.request else {
        return Err(Halt::Fail("its request is not a check".into()));
    };
    let Some((first, last)) = &work.segment.range else { return Ok(()) };
    let hands = work.volume().await.map_err(Halt::Stuck)?;
    let scope = Scope::new(paths, &[]);
    let mut tx = work.core.db.read().await?;
    let rows = catalogue::range(&mut tx, work.place.volume.id, first.as_bytes(), last.as_bytes()).await?;
    drop(tx);
    let rows: Vec<_> = rows
        .into_iter()
        .filter(|row| row.state != FileState::Tombstone && scope.contains(row.path.as_bytes()))
        .collect();
    let mut left = rows.as_slice();
    let mut most = FIRST_BATCH;
    while !left.is_empty() {
        let (batch, rest) = left.split_at(batch_len(left.iter().map(|row| row.size), most, BATCH_BYTES));
        let expected: Vec<Expected> = batch.iter().map(expected).collect();
        let looked_at = work.core.clock.now();
        let (outcomes, seconds) = hands.check(work, expected).await?;
        // A volume that went away is not a volume whose files are missing.
        hands.still_there(work.core.patience.job).await.map_err(Halt::Stuck)?;
        let done = outcomes.iter().take_while(|outcome| !matches!(outcome, CheckOutcome::NotStarted)).count();
        let next = batch.get(done).or(rest.first());
        let looked = Batch { rows: &batch[..done], outcomes: &outcomes[..done], looked_at };
        record(work, &looked, next.map(|row| &row.path)).await?;
        if done < batch.len() {
            return Err(Halt::Stopped);
        }
        if seconds < QUICK_SECONDS {
            most *= 4;
        }
        left = rest;
    }
    Ok(())
}

fn expected(row: &CatalogueRow) -> Expected {
    Expected { path: row.path.clone(), size: row.size, mtime_ns: row.mtime_ns, digest: row.digest }
}

/// Files that were looked at together.
struct Batch<'a> {
    /// As the catalogue had them before.
    rows: &'a [CatalogueRow],
    outcomes: &'a [CheckOutcome],
    looked_at: DateTime<Utc>,
}

impl Batch<'_> {
    /// Those of `paths` that were restored or protected since they were looked at, or deleted by their owner: what was seen of
    /// them is of yesterday.
    async fn outdated(
        &self,
        tx: &mut Tx,
        volume: i64,
        paths: &[FilePath],
    ) -> sqlx::Result<HashSet<FilePath>> {
        let before = |path: &FilePath| self.rows.binary_search_by(|row| row.path.cmp(path)).ok();
        let is_newer = |now: &CatalogueRow| {
            let since = before(&now.path).map(|at| self.rows[at].verified_at);
            // In whole seconds: one that was verified twice within a second is left to the next check.
            since.is_some_and(|since| now.verified_at > since)
                && now.verified_at.timestamp() >= self.looked_at.timestamp()
        };
        let rows = catalogue::get(tx, volume, paths).await?.into_iter();
        let outdated = rows.filter(|now| now.state == FileState::Tombstone || is_newer(now));
        Ok(outdated.map(|row| row.path).collect())
    }
}

/// What came of a batch, by what it means for the catalogue.
#[derive(Default)]
struct Verdicts {
    good: Vec<FilePath>,
    /// Good, and the catalogue had it otherwise.
    good_again: Vec<FilePath>,
    missing: Vec<FilePath>,
    lost: Vec<FilePath>,
    changed: Vec<FilePath>,
    findings: Vec<NewFinding>,
}

impl Verdicts {
    fn of(batch: &Batch<'_>) -> Self {
        let mut verdicts = Self::default();
        batch.rows.iter().zip(batch.outcomes).for_each(|(row, outcome)| verdicts.add(row, outcome));
        verdicts
    }

    /// Files that are not as the catalogue has them.
    fn bad(&self) -> Vec<FilePath> {
        self.findings.iter().map(|finding| finding.path.clone()).collect()
    }

    /// Nothing is said of these.
    fn leave_out(&mut self, paths: &HashSet<FilePath>) {
        self.findings.retain(|finding| !paths.contains(&finding.path));
        for bad in [&mut self.missing, &mut self.lost, &mut self.changed] {
            bad.retain(|path| !paths.contains(path));
        }
    }

    fn counts(&self) -> FindingCounts {
        let mut counts = FindingCounts::default();
        self.findings.iter().for_each(|finding| counts.add(finding.kind, 1));
        counts
    }

    fn add(&mut self, row: &CatalogueRow, outcome: &CheckOutcome) {
        let path = row.path.clone();
        match outcome {
            CheckOutcome::Good { .. } => {
                if row.state != FileState::Present {
                    self.good_again.push(path.clone());
                }
                self.good.push(path);
            }
            CheckOutcome::NotStarted => {}
            CheckOutcome::Missing => {
                self.find(row, FindingKind::Missing, row.size, String::new());
                self.missing.push(path);
            }
            CheckOutcome::Corrupt { size, .. } => {
                let detail = match *size == row.size {
                    true => "same size and time, other bytes".to_owned(),
                    false => format!("{} instead of {}", units::bytes(*size), units::bytes(row.size)),
                };
                self.find(row, FindingKind::Corrupt, row.size, detail);
                self.lost.push(path);
            }
            CheckOutcome::Unreadable { reason } => {
                self.find(row, FindingKind::Unreadable, row.size, reason.clone());
                self.lost.push(path);
            }
            CheckOutcome::Changed { size, .. } => {
                self.find(row, FindingKind::Changed, *size, String::new());
                self.changed.push(path);
            }
        }
    }

    fn find(&mut self, row: &CatalogueRow, kind: FindingKind, size: u64, detail: String) {
        self.findings.push(NewFinding { path: row.path.clone(), kind, size, detail });
    }
}

/// `next` is where the segment goes on, also in other hands: nothing is counted twice.
async fn record(work: &Work, batch: &Batch<'_>, next: Option<&FilePath>) -> Result<(), Halt> {
    let mut verdicts = Verdicts::of(batch);
    let rows = batch.rows;
    let (volume, now) = (work.place.volume.id, work.core.clock.now());
    let (mut tx, mut job) = work.begin().await?;
    // Findings and files are changed by restores as well, in another order: only one of all at a time.
    tx.one_at_a_time(volume).await?;
    verdicts.leave_out(&batch.outdated(&mut tx, volume, &verdicts.bad()).await?);
    findings::report(&mut tx, volume, job.id, now, &verdicts.findings).await?;
    if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
        // Mostly there is none, and a million files are not to be looked up one by one for that.
        let mut over = findings::unresolved_between(&mut tx, volume, &first.path, &last.path).await?;
        over.retain(|path| verdicts.good.binary_search(path).is_ok());
        findings::resolve(&mut tx, volume, &over, now).await?;
    }
    figures::add_findings(&mut tx, job.id, &verdicts.counts()).await?;
    // That every file was read is kept once, with the volume, when the check is at its end; see `finish`.
    let verified = if is_everything(&job) { &verdicts.good_again } else { &verdicts.good };
    catalogue::verified(&mut tx, volume, verified, now).await?;
    catalogue::set_state(&mut tx, volume, &verdicts.missing, FileState::Missing).await?;
    catalogue::set_state(&mut tx, volume, &verdicts.lost, FileState::Corrupt).await?;
    catalogue::set_state(&mut tx, volume, &verdicts.changed, FileState::Present).await?;
    job.files.done += rows.len() as u64;
    job.bytes.done += rows.iter().map(|row| row.size).sum::<u64>();
    segments::advance(&mut tx, work.segment.id, next).await?;
    work.commit(tx, &job).await
}

fn is_everything(job: &Job) -> bool {
    matches!(&job.request, JobRequest::Check { paths, .. } if paths.is_empty())
}

/// The check came to its end: what it did not see again is over, and the volume knows when it was checked.
pub async fn finish(tx: &mut Tx, job: &Job, now: chrono::DateTime<chrono::Utc>) -> sqlx::Result<()> {
    let JobRequest::Check { full, paths } = &job.request else { return Ok(()) };
    if job.dry_run {
        return Ok(());
    }
    // Of corrupt and unreadable files names and sizes tell nothing.
    let quick = [FindingKind::Missing, FindingKind::Changed, FindingKind::Extra, FindingKind::Orphan];
    let kinds = if *full { FindingKind::ALL } else { &quick };
    let scope = Scope::new(paths, &[]);
    let within = |path: &[u8]| scope.contains(path);
    let looked = Looked { job: job.id, since: job.started_at.unwrap_or(now) };
    findings::resolve_unseen(tx, job.volume_id, looked, kinds, within, now).await?;
    if scope.is_everything() {
        let started = job.started_at.filter(|_| *full);
        volumes::set_checked_at(tx, job.volume_id, now, started).await?;
        if *full && !catalogue::recount(tx, job.volume_id).await? {
            tracing::warn!(job = %job.id, "the figures of the catalogue were wrong and have been counted anew");
        }
        if *full && !findings::recount(tx, job.volume_id).await? {
            tracing::warn!(job = %job.id, "the figures of the findings were wrong and have been counted anew");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use salvor_domain::digest::Digest;
    use salvor_domain::volume::ModeState;

    use super::*;
    use crate::database::testing::databases;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn row(path: &str) -> CatalogueRow {
        let path = FilePath::new(path).unwrap();
        let digest = Digest([7; 32]);
        let state = FileState::Present;
        CatalogueRow {
            path,
            size: 7,
            mtime_ns: 7,
            digest,
            mode: 0o644,
            state,
            holders: 1,
            verified_at: at(0),
        }
    }

    #[tokio::test]
    async fn what_was_brought_back_since_it_was_looked_at_is_not_called_missing() {
        let (_folder, all) = databases().await;
        for db in all {
            let mut tx = db.begin().await.unwrap();
            let mode = ModeState::Normal { since: at(0), reason: "first seen".into(), by: "salvor".into() };
            volumes::add_volume(&mut tx, "uploads", &mode).await.unwrap();
            let volume = volumes::volume(&mut tx, "uploads").await.unwrap().unwrap().id;
            let rows = ["deleted", "later", "lost", "sooner"].map(row);
            let paths = rows.clone().map(|row| row.path);
            catalogue::upsert(&mut tx, volume, &rows).await.unwrap();
            // One was brought back and is lost again, one was brought back after the check had looked.
            catalogue::verified(&mut tx, volume, &paths[3..], at(5)).await.unwrap();
            catalogue::verified(&mut tx, volume, &paths[1..2], at(11)).await.unwrap();
            catalogue::set_state(&mut tx, volume, &paths[..1], FileState::Tombstone).await.unwrap();
            let outcomes = [const { CheckOutcome::Missing }; 4];
            let batch = Batch { rows: &rows, outcomes: &outcomes, looked_at: at(10) };
            let mut verdicts = Verdicts::of(&batch);
            let outdated = batch.outdated(&mut tx, volume, &verdicts.bad()).await.unwrap();
            verdicts.leave_out(&outdated);
            assert_eq!(verdicts.missing, [paths[2].clone(), paths[3].clone()]);
            assert_eq!((verdicts.counts().missing, verdicts.findings.len()), (2, 2));
        }
    }
}
