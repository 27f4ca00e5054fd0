//! The accounts behind the pages.

use async_trait::async_trait;
use salvor_app::accounts::port::{AccountsPort, TokenView, Viewer};
use salvor_app::problem::Problem;
use salvor_domain::account::Permission;

use super::service;
use crate::core::Core;
use crate::volumes::service::require;

pub struct Accounts(pub Core);

#[async_trait]
impl AccountsPort for Accounts {
    async fn sign_in(&self, email: &str, password: &str) -> Result<String, Problem> {
        service::sign_in(&self.0, email, password).await?.ok_or_else(refused)
    }

    async fn sign_in_by_link(&self, secret: &str) -> Result<String, Problem> {
        service::sign_in_by_link(&self.0, secret).await?.ok_or_else(link_refused)
    }

    async fn sign_out(&self, session: &str) -> Result<(), Problem> {
        Ok(service::sign_out(&self.0, session).await?)
    }

    async fn set_password(&self, viewer: &Viewer, password: &str) -> Result<(), Problem> {
        Ok(service::set_password(&self.0, &viewer.email, password, None).await?)
    }

    async fn tokens(&self, viewer: &Viewer) -> Result<Vec<TokenView>, Problem> {
        require(&viewer.actor(), Permission::ManageAccounts)?;
        let view = |token: service::Token| TokenView {
            name: token.name,
            role: token.role,
            host: token.host,
            seen_at: token.seen_at,
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
        };
        Ok(service::tokens(&self.0).await?.into_iter().map(view).collect())
    }

    async fn viewer(&self, session: &str) -> Result<Option<Viewer>, Problem> {
        Ok(service::session_holder(&self.0, session).await?)
    }
}

pub(super) fn refused() -> Problem {
    Problem::Invalid("This address and this password do not fit together.".into())
}

pub(super) fn link_refused() -> Problem {
    Problem::Invalid(
        "This link was used already or is too old. Start Salvor again to get a new one, or add a user with \
         `salvor user add`."
            .into(),
    )
}
