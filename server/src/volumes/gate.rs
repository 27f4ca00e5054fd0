//! What the gate back to `normal` looks at, gathered in the transaction of whoever asks.

use chrono::{DateTime, TimeDelta, Utc};
use salvor_domain::gate::{CopyProof, DiskCheck, DiskCheckEnd, GateFacts};
use salvor_domain::progress::Amount;
use salvor_domain::volume::Mode;

use super::store::VolumeRow;
use super::{catalogue, findings, rates_store, service, store};
use crate::config::VolumeConfig;
use crate::core::Core;
use crate::database::Tx;
use crate::error::Result;
use crate::health;
use crate::restore::store::{disk_checks, figures};

/// Of a volume that is normal nothing is asked, and nothing is looked up.
pub async fn facts(core: &Core, tx: &mut Tx, config: &VolumeConfig, volume: &VolumeRow) -> Result<GateFacts> {
    if volume.mode.mode() == Mode::Normal {
        return Ok(GateFacts::default());
    }
    let counts = findings::counts(tx, volume.id).await?;
    let troubles = health::service::troubles(core, tx, &volume.name).await?;
    let disk_check = disk_checks::last_disk_check(tx, volume.id).await?;
    // Nothing is asked for that Salvor has not been told how to do.
    let file_system_fault = match config.disk_check {
        Some(_) => health::service::file_system_fault(tx, &volume.name).await?,
        None => None,
    };
    let within = i64::try_from(config.gate.copies_verified_within.seconds()).unwrap_or(i64::MAX);
    let within = TimeDelta::try_seconds(within).unwrap_or(TimeDelta::MAX);
    Ok(GateFacts {
        volume: volume.name.clone(),
        out_of_reach: None,
        full_check_started_at: volume.full_check_started_at,
        missing: counts.missing,
        corrupt: counts.corrupt,
        unreadable: counts.unreadable,
        troubles: troubles.into_iter().map(|trouble| trouble.reason).collect(),
        disk_check: disk_check.map(|(started_at, well)| DiskCheck { started_at, end: ended(well) }),
        file_system_fault,
        copies: proofs(tx, config, volume).await?,
        verified_since: core.clock.now().checked_sub_signed(within).unwrap_or(DateTime::<Utc>::MIN_UTC),
    })
}

fn ended(well: Option<bool>) -> DiskCheckEnd {
    match well {
        None => DiskCheckEnd::Running,
        Some(true) => DiskCheckEnd::Well,
        Some(false) => DiskCheckEnd::Badly,
    }
}

/// How each configured copy is known to be good, in the configuration's order.
async fn proofs(tx: &mut Tx, config: &VolumeConfig, volume: &VolumeRow) -> sqlx::Result<Vec<CopyProof>> {
    let rows = service::configured_copies(config, store::copies(tx, volume.id).await?);
    let bits: Vec<u8> = rows.iter().map(|row| row.bit).collect();
    let held = catalogue::figures(tx, volume.id, &bits).await?.held;
    let drills = rates_store::last_drills(tx, volume.id).await?;
    let restored = figures::last_restored_from(tx, volume.id).await?;
    let proof = |(row, held): (store::CopyRow, Amount)| {
        let drill = drills.get(&row.bit);
        let drilled = drill.filter(|drill| drill.failed == 0 && drill.verified > 0);
        let good = [
            (row.age.protected_at, "protected"),
            (row.age.adopted_at, "adopted"),
            (restored.get(&row.name).copied(), "restored from"),
            (drilled.map(|drill| drill.at), "drilled"),
        ];
        let failed = drill.filter(|drill| drill.failed > 0);
        CopyProof {
            files: held.files,
            good: good.into_iter().filter_map(|(at, how)| Some((at?, how))).collect(),
            failed_drill: failed.map(|drill| (drill.at, drill.reason.clone().unwrap_or_default())),
            name: row.name,
        }
    };
    Ok(rows.into_iter().zip(held).map(proof).collect())
}
