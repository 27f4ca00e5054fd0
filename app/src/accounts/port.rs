//! What the pages need to know of accounts.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use salvor_domain::account::{Actor, Role};

use crate::problem::Problem;

/// Who looks at the page. Put into the context by the routes, after the session was checked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Viewer {
    pub email: String,
    pub role: Role,
    /// Signed in by a one-time link and has no password yet.
    pub needs_password: bool,
}

impl Viewer {
    pub fn actor(&self) -> Actor {
        Actor { name: self.email.clone(), role: self.role }
    }

    pub fn sample() -> Self {
        Self { email: "ann@example.com".into(), role: Role::Operator, needs_password: false }
    }
}

/// What an admin sees of an API token; the token itself is shown to nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenView {
    pub name: String,
    pub role: Role,
    /// The one host that an agent's token reports for; absent until its first report.
    pub host: Option<String>,
    pub seen_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
}

impl TokenView {
    pub fn sample() -> Self {
        Self {
            name: "store1-2026".into(),
            role: Role::Agent,
            host: Some("store1".into()),
            seen_at: Some(DateTime::UNIX_EPOCH),
            expires_at: None,
            revoked_at: None,
        }
    }
}

#[async_trait]
pub trait AccountsPort: Send + Sync {
    /// Checks the password and opens a session: its secret, for the cookie.
    async fn sign_in(&self, email: &str, password: &str) -> Result<String, Problem>;
    /// Uses up a one-time link and opens a session.
    async fn sign_in_by_link(&self, secret: &str) -> Result<String, Problem>;
    async fn sign_out(&self, session: &str) -> Result<(), Problem>;
    async fn set_password(&self, viewer: &Viewer, password: &str) -> Result<(), Problem>;
    /// All API tokens, by name: for whoever manages accounts.
    async fn tokens(&self, viewer: &Viewer) -> Result<Vec<TokenView>, Problem>;
    /// Whose session this is, if it still holds.
    async fn viewer(&self, session: &str) -> Result<Option<Viewer>, Problem>;
}
