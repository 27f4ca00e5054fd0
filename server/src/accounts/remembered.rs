//! Who holds a token, remembered for a moment: for what is asked thousands of times a second, and must still be answered while the
//! database is away.
//!
//! Invariants: while the database answers, a token that was revoked is refused within [`FRESH`]; only tokens that once were good are
//! remembered. While it does not answer, who holds one is told no more than that nothing is known any more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use salvor_domain::account::Actor;

use super::service;
use crate::clock::secret_hash;
use crate::core::Core;
use crate::error::{Error, Result};

const FRESH: TimeDelta = TimeDelta::seconds(5);
const HOLDS: TimeDelta = TimeDelta::hours(24);
const READ_WITHIN: Duration = Duration::from_secs(2);
const MOST: usize = 1_000;

#[derive(Clone, Default)]
pub struct Remembered(Arc<Mutex<HashMap<Vec<u8>, Holder>>>);

struct Holder {
    actor: Actor,
    /// When the database said so.
    read_at: DateTime<Utc>,
    /// When it was asked last: one caller asks, the others go on with what is known.
    asked_at: DateTime<Utc>,
}

impl Remembered {
    /// As [`service::token_holder`].
    pub async fn token_holder(&self, core: &Core, token: &str) -> Result<Option<Actor>> {
        let (now, hash) = (core.clock.now(), secret_hash(token));
        let known = match self.look(&hash, now) {
            Look::Fresh(actor) => return Ok(Some(actor)),
            Look::Old(actor) => Some(actor),
            Look::Unknown => None,
        };
        let read = tokio::time::timeout(READ_WITHIN, service::token_holder(core, token)).await;
        let read =
            read.unwrap_or_else(|_| Err(Error::Internal("the database did not answer in time".into())));
        match (read, known) {
            (Ok(holder), _) => {
                self.keep(hash, holder.clone(), now);
                Ok(holder)
            }
            (Err(_), Some(actor)) => Ok(Some(actor)),
            (Err(error), None) => Err(error),
        }
    }

    fn look(&self, hash: &[u8], now: DateTime<Utc>) -> Look {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(hash) {
            Some(holder) if (now - holder.read_at).abs() <= HOLDS => {
                if (now - holder.asked_at).abs() <= FRESH {
                    return Look::Fresh(holder.actor.clone());
                }
                holder.asked_at = now;
                Look::Old(holder.actor.clone())
            }
            _ => Look::Unknown,
        }
    }

    fn keep(&self, hash: Vec<u8>, holder: Option<Actor>, now: DateTime<Utc>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(actor) = holder else {
            all.remove(&hash);
            return;
        };
        if all.len() >= MOST {
            all.retain(|_, holder| (now - holder.read_at).abs() <= FRESH);
        }
        if all.len() < MOST {
            all.insert(hash, Holder { actor, read_at: now, asked_at: now });
        }
    }
}

enum Look {
    Fresh(Actor),
    /// Good enough while the database does not answer.
    Old(Actor),
    Unknown,
}
