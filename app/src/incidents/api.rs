//! What can be asked of incidents and components: one server function each, one typed request, one call of the port.

use leptos::prelude::*;
use salvor_domain::ids::ComponentId;
use salvor_domain::incident::{ComponentStatus, Impact, IncidentStatus};

use crate::incidents::port::ComponentChange;
use crate::problem::Problem;
use crate::ui::form::blank_is_none;

#[cfg(feature = "ssr")]
use {
    crate::incidents::port::{
        ComponentView, IncidentView, NewComponent, NewIncident, NewUpdate, Publication,
    },
    crate::ui::Address,
    crate::ui::api::{actor_who_may, ports, settle},
    salvor_domain::account::Permission,
    salvor_domain::ids::IncidentId,
};

/// A component in a form: a blank status leaves it as it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ComponentChoice {
    pub id: ComponentId,
    #[serde(default, deserialize_with = "blank_is_none")]
    pub status: Option<ComponentStatus>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OpenRequest {
    pub name: String,
    pub status: IncidentStatus,
    pub body: String,
    /// Blank: by the worst component.
    #[serde(default, deserialize_with = "blank_is_none")]
    pub impact: Option<Impact>,
    /// Blank: no volume's restores are shown with it.
    #[serde(default)]
    pub volume: String,
    #[serde(default)]
    pub components: Vec<ComponentChoice>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct UpdateRequest {
    pub incident: String,
    pub status: IncidentStatus,
    pub body: String,
    #[serde(default)]
    pub components: Vec<ComponentChoice>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PublishRequest {
    pub incident: String,
    pub name: String,
    pub body: String,
    #[serde(default)]
    pub components: Vec<ComponentChoice>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DiscardRequest {
    pub incident: String,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ComponentRequest {
    pub name: String,
    #[serde(default)]
    pub group: String,
    #[serde(default)]
    pub description: String,
}

/// Those that are to change.
pub fn changes(choices: Vec<ComponentChoice>) -> Vec<ComponentChange> {
    choices
        .into_iter()
        .filter_map(|choice| choice.status.map(|status| ComponentChange { id: choice.id, status }))
        .collect()
}

/// Opens an incident; the public page shows it at once.
#[server(prefix = "/console/do", endpoint = "open_incident")]
pub async fn open_incident(request: OpenRequest) -> Result<(), Problem> {
    let back = Address::console(&["incidents", "open"]).with("name", &request.name).with_draft(&request.body);
    settle(open(request).await, back, incident_page)
}

/// Posts an update; with the status `resolved` that is its end.
#[server(prefix = "/console/do", endpoint = "update_incident")]
pub async fn update_incident(request: UpdateRequest) -> Result<(), Problem> {
    let back = Address::console(&["incidents", &request.incident]).with_draft(&request.body);
    settle(update(request).await, back, incident_page)
}

/// Shows a draft to the public, as it stands in the form.
#[server(prefix = "/console/do", endpoint = "publish_incident")]
pub async fn publish_incident(request: PublishRequest) -> Result<(), Problem> {
    let back = Address::console(&["incidents", &request.incident]).with_draft(&request.body);
    settle(publish(request).await, back, incident_page)
}

/// Removes a draft.
#[server(prefix = "/console/do", endpoint = "discard_incident")]
pub async fn discard_incident(request: DiscardRequest) -> Result<(), Problem> {
    let back = Address::console(&["incidents", &request.incident]);
    settle(discard(request).await, back, |()| Address::console(&["incidents"]))
}

/// Adds a component to the public page.
#[server(prefix = "/console/do", endpoint = "add_component")]
pub async fn add_component(request: ComponentRequest) -> Result<(), Problem> {
    let page = Address::console(&["components"]);
    settle(add(request).await, page.clone(), |_| page)
}

#[cfg(feature = "ssr")]
async fn open(request: OpenRequest) -> Result<IncidentView, Problem> {
    let actor = actor_who_may(Permission::WriteIncidents)?;
    let incident = NewIncident {
        name: request.name,
        status: request.status,
        body: request.body,
        impact: request.impact,
        components: changes(request.components),
        volume: filled(request.volume),
    };
    ports()?.incidents.open(&actor, incident).await
}

#[cfg(feature = "ssr")]
async fn update(request: UpdateRequest) -> Result<IncidentView, Problem> {
    let actor = actor_who_may(Permission::WriteIncidents)?;
    let id = known_id(&request.incident)?;
    let update =
        NewUpdate { status: request.status, body: request.body, components: changes(request.components) };
    ports()?.incidents.update(&actor, id, update).await
}

#[cfg(feature = "ssr")]
async fn publish(request: PublishRequest) -> Result<IncidentView, Problem> {
    let actor = actor_who_may(Permission::WriteIncidents)?;
    let publication = Publication {
        name: Some(request.name),
        body: Some(request.body),
        components: changes(request.components),
        impact: None,
    };
    ports()?.incidents.publish(&actor, known_id(&request.incident)?, publication).await
}

#[cfg(feature = "ssr")]
async fn discard(request: DiscardRequest) -> Result<(), Problem> {
    let actor = actor_who_may(Permission::WriteIncidents)?;
    ports()?.incidents.discard(&actor, known_id(&request.incident)?).await
}

#[cfg(feature = "ssr")]
fn known_id(text: &str) -> Result<IncidentId, Problem> {
    text.parse().map_err(|_| Problem::NotFound(format!("There is no incident \"{text}\".")))
}

#[cfg(feature = "ssr")]
async fn add(request: ComponentRequest) -> Result<ComponentView, Problem> {
    let actor = actor_who_may(Permission::WriteIncidents)?;
    let component = NewComponent {
        name: request.name,
        group: filled(request.group),
        description: filled(request.description),
    };
    ports()?.incidents.add_component(&actor, component).await
}

#[cfg(feature = "ssr")]
fn incident_page(incident: &IncidentView) -> Address {
    Address::console(&["incidents", &incident.id.to_string()])
}

#[cfg(feature = "ssr")]
fn filled(text: String) -> Option<String> {
    Some(text).filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_chosen_does_not_change() {
        let id = ComponentId::new(chrono::DateTime::UNIX_EPOCH, [1; 10]);
        let choice = |status| ComponentChoice { id, status };
        assert_eq!(
            changes(vec![choice(None), choice(Some(ComponentStatus::MajorOutage))]),
            [ComponentChange { id, status: ComponentStatus::MajorOutage }]
        );
    }
}
