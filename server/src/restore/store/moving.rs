//! What is on its way: bytes that the holder of a segment has moved and not recorded as done yet.
//!
//! For people who watch, and for the rate; nothing is decided by it. What a holder told counts for as long as it holds the
//! lease: when it dies, or its attempt comes to nothing, the bytes are no longer counted.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use salvor_domain::ids::{JobId, WorkerId};

use super::{from_sql, segments, to_sql};
use crate::database::{Tx, execute, fetch_all};

/// Told by the holder of a segment.
pub async fn set(tx: &mut Tx, segment: i64, holder: WorkerId, bytes: u64) -> sqlx::Result<()> {
    let sql = "UPDATE segments SET moving_bytes = $3, moving_by = $2 WHERE id = $1 AND worker = $2";
    execute!(tx, sql, segment, holder.to_string(), to_sql(bytes)).map(drop)
}

/// What is on its way in a job.
#[derive(Debug, Clone, Default)]
pub struct Moving {
    pub bytes: u64,
    /// By the bits of the copies in whose lanes it moves. A file that another copy had to give counts here until it is recorded.
    by_bit: BTreeMap<u8, u64>,
}

impl Moving {
    pub fn of_copy(&self, bit: u8) -> u64 {
        self.by_bit.get(&bit).copied().unwrap_or(0)
    }
}

/// Of all segments of a job that somebody holds now.
pub async fn of_job(tx: &mut Tx, job: JobId, now: DateTime<Utc>) -> sqlx::Result<Moving> {
    let sql = "SELECT source_bit, CAST(sum(moving_bytes) AS BIGINT) FROM segments \
               WHERE job_id = $1 AND state = 'leased' AND lease_until > $2 AND moving_by = worker GROUP BY source_bit";
    let mut moving = Moving::default();
    for (bit, bytes) in fetch_all!(tx, (Option<i64>, i64), sql, job.to_string(), now)? {
        moving.bytes += from_sql(bytes);
        if let Some(bit) = segments::stored_bit(job, bit)? {
            moving.by_bit.insert(bit, from_sql(bytes));
        }
    }
    Ok(moving)
}
