//! What Alertmanager sends: each alert is a signal of the probe `alert`.
//!
//! Alertmanager repeats what fires, and groups old with new: an alert is known by its fingerprint, and the same start is the same
//! fault, however often it is told. It says once that an alert is over, and damps by itself, so that its word counts at once.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use salvor_domain::health::standing::Damping;
use salvor_domain::health::{Level, Probe, Reading};
use salvor_probes::alertmanager::{Alert, Payload};

use super::batch::{Batch, OCCURRENCE, Read};
use super::store::Signal;
use super::{bounds, store};
use crate::core::Core;
use crate::error::{Error, Result};

/// Notifications are taken in one after the other.
pub const LOCK: i64 = 0x616c_6572_7473;
/// The host of what names none.
const NOWHERE: &str = "alertmanager";
/// Keys beyond this are known by their hash.
const LONGEST_KEY: usize = 64;

pub async fn notified(core: &Core, payload: Payload) -> Result<()> {
    let (count, most) = (payload.alerts.len(), bounds::MOST);
    if count > most {
        return Err(Error::invalid(format!(
            "A message has at most {most} alerts; this one has {count}: set max_alerts of the webhook."
        )));
    }
    let now = core.clock.now();
    let mut tx = core.db.begin().await?;
    tx.one_at_a_time(LOCK).await?;
    let mut known: HashMap<_, _> = store::alerts(&mut tx)
        .await?
        .into_iter()
        .map(|signal| ((signal.host.clone(), signal.subject.clone()), signal))
        .collect();
    let mut batch = Batch::new(now, Damping::NONE, false);
    for (key, read) in reads(core, &payload, now) {
        let before = known.remove(&key);
        if before.as_ref().is_none_or(|before| !is_late(before, &read.reading)) {
            batch.read(before, read);
        }
    }
    // That none was left out is worth a word only where some were before.
    let left_out = left_out(&payload, now);
    let before = known.remove(&(left_out.host.clone(), left_out.reading.subject.clone()));
    if before.is_some() || left_out.reading.level != Level::Ok {
        batch.read(before, left_out);
    }
    let tripped = batch.write(core, &mut tx).await?;
    tx.commit().await?;
    if tripped {
        core.nudge.notify_one();
    }
    Ok(())
}

/// The end of a fault that has come again since, delivered late.
fn is_late(before: &Signal, reading: &Reading) -> bool {
    reading.level == Level::Ok && started(&reading.facts) < started(&before.facts)
}

fn started(facts: &salvor_domain::health::Facts) -> &str {
    facts.get(OCCURRENCE).and_then(serde_json::Value::as_str).unwrap_or_default()
}

/// By host and subject each alert once: the newest of those with one fingerprint.
fn reads(core: &Core, payload: &Payload, now: DateTime<Utc>) -> BTreeMap<(String, String), Read> {
    let mut reads: BTreeMap<_, Read> = BTreeMap::new();
    for alert in &payload.alerts {
        let read = read(core, payload.is_firing(alert), alert, now);
        let key = (read.host.clone(), read.reading.subject.clone());
        let is_newest =
            reads.get(&key).is_none_or(|other| started(&other.reading.facts) <= started(&read.reading.facts));
        if is_newest {
            reads.insert(key, read);
        }
    }
    reads
}

fn read(core: &Core, is_firing: bool, alert: &Alert, now: DateTime<Utc>) -> Read {
    let label = |name: &str| alert.labels.get(name).filter(|value| !value.is_empty());
    let name = alert.name();
    let trips = label("salvor_trip").is_some_and(|value| value == "true")
        || core.config.health.trip_on.iter().any(|other| other == name);
    let (level, is) = match is_firing {
        false => (Level::Ok, "is over"),
        // Whoever wants writes stopped calls it critical, whatever else it says.
        true if trips => (Level::Critical, "fires"),
        true => (alert.level(), "fires"),
    };
    let reason = match alert.summary() {
        summary if summary == name => format!("The alert {name} {is}"),
        summary => format!("The alert {name} {is}: {summary}"),
    };
    let subject = format!("alert:{name}:{}", short(&alert.key()));
    let mut reading = Reading::new(Probe::Alert, bounds::name(&subject), level, bounds::text(&reason));
    reading.facts = bounds::facts(
        alert.labels.iter().map(|(label, value)| (label.clone(), value.as_str().into())).collect(),
    );
    reading.stops_writes = trips;
    if let Some(at) = alert.starts_at() {
        // Of the same length always, so that an earlier start is a lesser text.
        reading = reading.with(OCCURRENCE, at.format("%Y-%m-%dT%H:%M:%S%.9fZ").to_string());
    }
    let volume = label("salvor_volume").or_else(|| label("volume"));
    let volumes = volume.filter(|name| core.config.volume(name).is_some()).cloned().into_iter().collect();
    let host = bounds::name(alert.host().unwrap_or(NOWHERE));
    Read { host, reading, read_at: now, volumes, copies_of: Vec::new() }
}

/// Whether Alertmanager left alerts of this group out of its message.
fn left_out(payload: &Payload, now: DateTime<Utc>) -> Read {
    let group = payload.group_key.as_deref().unwrap_or_default();
    let count = payload.truncated_alerts.unwrap_or(0);
    let (level, reason) = match count {
        0 => (Level::Ok, "Alertmanager's message has all alerts of its group".to_owned()),
        _ => (
            Level::Warning,
            format!("Alertmanager left {count} alerts out of its message: raise max_alerts of its webhook"),
        ),
    };
    let subject = format!("alert:left_out:{}", short(group));
    let reading = Reading::new(Probe::Alert, subject, level, reason)
        .with("group", bounds::text(group))
        .with("left_out", count);
    Read { host: NOWHERE.to_owned(), reading, read_at: now, volumes: Vec::new(), copies_of: Vec::new() }
}

fn short(key: &str) -> String {
    let fits = key.len() <= LONGEST_KEY && key.chars().all(|c| c.is_ascii_alphanumeric());
    if fits { key.to_owned() } else { blake3::hash(key.as_bytes()).to_hex()[..16].to_owned() }
}
