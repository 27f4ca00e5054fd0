//! What the pages need to know of accounts.

use async_trait::async_trait;
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

#[async_trait]
pub trait AccountsPort: Send + Sync {
    /// Checks the password and opens a session: its secret, for the cookie.
    async fn sign_in(&self, email: &str, password: &str) -> Result<String, Problem>;
    /// Uses up a one-time link and opens a session.
    async fn sign_in_by_link(&self, secret: &str) -> Result<String, Problem>;
    async fn sign_out(&self, session: &str) -> Result<(), Problem>;
    async fn set_password(&self, viewer: &Viewer, password: &str) -> Result<(), Problem>;
    /// Whose session this is, if it still holds.
    async fn viewer(&self, session: &str) -> Result<Option<Viewer>, Problem>;
}
