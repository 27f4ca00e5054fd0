//! The status page, an incident's page and the history, as the public reads them.
//!
//! What lives here: how a [`StatusView`] becomes words and HTML. What does not: when a document is rendered and how it is
//! kept and served; that is the server's. What must always hold: no operator's name and no file's name is shown, what is
//! not known is said as not known, and a page that is green has no open incident.

use chrono::{DateTime, Utc};
use leptos::prelude::*;
use salvor_domain::incident::{Impact, rollup};
use salvor_domain::path::hex;
use sha2::{Digest as _, Sha256};

use crate::document::tone::Tone;
use crate::document::{Look, Page, document, when};
use crate::incidents::port::{IncidentView, PublicProgress, StatusView};

mod components;
mod history;
mod incident;
mod progress;
mod status;
#[cfg(test)]
mod tests;

pub use progress::words as progress_words;

/// What `GET /live/status` sends as the data of an unnamed event: on connection, and whenever something in it changes.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct LiveStatus<'a> {
    pub as_of: DateTime<Utc>,
    /// [`version`] of the same view: where it is not the page's own, the page fetches itself anew.
    pub version: String,
    /// In the order of [`StatusView::restores`]; their bars are found by their place.
    pub restores: &'a [PublicProgress],
}

impl<'a> LiveStatus<'a> {
    pub fn of(view: &'a StatusView) -> Self {
        Self { as_of: view.as_of, version: version(view), restores: &view.restores }
    }
}

/// Names all that a page says apart from the figures that its script updates: equal versions, equal words.
pub fn version(view: &StatusView) -> String {
    let restores: Vec<_> = view.restores.iter().map(|restore| &restore.volume).collect();
    let said = (&view.page_name, &view.components, &view.open, &view.past, restores);
    let digest = Sha256::digest(serde_json::to_vec(&said).unwrap_or_default());
    hex(&digest[..8])
}

/// `/`. Here and below, `stale` means that the facts have not been read anew for a while: the page says so, without
/// JavaScript too.
pub fn status_document(look: &Look, view: &StatusView, stale: bool) -> String {
    let (_, words) = standing(view);
    let page = Page {
        name: view.page_name.clone(),
        title: words.to_owned(),
        description: format!("{words}. Current state, incidents and restores of {}.", view.page_name),
        path: "/".into(),
        refresh_seconds: (!view.open.is_empty()).then_some(60),
        noindex: false,
    };
    document(look, page, || status::main(view, stale))
}

/// `/incidents/{id}`
pub fn incident_document(look: &Look, view: &StatusView, incident: &IncidentView, stale: bool) -> String {
    let page = Page {
        name: view.page_name.clone(),
        title: incident.name.clone(),
        description: format!("{}: {}", incident.status.label(), incident.name),
        path: format!("/incidents/{}", incident.id),
        refresh_seconds: incident.status.is_open().then_some(60),
        noindex: false,
    };
    document(look, page, || incident::main(view, incident, stale))
}

/// `/history`
pub fn history_document(look: &Look, view: &StatusView, stale: bool) -> String {
    let page = Page {
        name: view.page_name.clone(),
        title: "History".into(),
        description: format!("Incidents of {}, newest first.", view.page_name),
        path: "/history".into(),
        refresh_seconds: None,
        noindex: false,
    };
    document(look, page, || history::main(view, stale))
}

/// When the facts were true.
fn as_of(view: &StatusView) -> AnyView {
    view! { <p id="as-of">"As of "{when(view.as_of)}</p> }.into_any()
}

/// That the facts are old; hidden while they are not, for the script to show.
fn stale_notice(stale: bool) -> AnyView {
    let hidden = (!stale).then_some("");
    view! {
        <p id="stale" class="stale alert" data-tone="warn" role="status" hidden=hidden>
            "What you see is more than a minute old: newer facts could not be loaded. This page keeps trying."
        </p>
    }
    .into_any()
}

/// The page in one tone and a few words. An open incident is never green, whatever its components say.
fn standing(view: &StatusView) -> (Tone, &'static str) {
    let leaves: Vec<_> = view.components.iter().map(|component| component.status).collect();
    let rollup = rollup(&leaves);
    match view.open.iter().map(|incident| incident.impact).max() {
        Some(worst) if rollup.indicator == Impact::None => {
            (impact_tone(worst.max(Impact::Minor)), "Incident in Progress")
        }
        _ => (impact_tone(rollup.indicator), rollup.description),
    }
}

fn impact_tone(impact: Impact) -> Tone {
    match impact {
        Impact::None => Tone::Ok,
        Impact::Maintenance => Tone::Info,
        Impact::Minor => Tone::Warn,
        Impact::Major => Tone::Serious,
        Impact::Critical => Tone::Bad,
    }
}
