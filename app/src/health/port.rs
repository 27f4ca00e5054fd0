//! What the pages and the API say of storage health, and what can be asked of it.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use salvor_domain::account::Actor;
use salvor_domain::health::{Facts, Level, NodeKind, Probe};

use crate::health::glance::Glances;
use crate::problem::Problem;

/// What was read last of one subject by one probe, as `GET /api/v1/signals` answers it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SignalView {
    pub host: String,
    pub probe: Probe,
    pub subject: String,
    /// As it counts now: damped, and unknown once its host has fallen silent.
    pub level: Level,
    /// Since when it is so.
    pub since: DateTime<Utc>,
    pub read_at: DateTime<Utc>,
    /// One sentence: what is so, and what to do.
    pub reason: String,
    pub facts: Facts,
    /// While it is critical, volumes on its subject are to be read-only.
    pub stops_writes: bool,
    /// It went back and forth too often; it is shown at its worst until it is quiet.
    pub flapping: bool,
    pub muted: Option<Mute>,
    /// Names of the volumes that lie on its subject, with a copy or themselves.
    pub volumes: Vec<String>,
}

/// An operator knows of it: it is shown, and calls nobody.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mute {
    pub reason: String,
    pub by: String,
    /// Ends earlier when the signal gets worse.
    pub until: DateTime<Utc>,
}

/// Which signal: its host, probe and subject.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SignalKey {
    pub host: String,
    pub probe: Probe,
    pub subject: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SignalsFilter {
    #[serde(default)]
    pub host: Option<String>,
    /// Only what this volume and its copies lie on.
    #[serde(default)]
    pub volume: Option<String>,
    /// Only this bad or worse.
    #[serde(default)]
    pub level: Option<Level>,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct HostView {
    pub name: String,
    /// The program that reports.
    pub version: String,
    /// It reports through an agent; otherwise a server reads it itself.
    pub is_agent: bool,
    /// No agent reports for it, and no server reads it: Alertmanager names it, and that is all that is known. It was then told of last
    /// at `reported_at`.
    #[serde(default)]
    pub alerts_only: bool,
    /// Its agent is connected and works for jobs.
    #[serde(default)]
    pub works: bool,
    pub reported_at: DateTime<Utc>,
    /// It has not reported for so long that nothing it said counts any more.
    pub silent: bool,
    /// An admin has taken its token away.
    pub revoked: bool,
    /// The worst of its nodes.
    pub level: Level,
    pub nodes: Vec<NodeView>,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct NodeView {
    pub id: String,
    pub kind: NodeKind,
    pub label: String,
    /// Ids of what it lies on.
    pub on: Vec<String>,
    /// The worst of its own signals; unknown when no probe says anything of it.
    pub level: Level,
    /// Worst first.
    pub signals: Vec<SignalView>,
}

/// How one volume's ground is, for its pages and tiles.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct VolumeHealth {
    pub volume: String,
    /// The worst signal of what the volume itself lies on; unknown when there is none.
    pub level: Level,
    /// Since when it is that bad.
    pub since: Option<DateTime<Utc>>,
    /// What the volume and its copies lie on, worst first.
    pub signals: Vec<SignalView>,
    /// Changes of level, newest first.
    pub changes: Vec<Change>,
    /// Free space over time, oldest first: `used_percent` of its file system.
    pub space: Vec<Point>,
    /// When the file system will be full if it goes on like that; absent when that is not in sight.
    pub full_at: Option<DateTime<Utc>>,
}

/// One change of a signal's level.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Change {
    pub at: DateTime<Utc>,
    pub host: String,
    pub probe: Probe,
    pub subject: String,
    /// Absent for the first reading.
    pub from: Option<Level>,
    pub to: Level,
    pub reason: String,
}

/// A figure over a stretch of time.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Point {
    /// Its start.
    pub at: DateTime<Utc>,
    pub low: f64,
    pub mean: f64,
    pub high: f64,
}

#[async_trait]
pub trait HealthPort: Send + Sync {
    /// All volumes and hosts as they stood a moment ago.
    async fn glances(&self) -> Result<Arc<Glances>, Problem>;
    async fn hosts(&self) -> Result<Vec<HostView>, Problem>;
    async fn signals(&self, filter: SignalsFilter) -> Result<Vec<SignalView>, Problem>;
    /// Of each configured volume, in their order.
    async fn volumes(&self) -> Result<Vec<VolumeHealth>, Problem>;
    async fn volume(&self, name: &str) -> Result<VolumeHealth, Problem>;
    /// Changes of one signal, newest first.
    async fn changes(&self, key: SignalKey) -> Result<Vec<Change>, Problem>;
    /// Keeps a signal quiet until then, or until it gets worse.
    async fn mute(
        &self,
        actor: &Actor,
        key: SignalKey,
        until: DateTime<Utc>,
        reason: &str,
    ) -> Result<SignalView, Problem>;
    async fn unmute(&self, actor: &Actor, key: SignalKey) -> Result<SignalView, Problem>;
}

impl SignalView {
    pub fn sample() -> Self {
        let at = DateTime::UNIX_EPOCH;
        Self {
            host: "store1".into(),
            probe: Probe::Ext4,
            subject: "fs:/srv/uploads".into(),
            level: Level::Critical,
            since: at,
            read_at: at,
            reason: "ext4 counts 1 error since 00:00 UTC, first in htree_dirblock_to_tree: unmount it and run e2fsck".into(),
            facts: Facts::from([("errors_count".into(), 1.into())]),
            stops_writes: true,
            flapping: false,
            muted: None,
            volumes: vec!["uploads".into()],
        }
    }
}

impl HostView {
    pub fn sample() -> Self {
        let at = DateTime::UNIX_EPOCH;
        let node = |id: &str, kind, label: &str, on: &[&str], level, signals| NodeView {
            id: id.into(),
            kind,
            label: label.into(),
            on: on.iter().map(|&on| on.to_owned()).collect(),
            level,
            signals,
        };
        let disk = SignalView {
            probe: Probe::Smart,
            subject: "sda".into(),
            level: Level::Ok,
            reason: "the disk says that it is well, at 32 °C".into(),
            facts: Facts::from([("temp_c".into(), 32.into())]),
            stops_writes: false,
            ..SignalView::sample()
        };
        Self {
            name: "store1".into(),
            version: "0.1.0".into(),
            is_agent: true,
            alerts_only: false,
            works: true,
            reported_at: at,
            silent: false,
            revoked: false,
            level: Level::Critical,
            nodes: vec![
                node(
                    "volume:uploads",
                    NodeKind::Volume,
                    "uploads",
                    &["fs:/srv/uploads"],
                    Level::Unknown,
                    vec![],
                ),
                node(
                    "fs:/srv/uploads",
                    NodeKind::Filesystem,
                    "/srv/uploads (ext4)",
                    &["md0"],
                    Level::Critical,
                    vec![SignalView::sample()],
                ),
                node("md0", NodeKind::Array, "md0 (raid1)", &["sda", "sdb"], Level::Unknown, vec![]),
                node("sda", NodeKind::Disk, "sda, WDC WD140EDFZ", &[], Level::Ok, vec![disk]),
                node("sdb", NodeKind::Disk, "sdb", &[], Level::Unknown, vec![]),
            ],
        }
    }
}

impl VolumeHealth {
    pub fn sample() -> Self {
        let at = DateTime::UNIX_EPOCH;
        let signal = SignalView::sample();
        Self {
            volume: "uploads".into(),
            level: Level::Critical,
            since: Some(at),
            changes: vec![Change {
                at,
                host: signal.host.clone(),
                probe: signal.probe,
                subject: signal.subject.clone(),
                from: Some(Level::Ok),
                to: Level::Critical,
                reason: signal.reason.clone(),
            }],
            signals: vec![signal],
            space: vec![Point { at, low: 70.0, mean: 71.0, high: 72.0 }],
            full_at: None,
        }
    }
}
