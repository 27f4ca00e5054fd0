//! What can be asked of volumes: how they are, what was found, their mode, tombstones.
//!
//! A volume is known by its name in the configuration; its row in the database outlives it there, so that a line
//! commented out for a day forgets neither the catalogue nor why the volume is read-only.

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use salvor_app::volumes::port::{CopyView, FindingsFilter, FindingsPage, Reach, VolumeView};
use salvor_domain::account::{Actor, Permission};
use salvor_domain::disk_check::DiskTool;
use salvor_domain::event::EventKind;
use salvor_domain::finding::FindingCounts;
use salvor_domain::identity::{Identity, Sight, doubt};
use salvor_domain::path::FilePath;
use salvor_domain::volume::{FileState, GateFacts, GatePoint, Mode, ModeChange, ModeState};

use super::catalogue::Figures;
use super::reach::Away;
use super::store::{CopyRow, VolumeRow};
use super::{catalogue, findings, gate, limits, reach, safety, store};
use crate::agents::store as agents;
use crate::config::{CopyConfig, MAX_COPIES, VolumeConfig};
use crate::core::Core;
use crate::database::Tx;
use crate::error::{Error, Result};
use crate::events;

/// Brings the rows of volumes and copies in line with the configuration. Nothing is ever removed: a copy that is no
/// longer configured keeps its bit, lest another be taken for the holder of its files.
pub async fn register(core: &Core) -> Result<()> {
    if is_registered(core).await? {
        return Ok(());
    }
    let mut tx = core.db.begin().await?;
    let mode = ModeState::Normal {
        since: core.clock.now(),
        reason: "first seen".to_owned(),
        by: Actor::salvor().name,
    };
    for config in &core.config.volumes {
        store::add_volume(&mut tx, &config.name, &mode).await?;
        let volume = to_change(&mut tx, &config.name).await?;
        let mut known = store::copies(&mut tx, volume.id).await?;
        for copy in &config.copies {
            if known.iter().all(|row| row.name != copy.name) {
                let bit = free_bit(&known).ok_or_else(|| no_bit_left(&config.name))?;
                store::add_copy(&mut tx, volume.id, bit, &copy.name).await?;
                known = store::copies(&mut tx, volume.id).await?;
            }
        }
    }
    Ok(tx.commit().await?)
}

/// Most starts have nothing to add, and need not wait for the right to write.
async fn is_registered(core: &Core) -> Result<bool> {
    let mut tx = core.db.read().await?;
    for config in &core.config.volumes {
        let Some(volume) = store::volume(&mut tx, &config.name).await? else { return Ok(false) };
        let known = store::copies(&mut tx, volume.id).await?;
        if config.copies.iter().any(|copy| known.iter().all(|row| row.name != copy.name)) {
            return Ok(false);
        }
    }
    Ok(true)
}

pub async fn volumes(core: &Core) -> Result<Vec<VolumeView>> {
    // Side by side: one that hangs takes its full patience.
    futures_util::future::try_join_all(core.config.volumes.iter().map(|config| view(core, config))).await
}

pub async fn volume(core: &Core, name: &str) -> Result<VolumeView> {
    view(core, configured(core, name)?).await
}

/// The mode and the gate alone: cheaper than [`volume`], for services that ask before each upload.
pub async fn mode(core: &Core, name: &str) -> Result<(ModeState, Vec<GatePoint>)> {
    let config = configured(core, name)?;
    let mut tx = core.db.read().await?;
    let volume = found(store::volume(&mut tx, name).await?, name)?;
    let facts = gate::facts(core, &mut tx, config, &volume).await?;
    let gate = volume.mode.gate(&facts);
    Ok((volume.mode, gate))
}

pub async fn findings(core: &Core, volume: &str, filter: &FindingsFilter) -> Result<FindingsPage> {
    configured(core, volume)?;
    let mut tx = core.db.read().await?;
    let volume = found(store::volume(&mut tx, volume).await?, volume)?;
    findings::page(&mut tx, volume.id, filter).await?.map_err(|bad| Error::invalid(bad.to_string()))
}

/// An operator changes the mode; what follows from it is the business of [`safety`].
pub async fn set_mode(
    core: &Core,
    actor: &Actor,
    volume: &str,
    to: Mode,
    reason: &str,
    override_gate: bool,
) -> Result<VolumeView> {
    require(actor, Permission::SetMode)?;
    if override_gate {
        require(actor, Permission::OverrideGate)?;
    }
    let config = configured(core, volume)?;
    // A look at a folder may take its time, and is not for a transaction.
    let goes_by_the_gate = to == Mode::Normal && !override_gate;
    let reach = if goes_by_the_gate { view(core, config).await?.reach } else { Reach::Reached };
    let now = core.clock.now();
    let mut tx = core.db.begin().await?;
    let before = to_change(&mut tx, volume).await?;
    let facts = gate::facts(core, &mut tx, config, &before).await?;
    let facts = GateFacts { out_of_reach: reach.because().map(str::to_owned), ..facts };
    let change = ModeChange {
        to,
        reason: reason.trim().to_owned(),
        by: actor.name.clone(),
        evidence: Vec::new(),
        override_gate,
        now,
    };
    safety::apply(core, &mut tx, actor, before, change, &facts).await?;
    tx.commit().await?;
    core.nudge.notify_one();
    view(core, config).await
}

/// A person says that the disk of the volume, or (with `copy`) of a copy, is a new one: the next job that may mark the folder takes
/// it as it is. The caller holds the volume's row.
pub async fn disk_replaced(
    tx: &mut Tx,
    now: DateTime<Utc>,
    actor: &Actor,
    volume: &VolumeRow,
    copy: Option<&CopyRow>,
) -> sqlx::Result<()> {
    let known = Identity { replaced: true, ..Identity::default() };
    store::set_identity(tx, volume.id, copy.map(|copy| copy.bit), &known).await?;
    let name = &volume.name;
    let place = copy.map_or_else(|| name.clone(), |copy| format!("the copy {} of {name}", copy.name));
    let summary = format!("{} said that the disk of {place} is a new one", actor.name);
    events::record(tx, now, actor, EventKind::DiskReplaced, name, &summary).await
}

/// Sets a tombstone: the owner deleted this file, nothing ever brings it back. What was found about it is dismissed.
pub async fn mark_deleted(core: &Core, actor: &Actor, volume: &str, path: &FilePath) -> Result<()> {
    require(actor, Permission::MarkDeleted)?;
    configured(core, volume)?;
    let now = core.clock.now();
    let mut tx = core.db.begin().await?;
    let row = to_change(&mut tx, volume).await?;
    let Some(file) = catalogue::get(&mut tx, row.id, std::slice::from_ref(path)).await?.pop() else {
        return Err(Error::not_found(format!("The catalogue of \"{volume}\" has no file {path}.")));
    };
    if file.state == FileState::Tombstone {
        return Ok(());
    }
    let paths = std::slice::from_ref(path);
    catalogue::set_state(&mut tx, row.id, paths, FileState::Tombstone).await?;
    findings::dismiss(&mut tx, row.id, path, now).await?;
    let summary = format!("{path} was marked as deleted by its owner");
    events::record(&mut tx, now, actor, EventKind::FileMarkedDeleted, volume, &summary).await?;
    Ok(tx.commit().await?)
}

/// The files of a volume with this very name, whatever folder they are in; a path that is exactly this comes first.
pub async fn find_by_name(core: &Core, volume: &str, name: &[u8], limit: u32) -> Result<Vec<FilePath>> {
    configured(core, volume)?;
    let mut tx = core.db.read().await?;
    let volume = found(store::volume(&mut tx, volume).await?, volume)?;
    Ok(catalogue::find_by_name(&mut tx, volume.id, name, limit).await?)
}

/// How long findings that are over are kept.
const KEPT: TimeDelta = TimeDelta::days(90);
/// Findings that are forgotten in one transaction, and transactions in one go.
const FORGOTTEN: u32 = 5_000;
const GOES: usize = 100;

/// Clears away findings that have long been over.
pub async fn forget(core: &Core) -> Result<()> {
    let before = core.clock.now() - KEPT;
    let volumes = store::volumes(&mut core.db.read().await?).await?;
    let mut goes = 0..GOES;
    for volume in volumes {
        // Looking holds up nobody; only who finds something asks for the right to write.
        while findings::has_resolved(&mut core.db.read().await?, volume.id, before).await?
            && goes.next().is_some()
        {
            let mut tx = core.db.begin().await?;
            findings::forget_resolved(&mut tx, volume.id, before, FORGOTTEN).await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

/// Refuses, in words, what the actor's role may not do.
pub fn require(actor: &Actor, permission: Permission) -> Result<()> {
    if actor.may(permission) {
        return Ok(());
    }
    let (least, role) = (permission.least_role(), actor.role);
    Err(Error::Forbidden(format!("This needs the role {least}; yours is {role}.")))
}

pub fn configured<'a>(core: &'a Core, name: &str) -> Result<&'a VolumeConfig> {
    core.config.volume(name).ok_or_else(|| unknown_volume(core, name))
}

pub(super) fn found(row: Option<VolumeRow>, name: &str) -> Result<VolumeRow> {
    row.ok_or_else(|| Error::not_found(format!("The volume \"{name}\" is not in the database yet.")))
}

pub fn unknown_volume(core: &Core, name: &str) -> Error {
    let names: Vec<&str> = core.config.volumes.iter().map(|volume| volume.name.as_str()).collect();
    let known = match names.as_slice() {
        [] => "the configuration has none".to_owned(),
        names => format!("there is: {}", names.join(", ")),
    };
    Error::not_found(format!("There is no volume \"{name}\"; {known}."))
}

/// The rows of the copies that are configured, in the order of the configuration.
pub fn configured_copies(config: &VolumeConfig, rows: Vec<CopyRow>) -> Vec<CopyRow> {
    config.copies.iter().filter_map(|copy| rows.iter().find(|row| row.name == copy.name).cloned()).collect()
}

async fn to_change(tx: &mut Tx, name: &str) -> Result<VolumeRow> {
    found(store::volume_to_change(tx, name).await?, name)
}

fn free_bit(known: &[CopyRow]) -> Option<u8> {
    (0..u8::try_from(MAX_COPIES).ok()?).find(|bit| known.iter().all(|row| row.bit != *bit))
}

fn no_bit_left(volume: &str) -> Error {
    Error::conflict(format!(
        "The volume \"{volume}\" has had {MAX_COPIES} copies of different names, and there is no place for one more: \
         give a new copy the name of one that it no longer has."
    ))
}

/// What the database knows of a volume, read in one transaction.
struct Known {
    volume: VolumeRow,
    /// In the configuration's order.
    copies: Vec<CopyRow>,
    counts: FindingCounts,
    figures: Figures,
    facts: GateFacts,
    disk_tool: Option<DiskTool>,
    identity: Option<Identity>,
    /// Of each of the copies.
    identities: Vec<Option<Identity>>,
}

impl Known {
    async fn read(core: &Core, config: &VolumeConfig) -> Result<Self> {
        let mut tx = core.db.read().await?;
        let volume = found(store::volume(&mut tx, &config.name).await?, &config.name)?;
        let copies = configured_copies(config, store::copies(&mut tx, volume.id).await?);
        let bits: Vec<_> = copies.iter().map(|row| row.bit).collect();
        let mut identities = Vec::with_capacity(copies.len());
        for bit in &bits {
            identities.push(store::identity(&mut tx, volume.id, Some(*bit)).await?);
        }
        Ok(Self {
            facts: gate::facts(core, &mut tx, config, &volume).await?,
            disk_tool: agents::disk_tool(&mut tx, config, core.clock.now()).await?,
            identity: store::identity(&mut tx, volume.id, None).await?,
            identities,
            counts: findings::counts(&mut tx, volume.id).await?,
            figures: catalogue::figures(&mut tx, volume.id, &bits).await?,
            volume,
            copies,
        })
    }

    fn copy(&self, core: &Core, config: &CopyConfig, look: Result<Option<Sight>, Away>) -> CopyView {
        let at = self.copies.iter().position(|row| row.name == config.name);
        let row = at.and_then(|at| self.copies.get(at));
        let held = at.and_then(|at| self.figures.held.get(at)).copied().unwrap_or_default();
        let identity = at.and_then(|at| self.identities.get(at)).and_then(Option::as_ref);
        CopyView {
            name: config.name.clone(),
            kind: config.place.kind(),
            placement: config.placement,
            path: config.place.to_string(),
            reach: reach_of(config.place.folder(), identity, look, held.files > 0),
            files: held.files,
            bytes: held.bytes,
            age: row.map(|row| row.age).unwrap_or_default(),
            faults: row.map_or(0, |row| row.faults),
            bytes_per_second: row.and_then(|row| row.bytes_per_second),
            limit: limits::in_force(core, config, row),
        }
    }
}

/// What a look shows of a place. A folder that answers may be the mount point of a disk that is not mounted.
fn reach_of(
    folder: Option<&Path>,
    known: Option<&Identity>,
    look: Result<Option<Sight>, Away>,
    has_files: bool,
) -> Reach {
    let seen = match look {
        Ok(seen) => seen,
        Err(Away::Silent(why)) => return Reach::NotKnownYet(why),
        Err(Away::Gone(why)) => return Reach::Unreachable(why),
    };
    match folder.zip(seen.and_then(|sight| doubt(known, &sight, has_files))) {
        Some((folder, doubt)) => Reach::Unreachable(doubt.words(&folder.display().to_string())),
        None => Reach::Reached,
    }
}

/// Where a volume lies, for people.
fn place(config: &VolumeConfig) -> String {
    let path = config.path.display();
    config.host.as_ref().map_or_else(|| path.to_string(), |host| format!("{host}:{path}"))
}

async fn view(core: &Core, config: &VolumeConfig) -> Result<VolumeView> {
    // All at once: each may take its full patience.
    let looks = config.copies.iter().map(|copy| reach::copy(core, &config.name, copy));
    let (known, primary, looks) = tokio::join!(
        Known::read(core, config),
        reach::volume(core, config, core.patience.page),
        futures_util::future::join_all(looks)
    );
    let known = known?;
    let copies = config.copies.iter().zip(looks).map(|(copy, look)| known.copy(core, copy, look)).collect();
    let has_files = known.figures.all.files > 0;
    let reach = reach_of(Some(&config.path), known.identity.as_ref(), primary.map(Some), has_files);
    let facts = GateFacts { out_of_reach: reach.because().map(str::to_owned), ..known.facts };
    let points = known.volume.mode.gate(&facts);
    Ok(VolumeView {
        name: config.name.clone(),
        gate: salvor_domain::gate::open(&points),
        gate_points: points,
        files: known.figures.all.files,
        bytes: known.figures.all.bytes,
        findings: known.counts,
        copies,
        protected_at: known.volume.protected_at,
        checked_at: known.volume.checked_at,
        fully_checked_at: known.volume.full_check_started_at,
        path: place(config),
        disk_tool: known.disk_tool,
        reach,
        mode: known.volume.mode,
    })
}
