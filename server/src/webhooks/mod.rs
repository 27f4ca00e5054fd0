//! Webhooks: what others asked to be told of, by a message that they can trust.
//!
//! A message is a row, written in the transaction of what it tells ([`queue`]); [`deliver`] sends it from whichever server leases it,
//! signed as the Standard Webhooks say ([`sign`]), again and again until the receiver takes it or a day is over.
//!
//! Invariants: what is known to be taken is not sent again (where a server died before it had written that down, the message comes once more
//! under the same id); of one subject a receiver is told in order; no secret is kept in the database.

mod deliver;
pub mod http;
mod sign;
mod store;

use chrono::{DateTime, Utc};
use salvor_domain::event::EventKind;
use serde::Serialize;
use serde_json::json;

pub use deliver::{client, run, step};

use crate::clock::random;
use crate::core::Core;
use crate::database::Tx;
use crate::error::{Error, Result};

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
        let message_id: String = random::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        // What waits for a later try must not keep the news waiting behind it.
        store::hurry(tx, &webhook.url, subject, now).await?;
        store::add(tx, &format!("msg_{message_id}"), &webhook.url, kind, subject, &body, now).await?;
    }
    Ok(())
}

/// Clears away messages that came to their end long ago.
pub async fn forget(core: &Core) -> Result<()> {
    let mut tx = core.db.begin().await?;
    store::forget(&mut tx, core.clock.now() - KEPT).await?;
    Ok(tx.commit().await?)
}
