//! The table `catalogue_figures`: how much the catalogue has and what each copy holds of it, known without counting.
//!
//! One row for each set of holders. Invariant: every change of rows that may count otherwise afterwards stands between
//! [`Counting::begin`] and [`Counting::end`], in one transaction; a full check of everything counts anew ([`recount`]).

use std::collections::BTreeMap;

use salvor_domain::path::FilePath;
use salvor_domain::progress::Amount;
use salvor_domain::volume::FileState;
use sqlx::AssertSqlSafe;

use super::code;
use crate::database::{Paths, Tx, execute, fetch_all};
use crate::volumes::from_sql;

/// How much the catalogue has, tombstones left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    pub all: Amount,
    /// What each of the copies asked for holds of it.
    pub held: Vec<Amount>,
    /// What comes from each of them when every file comes from the first, in the order asked, that holds it.
    pub first: Vec<Amount>,
    /// What none of them holds.
    pub in_none: Amount,
}

/// Files and bytes by their holders.
type ByHolders = BTreeMap<i64, (i64, i64)>;

/// What the catalogue has, and what the copies with these bits hold of it.
pub async fn figures(tx: &mut Tx, volume_id: i64, bits: &[u8]) -> sqlx::Result<Figures> {
    let known = known(tx, volume_id).await?;
    let holds = |holders: i64, bit: u8| holders & (1 << bit) != 0;
    let first_of = |holders| bits.iter().copied().find(|&bit| holds(holders, bit));
    let sum = |counts: &dyn Fn(i64) -> bool| {
        let counted = known.iter().filter(|(holders, _)| counts(**holders));
        counted.map(|(_, (files, bytes))| Amount { files: from_sql(*files), bytes: from_sql(*bytes) }).sum()
    };
    Ok(Figures {
        all: sum(&|_| true),
        held: bits.iter().map(|&bit| sum(&|holders| holds(holders, bit))).collect(),
        first: bits.iter().map(|&bit| sum(&|holders| first_of(holders) == Some(bit))).collect(),
        in_none: sum(&|holders| first_of(holders).is_none()),
    })
}

/// Whether there is any file that is not deleted, or (with `bit`) any that this copy is known to hold.
pub async fn has_any(tx: &mut Tx, volume_id: i64, bit: Option<u8>) -> sqlx::Result<bool> {
    let known = known(tx, volume_id).await?;
    Ok(known.keys().any(|holders| bit.is_none_or(|bit| holders & (1 << bit) != 0)))
}

/// Counts the whole catalogue and keeps the result. False when what was kept before was another.
pub async fn recount(tx: &mut Tx, volume_id: i64) -> sqlx::Result<bool> {
    tx.one_at_a_time(volume_id).await?;
    let before = known(tx, volume_id).await?;
    let sql = "SELECT holders, count(*), CAST(sum(size) AS BIGINT) FROM files WHERE volume_id = $1 AND state <> $2 \
               GROUP BY holders";
    let rows = fetch_all!(&mut *tx, (i64, i64, i64), sql, volume_id, code(FileState::Tombstone))?;
    let counted: ByHolders =
        rows.into_iter().map(|(holders, files, bytes)| (holders, (files, bytes))).collect();
    if counted == before {
        return Ok(true);
    }
    execute!(&mut *tx, "DELETE FROM catalogue_figures WHERE volume_id = $1", volume_id)?;
    add(tx, volume_id, counted).await?;
    Ok(false)
}

async fn known(tx: &mut Tx, volume_id: i64) -> sqlx::Result<ByHolders> {
    let sql = "SELECT holders, files, bytes FROM catalogue_figures WHERE volume_id = $1 AND files <> 0";
    let rows = fetch_all!(tx, (i64, i64, i64), sql, volume_id)?;
    Ok(rows.into_iter().map(|(holders, files, bytes)| (holders, (files, bytes))).collect())
}

/// A change of these files, from before it on.
#[must_use = "without its end the figures are wrong"]
pub struct Counting<'p> {
    volume_id: i64,
    paths: Vec<&'p FilePath>,
    before: ByHolders,
}

impl<'p> Counting<'p> {
    /// Others who change the figures of this volume wait until the transaction ends.
    pub async fn begin(
        tx: &mut Tx,
        volume_id: i64,
        paths: impl Iterator<Item = &'p FilePath> + Send,
    ) -> sqlx::Result<Self> {
        let paths: Vec<_> = paths.collect();
        tx.one_at_a_time(volume_id).await?;
        let before = of_files(tx, volume_id, &paths).await?;
        Ok(Self { volume_id, paths, before })
    }

    pub async fn end(self, tx: &mut Tx) -> sqlx::Result<()> {
        let mut change = of_files(tx, self.volume_id, &self.paths).await?;
        for (holders, (files, bytes)) in self.before {
            let now = change.entry(holders).or_default();
            *now = (now.0 - files, now.1 - bytes);
        }
        change.retain(|_, change| *change != (0, 0));
        add(tx, self.volume_id, change).await
    }
}

async fn of_files(tx: &mut Tx, volume_id: i64, paths: &[&FilePath]) -> sqlx::Result<ByHolders> {
    let sql = AssertSqlSafe(format!(
        "SELECT holders, count(*), CAST(sum(size) AS BIGINT) FROM files WHERE volume_id = $1 AND state <> $2 AND {} \
         GROUP BY holders",
        tx.among("path", 3)
    ));
    let paths = Paths::of(paths.iter().copied());
    let rows = fetch_all!(tx, (i64, i64, i64), sql, volume_id, code(FileState::Tombstone), paths)?;
    Ok(rows.into_iter().map(|(holders, files, bytes)| (holders, (files, bytes))).collect())
}

async fn add(tx: &mut Tx, volume_id: i64, change: ByHolders) -> sqlx::Result<()> {
    for (holders, (files, bytes)) in change {
        execute!(
            &mut *tx,
            "INSERT INTO catalogue_figures (volume_id, holders, files, bytes) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (volume_id, holders) DO UPDATE SET files = catalogue_figures.files + excluded.files, \
             bytes = catalogue_figures.bytes + excluded.bytes",
            volume_id,
            holders,
            files,
            bytes
        )?;
    }
    Ok(())
}
