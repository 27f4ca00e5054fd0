//! Volumes and their safety: modes, the gate back to service, copies.
//!
//! ```text
//!            trip (rule or hand)          take offline
//!   normal ─────────────────────▶ read_only ─────────▶ failover
//!     ▲                            │  ▲                   │
//!     └──── gate open, or override ┘  └─── bring back ────┘
//! ```

use chrono::{DateTime, Utc};

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

/// What the gate looks at before a volume returns to normal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GateFacts {
    /// Start of the newest full check that finished.
    pub full_check_started_at: Option<DateTime<Utc>>,
    pub missing: u64,
    pub corrupt: u64,
    pub unreadable: u64,
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

    /// What still stands between this volume and `normal`; empty for a volume that is normal, or whose gate is open.
    pub fn open_points(&self, facts: &GateFacts) -> Vec<String> {
        let (Self::ReadOnly { tripped_at, .. } | Self::Failover { tripped_at, .. }) = self else {
            return Vec::new();
        };
        let mut points = Vec::new();
        if facts.full_check_started_at.is_none_or(|started| started < *tripped_at) {
            points.push(format!(
                "no full check that started after {} has finished",
                tripped_at.format("%Y-%m-%d %H:%M:%S UTC")
            ));
        }
        for (count, what) in
            [(facts.missing, "missing"), (facts.corrupt, "corrupt"), (facts.unreadable, "unreadable")]
        {
            if count > 0 {
                points.push(format!("{} {what}", crate::units::counted(count, "file is", "files are")));
            }
        }
        points
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

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use proptest::prelude::*;

    fn change(to: Mode, now: DateTime<Utc>, override_gate: bool) -> ModeChange {
        ModeChange { to, reason: "because".into(), by: "ann".into(), evidence: vec![], override_gate, now }
    }

    #[test]
    fn the_gate_names_what_is_open() {
        let start = DateTime::UNIX_EPOCH;
        let normal = ModeState::Normal { since: start, reason: "new".into(), by: "salvor".into() };
        let tripped =
            normal.change(change(Mode::ReadOnly, start + TimeDelta::hours(1), false), &GateFacts::default());
        let facts = GateFacts { full_check_started_at: Some(start), missing: 2, ..GateFacts::default() };
        let refused =
            tripped.unwrap().change(change(Mode::Normal, start + TimeDelta::hours(2), false), &facts);
        let Err(ModeRefused::GateClosed(points)) = refused else { panic!("{refused:?}") };
        assert_eq!(points.len(), 2);
        assert!(points[0].contains("full check") && points[1] == "2 files are missing", "{points:?}");
    }

    proptest! {
        /// Whatever is asked for in whatever order: without an override, normal is only reached through an open gate,
        /// and failover only through read_only.
        #[test]
        fn normal_only_through_the_gate(steps in proptest::collection::vec((0usize..3, 0u64..2, -5i64..5, any::<bool>()), 1..50)) {
            let mut now = DateTime::UNIX_EPOCH;
            let mut state = ModeState::Normal { since: now, reason: "new".into(), by: "salvor".into() };
            for (to, missing, check_age, override_gate) in steps {
                now += TimeDelta::seconds(3);
                let facts = GateFacts {
                    full_check_started_at: Some(now + TimeDelta::seconds(check_age)),
                    missing,
                    ..GateFacts::default()
                };
                let (from, open) = (state.mode(), state.open_points(&facts));
                if let Ok(next) = state.clone().change(change(Mode::ALL[to], now, override_gate), &facts) {
                    if next.mode() == Mode::Normal {
                        prop_assert!(from == Mode::ReadOnly && (open.is_empty() || override_gate));
                    }
                    if next.mode() == Mode::Failover {
                        prop_assert_eq!(from, Mode::ReadOnly);
                    }
                    state = next;
                }
            }
        }
    }
}
