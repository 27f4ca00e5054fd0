//! The whole in one line: the worst thing there is, since when, what is being done about it, and what to do next. It heads the
//! overview, and stands on every other page while something must not wait.

use salvor_domain::health::Level;
use salvor_domain::units;
use salvor_domain::volume::Mode;

use super::{Glance, Glances, Step, clock};
use crate::incidents::port::IncidentView;
use crate::ui::Address;

/// An incident that waits to be published.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Draft {
    pub id: String,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HeadLine {
    pub level: Level,
    /// One sentence without its full stop: what is wrong, and since when.
    pub what: String,
    /// What is being done, if that is worth a word.
    pub doing: Option<Step>,
    pub next: Option<Step>,
    /// What customers have not been told yet.
    pub draft: Option<Step>,
}

impl From<&IncidentView> for Draft {
    fn from(incident: &IncidentView) -> Self {
        Self { id: incident.id.to_string(), name: incident.name.clone() }
    }
}

impl Glances {
    /// How all of it stands, also when it is well.
    pub fn headline(&self) -> HeadLine {
        let Some(worst) = worst(&self.volumes) else {
            return HeadLine::of(Level::Unknown, "No volume is configured".into(), None);
        };
        let silent = self.hosts.iter().find(|host| host.silent && !host.revoked);
        let line = match (worst.urgency, silent) {
            (Level::Ok, Some(host)) => {
                let since = clock(host.reported_at, self.at);
                let step =
                    Step { words: "see why it is silent".into(), href: Some("/console/health".into()) };
                let what = format!("The host {} is silent since {since}", host.name);
                HeadLine::of(Level::Unknown, what, Some(step))
            }
            (Level::Ok, None) if self.volumes.len() > 1 => {
                HeadLine::of(Level::Ok, "All volumes are normal, and no loss is known".into(), None)
            }
            _ => HeadLine::about(worst, &self.volumes),
        };
        HeadLine { draft: self.draft(), ..line }
    }

    /// What must not wait, for pages that are about something else; `but` is the volume whose own page says how it stands.
    pub fn pressing(&self, but: Option<&str>) -> Option<HeadLine> {
        let presses = |glance: &&Glance| {
            (glance.mode.mode() != Mode::Normal || glance.urgency == Level::Critical)
                && but != Some(glance.volume.as_str())
        };
        let pressing: Vec<Glance> = self.volumes.iter().filter(presses).cloned().collect();
        match (worst(&pressing), self.draft()) {
            (Some(worst), draft) => Some(HeadLine { draft, ..HeadLine::about(worst, &pressing) }),
            // With the volume's own page stands what led to the draft.
            (None, Some(draft)) => {
                let what = "Customers have not been told yet".to_owned();
                Some(HeadLine::of(Level::Warning, what, Some(draft)))
            }
            (None, None) => None,
        }
    }

    fn draft(&self) -> Option<Step> {
        let first = self.drafts.first()?;
        let words = match u64::try_from(self.drafts.len()).unwrap_or(u64::MAX) {
            1 => format!("publish or discard the draft \u{201c}{}\u{201d}", first.name),
            many => format!("publish or discard {} draft incidents", units::count(many)),
        };
        let page = match self.drafts.as_slice() {
            [only] => Address::console(&["incidents", &only.id]),
            _ => Address::console(&["incidents"]),
        };
        Some(Step { words, href: Some(page.into()) })
    }
}

impl HeadLine {
    fn of(level: Level, what: String, next: Option<Step>) -> Self {
        Self { level, what, doing: None, next, draft: None }
    }

    /// About the worst of these.
    fn about(worst: &Glance, among: &[Glance]) -> Self {
        let waiting = among.iter().filter(|glance| glance.urgency > Level::Ok).count();
        let more = match u64::try_from(waiting.saturating_sub(1)).unwrap_or(u64::MAX) {
            0 => String::new(),
            others => {
                format!(" ({} you too)", units::counted(others, "more volume needs", "more volumes need"))
            }
        };
        let doing = match &worst.doing {
            // What is waited for is what is being done.
            Some(doing) if doing.href == worst.next.href => None,
            None if worst.urgency == Level::Critical => {
                Some(Step { words: "nothing yet".into(), href: None })
            }
            doing => doing.clone(),
        };
        Self { doing, ..Self::of(worst.urgency, format!("{}{more}", worst.what), Some(worst.next.clone())) }
    }
}

/// The volume that needs somebody most; of equals the first.
fn worst(volumes: &[Glance]) -> Option<&Glance> {
    volumes.iter().rev().max_by_key(|glance| glance.urgency)
}
