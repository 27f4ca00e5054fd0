//! The tables `segments` and `items`: the parts of a job that workers hold by lease, and the files in them.

use std::borrow::Borrow;

use chrono::{DateTime, Utc};
use salvor_domain::ids::JobId;
use salvor_domain::path::FilePath;
use salvor_domain::progress::Amount;
use salvor_domain::segment::{LEASE, SegmentState};
use salvor_domain::stuck::{LONGEST_WAIT, Stuck};
use sqlx::AssertSqlSafe;
use sqlx::types::Json;

use super::{from_sql, to_sql};
use crate::database::{Paths, Tx, bad_row, build, execute, fetch_all, fetch_optional, scalar};
use crate::restore::lanes::{Lane, Waiting};
use crate::restore::need::Rank;

/// What a segment is: the making of the plan, or a part of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentKind {
    Plan,
    Work,
}

impl SegmentKind {
    fn word(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Work => "work",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub id: i64,
    pub job: JobId,
    pub kind: SegmentKind,
    pub state: SegmentState,
    /// Order of need: lower goes first.
    pub rank: i64,
    /// The copy that its files are to be read from, by its bit.
    pub source_bit: Option<u8>,
    /// The first and the last path of a range; of a segment with items, and of a plan, none.
    pub range: Option<(FilePath, FilePath)>,
    pub files: u64,
    pub bytes: u64,
    /// What holds it up, or did until it was tried again just now: see [`super::resting`].
    pub stuck: Option<Stuck>,
}

#[derive(Debug, Clone)]
pub struct NewSegment<'a> {
    pub kind: SegmentKind,
    /// Order of need: lower goes first.
    pub rank: i64,
    pub range: Option<(&'a FilePath, &'a FilePath)>,
    pub files: u64,
    pub bytes: u64,
    /// When there is nothing to do in it: its items failed while they were planned.
    pub done_at: Option<DateTime<Utc>>,
}

/// Segments of jobs for tickets go before all others.
pub const TICKET_RANK: i64 = Rank::TICKET;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub path: FilePath,
    pub size: u64,
    /// Known to be corrupt or unreadable where it is.
    pub corrupt: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemState {
    Waiting,
    Done,
    Failed,
    Skipped,
}

impl ItemState {
    pub(super) fn code(self) -> i64 {
        match self {
            Self::Waiting => 0,
            Self::Done => 1,
            Self::Failed => 2,
            Self::Skipped => 3,
        }
    }

    pub(super) fn from_code(code: i64) -> Option<Self> {
        [Self::Waiting, Self::Done, Self::Failed, Self::Skipped]
            .into_iter()
            .find(|state| state.code() == code)
    }
}

/// Rows a statement, well under SQLite's limit of values.
pub(super) const CHUNK: usize = 1_000;

pub async fn insert(tx: &mut Tx, job: JobId, segment: &NewSegment<'_>) -> sqlx::Result<i64> {
    insert_from(tx, job, segment, None).await
}

/// As [`insert`], for files that are to be read from the copy with this bit.
async fn insert_from(
    tx: &mut Tx,
    job: JobId,
    segment: &NewSegment<'_>,
    source_bit: Option<u8>,
) -> sqlx::Result<i64> {
    let (first, last) = segment.range.unzip();
    scalar!(
        tx,
        i64,
        "INSERT INTO segments (job_id, kind, rank, state, done_at, first_path, last_path, files, bytes, source_bit) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id",
        job.to_string(),
        segment.kind.word(),
        segment.rank,
        if segment.done_at.is_some() { "done" } else { "waiting" },
        segment.done_at,
        first.map(FilePath::as_bytes),
        last.map(FilePath::as_bytes),
        to_sql(segment.files),
        to_sql(segment.bytes),
        source_bit.map(i64::from),
    )
}

/// A segment of work with these items, which all wait; they are to be read from the copy with this bit.
pub async fn insert_work(
    tx: &mut Tx,
    job: JobId,
    items: &[Item],
    rank: i64,
    source_bit: Option<u8>,
) -> sqlx::Result<i64> {
    let segment = NewSegment {
        kind: SegmentKind::Work,
        rank,
        range: None,
        files: items.len() as u64,
        bytes: items.iter().map(|item| item.size).sum(),
        done_at: None,
    };
    let id = insert_from(tx, job, &segment, source_bit).await?;
    insert_items(tx, id, items, ItemState::Waiting).await?;
    Ok(id)
}

/// Which segments a worker looks at.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    pub now: DateTime<Utc>,
    /// Of this job alone.
    pub only: Option<JobId>,
    /// Of these volumes: those that the process has in its configuration.
    pub volumes: &'a [i64],
}

impl Search<'_> {
    /// The condition on a row of `segments`: nobody holds it, it does not rest, and its job wants it done. Binds `$1` to `$4`. A
    /// lease that ends later than one taken now was taken before the clock went backwards: a living holder would have renewed
    /// it; so was a rest that is longer than any.
    fn condition(&self) -> String {
        let volumes: Vec<String> = self.volumes.iter().map(i64::to_string).collect();
        format!(
            "(segments.state = 'waiting' OR (segments.state = 'leased' \
             AND (segments.lease_until <= $1 OR segments.lease_until > $3))) \
             AND (segments.tries_again_at IS NULL OR segments.tries_again_at <= $1 OR segments.tries_again_at > $4) \
             AND ((jobs.state = 'planning' AND segments.kind = 'plan') \
             OR (jobs.state = 'running' AND segments.kind = 'work')) \
             AND jobs.volume_id IN ({}) AND ($2 = '' OR segments.job_id = $2)",
            if volumes.is_empty() { "0".to_owned() } else { volumes.join(", ") }
        )
    }

    /// `$1`, `$3` and `$4`.
    fn times(&self) -> (DateTime<Utc>, DateTime<Utc>, DateTime<Utc>) {
        (self.now, self.now + LEASE, self.now + LONGEST_WAIT)
    }

    fn only(&self) -> String {
        self.only.map(|job| job.to_string()).unwrap_or_default()
    }
}

/// The lanes that have segments which nobody holds, each with the rank of what is needed most in it.
pub async fn waiting(tx: &mut Tx, search: Search<'_>) -> sqlx::Result<Vec<Waiting>> {
    let sql = AssertSqlSafe(format!(
        "SELECT jobs.volume_id, segments.source_bit, min(segments.rank) FROM jobs \
         JOIN segments ON segments.job_id = jobs.id WHERE {} \
         GROUP BY jobs.volume_id, segments.source_bit ORDER BY jobs.volume_id, segments.source_bit",
        search.condition()
    ));
    let (now, lease, rest) = search.times();
    let rows = fetch_all!(tx, (i64, Option<i64>, i64), sql, now, search.only(), lease, rest)?;
    rows.into_iter()
        .map(|(volume_id, bit, best_rank)| {
            Ok(Waiting { lane: Lane::of(volume_id, stored_bit(volume_id, bit)?), best_rank })
        })
        .collect()
}

/// The segment that is needed most in a lane.
pub async fn candidate(tx: &mut Tx, search: Search<'_>, lane: Lane) -> sqlx::Result<Option<Segment>> {
    let lane = match lane {
        Lane::Home => "segments.source_bit IS NULL".to_owned(),
        Lane::Copy { volume_id, bit } => {
            format!("jobs.volume_id = {volume_id} AND segments.source_bit = {bit}")
        }
    };
    let sql = AssertSqlSafe(format!(
        "SELECT * FROM segments WHERE id = (SELECT segments.id FROM jobs \
         JOIN segments ON segments.job_id = jobs.id WHERE {} AND {lane} \
         ORDER BY segments.rank, segments.job_id, segments.id LIMIT 1)",
        search.condition()
    ));
    let (now, lease, rest) = search.times();
    fetch_optional!(tx, SegmentRow, sql, now, search.only(), lease, rest)?.map(Segment::try_from).transpose()
}

/// Reads a segment to change it.
pub async fn lock(tx: &mut Tx, id: i64) -> sqlx::Result<Option<Segment>> {
    let sql = AssertSqlSafe(format!("SELECT * FROM segments WHERE id = $1{}", tx.for_update()));
    fetch_optional!(tx, SegmentRow, sql, id)?.map(Segment::try_from).transpose()
}

pub async fn save_state(tx: &mut Tx, id: i64, state: SegmentState) -> sqlx::Result<()> {
    let (word, worker, until, done_at) = match state {
        SegmentState::Waiting => ("waiting", None, None, None),
        SegmentState::Leased { worker, until } => ("leased", Some(worker.to_string()), Some(until), None),
        SegmentState::Done { at } => ("done", None, None, Some(at)),
    };
    // `lease_until` stays when a lease ends: it tells until when somebody was at the job.
    execute!(
        tx,
        "UPDATE segments SET state = $2, worker = $3, lease_until = coalesce($4, lease_until), done_at = $5, \
         stuck = CASE WHEN $2 = 'done' THEN NULL ELSE stuck END, \
         tries_again_at = CASE WHEN $2 = 'done' THEN NULL ELSE tries_again_at END WHERE id = $1",
        id,
        word,
        worker,
        until,
        done_at
    )
    .map(drop)
}

/// The process that the holder of a segment works in.
pub async fn set_process(tx: &mut Tx, id: i64, process: &str) -> sqlx::Result<()> {
    execute!(tx, "UPDATE segments SET process = $2 WHERE id = $1", id, process).map(drop)
}

/// How many processes work in each copy's lane of a volume just now.
pub async fn readers(tx: &mut Tx, now: DateTime<Utc>, volume_id: i64) -> sqlx::Result<Vec<(u8, u64)>> {
    let sql = "SELECT segments.source_bit, count(DISTINCT segments.process) FROM jobs \
               JOIN segments ON segments.job_id = jobs.id WHERE jobs.volume_id = $1 AND jobs.state = 'running' \
               AND segments.kind = 'work' AND segments.state = 'leased' AND segments.lease_until > $2 \
               AND segments.source_bit IS NOT NULL GROUP BY segments.source_bit";
    let rows = fetch_all!(tx, (i64, i64), sql, volume_id, now)?;
    let reader = |(bit, count)| Ok((stored_bit(volume_id, Some(bit))?.unwrap_or_default(), from_sql(count)));
    rows.into_iter().map(reader).collect()
}

/// How many processes work on a job just now.
pub async fn processes(tx: &mut Tx, now: DateTime<Utc>, job: JobId) -> sqlx::Result<u64> {
    let sql = "SELECT count(DISTINCT process) FROM segments \
               WHERE job_id = $1 AND state = 'leased' AND lease_until > $2";
    scalar!(tx, i64, sql, job.to_string(), now).map(from_sql)
}

/// The range goes on at `next`; without one nothing of it is left.
pub async fn advance(tx: &mut Tx, id: i64, next: Option<&FilePath>) -> sqlx::Result<()> {
    match next {
        Some(next) => execute!(tx, "UPDATE segments SET first_path = $2 WHERE id = $1", id, next.as_bytes()),
        None => execute!(tx, "UPDATE segments SET first_path = NULL, last_path = NULL WHERE id = $1", id),
    }
    .map(drop)
}

/// Until when a worker held anything of the job, as far as is known.
pub async fn held_until(tx: &mut Tx, job: JobId) -> sqlx::Result<Option<DateTime<Utc>>> {
    scalar!(
        tx,
        Option<DateTime<Utc>>,
        "SELECT max(lease_until) FROM segments WHERE job_id = $1",
        job.to_string()
    )
}

/// Segments of the work that are not done.
pub async fn open_count(tx: &mut Tx, job: JobId) -> sqlx::Result<i64> {
    let sql = "SELECT count(*) FROM segments WHERE job_id = $1 AND kind = 'work' AND state <> 'done'";
    scalar!(tx, i64, sql, job.to_string())
}

/// The copies that a job still has something to read from, by their bits.
pub async fn open_sources(tx: &mut Tx, job: JobId) -> sqlx::Result<Vec<u8>> {
    let sql = "SELECT DISTINCT source_bit FROM segments \
               WHERE job_id = $1 AND kind = 'work' AND state <> 'done' AND source_bit IS NOT NULL";
    let rows = fetch_all!(tx, (i64,), sql, job.to_string())?;
    Ok(rows.into_iter().filter_map(|(bit,)| u8::try_from(bit).ok()).collect())
}

/// Forgets the work that an earlier plan cut out.
pub async fn delete_work(tx: &mut Tx, job: JobId) -> sqlx::Result<()> {
    let sql = "DELETE FROM items WHERE segment_id IN (SELECT id FROM segments WHERE job_id = $1)";
    execute!(tx, sql, job.to_string())?;
    execute!(tx, "DELETE FROM segments WHERE job_id = $1 AND kind = 'work'", job.to_string()).map(drop)
}

/// Opens the plan's segment again.
pub async fn reopen_plan(tx: &mut Tx, job: JobId) -> sqlx::Result<()> {
    let sql = "UPDATE segments SET state = 'waiting', worker = NULL, done_at = NULL WHERE job_id = $1 AND kind = 'plan'";
    execute!(tx, sql, job.to_string()).map(drop)
}

/// Failed items wait again, and so do the segments that have such. Returns how many items.
pub async fn reopen_failed(tx: &mut Tx, job: JobId) -> sqlx::Result<u64> {
    let sql = "UPDATE items SET state = 0 WHERE state = 2 AND segment_id IN (SELECT id FROM segments WHERE job_id = $1)";
    let items = execute!(tx, sql, job.to_string())?;
    let sql = "UPDATE segments SET state = 'waiting', worker = NULL, done_at = NULL \
               WHERE job_id = $1 AND kind = 'work' AND state = 'done' \
               AND id IN (SELECT segment_id FROM items WHERE state = 0)";
    execute!(tx, sql, job.to_string())?;
    Ok(items)
}

pub async fn insert_items(tx: &mut Tx, segment: i64, items: &[Item], state: ItemState) -> sqlx::Result<()> {
    for items in items.chunks(CHUNK) {
        build!(&mut *tx, |query, connection| {
            query.push("INSERT INTO items (segment_id, path, size, corrupt, state) ");
            query.push_values(items, |mut values, item| {
                values.push_bind(segment).push_bind(item.path.as_bytes()).push_bind(to_sql(item.size));
                values.push_bind(item.corrupt).push_bind(state.code());
            });
            query.build().execute(connection).await.map(drop)
        })?;
    }
    Ok(())
}

/// The items that wait in a segment, in path order.
pub async fn waiting_items(tx: &mut Tx, segment: i64) -> sqlx::Result<Vec<Item>> {
    let sql = "SELECT path, size, corrupt FROM items WHERE segment_id = $1 AND state = 0 ORDER BY path";
    let rows = fetch_all!(tx, (Vec<u8>, i64, bool), sql, segment)?;
    rows.into_iter()
        .map(|(path, size, corrupt)| {
            Ok(Item { path: stored_path("items", segment, path)?, size: from_sql(size), corrupt })
        })
        .collect()
}

/// Items of one segment that came to their end: how many of them were waiting in it until now, and their bytes. Others
/// were moved to a segment that is needed more, and are counted there.
pub async fn settle<P: Borrow<FilePath>>(
    tx: &mut Tx,
    segment: i64,
    paths: &[P],
    state: ItemState,
) -> sqlx::Result<Amount> {
    if paths.is_empty() {
        return Ok(Amount::default());
    }
    // Counted beforehand: a row for each file would have to be handed over from the database's thread.
    let items = format!("segment_id = $1 AND state = $2 AND {}", tx.among("path", 3));
    let paths = || Paths::of(paths.iter().map(Borrow::borrow));
    let (waiting, state) = (ItemState::Waiting.code(), state.code());
    let sql = AssertSqlSafe(format!(
        "SELECT count(*), CAST(coalesce(sum(size), 0) AS BIGINT) FROM items WHERE {items}"
    ));
    let counted = fetch_all!(&mut *tx, (i64, i64), sql, segment, waiting, paths())?;
    let sql = AssertSqlSafe(format!("UPDATE items SET state = $4 WHERE {items}"));
    execute!(tx, sql, segment, waiting, paths(), state)?;
    let (files, bytes) = counted.into_iter().next().unwrap_or_default();
    Ok(Amount { files: from_sql(files), bytes: from_sql(bytes) })
}

/// As [`settle`], with each of them and its bytes.
pub async fn settle_each<P: Borrow<FilePath>>(
    tx: &mut Tx,
    segment: i64,
    paths: &[P],
    state: ItemState,
) -> sqlx::Result<Vec<(FilePath, u64)>> {
    let sql = AssertSqlSafe(format!(
        "UPDATE items SET state = $1 WHERE segment_id = $2 AND state = $3 AND {} RETURNING path, size",
        tx.among("path", 4)
    ));
    let paths = Paths::of(paths.iter().map(Borrow::borrow));
    let waiting = ItemState::Waiting.code();
    let rows = fetch_all!(tx, (Vec<u8>, i64), sql, state.code(), segment, waiting, paths)?;
    rows.into_iter().map(|(path, size)| Ok((stored_path("items", segment, path)?, from_sql(size)))).collect()
}

/// What became of these files in a job, for those that are items of it.
pub async fn states(tx: &mut Tx, job: JobId, paths: &[FilePath]) -> sqlx::Result<Vec<(FilePath, ItemState)>> {
    let sql = AssertSqlSafe(format!(
        "SELECT path, state FROM items WHERE segment_id IN (SELECT id FROM segments WHERE job_id = $1) AND {}",
        tx.among("path", 2)
    ));
    let rows = fetch_all!(tx, (Vec<u8>, i64), sql, job.to_string(), Paths::of(paths))?;
    let parsed = |(path, code)| {
        let path = stored_path("items", job, path)?;
        let state = ItemState::from_code(code)
            .ok_or_else(|| bad_row("items", "state", &path, format!("{code} is not between 0 and 3")))?;
        Ok((path, state))
    };
    rows.into_iter().map(parsed).collect()
}

pub(super) fn stored_path(table: &str, id: impl std::fmt::Display, bytes: Vec<u8>) -> sqlx::Result<FilePath> {
    FilePath::new(bytes).map_err(|why| bad_row(table, "path", id, why))
}

pub(super) fn stored_bit(id: impl std::fmt::Display, bit: Option<i64>) -> sqlx::Result<Option<u8>> {
    bit.map(u8::try_from).transpose().map_err(|why| bad_row("segments", "source_bit", id, why))
}

#[derive(sqlx::FromRow)]
pub(super) struct SegmentRow {
    id: i64,
    job_id: String,
    kind: String,
    rank: i64,
    source_bit: Option<i64>,
    state: String,
    worker: Option<String>,
    lease_until: Option<DateTime<Utc>>,
    done_at: Option<DateTime<Utc>>,
    first_path: Option<Vec<u8>>,
    last_path: Option<Vec<u8>>,
    files: i64,
    bytes: i64,
    stuck: Option<Json<Stuck>>,
}

impl TryFrom<SegmentRow> for Segment {
    type Error = sqlx::Error;

    fn try_from(row: SegmentRow) -> sqlx::Result<Self> {
        let id = row.id;
        let bad = |column, why: &dyn std::fmt::Display| bad_row("segments", column, id, why);
        let state = match (row.state.as_str(), row.worker, row.lease_until, row.done_at) {
            ("waiting", ..) => SegmentState::Waiting,
            ("leased", Some(worker), Some(until), _) => {
                SegmentState::Leased { worker: worker.parse().map_err(|why| bad("worker", &why))?, until }
            }
            ("done", _, _, Some(at)) => SegmentState::Done { at },
            (other, ..) => return Err(bad("state", &format!("\"{other}\" does not fit its other columns"))),
        };
        let range = match (row.first_path, row.last_path) {
            (Some(first), Some(last)) => {
                Some((stored_path("segments", id, first)?, stored_path("segments", id, last)?))
            }
            _ => None,
        };
        Ok(Self {
            id,
            job: row.job_id.parse().map_err(|why| bad("job_id", &why))?,
            kind: match row.kind.as_str() {
                "plan" => SegmentKind::Plan,
                "work" => SegmentKind::Work,
                other => return Err(bad("kind", &format!("\"{other}\" is neither plan nor work"))),
            },
            state,
            rank: row.rank,
            source_bit: stored_bit(id, row.source_bit)?,
            range,
            files: from_sql(row.files),
            bytes: from_sql(row.bytes),
            stuck: row.stuck.map(|Json(stuck)| stuck),
        })
    }
}
