//! What can be asked of jobs: start one, control one, read them. The worker does what is started here.
//!
//! Invariants: a job is refused before it is stored, or runs until it has said why it could not; no volume has two protect
//! jobs at once; every change of a job's state is an event in the same transaction.

use chrono::{DateTime, Utc};
use salvor_app::restore::port::{JobView, NewJob};
use salvor_app::volumes::port::FindingView;
use salvor_domain::account::{Actor, Permission};
use salvor_domain::event::EventKind;
use salvor_domain::finding::{FindingKind, FindingState};
use salvor_domain::ids::JobId;
use salvor_domain::job::{JobControl, JobKind, JobReport, JobRequest, JobState};
use salvor_domain::path::{FilePath, Glob};
use salvor_domain::volume::FileState;

use crate::clock::random;
use crate::core::Core;
use crate::database::Tx;
use crate::error::{Error, Result};
use crate::events;
use crate::restore::admission::{check, check_alone, check_goes_on, check_mode};
use crate::restore::drivers::disk_check;
use crate::restore::need::Rank;
use crate::restore::rates;
use crate::restore::report::report;
use crate::restore::store::segments::{self, ItemState, NewSegment, SegmentKind};
use crate::restore::store::{self, Job, disk_checks, figures, prune, resting};
use crate::restore::worker;
use crate::volumes::service::{configured, disk_replaced, unknown_volume};
use crate::volumes::store::{self as volumes, VolumeRow};
use crate::volumes::{catalogue, findings};

/// Events that a job's page shows.
const LOG: i64 = 200;

/// Starts a job; `ticket` is the one that asks for it.
pub async fn start(core: &Core, actor: &Actor, new: NewJob, ticket: Option<i64>) -> Result<JobReport> {
    allowed(actor)?;
    check(core, configured(core, &new.volume)?, &new).await?;
    let now = core.clock.now();
    let mut tx = core.db.begin().await?;
    let volume = volumes::volume_to_change(&mut tx, &new.volume)
        .await?
        .ok_or_else(|| unknown_volume(core, &new.volume))?;
    check_mode(&mut tx, core, &volume, &new).await?;
    take_word(&mut tx, now, actor, &volume, &new).await?;
    let request = with_seed(new.request);
    let job = Job {
        approved: !new.hold,
        dry_run: new.dry_run,
        ticket,
        limits: new.limits,
        ..Job::new(core.new_job_id(), volume.id, request, actor.name.clone(), now)
    };
    store::insert(&mut tx, &job).await?;
    let rank = ticket.map_or(0, |_| Rank::TICKET);
    let segment =
        NewSegment { kind: SegmentKind::Plan, rank, range: None, files: 0, bytes: 0, done_at: None };
    segments::insert(&mut tx, job.id, &segment).await?;
    let summary = format!("{} asked for: {}.", actor.name, in_words(&job.request, &new.volume));
    events::record(&mut tx, now, actor, EventKind::JobCreated, job.id, &summary).await?;
    let report = report(core, &mut tx, job, now).await?;
    tx.commit().await?;
    core.nudge.notify_one();
    Ok(report)
}

/// What is said of disks, carried out with the job or not at all.
async fn take_word(
    tx: &mut Tx,
    now: DateTime<Utc>,
    actor: &Actor,
    volume: &VolumeRow,
    new: &NewJob,
) -> sqlx::Result<()> {
    if new.replaced {
        disk_replaced(tx, now, actor, volume, None).await?;
    }
    let copies =
        if new.replaced_copies.is_empty() { Vec::new() } else { volumes::copies(tx, volume.id).await? };
    for copy in copies.iter().filter(|copy| new.replaced_copies.contains(&copy.name)) {
        disk_replaced(tx, now, actor, volume, Some(copy)).await?;
    }
    Ok(())
}

/// A drill draws its files at random; with what, is kept with the job, so that the draw can be repeated.
fn with_seed(request: JobRequest) -> JobRequest {
    match request {
        JobRequest::Drill { from, sample, seed: None } => {
            JobRequest::Drill { from, sample, seed: Some(u32::from_le_bytes(random())) }
        }
        other => other,
    }
}

/// An operator's word to a job.
pub async fn control(core: &Core, actor: &Actor, id: JobId, control: JobControl) -> Result<JobReport> {
    allowed(actor)?;
    let now = core.clock.now();
    let mut tx = core.db.begin().await?;
    // A job may end here, which writes to its volume: the volume's row is held before the job's, as everywhere.
    let volume_id = store::job(&mut tx, id).await?.ok_or_else(|| no_such_job(id))?.volume_id;
    volumes::hold(&mut tx, volume_id).await?;
    let job = store::lock(&mut tx, id).await?.ok_or_else(|| no_such_job(id))?;
    let (job, kind, what) = match control {
        JobControl::Approve => {
            let state = job.state.clone().approve(now)?;
            check_goes_on(&mut tx, core, &job).await?;
            (Job { approved: true, ..job }.moved(state, now), EventKind::JobApproved, "approved the plan")
        }
        JobControl::Pause => {
            if job.kind() == JobKind::DiskCheck && job.state.is_active() {
                disk_check::may_pause(&mut tx, &job).await?.map_err(Error::conflict)?;
            }
            let reason = format!("{} asked for it", actor.name);
            let state = job.state.clone().pause(actor.name.clone(), reason, now)?;
            (job.moved(state, now), EventKind::JobPaused, "paused it")
        }
        JobControl::Resume => {
            let state = job.state.clone().resume(now)?;
            check_goes_on(&mut tx, core, &job).await?;
            // Whoever asks for a try now wants to read how it went.
            (Job { stuck: None, ..job.moved(state, now) }, EventKind::JobResumed, "resumed it")
        }
        JobControl::Cancel => {
            let state = job.state.clone().cancel(actor.name.clone(), now)?;
            // What it has read by then is measured all the same.
            if job.kind() == JobKind::Restore {
                rates::keep_of_restore(&mut tx, &job, now).await?;
            }
            if job.kind() == JobKind::DiskCheck {
                disk_check::cancelled(&mut tx, &job).await?;
            }
            (job.moved(state, now), EventKind::JobCancelled, "cancelled it")
        }
        JobControl::Retry => {
            (retried(&mut tx, core, job, now).await?, EventKind::JobRetried, "asked to try again")
        }
    };
    if matches!(control, JobControl::Resume | JobControl::Retry) {
        resting::try_now(&mut tx, id, now).await?;
    }
    events::record(&mut tx, now, actor, kind, id, &format!("{} {what}.", actor.name)).await?;
    // A plan with nothing to do, or a pause after the last batch: no worker will come to end it.
    let job = worker::finish_if_done(core, &mut tx, job, now).await?;
    store::save(&mut tx, &job).await?;
    let report = report(core, &mut tx, job, now).await?;
    tx.commit().await?;
    core.nudge.notify_one();
    Ok(report)
}

/// The volume left `normal`: protect jobs on it wait, in the transaction that changes the mode.
pub async fn pause_protect(
    tx: &mut Tx,
    now: DateTime<Utc>,
    volume_id: i64,
    reason: &str,
) -> sqlx::Result<()> {
    let writing = |job: &Job| !job.request.adopts();
    for job in store::unended(tx, volume_id, JobKind::Protect).await?.into_iter().filter(writing) {
        let Some(job) = store::lock(tx, job.id).await? else { continue };
        worker::pause(tx, job, reason, now).await?;
    }
    Ok(())
}

/// Newest first.
pub async fn jobs(core: &Core, volume: Option<&str>, active: bool, limit: u32) -> Result<Vec<JobReport>> {
    let mut tx = core.db.read().await?;
    let volume_id = match volume {
        Some(name) => {
            Some(volumes::volume(&mut tx, name).await?.ok_or_else(|| unknown_volume(core, name))?.id)
        }
        None => None,
    };
    let now = core.clock.now();
    let mut reports = Vec::new();
    for job in store::list(&mut tx, volume_id, active, limit.clamp(1, 500)).await? {
        reports.push(report(core, &mut tx, job, now).await?);
    }
    Ok(reports)
}

/// How many jobs there are, by the word of their state: for monitoring.
pub async fn counts(core: &Core) -> Result<Vec<(String, i64)>> {
    Ok(store::counts(&mut core.db.read().await?).await?)
}

pub async fn job(core: &Core, id: JobId) -> Result<JobReport> {
    let mut tx = core.db.read().await?;
    let job = store::job(&mut tx, id).await?.ok_or_else(|| no_such_job(id))?;
    Ok(report(core, &mut tx, job, core.clock.now()).await?)
}

/// A job with its log and its course.
pub async fn view(core: &Core, id: JobId) -> Result<JobView> {
    let mut tx = core.db.read().await?;
    let job = store::job(&mut tx, id).await?.ok_or_else(|| no_such_job(id))?;
    let log = events::about(&mut tx, &id.to_string(), LOG).await?;
    let samples = figures::samples(&mut tx, id).await?;
    Ok(JobView { report: report(core, &mut tx, job, core.clock.now()).await?, log, samples })
}

/// What the tool of a disk check said, as far as it is kept: text for people.
pub async fn output(core: &Core, id: JobId) -> Result<String> {
    let mut tx = core.db.read().await?;
    let job = store::job(&mut tx, id).await?.ok_or_else(|| no_such_job(id))?;
    if job.kind() != JobKind::DiskCheck {
        return Err(Error::not_found(format!("A {} has no output; disk checks have.", job.kind())));
    }
    let output = disk_checks::output(&mut tx, id).await?;
    let mut text = String::new();
    for line in output.first {
        text.push_str(&line);
        text.push('\n');
    }
    if output.left_out > 0 {
        text.push_str(&format!("… {} lines are not kept …\n", salvor_domain::units::count(output.left_out)));
    }
    for line in output.last {
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

/// The first `limit` open findings that the job saw last.
pub async fn found(core: &Core, id: JobId, limit: u32) -> Result<Vec<FindingView>> {
    let mut tx = core.db.read().await?;
    let job = store::job(&mut tx, id).await?.ok_or_else(|| no_such_job(id))?;
    Ok(findings::of_job(&mut tx, job.volume_id, id, limit).await?)
}

/// What became of a file in a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Waiting,
    Restored,
    /// It was there and right when the plan was made.
    InPlace,
    /// Left alone, with the reason.
    Kept(String),
    Failed(String),
    /// The job is not about this file.
    NotPlanned,
}

/// What became of these files in a restore, each once, in the order asked.
pub async fn outcomes(core: &Core, job: JobId, paths: &[FilePath]) -> Result<Vec<(FilePath, Outcome)>> {
    let mut tx = core.db.read().await?;
    let job = store::job(&mut tx, job).await?.ok_or_else(|| no_such_job(job))?;
    let states = segments::states(&mut tx, job.id, paths).await?;
    let rows = catalogue::get(&mut tx, job.volume_id, paths).await?;
    let found = findings::of_files(&mut tx, job.volume_id, paths).await?;
    let mut outcomes = Vec::with_capacity(paths.len());
    for path in paths {
        let item = states.iter().find(|(item, _)| item == path).map(|(_, state)| *state);
        let changed = found.iter().any(|(file, kind, state)| {
            file == path && *kind == FindingKind::Changed && *state == FindingState::Open
        });
        let file = rows.iter().find(|row| row.path == *path);
        let row = file.map(|row| row.state);
        // Where items that are done are forgotten, the catalogue tells; in seconds, so what is not surely so is not said.
        let since = job.started_at.filter(|_| prune::forgets(&job)).map(|at| at.timestamp());
        let restored = file.zip(since).is_some_and(|(file, since)| file.verified_at.timestamp() > since);
        let outcome = match (item, row) {
            (Some(ItemState::Done), _) => Outcome::Restored,
            (Some(ItemState::Failed), _) => {
                let reason = figures::failure_reason(&mut tx, job.id, path).await?;
                Outcome::Failed(reason.unwrap_or_else(|| "the reason was not kept".into()))
            }
            (Some(ItemState::Skipped) | None, Some(FileState::Tombstone)) => {
                Outcome::Kept("its owner deleted it".into())
            }
            (Some(ItemState::Skipped), _) => Outcome::Kept("a newer version is on the volume".into()),
            (Some(ItemState::Waiting), _) => Outcome::Waiting,
            (None, _) if job.plan.is_none() && !job.state.has_ended() => Outcome::Waiting,
            (None, Some(_)) if changed => Outcome::Kept("a newer version is on the volume".into()),
            (None, Some(FileState::Present)) if job.plan.is_some() && restored => Outcome::Restored,
            (None, Some(FileState::Present)) if job.plan.is_some() => Outcome::InPlace,
            (None, _) => Outcome::NotPlanned,
        };
        outcomes.push((path.clone(), outcome));
    }
    Ok(outcomes)
}

pub(super) fn allowed(actor: &Actor) -> Result<()> {
    if actor.may(Permission::RunJobs) {
        return Ok(());
    }
    let least = Permission::RunJobs.least_role();
    Err(Error::Forbidden(format!("Running jobs needs the role {least}; yours is {}.", actor.role)))
}

pub(super) fn no_such_job(id: JobId) -> Error {
    Error::not_found(format!("There is no job {id}."))
}

/// What failed or was left waits again. A check, of files or of the disk, a dry run, and what has no plan start over.
async fn retried(tx: &mut Tx, core: &Core, job: Job, now: DateTime<Utc>) -> Result<Job> {
    let starts_over = matches!(job.kind(), JobKind::Check | JobKind::DiskCheck);
    let has_plan = job.plan.is_some() && !starts_over && !job.dry_run && job.approved;
    let state = job.state.clone().retry(has_plan, now)?;
    let was_finished = matches!(job.state, JobState::Finished { .. });
    if let Some(volume) = volumes::volume_by_id(tx, job.volume_id).await?
        && job.kind() == JobKind::Protect
    {
        check_alone(tx, &volume, &job.request).await?;
    }
    check_goes_on(tx, core, &job).await?;
    let mut job = job.moved(state, now);
    if !has_plan {
        segments::reopen_plan(tx, job.id).await?;
        return Ok(Job { started_at: None, active_seconds: 0.0, plan: None, ..job });
    }
    let waiting = segments::reopen_failed(tx, job.id).await?;
    figures::clear_waiting_failures(tx, job.id).await?;
    // What has no items (a folder that could not be read, a name that the catalogue does not have) stays failed.
    job.files.failed -= waiting.min(job.files.failed);
    if let Some(plan) = &mut job.plan {
        // They are asked for like all others from now on.
        job.bytes.total += std::mem::take(&mut plan.in_no_copy_bytes);
        plan.in_no_copy = 0;
        plan.in_no_copy_paths.clear();
    }
    if was_finished && segments::open_count(tx, job.id).await? == 0 {
        return Err(Error::conflict(match job.files.failed {
            0 => "Nothing of this job failed and nothing was left, so there is nothing to retry.",
            _ => {
                "What failed was not in the plan, so a retry would not meet it; start a new job, which plans anew."
            }
        }));
    }
    Ok(job)
}

fn in_words(request: &JobRequest, volume: &str) -> String {
    let list = |names: &[String]| names.join(", ");
    let patterns = |globs: &[Glob]| globs.iter().map(Glob::as_str).collect::<Vec<_>>().join(", ");
    let mut text = match request {
        JobRequest::Check { full: true, .. } => format!("a full check of {volume}"),
        JobRequest::Check { full: false, .. } => format!("a quick check of {volume}"),
        JobRequest::Protect { adopt: Some(copy), .. } => format!("adopt {copy} for {volume}"),
        JobRequest::Protect { to, .. } if to.is_empty() => format!("protect {volume}"),
        JobRequest::Protect { to, .. } => format!("protect {volume} to {}", list(to)),
        JobRequest::Restore { from, .. } if from.is_empty() => format!("restore {volume}"),
        JobRequest::Restore { from, .. } => format!("restore {volume} from {}", list(from)),
        JobRequest::Reunite { from } if from.is_empty() => format!("reunite {volume}"),
        JobRequest::Reunite { from } => format!("reunite {volume} from {}", list(from)),
        JobRequest::Drill { from, .. } if from.is_empty() => format!("a drill of {volume}"),
        JobRequest::Drill { from, .. } => format!("a drill of {volume} from {}", list(from)),
        JobRequest::DiskCheck {} => format!("a disk check of {volume}"),
    };
    match request {
        JobRequest::Check { paths, .. } | JobRequest::Restore { paths, .. } if !paths.is_empty() => {
            text.push_str(&format!(", only {}", patterns(paths)));
        }
        _ => {}
    }
    if let JobRequest::Restore { files, to_folder, .. } = request {
        if !files.is_empty() {
            let count = salvor_domain::units::counted(files.len() as u64, "named file", "named files");
            text.push_str(&format!(", {count}"));
        }
        if let Some(folder) = to_folder {
            text.push_str(&format!(", into {folder}"));
        }
    }
    text
}
