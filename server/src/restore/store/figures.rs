//! What a job's report adds up: amounts by copy, findings by kind, failures, samples of progress.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use salvor_domain::finding::{FindingCounts, FindingKind};
use salvor_domain::ids::JobId;
use salvor_domain::path::{FilePath, shown};
use salvor_domain::progress::{Amount, Sample};

use super::{from_sql, to_sql};
use crate::database::{Tx, bad_row, build, execute, fetch_all, fetch_optional, scalar};

/// What one copy gave (or, in a protect job, was given), and how long that kept it busy.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SourceFigures {
    pub amount: Amount,
    pub busy_seconds: f64,
}

const CHUNK: usize = 1_000;
/// Kept samples: enough for a chart, however long the job.
const MOST_SAMPLES: i64 = 300;

pub async fn add_source(tx: &mut Tx, job: JobId, name: &str, more: SourceFigures) -> sqlx::Result<()> {
    execute!(
        tx,
        "INSERT INTO job_sources (job_id, name, files, bytes, busy_seconds) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (job_id, name) DO UPDATE SET files = job_sources.files + excluded.files, \
         bytes = job_sources.bytes + excluded.bytes, busy_seconds = job_sources.busy_seconds + excluded.busy_seconds",
        job.to_string(),
        name,
        to_sql(more.amount.files),
        to_sql(more.amount.bytes),
        more.busy_seconds
    )
    .map(drop)
}

pub async fn sources(tx: &mut Tx, job: JobId) -> sqlx::Result<BTreeMap<String, SourceFigures>> {
    let sql = "SELECT name, files, bytes, busy_seconds FROM job_sources WHERE job_id = $1";
    let rows = fetch_all!(tx, (String, i64, i64, f64), sql, job.to_string())?;
    let figures = |(name, files, bytes, busy_seconds)| {
        let amount = Amount { files: from_sql(files), bytes: from_sql(bytes) };
        (name, SourceFigures { amount, busy_seconds })
    };
    Ok(rows.into_iter().map(figures).collect())
}

/// By its name, when each copy of a volume last gave files to a restore that ended; each of them was verified.
pub async fn last_restored_from(
    tx: &mut Tx,
    volume_id: i64,
) -> sqlx::Result<BTreeMap<String, DateTime<Utc>>> {
    let sql = "SELECT job_sources.name, max(jobs.finished_at) FROM jobs JOIN job_sources ON job_sources.job_id = jobs.id \
               WHERE jobs.volume_id = $1 AND jobs.kind = 'restore' AND jobs.finished_at IS NOT NULL \
               AND job_sources.files > 0 GROUP BY job_sources.name";
    let rows = fetch_all!(tx, (String, DateTime<Utc>), sql, volume_id)?;
    Ok(rows.into_iter().collect())
}

pub async fn add_findings(tx: &mut Tx, job: JobId, more: &FindingCounts) -> sqlx::Result<()> {
    for &kind in FindingKind::ALL.iter().filter(|&&kind| more.of(kind) > 0) {
        execute!(
            &mut *tx,
            "INSERT INTO job_findings (job_id, kind, count) VALUES ($1, $2, $3) \
             ON CONFLICT (job_id, kind) DO UPDATE SET count = job_findings.count + excluded.count",
            job.to_string(),
            kind.as_str(),
            to_sql(more.of(kind))
        )?;
    }
    Ok(())
}

pub async fn findings(tx: &mut Tx, job: JobId) -> sqlx::Result<FindingCounts> {
    let mut counts = FindingCounts::default();
    let sql = "SELECT kind, count FROM job_findings WHERE job_id = $1";
    for (kind, count) in fetch_all!(tx, (String, i64), sql, job.to_string())? {
        let kind: FindingKind = kind.parse().map_err(|why| bad_row("job_findings", "kind", job, why))?;
        counts.add(kind, from_sql(count));
    }
    Ok(counts)
}

/// Why files of a job failed; a file has one reason, the latest.
pub async fn add_failures(
    tx: &mut Tx,
    job: JobId,
    failures: &[(FilePath, String)],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let job = job.to_string();
    let longest = tx.longest_path();
    for failures in failures.chunks(CHUNK) {
        // A path that is too long to be a key is named by its beginning. One statement must not meet a key twice.
        let by_key: BTreeMap<&[u8], &str> = failures
            .iter()
            .map(|(path, reason)| (&path.as_bytes()[..path.as_bytes().len().min(longest)], reason.as_str()))
            .collect();
        build!(&mut *tx, |query, connection| {
            query.push("INSERT INTO job_failures (job_id, path, reason, at) ");
            query.push_values(&by_key, |mut values, (key, reason)| {
                values.push_bind(&job).push_bind(*key).push_bind(*reason).push_bind(now);
            });
            query
                .push(" ON CONFLICT (job_id, path) DO UPDATE SET reason = excluded.reason, at = excluded.at");
            query.build().execute(connection).await.map(drop)
        })?;
    }
    Ok(())
}

/// The first `limit` failures in path order, for people.
pub async fn failures(tx: &mut Tx, job: JobId, limit: usize) -> sqlx::Result<Vec<(String, String)>> {
    let sql = "SELECT path, reason FROM job_failures WHERE job_id = $1 ORDER BY path LIMIT $2";
    let rows = fetch_all!(tx, (Vec<u8>, String), sql, job.to_string(), to_sql(limit as u64))?;
    Ok(rows.into_iter().map(|(path, reason)| (shown(&path), reason)).collect())
}

/// Why these files failed in a job.
pub async fn failure_reason(tx: &mut Tx, job: JobId, path: &FilePath) -> sqlx::Result<Option<String>> {
    let sql = "SELECT reason FROM job_failures WHERE job_id = $1 AND path = $2";
    Ok(fetch_optional!(tx, (String,), sql, job.to_string(), path.as_bytes())?.map(|(reason,)| reason))
}

/// Forgets why files failed that wait again.
pub async fn clear_waiting_failures(tx: &mut Tx, job: JobId) -> sqlx::Result<()> {
    let sql = "DELETE FROM job_failures WHERE job_id = $1 AND path IN (SELECT path FROM items WHERE state = 0 \
               AND segment_id IN (SELECT id FROM segments WHERE job_id = $1))";
    execute!(tx, sql, job.to_string()).map(drop)
}

/// Forgets what an earlier attempt added up.
pub async fn clear(tx: &mut Tx, job: JobId) -> sqlx::Result<()> {
    let job_text = job.to_string();
    execute!(&mut *tx, "DELETE FROM job_findings WHERE job_id = $1", &job_text)?;
    execute!(&mut *tx, "DELETE FROM job_sources WHERE job_id = $1", &job_text)?;
    execute!(&mut *tx, "DELETE FROM job_samples WHERE job_id = $1", &job_text)?;
    execute!(&mut *tx, "DELETE FROM job_source_samples WHERE job_id = $1", &job_text)?;
    execute!(tx, "DELETE FROM job_failures WHERE job_id = $1", job_text).map(drop)
}

/// Keeps a sample, unless one was kept within the last active second; thins them out when there are many. `moving` says how much
/// is on its way from each copy.
pub async fn add_sample(
    tx: &mut Tx,
    job_id: JobId,
    now: DateTime<Utc>,
    sample: Sample,
    moving: &BTreeMap<String, u64>,
) -> sqlx::Result<()> {
    let job = job_id.to_string();
    let newest = "SELECT max(active_seconds) FROM job_samples WHERE job_id = $1";
    let newest = scalar!(&mut *tx, Option<f64>, newest, &job)?;
    if newest.is_some_and(|newest| newest > sample.active_seconds - 1.0) {
        return Ok(());
    }
    execute!(
        &mut *tx,
        "INSERT INTO job_samples (job_id, at, active_seconds, files, bytes) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (job_id, at) DO NOTHING",
        &job,
        now,
        sample.active_seconds,
        to_sql(sample.files),
        to_sql(sample.bytes)
    )?;
    let mut given: BTreeMap<String, Amount> =
        sources(tx, job_id).await?.into_iter().map(|(name, given)| (name, given.amount)).collect();
    for (name, bytes) in moving {
        given.entry(name.clone()).or_default().bytes += bytes;
    }
    for (name, given) in given {
        execute!(
            &mut *tx,
            "INSERT INTO job_source_samples (job_id, name, at, active_seconds, files, bytes) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (job_id, name, at) DO NOTHING",
            &job,
            name,
            now,
            sample.active_seconds,
            to_sql(given.files),
            to_sql(given.bytes)
        )?;
    }
    let count = scalar!(&mut *tx, i64, "SELECT count(*) FROM job_samples WHERE job_id = $1", &job)?;
    if count > MOST_SAMPLES {
        // Every other one of the older half goes; the newest stay dense, for the present rate.
        let sql = "DELETE FROM job_samples WHERE job_id = $1 AND at IN (SELECT at FROM \
                   (SELECT at, row_number() OVER (ORDER BY at) AS place FROM job_samples WHERE job_id = $1) AS numbered \
                   WHERE place > 1 AND place <= $2 AND place % 2 = 0)";
        execute!(&mut *tx, sql, &job, MOST_SAMPLES / 2)?;
        let sql = "DELETE FROM job_source_samples WHERE job_id = $1 \
                   AND at NOT IN (SELECT at FROM job_samples WHERE job_id = $1)";
        execute!(&mut *tx, sql, &job)?;
    }
    Ok(())
}

/// Oldest first.
pub async fn samples(tx: &mut Tx, job: JobId) -> sqlx::Result<Vec<Sample>> {
    let sql = "SELECT active_seconds, files, bytes FROM job_samples WHERE job_id = $1 ORDER BY at";
    let rows = fetch_all!(tx, (f64, i64, i64), sql, job.to_string())?;
    let sample = |(active_seconds, files, bytes)| Sample {
        active_seconds,
        files: from_sql(files),
        bytes: from_sql(bytes),
    };
    Ok(rows.into_iter().map(sample).collect())
}

/// As [`samples`], by the copies that the job reads.
pub async fn source_samples(tx: &mut Tx, job: JobId) -> sqlx::Result<BTreeMap<String, Vec<Sample>>> {
    let sql =
        "SELECT name, active_seconds, files, bytes FROM job_source_samples WHERE job_id = $1 ORDER BY at";
    let mut by_name: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    for (name, active_seconds, files, bytes) in fetch_all!(tx, (String, f64, i64, i64), sql, job.to_string())?
    {
        let sample = Sample { active_seconds, files: from_sql(files), bytes: from_sql(bytes) };
        by_name.entry(name).or_default().push(sample);
    }
    Ok(by_name)
}
