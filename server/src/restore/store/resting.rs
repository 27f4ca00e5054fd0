//! Segments that rest because their files wait for a copy that is away: as a job does that is stuck, each knows what holds it up
//! and when it is tried again. Those that rest in one lane of a job do so together: one of them is tried for all.

use chrono::{DateTime, Utc};
use salvor_domain::ids::JobId;
use salvor_domain::stuck::Stuck;
use sqlx::types::Json;

use super::segments::Segment;
use crate::database::{Tx, execute, fetch_all, fetch_optional, scalar};

/// What a lane of a job rests for, and until when.
pub async fn of_lane(
    tx: &mut Tx,
    job: JobId,
    source_bit: Option<u8>,
) -> sqlx::Result<Option<(Stuck, DateTime<Utc>)>> {
    let sql = "SELECT stuck, tries_again_at FROM segments WHERE job_id = $1 AND coalesce(source_bit, -1) = $2 \
               AND stuck IS NOT NULL ORDER BY tries_again_at DESC LIMIT 1";
    let row = fetch_optional!(tx, (Json<Stuck>, DateTime<Utc>), sql, job.to_string(), lane(source_bit))?;
    Ok(row.map(|(Json(stuck), until)| (stuck, until)))
}

/// The segment rests.
pub async fn rest(tx: &mut Tx, segment: i64, stuck: &Stuck, until: DateTime<Utc>) -> sqlx::Result<()> {
    let sql = "UPDATE segments SET stuck = $2, tries_again_at = $3 WHERE id = $1";
    execute!(tx, sql, segment, Json(stuck), until).map(drop)
}

/// It was tried for all that rest in its lane: so do they, as long as it does.
pub async fn rest_on(tx: &mut Tx, tried: &Segment, stuck: &Stuck, until: DateTime<Utc>) -> sqlx::Result<()> {
    let sql = "UPDATE segments SET stuck = $3, tries_again_at = $4 \
               WHERE job_id = $1 AND coalesce(source_bit, -1) = $2 AND stuck IS NOT NULL";
    execute!(tx, sql, tried.job.to_string(), lane(tried.source_bit), Json(stuck), until).map(drop)
}

/// Nothing rests in the lane any more; gives what it rested for.
pub async fn wake(tx: &mut Tx, job: JobId, source_bit: Option<u8>) -> sqlx::Result<Option<Stuck>> {
    let Some((stuck, _)) = of_lane(tx, job, source_bit).await? else { return Ok(None) };
    let sql = "UPDATE segments SET stuck = NULL, tries_again_at = NULL \
               WHERE job_id = $1 AND coalesce(source_bit, -1) = $2 AND stuck IS NOT NULL";
    execute!(tx, sql, job.to_string(), lane(source_bit))?;
    Ok(Some(stuck))
}

/// What rests in a job is tried at once: the job goes on after it was stuck, or by a person's word.
pub async fn try_now(tx: &mut Tx, job: JobId, now: DateTime<Utc>) -> sqlx::Result<()> {
    let sql = "UPDATE segments SET tries_again_at = $2 WHERE job_id = $1 AND stuck IS NOT NULL";
    execute!(tx, sql, job.to_string(), now).map(drop)
}

/// Whether anything rests because this copy is away, in whatever job of its volume.
pub async fn is_away(tx: &mut Tx, volume_id: i64, bit: u8) -> sqlx::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM jobs JOIN segments ON segments.job_id = jobs.id WHERE jobs.volume_id = $1 \
               AND jobs.state = 'running' AND segments.source_bit = $2 AND segments.stuck IS NOT NULL)";
    scalar!(tx, bool, sql, volume_id, i64::from(bit))
}

/// What holds a job up of which all that is left rests; `None` while anything of it can be done, or is being done.
pub async fn holds_up(tx: &mut Tx, job: JobId, now: DateTime<Utc>) -> sqlx::Result<Option<String>> {
    let job = job.to_string();
    let sql = "SELECT count(*) FROM segments WHERE job_id = $1 AND kind = 'work' AND state <> 'done' \
               AND NOT (state = 'waiting' AND stuck IS NOT NULL AND tries_again_at > $2)";
    if scalar!(&mut *tx, i64, sql, &job, now)? > 0 {
        return Ok(None);
    }
    let sql = "SELECT DISTINCT stuck FROM segments WHERE job_id = $1 AND stuck IS NOT NULL";
    let rows = fetch_all!(tx, (Json<Stuck>,), sql, job)?;
    let mut reasons: Vec<String> = rows.into_iter().map(|(Json(stuck),)| stuck.reason).collect();
    reasons.sort_unstable();
    reasons.dedup();
    // One that waits for two copies says all that those say which wait for one of them.
    let said = |reason: &&String| {
        !reasons.iter().any(|other| other.len() > reason.len() && other.contains(reason.as_str()))
    };
    let reasons: Vec<&str> = reasons.iter().filter(said).map(String::as_str).collect();
    Ok((!reasons.is_empty()).then(|| reasons.join("; ")))
}

fn lane(source_bit: Option<u8>) -> i64 {
    source_bit.map_or(-1, i64::from)
}
