//! Webhooks: what others asked to be told of, by a message that they can trust.
//!
//! A message is a row, written in the transaction of what it tells ([`queue`]); [`deliver`] sends it from whichever server leases it,
//! signed as the Standard Webhooks say ([`sign`]), again and again until the receiver takes it or a day is over.
//!
//! Invariants: what is known to be taken is not sent again (where a server died before it had written that down, the message comes once more
//! under the same id); of one subject a receiver is told in order; no secret is kept in the database.

mod deliver;
pub mod http;
mod port;
mod sign;
mod store;

use chrono::{DateTime, Utc};
use salvor_app::webhooks::port::DeliveryView;
use salvor_domain::account::{Actor, Permission};
use salvor_domain::delivery::DeliveryState;
use salvor_domain::event::EventKind;
use serde::Serialize;
use serde_json::json;

pub use deliver::{client, run, step};
pub use port::Webhooks;

use crate::clock::random_hex;
use crate::core::Core;
use crate::database::Tx;
use crate::error::{Error, Result};
use crate::events;
use crate::volumes::service::require;

/// How long a message that came to its end is kept.
const KEPT: chrono::TimeDelta = chrono::TimeDelta::days(30);

/// Tells every webhook that asked for it, once the caller's transaction is committed.
pub async fn queue(
    core: &Core,
    tx: &mut Tx,
    kind: EventKind,
    subject: &str,
    data: &impl Serialize,
    now: DateTime<Utc>,
) -> Result<()> {
    let told = core.config.webhooks.iter().filter(|webhook| webhook.events.contains(&kind));
    for webhook in told {
        let body = json!({ "type": kind, "timestamp": now, "data": data });
        let body = serde_json::to_string(&body).map_err(|why| Error::Internal(why.to_string()))?;
        let message_id = random_hex::<16>();
        // What waits for a later try must not keep the news waiting behind it.
        store::hurry(tx, &webhook.url, subject, now).await?;
        store::add(tx, &format!("msg_{message_id}"), &webhook.url, kind, subject, &body, now).await?;
    }
    Ok(())
}

/// Newest first.
pub async fn deliveries(core: &Core, state: Option<DeliveryState>, limit: u32) -> Result<Vec<DeliveryView>> {
    let all = store::list(&mut core.db.read().await?, state, i64::from(limit)).await?;
    Ok(all.into_iter().map(DeliveryView::from).collect())
}

/// Tries one again that was given up, as often as a new one.
pub async fn send_again(core: &Core, actor: &Actor, id: &str) -> Result<()> {
    require(actor, Permission::RunJobs)?;
    let now = core.clock.now();
    let mut tx = core.db.begin().await?;
    if !store::revive(&mut tx, id, now).await? {
        return Err(Error::conflict(
            "This message does not wait to be sent again: it was taken, or is on its way.",
        ));
    }
    let summary = format!("{} sent the message {id} to its webhook again.", actor.name);
    events::record(&mut tx, now, actor, EventKind::MessageSentAgain, id, &summary).await?;
    Ok(tx.commit().await?)
}

/// Clears away messages that came to their end long ago.
pub async fn forget(core: &Core) -> Result<()> {
    let mut tx = core.db.begin().await?;
    store::forget(&mut tx, core.clock.now() - KEPT).await?;
    Ok(tx.commit().await?)
}
