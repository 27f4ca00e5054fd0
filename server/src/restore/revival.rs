//! Jobs that are stuck go on by themselves: [`stick`] pauses one for a cause that may pass, [`revive`] lets every worker of every
//! process try it again when that is due, [`settle`] says that it really goes on. A segment whose files wait for a copy
//! [`rest`]s while others of its job go on; the job is stuck with it when nothing else is left ([`hold_up`]).
//!
//! Invariants: what a person paused stays paused; the log has an event when the cause is new and one when the job goes on,
//! none for the tries between.

use chrono::{DateTime, Utc};
use salvor_domain::account::Actor;
use salvor_domain::event::EventKind;
use salvor_domain::ids::JobId;
use salvor_domain::job::JobState;
use salvor_domain::stuck::{SETTLED_AFTER, Stuck, is_due};
use salvor_domain::units;

use crate::core::Core;
use crate::database::Tx;
use crate::events;
use crate::restore::store::segments::Segment;
use crate::restore::store::{self, Job, resting};
use crate::restore::worker;
use crate::volumes::store as volumes;

/// Lets the jobs whose next try is due go on where they were, all or one alone. They may be stuck again in a moment.
pub async fn revive(core: &Core, only: Option<JobId>) -> sqlx::Result<()> {
    let now = core.clock.now();
    // Looking is for everybody; only who found something asks for the right to write.
    let due = store::due(&mut core.db.read().await?, now, only).await?;
    for id in due {
        let mut tx = core.db.begin().await?;
        let Some(job) = store::job(&mut tx, id).await? else { continue };
        volumes::hold(&mut tx, job.volume_id).await?;
        let Some(job) = store::lock(&mut tx, id).await? else { continue };
        // Another process was first, or a person.
        let Ok(state) = job.state.clone().try_again(now) else { continue };
        resting::try_now(&mut tx, id, now).await?;
        // Another worker may have done its last segment meanwhile: then nobody else would come to end it.
        let job = worker::finish_if_done(core, &mut tx, job.moved(state, now), now).await?;
        store::save(&mut tx, &job).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Lets a segment rest for a copy that is away. Those that rest in its lane have one try for all, at growing distances; one that
/// was leased before that try was due rests as long as they do.
pub async fn rest(
    tx: &mut Tx,
    segment: &Segment,
    reason: String,
    leased: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let before = match resting::of_lane(tx, segment.job, segment.source_bit).await? {
        Some((stuck, until)) if !is_due(until, leased) => {
            return resting::rest(tx, segment.id, &Stuck { reason, ..stuck }, until).await;
        }
        before => before.map(|(stuck, _)| stuck),
    };
    let (stuck, _) = Stuck::now(before, &reason, now);
    let until = stuck.next_try(now);
    resting::rest_on(tx, segment, &stuck, until).await?;
    resting::rest(tx, segment.id, &stuck, until).await
}

/// A job of which all that is left rests is stuck; any other stays as it is. To be saved by the caller.
pub async fn hold_up(tx: &mut Tx, job: Job, now: DateTime<Utc>) -> sqlx::Result<Job> {
    if !matches!(job.state, JobState::Running { .. }) {
        return Ok(job);
    }
    match resting::holds_up(tx, job.id, now).await? {
        Some(reason) => stick(tx, job, &reason, now).await,
        None => Ok(job),
    }
}

/// Pauses a job until its next try. To be saved by the caller.
pub async fn stick(tx: &mut Tx, job: Job, reason: &str, now: DateTime<Utc>) -> sqlx::Result<Job> {
    let (stuck, is_news) = Stuck::now(job.stuck.clone(), reason, now);
    let salvor = Actor::salvor();
    let next = stuck.next_try(now);
    let Ok(state) = job.state.clone().stick(salvor.name.clone(), reason.to_owned(), next, now) else {
        return Ok(job);
    };
    let job = Job { stuck: Some(stuck), ..job.moved(state, now) };
    if is_news {
        let sentence = format!("Stuck: {reason}. It goes on by itself when that is over.");
        events::record(tx, now, &salvor, EventKind::JobPaused, job.id, &sentence).await?;
    }
    Ok(job)
}

/// Something came of a try: after a finished segment, or (`is_done` false) when it has worked for a while again.
pub async fn settle(tx: &mut Tx, job: Job, is_done: bool, now: DateTime<Utc>) -> sqlx::Result<Job> {
    let (Some(stuck), JobState::Planning { since } | JobState::Running { since }) = (&job.stuck, &job.state)
    else {
        return Ok(job);
    };
    if !is_done && now - *since < SETTLED_AFTER {
        return Ok(job);
    }
    let seconds = (now - stuck.since).num_milliseconds() as f64 / 1000.0;
    let sentence = format!(
        "It goes on by itself after {}: {} is over.",
        units::duration(seconds.max(0.0)),
        quoted(&stuck.reason)
    );
    events::record(tx, now, &Actor::salvor(), EventKind::JobResumed, job.id, &sentence).await?;
    Ok(Job { stuck: None, ..job })
}

fn quoted(reason: &str) -> String {
    format!("\u{201c}{reason}\u{201d}")
}
