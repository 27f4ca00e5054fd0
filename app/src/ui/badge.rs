//! States at a glance: a tone, an icon and a word. Colour never speaks alone.

use leptos::prelude::*;
use salvor_domain::finding::FindingKind;
use salvor_domain::incident::{ComponentStatus, Impact, IncidentStatus};
use salvor_domain::ticket::{LineState, TicketState, Verdict};
use salvor_domain::volume::Mode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Ok,
    /// Something is under way.
    Busy,
    Warn,
    Bad,
    /// Nothing to say, or unknown.
    Quiet,
}

impl Tone {
    /// The class in the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Busy => "info",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Quiet => "quiet",
        }
    }

    /// One shape for each tone, in a square of 16: tick, play, triangle, cross in a disc, dash.
    fn icon(self) -> &'static str {
        match self {
            Self::Ok => "M2.5 8.5 6.2 12.2 13.5 4.5",
            Self::Busy => "M5 3.2 12.5 8 5 12.8Z",
            Self::Warn => "M8 2 14.6 13.6H1.4ZM8 6.4V9.6M8 11.2V11.9",
            Self::Bad => "M8 1.5A6.5 6.5 0 1 1 8 14.5A6.5 6.5 0 1 1 8 1.5ZM5.7 5.7 10.3 10.3M10.3 5.7 5.7 10.3",
            Self::Quiet => "M3.5 8H12.5",
        }
    }
}

/// Tone, icon and word.
#[component]
pub fn Badge(tone: Tone, #[prop(into)] word: String) -> impl IntoView {
    view! {
        <span class=format!("badge {}", tone.class())>
            <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
                <path d=tone.icon() />
            </svg>
            {word}
        </span>
    }
}

pub fn mode(mode: Mode) -> (Tone, &'static str) {
    match mode {
        Mode::Normal => (Tone::Ok, "Normal"),
        Mode::ReadOnly => (Tone::Warn, "Read-only"),
        Mode::Failover => (Tone::Bad, "Failover"),
    }
}

pub fn incident(status: IncidentStatus) -> (Tone, &'static str) {
    let tone = match status {
        IncidentStatus::Investigating => Tone::Bad,
        IncidentStatus::Identified => Tone::Warn,
        IncidentStatus::Monitoring => Tone::Busy,
        IncidentStatus::Resolved | IncidentStatus::Postmortem => Tone::Ok,
    };
    (tone, status.label())
}

pub fn impact(impact: Impact) -> (Tone, &'static str) {
    match impact {
        Impact::None => (Tone::Quiet, "No impact"),
        Impact::Maintenance => (Tone::Busy, "Maintenance"),
        Impact::Minor => (Tone::Warn, "Minor impact"),
        Impact::Major => (Tone::Bad, "Major impact"),
        Impact::Critical => (Tone::Bad, "Critical impact"),
    }
}

pub fn component(status: ComponentStatus) -> (Tone, &'static str) {
    let tone = match status {
        ComponentStatus::Operational => Tone::Ok,
        ComponentStatus::UnderMaintenance => Tone::Busy,
        ComponentStatus::DegradedPerformance => Tone::Warn,
        ComponentStatus::PartialOutage | ComponentStatus::MajorOutage => Tone::Bad,
    };
    (tone, status.label())
}

pub fn finding(kind: FindingKind) -> (Tone, &'static str) {
    match kind {
        FindingKind::Missing => (Tone::Bad, "Missing"),
        FindingKind::Corrupt => (Tone::Bad, "Corrupt"),
        FindingKind::Unreadable => (Tone::Bad, "Unreadable"),
        FindingKind::Changed => (Tone::Warn, "Changed"),
        FindingKind::Extra => (Tone::Quiet, "Extra"),
        FindingKind::Orphan => (Tone::Warn, "Orphan"),
    }
}

pub fn ticket(state: TicketState) -> (Tone, &'static str) {
    match state {
        TicketState::Open => (Tone::Busy, "Being looked up"),
        TicketState::Restoring => (Tone::Busy, "Restoring"),
        TicketState::NeedsOperator => (Tone::Bad, "Needs an operator"),
        TicketState::Answered => (Tone::Ok, "Answered"),
        TicketState::Closed => (Tone::Quiet, "Closed"),
    }
}

pub fn line(state: LineState) -> (Tone, &'static str) {
    match state {
        LineState::New => (Tone::Quiet, "Not looked up yet"),
        LineState::Diagnosed => (Tone::Quiet, "Looked up"),
        LineState::Restoring => (Tone::Busy, "Restoring"),
        LineState::Restored => (Tone::Ok, "Restored"),
        LineState::Failed => (Tone::Bad, "Restore failed"),
        LineState::Confirmed => (Tone::Ok, "Confirmed by the customer"),
        LineState::StillMissing => (Tone::Bad, "Customer: still missing"),
    }
}

pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Present => "On the volume and good",
        Verdict::BeingRestored => "Being restored",
        Verdict::Restorable => "Lost, a copy has it",
        Verdict::Overwritten => "A newer file is in its place",
        Verdict::Deleted => "Deleted by its owner",
        Verdict::InNoCopy => "Lost, in no copy",
        Verdict::NotOurs => "Not one of ours",
    }
}

/// A job by the word of its state and how it went: ended is not the same as well.
pub fn job(state: &str, is_well: bool) -> (Tone, &'static str) {
    match state {
        "planning" => (Tone::Busy, "Planning"),
        "planned" => (Tone::Warn, "Waits for approval"),
        "running" => (Tone::Busy, "Running"),
        "paused" => (Tone::Warn, "Paused"),
        "finished" if is_well => (Tone::Ok, "Finished"),
        "finished" => (Tone::Warn, "Finished, not all well"),
        "failed" => (Tone::Bad, "Could not run"),
        "cancelled" => (Tone::Quiet, "Cancelled"),
        _ => (Tone::Quiet, "Unknown state"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_says_its_word_and_hides_its_icon() {
        let html = view! { <Badge tone=Tone::Bad word="Missing" /> }.to_html();
        assert!(html.contains("Missing") && html.contains("aria-hidden=\"true\"") && html.contains("badge bad"));
    }

    #[test]
    fn ended_is_not_well() {
        assert_eq!(job("finished", true).0, Tone::Ok);
        assert_eq!(job("finished", false).0, Tone::Warn);
        assert_eq!(job("something new", true).0, Tone::Quiet);
    }
}
