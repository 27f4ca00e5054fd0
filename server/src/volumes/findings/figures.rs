//! The table `finding_figures`: how many findings of each kind are open, known without counting.
//!
//! Invariant: whatever opens or closes findings says so here in the same transaction, one at a time for each volume; a full check
//! of everything counts anew ([`recount`]).

use std::collections::BTreeMap;

use salvor_domain::finding::{FindingCounts, FindingKind};
use sqlx::AssertSqlSafe;

use crate::database::{Paths, Tx, bad_row, execute, fetch_all};
use crate::volumes::from_sql;

/// Findings by the words of their kinds.
pub(super) type ByKind = BTreeMap<String, i64>;

/// Open findings by kind.
pub async fn counts(tx: &mut Tx, volume_id: i64) -> sqlx::Result<FindingCounts> {
    let mut counts = FindingCounts::default();
    for (kind, open) in known(tx, volume_id).await? {
        let kind: FindingKind =
            kind.parse().map_err(|why| bad_row("finding_figures", "kind", volume_id, why))?;
        counts.add(kind, from_sql(open));
    }
    Ok(counts)
}

/// Counts all open findings and keeps the result. False when what was kept before was another.
pub async fn recount(tx: &mut Tx, volume_id: i64) -> sqlx::Result<bool> {
    tx.one_at_a_time(volume_id).await?;
    let before = known(tx, volume_id).await?;
    let sql = "SELECT kind, count(*) FROM findings WHERE volume_id = $1 AND state = 'open' GROUP BY kind";
    let counted: ByKind = fetch_all!(&mut *tx, (String, i64), sql, volume_id)?.into_iter().collect();
    if counted == before {
        return Ok(true);
    }
    execute!(&mut *tx, "DELETE FROM finding_figures WHERE volume_id = $1", volume_id)?;
    add(tx, volume_id, counted).await?;
    Ok(false)
}

async fn known(tx: &mut Tx, volume_id: i64) -> sqlx::Result<ByKind> {
    let sql = "SELECT kind, open FROM finding_figures WHERE volume_id = $1 AND open <> 0";
    Ok(fetch_all!(tx, (String, i64), sql, volume_id)?.into_iter().collect())
}

/// How many findings about these files are in one of `states`, written as SQL.
pub(super) async fn among(
    tx: &mut Tx,
    volume_id: i64,
    paths: &[&[u8]],
    states: &'static str,
) -> sqlx::Result<ByKind> {
    let sql = AssertSqlSafe(format!(
        "SELECT kind, count(*) FROM findings WHERE volume_id = $1 AND state IN ({states}) AND {} GROUP BY kind",
        tx.among("path", 2)
    ));
    let paths: Paths = paths.iter().copied().collect();
    Ok(fetch_all!(tx, (String, i64), sql, volume_id, paths)?.into_iter().collect())
}

/// So many more are open now than before; fewer, where the number is negative.
pub(super) async fn add(tx: &mut Tx, volume_id: i64, change: ByKind) -> sqlx::Result<()> {
    for (kind, more) in change.into_iter().filter(|(_, more)| *more != 0) {
        execute!(
            &mut *tx,
            "INSERT INTO finding_figures (volume_id, kind, open) VALUES ($1, $2, $3) \
             ON CONFLICT (volume_id, kind) DO UPDATE SET open = finding_figures.open + excluded.open",
            volume_id,
            kind,
            more
        )?;
    }
    Ok(())
}
