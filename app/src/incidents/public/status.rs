//! The status page: what everybody comes for first, then the rest by need.

use chrono::TimeDelta;
use leptos::prelude::*;
use salvor_domain::units::count;

use super::{as_of, components, incident, progress, stale_notice, standing, version};
use crate::incidents::port::{IncidentView, StatusView};

/// Older incidents are in the history.
const PAST_DAYS: i64 = 7;

pub(super) fn main(view: &StatusView, stale: bool) -> AnyView {
    let (facts_of, version) = (view.as_of.to_rfc3339(), version(view));
    view! {
        <main id="main" class="wrap stack" data-live="/live/status" data-version=version data-as-of=facts_of>
            <div>
                {banner(view)}
                {stale_notice(stale)}
            </div>
            <div id="open" class="stack" data-part="">{open(view)}{others(view)}</div>
            <section id="components" data-part="">
                <h2>"Components"</h2>
                {if view.components.is_empty() {
                    view! { <p class="muted">"No components are listed yet."</p> }.into_any()
                } else {
                    components::list(&view.components)
                }}
            </section>
            {call()}
            <section id="past" data-part="">{past(view)}</section>
        </main>
    }
    .into_any()
}

fn banner(view: &StatusView) -> AnyView {
    let (tone, words) = standing(view);
    view! {
        <div id="banner" data-part="">
            <div class="banner" data-tone=tone.as_str()>
                {tone.icon()}
                <div>
                    <h1>{words}</h1>
                    {as_of(view)}
                </div>
            </div>
        </div>
    }
    .into_any()
}

fn open(view: &StatusView) -> AnyView {
    if view.open.is_empty() {
        return ().into_any();
    }
    let heading = match view.open.len() {
        1 => "Open incident".to_owned(),
        n => format!("{} open incidents", count(n as u64)),
    };
    let cards = view.open.iter().map(|incident| incident::card(view, incident)).collect_view();
    view! { <section><h2>{heading}</h2><div class="stack">{cards}</div></section> }.into_any()
}

/// Restores of volumes that no open incident names.
fn others(view: &StatusView) -> AnyView {
    let told = |volume: &str| view.open.iter().any(|incident| incident.volume.as_deref() == Some(volume));
    let bars: Vec<_> = (view.restores.iter().enumerate())
        .filter(|(_, restore)| !told(&restore.volume))
        .map(|(place, restore)| {
            let heading = view! { <h3>{restore.volume.clone()}</h3> }.into_any();
            progress::bar(restore, place, heading)
        })
        .collect();
    if bars.is_empty() {
        return ().into_any();
    }
    view! { <section><h2>"Files on their way back"</h2><div class="stack">{bars}</div></section> }.into_any()
}

fn call() -> AnyView {
    view! {
        <aside class="card call" aria-label="Report missing files">
            <p>"A picture or a sound is gone from your site? Tell us which, and we look for it in every backup."</p>
            <a class="button" href="/report">"Report missing files"</a>
        </aside>
    }
    .into_any()
}

fn past(view: &StatusView) -> AnyView {
    let since = view.as_of - TimeDelta::days(PAST_DAYS);
    let recent = |incident: &&IncidentView| incident.resolved_at.unwrap_or(incident.updated_at) >= since;
    let list: Vec<_> = view.past.iter().filter(recent).map(incident::summary).collect();
    let body = match list.is_empty() {
        true => view! { <p class="muted">"None in the last 7 days."</p> }.into_any(),
        false => view! { <ol class="card past" role="list">{list}</ol> }.into_any(),
    };
    view! { <h2>"Past incidents"</h2>{body}<p><a href="/history">"All incidents"</a></p> }.into_any()
}
