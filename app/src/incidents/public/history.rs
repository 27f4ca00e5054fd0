//! All incidents, by the month in which they began.

use leptos::prelude::*;

use super::{as_of, incident, stale_notice};
use crate::incidents::port::{IncidentView, StatusView};

pub(super) fn main(view: &StatusView, stale: bool) -> AnyView {
    let months = by_month(view).into_iter().map(|(month, incidents)| {
        let list = incidents.into_iter().map(incident::summary).collect_view();
        view! { <section><h2>{month}</h2><ol class="card past" role="list">{list}</ol></section> }
    });
    let none = (view.open.is_empty() && view.past.is_empty())
        .then(|| view! { <p class="lead">"There has been no incident so far."</p> });
    view! {
        <main id="main" class="wrap stack">
            <h1>"History"</h1>
            {stale.then(|| view! { <div class="muted small">{as_of(view)}</div>{stale_notice(stale)} })}
            {none}
            {months.collect_view()}
            <p><a href="/">"Current status"</a>" · "<a href="/history.atom">"Atom feed"</a></p>
        </main>
    }
    .into_any()
}

fn by_month(view: &StatusView) -> Vec<(String, Vec<&IncidentView>)> {
    let mut incidents: Vec<_> = view.open.iter().chain(&view.past).collect();
    incidents.sort_by_key(|incident| std::cmp::Reverse(incident.started_at));
    let mut months: Vec<(String, Vec<&IncidentView>)> = Vec::new();
    for incident in incidents {
        let month = incident.started_at.format("%B %Y").to_string();
        match months.last_mut() {
            Some((last, members)) if *last == month => members.push(incident),
            _ => months.push((month, vec![incident])),
        }
    }
    months
}
