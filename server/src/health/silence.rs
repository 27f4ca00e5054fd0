//! Hosts that report no more: what they said last does not count, and the log says so once.

use std::time::Duration;

use chrono::TimeDelta;
use salvor_domain::account::Actor;
use salvor_domain::event::EventKind;
use salvor_domain::health::Level;
use salvor_domain::units;
use tokio_util::sync::CancellationToken;

use super::store::{self, Host, NewChange};
use crate::core::Core;
use crate::error::Result;
use crate::events;

/// Between two looks, at the most.
const EVERY: Duration = Duration::from_secs(5);

/// Looks at all hosts again and again. After a time in which nobody could report (a start, a database that was away) hosts have as
/// long as ever to do so before it is recorded; what is shown of them is unknown meanwhile.
pub async fn watch(core: Core, stop: CancellationToken) {
    let silent_after = core.config.health.silent_after;
    let every = (silent_after / 4).to_std().unwrap_or(EVERY).min(EVERY);
    let mut listening_since = core.clock.now();
    while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
        if core.clock.now() - listening_since < silent_after {
            continue;
        }
        if let Err(error) = record(&core).await {
            tracing::debug!(%error, "whether all hosts report could not be looked up");
            listening_since = core.clock.now();
        }
    }
}

/// Records the hosts that have fallen silent since the last look.
pub async fn record(core: &Core) -> Result<()> {
    let silent_after = core.config.health.silent_after;
    let before = core.clock.now() - silent_after;
    let hosts = store::hosts(&mut core.db.read().await?).await?;
    for host in hosts.iter().filter(|host| host.silent_at.is_none() && host.reported_at < before) {
        record_one(core, host).await?;
    }
    Ok(())
}

async fn record_one(core: &Core, host: &Host) -> Result<()> {
    let now = core.clock.now();
    let mut tx = core.db.begin().await?;
    if !store::set_silent(&mut tx, &host.name, now, now - core.config.health.silent_after).await? {
        return Ok(());
    }
    let summary = format!(
        "{} has not reported since {}: nothing is known of it",
        host.name,
        host.reported_at.format("%Y-%m-%d %H:%M:%S UTC")
    );
    let known = store::signals_of(&mut tx, &host.name).await?.into_iter();
    let known = known.filter(|signal| signal.standing.level != Level::Unknown);
    let changes: Vec<_> = known
        .map(|signal| NewChange {
            signal: signal.id,
            at: now,
            from: Some(signal.standing.level),
            to: Level::Unknown,
            reason: summary.clone(),
        })
        .collect();
    store::add_changes(&mut tx, &changes).await?;
    events::record(&mut tx, now, &Actor::salvor(), EventKind::HostSilent, &host.name, &summary).await?;
    Ok(tx.commit().await?)
}

/// For people.
pub fn span(span: TimeDelta) -> String {
    units::duration(span.num_seconds().max(0) as f64)
}
