//! Safety mode: a change of a volume's mode, by a rule or by hand, with all that follows from it.
//!
//! Invariant: the mode, the event, the jobs that stop, what the operators find on their desk and what webhooks are told are one
//! transaction.

use chrono::{DateTime, Utc};
use salvor_domain::account::Actor;
use salvor_domain::event::EventKind;
use salvor_domain::volume::{GateFacts, Mode, ModeChange, ModeState};

use super::store::VolumeRow;
use super::{gate, service, store};
use crate::core::Core;
use crate::database::Tx;
use crate::error::Result;
use crate::incidents::drafts::{self, Draft};
use crate::{events, webhooks};

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
    let actor = Actor::salvor();
    let change = ModeChange {
        to: Mode::ReadOnly,
        reason: trip.reason,
        by: actor.name.clone(),
        evidence: trip.evidence,
        override_gate: false,
        now: core.clock.now(),
    };
    apply(core, tx, &actor, row, change, &GateFacts::default()).await?;
    Ok(true)
}

/// Changes the mode by the rules of [`ModeState::change`]. The caller holds the volume's row.
pub(super) async fn apply(
    core: &Core,
    tx: &mut Tx,
    actor: &Actor,
    row: VolumeRow,
    change: ModeChange,
    facts: &GateFacts,
) -> Result<ModeState> {
    let (from, to, now) = (row.mode.mode(), change.to, change.now);
    let open = row.mode.open_points(facts);
    let after = row.mode.clone().change(change, facts)?;
    store::set_mode_state(tx, row.id, &after).await?;
    let name = &row.name;
    let summary = match (from, actor == &Actor::salvor()) {
        (Mode::Normal, true) => format!("{name} tripped to {to}: {}", after.reason()),
        _ => format!("{name} went from {from} to {to}: {}{}", after.reason(), through(to, &open)),
    };
    events::record(tx, now, actor, EventKind::ModeChanged, name, &summary).await?;
    if to != Mode::Normal {
        // Damage must not reach the copies.
        let why = format!("the volume is {to}: {}", after.reason());
        crate::restore::service::pause_protect(tx, now, row.id, &why).await?;
    }
    match from {
        Mode::Normal => {
            let note = with_evidence(summary, after.evidence());
            drafts::of_trip(core, tx, actor, name, draft(actor, now), &note, now).await?;
        }
        // What was seen stands in the timeline since the trip.
        _ => drafts::note(tx, actor, name, &summary, now).await?,
    }
    tell(core, tx, VolumeRow { mode: after.clone(), ..row }, now).await?;
    Ok(after)
}

/// How it came to be normal again.
fn through(to: Mode, open: &[String]) -> String {
    match (to, open.is_empty()) {
        (Mode::Normal, true) => " (the gate was open)".to_owned(),
        (Mode::Normal, false) => format!(" (the gate was overridden: {})", open.join("; ")),
        _ => String::new(),
    }
}

fn with_evidence(summary: String, evidence: &[String]) -> String {
    if evidence.is_empty() { summary } else { format!("{summary}. Seen: {}", evidence.join("; ")) }
}

/// For customers: what they notice, no device, no cause that is not known yet, no promise that nobody made.
fn draft(actor: &Actor, now: DateTime<Utc>) -> Draft {
    let at = now.format("%H:%M UTC on %-d %B");
    let begin = match actor == &Actor::salvor() {
        true => format!(
            "At {at} we noticed a problem with the storage behind your files, and paused uploads and deletes to keep them safe."
        ),
        false => format!(
            "At {at} we paused uploads and deletes to keep your files safe while we look into the storage behind them."
        ),
    };
    Draft {
        name: "Uploads are paused".to_owned(),
        body: format!("{begin} We will write here as soon as we know more."),
    }
}

/// What webhooks are told of a change of mode.
#[derive(serde::Serialize)]
struct Changed<'a> {
    volume: &'a str,
    mode: Mode,
    since: DateTime<Utc>,
    reason: &'a str,
    by: &'a str,
    evidence: &'a [String],
    /// What the gate waits for now.
    gate: Vec<String>,
}

async fn tell(core: &Core, tx: &mut Tx, row: VolumeRow, now: DateTime<Utc>) -> Result<()> {
    let facts = match core.config.volume(&row.name) {
        Some(config) => gate::facts(core, tx, config, &row).await?,
        None => GateFacts::default(),
    };
    let changed = Changed {
        volume: &row.name,
        mode: row.mode.mode(),
        since: row.mode.since(),
        reason: row.mode.reason(),
        by: row.mode.by(),
        evidence: row.mode.evidence(),
        gate: row.mode.open_points(&facts),
    };
    webhooks::queue(core, tx, EventKind::ModeChanged, &row.name, &changed, now).await
}
