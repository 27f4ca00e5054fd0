//! States at a glance: a tone, an icon and a word. Colour never speaks alone.

use leptos::prelude::*;
use salvor_domain::finding::FindingKind;
use salvor_domain::health::Level;
use salvor_domain::incident::{ComponentStatus, Impact, IncidentStatus};
use salvor_domain::readiness::Verdict;
use salvor_domain::ticket::{LineState, TicketState, Verdict as Diagnosis};
use salvor_domain::volume::Mode;

use crate::document::tone;
pub use crate::document::tone::Tone;
use crate::volumes::port::Reach;

/// Tone, icon and word.
#[component]
pub fn Badge(tone: Tone, #[prop(into)] word: String) -> impl IntoView {
    tone::badge(tone, &word)
}

pub fn mode(mode: Mode) -> (Tone, &'static str) {
    match mode {
        Mode::Normal => (Tone::Ok, "Normal"),
        Mode::ReadOnly => (Tone::Warn, "Read-only"),
        Mode::Failover => (Tone::Bad, "Failover"),
    }
}

/// What is not known is not green.
pub fn level(level: Level) -> (Tone, &'static str) {
    match level {
        Level::Ok => (Tone::Ok, "OK"),
        Level::Unknown => (Tone::Plain, "Unknown"),
        Level::Warning => (Tone::Warn, "Warning"),
        Level::Critical => (Tone::Bad, "Critical"),
    }
}

pub fn incident(status: IncidentStatus) -> (Tone, &'static str) {
    let tone = match status {
        IncidentStatus::Investigating => Tone::Bad,
        IncidentStatus::Identified => Tone::Warn,
        IncidentStatus::Monitoring => Tone::Info,
        IncidentStatus::Resolved | IncidentStatus::Postmortem => Tone::Ok,
    };
    (tone, status.label())
}

/// Nobody but operators sees it.
pub fn draft() -> (Tone, &'static str) {
    (Tone::Plain, "Draft, not public")
}

pub fn impact(impact: Impact) -> (Tone, &'static str) {
    match impact {
        Impact::None => (Tone::Plain, "No impact"),
        Impact::Maintenance => (Tone::Info, "Maintenance"),
        Impact::Minor => (Tone::Warn, "Minor impact"),
        Impact::Major => (Tone::Serious, "Major impact"),
        Impact::Critical => (Tone::Bad, "Critical impact"),
    }
}

pub fn component(status: ComponentStatus) -> (Tone, &'static str) {
    let tone = match status {
        ComponentStatus::Operational => Tone::Ok,
        ComponentStatus::UnderMaintenance => Tone::Info,
        ComponentStatus::DegradedPerformance => Tone::Warn,
        ComponentStatus::PartialOutage => Tone::Serious,
        ComponentStatus::MajorOutage => Tone::Bad,
    };
    (tone, status.label())
}

pub fn finding(kind: FindingKind) -> (Tone, &'static str) {
    match kind {
        FindingKind::Missing => (Tone::Bad, "Missing"),
        FindingKind::Corrupt => (Tone::Bad, "Corrupt"),
        FindingKind::Unreadable => (Tone::Bad, "Unreadable"),
        FindingKind::Changed => (Tone::Warn, "Changed"),
        FindingKind::Extra => (Tone::Plain, "Extra"),
        FindingKind::Orphan => (Tone::Warn, "Orphan"),
    }
}

pub fn ticket(state: TicketState) -> (Tone, &'static str) {
    match state {
        TicketState::Open => (Tone::Info, "Being looked up"),
        TicketState::Restoring => (Tone::Info, "Restoring"),
        TicketState::NeedsOperator => (Tone::Bad, "Needs an operator"),
        TicketState::Answered => (Tone::Ok, "Answered"),
        TicketState::Closed => (Tone::Plain, "Closed"),
    }
}

pub fn line(state: LineState) -> (Tone, &'static str) {
    match state {
        LineState::New => (Tone::Plain, "Not looked up yet"),
        LineState::Diagnosed => (Tone::Plain, "Looked up"),
        LineState::Restoring => (Tone::Info, "Restoring"),
        LineState::Restored => (Tone::Ok, "Restored"),
        LineState::Failed => (Tone::Bad, "Restore failed"),
        LineState::Confirmed => (Tone::Ok, "Confirmed by the customer"),
        LineState::StillMissing => (Tone::Bad, "Customer: still missing"),
    }
}

pub fn verdict(verdict: Diagnosis) -> &'static str {
    match verdict {
        Diagnosis::Present => "On the volume and good",
        Diagnosis::BeingRestored => "Being restored",
        Diagnosis::Restorable => "Lost, a copy has it",
        Diagnosis::Overwritten => "A newer file is in its place",
        Diagnosis::Deleted => "Deleted by its owner",
        Diagnosis::InNoCopy => "Lost, in no copy",
        Diagnosis::NotOurs => "Not one of ours",
    }
}

/// Only where something is to be said.
pub fn reach(reach: &Reach) -> Option<(Tone, &'static str)> {
    match reach {
        Reach::Reached => None,
        Reach::Unreachable(_) => Some((Tone::Bad, "Unreachable")),
        Reach::NotKnownYet(_) => Some((Tone::Warn, "Not known yet")),
    }
}

/// Whether an objective is met; what is not known is not green.
pub fn readiness(verdict: Verdict) -> (Tone, &'static str) {
    match verdict {
        Verdict::Met => (Tone::Ok, "Met"),
        Verdict::Unset => (Tone::Plain, "No objective"),
        Verdict::Unknown => (Tone::Warn, "Not known"),
        Verdict::Missed => (Tone::Bad, "Missed"),
    }
}

/// A job by the word of its state and how it went: ended is not the same as well.
pub fn job(state: &str, is_well: bool) -> (Tone, &'static str) {
    match state {
        "planning" => (Tone::Info, "Planning"),
        "planned" => (Tone::Warn, "Waits for approval"),
        "running" => (Tone::Info, "Running"),
        "paused" => (Tone::Warn, "Paused"),
        // By itself, for a cause that may pass: nobody's word is waited for.
        "stuck" => (Tone::Bad, "Stuck"),
        "finished" if is_well => (Tone::Ok, "Finished"),
        "finished" => (Tone::Warn, "Finished, not all well"),
        "failed" => (Tone::Bad, "Could not run"),
        "cancelled" => (Tone::Plain, "Cancelled"),
        _ => (Tone::Plain, "Unknown state"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_says_its_word_and_hides_its_icon() {
        let html = view! { <Badge tone=Tone::Bad word="Missing" /> }.to_html();
        assert!(
            html.contains("Missing")
                && html.contains("aria-hidden=\"true\"")
                && html.contains("data-tone=\"bad\"")
        );
    }

    #[test]
    fn ended_is_not_well() {
        assert_eq!(job("finished", true).0, Tone::Ok);
        assert_eq!(job("finished", false).0, Tone::Warn);
        assert_eq!(job("something new", true).0, Tone::Plain);
    }
}
