//! Components, incidents, updates and impact, as on Atlassian Statuspage.
//!
//! ```text
//!   investigating ⇄ identified ⇄ monitoring ──▶ resolved ──▶ postmortem
//!         └───────────────┴──────────────────────▲  │
//!         ▲ (an update may also go back: it was not fixed) ◀┘
//! ```

use chrono::{DateTime, Utc};

use crate::{Refused, words};

words! {
    IncidentStatus ("status of an incident") {
        Investigating = "investigating",
        Identified = "identified",
        Monitoring = "monitoring",
        Resolved = "resolved",
        Postmortem = "postmortem",
    }
}

words! {
    /// Least first.
    ComponentStatus ("status of a component") {
        Operational = "operational",
        UnderMaintenance = "under_maintenance",
        DegradedPerformance = "degraded_performance",
        PartialOutage = "partial_outage",
        MajorOutage = "major_outage",
    }
}

words! {
    /// Least first.
    Impact ("impact") {
        None = "none",
        Maintenance = "maintenance",
        Minor = "minor",
        Major = "major",
        Critical = "critical",
    }
}

impl IncidentStatus {
    /// For people.
    pub fn label(self) -> &'static str {
        match self {
            Self::Investigating => "Investigating",
            Self::Identified => "Identified",
            Self::Monitoring => "Monitoring",
            Self::Resolved => "Resolved",
            Self::Postmortem => "Postmortem",
        }
    }

    pub fn is_open(self) -> bool {
        matches!(self, Self::Investigating | Self::Identified | Self::Monitoring)
    }
}

impl ComponentStatus {
    /// For people.
    pub fn label(self) -> &'static str {
        match self {
            Self::Operational => "Operational",
            Self::UnderMaintenance => "Under maintenance",
            Self::DegradedPerformance => "Degraded performance",
            Self::PartialOutage => "Partial outage",
            Self::MajorOutage => "Major outage",
        }
    }
}

/// Where an incident stands, with its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub status: IncidentStatus,
    pub monitoring_at: Option<DateTime<Utc>>,
    pub resolved_at: Option<DateTime<Utc>>,
}

impl Standing {
    pub fn opened(status: IncidentStatus, now: DateTime<Utc>) -> Result<Self, Refused> {
        if status == IncidentStatus::Postmortem {
            return Err(Refused::because("a postmortem follows a resolved incident"));
        }
        Self { status: IncidentStatus::Investigating, monitoring_at: None, resolved_at: None }
            .post(status, now)
    }

    /// The standing after an update of this status.
    pub fn post(self, status: IncidentStatus, now: DateTime<Utc>) -> Result<Self, Refused> {
        match (self.status, status) {
            (IncidentStatus::Resolved | IncidentStatus::Postmortem, IncidentStatus::Postmortem) => {
                Ok(Self { status, ..self })
            }
            (_, IncidentStatus::Postmortem) => {
                Err(Refused::because("a postmortem follows a resolved incident; resolve it first"))
            }
            (IncidentStatus::Postmortem, _) => {
                Err(Refused::because("the postmortem is published; open a new incident instead"))
            }
            (_, IncidentStatus::Resolved) => {
                Ok(Self { status, resolved_at: Some(self.resolved_at.unwrap_or(now)), ..self })
            }
            (_, IncidentStatus::Monitoring) => {
                Ok(Self { status, monitoring_at: Some(now), resolved_at: None })
            }
            (_, IncidentStatus::Investigating | IncidentStatus::Identified) => {
                Ok(Self { status, monitoring_at: None, resolved_at: None })
            }
        }
    }
}

/// The impact of an incident by its worst component.
pub fn impact_of(components: impl IntoIterator<Item = ComponentStatus>) -> Impact {
    match components.into_iter().max() {
        Some(ComponentStatus::MajorOutage) => Impact::Critical,
        Some(ComponentStatus::PartialOutage) => Impact::Major,
        Some(ComponentStatus::DegradedPerformance) => Impact::Minor,
        _ => Impact::None,
    }
}

/// The state of the whole page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rollup {
    pub indicator: Impact,
    #[serde(skip_deserializing, default = "unknown_description")]
    pub description: &'static str,
}

fn unknown_description() -> &'static str {
    ""
}

/// Over leaves only, first match wins: Statuspage's own table.
pub fn rollup(leaves: &[ComponentStatus]) -> Rollup {
    use ComponentStatus::{DegradedPerformance, MajorOutage, PartialOutage, UnderMaintenance};
    let any = |status| leaves.contains(&status);
    let all = |status| !leaves.is_empty() && leaves.iter().all(|&leaf| leaf == status);
    let (indicator, description) = if all(MajorOutage) {
        (Impact::Critical, "Major System Outage")
    } else if any(MajorOutage) || all(PartialOutage) {
        (Impact::Major, "Partial System Outage")
    } else if any(PartialOutage) {
        (Impact::Minor, "Minor Service Outage")
    } else if all(DegradedPerformance) && leaves.len() >= 2 {
        (Impact::Minor, "Degraded System Service")
    } else if any(DegradedPerformance) {
        (Impact::Minor, "Partially Degraded Service")
    } else if any(UnderMaintenance) {
        (Impact::Maintenance, "Service Under Maintenance")
    } else {
        (Impact::None, "All Systems Operational")
    };
    Rollup { indicator, description }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_rollup_follows_the_table() {
        use ComponentStatus::*;
        for (leaves, description) in [
            (&[][..], "All Systems Operational"),
            (&[Operational, Operational], "All Systems Operational"),
            (&[MajorOutage, MajorOutage], "Major System Outage"),
            (&[MajorOutage, Operational], "Partial System Outage"),
            (&[PartialOutage, PartialOutage], "Partial System Outage"),
            (&[PartialOutage, Operational], "Minor Service Outage"),
            (&[DegradedPerformance, DegradedPerformance], "Degraded System Service"),
            (&[DegradedPerformance], "Partially Degraded Service"),
            (&[UnderMaintenance, Operational], "Service Under Maintenance"),
        ] {
            assert_eq!(rollup(leaves).description, description, "{leaves:?}");
        }
    }

    proptest! {
        /// An incident has a time of resolution exactly while it is resolved, and a postmortem only after that.
        #[test]
        fn resolved_has_its_time(posts in proptest::collection::vec(0usize..5, 1..40)) {
            let now = DateTime::UNIX_EPOCH;
            let mut standing = Standing::opened(IncidentStatus::Investigating, now).unwrap();
            for post in posts {
                let before = standing;
                if let Ok(next) = standing.post(IncidentStatus::ALL[post], now) {
                    prop_assert_eq!(next.resolved_at.is_some(), !next.status.is_open());
                    if next.status == IncidentStatus::Postmortem {
                        prop_assert!(!before.status.is_open());
                    }
                    standing = next;
                }
            }
        }
    }
}
