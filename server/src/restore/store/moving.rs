//! What is on its way: bytes that the holder of a segment has moved and not recorded as done yet.
//!
//! For people who watch, and for the rate; nothing is decided by it. What a holder told counts for as long as it holds the
//! lease: when it dies, or its attempt comes to nothing, the bytes are no longer counted.

use chrono::{DateTime, Utc};
use salvor_domain::ids::{JobId, WorkerId};

use super::{from_sql, to_sql};
use crate::database::{Tx, execute, scalar};

/// Told by the holder of a segment.
pub async fn set(tx: &mut Tx, segment: i64, holder: WorkerId, bytes: u64) -> sqlx::Result<()> {
    let sql = "UPDATE segments SET moving_bytes = $3, moving_by = $2 WHERE id = $1 AND worker = $2";
    execute!(tx, sql, segment, holder.to_string(), to_sql(bytes)).map(drop)
}

/// Of all segments of a job that somebody holds now.
pub async fn of_job(tx: &mut Tx, job: JobId, now: DateTime<Utc>) -> sqlx::Result<u64> {
    let sql = "SELECT CAST(coalesce(sum(moving_bytes), 0) AS BIGINT) FROM segments \
               WHERE job_id = $1 AND state = 'leased' AND lease_until > $2 AND moving_by = worker";
    scalar!(tx, i64, sql, job.to_string(), now).map(from_sql)
}
