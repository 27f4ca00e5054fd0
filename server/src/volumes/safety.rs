//! Safety mode: a rule takes a volume out of `normal`, with what it saw.

use salvor_domain::account::Actor;
use salvor_domain::event::EventKind;
use salvor_domain::volume::{GateFacts, Mode, ModeChange};

use super::{service, store};
use crate::core::Core;
use crate::database::Tx;
use crate::error::Result;
use crate::events;

/// What a rule saw on the ground of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trip {
    /// One sentence for people.
    pub reason: String,
    pub evidence: Vec<String>,
}

/// Takes a volume that is `normal` to `read_only`, in the caller's transaction; one that is not stays as it is. Gives whether it
/// tripped: then the caller nudges the workers after its commit.
pub async fn trip(core: &Core, tx: &mut Tx, volume: &str, trip: Trip) -> Result<bool> {
    let row = service::found(store::volume_to_change(tx, volume).await?, volume)?;
    if row.mode.mode() != Mode::Normal {
        return Ok(false);
    }
    let (now, actor) = (core.clock.now(), Actor::salvor());
    let change = ModeChange {
        to: Mode::ReadOnly,
        reason: trip.reason,
        by: actor.name.clone(),
        evidence: trip.evidence,
        override_gate: false,
        now,
    };
    let after = row.mode.change(change, &GateFacts::default())?;
    store::set_mode_state(tx, row.id, &after).await?;
    let summary = format!("{volume} tripped to read_only: {}", after.reason());
    events::record(tx, now, &actor, EventKind::ModeChanged, volume, &summary).await?;
    let why = format!("the volume is read_only: {}", after.reason());
    crate::restore::service::pause_protect(tx, now, row.id, &why).await?;
    Ok(true)
}
