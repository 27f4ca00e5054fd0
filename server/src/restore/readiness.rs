//! Readiness as it stands: the facts of each volume, gathered and held against its objectives.

use salvor_app::restore::port::{CopyRates, ReadinessView};
use salvor_domain::readiness::{CopyFacts, VolumeFacts, judge};

use super::estimate;
use crate::config::VolumeConfig;
use crate::core::Core;
use crate::error::{Error, Result};
use crate::volumes::{catalogue, rates_store, service, store as volumes};

/// Of one volume, or of all in the configuration's order.
pub async fn readiness(core: &Core, volume: Option<&str>) -> Result<Vec<ReadinessView>> {
    let configs: Vec<&VolumeConfig> = match volume {
        Some(name) => vec![service::configured(core, name)?],
        None => core.config.volumes.iter().collect(),
    };
    let mut views = Vec::with_capacity(configs.len());
    for config in configs {
        views.push(of(core, config).await?);
    }
    Ok(views)
}

async fn of(core: &Core, config: &VolumeConfig) -> Result<ReadinessView> {
    let now = core.clock.now();
    let mut tx = core.db.read().await?;
    let Some(volume) = volumes::volume(&mut tx, &config.name).await? else {
        return Err(Error::not_found(format!("There is no volume \"{}\".", config.name)));
    };
    let rows = service::configured_copies(config, volumes::copies(&mut tx, volume.id).await?);
    let bits: Vec<u8> = rows.iter().map(|row| row.bit).collect();
    let figures = catalogue::figures(&mut tx, volume.id, &bits).await?;
    let mut measured = rates_store::measurements(&mut tx, volume.id).await?;
    let mut drills = rates_store::last_drills(&mut tx, volume.id).await?;
    drop(tx);
    let mut copies = Vec::with_capacity(rows.len());
    let mut rates = Vec::with_capacity(rows.len());
    for ((row, held), first) in rows.into_iter().zip(figures.held).zip(figures.first) {
        let Some(copy) = config.copies.iter().find(|copy| copy.name == row.name) else { continue };
        let measured = measured.remove(&row.bit).unwrap_or_default();
        copies.push(CopyFacts {
            placement: copy.placement,
            held,
            first,
            age: row.age,
            faults: row.faults,
            whole: estimate::of_copy(core, copy, &row, held, &measured),
            part: estimate::of_copy(core, copy, &row, first, &measured),
            last_drill: drills.remove(&row.bit),
            name: row.name.clone(),
        });
        rates.push(CopyRates { name: row.name, measured });
    }
    let (all, in_no_copy) = (figures.all, figures.in_none);
    let facts = VolumeFacts { volume: config.name.clone(), all, in_no_copy, copies };
    Ok(ReadinessView { readiness: judge(config.readiness, &facts, now), rates })
}
