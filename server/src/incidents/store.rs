//! The SQL of components, incidents and updates.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use salvor_app::incidents::port::{AffectedComponent, ComponentView, IncidentView, UpdateView};
use salvor_domain::ids::{ComponentId, IncidentId, UpdateId};
use salvor_domain::incident::{ComponentStatus, Impact, Standing};
use sqlx::types::Json;

use crate::database::{Tx, bad_row, execute, fetch_all, fetch_optional, scalar};

/// What is kept of an incident and not shown.
pub struct Kept {
    pub standing: Standing,
    pub impact: Impact,
    pub impact_override: bool,
    pub draft: bool,
}

/// Which incidents to read: open ones first, then the newest.
pub struct Choice {
    /// Only this one.
    pub id: Option<IncidentId>,
    pub open_only: bool,
    /// Those that are not published as well.
    pub drafts: bool,
    pub limit: i64,
}

pub async fn components(tx: &mut Tx) -> sqlx::Result<Vec<ComponentView>> {
    let rows = fetch_all!(
        tx,
        ComponentRow,
        "SELECT id, name, group_name, description, status, position, created_at, updated_at \
         FROM components ORDER BY position, id"
    )?;
    rows.into_iter().map(ComponentView::try_from).collect()
}

/// Until the end of the transaction nobody else changes a component: what its incidents say of it stays true.
pub async fn lock_components(tx: &mut Tx) -> sqlx::Result<()> {
    let sql = format!("SELECT id FROM components ORDER BY id{}", tx.for_update());
    fetch_all!(tx, (String,), sqlx::AssertSqlSafe(sql.as_str())).map(drop)
}

/// Adds a component after the others.
pub async fn insert_component(tx: &mut Tx, component: &ComponentView) -> sqlx::Result<()> {
    execute!(
        tx,
        "INSERT INTO components (id, name, group_name, description, status, position, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        component.id.to_string(),
        &component.name,
        &component.group,
        &component.description,
        component.status.as_str(),
        component.position,
        component.created_at,
        component.updated_at,
    )
    .map(drop)
}

pub async fn next_position(tx: &mut Tx) -> sqlx::Result<i64> {
    scalar!(tx, i64, "SELECT coalesce(max(position), 0) + 1 FROM components")
}

pub async fn set_component_status(
    tx: &mut Tx,
    id: ComponentId,
    status: ComponentStatus,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    execute!(
        tx,
        "UPDATE components SET status = $1, updated_at = $2 WHERE id = $3",
        status.as_str(),
        now,
        id.to_string()
    )
    .map(drop)
}

/// Keeps a new incident; its first update and its components are written apart.
pub async fn insert_incident(
    tx: &mut Tx,
    incident: &IncidentView,
    impact_override: bool,
    by: &str,
) -> sqlx::Result<()> {
    execute!(
        tx,
        "INSERT INTO incidents (id, name, status, impact, impact_override, draft, volume, created_by, created_at, \
         updated_at, started_at, monitoring_at, resolved_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        incident.id.to_string(),
        &incident.name,
        incident.status.as_str(),
        incident.impact.as_str(),
        impact_override,
        incident.draft,
        &incident.volume,
        by,
        incident.created_at,
        incident.updated_at,
        incident.started_at,
        incident.monitoring_at,
        incident.resolved_at,
    )
    .map(drop)
}

/// Where an incident stands; locks its row where the engine has row locks, so that two updates follow one another.
pub async fn kept(tx: &mut Tx, id: IncidentId) -> sqlx::Result<Option<Kept>> {
    let sql = format!(
        "SELECT id, status, impact, impact_override, draft, monitoring_at, resolved_at FROM incidents WHERE id = $1{}",
        tx.for_update()
    );
    let row = fetch_optional!(tx, KeptRow, sqlx::AssertSqlSafe(sql.as_str()), id.to_string())?;
    row.map(Kept::try_from).transpose()
}

pub async fn set_standing(
    tx: &mut Tx,
    id: IncidentId,
    standing: Standing,
    impact: Impact,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    execute!(
        tx,
        "UPDATE incidents SET status = $1, impact = $2, monitoring_at = $3, resolved_at = $4, updated_at = $5 \
         WHERE id = $6",
        standing.status.as_str(),
        impact.as_str(),
        standing.monitoring_at,
        standing.resolved_at,
        now,
        id.to_string(),
    )
    .map(drop)
}

/// The draft or open incident that is about a volume, the newest.
pub async fn current_of(tx: &mut Tx, volume: &str) -> sqlx::Result<Option<IncidentId>> {
    let sql = "SELECT id FROM incidents WHERE volume = $1 AND status IN ('investigating', 'identified', 'monitoring') \
               ORDER BY created_at DESC, id DESC LIMIT 1";
    let row = fetch_optional!(tx, (String,), sql, volume)?;
    row.map(|(id,)| id.parse().map_err(|why| bad_row("incidents", "id", &id, why))).transpose()
}

/// A draft is one no more; its updates and its standing are written apart.
pub async fn publish(
    tx: &mut Tx,
    id: IncidentId,
    name: &str,
    impact_override: bool,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let sql =
        "UPDATE incidents SET draft = FALSE, name = $2, impact_override = $3, created_at = $4 WHERE id = $1";
    execute!(tx, sql, id.to_string(), name, impact_override, now).map(drop)
}

/// Of a draft, which nobody has read.
pub async fn delete_updates(tx: &mut Tx, incident: IncidentId) -> sqlx::Result<()> {
    execute!(tx, "DELETE FROM incident_updates WHERE incident_id = $1", incident.to_string()).map(drop)
}

pub async fn delete_draft(tx: &mut Tx, id: IncidentId) -> sqlx::Result<()> {
    execute!(tx, "DELETE FROM incidents WHERE id = $1 AND draft", id.to_string()).map(drop)
}

pub async fn insert_update(tx: &mut Tx, incident: IncidentId, update: &UpdateView) -> sqlx::Result<()> {
    execute!(
        tx,
        "INSERT INTO incident_updates (id, incident_id, status, body, components, created_by, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        &update.id,
        incident.to_string(),
        update.status.as_str(),
        &update.body,
        Json(&update.components),
        &update.created_by,
        update.created_at,
        update.created_at,
    )
    .map(drop)
}

pub async fn link_component(tx: &mut Tx, incident: IncidentId, component: ComponentId) -> sqlx::Result<()> {
    execute!(
        tx,
        "INSERT INTO incident_components (incident_id, component_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        incident.to_string(),
        component.to_string()
    )
    .map(drop)
}

/// The ids of the chosen incidents. `$1` id or '', `$2` open ones only, `$3` how many, `$4` drafts as well.
macro_rules! chosen {
    () => {
        "(SELECT id FROM incidents WHERE ($1 = '' OR id = $1) \
          AND (NOT $2 OR status IN ('investigating', 'identified', 'monitoring')) AND ($4 OR NOT draft) \
          ORDER BY CASE WHEN status IN ('investigating', 'identified', 'monitoring') THEN 0 ELSE 1 END, \
          created_at DESC, id DESC LIMIT $3)"
    };
}

/// Whole incidents: open ones first, then the newest.
pub async fn incidents(tx: &mut Tx, choice: &Choice) -> sqlx::Result<Vec<IncidentView>> {
    let id = choice.id.map(|id| id.to_string()).unwrap_or_default();
    let rows = fetch_all!(
        tx,
        IncidentRow,
        concat!(
            "SELECT id, name, status, impact, draft, volume, created_at, updated_at, started_at, monitoring_at, resolved_at \
             FROM incidents WHERE id IN ",
            chosen!(),
            " ORDER BY created_at DESC, id DESC"
        ),
        &id,
        choice.open_only,
        choice.limit,
        choice.drafts
    )?;
    let updates = fetch_all!(
        tx,
        UpdateRow,
        concat!(
            "SELECT id, incident_id, status, body, components, created_by, created_at FROM incident_updates \
             WHERE incident_id IN ",
            chosen!(),
            " ORDER BY id DESC"
        ),
        &id,
        choice.open_only,
        choice.limit,
        choice.drafts
    )?;
    let links = fetch_all!(
        tx,
        (String, String),
        concat!("SELECT incident_id, component_id FROM incident_components WHERE incident_id IN ", chosen!()),
        &id,
        choice.open_only,
        choice.limit,
        choice.drafts
    )?;
    assembled(rows, updates, links, components(tx).await?)
}

fn assembled(
    rows: Vec<IncidentRow>,
    updates: Vec<UpdateRow>,
    links: Vec<(String, String)>,
    components: Vec<ComponentView>,
) -> sqlx::Result<Vec<IncidentView>> {
    let mut updates_of: HashMap<String, Vec<UpdateView>> = HashMap::new();
    for row in updates {
        let incident = row.incident_id.clone();
        updates_of.entry(incident).or_default().push(row.try_into()?);
    }
    let mut incidents = rows.into_iter().map(IncidentView::try_from).collect::<sqlx::Result<Vec<_>>>()?;
    for incident in &mut incidents {
        let id = incident.id.to_string();
        incident.updates = updates_of.remove(&id).unwrap_or_default();
        let named = |component: &&ComponentView| {
            let code = component.id.to_string();
            links.iter().any(|(of, component)| *of == id && *component == code)
        };
        incident.components = components.iter().filter(named).cloned().collect();
    }
    incidents.sort_by_key(|incident| !incident.status.is_open());
    Ok(incidents)
}

#[derive(sqlx::FromRow)]
struct ComponentRow {
    id: String,
    name: String,
    group_name: Option<String>,
    description: Option<String>,
    status: String,
    position: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<ComponentRow> for ComponentView {
    type Error = sqlx::Error;

    fn try_from(row: ComponentRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id.parse().map_err(|why| bad_row("components", "id", &row.id, why))?,
            status: row.status.parse().map_err(|why| bad_row("components", "status", &row.id, why))?,
            name: row.name,
            group: row.group_name,
            description: row.description,
            position: row.position,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

#[derive(sqlx::FromRow)]
struct IncidentRow {
    id: String,
    name: String,
    status: String,
    impact: String,
    draft: bool,
    volume: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    started_at: DateTime<Utc>,
    monitoring_at: Option<DateTime<Utc>>,
    resolved_at: Option<DateTime<Utc>>,
}

impl TryFrom<IncidentRow> for IncidentView {
    type Error = sqlx::Error;

    fn try_from(row: IncidentRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id.parse().map_err(|why| bad_row("incidents", "id", &row.id, why))?,
            status: row.status.parse().map_err(|why| bad_row("incidents", "status", &row.id, why))?,
            impact: row.impact.parse().map_err(|why| bad_row("incidents", "impact", &row.id, why))?,
            draft: row.draft,
            name: row.name,
            volume: row.volume,
            started_at: row.started_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            monitoring_at: row.monitoring_at,
            resolved_at: row.resolved_at,
            updates: Vec::new(),
            components: Vec::new(),
        })
    }
}

#[derive(sqlx::FromRow)]
struct KeptRow {
    id: String,
    status: String,
    impact: String,
    impact_override: bool,
    draft: bool,
    monitoring_at: Option<DateTime<Utc>>,
    resolved_at: Option<DateTime<Utc>>,
}

impl TryFrom<KeptRow> for Kept {
    type Error = sqlx::Error;

    fn try_from(row: KeptRow) -> sqlx::Result<Self> {
        let status = row.status.parse().map_err(|why| bad_row("incidents", "status", &row.id, why))?;
        Ok(Self {
            standing: Standing { status, monitoring_at: row.monitoring_at, resolved_at: row.resolved_at },
            impact: row.impact.parse().map_err(|why| bad_row("incidents", "impact", &row.id, why))?,
            impact_override: row.impact_override,
            draft: row.draft,
        })
    }
}

#[derive(sqlx::FromRow)]
struct UpdateRow {
    id: String,
    incident_id: String,
    status: String,
    body: String,
    components: Json<Vec<AffectedComponent>>,
    created_by: String,
    created_at: DateTime<Utc>,
}

impl TryFrom<UpdateRow> for UpdateView {
    type Error = sqlx::Error;

    fn try_from(row: UpdateRow) -> sqlx::Result<Self> {
        let id: UpdateId = row.id.parse().map_err(|why| bad_row("incident_updates", "id", &row.id, why))?;
        Ok(Self {
            id: id.to_string(),
            status: row.status.parse().map_err(|why| bad_row("incident_updates", "status", &row.id, why))?,
            body: row.body,
            created_at: row.created_at,
            created_by: row.created_by,
            components: row.components.0,
        })
    }
}
