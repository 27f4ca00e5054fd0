//! The live feed of events: one task reads the table, every listener gets what is new.
//!
//! Invariant: a listener gets events in the order of their ids, each once. Ids are handed out before they are committed,
//! so an id may be missing for a moment: what follows it waits, for [`GRACE`] at most (a transaction that was rolled
//! back leaves its ids unused for good).

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event as Message, KeepAlive};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::{self, Stream};
use http::HeaderMap;
use salvor_domain::event::Event;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::core::Core;
use crate::error::Result;
use crate::events;
use crate::http::{Answer, ApiProblem, Query};

const EVERY: Duration = Duration::from_millis(500);
const GRACE: TimeDelta = TimeDelta::seconds(2);
const AT_ONCE: i64 = 500;
const BUFFERED: usize = 1_024;
/// Lower than every event's id.
const UNKNOWN: i64 = -1;
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Where listeners subscribe.
#[derive(Clone)]
pub struct Feed {
    sender: broadcast::Sender<Arc<Event>>,
    /// The id of the last event that was sent; written before it is sent.
    sent: Arc<AtomicI64>,
}

impl Feed {
    /// Begins after the newest event: listeners get what is older from the table. While the database is away, where it begins
    /// is not known.
    pub async fn open(core: &Core) -> Result<Self> {
        let newest = if core.db.is_away() { UNKNOWN } else { newest(core).await? };
        Ok(Self { sender: broadcast::Sender::new(BUFFERED), sent: Arc::new(AtomicI64::new(newest)) })
    }

    /// Reads the table until `stop`: the one task behind all listeners.
    pub async fn run(self, core: Core, stop: CancellationToken) {
        loop {
            if let Err(error) = self.step(&core).await
                && !core.db.is_away()
            {
                tracing::warn!(%error, "the feed of events waits for the database");
            }
            if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// Sends what is new.
    pub async fn step(&self, core: &Core) -> Result<()> {
        let last = self.sent.load(Ordering::SeqCst);
        if last == UNKNOWN {
            self.sent.store(newest(core).await?, Ordering::SeqCst);
            return Ok(());
        }
        let found = events::after(&mut core.db.read().await?, last, AT_ONCE).await?;
        let ready = ready(last, &found, core.clock.now());
        for event in found.into_iter().take(ready) {
            self.sent.store(event.id, Ordering::SeqCst);
            // Nobody listening is no failure.
            let _ = self.sender.send(Arc::new(event));
        }
        Ok(())
    }
}

async fn newest(core: &Core) -> Result<i64> {
    Ok(events::newest_id(&mut core.db.read().await?).await?)
}

/// How many of the events found after `last` may go out: up to the first gap, unless it is old.
fn ready(last: i64, found: &[Event], now: DateTime<Utc>) -> usize {
    let mut expected = last + 1;
    found
        .iter()
        .take_while(|event| {
            let fits = event.id == expected || now - event.at > GRACE;
            expected = event.id + 1;
            fits
        })
        .count()
}

#[derive(Debug, Default, serde::Deserialize)]
pub struct Resume {
    /// The id of the last event that the caller has.
    after: Option<i64>,
}

/// `GET /api/v1/events`: what happened after the caller's last event, then what happens. Without one: from now on.
pub async fn events(
    State(core): State<Core>,
    State(feed): State<Feed>,
    headers: HeaderMap,
    Query(resume): Query<Resume>,
) -> Answer<Sse<impl Stream<Item = Result<Message, Infallible>>>> {
    let header = match headers.get("last-event-id") {
        Some(value) => {
            Some(value.to_str().ok().and_then(|text| text.trim().parse().ok()).ok_or_else(|| {
                ApiProblem::invalid("Last-Event-ID must be the id of an event: a whole number.")
            })?)
        }
        None => None,
    };
    let receiver = feed.sender.subscribe();
    let last = match header.or(resume.after) {
        Some(last) => last,
        None => events::newest_id(&mut core.db.read().await?).await?,
    };
    let listener = Listener { core, feed, receiver, last, backlog: Vec::new() };
    let stream = stream::unfold(listener, async |mut listener| {
        let event = listener.next().await?;
        Some((Ok(message(&event)), listener))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("still here")))
}

fn message(event: &Event) -> Message {
    let message = Message::default().id(event.id.to_string());
    match serde_json::to_string(event) {
        Ok(text) => message.data(text),
        Err(_) => message.comment("an event that cannot be written"),
    }
}

/// One caller's place in the feed.
struct Listener {
    core: Core,
    feed: Feed,
    receiver: broadcast::Receiver<Arc<Event>>,
    last: i64,
    /// From the table, newest first.
    backlog: Vec<Event>,
}

impl Listener {
    /// Ends with the feed, and when the table cannot be read: the browser then comes back and resumes.
    async fn next(&mut self) -> Option<Arc<Event>> {
        loop {
            if let Some(event) = self.backlog.pop() {
                self.last = event.id;
                return Some(Arc::new(event));
            }
            let sent = self.feed.sent.load(Ordering::SeqCst);
            if self.last < sent {
                self.backlog = self.read(sent).await?;
                if self.backlog.is_empty() {
                    self.last = sent;
                }
                continue;
            }
            match self.receiver.recv().await {
                Ok(event) if event.id > self.last => {
                    self.last = event.id;
                    return Some(event);
                }
                // Read from the table already, or about to be.
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    async fn read(&self, up_to: i64) -> Option<Vec<Event>> {
        let read = async {
            let mut tx = self.core.db.read().await?;
            events::after(&mut tx, self.last, AT_ONCE).await
        };
        match read.await {
            Ok(mut found) => {
                found.retain(|event| event.id <= up_to);
                found.reverse();
                Some(found)
            }
            Err(error) => {
                tracing::warn!(%error, "a listener of events is sent away: the database");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use salvor_domain::event::EventKind;

    #[test]
    fn what_follows_a_gap_waits_but_not_for_ever() {
        let event = |id, second| Event {
            id,
            at: DateTime::from_timestamp(second, 0).unwrap(),
            actor: "salvor".into(),
            kind: EventKind::JobNote,
            subject: "x".into(),
            summary: "x".into(),
        };
        let now = DateTime::from_timestamp(100, 0).unwrap();
        assert_eq!(ready(4, &[event(5, 99), event(6, 99)], now), 2);
        assert_eq!(ready(4, &[event(5, 99), event(7, 99), event(8, 99)], now), 1);
        assert_eq!(ready(4, &[event(6, 97), event(7, 99)], now), 2, "nobody will fill the gap at 5");
    }
}
