//! The port of this slice: what the pages ask, answered by the service.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use salvor_app::health::glance::Glances;
use salvor_app::health::port::{
    Change, HealthPort, HostView, SignalKey, SignalView, SignalsFilter, VolumeHealth,
};
use salvor_app::problem::Problem;
use salvor_domain::account::Actor;

use super::service;
use crate::core::Core;
use crate::http::glances::Looks;

pub struct Health(pub Core, pub Looks);

#[async_trait]
impl HealthPort for Health {
    async fn glances(&self) -> Result<Arc<Glances>, Problem> {
        self.1.glances(&self.0).await
    }

    async fn hosts(&self) -> Result<Vec<HostView>, Problem> {
        Ok(service::hosts(&self.0).await?)
    }

    async fn signals(&self, filter: SignalsFilter) -> Result<Vec<SignalView>, Problem> {
        Ok(service::signals(&self.0, &filter).await?)
    }

    async fn volumes(&self) -> Result<Vec<VolumeHealth>, Problem> {
        Ok(service::volumes(&self.0).await?)
    }

    async fn volume(&self, name: &str) -> Result<VolumeHealth, Problem> {
        Ok(service::volume(&self.0, name).await?)
    }

    async fn changes(&self, key: SignalKey) -> Result<Vec<Change>, Problem> {
        Ok(service::changes(&self.0, &key).await?)
    }

    async fn mute(
        &self,
        actor: &Actor,
        key: SignalKey,
        until: DateTime<Utc>,
        reason: &str,
    ) -> Result<SignalView, Problem> {
        Ok(service::mute(&self.0, actor, &key, until, reason).await?)
    }

    async fn unmute(&self, actor: &Actor, key: SignalKey) -> Result<SignalView, Problem> {
        Ok(service::unmute(&self.0, actor, &key).await?)
    }
}
