//! What each kind of job does with its segments: first the one that makes the plan, then those with the work.
//!
//! A driver takes a [`Work`](crate::restore::work::Work) and no other input, and may be run again on the same segment after
//! any interruption: a plan starts over, work goes on with what is not recorded as done.

pub mod adopt;
mod adopt_verdict;
pub mod check;
mod check_orphans;
pub mod check_plan;
mod deleted;
pub mod disk_check;
pub mod drill;
pub mod drill_plan;
mod filling;
pub mod protect;
pub mod restore;
pub mod restore_plan;
pub mod reunite;

use salvor_domain::job::{ByteCounts, FileCounts, JobKind, Plan};
use salvor_domain::path::FilePath;
use salvor_domain::progress::Amount;

use crate::database::Tx;
use crate::restore::store::segments::{self, ItemState, SegmentKind};
use crate::restore::store::{self, Job, figures, orphans};
use crate::restore::work::{Halt, Work};

/// What came of a segment that is done.
pub enum Outcome {
    Planned(Box<Planned>),
    Worked,
}

/// A plan, and the job's figures as they are when its work begins.
pub struct Planned {
    pub plan: Plan,
    pub files: FileCounts,
    pub bytes: ByteCounts,
    /// One sentence for the job's log.
    pub summary: String,
}

pub async fn drive(work: &Work) -> Result<Outcome, Halt> {
    match (work.segment.kind, work.job.kind()) {
        (SegmentKind::Plan, kind) => {
            start_over(work).await?;
            let planned = match kind {
                JobKind::Check => check_plan::plan(work).await?,
                JobKind::Protect if work.job.request.adopts() => adopt::plan(work).await?,
                JobKind::Protect => protect::plan(work).await?,
                JobKind::Restore => restore_plan::plan(work).await?,
                JobKind::Reunite => reunite::plan(work).await?,
                JobKind::Drill => drill::plan(work).await?,
                JobKind::DiskCheck => disk_check::plan(work).await?,
            };
            Ok(Outcome::Planned(Box::new(planned)))
        }
        (SegmentKind::Work, kind) => {
            match kind {
                JobKind::Check => check::work(work).await?,
                JobKind::Protect if work.job.request.adopts() => adopt::work(work).await?,
                JobKind::Protect => protect::work(work).await?,
                JobKind::Restore => restore::work(work).await?,
                JobKind::Reunite => reunite::work(work).await?,
                JobKind::Drill => drill::work(work).await?,
                JobKind::DiskCheck => disk_check::work(work).await?,
            }
            Ok(Outcome::Worked)
        }
    }
}

/// A job's figures when its plan is made: so much to do, and so many files that have failed already.
fn counts(to_do: Amount, failed: u64) -> (FileCounts, ByteCounts) {
    let files = FileCounts { total: to_do.files + failed, failed, ..FileCounts::default() };
    (files, ByteCounts { total: to_do.bytes, done: 0 })
}

/// How many of the next files make a batch: `most`, or as many as come to so many bytes.
fn batch_len(sizes: impl Iterator<Item = u64>, most: usize, most_bytes: u64) -> usize {
    let mut bytes = 0;
    let fits = |size: &u64| {
        let fits = bytes < most_bytes;
        bytes += size;
        fits
    };
    sizes.take(most).take_while(fits).count()
}

/// Writes down what became of items of the segment, in the job's figures as well.
async fn settle(
    work: &Work,
    tx: &mut Tx,
    job: &mut Job,
    done: &[FilePath],
    skipped: &[FilePath],
    failures: &[(FilePath, String)],
) -> sqlx::Result<()> {
    let segment = work.segment.id;
    job.files.done += segments::settle(tx, segment, done, ItemState::Done).await?.files;
    job.files.skipped += segments::settle(tx, segment, skipped, ItemState::Skipped).await?.files;
    job.files.failed += fail(work, tx, failures).await?;
    Ok(())
}

/// Writes down that items of the segment failed, and why. Gives how many: what was moved to another segment meanwhile has not
/// failed, it waits there.
async fn fail(work: &Work, tx: &mut Tx, failures: &[(FilePath, String)]) -> sqlx::Result<u64> {
    let paths: Vec<&FilePath> = failures.iter().map(|(path, _)| path).collect();
    let mut failed = segments::settle_each(tx, work.segment.id, &paths, ItemState::Failed).await?;
    failed.sort_unstable();
    let has_failed = |path: &FilePath| failed.binary_search_by(|(other, _)| other.cmp(path)).is_ok();
    let failures: Vec<_> = failures.iter().filter(|(path, _)| has_failed(path)).cloned().collect();
    figures::add_failures(tx, work.job.id, &failures, work.core.clock.now()).await?;
    Ok(failures.len() as u64)
}

/// Forgets what an interrupted plan left.
async fn start_over(work: &Work) -> Result<(), Halt> {
    let (mut tx, job) = work.begin().await?;
    segments::delete_work(&mut tx, job.id).await?;
    orphans::clear(&mut tx, job.id).await?;
    figures::clear(&mut tx, job.id).await?;
    let fresh = Job { plan: None, files: FileCounts::default(), bytes: ByteCounts::default(), ..job };
    store::save(&mut tx, &fresh).await?;
    tx.commit().await?;
    Ok(())
}
