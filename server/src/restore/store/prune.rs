//! What jobs leave behind, and for how long: a database must not grow with every job that a volume of a million files had.
//!
//! Items are the bulk of it. Those that failed or were left alone stay, for a retry and for whoever asks why, and a ticket's
//! job keeps all of its few. Of other jobs, items that are done are forgotten: with their segment where there are many, else
//! when they are old.

use chrono::{DateTime, Utc};
use salvor_domain::job::JobKind;

use super::Job;
use crate::database::{Tx, execute, scalar};

/// A job of more files forgets items as it goes.
const MANY_FILES: u64 = 5_000;

/// Whether a job forgets items as it goes.
pub fn forgets(job: &Job) -> bool {
    // What a drill found is counted at its end, from its items.
    job.kind() != JobKind::Drill && job.ticket.is_none() && job.files.total > MANY_FILES
}

/// Forgets the items of a segment that are done, if its job is one of many files.
pub async fn segment_done(tx: &mut Tx, job: &Job, segment: i64) -> sqlx::Result<()> {
    if !forgets(job) {
        return Ok(());
    }
    execute!(tx, "DELETE FROM items WHERE segment_id = $1 AND state = 1", segment).map(drop)
}

/// Whether there is something for [`forget_items`].
pub async fn has_old_items(tx: &mut Tx, before: DateTime<Utc>) -> sqlx::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM jobs JOIN segments ON segments.job_id = jobs.id \
               JOIN items ON items.segment_id = segments.id \
               WHERE jobs.finished_at < $1 AND jobs.ticket IS NULL AND items.state = 1)";
    scalar!(tx, bool, sql, before)
}

/// Forgets the items that are done of some segments, at most `limit`, of jobs that ended before this.
pub async fn forget_items(tx: &mut Tx, before: DateTime<Utc>, limit: u32) -> sqlx::Result<u64> {
    let sql = "DELETE FROM items WHERE state = 1 AND segment_id IN (SELECT segments.id FROM jobs \
               JOIN segments ON segments.job_id = jobs.id WHERE jobs.finished_at < $1 AND jobs.ticket IS NULL \
               AND EXISTS (SELECT 1 FROM items WHERE items.segment_id = segments.id AND items.state = 1) LIMIT $2)";
    execute!(tx, sql, before, i64::from(limit))
}

#[cfg(test)]
mod tests {
    use salvor_domain::ids::JobId;
    use salvor_domain::job::{FileCounts, JobRequest, JobState};
    use salvor_domain::path::FilePath;
    use salvor_domain::volume::ModeState;

    use super::*;
    use crate::database::testing::databases;
    use crate::restore::store::segments::{self, Item, ItemState, NewSegment, SegmentKind};
    use crate::restore::store::{insert, save};
    use crate::volumes::store as volumes;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn path(name: &str) -> FilePath {
        FilePath::new(name).unwrap()
    }

    /// A restore that ended, of so many files, with one segment: a is done, b failed, c was left alone.
    async fn ended(tx: &mut Tx, number: u8, files: u64, ticket: Option<i64>) -> (Job, i64) {
        let mode = ModeState::Normal { since: at(0), reason: "first seen".into(), by: "salvor".into() };
        volumes::add_volume(tx, "uploads", &mode).await.unwrap();
        let volume = volumes::volume(tx, "uploads").await.unwrap().unwrap();
        let request = JobRequest::Restore { from: vec![], paths: vec![], files: vec![], to_folder: None };
        let job = Job {
            state: JobState::Finished { at: at(1) },
            approved: true,
            ticket,
            started_at: Some(at(0)),
            finished_at: Some(at(1)),
            active_seconds: 1.0,
            files: FileCounts { total: files, ..FileCounts::default() },
            ..Job::new(JobId::new(at(0), [number; 10]), volume.id, request, "ann".into(), at(0))
        };
        insert(tx, &job).await.unwrap();
        save(tx, &job).await.unwrap();
        let segment = NewSegment {
            kind: SegmentKind::Work,
            rank: 0,
            range: None,
            files: 3,
            bytes: 3,
            done_at: Some(at(1)),
        };
        let segment = segments::insert(tx, job.id, &segment).await.unwrap();
        for (name, state) in [("a", ItemState::Done), ("b", ItemState::Failed), ("c", ItemState::Skipped)] {
            let item = Item { path: path(name), size: 1, corrupt: false };
            segments::insert_items(tx, segment, &[item], state).await.unwrap();
        }
        (job, segment)
    }

    async fn left(tx: &mut Tx, job: &Job) -> Vec<String> {
        let states = segments::states(tx, job.id, &[path("a"), path("b"), path("c")]).await.unwrap();
        states.into_iter().map(|(path, _)| path.to_string()).collect()
    }

    #[tokio::test]
    async fn a_job_of_many_files_forgets_what_is_done_with_its_segment() {
        let (_folder, all) = databases().await;
        for db in all {
            let mut tx = db.begin().await.unwrap();
            for (number, files, ticket, expected) in [
                (1, MANY_FILES + 1, None, &["b", "c"][..]),
                (2, MANY_FILES, None, &["a", "b", "c"]),
                (3, MANY_FILES + 1, Some(7), &["a", "b", "c"]),
            ] {
                let (job, segment) = ended(&mut tx, number, files, ticket).await;
                segment_done(&mut tx, &job, segment).await.unwrap();
                assert_eq!(left(&mut tx, &job).await, expected);
                // What failed can still be retried.
                assert_eq!(segments::reopen_failed(&mut tx, job.id).await.unwrap(), 1);
                assert_eq!(segments::waiting_items(&mut tx, segment).await.unwrap()[0].path, path("b"));
            }
        }
    }

    #[tokio::test]
    async fn old_jobs_keep_only_what_is_open() {
        let (_folder, all) = databases().await;
        for db in all {
            let mut tx = db.begin().await.unwrap();
            let (first, _) = ended(&mut tx, 1, 3, None).await;
            let (second, _) = ended(&mut tx, 2, 3, None).await;
            let (ticket, _) = ended(&mut tx, 3, 3, Some(7)).await;
            assert!(!has_old_items(&mut tx, at(1)).await.unwrap());
            for _ in 0..2 {
                assert!(has_old_items(&mut tx, at(2)).await.unwrap());
                assert_eq!(forget_items(&mut tx, at(2), 1).await.unwrap(), 1);
            }
            assert!(!has_old_items(&mut tx, at(2)).await.unwrap());
            for (job, expected) in
                [(&first, &["b", "c"][..]), (&second, &["b", "c"]), (&ticket, &["a", "b", "c"])]
            {
                assert_eq!(left(&mut tx, job).await, expected);
            }
        }
    }
}
