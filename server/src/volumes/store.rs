//! The tables `volumes`, `copies` and `copy_faults`.

use chrono::{DateTime, Utc};
use salvor_domain::identity::Identity;
use salvor_domain::ids::JobId;
use salvor_domain::limits::Limits;
use salvor_domain::path::FilePath;
use salvor_domain::readiness::CopyAge;
use salvor_domain::volume::ModeState;
use sqlx::AssertSqlSafe;
use sqlx::types::Json;

use super::{catalogue, from_sql, to_sql};
use crate::database::{Paths, Tx, bad_row, execute, fetch_all, fetch_optional, scalar};

#[derive(Debug, Clone, PartialEq)]
pub struct VolumeRow {
    pub id: i64,
    pub name: String,
    pub mode: ModeState,
    pub protected_at: Option<DateTime<Utc>>,
    pub checked_at: Option<DateTime<Utc>>,
    /// Start of the newest full check of everything that finished.
    pub full_check_started_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CopyRow {
    /// Its place in [`catalogue::CatalogueRow::holders`].
    pub bit: u8,
    pub name: String,
    pub age: CopyAge,
    /// Of its newest jobs and drills together; absent when there are none.
    pub measured_jobs: i64,
    pub files_per_second: Option<f64>,
    pub bytes_per_second: Option<f64>,
    /// An operator's word over the configuration's limit.
    pub limits: Option<Limits>,
    /// Files that it gave wrongly or not at all.
    pub faults: u64,
}

impl CopyRow {
    pub fn holds(&self, holders: u64) -> bool {
        holders & (1 << self.bit) != 0
    }
}

const VOLUME: &str =
    "SELECT id, name, mode_state, protected_at, checked_at, full_check_started_at FROM volumes";

pub async fn volume(tx: &mut Tx, name: &str) -> sqlx::Result<Option<VolumeRow>> {
    let sql = AssertSqlSafe(format!("{VOLUME} WHERE name = $1"));
    Ok(fetch_optional!(tx, RawVolume, sql, name)?.map(VolumeRow::from))
}

pub async fn volume_by_id(tx: &mut Tx, id: i64) -> sqlx::Result<Option<VolumeRow>> {
    let sql = AssertSqlSafe(format!("{VOLUME} WHERE id = $1"));
    Ok(fetch_optional!(tx, RawVolume, sql, id)?.map(VolumeRow::from))
}

/// All that were ever configured, by name.
pub async fn volumes(tx: &mut Tx) -> sqlx::Result<Vec<VolumeRow>> {
    let sql = AssertSqlSafe(format!("{VOLUME} ORDER BY name"));
    Ok(fetch_all!(tx, RawVolume, sql)?.into_iter().map(VolumeRow::from).collect())
}

/// Like [`volume`], and holds the row until the end of the transaction, so that two changes of mode cannot cross.
pub async fn volume_to_change(tx: &mut Tx, name: &str) -> sqlx::Result<Option<VolumeRow>> {
    execute!(tx, "UPDATE volumes SET name = name WHERE name = $1", name)?;
    volume(tx, name).await
}

/// Holds a volume's row until the end of the transaction: whoever also changes jobs of the volume does so after this.
pub async fn hold(tx: &mut Tx, volume_id: i64) -> sqlx::Result<()> {
    execute!(tx, "UPDATE volumes SET name = name WHERE id = $1", volume_id).map(drop)
}

pub async fn add_volume(tx: &mut Tx, name: &str, mode: &ModeState) -> sqlx::Result<()> {
    execute!(
        tx,
        "INSERT INTO volumes (name, mode_state) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        name,
        Json(mode)
    )
    .map(drop)
}

pub async fn set_mode_state(tx: &mut Tx, volume_id: i64, mode: &ModeState) -> sqlx::Result<()> {
    execute!(tx, "UPDATE volumes SET mode_state = $2 WHERE id = $1", volume_id, Json(mode)).map(drop)
}

/// A protect job of all copies came to its end.
pub async fn set_protected_at(tx: &mut Tx, volume_id: i64, at: DateTime<Utc>) -> sqlx::Result<()> {
    execute!(tx, "UPDATE volumes SET protected_at = $2 WHERE id = $1", volume_id, at).map(drop)
}

/// How old a copy is was found out anew.
pub async fn set_copy_age(tx: &mut Tx, volume_id: i64, bit: u8, age: CopyAge) -> sqlx::Result<()> {
    let sql = "UPDATE copies SET protected_at = $3, protected_except = $4, adopted_at = $5, taken_at = $6 \
               WHERE volume_id = $1 AND bit = $2";
    let CopyAge { protected_at, except, adopted_at, taken_at } = age;
    let bit = i64::from(bit);
    execute!(tx, sql, volume_id, bit, protected_at, to_sql(except), adopted_at, taken_at).map(drop)
}

/// A check came to its end; `full_started` is when it started, if it was a full check of everything.
pub async fn set_checked_at(
    tx: &mut Tx,
    volume_id: i64,
    at: DateTime<Utc>,
    full_started: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    execute!(tx, "UPDATE volumes SET checked_at = $2 WHERE id = $1", volume_id, at)?;
    if let Some(started) = full_started {
        // Of two checks that overlapped, the one that started later counts.
        let sql = "UPDATE volumes SET full_check_started_at = $2 \
                   WHERE id = $1 AND (full_check_started_at IS NULL OR full_check_started_at < $2)";
        execute!(tx, sql, volume_id, started)?;
    }
    Ok(())
}

/// The copies that the database knows, those no longer configured included, by bit.
pub async fn copies(tx: &mut Tx, volume_id: i64) -> sqlx::Result<Vec<CopyRow>> {
    let sql = "SELECT bit, name, protected_at, protected_except, adopted_at, taken_at, measured_jobs, \
               files_per_second, bytes_per_second, limits, faults FROM copies \
               WHERE volume_id = $1 ORDER BY bit";
    fetch_all!(tx, RawCopy, sql, volume_id)?.into_iter().map(CopyRow::try_from).collect()
}

pub async fn add_copy(tx: &mut Tx, volume_id: i64, bit: u8, name: &str) -> sqlx::Result<()> {
    let sql = "INSERT INTO copies (volume_id, bit, name) VALUES ($1, $2, $3)";
    execute!(tx, sql, volume_id, i64::from(bit), name).map(drop)
}

/// An operator's word about a copy's limit; without one the configuration holds again.
pub async fn set_copy_limits(
    tx: &mut Tx,
    volume_id: i64,
    bit: u8,
    limits: Option<&Limits>,
) -> sqlx::Result<()> {
    let sql = "UPDATE copies SET limits = $3 WHERE volume_id = $1 AND bit = $2";
    execute!(tx, sql, volume_id, i64::from(bit), limits.map(Json)).map(drop)
}

/// A copy gave other bytes than the catalogue knows, or none: remembered against it, and it no longer counts as a holder.
pub async fn record_copy_fault(
    tx: &mut Tx,
    volume_id: i64,
    bit: u8,
    path: &FilePath,
    reason: &str,
    job_id: impl Into<Option<JobId>>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    // Empty where no job came upon it, but the gateway.
    let job_id = job_id.into().map(|id| id.to_string()).unwrap_or_default();
    // As everywhere: first the volume's figures, then what is about its files.
    tx.one_at_a_time(volume_id).await?;
    let sql = "SELECT EXISTS (SELECT 1 FROM copy_faults WHERE volume_id = $1 AND bit = $2 AND path = $3)";
    if !scalar!(&mut *tx, bool, sql, volume_id, i64::from(bit), path.as_bytes())? {
        add_faults(tx, volume_id, bit, 1).await?;
    }
    let sql = "INSERT INTO copy_faults (volume_id, bit, path, reason, job_id, seen_at) VALUES ($1, $2, $3, $4, $5, $6) \
               ON CONFLICT (volume_id, bit, path) \
               DO UPDATE SET reason = excluded.reason, job_id = excluded.job_id, seen_at = excluded.seen_at";
    execute!(&mut *tx, sql, volume_id, i64::from(bit), path.as_bytes(), reason, job_id, now)?;
    catalogue::set_holder(tx, volume_id, bit, std::slice::from_ref(path), false).await
}

/// The copy was given good bytes for these files: earlier faults are over.
pub async fn clear_copy_faults(tx: &mut Tx, volume_id: i64, bit: u8, paths: &[FilePath]) -> sqlx::Result<()> {
    let sql = "SELECT faults > 0 FROM copies WHERE volume_id = $1 AND bit = $2";
    if !fetch_optional!(&mut *tx, (bool,), sql, volume_id, i64::from(bit))?.is_some_and(|(any,)| any) {
        return Ok(());
    }
    tx.one_at_a_time(volume_id).await?;
    let sql = AssertSqlSafe(format!(
        "DELETE FROM copy_faults WHERE volume_id = $1 AND bit = $2 AND {}",
        tx.among("path", 3)
    ));
    let cleared = execute!(&mut *tx, sql, volume_id, i64::from(bit), Paths::of(paths))?;
    if cleared > 0 { add_faults(tx, volume_id, bit, -to_sql(cleared)).await } else { Ok(()) }
}

/// How many there are is kept, not counted.
async fn add_faults(tx: &mut Tx, volume_id: i64, bit: u8, more: i64) -> sqlx::Result<()> {
    let sql = "UPDATE copies SET faults = faults + $3 WHERE volume_id = $1 AND bit = $2";
    execute!(tx, sql, volume_id, i64::from(bit), more).map(drop)
}

/// What is remembered of a volume's folder, or (with `bit`) of a copy's.
pub async fn identity(tx: &mut Tx, volume_id: i64, bit: Option<u8>) -> sqlx::Result<Option<Identity>> {
    type Row = (Option<Json<Identity>>,);
    let row = match bit {
        Some(bit) => {
            let sql = "SELECT identity FROM copies WHERE volume_id = $1 AND bit = $2";
            fetch_optional!(tx, Row, sql, volume_id, i64::from(bit))?
        }
        None => fetch_optional!(tx, Row, "SELECT identity FROM volumes WHERE id = $1", volume_id)?,
    };
    Ok(row.and_then(|(identity,)| identity).map(|Json(identity)| identity))
}

pub async fn set_identity(
    tx: &mut Tx,
    volume_id: i64,
    bit: Option<u8>,
    identity: &Identity,
) -> sqlx::Result<()> {
    match bit {
        Some(bit) => {
            let sql = "UPDATE copies SET identity = $3 WHERE volume_id = $1 AND bit = $2";
            execute!(tx, sql, volume_id, i64::from(bit), Json(identity))
        }
        None => execute!(tx, "UPDATE volumes SET identity = $2 WHERE id = $1", volume_id, Json(identity)),
    }
    .map(drop)
}

#[derive(sqlx::FromRow)]
struct RawVolume {
    id: i64,
    name: String,
    mode_state: Json<ModeState>,
    protected_at: Option<DateTime<Utc>>,
    checked_at: Option<DateTime<Utc>>,
    full_check_started_at: Option<DateTime<Utc>>,
}

impl From<RawVolume> for VolumeRow {
    fn from(raw: RawVolume) -> Self {
        Self {
            id: raw.id,
            name: raw.name,
            mode: raw.mode_state.0,
            protected_at: raw.protected_at,
            checked_at: raw.checked_at,
            full_check_started_at: raw.full_check_started_at,
        }
    }
}

#[derive(sqlx::FromRow)]
struct RawCopy {
    bit: i64,
    name: String,
    protected_at: Option<DateTime<Utc>>,
    protected_except: i64,
    adopted_at: Option<DateTime<Utc>>,
    taken_at: Option<DateTime<Utc>>,
    measured_jobs: i64,
    files_per_second: Option<f64>,
    bytes_per_second: Option<f64>,
    limits: Option<Json<Limits>>,
    faults: i64,
}

impl TryFrom<RawCopy> for CopyRow {
    type Error = sqlx::Error;

    fn try_from(raw: RawCopy) -> sqlx::Result<Self> {
        Ok(Self {
            bit: bit_of("copies", raw.bit)?,
            name: raw.name,
            age: CopyAge {
                protected_at: raw.protected_at,
                except: from_sql(raw.protected_except),
                adopted_at: raw.adopted_at,
                taken_at: raw.taken_at,
            },
            measured_jobs: raw.measured_jobs,
            files_per_second: raw.files_per_second,
            bytes_per_second: raw.bytes_per_second,
            limits: raw.limits.map(|Json(limits)| limits),
            faults: from_sql(raw.faults),
        })
    }
}

pub(super) fn bit_of(table: &str, bit: i64) -> sqlx::Result<u8> {
    match u8::try_from(bit) {
        Ok(small) if usize::from(small) < crate::config::MAX_COPIES => Ok(small),
        _ => Err(bad_row(table, "bit", bit, "is not between 0 and 61")),
    }
}
