//! Volumes and their safety: modes, the gate back to service, copies.
//!
//! ```text
//!            trip (rule or hand)          take offline
//!   normal ─────────────────────▶ read_only ─────────▶ failover
//!     ▲                            │  ▲                   │
//!     └──── gate open, or override ┘  └─── bring back ────┘
//! ```

use chrono::{DateTime, Utc};

pub use crate::gate::{GateFacts, GatePoint, GatePointKind};
use crate::words;

words! {
    Mode ("mode") {
        /// Uploads, deletes and protect run.
        Normal = "normal",
        /// Nothing new is written by customers or protect; restores go on.
        ReadOnly = "read_only",
        /// The primary is offline, for its check; files are served from the copies.
        Failover = "failover",
    }
}

words! {
    Placement ("placement") {
        Onsite = "onsite",
        Offsite = "offsite",
    }
}

words! {
    CopyKind ("kind of copy") {
        Fs = "fs",
        S3 = "s3",
        Sftp = "sftp",
        Webdav = "webdav",
        Restic = "restic",
    }
}

words! {
    /// The state of a file in the catalogue.
    FileState ("state of a file") {
        Present = "present",
        Missing = "missing",
        Corrupt = "corrupt",
        /// Its owner deleted it: never brought back.
        Tombstone = "tombstone",
    }
}

/// The mode of a volume with its facts.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum ModeState {
    Normal {
        since: DateTime<Utc>,
        reason: String,
        by: String,
    },
    /// `tripped_at` is when the volume left `normal`: the gate wants a full check that started after it.
    ReadOnly {
        since: DateTime<Utc>,
        tripped_at: DateTime<Utc>,
        reason: String,
        by: String,
        evidence: Vec<String>,
    },
    Failover {
        since: DateTime<Utc>,
        tripped_at: DateTime<Utc>,
        reason: String,
        by: String,
        evidence: Vec<String>,
    },
}

/// A wish to change the mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeChange {
    pub to: Mode,
    /// Why, in the operator's or the rule's words.
    pub reason: String,
    pub by: String,
    /// What was seen, for a trip.
    pub evidence: Vec<String>,
    /// Return to normal although the gate is not open.
    pub override_gate: bool,
    pub now: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModeRefused {
    #[error("the volume is {0} already")]
    Already(Mode),
    #[error("a volume goes {from} → {to} by way of read_only")]
    NotThatWay { from: Mode, to: Mode },
    #[error("give a reason: it is shown to operators and kept in the audit log")]
    NoReason,
    #[error("the gate is closed: {}", .0.join("; "))]
    GateClosed(Vec<String>),
}

impl ModeState {
    pub fn mode(&self) -> Mode {
        match self {
            Self::Normal { .. } => Mode::Normal,
            Self::ReadOnly { .. } => Mode::ReadOnly,
            Self::Failover { .. } => Mode::Failover,
        }
    }

    pub fn since(&self) -> DateTime<Utc> {
        match self {
            Self::Normal { since, .. } | Self::ReadOnly { since, .. } | Self::Failover { since, .. } => {
                *since
            }
        }
    }

    pub fn reason(&self) -> &str {
        match self {
            Self::Normal { reason, .. } | Self::ReadOnly { reason, .. } | Self::Failover { reason, .. } => {
                reason
            }
        }
    }

    pub fn by(&self) -> &str {
        match self {
            Self::Normal { by, .. } | Self::ReadOnly { by, .. } | Self::Failover { by, .. } => by,
        }
    }

    pub fn evidence(&self) -> &[String] {
        match self {
            Self::Normal { .. } => &[],
            Self::ReadOnly { evidence, .. } | Self::Failover { evidence, .. } => evidence,
        }
    }

    pub fn change(self, change: ModeChange, facts: &GateFacts) -> Result<Self, ModeRefused> {
        let ModeChange { to, reason, by, evidence, override_gate, now } = change;
        if reason.trim().is_empty() {
            return Err(ModeRefused::NoReason);
        }
        match (self, to) {
            (state, to) if state.mode() == to => Err(ModeRefused::Already(to)),
            (Self::Normal { .. }, Mode::ReadOnly) => {
                Ok(Self::ReadOnly { since: now, tripped_at: now, reason, by, evidence })
            }
            (Self::ReadOnly { tripped_at, evidence: before, .. }, Mode::Failover) => {
                Ok(Self::Failover { since: now, tripped_at, reason, by, evidence: joined(before, evidence) })
            }
            (Self::Failover { tripped_at, evidence: before, .. }, Mode::ReadOnly) => {
                Ok(Self::ReadOnly { since: now, tripped_at, reason, by, evidence: joined(before, evidence) })
            }
            (state @ Self::ReadOnly { .. }, Mode::Normal) => {
                let points = state.open_points(facts);
                if points.is_empty() || override_gate {
                    Ok(Self::Normal { since: now, reason, by })
                } else {
                    Err(ModeRefused::GateClosed(points))
                }
            }
            (state, to) => Err(ModeRefused::NotThatWay { from: state.mode(), to }),
        }
    }
}

fn joined(mut before: Vec<String>, more: Vec<String>) -> Vec<String> {
    before.extend(more);
    before
}
