//! The table `agents`: which of them are connected, to whatever process, for everybody on the same database.

use chrono::{DateTime, TimeDelta, Utc};
use salvor_domain::disk_check::DiskTool;
use sqlx::types::Json;

use super::wire::Own;
use crate::config::VolumeConfig;
use crate::database::{Tx, execute, fetch_all, fetch_optional};

/// How often a connection is noted.
pub const NOTED_EVERY: std::time::Duration = std::time::Duration::from_secs(5);
/// One that was not noted for so long is gone.
const FRESH: TimeDelta = TimeDelta::seconds(15);

pub async fn note(tx: &mut Tx, host: &str, volumes: &[Own], now: DateTime<Utc>) -> sqlx::Result<()> {
    let sql = "INSERT INTO agents (host, volumes, seen_at) VALUES ($1, $2, $3) \
               ON CONFLICT (host) DO UPDATE SET volumes = excluded.volumes, seen_at = excluded.seen_at";
    execute!(tx, sql, host, Json(volumes), now).map(drop)
}

/// What the agent of a host works on; none while it is not connected.
pub async fn volumes(tx: &mut Tx, host: &str, now: DateTime<Utc>) -> sqlx::Result<Option<Vec<Own>>> {
    let sql = "SELECT volumes FROM agents WHERE host = $1 AND seen_at > $2";
    let row = fetch_optional!(tx, (Json<Vec<Own>>,), sql, host, now - FRESH)?;
    Ok(row.map(|(Json(volumes),)| volumes))
}

/// What checks a volume's disk, as far as it is known: of one on another host while its agent is connected.
pub async fn disk_tool(
    tx: &mut Tx,
    volume: &VolumeConfig,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<DiskTool>> {
    let Some(host) = &volume.host else { return Ok(volume.disk_check.as_ref().map(|check| check.tool)) };
    let own = volumes(tx, host, now).await?.into_iter().flatten().find(|own| own.name == volume.name);
    Ok(own.and_then(|own| own.disk_tool))
}

/// The hosts whose agents are connected, by name.
pub async fn connected(tx: &mut Tx, now: DateTime<Utc>) -> sqlx::Result<Vec<String>> {
    let sql = "SELECT host FROM agents WHERE seen_at > $1 ORDER BY host";
    Ok(fetch_all!(tx, (String,), sql, now - FRESH)?.into_iter().map(|(host,)| host).collect())
}
