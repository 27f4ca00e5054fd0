//! Sending what waits. Every server does it; a lease keeps two from sending the same.

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join_all;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use salvor_domain::delivery::{DeliveryState, pause_after};
use tokio_util::sync::CancellationToken;

use super::sign::signature;
use super::store::{self, Delivery};
use crate::core::Core;
use crate::error::{Error, Result};
use crate::outgoing;

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What a receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longer than any try: a server that died holds nothing for longer.
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// At a time, side by side: one that hangs keeps only these waiting.
const AT_ONCE: i64 = 16;

/// Sends until `stop`.
pub async fn run(core: Core, stop: CancellationToken) {
    let client = match client() {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "no webhook can be called"),
    };
    loop {
        match step(&core, &client).await {
            Ok(()) => {}
            Err(_) if core.db.is_away() => {}
            Err(error) => tracing::warn!(%error, "messages to webhooks wait"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
            return;
        }
    }
}

pub fn client() -> Result<reqwest::Client> {
    outgoing::client(PATIENCE).map_err(|why| Error::Internal(why.to_string()))
}

/// Sends what is due, once.
pub async fn step(core: &Core, client: &reqwest::Client) -> Result<()> {
    let now = core.clock.now();
    // Looking holds up nobody; only who finds something asks for the right to write.
    if !store::any_due(&mut core.db.read().await?, now).await? {
        return Ok(());
    }
    let mut tx = core.db.begin().await?;
    let leased = store::lease(&mut tx, now, now + LEASE, AT_ONCE).await?;
    tx.commit().await?;
    let tried = join_all(leased.iter().map(|delivery| attempt(core, client, delivery))).await;
    for outcome in tried {
        outcome?;
    }
    Ok(())
}

/// Why a message was not taken.
enum Fault {
    MayPass(String),
    /// Nobody will take it there any more.
    ForGood(String),
}

async fn attempt(core: &Core, client: &reqwest::Client, delivery: &Delivery) -> Result<()> {
    let sent = send(core, client, delivery).await;
    let now = core.clock.now();
    let (state, why, again) = match sent {
        Ok(()) => (DeliveryState::Delivered, None, now),
        Err(Fault::ForGood(why)) => (DeliveryState::Dead, Some(why), now),
        Err(Fault::MayPass(why)) => match pause_after(delivery.attempts) {
            Some(pause) => (DeliveryState::Waiting, Some(why), now + pause),
            None => (DeliveryState::Dead, Some(why), now),
        },
    };
    if let Some(why) = &why {
        let (id, attempts) = (&delivery.message_id, delivery.attempts);
        tracing::warn!(id, attempts, state = state.as_str(), why, "a webhook was not told");
    }
    let mut tx = core.db.begin().await?;
    store::settle(&mut tx, delivery, state, why.as_deref(), again, now).await?;
    Ok(tx.commit().await?)
}

async fn send(core: &Core, client: &reqwest::Client, delivery: &Delivery) -> Result<(), Fault> {
    let webhook = core.config.webhooks.iter().find(|webhook| webhook.url == delivery.url);
    let webhook = webhook.ok_or_else(|| {
        Fault::ForGood("the configuration has no webhook with this address any more".into())
    })?;
    let timestamp = core.clock.now().timestamp();
    let signed = webhook
        .secret
        .read()
        .and_then(|secret| signature(&secret, &delivery.message_id, timestamp, &delivery.body))
        .map_err(Fault::MayPass)?;
    let sending = client
        .post(&webhook.url)
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", &delivery.message_id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signed)
        .body(delivery.body.clone());
    let answer = sending.send().await.map_err(|why| Fault::MayPass(outgoing::told(why)))?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        StatusCode::GONE => Err(Fault::ForGood("the receiver answered 410 Gone".into())),
        status => Err(Fault::MayPass(format!("the receiver answered {status}"))),
    }
}
