//! The table `files`: one row for each file of a volume.
//!
//! All lists are in byte order of paths. Lists that are written must not name a path twice. How much there is in all is kept
//! in a table of its own: see [`figures`](figures()).

mod draw;
mod figures;
mod outlines;

use chrono::{DateTime, Utc};
use salvor_domain::digest::Digest;
use salvor_domain::path::FilePath;
use salvor_domain::volume::FileState;
use sqlx::AssertSqlSafe;

use super::{CHUNK, stored_path, to_sql};
use crate::database::{Paths, Tx, bad_row, build, execute, fetch_all};

use figures::Counting;

pub use draw::{count_after, file_after, path_after};
pub use figures::{Figures, figures, has_any, recount};
pub use outlines::{Outline, Outlines, outlines};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueRow {
    pub path: FilePath,
    pub size: u64,
    pub mtime_ns: i64,
    pub digest: Digest,
    /// Permission bits.
    pub mode: u32,
    pub state: FileState,
    /// The bits of the copies known to hold these very bytes.
    pub holders: u64,
    /// When its bytes were last read and found right, or written, in whole seconds. A full check of everything says so once
    /// for all that are present: [`super::store::VolumeRow::full_check_started_at`] may be later.
    pub verified_at: DateTime<Utc>,
}

const ROW: &str = "SELECT path, size, mtime_ns, digest, mode, state, holders, verified_at FROM files";

/// The next `limit` files after `after`, or the first ones.
pub async fn after(
    tx: &mut Tx,
    volume_id: i64,
    after: Option<&[u8]>,
    limit: u32,
) -> sqlx::Result<Vec<CatalogueRow>> {
    // No path is empty, so the empty one comes before all.
    let sql = AssertSqlSafe(format!("{ROW} WHERE volume_id = $1 AND path > $2 ORDER BY path LIMIT $3"));
    parsed(fetch_all!(tx, Raw, sql, volume_id, after.unwrap_or_default(), i64::from(limit))?)
}

/// From `first` to `last`, both included.
pub async fn range(
    tx: &mut Tx,
    volume_id: i64,
    first: &[u8],
    last: &[u8],
) -> sqlx::Result<Vec<CatalogueRow>> {
    let sql =
        AssertSqlSafe(format!("{ROW} WHERE volume_id = $1 AND path >= $2 AND path <= $3 ORDER BY path"));
    parsed(fetch_all!(tx, Raw, sql, volume_id, first, last)?)
}

/// Those of `paths` that the catalogue knows.
pub async fn get(tx: &mut Tx, volume_id: i64, paths: &[FilePath]) -> sqlx::Result<Vec<CatalogueRow>> {
    let among = tx.among("path", 2);
    let sql = AssertSqlSafe(format!("{ROW} WHERE volume_id = $1 AND {among}"));
    let mut found = parsed(fetch_all!(tx, Raw, sql, volume_id, Paths::of(paths))?)?;
    found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Files whose path is `name`, or ends with `/name`; an exact match first. For a customer who gives only a name.
pub async fn find_by_name(
    tx: &mut Tx,
    volume_id: i64,
    name: &[u8],
    limit: u32,
) -> sqlx::Result<Vec<FilePath>> {
    let suffix = [b"/", name].concat();
    let ends = tx.ends_with("path", 3, suffix.len());
    let sql = AssertSqlSafe(format!(
        "SELECT path FROM files WHERE volume_id = $1 AND (path = $2 OR {ends}) ORDER BY path <> $2, path LIMIT $4"
    ));
    let rows = fetch_all!(tx, (Vec<u8>,), sql, volume_id, name, &suffix, i64::from(limit))?;
    rows.into_iter().map(|(path,)| stored_path("files", path)).collect()
}

/// Adds these rows; where the path is there already, they take its place. A file whose owner deleted it stays deleted
/// unless the row is of a newer file.
pub async fn upsert(tx: &mut Tx, volume_id: i64, rows: &[CatalogueRow]) -> sqlx::Result<()> {
    let replace = "UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns, \
                   digest = excluded.digest, mode = excluded.mode, \
                   state = CASE WHEN files.state = 3 AND excluded.mtime_ns <= files.mtime_ns THEN 3 ELSE excluded.state END, \
                   holders = excluded.holders, verified_at = excluded.verified_at";
    insert(tx, volume_id, rows, replace).await
}

/// Adds these rows; where the path is there already, whatever is there stays.
pub async fn add(tx: &mut Tx, volume_id: i64, rows: &[CatalogueRow]) -> sqlx::Result<()> {
    insert(tx, volume_id, rows, "NOTHING").await
}

/// `or` says what is done where the path is there already.
async fn insert(tx: &mut Tx, volume_id: i64, rows: &[CatalogueRow], or: &'static str) -> sqlx::Result<()> {
    let counting = Counting::begin(tx, volume_id, rows.iter().map(|row| &row.path)).await?;
    for rows in rows.chunks(CHUNK) {
        build!(&mut *tx, |query, connection| {
            query.push(
                "INSERT INTO files (volume_id, path, size, mtime_ns, digest, mode, state, holders, verified_at) ",
            );
            query.push_values(rows, |mut values, row| {
                values.push_bind(volume_id).push_bind(row.path.as_bytes()).push_bind(to_sql(row.size));
                values.push_bind(row.mtime_ns).push_bind(&row.digest.0[..]).push_bind(i64::from(row.mode));
                values.push_bind(code(row.state)).push_bind(to_sql(row.holders));
                values.push_bind(row.verified_at.timestamp());
            });
            query.push(" ON CONFLICT (volume_id, path) DO ").push(or);
            query.build().execute(connection).await.map(drop)
        })?;
    }
    counting.end(tx).await
}

/// Sets the state of these files. A tombstone stays one, whoever read the file's row before its owner deleted it.
pub async fn set_state(
    tx: &mut Tx,
    volume_id: i64,
    paths: &[FilePath],
    state: FileState,
) -> sqlx::Result<()> {
    // All other states count alike.
    let counting = match state {
        FileState::Tombstone => Some(Counting::begin(tx, volume_id, paths.iter()).await?),
        FileState::Present | FileState::Missing | FileState::Corrupt => None,
    };
    let sql = AssertSqlSafe(format!(
        "UPDATE files SET state = $1 WHERE volume_id = $2 AND state <> $3 AND {}",
        tx.among("path", 4)
    ));
    let tombstone = code(FileState::Tombstone);
    execute!(&mut *tx, sql, code(state), volume_id, tombstone, Paths::of(paths))?;
    match counting {
        Some(counting) => counting.end(tx).await,
        None => Ok(()),
    }
}

/// The bytes of these files were read and match: they are present. A tombstone stays one, and is not counted in the answer.
pub async fn verified(
    tx: &mut Tx,
    volume_id: i64,
    paths: &[FilePath],
    at: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let sql = AssertSqlSafe(format!(
        "UPDATE files SET state = $1, verified_at = $2 WHERE volume_id = $3 AND state <> $4 AND {}",
        tx.among("path", 5)
    ));
    let (present, tombstone) = (code(FileState::Present), code(FileState::Tombstone));
    execute!(tx, sql, present, at.timestamp(), volume_id, tombstone, Paths::of(paths))
}

/// The copy with this bit is now known to hold these files, or not to.
pub async fn set_holder(
    tx: &mut Tx,
    volume_id: i64,
    bit: u8,
    paths: &[FilePath],
    holds: bool,
) -> sqlx::Result<()> {
    let mask = 1_i64 << bit;
    let (operator, mask) = if holds { ("|", mask) } else { ("&", !mask) };
    let counting = Counting::begin(tx, volume_id, paths.iter()).await?;
    let sql = AssertSqlSafe(format!(
        "UPDATE files SET holders = holders {operator} $1 WHERE volume_id = $2 AND {}",
        tx.among("path", 3)
    ));
    execute!(&mut *tx, sql, mask, volume_id, Paths::of(paths))?;
    counting.end(tx).await
}

fn code(state: FileState) -> i64 {
    match state {
        FileState::Present => 0,
        FileState::Missing => 1,
        FileState::Corrupt => 2,
        FileState::Tombstone => 3,
    }
}

fn state_of(code: i64) -> Option<FileState> {
    match code {
        0 => Some(FileState::Present),
        1 => Some(FileState::Missing),
        2 => Some(FileState::Corrupt),
        3 => Some(FileState::Tombstone),
        _ => None,
    }
}

#[derive(sqlx::FromRow)]
struct Raw {
    path: Vec<u8>,
    size: i64,
    mtime_ns: i64,
    digest: Vec<u8>,
    mode: i64,
    state: i64,
    holders: i64,
    verified_at: i64,
}

fn parsed(rows: Vec<Raw>) -> sqlx::Result<Vec<CatalogueRow>> {
    rows.into_iter().map(CatalogueRow::try_from).collect()
}

impl TryFrom<Raw> for CatalogueRow {
    type Error = sqlx::Error;

    fn try_from(raw: Raw) -> sqlx::Result<Self> {
        let path = stored_path("files", raw.path)?;
        let bad = |column, why: &dyn std::fmt::Display| bad_row("files", column, &path, why);
        Ok(Self {
            size: u64::try_from(raw.size).map_err(|why| bad("size", &why))?,
            mtime_ns: raw.mtime_ns,
            digest: Digest::try_from(raw.digest.as_slice()).map_err(|why| bad("digest", &why))?,
            mode: u32::try_from(raw.mode).map_err(|why| bad("mode", &why))?,
            state: state_of(raw.state)
                .ok_or_else(|| bad("state", &format!("{} is not between 0 and 3", raw.state)))?,
            holders: u64::try_from(raw.holders).map_err(|why| bad("holders", &why))?,
            verified_at: DateTime::from_timestamp(raw.verified_at, 0)
                .ok_or_else(|| bad("verified_at", &"is no time"))?,
            path,
        })
    }
}
