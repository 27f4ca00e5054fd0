//! When what was read takes a volume out of `normal`.
//!
//! A fault trips the volumes that lie on it themselves; a broken copy does not. It trips each of them once: an operator who
//! brought the volume back to `normal` although the fault is there has the last word on it, until it is news again.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use salvor_domain::volume::Mode;

use super::store::Signal;
use crate::core::Core;
use crate::database::Tx;
use crate::error::Result;
use crate::volumes::safety::{self, Trip};

/// A fault that is there now, on the ground of a volume.
#[derive(Debug, Clone, PartialEq)]
pub struct Damage {
    volume: String,
    news_at: Option<DateTime<Utc>>,
    reason: String,
    evidence: String,
}

impl Damage {
    pub fn of(before: Option<&Signal>, after: &Signal, volume: &str, now: DateTime<Utc>) -> Self {
        // Known long ago, it is news to a volume that came to lie on it only now.
        let lay_there = before.is_some_and(|before| before.volumes.iter().any(|other| other == volume));
        Self {
            volume: volume.to_owned(),
            news_at: if lay_there { after.standing.worse_at } else { Some(now) },
            reason: after.reason.clone(),
            evidence: format!("{}: {}", after.name(), after.reason),
        }
    }
}

/// Whether any volume tripped. Volumes are taken in the order of their names, so that two reports cannot block each other.
pub async fn trip(core: &Core, tx: &mut Tx, damage: Vec<Damage>) -> Result<bool> {
    let mut by_volume: BTreeMap<String, Vec<Damage>> = BTreeMap::new();
    for damage in damage {
        by_volume.entry(damage.volume.clone()).or_default().push(damage);
    }
    let mut any = false;
    for (volume, damage) in by_volume {
        let Some(row) = crate::volumes::store::volume(tx, &volume).await? else { continue };
        let news = damage.iter().find(|damage| damage.news_at > Some(row.mode.since()));
        if let Some(news) = news.filter(|_| row.mode.mode() == Mode::Normal) {
            let evidence = damage.iter().map(|damage| damage.evidence.clone()).collect();
            any |= safety::trip(core, tx, &volume, Trip { reason: news.reason.clone(), evidence }).await?;
        }
    }
    Ok(any)
}
