//! The second half of a full check: every byte of the files in a range of the catalogue.

use salvor_domain::finding::{FindingCounts, FindingKind};
use salvor_domain::job::JobRequest;
use salvor_domain::path::FilePath;
use salvor_domain::units;
use salvor_domain::volume::FileState;
use salvor_engine::{CheckOptions, CheckOutcome, Expected, check_batch};

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
    let root = work.volume_root().await.map_err(Halt::Stuck)?;
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
        let (root, control, progress) = (root.clone(), work.control.clone(), work.progress.clone());
        let options = CheckOptions { threads: work.threads, limit: work.job_limit() };
        let (outcomes, seconds) = work
            .blocking({
                let root = root.clone();
                move || check_batch(&root, &expected, &options, &control, &progress)
            })
            .await?;
        // A volume that went away is not a volume whose files are missing.
        work.still_there(&root).await?;
        let done = outcomes.iter().take_while(|outcome| !matches!(outcome, CheckOutcome::NotStarted)).count();
        let next = batch.get(done).or(rest.first());
        record(work, &batch[..done], &outcomes[..done], next.map(|row| &row.path)).await?;
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
    counts: FindingCounts,
}

impl Verdicts {
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
        self.counts.add(kind, 1);
        self.findings.push(NewFinding { path: row.path.clone(), kind, size, detail });
    }
}

/// `next` is where the segment goes on, also in other hands: nothing is counted twice.
async fn record(
    work: &Work,
    rows: &[CatalogueRow],
    outcomes: &[CheckOutcome],
    next: Option<&FilePath>,
) -> Result<(), Halt> {
    let mut verdicts = Verdicts::default();
    rows.iter().zip(outcomes).for_each(|(row, outcome)| verdicts.add(row, outcome));
    let (volume, now) = (work.place.volume.id, work.core.clock.now());
    let (mut tx, mut job) = work.begin().await?;
    // Findings and files are changed by restores as well, in another order: only one of all at a time.
    tx.one_at_a_time(volume).await?;
    findings::report(&mut tx, volume, job.id, now, &verdicts.findings).await?;
    if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
        // Mostly there is none, and a million files are not to be looked up one by one for that.
        let mut over = findings::unresolved_between(&mut tx, volume, &first.path, &last.path).await?;
        over.retain(|path| verdicts.good.binary_search(path).is_ok());
        findings::resolve(&mut tx, volume, &over, now).await?;
    }
    figures::add_findings(&mut tx, job.id, &verdicts.counts).await?;
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
