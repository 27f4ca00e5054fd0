//! What plans and quick checks need of the catalogue: every row, but not all of it, and fast.
//!
//! A row costs more to hand over than to read, so a page of them comes as one value, which the database strings together
//! and [`Outlines`] takes apart: numbers as text, then the path's bytes.

use salvor_domain::path::{FilePath, shown};
use salvor_domain::volume::FileState;

use super::{CatalogueRow, state_of, stored_path};
use crate::database::{Tx, bad_row, scalar};

/// The facts of a row that names, sizes and times are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    pub path: FilePath,
    pub size: u64,
    pub mtime_ns: i64,
    pub state: FileState,
    /// As in [`super::CatalogueRow`].
    pub holders: u64,
}

impl From<CatalogueRow> for Outline {
    fn from(row: CatalogueRow) -> Self {
        let CatalogueRow { path, size, mtime_ns, state, holders, .. } = row;
        Self { path, size, mtime_ns, state, holders }
    }
}

/// A page of the catalogue, from its beginning on.
#[derive(Debug, Default)]
pub struct Outlines {
    bytes: Vec<u8>,
    rows: Vec<Packed>,
    next: usize,
}

#[derive(Debug, Clone, Copy)]
struct Packed {
    at: usize,
    len: usize,
    size: u64,
    mtime_ns: i64,
    state: FileState,
    holders: u64,
}

/// The next `limit` files after `after`, or the first ones.
pub async fn outlines(
    tx: &mut Tx,
    volume_id: i64,
    after: Option<&[u8]>,
    limit: u32,
) -> sqlx::Result<Outlines> {
    let packed = tx.packed(&["length(path)", "size", "mtime_ns", "state", "holders"], "path");
    let strung = tx.strung("packed", "path");
    // No path is empty, so the empty one comes before all.
    let sql = sqlx::AssertSqlSafe(format!(
        "SELECT {strung} FROM (SELECT path, {packed} AS packed FROM files \
         WHERE volume_id = $1 AND path > $2 ORDER BY path LIMIT $3) AS page"
    ));
    let bytes = scalar!(tx, Option<Vec<u8>>, sql, volume_id, after.unwrap_or_default(), i64::from(limit))?;
    Outlines::unpack(bytes.unwrap_or_default())
}

impl Outlines {
    /// Rows that were not taken.
    pub fn len(&self) -> usize {
        self.rows.len() - self.next
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The path of the next row.
    pub fn first(&self) -> Option<&[u8]> {
        self.rows.get(self.next).map(|row| self.path(row))
    }

    pub fn last(&self) -> Option<&[u8]> {
        self.rows.last().map(|row| self.path(row))
    }

    pub fn skip(&mut self) {
        self.next += 1;
    }

    /// The next row. Whoever has its path already (`known`) saves reading it again.
    pub fn take(&mut self, known: Option<&FilePath>) -> sqlx::Result<Option<Outline>> {
        let Some(row) = self.rows.get(self.next).copied() else { return Ok(None) };
        let path = match known {
            Some(path) => path.clone(),
            None => stored_path("files", self.path(&row).to_vec())?,
        };
        self.next += 1;
        let Packed { size, mtime_ns, state, holders, .. } = row;
        Ok(Some(Outline { path, size, mtime_ns, state, holders }))
    }

    fn path(&self, row: &Packed) -> &[u8] {
        &self.bytes[row.at..row.at + row.len]
    }

    fn unpack(bytes: Vec<u8>) -> sqlx::Result<Self> {
        let mut page = Self { bytes, ..Self::default() };
        let mut at = 0;
        while at < page.bytes.len() {
            let row = packed(&page.bytes, at).ok_or_else(|| {
                let before = shown(page.last().unwrap_or_default());
                bad_row(
                    "files",
                    "size, mtime_ns, state or holders",
                    format!("the row after {before}"),
                    "out of bounds",
                )
            })?;
            if page.last().is_some_and(|last| last >= page.path(&row)) {
                return Err(bad_row("files", "path", shown(page.path(&row)), "is out of order"));
            }
            at = row.at + row.len;
            page.rows.push(row);
        }
        Ok(page)
    }
}

fn packed(bytes: &[u8], mut at: usize) -> Option<Packed> {
    let mut number = || {
        let (number, next) = number(bytes, at)?;
        at = next;
        Some(number)
    };
    let (len, size, mtime_ns, state, holders) = (number()?, number()?, number()?, number()?, number()?);
    let len = usize::try_from(len).ok().filter(|len| bytes.len() - at >= *len)?;
    Some(Packed {
        at,
        len,
        size: u64::try_from(size).ok()?,
        mtime_ns,
        state: state_of(state)?,
        holders: u64::try_from(holders).ok()?,
    })
}

/// The number that begins at `at`, and where the next one does.
fn number(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let rest = bytes.get(at..)?;
    let (negative, digits) = match rest.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, rest),
    };
    let mut value = 0_i64;
    for (count, &byte) in digits.iter().enumerate() {
        match byte {
            // Downwards, since i64 reaches one further there.
            b'0'..=b'9' => value = value.checked_mul(10)?.checked_sub(i64::from(byte - b'0'))?,
            b' ' if count > 0 => {
                let value = if negative { value } else { value.checked_neg()? };
                return Some((value, at + usize::from(negative) + count + 1));
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_taken_apart() {
        let text = b"1 0 -9223372036854775808 3 9223372036854775807 a5 7 12 0 1 b 2 \xff".to_vec();
        let mut page = Outlines::unpack(text).unwrap();
        assert_eq!((page.len(), page.first(), page.last()), (2, Some(&b"a"[..]), Some(&b"b 2 \xff"[..])));
        let first = page.take(None).unwrap().unwrap();
        assert_eq!(
            (first.mtime_ns, first.state, first.holders),
            (i64::MIN, FileState::Tombstone, i64::MAX as u64)
        );
        let second = page.take(None).unwrap().unwrap();
        assert_eq!((second.size, second.mtime_ns, second.state), (7, 12, FileState::Present));
        assert!(page.is_empty() && page.take(None).unwrap().is_none());
    }

    #[test]
    fn a_page_that_cannot_be_is_refused() {
        for text in ["1 0 0 0 1 ", "1 0 0 7 1 a", "1 0 0 0 1 b1 0 0 0 1 a", "1 -1 0 0 1 a", " 0 0 0 1 a", "x"]
        {
            assert!(Outlines::unpack(text.into()).is_err(), "{text}");
        }
    }
}
