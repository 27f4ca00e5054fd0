//! Drafts: incidents that Salvor writes from the facts, for an operator to publish or to discard; and the timeline of an incident,
//! which is for operators alone.
//!
//! Invariants: a draft holds no component, and nobody but operators is shown it; a volume has one draft or open incident at the
//! most that Salvor drafted: what happens after it goes into its timeline.

use chrono::{DateTime, Utc};
use salvor_app::incidents::port::{IncidentView, Publication};
use salvor_domain::account::{Actor, Permission};
use salvor_domain::event::{Event, EventKind};
use salvor_domain::ids::IncidentId;
use salvor_domain::incident::{Impact, IncidentStatus, Standing, impact_of};

use super::service::{Incidents, MAX_BODY_BYTES, MAX_NAME_BYTES, no_such_incident, post, within};
use super::store::{self, Choice};
use crate::core::Core;
use crate::database::Tx;
use crate::error::{Error, Result};
use crate::events;
use crate::volumes::service::require;

/// Entries of a timeline that are shown: the newest.
const TIMELINE: i64 = 200;

/// In the customers' words.
pub struct Draft {
    pub name: String,
    pub body: String,
}

/// A volume left `normal`: drafts an incident, unless there is one for the volume already, and writes `note` into its timeline.
pub async fn of_trip(
    core: &Core,
    tx: &mut Tx,
    actor: &Actor,
    volume: &str,
    draft: Draft,
    text: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    if store::current_of(tx, volume).await?.is_none() {
        insert(core, tx, volume, draft, now).await?;
    }
    note(tx, actor, volume, text, now).await
}

/// Writes into the timeline of the volume's draft or open incident, where there is one.
pub async fn note(tx: &mut Tx, actor: &Actor, volume: &str, text: &str, now: DateTime<Utc>) -> Result<()> {
    if let Some(id) = store::current_of(tx, volume).await? {
        events::record(tx, now, actor, EventKind::IncidentNote, id, text).await?;
    }
    Ok(())
}

async fn insert(core: &Core, tx: &mut Tx, volume: &str, draft: Draft, now: DateTime<Utc>) -> Result<()> {
    let salvor = Actor::salvor();
    let standing = Standing::opened(IncidentStatus::Investigating, now)?;
    let id = core.new_incident_id();
    let incident = IncidentView {
        id,
        name: draft.name,
        status: standing.status,
        impact: Impact::None,
        draft: true,
        volume: Some(volume.to_owned()),
        started_at: now,
        created_at: now,
        updated_at: now,
        monitoring_at: None,
        resolved_at: None,
        updates: Vec::new(),
        components: Vec::new(),
    };
    store::insert_incident(tx, &incident, false, &salvor.name).await?;
    let summary = format!("Incident drafted: {}.", incident.name);
    events::record(tx, now, &salvor, EventKind::IncidentDrafted, id, &summary).await?;
    let update = super::service::update(core, &salvor, standing.status, draft.body, now);
    post(tx, &salvor, id, update, &[]).await?;
    Ok(())
}

impl Incidents {
    /// Makes a draft public, with what an operator changed. For the public it begins now, and started when the fault did.
    pub(super) async fn publish_draft(
        &self,
        actor: &Actor,
        id: IncidentId,
        publication: Publication,
    ) -> Result<IncidentView> {
        require(actor, Permission::WriteIncidents)?;
        let core = self.core();
        let now = core.clock.now();
        let mut tx = core.db.begin().await?;
        let kept = drafted(&mut tx, id).await?;
        let draft = read(&mut tx, id).await?;
        let body = draft.updates.into_iter().next().map(|update| update.body).unwrap_or_default();
        let name = within("name", &publication.name.unwrap_or(draft.name), MAX_NAME_BYTES)?;
        let body = within("body", &publication.body.unwrap_or(body), MAX_BODY_BYTES)?;
        store::publish(&mut tx, id, &name, publication.impact.is_some(), now).await?;
        store::delete_updates(&mut tx, id).await?;
        let summary = format!("Incident published: {name}.");
        events::record(&mut tx, now, actor, EventKind::IncidentPublished, id, &summary).await?;
        let update = super::service::update(core, actor, kept.standing.status, body, now);
        let components = post(&mut tx, actor, id, update, &publication.components).await?;
        let impact = publication.impact.unwrap_or_else(|| impact_of(components));
        store::set_standing(&mut tx, id, kept.standing, impact, now).await?;
        tx.commit().await?;
        self.published();
        self.find(id).await
    }

    /// Removes a draft; that there was one stays in the events.
    pub(super) async fn discard_draft(&self, actor: &Actor, id: IncidentId) -> Result<()> {
        require(actor, Permission::WriteIncidents)?;
        let core = self.core();
        let now = core.clock.now();
        let mut tx = core.db.begin().await?;
        drafted(&mut tx, id).await?;
        let draft = read(&mut tx, id).await?;
        store::delete_updates(&mut tx, id).await?;
        store::delete_draft(&mut tx, id).await?;
        let summary = format!("The draft of an incident was discarded: {}.", draft.name);
        events::record(&mut tx, now, actor, EventKind::IncidentDiscarded, id, &summary).await?;
        Ok(tx.commit().await?)
    }

    /// All that happened to an incident, newest first.
    pub(super) async fn read_timeline(&self, id: IncidentId) -> Result<Vec<Event>> {
        let mut tx = self.core().db.read().await?;
        read(&mut tx, id).await?;
        Ok(events::about(&mut tx, &id.to_string(), TIMELINE).await?)
    }
}

async fn drafted(tx: &mut Tx, id: IncidentId) -> Result<store::Kept> {
    let kept = store::kept(tx, id).await?.ok_or_else(|| no_such_incident(id))?;
    match kept.draft {
        true => Ok(kept),
        false => Err(Error::conflict("it is no draft: it is public already")),
    }
}

async fn read(tx: &mut Tx, id: IncidentId) -> Result<IncidentView> {
    let found =
        store::incidents(tx, &Choice { id: Some(id), open_only: false, drafts: true, limit: 1 }).await?;
    found.into_iter().next().ok_or_else(|| no_such_incident(id))
}
