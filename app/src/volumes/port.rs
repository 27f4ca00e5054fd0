//! What the pages and the API say of volumes, and what can be asked of them.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use salvor_domain::account::Actor;
use salvor_domain::disk_check::DiskTool;
use salvor_domain::finding::{FindingCounts, FindingKind, FindingState};
use salvor_domain::limits::{Limits, LimitsChange};
use salvor_domain::readiness::CopyAge;
use salvor_domain::volume::{CopyKind, GatePoint, GatePointKind, Mode, ModeState, Placement};

use crate::problem::Problem;

/// A volume as `GET /api/v1/volumes/{name}` answers it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct VolumeView {
    pub name: String,
    #[serde(flatten)]
    pub mode: ModeState,
    /// What the gate still waits for; empty in `normal`, or when it is open.
    pub gate: Vec<String>,
    /// All that the gate asks for, met or not; empty in `normal`.
    #[serde(default)]
    pub gate_points: Vec<GatePoint>,
    /// Files in the catalogue that are not tombstones.
    pub files: u64,
    pub bytes: u64,
    /// Open findings.
    pub findings: FindingCounts,
    pub copies: Vec<CopyView>,
    pub protected_at: Option<DateTime<Utc>>,
    pub checked_at: Option<DateTime<Utc>>,
    pub fully_checked_at: Option<DateTime<Utc>>,
    /// Where it is, for operators.
    pub path: String,
    /// What checks its disk, when the configuration names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_tool: Option<DiskTool>,
    #[serde(flatten)]
    pub reach: Reach,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CopyView {
    pub name: String,
    pub kind: CopyKind,
    pub placement: Placement,
    pub path: String,
    #[serde(flatten)]
    pub reach: Reach,
    /// Files of the catalogue that this copy is known to hold.
    pub files: u64,
    pub bytes: u64,
    #[serde(flatten)]
    pub age: CopyAge,
    /// Files that it gave wrongly or not at all.
    pub faults: u64,
    /// Measured when reading from it; absent when nothing was.
    pub bytes_per_second: Option<f64>,
    /// What it is read within just now.
    #[serde(default)]
    pub limit: CopyLimits,
}

/// Whether a place could be reached when this was asked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(from = "ReachOnTheWire", into = "ReachOnTheWire")]
pub enum Reach {
    Reached,
    /// It is not there, or not the place that it was.
    Unreachable(String),
    /// It has not answered in time: it may be slow, or hang.
    NotKnownYet(String),
}

impl Reach {
    pub fn is_reached(&self) -> bool {
        *self == Self::Reached
    }

    /// Why it was not reached, in words.
    pub fn because(&self) -> Option<&str> {
        match self {
            Self::Reached => None,
            Self::Unreachable(why) | Self::NotKnownYet(why) => Some(why),
        }
    }
}

/// Who reads nothing but `unreachable` is never told that all is well of what is not known (promise I10).
#[derive(serde::Serialize, serde::Deserialize)]
struct ReachOnTheWire {
    unreachable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unreachable_because: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    not_known_yet: bool,
}

impl From<Reach> for ReachOnTheWire {
    fn from(reach: Reach) -> Self {
        Self {
            unreachable: !reach.is_reached(),
            unreachable_because: reach.because().map(str::to_owned),
            not_known_yet: matches!(reach, Reach::NotKnownYet(_)),
        }
    }
}

impl From<ReachOnTheWire> for Reach {
    fn from(wire: ReachOnTheWire) -> Self {
        let because = wire.unreachable_because.unwrap_or_default();
        match (wire.unreachable, wire.not_known_yet) {
            (false, _) => Self::Reached,
            (true, false) => Self::Unreachable(because),
            (true, true) => Self::NotKnownYet(because),
        }
    }
}

/// The limit of a copy that holds just now, and where it comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CopyLimits {
    #[serde(flatten)]
    pub limits: Limits,
    /// For people: `as configured`, `by its timetable: …`, `set by hand`.
    pub basis: String,
    /// An operator said so, over the configuration and its timetable.
    pub by_hand: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FindingView {
    pub path: String,
    /// The path's bytes in hexadecimal: what forms send back, since a name need not be text.
    pub path_hex: String,
    pub kind: FindingKind,
    pub state: FindingState,
    pub seen_at: DateTime<Utc>,
    pub size: u64,
    /// More words, such as where an orphan belongs.
    pub detail: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FindingsFilter {
    #[serde(default)]
    pub kind: Option<FindingKind>,
    /// Open ones when absent.
    #[serde(default)]
    pub state: Option<FindingState>,
    /// Part of a path.
    #[serde(default)]
    pub search: Option<String>,
    /// Go on after this one: the `next` of the page before.
    #[serde(default)]
    pub after: Option<String>,
    /// Rows a page, 1 to 500; 100 when absent.
    #[serde(default)]
    pub limit: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FindingsPage {
    pub findings: Vec<FindingView>,
    /// Matching the filter, on all pages.
    pub total: u64,
    pub next: Option<String>,
}

#[async_trait]
pub trait VolumesPort: Send + Sync {
    async fn volumes(&self) -> Result<Vec<VolumeView>, Problem>;
    async fn volume(&self, name: &str) -> Result<VolumeView, Problem>;
    async fn findings(&self, volume: &str, filter: FindingsFilter) -> Result<FindingsPage, Problem>;
    async fn set_mode(
        &self,
        actor: &Actor,
        volume: &str,
        to: Mode,
        reason: &str,
        override_gate: bool,
    ) -> Result<VolumeView, Problem>;
    /// Limits how fast a copy is read, over its configuration; `None` takes that back.
    async fn set_copy_limits(
        &self,
        actor: &Actor,
        volume: &str,
        copy: &str,
        change: Option<LimitsChange>,
    ) -> Result<CopyLimits, Problem>;
    /// Sets a tombstone: the owner deleted this file, it is never brought back.
    async fn mark_deleted(&self, actor: &Actor, volume: &str, path_hex: &str) -> Result<(), Problem>;
}

impl VolumeView {
    pub fn sample() -> Self {
        let at = DateTime::UNIX_EPOCH;
        let copy = |name: &str, placement, files| CopyView {
            name: name.into(),
            kind: CopyKind::Fs,
            placement,
            path: format!("/backup/{name}"),
            reach: Reach::Reached,
            files,
            bytes: files * 30_000,
            age: CopyAge { protected_at: Some(at), ..CopyAge::default() },
            faults: 0,
            bytes_per_second: Some(12.5e6),
            limit: CopyLimits::default(),
        };
        let point = |kind, what: &str, met, detail: &str| GatePoint {
            kind,
            what: what.into(),
            met,
            detail: detail.into(),
        };
        let full_check = "A full check that started after 1970-01-01 00:00:00 UTC has finished";
        Self {
            name: "uploads".into(),
            mode: ModeState::ReadOnly {
                since: at,
                tripped_at: at,
                reason: "ext4 reported 1 error".into(),
                by: "ann@example.com".into(),
                evidence: vec!["errors_count is 1".into()],
            },
            gate: vec!["12 files are missing".into()],
            gate_points: vec![
                point(
                    GatePointKind::FullCheck,
                    full_check,
                    true,
                    "the one that started 1970-01-01 01:00:00 UTC has",
                ),
                point(GatePointKind::NothingMissing, "No file is missing", false, "12 files are missing"),
            ],
            files: 320,
            bytes: 9_600_000,
            findings: FindingCounts { missing: 12, corrupt: 3, orphan: 5, ..FindingCounts::default() },
            copies: vec![copy("local", Placement::Onsite, 300), copy("offsite", Placement::Offsite, 320)],
            protected_at: Some(at),
            checked_at: Some(at),
            fully_checked_at: None,
            path: "/srv/uploads".into(),
            disk_tool: Some(DiskTool::E2fsck),
            reach: Reach::Reached,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_not_known_is_not_said_to_be_reached() {
        let silent = Reach::NotKnownYet("it has not answered for 2 s".into());
        for (reach, unreachable) in [
            (Reach::Reached, false),
            (Reach::Unreachable("the folder /x does not exist".into()), true),
            (silent.clone(), true),
        ] {
            let view = VolumeView { reach: reach.clone(), ..VolumeView::sample() };
            let json = serde_json::to_value(&view).unwrap();
            assert_eq!(json["unreachable"], unreachable, "{json}");
            assert_eq!(json["unreachable_because"].as_str(), reach.because());
            assert_eq!(serde_json::from_value::<VolumeView>(json).unwrap(), view);
        }
        assert_eq!(serde_json::to_value(silent).unwrap()["not_known_yet"], true);
    }
}
