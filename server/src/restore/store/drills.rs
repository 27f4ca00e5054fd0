//! The table `drill_parts`: which copy each segment of a drill tries, and what became of its files.

use std::collections::BTreeMap;

use salvor_domain::ids::JobId;

use super::from_sql;
use super::segments::ItemState;
use crate::database::{Tx, bad_row, execute, fetch_all, fetch_optional};

/// What became of the files that were chosen from one copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub waiting: u64,
    pub verified: u64,
    pub failed: u64,
    pub skipped: u64,
}

pub async fn add(tx: &mut Tx, job: JobId, segment: i64, bit: u8) -> sqlx::Result<()> {
    let sql = "INSERT INTO drill_parts (segment_id, job_id, bit) VALUES ($1, $2, $3)";
    execute!(tx, sql, segment, job.to_string(), i64::from(bit)).map(drop)
}

/// Forgets the parts of an earlier plan.
pub async fn clear(tx: &mut Tx, job: JobId) -> sqlx::Result<()> {
    execute!(tx, "DELETE FROM drill_parts WHERE job_id = $1", job.to_string()).map(drop)
}

pub async fn bit(tx: &mut Tx, segment: i64) -> sqlx::Result<Option<u8>> {
    let row = fetch_optional!(tx, (i64,), "SELECT bit FROM drill_parts WHERE segment_id = $1", segment)?;
    row.map(|(bit,)| parsed(bit)).transpose()
}

/// By the copies' bits.
pub async fn tallies(tx: &mut Tx, job: JobId) -> sqlx::Result<BTreeMap<u8, Tally>> {
    let sql = "SELECT drill_parts.bit, items.state, count(*) FROM drill_parts \
               JOIN items ON items.segment_id = drill_parts.segment_id WHERE drill_parts.job_id = $1 \
               GROUP BY drill_parts.bit, items.state";
    let mut tallies: BTreeMap<u8, Tally> = BTreeMap::new();
    for (bit, state, count) in fetch_all!(tx, (i64, i64, i64), sql, job.to_string())? {
        let tally = tallies.entry(parsed(bit)?).or_default();
        let count = from_sql(count);
        match ItemState::from_code(state) {
            Some(ItemState::Waiting) => tally.waiting += count,
            Some(ItemState::Done) => tally.verified += count,
            Some(ItemState::Failed) => tally.failed += count,
            Some(ItemState::Skipped) => tally.skipped += count,
            None => return Err(bad_row("items", "state", job, format!("{state} is not between 0 and 3"))),
        }
    }
    Ok(tallies)
}

fn parsed(bit: i64) -> sqlx::Result<u8> {
    u8::try_from(bit).map_err(|why| bad_row("drill_parts", "bit", bit, why))
}
