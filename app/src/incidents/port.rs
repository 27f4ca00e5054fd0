//! What the pages and the API say of components and incidents, and what can be asked of them.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use salvor_domain::account::Actor;
use salvor_domain::event::Event;
use salvor_domain::ids::{ComponentId, IncidentId};
use salvor_domain::incident::{ComponentStatus, Impact, IncidentStatus};
use salvor_domain::progress::EtaRange;

use crate::problem::Problem;

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ComponentView {
    pub id: ComponentId,
    pub name: String,
    pub group: Option<String>,
    pub description: Option<String>,
    pub status: ComponentStatus,
    pub position: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A component whose status changed with an update, as Statuspage's `affected_components`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AffectedComponent {
    pub code: ComponentId,
    pub name: String,
    pub old_status: ComponentStatus,
    pub new_status: ComponentStatus,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct UpdateView {
    pub id: String,
    pub status: IncidentStatus,
    pub body: String,
    pub created_at: DateTime<Utc>,
    /// For operators; the public page does not name people.
    pub created_by: String,
    pub components: Vec<AffectedComponent>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct IncidentView {
    pub id: IncidentId,
    pub name: String,
    pub status: IncidentStatus,
    pub impact: Impact,
    /// Not published: nobody but operators sees it.
    #[serde(default)]
    pub draft: bool,
    pub volume: Option<String>,
    pub started_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub monitoring_at: Option<DateTime<Utc>>,
    pub resolved_at: Option<DateTime<Utc>>,
    /// Newest first.
    pub updates: Vec<UpdateView>,
    pub components: Vec<ComponentView>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ComponentChange {
    pub id: ComponentId,
    pub status: ComponentStatus,
}

/// `POST /api/v1/incidents` reads this.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NewIncident {
    pub name: String,
    pub status: IncidentStatus,
    pub body: String,
    #[serde(default)]
    pub impact: Option<Impact>,
    #[serde(default)]
    pub components: Vec<ComponentChange>,
    /// The volume whose restores the public page shows with it.
    #[serde(default)]
    pub volume: Option<String>,
}

/// `POST /api/v1/incidents/{id}/updates` reads this.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NewUpdate {
    pub status: IncidentStatus,
    pub body: String,
    #[serde(default)]
    pub components: Vec<ComponentChange>,
}

/// `POST /api/v1/incidents/{id}/publish` reads this: what is to differ from the draft.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub body: Option<String>,
    #[serde(default)]
    pub components: Vec<ComponentChange>,
    /// By the worst component when absent.
    #[serde(default)]
    pub impact: Option<Impact>,
}

/// `POST /api/v1/components` reads this.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NewComponent {
    pub name: String,
    #[serde(default)]
    pub group: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
}

/// A running restore as the public sees it: no names, only how far.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PublicProgress {
    pub volume: String,
    /// `planning`, `running`, `paused` or `finished`.
    pub state: String,
    pub files_done: u64,
    pub files_total: u64,
    pub bytes_done: u64,
    pub bytes_total: u64,
    pub percent: u8,
    pub eta: Option<EtaRange>,
    pub updated_at: DateTime<Utc>,
}

/// All that the public status page shows, in one value: it is rendered when this changes.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct StatusView {
    pub page_name: String,
    pub public_url: String,
    pub components: Vec<ComponentView>,
    /// Open ones, newest first.
    pub open: Vec<IncidentView>,
    /// Resolved ones, newest first.
    pub past: Vec<IncidentView>,
    pub restores: Vec<PublicProgress>,
    /// When these facts were read.
    pub as_of: DateTime<Utc>,
}

#[async_trait]
pub trait IncidentsPort: Send + Sync {
    async fn components(&self) -> Result<Vec<ComponentView>, Problem>;
    async fn add_component(&self, actor: &Actor, component: NewComponent) -> Result<ComponentView, Problem>;
    /// Open ones first, then the newest.
    async fn incidents(&self, open_only: bool, limit: u32) -> Result<Vec<IncidentView>, Problem>;
    async fn incident(&self, id: IncidentId) -> Result<IncidentView, Problem>;
    async fn open(&self, actor: &Actor, incident: NewIncident) -> Result<IncidentView, Problem>;
    async fn update(&self, actor: &Actor, id: IncidentId, update: NewUpdate)
    -> Result<IncidentView, Problem>;
    /// Shows a draft to the public, with what is to differ from it.
    async fn publish(
        &self,
        actor: &Actor,
        id: IncidentId,
        publication: Publication,
    ) -> Result<IncidentView, Problem>;
    /// Removes a draft.
    async fn discard(&self, actor: &Actor, id: IncidentId) -> Result<(), Problem>;
    /// All that happened to it, for operators alone; newest first.
    async fn timeline(&self, id: IncidentId) -> Result<Vec<Event>, Problem>;
}

impl IncidentView {
    pub fn sample() -> Self {
        let at = DateTime::UNIX_EPOCH;
        let files = ComponentView::sample("Uploaded files", ComponentStatus::PartialOutage);
        Self {
            id: IncidentId::new(at, [1; 10]),
            name: "Some uploaded files are missing".into(),
            status: IncidentStatus::Identified,
            impact: Impact::Major,
            draft: false,
            volume: Some("uploads".into()),
            started_at: at,
            created_at: at,
            updated_at: at,
            monitoring_at: None,
            resolved_at: None,
            updates: vec![UpdateView {
                id: "00000000-0000-7000-8000-000000000003".into(),
                status: IncidentStatus::Identified,
                body: "We know which files are missing and are bringing them back from our backups.".into(),
                created_at: at,
                created_by: "ann@example.com".into(),
                components: vec![AffectedComponent {
                    code: files.id,
                    name: files.name.clone(),
                    old_status: ComponentStatus::Operational,
                    new_status: ComponentStatus::PartialOutage,
                }],
            }],
            components: vec![files],
        }
    }
}

impl ComponentView {
    pub fn sample(name: &str, status: ComponentStatus) -> Self {
        let at = DateTime::UNIX_EPOCH;
        let id = ComponentId::new(at, [u8::try_from(name.len()).unwrap_or(0); 10]);
        let (group, description) = (None, None);
        Self {
            id,
            name: name.into(),
            group,
            description,
            status,
            position: 1,
            created_at: at,
            updated_at: at,
        }
    }
}

impl StatusView {
    pub fn sample() -> Self {
        let incident = IncidentView::sample();
        Self {
            page_name: "Salvor".into(),
            public_url: "http://127.0.0.1:8080".into(),
            components: vec![
                ComponentView::sample("Websites", ComponentStatus::Operational),
                ComponentView::sample("Uploaded files", ComponentStatus::PartialOutage),
            ],
            open: vec![incident],
            past: vec![],
            restores: vec![PublicProgress {
                volume: "uploads".into(),
                state: "running".into(),
                files_done: 40,
                files_total: 60,
                bytes_done: 1_200_000,
                bytes_total: 1_800_000,
                percent: 66,
                eta: Some(EtaRange { low_seconds: 12.0, high_seconds: 25.0 }),
                updated_at: DateTime::UNIX_EPOCH,
            }],
            as_of: DateTime::UNIX_EPOCH,
        }
    }
}
