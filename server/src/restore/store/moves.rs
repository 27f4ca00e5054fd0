//! Items that change their segment: waiting files that are brought sooner, or that another copy takes over.
//!
//! Invariant: whoever moves items holds the job's row, as does whoever settles them; so an item is settled in the segment
//! that it lies in, and nowhere else, and is counted once.

use std::collections::HashSet;

use salvor_domain::ids::JobId;
use salvor_domain::path::FilePath;
use sqlx::AssertSqlSafe;

use super::segments::{Item, ItemState, Segment, SegmentRow, stored_path};
use super::{from_sql, to_sql};
use crate::database::{Paths, Tx, execute, fetch_all};

/// The segments of a job's work that are not done and are needed less than `rank`, in order of need.
pub async fn open(tx: &mut Tx, job: JobId, rank: i64) -> sqlx::Result<Vec<Segment>> {
    let sql = "SELECT * FROM segments WHERE job_id = $1 AND kind = 'work' AND state <> 'done' AND rank > $2 \
               ORDER BY rank, id";
    fetch_all!(tx, SegmentRow, sql, job.to_string(), rank)?.into_iter().map(Segment::try_from).collect()
}

/// Which of these segments hold any of `paths` that still wait: one question instead of one for each segment.
pub async fn holding(tx: &mut Tx, job: JobId, rank: i64, paths: &[FilePath]) -> sqlx::Result<HashSet<i64>> {
    let sql = AssertSqlSafe(format!(
        "SELECT DISTINCT segment_id FROM items WHERE segment_id IN (SELECT id FROM segments WHERE job_id = $1 \
         AND kind = 'work' AND state <> 'done' AND rank > $2) AND state = $3 AND {}",
        tx.among("path", 4)
    ));
    let waiting = ItemState::Waiting.code();
    let rows = fetch_all!(tx, (i64,), sql, job.to_string(), rank, waiting, Paths::of(paths))?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// The last of the segments that wait in a copy's lane: those whose turn comes latest, at most `limit`.
pub async fn last_in_lane(tx: &mut Tx, volume_id: i64, bit: u8, limit: i64) -> sqlx::Result<Vec<Segment>> {
    let sql = "SELECT segments.* FROM jobs JOIN segments ON segments.job_id = jobs.id \
               WHERE jobs.volume_id = $1 AND jobs.state = 'running' AND segments.kind = 'work' \
               AND segments.state = 'waiting' AND segments.source_bit = $2 AND segments.rank >= 0 \
               AND segments.files > 0 AND jobs.kind = 'restore' \
               ORDER BY segments.rank DESC, segments.id DESC LIMIT $3";
    let rows = fetch_all!(tx, SegmentRow, sql, volume_id, i64::from(bit), limit)?;
    rows.into_iter().map(Segment::try_from).collect()
}

/// The paths that wait in a segment, from `first` up to, but not with, `end`; without an end to the last.
pub async fn waiting_between(
    tx: &mut Tx,
    segment: i64,
    first: &[u8],
    end: Option<&[u8]>,
) -> sqlx::Result<Vec<FilePath>> {
    let rows = match end {
        Some(end) => {
            let sql =
                "SELECT path FROM items WHERE segment_id = $1 AND state = 0 AND path >= $2 AND path < $3";
            fetch_all!(tx, (Vec<u8>,), sql, segment, first, end)?
        }
        None => {
            let sql = "SELECT path FROM items WHERE segment_id = $1 AND state = 0 AND path >= $2";
            fetch_all!(tx, (Vec<u8>,), sql, segment, first)?
        }
    };
    rows.into_iter().map(|(path,)| stored_path("items", segment, path)).collect()
}

/// Takes those of `paths` that wait in a segment out of it.
pub async fn take_out(tx: &mut Tx, segment: i64, paths: &[FilePath]) -> sqlx::Result<Vec<Item>> {
    let sql = AssertSqlSafe(format!(
        "DELETE FROM items WHERE segment_id = $1 AND state = $2 AND {} RETURNING path, size, corrupt",
        tx.among("path", 3)
    ));
    let waiting = ItemState::Waiting.code();
    let rows = fetch_all!(&mut *tx, (Vec<u8>, i64, bool), sql, segment, waiting, Paths::of(paths))?;
    let parsed = |(path, size, corrupt)| {
        Ok(Item { path: stored_path("items", segment, path)?, size: from_sql(size), corrupt })
    };
    let mut taken: Vec<Item> = rows.into_iter().map(parsed).collect::<sqlx::Result<_>>()?;
    if taken.is_empty() {
        return Ok(taken);
    }
    taken.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    let bytes: u64 = taken.iter().map(|item| item.size).sum();
    let sql = "UPDATE segments SET files = files - $2, bytes = bytes - $3 WHERE id = $1";
    execute!(tx, sql, segment, to_sql(taken.len() as u64), to_sql(bytes))?;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use salvor_domain::job::{JobRequest, JobState};
    use salvor_domain::volume::ModeState;

    use super::*;
    use crate::database::testing::databases;
    use crate::restore::store::segments;
    use crate::restore::store::{Job, insert};
    use crate::volumes::store as volumes;

    async fn job(tx: &mut Tx) -> Job {
        let now = chrono::DateTime::UNIX_EPOCH;
        let mode = ModeState::Normal { since: now, reason: "first seen".into(), by: "salvor".into() };
        volumes::add_volume(tx, "uploads", &mode).await.unwrap();
        let volume_id = volumes::volume(tx, "uploads").await.unwrap().unwrap().id;
        let request = JobRequest::Restore { from: vec![], paths: vec![], files: vec![], to_folder: None };
        let job = Job {
            state: JobState::Running { since: now },
            approved: true,
            ..Job::new(JobId::new(now, [1; 10]), volume_id, request, "ann".into(), now)
        };
        insert(tx, &job).await.unwrap();
        job
    }

    #[tokio::test]
    async fn an_item_that_was_moved_is_settled_where_it_lies() {
        let (_folder, all) = databases().await;
        for db in all {
            let mut tx = db.begin().await.unwrap();
            let job = job(&mut tx).await;
            let paths = ["a", "b", "c"].map(|name| FilePath::new(name).unwrap());
            let items = paths.clone().map(|path| Item { path, size: 7, corrupt: false });
            let first = segments::insert_work(&mut tx, job.id, &items, 5, None).await.unwrap();
            // A worker has all three in hand when somebody asks for one of them.
            let raised = take_out(&mut tx, first, &paths[1..2]).await.unwrap();
            segments::insert_work(&mut tx, job.id, &raised, -1, None).await.unwrap();
            let in_hand: Vec<&FilePath> = paths.iter().collect();
            let mut failed =
                segments::settle_each(&mut tx, first, &in_hand, ItemState::Failed).await.unwrap();
            failed.sort_unstable();
            assert_eq!(failed, [(paths[0].clone(), 7), (paths[2].clone(), 7)]);
            let states = segments::states(&mut tx, job.id, &paths[1..2]).await.unwrap();
            assert_eq!(states, [(paths[1].clone(), ItemState::Waiting)]);
        }
    }
}
