//! Readings on their way into the database: what they make of the signals, and what that changes.

use chrono::{DateTime, Utc};
use salvor_domain::account::Actor;
use salvor_domain::event::EventKind;
use salvor_domain::health::standing::{Damping, Standing};
use salvor_domain::health::{Level, Reading};

use super::bounds;
use super::points_store::{self, Figure};
use super::store::{self, NewChange, Signal};
use super::trips::{self, Damage};
use crate::core::Core;
use crate::database::Tx;
use crate::error::Result;
use crate::events;

/// Numbers among the facts that are kept over time.
const CHARTED: [&str; 3] = ["used_percent", "temp_c", "errors"];
/// The fact that tells one fault from the next.
pub const OCCURRENCE: &str = "occurrence";

/// A reading, when it was taken, and which volumes lie on its subject.
pub struct Read {
    pub host: String,
    pub reading: Reading,
    pub read_at: DateTime<Utc>,
    pub volumes: Vec<String>,
    pub copies_of: Vec<String>,
}

/// Signals that one transaction writes.
pub struct Batch {
    now: DateTime<Utc>,
    damping: Damping,
    /// The host was silent until now: what it said before did not count.
    was_silent: bool,
    signals: Vec<Signal>,
    /// The signal's place in `signals`, and the level before.
    changes: Vec<(usize, Option<Level>)>,
    events: Vec<(EventKind, String, String)>,
    damage: Vec<Damage>,
}

impl Batch {
    pub fn new(now: DateTime<Utc>, damping: Damping, was_silent: bool) -> Self {
        let (signals, changes, events, damage) = Default::default();
        Self { now, damping, was_silent, signals, changes, events, damage }
    }

    /// Something was read; `before` is the signal as it is stored.
    pub fn read(&mut self, before: Option<Signal>, read: Read) {
        let Read { host, reading, read_at, volumes, copies_of } = read;
        let occurrence = reading.facts.get(OCCURRENCE).map(|value| bounds::text(&value.to_string()));
        let standing = match &before {
            None => Standing::new(reading.level, occurrence.as_deref(), self.now),
            Some(before) => {
                before.standing.clone().read(reading.level, occurrence.as_deref(), self.now, &self.damping)
            }
        };
        // A probe that cannot read does not know what it would have to stop.
        let stopped = before.as_ref().is_some_and(|before| before.stops_writes);
        let after = Signal {
            id: 0,
            host,
            probe: reading.probe,
            subject: reading.subject,
            first_at: before.as_ref().map_or(self.now, |before| before.first_at),
            read_at,
            gone_at: None,
            reason: reading.reason,
            facts: reading.facts,
            stops_writes: reading.stops_writes || reading.level == Level::Unknown && stopped,
            standing,
            volumes,
            copies_of,
            muted: before.as_ref().and_then(|before| before.muted.clone()),
        };
        if after.stops_writes && reading.level == Level::Critical {
            self.damage.extend(
                after.volumes.iter().map(|volume| Damage::of(before.as_ref(), &after, volume, self.now)),
            );
        }
        self.becomes(before.as_ref(), after);
    }

    /// No report has it any more. What nobody looks at is not known.
    pub fn miss(&mut self, before: Signal) {
        let standing = before.standing.clone().read(Level::Unknown, None, self.now, &self.damping);
        if before.gone_at.is_some() && standing == before.standing {
            return;
        }
        let reason = match before.gone_at {
            None => bounds::text(&format!(
                "{} does not report {} any more; before: {}",
                before.host,
                before.subject.trim_start_matches("fs:"),
                before.reason
            )),
            Some(_) => before.reason.clone(),
        };
        let gone_at = before.gone_at.or(Some(self.now));
        let after = Signal { gone_at, reason, standing, ..before.clone() };
        self.becomes(Some(&before), after);
    }

    pub fn note(&mut self, kind: EventKind, subject: &str, summary: String) {
        self.events.push((kind, subject.to_owned(), summary));
    }

    /// Writes everything; gives whether a volume tripped: then the caller nudges the workers after its commit.
    pub async fn write(mut self, core: &Core, tx: &mut Tx) -> Result<bool> {
        store::put(tx, &mut self.signals).await?;
        let change = |(at, from): &(usize, Option<Level>)| {
            let signal = self.signals.get(*at)?;
            let (id, reason) = (signal.id, signal.reason.clone());
            Some(NewChange { signal: id, at: self.now, from: *from, to: signal.standing.level, reason })
        };
        let changes: Vec<_> = self.changes.iter().filter_map(change).collect();
        store::add_changes(tx, &changes).await?;
        let figures: Vec<_> =
            self.signals.iter().filter(|signal| signal.gone_at.is_none()).flat_map(figures).collect();
        points_store::add(tx, &figures).await?;
        for (kind, subject, summary) in &self.events {
            events::record(tx, self.now, &Actor::salvor(), *kind, subject, summary).await?;
        }
        trips::trip(core, tx, self.damage).await
    }

    fn becomes(&mut self, before: Option<&Signal>, mut after: Signal) {
        let level = after.standing.level;
        let was = before.map(|before| before.standing.level);
        let counted = if self.was_silent { was.map(|_| Level::Unknown) } else { was };
        if counted != Some(level) {
            self.changes.push((self.signals.len(), counted));
        }
        let over = after.muted.as_ref().and_then(|muted| muted.is_over(&after.standing, self.now));
        if let Some(why) = over {
            after.muted = None;
            let summary = format!("{} is no longer muted: {why}", after.name());
            self.note(EventKind::SignalUnmuted, &after.host, summary);
        }
        let is_bad = was.unwrap_or(Level::Ok).max(level) >= Level::Warning;
        if was != Some(level) && is_bad && after.muted.is_none() {
            let summary = format!("{} is {level}: {}", after.name(), after.reason);
            self.note(EventKind::SignalChanged, &after.host, summary);
        }
        self.signals.push(after);
    }
}

impl Signal {
    /// For people.
    pub fn name(&self) -> String {
        format!("{} {} on {}", self.probe, self.subject, self.host)
    }
}

fn figures(signal: &Signal) -> impl Iterator<Item = Figure> {
    CHARTED.iter().filter_map(|fact| {
        let value = signal.facts.get(*fact)?.as_f64().filter(|value| value.is_finite())?;
        Some(Figure { signal: signal.id, at: signal.read_at, fact, value })
    })
}
