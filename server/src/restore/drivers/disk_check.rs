//! A disk check: one segment of work, in which the tool that the configuration names runs on the volume's device, again and again
//! until it finds nothing more to repair.
//!
//! Invariants: only what the configuration names is run, never while the file system is mounted (a scrub: only while it is); a
//! run of which nobody knows the end is never taken for a good one; two runs are never at one device.

pub mod attend;
pub mod bench;
pub mod device;
mod lines;
pub mod process;
mod run;
mod shown;

use chrono::{DateTime, Utc};
use salvor_domain::account::Actor;
use salvor_domain::disk_check::{DiskTool, DiskVerdict, Exit, Next, next};
use salvor_domain::event::EventKind;
use salvor_domain::job::{ByteCounts, FileCounts, Plan};

use self::attend::{Course, Facts};
use self::bench::Bench;
use self::device::InTheWay;
use self::run::{Ended, Run};
use super::Planned;
use crate::database::Tx;
use crate::events;
use crate::restore::store::disk_checks::{self, DiskCheck};
use crate::restore::store::{Job, segments};
use crate::restore::work::{Halt, Work};
use crate::volumes::store as volumes;

pub use shown::shown;

/// The lane of disk checks is that of a copy which no volume has ([`crate::config::MAX_COPIES`] is less): one that takes all night
/// holds no slot of those that plans and other volumes' work need.
const LANE: u8 = 63;

const NOTHING_TO_RESUME: Exit = Exit::Code(2);

pub async fn plan(work: &Work) -> Result<Planned, Halt> {
    let bench = Bench::of(work)?;
    let Facts { tool, device, command, can_pause } = bench.facts().await?;
    let way = match bench.look().await?.map(InTheWay::words) {
        None => "nothing is in its way".to_owned(),
        Some(why) if work.job.dry_run => format!("before that, {why}"),
        Some(why) => return Err(Halt::Fail(why)),
    };
    let summary = format!("{command} is to be run; {way}.");
    let (mut tx, job) = work.begin().await?;
    let before = disk_checks::get(&mut tx, job.id).await?;
    let check = DiskCheck {
        began_at: before.and_then(|before| before.began_at),
        summary: job.dry_run.then_some(way),
        ..DiskCheck::new(tool, command, device, can_pause)
    };
    disk_checks::insert(&mut tx, job.id, &check).await?;
    if !job.dry_run {
        segments::insert_work(&mut tx, job.id, &[], work.segment.rank, Some(LANE)).await?;
    }
    work.commit(tx, &job).await?;
    Ok(Planned { plan: Plan::default(), files: FileCounts::default(), bytes: ByteCounts::default(), summary })
}

pub async fn work(work: &Work) -> Result<(), Halt> {
    let bench = Bench::of(work)?;
    let facts = bench.facts().await?;
    let mut tx = work.core.db.read().await?;
    let check = disk_checks::get(&mut tx, work.job.id).await?;
    drop(tx);
    let mut check = check.ok_or_else(|| Halt::Fail("its plan is gone; start it anew".into()))?;
    let mut course = begin(work, &bench, &facts, &mut check).await?;
    loop {
        match bench.look().await? {
            Some(InTheWay::Person(words)) => return Err(Halt::Fail(words)),
            Some(InTheWay::Held(words)) => return Err(Halt::Stuck(words)),
            None => {}
        }
        let Ended { exit, check: after } = Run::new(work, &bench, &facts, check, course).finish().await?;
        check = after;
        match next(facts.tool, exit, check.round, &check.tally) {
            // It had come to its end already, and nobody had heard of it.
            Next::Failed(_) if course == Course::Resumed && exit == NOTHING_TO_RESUME => {
                check.round = 0;
                course = Course::First;
            }
            Next::Again(words) => {
                check.tally.changed = true;
                keep(work, &check, Some(&words)).await?;
                course = Course::Anew;
            }
            Next::Ended(verdict, words) => {
                (check.verdict, check.summary) = (Some(verdict), Some(words));
                return keep(work, &check, None).await;
            }
            Next::Failed(words) => {
                check.summary = Some(words.clone());
                keep(work, &check, None).await?;
                return Err(Halt::Fail(words));
            }
        }
    }
}

/// The job came to its end: what it found is told of the volume.
pub async fn finish(tx: &mut Tx, job: &Job, now: DateTime<Utc>) -> sqlx::Result<()> {
    if job.dry_run {
        return Ok(());
    }
    let (check, volume) =
        (disk_checks::get(tx, job.id).await?, volumes::volume_by_id(tx, job.volume_id).await?);
    let (Some(summary), Some(volume)) = (check.and_then(|check| check.summary), volume) else {
        return Ok(());
    };
    let summary = format!("Disk check of {}: {summary}.", volume.name);
    events::record(tx, now, &Actor::salvor(), EventKind::DiskChecked, volume.name, &summary).await
}

/// A person cancelled the job before its work was at its end.
pub async fn cancelled(tx: &mut Tx, job: &Job) -> sqlx::Result<()> {
    let Some(check) = disk_checks::get(tx, job.id).await? else { return Ok(()) };
    if check.round == 0 || check.verdict.is_some() {
        return Ok(());
    }
    let summary = format!("{} was cancelled: the file system is not checked now", check.tool.name());
    let check = DiskCheck { verdict: Some(DiskVerdict::Unfinished), summary: Some(summary), ..check };
    disk_checks::save(tx, job.id, &check).await
}

/// How the next run begins. One that an earlier holder of this segment left behind is waited for, or (a scrub) paused.
async fn begin(work: &Work, bench: &Bench<'_>, facts: &Facts, check: &mut DiskCheck) -> Result<Course, Halt> {
    if check.round == 0 {
        return Ok(Course::First);
    }
    let name = facts.tool.name();
    if let Some(left) = check.process
        && bench.is_alive(left).await?
    {
        if !facts.can_pause {
            return Err(Halt::Stuck(format!(
                "{name} of an earlier run (process {}) is still at {}; the check starts anew when that has ended",
                left.pid, facts.device
            )));
        }
        bench.pause().await.map_err(Halt::Stuck)?;
    }
    if facts.can_pause {
        return Ok(Course::Resumed);
    }
    let words = format!("{name} was interrupted and starts again from the beginning");
    keep(work, check, Some(&words)).await?;
    check.round = 0;
    Ok(Course::First)
}

/// Stores how it is, with a note for the job's log.
async fn keep(work: &Work, check: &DiskCheck, note: Option<&str>) -> Result<(), Halt> {
    let (mut tx, job) = work.begin().await?;
    disk_checks::save(&mut tx, job.id, check).await?;
    if let Some(words) = note {
        let (now, salvor) = (work.core.clock.now(), Actor::salvor());
        events::record(&mut tx, now, &salvor, EventKind::JobNote, job.id, &format!("{words}.")).await?;
    }
    work.commit(tx, &job).await
}

/// Whether a job that runs may be paused; of one that may not, why.
pub async fn may_pause(tx: &mut Tx, job: &Job) -> sqlx::Result<Result<(), String>> {
    let Some(check) = disk_checks::get(tx, job.id).await? else { return Ok(Ok(())) };
    if check.can_pause || check.round == 0 {
        return Ok(Ok(()));
    }
    let name = check.tool.name();
    let why = match check.tool {
        DiskTool::E2fsck | DiskTool::XfsRepair => {
            format!(
                "{name} cannot be paused: let it come to its end, or cancel it and start it again from the beginning later."
            )
        }
        DiskTool::BtrfsScrub | DiskTool::ZpoolScrub => {
            format!(
                "How to pause {name} is not known where the configuration names its command; cancel it instead."
            )
        }
    };
    Ok(Err(why))
}
