//! What can be asked of storage health, and said about it.

use chrono::{DateTime, TimeDelta, Utc};
use salvor_app::health::port::{Change, HostView, SignalKey, SignalView, SignalsFilter, VolumeHealth};
use salvor_domain::account::{Actor, Permission};
use salvor_domain::event::EventKind;
use salvor_domain::health::standing::Muted;

use super::store::Signal;
use super::views::{CHANGES, Look, worst_first};
use super::{bounds, store};
use crate::core::Core;
use crate::error::{Error, Result};
use crate::events;
use crate::volumes::service::{configured, require};

pub use super::alerts::notified;
pub use super::forget::forget;
pub use super::ingest::{Via, ingest};
pub use super::silence::{record as record_silence, watch};
pub use super::store::newest_change;
pub use super::troubles::{Trouble, file_system_fault, troubles};

/// Whoever needs longer mends it, or takes the thing out.
const LONGEST_MUTE: TimeDelta = TimeDelta::days(90);

/// The token that a host is reported with, if it is known; none inside where a server reads its own host.
pub async fn reported_by(core: &Core, host: &str) -> Result<Option<Option<String>>> {
    let mut tx = core.db.read().await?;
    Ok(store::hosts(&mut tx).await?.into_iter().find(|known| known.name == host).map(|known| known.token))
}

/// Worst first.
pub async fn signals(core: &Core, filter: &SignalsFilter) -> Result<Vec<SignalView>> {
    let look = Look::at(core, &mut core.db.read().await?).await?;
    let fits = |signal: &SignalView| {
        filter.host.as_ref().is_none_or(|host| *host == signal.host)
            && filter.volume.as_ref().is_none_or(|volume| signal.volumes.contains(volume))
            && filter.level.is_none_or(|level| signal.level >= level)
    };
    let mut signals: Vec<_> = look.signals.iter().map(|signal| look.view(signal)).filter(fits).collect();
    worst_first(&mut signals);
    Ok(signals)
}

/// Those that report first; then those that alerts alone tell of.
pub async fn hosts(core: &Core) -> Result<Vec<HostView>> {
    let look = Look::at(core, &mut core.db.read().await?).await?;
    let mut hosts: Vec<_> = look.hosts.iter().map(|host| look.host(host)).collect();
    hosts.extend(look.hosts_of_alerts());
    Ok(hosts)
}

/// In the order of the configuration.
pub async fn volumes(core: &Core) -> Result<Vec<VolumeHealth>> {
    let mut tx = core.db.read().await?;
    let look = Look::at(core, &mut tx).await?;
    let mut volumes = Vec::with_capacity(core.config.volumes.len());
    for volume in &core.config.volumes {
        volumes.push(look.volume(&mut tx, &volume.name).await?);
    }
    Ok(volumes)
}

pub async fn volume(core: &Core, name: &str) -> Result<VolumeHealth> {
    configured(core, name)?;
    let mut tx = core.db.read().await?;
    let look = Look::at(core, &mut tx).await?;
    look.volume(&mut tx, name).await
}

/// Newest first.
pub async fn changes(core: &Core, key: &SignalKey) -> Result<Vec<Change>> {
    let mut tx = core.db.read().await?;
    let signal = store::signal(&mut tx, key).await?.ok_or_else(|| unknown(key))?;
    Ok(store::changes(&mut tx, &[signal.id], CHANGES).await?)
}

/// Keeps a signal quiet until then, or until it gets worse.
pub async fn mute(
    core: &Core,
    actor: &Actor,
    key: &SignalKey,
    until: DateTime<Utc>,
    reason: &str,
) -> Result<SignalView> {
    require(actor, Permission::MuteSignals)?;
    let (now, reason) = (core.clock.now(), bounds::text(reason.trim()));
    if reason.is_empty() {
        return Err(Error::invalid("Give a reason: it is shown to operators and kept in the audit log."));
    }
    if until <= now || until - now > LONGEST_MUTE {
        let days = LONGEST_MUTE.num_days();
        return Err(Error::invalid(format!("\"until\" is a time within the next {days} days.")));
    }
    let summary = format!("until {}: {reason}", until.format("%Y-%m-%d %H:%M UTC"));
    change(core, actor, key, EventKind::SignalMuted, &summary, |signal| {
        let (level, occurrence) = (signal.standing.level, signal.standing.occurrence.clone());
        signal.muted = Some(Muted { reason, by: actor.name.clone(), until, level, occurrence });
    })
    .await
}

pub async fn unmute(core: &Core, actor: &Actor, key: &SignalKey) -> Result<SignalView> {
    require(actor, Permission::MuteSignals)?;
    change(core, actor, key, EventKind::SignalUnmuted, "by hand", |signal| signal.muted = None).await
}

async fn change(
    core: &Core,
    actor: &Actor,
    key: &SignalKey,
    kind: EventKind,
    what: &str,
    change: impl FnOnce(&mut Signal),
) -> Result<SignalView> {
    let now = core.clock.now();
    let mut tx = core.db.begin().await?;
    let mut signal = store::signal_to_change(&mut tx, key).await?.ok_or_else(|| unknown(key))?;
    let was_muted = signal.muted.is_some();
    change(&mut signal);
    if was_muted || signal.muted.is_some() {
        let done = if signal.muted.is_some() { "muted" } else { "no longer muted" };
        let summary = format!("{} is {done}, {what}", signal.name());
        events::record(&mut tx, now, actor, kind, &signal.host, &summary).await?;
        store::put(&mut tx, std::slice::from_mut(&mut signal)).await?;
    }
    let view = Look::at(core, &mut tx).await?.view(&signal);
    tx.commit().await?;
    Ok(view)
}

fn unknown(key: &SignalKey) -> Error {
    Error::not_found(format!("There is no signal of {} about {} on {}.", key.probe, key.subject, key.host))
}
