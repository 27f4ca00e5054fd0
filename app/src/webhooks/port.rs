//! What the page and the API say of messages to webhooks, and what can be asked of them.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use salvor_domain::account::Actor;
use salvor_domain::delivery::DeliveryState;

use crate::problem::Problem;

/// One message to one webhook, as `GET /api/v1/deliveries` answers it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeliveryView {
    /// What the receiver knows a repetition by.
    pub id: String,
    /// The receiver's server; the rest of its address may hold a secret.
    pub to: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub subject: String,
    pub state: DeliveryState,
    pub attempts: u32,
    /// When it is tried next; absent when it came to its end.
    pub due_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub settled_at: Option<DateTime<Utc>>,
    pub last_error: Option<String>,
}

#[async_trait]
pub trait WebhooksPort: Send + Sync {
    /// Newest first; of one state, or of all.
    async fn deliveries(
        &self,
        state: Option<DeliveryState>,
        limit: u32,
    ) -> Result<Vec<DeliveryView>, Problem>;
    /// One that was given up is tried again, as if it were new: under its old id.
    async fn send_again(&self, actor: &Actor, id: &str) -> Result<(), Problem>;
}

impl DeliveryView {
    pub fn sample() -> Self {
        let at = DateTime::UNIX_EPOCH;
        Self {
            id: "msg_0123".into(),
            to: "https://hooks.example.com".into(),
            kind: "volume.mode_changed".into(),
            subject: "uploads".into(),
            state: DeliveryState::Dead,
            attempts: 10,
            due_at: None,
            created_at: at,
            settled_at: Some(at),
            last_error: Some("the receiver answered 500 Internal Server Error".into()),
        }
    }
}
