//! A volume's health on its own page: worst first, how it was, how full it is.

use chrono::{DateTime, Utc};
use leptos::prelude::*;
use salvor_domain::health::Level;
use salvor_domain::text::sentence;

use super::signal::changed;
use crate::health::history::{LevelStrip, SpaceChart};
use crate::health::islands::LivePart;
use crate::health::port::{SignalView, VolumeHealth};
use crate::health::words::{self, reason};
use crate::health::{node_anchor, signal_page};
use crate::ui::table::Column::Text;
use crate::ui::{Badge, Empty, Table, Tone, When, badge};

/// More are on the pages of the signals.
const CHANGES_SHOWN: usize = 12;

/// `now` is when the page was asked for.
pub fn section(health: Option<&VolumeHealth>, now: DateTime<Utc>) -> impl IntoView + use<> {
    let (tone, word) = badge::level(health.map_or(Level::Unknown, |health| health.level));
    view! {
        <section aria-labelledby="health">
            <div id="health-now">
                <h2 id="health" class="with-badge">
                    "Health" " "
                    <Badge tone word />
                </h2>
                {known(health, now)}
            </div>
            <LivePart id="health-now".to_owned() />
        </section>
    }
}

fn known(health: Option<&VolumeHealth>, now: DateTime<Utc>) -> AnyView {
    let Some(health) = health else {
        return view! { <Empty>"Its health could not be read just now. Load the page again in a minute."</Empty> }.into_any();
    };
    if health.signals.is_empty() && health.changes.is_empty() {
        return view! {
            <Empty>
                "No host reports on what this volume lies on, so nothing is known of its disks. "
                <a href="/console/health">"See the hosts"</a>
            </Empty>
        }
        .into_any();
    }
    let rows: Vec<_> = health.signals.iter().map(row).collect();
    let signals = (!rows.is_empty()).then(|| {
        view! {
            <Table
                caption="What the volume and its copies lie on, worst first"
                columns=&[Text("What"), Text("Level"), Text("Since"), Text("Read"), Text("Place")]
            >
                {rows}
            </Table>
        }
    });
    let turns: Vec<_> =
        health.changes.iter().take(CHANGES_SHOWN).map(|change| changed(change, true)).collect();
    let timeline = (!turns.is_empty()).then(|| {
        view! {
            <h3>"What changed, newest first"</h3>
            <ol class="log">{turns}</ol>
        }
    });
    view! {
        {signals}
        <div class="columns">
            <div>
                <LevelStrip health=health.clone() now hours=24 name="Last 24 hours" />
                <LevelStrip health=health.clone() now hours=168 name="Last 7 days" />
            </div>
            <SpaceChart space=health.space.clone() full_at=health.full_at now />
        </div>
        {timeline}
    }
    .into_any()
}

fn row(signal: &SignalView) -> impl IntoView + use<> {
    let (tone, word) = badge::level(signal.level);
    let place = format!("/console/health#{}", node_anchor(&signal.host, &signal.subject));
    let muted = signal.muted.is_some().then(|| view! { <Badge tone=Tone::Info word="Muted" /> });
    let (since, read_at) = (signal.since, signal.read_at);
    view! {
        <tr>
            <th scope="row">
                <a href=String::from(signal_page(signal))>{sentence(words::probe(signal.probe))}</a>
                <p class="reason">{reason(&signal.subject, &signal.reason)}</p>
            </th>
            <td data-label="Level">
                <Badge tone word />
                {muted}
            </td>
            <td data-label="Since">
                <When at=since />
            </td>
            <td data-label="Read">
                <When at=read_at />
            </td>
            <td data-label="Place">
                <a href=place>{signal.subject.clone()}</a>
                <span class="muted">" on " {signal.host.clone()}</span>
            </td>
        </tr>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;

    #[test]
    fn the_worst_is_first_and_leads_to_its_place() {
        let health = VolumeHealth::sample();
        let html = rendered(|| section(Some(&health), DateTime::UNIX_EPOCH));
        for needed in [
            "Critical",
            "ext4 counts 1 error",
            "71 % used",
            "Last 7 days",
            "was ok",
            "/console/health#store1--fs-3a",
        ] {
            assert!(html.contains(needed), "{needed} in {html}");
        }
    }

    #[test]
    fn unknown_is_said_as_unknown() {
        let nothing = VolumeHealth {
            signals: vec![],
            changes: vec![],
            space: vec![],
            level: Level::Unknown,
            ..VolumeHealth::sample()
        };
        let html = rendered(|| section(Some(&nothing), DateTime::UNIX_EPOCH));
        assert!(html.contains("Unknown") && html.contains("nothing is known of its disks"), "{html}");
        assert!(rendered(|| section(None, DateTime::UNIX_EPOCH)).contains("could not be read"));
    }
}
