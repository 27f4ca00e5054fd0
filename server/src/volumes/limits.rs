//! What a copy is read within: the configuration's limit and timetable, and an operator's word over them.

use salvor_app::volumes::port::CopyLimits;
use salvor_domain::account::{Actor, Permission};
use salvor_domain::event::EventKind;
use salvor_domain::limits::LimitsChange;
use salvor_domain::timetable::InForce;

use super::service::{configured, found, require};
use super::store::{self, CopyRow};
use crate::config::CopyConfig;
use crate::core::Core;
use crate::database::Tx;
use crate::error::{Error, Result};
use crate::events;

/// Sets the limit of a copy over its configuration and timetable, or (`None`) takes that back. What is kept is what holds just now.
/// Workers follow within a second.
///
/// # Errors
/// [`Error::NotFound`] for a volume or copy that is not configured.
pub async fn set_copy_limits(
    core: &Core,
    actor: &Actor,
    volume: &str,
    copy: &str,
    change: Option<LimitsChange>,
) -> Result<CopyLimits> {
    require(actor, Permission::RunJobs)?;
    let config = configured_copy(core, volume, copy)?;
    let now = core.clock.now();
    let mut tx = core.db.begin().await?;
    let row = found(store::volume_to_change(&mut tx, volume).await?, volume)?;
    let copy = registered(&mut tx, row.id, copy).await?;
    let limits = change.map(|change| change.of(in_force(core, config, Some(&copy)).limits));
    if copy.limits != limits {
        store::set_copy_limits(&mut tx, row.id, copy.bit, limits.as_ref()).await?;
        let what = match limits {
            Some(limits) => {
                format!("{} set the limit of {volume}'s copy {}: {limits}", actor.name, copy.name)
            }
            None => format!(
                "{} took the limit of {volume}'s copy {} back to its configuration",
                actor.name, copy.name
            ),
        };
        events::record(&mut tx, now, actor, EventKind::LimitChanged, volume, &format!("{what}.")).await?;
    }
    tx.commit().await?;
    Ok(in_force(core, config, Some(&CopyRow { limits, ..copy })))
}

/// What a copy is read within just now.
///
/// # Errors
/// [`Error::NotFound`] for a volume or copy that is not configured.
pub async fn copy_limits(core: &Core, volume: &str, copy: &str) -> Result<CopyLimits> {
    let config = configured_copy(core, volume, copy)?;
    let mut tx = core.db.read().await?;
    let row = found(store::volume(&mut tx, volume).await?, volume)?;
    let copy = registered(&mut tx, row.id, copy).await?;
    Ok(in_force(core, config, Some(&copy)))
}

fn configured_copy<'c>(core: &'c Core, volume: &str, copy: &str) -> Result<&'c CopyConfig> {
    let config = configured(core, volume)?;
    config.copies.iter().find(|config| config.name == copy).ok_or_else(|| {
        let names: Vec<&str> = config.copies.iter().map(|copy| copy.name.as_str()).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Error::not_found(format!("The volume \"{volume}\" has no copy \"{copy}\"; it has: {names}."))
    })
}

async fn registered(tx: &mut Tx, volume: i64, copy: &str) -> Result<CopyRow> {
    let copy = store::copies(tx, volume).await?.into_iter().find(|row| row.name == copy);
    copy.ok_or_else(|| Error::Internal("a configured copy is not registered".into()))
}

/// What holds just now, for people.
pub fn in_force(core: &Core, config: &CopyConfig, row: Option<&CopyRow>) -> CopyLimits {
    let said = row.and_then(|row| row.limits);
    let in_force = InForce::at(said, config.limits(), &config.timetable, core.clock.local());
    CopyLimits { limits: in_force.limits, basis: in_force.basis.to_string(), by_hand: said.is_some() }
}
