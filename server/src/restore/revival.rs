//! Jobs that are stuck go on by themselves: [`stick`] pauses one for a cause that may pass, [`revive`] lets every worker of every
//! process try it again when that is due, [`settle`] says that it really goes on.
//!
//! Invariants: what a person paused stays paused; the log has an event when the cause is new and one when the job goes on,
//! none for the tries between.

use chrono::{DateTime, Utc};
use salvor_domain::account::Actor;
use salvor_domain::event::EventKind;
use salvor_domain::ids::JobId;
use salvor_domain::job::JobState;
use salvor_domain::stuck::{SETTLED_AFTER, Stuck};
use salvor_domain::units;

use crate::core::Core;
use crate::database::Tx;
use crate::events;
use crate::restore::store::{self, Job};
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
        // Another worker may have done its last segment meanwhile: then nobody else would come to end it.
        let job = worker::finish_if_done(&mut tx, job.moved(state, now), now).await?;
        store::save(&mut tx, &job).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Pauses a job until its next try.
pub async fn stick(tx: &mut Tx, job: Job, reason: &str, now: DateTime<Utc>) -> sqlx::Result<()> {
    let (stuck, is_news) = Stuck::now(job.stuck.clone(), reason, now);
    let salvor = Actor::salvor();
    let next = stuck.next_try(now);
    let Ok(state) = job.state.clone().stick(salvor.name.clone(), reason.to_owned(), next, now) else {
        return Ok(());
    };
    let job = Job { stuck: Some(stuck), ..job.moved(state, now) };
    store::save(tx, &job).await?;
    if !is_news {
        return Ok(());
    }
    let sentence = format!("Stuck: {reason}. It goes on by itself when that is over.");
    events::record(tx, now, &salvor, EventKind::JobPaused, job.id, &sentence).await
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
