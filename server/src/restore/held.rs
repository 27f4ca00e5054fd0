//! What is known to hold a job up while it is under way: limits that let nothing through, and copies that give nothing.

use salvor_domain::job::{JobRequest, JobState};
use salvor_domain::progress::SILENCE;
use salvor_domain::timetable::InForce;
use salvor_domain::units;

use crate::agents::store as agents;
use crate::core::Core;
use crate::database::Tx;
use crate::restore::store::{Job, segments};
use crate::volumes::store::{self as volumes, CopyRow};

/// The agent that it waits for: `waits for the agent of storage-1`.
pub async fn by_agent(core: &Core, tx: &mut Tx, job: &Job) -> sqlx::Result<Option<String>> {
    if !job.state.is_active() {
        return Ok(None);
    }
    let Some(volume) = volumes::volume_by_id(tx, job.volume_id).await? else { return Ok(None) };
    let Some(host) = core.config.volume(&volume.name).and_then(|config| config.host.as_ref()) else {
        return Ok(None);
    };
    let is_there =
        core.agents.is_connected(host) || agents::connected(tx, core.clock.now()).await?.contains(host);
    Ok((!is_there).then(|| format!("waits for the agent of {host}")))
}

/// The limits that hold it up: `offsite is paused by its limit`.
pub async fn by_limits(core: &Core, tx: &mut Tx, job: &Job) -> sqlx::Result<Option<String>> {
    let draws = match (&job.state, &job.request) {
        // Names and sizes are looked at within no limit.
        (_, JobRequest::Check { full: false, .. } | JobRequest::DiskCheck {}) => false,
        (JobState::Running { .. }, _) => true,
        // Their plans read what lies nameless.
        (JobState::Planning { .. }, JobRequest::Restore { .. } | JobRequest::Reunite { .. }) => true,
        _ => false,
    };
    if draws && job.limits.limits().pauses() {
        return Ok(Some("the job is paused by its limit".to_owned()));
    }
    if !matches!(job.state, JobState::Running { .. }) {
        return Ok(None);
    }
    let Some(volume) = volumes::volume_by_id(tx, job.volume_id).await? else { return Ok(None) };
    let Some(config) = core.config.volume(&volume.name) else { return Ok(None) };
    let (rows, local) = (volumes::copies(tx, volume.id).await?, core.clock.local());
    let pauses = |row: &CopyRow| {
        let copy = config.copies.iter().find(|copy| copy.name == row.name);
        copy.is_some_and(|copy| {
            InForce::at(row.limits, copy.limits(), &copy.timetable, local).limits.pauses()
        })
    };
    let mut paused: Vec<CopyRow> = rows.into_iter().filter(pauses).collect();
    if !paused.is_empty() {
        match &job.request {
            JobRequest::Restore { .. } | JobRequest::Drill { .. } => {
                let open = segments::open_sources(tx, job.id).await?;
                paused.retain(|row| open.contains(&row.bit));
            }
            JobRequest::Protect { adopt: Some(copy), .. } => paused.retain(|row| row.name == *copy),
            JobRequest::Protect { to, .. } => paused.retain(|row| to.is_empty() || to.contains(&row.name)),
            JobRequest::Check { .. } | JobRequest::Reunite { .. } | JobRequest::DiskCheck {} => {
                paused.clear()
            }
        }
    }
    let names: Vec<String> = paused.into_iter().map(|row| row.name).collect();
    Ok(match names.as_slice() {
        [] => None,
        [one] => Some(format!("{one} is paused by its limit")),
        several => Some(format!("{} are paused by their limits", several.join(" and "))),
    })
}

/// Nothing has moved for `quiet` seconds, of what this copy should give.
pub fn by_silence(quiet: f64, copy: Option<&str>) -> Option<String> {
    let since = units::duration(quiet);
    match copy {
        _ if quiet <= SILENCE => None,
        None => Some(format!("nothing has moved for {since}")),
        Some(copy) => Some(format!("nothing has come from {copy} for {since}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_named_once_it_is_long() {
        assert_eq!(by_silence(SILENCE, Some("offsite")), None);
        assert_eq!(by_silence(120.0, Some("offsite")).unwrap(), "nothing has come from offsite for 2 min");
        assert_eq!(by_silence(120.0, None).unwrap(), "nothing has moved for 2 min");
    }
}
