//! The table `orphans`: the nameless files that a job gives their places back, beside the items that they are for.

use chrono::{DateTime, Utc};
use salvor_domain::ids::JobId;
use salvor_domain::path::FilePath;
use salvor_engine::{Stamp, Taken};
use sqlx::AssertSqlSafe;

use super::segments::{Item, stored_path};
use super::{from_sql, to_sql};
use crate::database::{Paths, Tx, bad_row, build, execute, fetch_all, scalar};

/// Rows a statement, well under SQLite's limit of values.
const CHUNK: usize = 1_000;

/// For the item at `path`; [`Taken::folder`] is the folder's number as the table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrphanFor {
    pub path: FilePath,
    pub taken: Taken,
}

pub async fn insert(tx: &mut Tx, job: JobId, orphans: &[OrphanFor]) -> sqlx::Result<()> {
    let job = job.to_string();
    for orphans in orphans.chunks(CHUNK) {
        build!(&mut *tx, |query, connection| {
            query.push("INSERT INTO orphans (job_id, path, folder, orphan, stamp, twin) ");
            query.push_values(orphans, |mut values, OrphanFor { path, taken }| {
                values.push_bind(&job).push_bind(path.as_bytes()).push_bind(to_sql(taken.folder as u64));
                values.push_bind(taken.path.as_bytes()).push_bind(taken.stamp.0.cast_signed());
                values.push_bind(taken.twin.as_ref().map(FilePath::as_bytes));
            });
            query.build().execute(connection).await.map(drop)
        })?;
    }
    Ok(())
}

/// The items that wait in a segment and have an orphan, in path order.
pub async fn waiting(tx: &mut Tx, job: JobId, segment: i64) -> sqlx::Result<Vec<(Item, OrphanFor)>> {
    // Most jobs have none: ask for that first, and spare them the join.
    let any = "SELECT count(*) FROM (SELECT 1 AS one FROM orphans WHERE job_id = $1 LIMIT 1) AS found";
    if scalar!(&mut *tx, i64, any, job.to_string())? == 0 {
        return Ok(Vec::new());
    }
    let sql = "SELECT items.path, items.size, items.corrupt, orphans.folder, orphans.orphan, orphans.stamp, orphans.twin \
               FROM items JOIN orphans ON orphans.job_id = $2 AND orphans.path = items.path \
               WHERE items.segment_id = $1 AND items.state = 0 ORDER BY items.path";
    type Row = (Vec<u8>, i64, bool, i64, Vec<u8>, i64, Option<Vec<u8>>);
    let rows = fetch_all!(tx, Row, sql, segment, job.to_string())?;
    let parsed = |(path, size, corrupt, folder, orphan, stamp, twin): Row| {
        let path = stored_path("items", segment, path)?;
        let taken = Taken {
            folder: usize::try_from(folder).map_err(|why| bad_row("orphans", "folder", &path, why))?,
            path: stored_path("orphans", &path, orphan)?,
            stamp: Stamp(stamp.cast_unsigned()),
            twin: twin.map(|twin| stored_path("orphans", &path, twin)).transpose()?,
        };
        let item = Item { path: path.clone(), size: from_sql(size), corrupt };
        Ok((item, OrphanFor { path, taken }))
    };
    rows.into_iter().map(parsed).collect()
}

/// These items have none any more: it did not fit after all. What is in place is not asked for again, and goes with the job.
pub async fn forget(tx: &mut Tx, job: JobId, paths: &[&FilePath]) -> sqlx::Result<()> {
    let sql = AssertSqlSafe(format!("DELETE FROM orphans WHERE job_id = $1 AND {}", tx.among("path", 2)));
    execute!(tx, sql, job.to_string(), Paths::of(paths.iter().copied())).map(drop)
}

/// Forgets those of jobs that ended before this: nobody retries them any more.
pub async fn forget_old(tx: &mut Tx, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let sql = "DELETE FROM orphans WHERE job_id IN (SELECT id FROM jobs WHERE finished_at < $1)";
    execute!(tx, sql, before)
}

/// Forgets all of a job: what an earlier plan took, or what is over.
pub async fn clear(tx: &mut Tx, job: JobId) -> sqlx::Result<()> {
    execute!(tx, "DELETE FROM orphans WHERE job_id = $1", job.to_string()).map(drop)
}
