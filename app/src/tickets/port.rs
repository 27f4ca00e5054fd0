//! What the pages and the API say of tickets, and what can be asked of them.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use salvor_domain::account::Actor;
use salvor_domain::ticket::{LineState, TicketState, Verdict};

use crate::problem::Problem;

/// `POST /api/v1/tickets` and the form at `/report` read this.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NewTicket {
    pub email: String,
    #[serde(default)]
    pub site: Option<String>,
    /// URLs or names, one each.
    #[serde(default)]
    pub lines: Vec<String>,
    #[serde(default)]
    pub note: Option<String>,
}

/// The answer to a new ticket.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Submitted {
    pub number: i64,
    /// The tracking page behind its secret.
    pub url: String,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LineView {
    pub line: i64,
    pub input: String,
    /// The file it means, when it means one of ours.
    pub path: Option<String>,
    pub volume: Option<String>,
    pub verdict: Option<Verdict>,
    pub state: LineState,
    /// One sentence: what was found, what happens next.
    pub detail: String,
    pub job: Option<String>,
    /// The address under which the file is served, when a pattern gives one.
    pub url: Option<String>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MessageView {
    pub at: DateTime<Utc>,
    /// `customer`, `salvor`, or an operator's address.
    pub author: String,
    pub public: bool,
    pub body: String,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TicketView {
    pub number: i64,
    pub state: TicketState,
    pub email: String,
    pub site: Option<String>,
    pub note: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub lines: Vec<LineView>,
    /// Oldest first. On the customer's page without the internal notes.
    pub messages: Vec<MessageView>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TicketsFilter {
    /// All that are not closed when absent.
    #[serde(default)]
    pub state: Option<TicketState>,
    /// Part of an address, a site or a line.
    #[serde(default)]
    pub search: Option<String>,
    /// Numbers below this one: the next page.
    #[serde(default)]
    pub before: Option<i64>,
}

#[async_trait]
pub trait TicketsPort: Send + Sync {
    /// `caller` is the address that asks, for the rate limit.
    async fn submit(&self, caller: &str, ticket: NewTicket) -> Result<Submitted, Problem>;
    /// The customer's own view, by the secret of the link.
    async fn by_secret(&self, secret: &str) -> Result<TicketView, Problem>;
    /// The customer says of one line whether the file is back.
    async fn confirm(&self, secret: &str, line: i64, fixed: bool) -> Result<TicketView, Problem>;
    /// The customer adds words.
    async fn add_note(&self, secret: &str, body: &str) -> Result<TicketView, Problem>;

    /// Newest first, fifty a page.
    async fn tickets(&self, filter: TicketsFilter) -> Result<Vec<TicketView>, Problem>;
    async fn ticket(&self, number: i64) -> Result<TicketView, Problem>;
    /// Starts a restore of every line that can be restored.
    async fn restore(&self, actor: &Actor, number: i64) -> Result<TicketView, Problem>;
    /// A public reply, or an internal note.
    async fn reply(
        &self,
        actor: &Actor,
        number: i64,
        body: &str,
        public: bool,
    ) -> Result<TicketView, Problem>;
    async fn close(&self, actor: &Actor, number: i64) -> Result<TicketView, Problem>;
}

impl TicketView {
    pub fn sample() -> Self {
        let at = DateTime::UNIX_EPOCH;
        let line = |line, name: &str, verdict, state, detail: &str| LineView {
            line,
            input: format!("https://rose.example.com/files/{name}"),
            path: Some(format!("rose/{name}")),
            volume: Some("uploads".into()),
            verdict: Some(verdict),
            state,
            detail: detail.into(),
            job: None,
            url: Some(format!("https://rose.example.com/files/{name}")),
            updated_at: at,
        };
        Self {
            number: 1,
            state: TicketState::Restoring,
            email: "rose@example.com".into(),
            site: Some("rose".into()),
            note: Some("My gallery is empty.".into()),
            created_at: at,
            updated_at: at,
            lines: vec![
                line(1, "a.jpg", Verdict::Restorable, LineState::Restored, "It is back and verified."),
                line(
                    2,
                    "b.jpg",
                    Verdict::Restorable,
                    LineState::Restoring,
                    "It is on its way back from a backup.",
                ),
            ],
            messages: vec![MessageView {
                at,
                author: "customer".into(),
                public: true,
                body: "My gallery is empty.".into(),
            }],
        }
    }
}
