//! An incident: its state, its updates newest first, its restores.

use chrono::{DateTime, Utc};
use leptos::prelude::*;
use salvor_domain::incident::{Impact, IncidentStatus};
use salvor_domain::units::duration;

use super::{as_of, components, impact_tone, progress, stale_notice, version};
use crate::document::tone::{Tone, badge};
use crate::document::{said, when};
use crate::incidents::port::{AffectedComponent, IncidentView, StatusView, UpdateView};

/// The incident's own page.
pub(super) fn main(view: &StatusView, incident: &IncidentView, stale: bool) -> AnyView {
    let affected = (!incident.components.is_empty()).then(|| {
        view! { <section><h2>"Affected"</h2>{components::list(&incident.components)}</section> }
    });
    // A past incident's page is not rendered anew for the time of its facts alone, so it names that only when they are old.
    let age = (stale || incident.status.is_open())
        .then(|| view! { <div class="muted small">{as_of(view)}</div>{stale_notice(stale)} });
    let (facts_of, version) = (view.as_of.to_rfc3339(), version(view));
    view! {
        <main id="main" class="wrap stack" data-live="/live/status" data-version=version data-as-of=facts_of>
            <div id="incident" class="stack" data-part="">
                <header class="stack">
                    <h1>{incident.name.clone()}</h1>
                    <p class="cluster">{standing(incident)}<span class="muted">{impact(incident.impact)}</span></p>
                    <p class="muted small">{span(incident)}</p>
                </header>
                {restores(view, incident)}
                {affected}
                <section>
                    <h2>"Updates"</h2>
                    <div class="card" data-tone=tone(incident).as_str()>{updates(&incident.updates, "h3")}</div>
                </section>
            </div>
            {age}
            <p><a href="/">"Current status"</a>" · "<a href="/history">"History"</a></p>
        </main>
    }
    .into_any()
}

/// The incident on the status page while it is open.
pub(super) fn card(view: &StatusView, incident: &IncidentView) -> AnyView {
    view! {
        <article class="card incident stack" data-tone=tone(incident).as_str()>
            <header class="stack">
                <h3><a href=address(incident)>{incident.name.clone()}</a></h3>
                <p class="cluster">{standing(incident)}<span class="muted small">{impact(incident.impact)}</span></p>
            </header>
            {restores(view, incident)}
            {updates(&incident.updates, "h4")}
        </article>
    }
    .into_any()
}

/// The incident among past ones: its name, its last word, how long it took.
pub(super) fn summary(incident: &IncidentView) -> AnyView {
    let last = incident.updates.first().map(|update| said(&update.body));
    view! {
        <li class="stack">
            <h3><a href=address(incident)>{incident.name.clone()}</a></h3>
            <p class="cluster">{standing(incident)}<span class="muted small">{span(incident)}</span></p>
            {last}
        </li>
    }
    .into_any()
}

fn address(incident: &IncidentView) -> String {
    format!("/incidents/{}", incident.id)
}

/// Red while it lasts, by its impact; green when it is over.
pub(super) fn tone(incident: &IncidentView) -> Tone {
    match incident.status {
        IncidentStatus::Resolved | IncidentStatus::Postmortem => Tone::Ok,
        _ => impact_tone(incident.impact.max(Impact::Minor)),
    }
}

fn standing(incident: &IncidentView) -> AnyView {
    badge(tone(incident), incident.status.label())
}

fn impact(impact: Impact) -> &'static str {
    match impact {
        Impact::None => "No impact on the service",
        Impact::Maintenance => "Maintenance",
        Impact::Minor => "Minor impact",
        Impact::Major => "Major impact",
        Impact::Critical => "Critical impact",
    }
}

fn span(incident: &IncidentView) -> AnyView {
    let began = when(incident.started_at);
    let Some(resolved) = incident.resolved_at else {
        return view! { "Began "{began} }.into_any();
    };
    let took = lasted(incident.started_at, resolved);
    view! { "Began "{began}", resolved after "{took} }.into_any()
}

fn lasted(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    match (to - from).num_seconds() {
        ..60 => "less than a minute".into(),
        // Nobody needs the seconds of an outage.
        seconds => duration((seconds / 60 * 60) as f64),
    }
}

fn restores(view: &StatusView, incident: &IncidentView) -> AnyView {
    let running = view.restores.iter().enumerate().filter(|(_, restore)| {
        incident.status.is_open() && incident.volume.as_ref() == Some(&restore.volume)
    });
    let heading = || view! { <p><strong>"Files on their way back"</strong></p> }.into_any();
    running.map(|(place, restore)| progress::bar(restore, place, heading())).collect_view().into_any()
}

fn updates(updates: &[UpdateView], level: &str) -> AnyView {
    let list = updates.iter().map(|update| self::update(update, level)).collect_view();
    view! { <ol class="updates stack" role="list">{list}</ol> }.into_any()
}

fn update(update: &UpdateView, level: &str) -> AnyView {
    let label = update.status.label();
    let heading = match level {
        "h3" => view! { <h3>{label}</h3> }.into_any(),
        _ => view! { <h4>{label}</h4> }.into_any(),
    };
    let changed = (!update.components.is_empty())
        .then(|| view! { <p class="components-changed">{changes(&update.components)}</p> });
    view! { <li>{heading}{said(&update.body)}{changed}<p class="at">{when(update.created_at)}</p></li> }
        .into_any()
}

/// `Uploaded files: Operational → Partial outage`
fn changes(components: &[AffectedComponent]) -> String {
    let change = |component: &AffectedComponent| match component.old_status == component.new_status {
        true => format!("{}: {}", component.name, component.new_status.label()),
        false => {
            format!("{}: {} → {}", component.name, component.old_status.label(), component.new_status.label())
        }
    };
    components.iter().map(change).collect::<Vec<_>>().join("; ")
}
