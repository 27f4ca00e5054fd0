//! A volume at a glance: what is wrong, since when, and what to do next; in the words of tiles, banner and head line.
//!
//! Everything here is worked out from views, once, on the server; the browser only lays it out. Times are told against
//! [`Glance::at`], never against a clock.

mod head;
mod next;

use chrono::{DateTime, Utc};

use salvor_domain::health::Level;
use salvor_domain::job::JobReport;
use salvor_domain::units;
use salvor_domain::volume::{GatePoint, Mode, ModeState};

pub use head::{Draft, HeadLine};
pub use next::{Step, doing, next_step};

use crate::health::port::{HostView, SignalView, VolumeHealth};
use crate::incidents::port::IncidentView;
use crate::restore::words::to_bring_back;
use crate::volumes::port::{Reach, VolumeView};

/// All volumes and hosts as they were at one moment.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Glances {
    pub at: DateTime<Utc>,
    /// In the order of the configuration.
    pub volumes: Vec<Glance>,
    pub hosts: Vec<HostGlance>,
    /// Incidents that Salvor wrote and nobody has published or discarded, newest first.
    pub drafts: Vec<Draft>,
}

/// One volume.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Glance {
    pub at: DateTime<Utc>,
    pub volume: String,
    /// How badly it needs somebody.
    pub urgency: Level,
    /// One sentence without its full stop: what is wrong, and since when.
    pub what: String,
    pub next: Step,
    /// The job that does most for it just now; absent while nobody and nothing does anything.
    pub doing: Option<Step>,
    pub mode: ModeState,
    pub gate: Vec<GatePoint>,
    pub reach: Reach,
    /// The worst of what the volume and its copies lie on.
    pub level: Level,
    /// The signal behind it; absent when all is well, and when nothing is known at all.
    pub worst: Option<SignalView>,
    /// Files lost or damaged; absent before anything was checked (promise I10).
    pub losses: Option<u64>,
    pub files: u64,
    pub bytes: u64,
    pub protected_at: Option<DateTime<Utc>>,
    pub fully_checked_at: Option<DateTime<Utc>>,
}

/// One host.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HostGlance {
    pub name: String,
    pub level: Level,
    pub alerts_only: bool,
    pub reported_at: DateTime<Utc>,
    pub silent: bool,
    pub revoked: bool,
}

impl Glances {
    pub fn new(
        volumes: &[VolumeView],
        health: &[VolumeHealth],
        hosts: &[HostView],
        jobs: &[JobReport],
        incidents: &[IncidentView],
        at: DateTime<Utc>,
    ) -> Self {
        let of = |volume: &VolumeView| health.iter().find(|health| health.volume == volume.name);
        Self {
            at,
            volumes: volumes.iter().map(|volume| Glance::new(volume, of(volume), jobs, at)).collect(),
            hosts: hosts.iter().map(HostGlance::from).collect(),
            drafts: incidents.iter().filter(|incident| incident.draft).map(Draft::from).collect(),
        }
    }

    /// Worst first, otherwise as configured.
    pub fn worst_first(&self) -> Vec<&Glance> {
        let mut all: Vec<_> = self.volumes.iter().collect();
        all.sort_by_key(|glance| std::cmp::Reverse(glance.urgency));
        all
    }
}

impl Glance {
    pub fn new(
        volume: &VolumeView,
        health: Option<&VolumeHealth>,
        jobs: &[JobReport],
        at: DateTime<Utc>,
    ) -> Self {
        let own: Vec<&JobReport> = jobs.iter().filter(|job| job.volume == volume.name).collect();
        let worst = health.and_then(worst_signal).cloned();
        let known = health.map_or(Level::Unknown, |health| health.level);
        let level = worst.as_ref().map_or(known, |signal| signal.level.max(known));
        let (urgency, what) = wrong(volume, level, worst.as_ref(), &own, at);
        Self {
            at,
            volume: volume.name.clone(),
            urgency,
            what,
            next: next_step(volume, health, &own),
            doing: doing(&own),
            mode: volume.mode.clone(),
            gate: volume.gate_points.clone(),
            reach: volume.reach.clone(),
            level,
            worst,
            losses: volume.checked_at.map(|_| volume.findings.losses()).or_else(|| known_losses(volume)),
            files: volume.files,
            bytes: volume.bytes,
            protected_at: volume.protected_at,
            fully_checked_at: volume.fully_checked_at,
        }
    }

    /// `3 of 6` points of the gate are met.
    pub fn met(&self) -> (u64, u64) {
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        (wide(self.gate.iter().filter(|point| point.met).count()), wide(self.gate.len()))
    }

    /// A volume that tripped over an error of its file system.
    pub fn sample() -> Self {
        let health = VolumeHealth::sample();
        Self::new(&VolumeView::sample(), Some(&health), &[], DateTime::UNIX_EPOCH)
    }
}

impl From<&HostView> for HostGlance {
    fn from(host: &HostView) -> Self {
        Self {
            name: host.name.clone(),
            level: host.level,
            alerts_only: host.alerts_only,
            reported_at: host.reported_at,
            silent: host.silent,
            revoked: host.revoked,
        }
    }
}

/// What nobody has muted comes first; a muted one is shown when there is nothing else that is not well.
pub fn worst_signal(health: &VolumeHealth) -> Option<&SignalView> {
    let bad = health.signals.iter().filter(|signal| signal.level > Level::Ok);
    bad.rev().max_by_key(|signal| (signal.muted.is_none(), signal.level))
}

/// `02:14 UTC`, with its day unless that is today.
pub fn clock(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let format = if at.date_naive() == now.date_naive() { "%H:%M UTC" } else { "%Y-%m-%d %H:%M UTC" };
    at.format(format).to_string()
}

/// Findings count although no whole check has been: a ticket or a restore found them.
fn known_losses(volume: &VolumeView) -> Option<u64> {
    Some(volume.findings.losses()).filter(|&losses| losses > 0)
}

/// The worst thing there is, and how bad it is.
fn wrong(
    volume: &VolumeView,
    level: Level,
    worst: Option<&SignalView>,
    jobs: &[&JobReport],
    at: DateTime<Utc>,
) -> (Level, String) {
    let name = &volume.name;
    let losses = volume.findings.losses();
    let lost = units::counted(losses, "file is", "files are");
    // What a plan has found lost is no finding yet.
    let awaited: u64 = jobs.iter().map(|job| to_bring_back(job)).sum();
    let since = clock(volume.mode.since(), at);
    let and_lost = if losses > 0 { format!("; {lost} lost or damaged") } else { String::new() };
    match volume.mode.mode() {
        Mode::ReadOnly => {
            let (why, open) = (volume.mode.reason(), volume.gate_points.iter().any(|point| !point.met));
            let urgency = if open { Level::Critical } else { Level::Warning };
            return (urgency, format!("{name} is read-only since {since}: {why}{and_lost}"));
        }
        Mode::Failover => {
            let why = volume.mode.reason();
            return (
                Level::Critical,
                format!("{name} is offline for its check since {since}: {why}{and_lost}"),
            );
        }
        Mode::Normal => {}
    }
    match (&volume.reach, worst.filter(|signal| signal.muted.is_none())) {
        (Reach::Unreachable(why), _) => (Level::Critical, format!("{name} cannot be reached: {why}")),
        (Reach::NotKnownYet(why), _) => {
            (Level::Critical, format!("Whether {name} can be reached is not known: {why}"))
        }
        (_, Some(signal)) if signal.level == Level::Critical && signal.stops_writes => {
            let (since, why) = (clock(signal.since, at), &signal.reason);
            (Level::Critical, format!("{name} is in danger since {since}: {why}{and_lost}"))
        }
        _ if losses > 0 => (Level::Critical, format!("{lost} lost or damaged on {name}")),
        _ if awaited > 0 => {
            let files = units::counted(awaited, "file is", "files are");
            (Level::Critical, format!("{files} to be brought back to {name}"))
        }
        (_, Some(signal)) => {
            let (since, why) = (clock(signal.since, at), &signal.reason);
            let how = match signal.level {
                Level::Critical => "is in danger",
                Level::Unknown => "is not known to be well",
                _ => "has a warning",
            };
            (signal.level, format!("{name} {how} since {since}: {why}"))
        }
        _ if volume.checked_at.is_none() => {
            (Level::Unknown, format!("How {name} is, is not known: nothing was checked yet"))
        }
        _ if level == Level::Unknown => {
            (Level::Unknown, format!("No loss is known on {name}, but nothing reads the health of its disks"))
        }
        _ => (Level::Ok, format!("{name} is normal, and no loss is known")),
    }
}

#[cfg(test)]
mod tests;
