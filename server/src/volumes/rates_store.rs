//! The tables `copy_rates` and `drill_results`: what was measured of each copy, and what drills found of it.
//!
//! Of each copy the newest [`KEPT`] rows stay. The rates in `copies` are a summary of its newest measurements, for lists and
//! for quick decisions; estimates are made from the single ones.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use salvor_domain::cost::Measurement;
use salvor_domain::ids::JobId;
use salvor_domain::readiness::DrillResult;

use super::store::bit_of;
use super::{from_sql, to_sql};
use crate::database::{Tx, bad_row, execute, fetch_all};

/// Rows of each copy that are kept.
pub const KEPT: i64 = 200;
/// Measurements that the summary is made of.
const SUMMED: i64 = 10;

/// Keeps a measurement of a copy.
pub async fn add(
    tx: &mut Tx,
    volume_id: i64,
    bit: u8,
    measured: &Measurement,
    job: Option<JobId>,
) -> sqlx::Result<()> {
    let bit = i64::from(bit);
    let sql = "INSERT INTO copy_rates (volume_id, bit, at, basis, files, bytes, seconds, job_id) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    execute!(
        &mut *tx,
        sql,
        volume_id,
        bit,
        measured.at,
        measured.basis.as_str(),
        to_sql(measured.files),
        to_sql(measured.bytes),
        measured.seconds,
        job.map(|job| job.to_string())
    )?;
    let sql = "DELETE FROM copy_rates WHERE volume_id = $1 AND bit = $2 AND id NOT IN \
               (SELECT id FROM copy_rates WHERE volume_id = $1 AND bit = $2 ORDER BY at DESC, id DESC LIMIT $3)";
    execute!(&mut *tx, sql, volume_id, bit, KEPT)?;
    summarise(tx, volume_id, bit).await
}

/// Forgets what one job measured of a copy: it is measured anew.
pub async fn forget_job(tx: &mut Tx, volume_id: i64, bit: u8, job: JobId) -> sqlx::Result<()> {
    let sql = "DELETE FROM copy_rates WHERE volume_id = $1 AND bit = $2 AND job_id = $3";
    execute!(tx, sql, volume_id, i64::from(bit), job.to_string()).map(drop)
}

/// Probes are too short to be told as a copy's rate.
async fn summarise(tx: &mut Tx, volume_id: i64, bit: i64) -> sqlx::Result<()> {
    let sql = "UPDATE copies SET \
               measured_jobs = (SELECT count(*) FROM copy_rates WHERE volume_id = $1 AND bit = $2 AND basis <> 'probe'), \
               files_per_second = (SELECT CAST(sum(files) AS DOUBLE PRECISION) / sum(seconds) FROM (SELECT files, seconds FROM copy_rates \
               WHERE volume_id = $1 AND bit = $2 AND basis <> 'probe' AND seconds > 0 ORDER BY at DESC, id DESC LIMIT $3) AS newest), \
               bytes_per_second = (SELECT CAST(sum(bytes) AS DOUBLE PRECISION) / sum(seconds) FROM (SELECT bytes, seconds FROM copy_rates \
               WHERE volume_id = $1 AND bit = $2 AND basis <> 'probe' AND seconds > 0 ORDER BY at DESC, id DESC LIMIT $3) AS newest) \
               WHERE volume_id = $1 AND bit = $2";
    execute!(tx, sql, volume_id, bit, SUMMED).map(drop)
}

/// By the copies' bits, the newest first.
pub async fn measurements(tx: &mut Tx, volume_id: i64) -> sqlx::Result<BTreeMap<u8, Vec<Measurement>>> {
    let sql = "SELECT bit, at, basis, files, bytes, seconds FROM copy_rates WHERE volume_id = $1 \
               ORDER BY at DESC, id DESC";
    let rows = fetch_all!(tx, (i64, DateTime<Utc>, String, i64, i64, f64), sql, volume_id)?;
    let mut by_bit: BTreeMap<u8, Vec<Measurement>> = BTreeMap::new();
    for (bit, at, basis, files, bytes, seconds) in rows {
        let basis = basis.parse().map_err(|why| bad_row("copy_rates", "basis", at, why))?;
        let (files, bytes) = (from_sql(files), from_sql(bytes));
        by_bit.entry(bit_of("copy_rates", bit)?).or_default().push(Measurement {
            at,
            basis,
            files,
            bytes,
            seconds,
        });
    }
    Ok(by_bit)
}

/// What a drill found of a copy; told again (after a retry), it takes the place of what was told before.
pub async fn record_drill(
    tx: &mut Tx,
    volume_id: i64,
    bit: u8,
    job: JobId,
    found: &DrillResult,
) -> sqlx::Result<()> {
    let bit = i64::from(bit);
    let sql = "INSERT INTO drill_results (volume_id, bit, job_id, at, verified, failed, skipped, bytes, seconds, reason) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (volume_id, bit, job_id) DO UPDATE SET \
               at = excluded.at, verified = excluded.verified, failed = excluded.failed, skipped = excluded.skipped, \
               bytes = excluded.bytes, seconds = excluded.seconds, reason = excluded.reason";
    execute!(
        &mut *tx,
        sql,
        volume_id,
        bit,
        job.to_string(),
        found.at,
        to_sql(found.verified),
        to_sql(found.failed),
        to_sql(found.skipped),
        to_sql(found.bytes),
        found.seconds,
        &found.reason
    )?;
    let sql = "DELETE FROM drill_results WHERE volume_id = $1 AND bit = $2 AND job_id NOT IN \
               (SELECT job_id FROM drill_results WHERE volume_id = $1 AND bit = $2 ORDER BY at DESC LIMIT $3)";
    execute!(tx, sql, volume_id, bit, KEPT).map(drop)
}

/// The newest of each copy, by the copies' bits.
pub async fn last_drills(tx: &mut Tx, volume_id: i64) -> sqlx::Result<BTreeMap<u8, DrillResult>> {
    let sql = "SELECT bit, job_id, at, verified, failed, skipped, bytes, seconds, reason FROM drill_results \
               WHERE volume_id = $1 ORDER BY at";
    type Row = (i64, String, DateTime<Utc>, i64, i64, i64, i64, f64, Option<String>);
    let mut by_bit = BTreeMap::new();
    for (bit, job, at, verified, failed, skipped, bytes, seconds, reason) in
        fetch_all!(tx, Row, sql, volume_id)?
    {
        let found = DrillResult {
            job,
            at,
            verified: from_sql(verified),
            failed: from_sql(failed),
            skipped: from_sql(skipped),
            bytes: from_sql(bytes),
            seconds,
            reason,
        };
        by_bit.insert(bit_of("drill_results", bit)?, found);
    }
    Ok(by_bit)
}
