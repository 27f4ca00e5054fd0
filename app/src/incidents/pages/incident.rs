//! One incident: how it stands, its updates, and the form for the next one.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_router::hooks::{use_params_map, use_query_map};
use salvor_domain::account::Permission;
use salvor_domain::event::Event;
use salvor_domain::incident::IncidentStatus;

use super::{draft, fields};
use crate::accounts::port::Viewer;
use crate::incidents::api::UpdateIncident;
use crate::incidents::port::{ComponentView, IncidentView, UpdateView};
use crate::ports::Ports;
use crate::problem::Problem;
use crate::ui::address::DRAFT;
use crate::ui::form::{Select, TextArea};
use crate::ui::{Address, Badge, Heading, PostForm, Submit, When, badge, loaded};

struct Everything {
    incident: IncidentView,
    components: Vec<ComponentView>,
    timeline: Vec<Event>,
    draft: String,
    may_write: bool,
}

#[component]
pub fn IncidentPage() -> impl IntoView {
    let id = use_params_map().with_untracked(|params| params.get("id")).unwrap_or_default();
    let draft = use_query_map().with_untracked(|query| query.get(DRAFT)).unwrap_or_default();
    let viewer = use_context::<Option<Viewer>>().flatten();
    let may_write = viewer.is_some_and(|viewer| viewer.role.may(Permission::WriteIncidents));
    loaded(load(use_context::<Ports>(), id, draft, may_write), incident)
}

async fn load(
    ports: Option<Ports>,
    id: String,
    draft: String,
    may_write: bool,
) -> Result<Everything, Problem> {
    let ports = ports.ok_or(Problem::Unavailable)?;
    let id = id.parse().map_err(|_| Problem::NotFound(format!("There is no incident \"{id}\".")))?;
    let incident = ports.incidents.incident(id).await?;
    let (components, timeline) = (ports.incidents.components().await?, ports.incidents.timeline(id).await?);
    Ok(Everything { incident, components, timeline, draft, may_write })
}

fn incident(all: Everything) -> impl IntoView {
    let Everything { incident, components, timeline, draft: typed, may_write } = all;
    let (tone, word) = if incident.draft { badge::draft() } else { badge::incident(incident.status) };
    let (impact_tone, impact) = badge::impact(incident.impact);
    let volume = incident.volume.clone().map(|name| {
        view! {
            ", shows the restores of "
            <a href=String::from(Address::console(&["volumes", &name]))>{name.clone()}</a>
        }
    });
    let updates: Vec<_> = incident.updates.iter().map(update).collect();
    let may_update = may_write && incident.status != IncidentStatus::Postmortem;
    let form = match (may_update, incident.draft) {
        (false, _) => None,
        (true, true) => Some(draft::forms(&incident, &components, typed).into_any()),
        (true, false) => Some(form(&incident, &components, typed).into_any()),
    };
    let public = (!incident.draft).then(|| {
        view! { <a href=format!("/incidents/{}", incident.id)>"As customers see it"</a> }
    });
    view! {
        <Heading title=incident.name.clone()>
            <Badge tone word />
            <Badge tone=impact_tone word=impact />
        </Heading>
        <p class="muted">
            "Started " <When at=incident.started_at exact=true /> {volume} ". "
            {public}
        </p>
        {affected(&incident.components)}
        {form}
        <section aria-labelledby="updates">
            <h2 id="updates">"Updates"</h2>
            <ol class="updates" role="list">
                {updates}
            </ol>
        </section>
        <section class="stack" aria-labelledby="timeline">
            <h2 id="timeline">"Timeline"</h2>
            <p class="muted">"For operators alone: what happened, newest first."</p>
            <ol class="updates" role="list">
                {timeline.iter().map(entry).collect::<Vec<_>>()}
            </ol>
        </section>
    }
}

fn entry(event: &Event) -> impl IntoView + use<> {
    view! {
        <li>
            <p class="cluster">
                <When at=event.at exact=true />
                <span class="muted">{event.actor.clone()}</span>
            </p>
            <p class="said">{event.summary.clone()}</p>
        </li>
    }
}

fn affected(components: &[ComponentView]) -> Option<impl IntoView + use<>> {
    let rows: Vec<_> = components
        .iter()
        .map(|component| {
            let (tone, word) = badge::component(component.status);
            view! {
                <li>
                    {component.name.clone()} " " <Badge tone word />
                </li>
            }
        })
        .collect();
    (!rows.is_empty()).then(|| view! { <ul class="cluster" role="list">{rows}</ul> })
}

fn update(update: &UpdateView) -> impl IntoView + use<> {
    let (tone, word) = badge::incident(update.status);
    let changes: Vec<_> = update
        .components
        .iter()
        .map(|change| {
            let words =
                format!("{}: {} → {}", change.name, change.old_status.label(), change.new_status.label());
            view! { <li class="muted">{words}</li> }
        })
        .collect();
    view! {
        <li>
            <p class="cluster">
                <Badge tone word />
                <When at=update.created_at exact=true />
                <span class="muted">{update.created_by.clone()}</span>
            </p>
            <p class="said">{update.body.clone()}</p>
            {(!changes.is_empty()).then(|| view! { <ul class="points">{changes}</ul> })}
        </li>
    }
}

/// Where it can go from here; the present status comes first, for an update that only tells more.
fn next_statuses(from: IncidentStatus) -> Vec<IncidentStatus> {
    let all: &[IncidentStatus] = if from.is_open() {
        &[
            IncidentStatus::Investigating,
            IncidentStatus::Identified,
            IncidentStatus::Monitoring,
            IncidentStatus::Resolved,
        ]
    } else {
        &[IncidentStatus::Resolved, IncidentStatus::Postmortem, IncidentStatus::Investigating]
    };
    std::iter::once(from).chain(all.iter().copied().filter(|status| *status != from)).collect()
}

fn form(incident: &IncidentView, components: &[ComponentView], draft: String) -> impl IntoView + use<> {
    let statuses = fields::statuses(&next_statuses(incident.status));
    let about = fields::about(incident.id.to_string());
    let components = fields::components(components);
    view! {
        <section class="card" aria-labelledby="next">
            <h2 id="next">"Post an update"</h2>
            <PostForm action=UpdateIncident::PATH class="stack form">
                {about}
                <Select name="request[status]" label="Status" options=statuses />
                <TextArea
                    name="request[body]"
                    label="Message"
                    hint="Public, and on the status page at once."
                    value=draft
                />
                {components}
                <Submit label="Post the update" />
            </PostForm>
        </section>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;
    use chrono::DateTime;
    use salvor_domain::incident::Standing;

    #[test]
    fn only_statuses_that_can_follow_are_offered() {
        let now = DateTime::UNIX_EPOCH;
        let open = Standing::opened(IncidentStatus::Identified, now).unwrap();
        let resolved = open.post(IncidentStatus::Resolved, now).unwrap();
        for standing in [open, resolved] {
            for status in next_statuses(standing.status) {
                assert!(standing.post(status, now).is_ok(), "{} → {status}", standing.status);
            }
        }
    }

    fn page(incident_view: IncidentView, may_write: bool) -> String {
        let components = incident_view.components.clone();
        let timeline = vec![Event {
            id: 1,
            at: DateTime::UNIX_EPOCH,
            actor: "salvor".into(),
            kind: salvor_domain::event::EventKind::IncidentNote,
            subject: incident_view.id.to_string(),
            summary: "uploads tripped to read_only: errors_count is 1".into(),
        }];
        let draft = if incident_view.draft { String::new() } else { "typed".into() };
        let all = Everything { incident: incident_view, components, timeline, draft, may_write };
        rendered(|| incident(all))
    }

    #[test]
    fn it_shows_who_wrote_and_what_changed() {
        let html = page(IncidentView::sample(), true);
        for needed in [
            "ann@example.com",
            "Uploaded files: Operational → Partial outage",
            "typed</textarea>",
            "errors_count is 1",
            "As customers see it",
        ] {
            assert!(html.contains(needed), "{needed} in {html}");
        }
        assert!(!page(IncidentView::sample(), false).contains("<form"));
    }

    #[test]
    fn a_draft_is_published_or_discarded_and_says_that_nobody_sees_it() {
        let draft = || IncidentView { draft: true, ..IncidentView::sample() };
        let html = page(draft(), true);
        for needed in [
            "Draft, not public",
            "value=\"Some uploaded files are missing\"",
            "bringing them back from our backups.</textarea>",
            "/console/do/publish_incident",
            "/console/do/discard_incident",
        ] {
            assert!(html.contains(needed), "{needed} in {html}");
        }
        assert!(!html.contains("As customers see it") && !html.contains("update_incident"), "{html}");
        assert!(!page(draft(), false).contains("<form"));
    }
}
