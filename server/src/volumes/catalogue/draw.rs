//! Drawing single files out of the catalogue by their place in it, without reading what lies between.

use salvor_domain::path::FilePath;
use salvor_domain::volume::FileState;

use super::{code, stored_path};
use crate::database::{Tx, fetch_optional, scalar};

/// The path that stands `steps` files after `after`: one step is the next file. Reads no more rows than these.
pub async fn path_after(
    tx: &mut Tx,
    volume_id: i64,
    after: &[u8],
    steps: u32,
) -> sqlx::Result<Option<Vec<u8>>> {
    let sql = "SELECT path FROM files WHERE volume_id = $1 AND path > $2 ORDER BY path LIMIT 1 OFFSET $3";
    let skipped = i64::from(steps.max(1)) - 1;
    Ok(fetch_optional!(tx, (Vec<u8>,), sql, volume_id, after, skipped)?.map(|(path,)| path))
}

/// As [`path_after`], of a file that should be there: `None` where its owner deleted it, and beyond the end.
pub async fn file_after(
    tx: &mut Tx,
    volume_id: i64,
    after: &[u8],
    steps: u32,
) -> sqlx::Result<Option<FilePath>> {
    let sql =
        "SELECT path, state FROM files WHERE volume_id = $1 AND path > $2 ORDER BY path LIMIT 1 OFFSET $3";
    let skipped = i64::from(steps.max(1)) - 1;
    let row = fetch_optional!(tx, (Vec<u8>, i64), sql, volume_id, after, skipped)?;
    let row = row.filter(|(_, state)| *state != code(FileState::Tombstone));
    row.map(|(path, _)| stored_path("files", path)).transpose()
}

/// How many files stand after `after`, counted no further than to `most`.
pub async fn count_after(tx: &mut Tx, volume_id: i64, after: &[u8], most: u32) -> sqlx::Result<u32> {
    let sql =
        "SELECT COUNT(*) FROM (SELECT 1 FROM files WHERE volume_id = $1 AND path > $2 LIMIT $3) AS rest";
    let count = scalar!(tx, i64, sql, volume_id, after, i64::from(most))?;
    Ok(u32::try_from(count).unwrap_or(most))
}
