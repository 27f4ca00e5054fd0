//! Volumes: their mode and its gate, their copies, the catalogue and the findings.
//!
//! `store`, `rates_store`, `catalogue` and `findings` hold all SQL on the tables `volumes`, `copies`, `copy_faults`,
//! `copy_rates`, `drill_results`, `files` and `findings`: free functions on a transaction that other slices call, so that no other slice names these tables. Jobs
//! themselves live in `restore`.
//!
//! Invariants: lists of files come in byte order of their paths; a dismissed finding stays dismissed until an operator
//! says otherwise; a copy keeps its bit in [`catalogue::CatalogueRow::holders`] for as long as its row exists.

mod answers;
pub mod catalogue;
pub mod findings;
pub mod gate;
pub mod http;
pub mod limits;
pub mod lookup;
pub mod modes;
mod port;
pub mod rates_store;
pub mod reach;
pub mod safety;
pub mod service;
pub mod store;
#[cfg(test)]
mod tests;

pub use port::Volumes;
use salvor_domain::path::FilePath;

/// Rows a statement: well under SQLite's 32,766 values a statement, and no faster with more.
const CHUNK: usize = 1_000;

/// A path of this slice's tables as it was stored; nothing else writes there, so another value is damage.
fn stored_path(table: &str, bytes: Vec<u8>) -> sqlx::Result<FilePath> {
    let shown = salvor_domain::path::shown(&bytes);
    FilePath::new(bytes).map_err(|why| crate::database::bad_row(table, "path", shown, why))
}

/// Sizes and counts are 64 bits without a sign here, with one in SQL; none comes near 2^63.
fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
