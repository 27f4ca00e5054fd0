//! What storage health clears away: what is long gone, unless a volume that is not `normal` lies on it. Its gate waits for that.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use salvor_domain::health::Level;
use salvor_domain::health::standing::Damping;
use salvor_domain::volume::Mode;

use super::alerts;
use super::batch::Batch;
use super::store::{self, Signal};
use crate::core::Core;
use crate::database::Tx;
use crate::error::Result;

/// A subject that no report has any more.
const GONE: TimeDelta = TimeDelta::days(1);
/// An alert that Alertmanager, which repeats them, has not told again.
const STALE: TimeDelta = TimeDelta::days(1);
const SILENT: TimeDelta = TimeDelta::days(30);
/// Changes of each signal, and how old they may be.
const CHANGES: i64 = 500;
const KEPT: TimeDelta = TimeDelta::days(400);

pub async fn forget(core: &Core) -> Result<()> {
    let now = core.clock.now();
    forget_alerts(core, now).await?;
    let hosts = store::hosts(&mut core.db.read().await?).await?;
    for host in hosts {
        forget_of(core, &host.name, now).await?;
    }
    let mut tx = core.db.begin().await?;
    store::forget_changes(&mut tx, CHANGES, now - KEPT).await?;
    Ok(tx.commit().await?)
}

/// One that was resolved is over; one that was not, and is repeated no more, is not known.
async fn forget_alerts(core: &Core, now: DateTime<Utc>) -> Result<()> {
    let mut tx = core.db.begin().await?;
    tx.one_at_a_time(alerts::LOCK).await?;
    let held = Held::read(&mut tx).await?;
    let mut batch = Batch::new(now, Damping::NONE, false);
    let mut over = Vec::new();
    for signal in store::alerts(&mut tx).await?.into_iter().filter(|signal| now - signal.read_at > STALE) {
        let is_over = signal.standing.level == Level::Ok || signal.gone_at.is_some_and(|at| now - at > GONE);
        match signal.gone_at {
            _ if is_over && !held.holds(&signal) => over.push(signal.id),
            None if signal.standing.level != Level::Ok => batch.miss(signal),
            _ => {}
        }
    }
    batch.write(core, &mut tx).await?;
    store::delete_signals(&mut tx, &over).await?;
    Ok(tx.commit().await?)
}

async fn forget_of(core: &Core, host: &str, now: DateTime<Utc>) -> Result<()> {
    let mut tx = core.db.begin().await?;
    let row = store::hold_host(&mut tx, host, now).await?;
    let is_silent = now - row.reported_at > SILENT;
    let held = Held::read(&mut tx).await?;
    let signals = store::signals_of(&mut tx, host).await?;
    let is_over = |signal: &Signal| {
        (is_silent || signal.gone_at.is_some_and(|at| now - at > GONE)) && !held.holds(signal)
    };
    let over: Vec<_> = signals.iter().filter(|signal| is_over(signal)).map(|signal| signal.id).collect();
    store::delete_signals(&mut tx, &over).await?;
    if is_silent && over.len() == signals.len() {
        store::delete_host(&mut tx, host).await?;
    }
    Ok(tx.commit().await?)
}

/// Volumes whose gates wait for what lies beneath them.
struct Held(HashSet<String>);

impl Held {
    async fn read(tx: &mut Tx) -> Result<Self> {
        let volumes = crate::volumes::store::volumes(tx).await?.into_iter();
        Ok(Self(volumes.filter(|row| row.mode.mode() != Mode::Normal).map(|row| row.name).collect()))
    }

    fn holds(&self, signal: &Signal) -> bool {
        signal.volumes.iter().any(|volume| self.0.contains(volume))
    }
}
