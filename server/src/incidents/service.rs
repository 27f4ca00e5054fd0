//! The port of incidents: components, incidents, updates.
//!
//! Invariants: what an update changes (its text, the standing, the components, the impact) and the events that say so
//! are one transaction; an update that resolves an incident frees its components, but never one that another open
//! incident still holds.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use salvor_app::incidents::port::{
    AffectedComponent, ComponentChange, ComponentView, IncidentView, IncidentsPort, NewComponent,
    NewIncident, NewUpdate, Publication, UpdateView,
};
use salvor_app::problem::Problem;
use salvor_domain::account::{Actor, Permission};
use salvor_domain::event::{Event, EventKind};
use salvor_domain::ids::{ComponentId, IncidentId};
use salvor_domain::incident::{ComponentStatus, IncidentStatus, Standing, impact_of};
use salvor_domain::text::stray;

use super::board::Board;
use super::store::{self, Choice};
use crate::core::Core;
use crate::database::Tx;
use crate::error::{Error, Result};
use crate::events;
use crate::volumes::service::require;

/// The longest name of an incident or component, in bytes.
pub const MAX_NAME_BYTES: usize = 200;
/// The longest text of an update, in bytes.
pub const MAX_BODY_BYTES: usize = 10_000;
const MAX_LISTED: u32 = 200;

#[derive(Clone)]
pub struct Incidents {
    core: Core,
    /// Where there is one in this process, it shows at once what was written here.
    board: Option<Board>,
}

impl Incidents {
    pub fn new(core: Core) -> Self {
        Self { core, board: None }
    }

    pub(super) fn core(&self) -> &Core {
        &self.core
    }

    pub fn with_board(self, board: Board) -> Self {
        Self { board: Some(board), ..self }
    }

    pub(super) fn published(&self) {
        if let Some(board) = &self.board {
            board.nudge();
        }
    }

    async fn read(&self, choice: Choice) -> Result<Vec<IncidentView>> {
        let mut tx = self.core.db.read().await?;
        Ok(store::incidents(&mut tx, &choice).await?)
    }

    pub(super) async fn find(&self, id: IncidentId) -> Result<IncidentView> {
        let found = self.read(Choice { id: Some(id), open_only: false, drafts: true, limit: 1 }).await?;
        found.into_iter().next().ok_or_else(|| no_such_incident(id))
    }

    async fn add(&self, actor: &Actor, new: NewComponent) -> Result<ComponentView> {
        require(actor, Permission::WriteIncidents)?;
        let name = within("name", &new.name, MAX_NAME_BYTES)?;
        let group = optional("group", new.group.as_deref(), MAX_NAME_BYTES)?;
        let description = optional("description", new.description.as_deref(), MAX_BODY_BYTES)?;
        let now = self.core.clock.now();
        let mut tx = self.core.db.begin().await?;
        let component = ComponentView {
            id: self.core.new_component_id(),
            name,
            group,
            description,
            status: ComponentStatus::Operational,
            position: store::next_position(&mut tx).await?,
            created_at: now,
            updated_at: now,
        };
        store::insert_component(&mut tx, &component)
            .await
            .map_err(|error| taken_name(error, &component.name))?;
        let summary = format!("The component \"{}\" was added.", component.name);
        events::record(&mut tx, now, actor, EventKind::ComponentAdded, component.id, &summary).await?;
        tx.commit().await?;
        self.published();
        Ok(component)
    }

    async fn open_incident(&self, actor: &Actor, new: NewIncident) -> Result<IncidentView> {
        require(actor, Permission::WriteIncidents)?;
        let name = within("name", &new.name, MAX_NAME_BYTES)?;
        let body = within("body", &new.body, MAX_BODY_BYTES)?;
        if let Some(volume) = &new.volume
            && self.core.config.volume(volume).is_none()
        {
            return Err(Error::invalid(format!(
                "there is no volume \"{volume}\"; leave `volume` out or name one from the configuration"
            )));
        }
        let now = self.core.clock.now();
        let standing = Standing::opened(new.status, now)?;
        let id = self.core.new_incident_id();
        let mut tx = self.core.db.begin().await?;
        let incident = IncidentView {
            id,
            name,
            status: standing.status,
            impact: new
                .impact
                .unwrap_or_else(|| impact_of(new.components.iter().map(|change| change.status))),
            draft: false,
            volume: new.volume,
            started_at: now,
            created_at: now,
            updated_at: now,
            monitoring_at: standing.monitoring_at,
            resolved_at: standing.resolved_at,
            updates: Vec::new(),
            components: Vec::new(),
        };
        store::insert_incident(&mut tx, &incident, new.impact.is_some(), &actor.name).await?;
        let summary = format!("Incident opened: {}.", incident.name);
        events::record(&mut tx, now, actor, EventKind::IncidentOpened, id, &summary).await?;
        let update = update(&self.core, actor, new.status, body, now);
        post(&mut tx, actor, id, update, &new.components).await?;
        tx.commit().await?;
        self.published();
        self.find(id).await
    }

    async fn post_update(&self, actor: &Actor, id: IncidentId, new: NewUpdate) -> Result<IncidentView> {
        require(actor, Permission::WriteIncidents)?;
        let body = within("body", &new.body, MAX_BODY_BYTES)?;
        let now = self.core.clock.now();
        let mut tx = self.core.db.begin().await?;
        let kept = store::kept(&mut tx, id).await?.ok_or_else(|| no_such_incident(id))?;
        if kept.draft {
            return Err(Error::conflict(
                "it is a draft: publish it first, with the text that customers are to read",
            ));
        }
        let standing = kept.standing.post(new.status, now)?;
        let resolves = kept.standing.status.is_open() && !standing.status.is_open();
        let mut changes = new.components;
        if resolves {
            changes.extend(freed(&mut tx, id, &changes).await?);
        }
        let update = update(&self.core, actor, new.status, body, now);
        let components = post(&mut tx, actor, id, update, &changes).await?;
        // The impact of what is over stays what it was at its last: a resolved outage was still an outage.
        let impact = match standing.status.is_open() && !kept.impact_override {
            true => impact_of(components),
            false => kept.impact,
        };
        store::set_standing(&mut tx, id, standing, impact, now).await?;
        let summary = format!("Incident updated: {}.", new.status.label().to_lowercase());
        events::record(&mut tx, now, actor, EventKind::IncidentUpdated, id, &summary).await?;
        tx.commit().await?;
        self.published();
        self.find(id).await
    }
}

/// A new update; what it changes is added by [`post`].
pub(super) fn update(
    core: &Core,
    actor: &Actor,
    status: IncidentStatus,
    body: String,
    now: DateTime<Utc>,
) -> UpdateView {
    UpdateView {
        id: core.new_update_id().to_string(),
        status,
        body,
        created_at: now,
        created_by: actor.name.clone(),
        components: Vec::new(),
    }
}

#[async_trait]
impl IncidentsPort for Incidents {
    async fn components(&self) -> Result<Vec<ComponentView>, Problem> {
        let read = async {
            let mut tx = self.core.db.read().await?;
            Ok::<_, Error>(store::components(&mut tx).await?)
        };
        Ok(read.await?)
    }

    async fn add_component(&self, actor: &Actor, component: NewComponent) -> Result<ComponentView, Problem> {
        Ok(self.add(actor, component).await?)
    }

    async fn incidents(&self, open_only: bool, limit: u32) -> Result<Vec<IncidentView>, Problem> {
        let limit = i64::from(limit.clamp(1, MAX_LISTED));
        Ok(self.read(Choice { id: None, open_only, drafts: true, limit }).await?)
    }

    async fn incident(&self, id: IncidentId) -> Result<IncidentView, Problem> {
        Ok(self.find(id).await?)
    }

    async fn open(&self, actor: &Actor, incident: NewIncident) -> Result<IncidentView, Problem> {
        Ok(self.open_incident(actor, incident).await?)
    }

    async fn update(
        &self,
        actor: &Actor,
        id: IncidentId,
        update: NewUpdate,
    ) -> Result<IncidentView, Problem> {
        Ok(self.post_update(actor, id, update).await?)
    }

    async fn publish(
        &self,
        actor: &Actor,
        id: IncidentId,
        publication: Publication,
    ) -> Result<IncidentView, Problem> {
        Ok(self.publish_draft(actor, id, publication).await?)
    }

    async fn discard(&self, actor: &Actor, id: IncidentId) -> Result<(), Problem> {
        Ok(self.discard_draft(actor, id).await?)
    }

    async fn timeline(&self, id: IncidentId) -> Result<Vec<Event>, Problem> {
        Ok(self.read_timeline(id).await?)
    }
}

/// Writes one update with what it changes; answers how the incident's components stand after it.
pub(super) async fn post(
    tx: &mut Tx,
    actor: &Actor,
    incident: IncidentId,
    mut update: UpdateView,
    changes: &[ComponentChange],
) -> Result<Vec<ComponentStatus>> {
    update.components = change_components(tx, actor, incident, changes, update.created_at).await?;
    store::insert_update(tx, incident, &update).await?;
    let stands =
        store::incidents(tx, &Choice { id: Some(incident), open_only: false, drafts: true, limit: 1 })
            .await?;
    let components = stands.iter().flat_map(|incident| &incident.components);
    Ok(components.map(|component| component.status).collect())
}

/// Sets the components that `changes` names, links them to the incident, and says what they were before.
async fn change_components(
    tx: &mut Tx,
    actor: &Actor,
    incident: IncidentId,
    changes: &[ComponentChange],
    now: DateTime<Utc>,
) -> Result<Vec<AffectedComponent>> {
    store::lock_components(tx).await?;
    let known = store::components(tx).await?;
    let mut affected: Vec<AffectedComponent> = Vec::with_capacity(changes.len());
    for change in changes {
        let component = known.iter().find(|component| component.id == change.id).ok_or_else(|| {
            Error::invalid(format!("there is no component {}; GET /api/v1/components lists them", change.id))
        })?;
        if affected.iter().any(|other| other.code == change.id) {
            return Err(Error::invalid(format!("the component \"{}\" is named twice", component.name)));
        }
        store::link_component(tx, incident, component.id).await?;
        if component.status != change.status {
            store::set_component_status(tx, component.id, change.status, now).await?;
            let summary = format!(
                "{}: {} → {}.",
                component.name,
                component.status.label().to_lowercase(),
                change.status.label().to_lowercase()
            );
            events::record(tx, now, actor, EventKind::ComponentChanged, component.id, &summary).await?;
        }
        affected.push(AffectedComponent {
            code: component.id,
            name: full_name(component),
            old_status: component.status,
            new_status: change.status,
        });
    }
    Ok(affected)
}

/// What a resolution gives back: each component of the incident that its update does not name returns to operational,
/// or to the worst that other open incidents last said of it.
async fn freed(tx: &mut Tx, id: IncidentId, named: &[ComponentChange]) -> Result<Vec<ComponentChange>> {
    // Another incident that takes one of them at this moment is waited for, or waits.
    store::lock_components(tx).await?;
    let own =
        store::incidents(tx, &Choice { id: Some(id), open_only: false, drafts: true, limit: 1 }).await?;
    let all = i64::from(u32::MAX);
    let open = store::incidents(tx, &Choice { id: None, open_only: true, drafts: false, limit: all }).await?;
    let said = |component: ComponentId| {
        let others = open.iter().filter(|other| other.id != id);
        others
            .filter_map(move |other| last_word(other, component))
            .max()
            .unwrap_or(ComponentStatus::Operational)
    };
    let components = own.iter().flat_map(|incident| &incident.components);
    Ok(components
        .filter(|component| named.iter().all(|change| change.id != component.id))
        .map(|component| ComponentChange { id: component.id, status: said(component.id) })
        .collect())
}

/// The status that an incident's newest update about a component gave it.
fn last_word(incident: &IncidentView, component: ComponentId) -> Option<ComponentStatus> {
    let affected = incident.updates.iter().flat_map(|update| &update.components);
    affected.into_iter().find(|affected| affected.code == component).map(|affected| affected.new_status)
}

/// `Group - Leaf`, as Statuspage names a component within a group.
pub fn full_name(component: &ComponentView) -> String {
    match &component.group {
        Some(group) => format!("{group} - {}", component.name),
        None => component.name.clone(),
    }
}

pub(super) fn no_such_incident(id: IncidentId) -> Error {
    Error::not_found(format!("There is no incident {id}."))
}

fn taken_name(error: sqlx::Error, name: &str) -> Error {
    match error.as_database_error() {
        Some(cause) if cause.is_unique_violation() => {
            Error::conflict(format!("there is a component \"{name}\" already; choose another name"))
        }
        _ => error.into(),
    }
}

/// The text without the space around it; not empty, not too long, and without what no database keeps.
pub(super) fn within(field: &str, text: &str, max_bytes: usize) -> Result<String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::invalid(format!("`{field}` must not be empty")));
    }
    if text.len() > max_bytes {
        return Err(Error::invalid(format!(
            "`{field}` is at most {max_bytes} bytes long, this one has {}",
            text.len()
        )));
    }
    if let Some(character) = stray(text) {
        return Err(Error::invalid(format!(
            "`{field}` holds the control character {character}: leave it out"
        )));
    }
    Ok(text.to_owned())
}

fn optional(field: &str, text: Option<&str>, max_bytes: usize) -> Result<Option<String>> {
    match text.map(str::trim) {
        None | Some("") => Ok(None),
        Some(text) => within(field, text, max_bytes).map(Some),
    }
}
