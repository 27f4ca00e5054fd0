//! The port of this slice: what the pages ask, answered by the service.

use async_trait::async_trait;
use salvor_app::problem::Problem;
use salvor_app::volumes::port::{CopyLimits, FindingsFilter, FindingsPage, VolumeView, VolumesPort};
use salvor_domain::account::Actor;
use salvor_domain::limits::LimitsChange;
use salvor_domain::path::FilePath;
use salvor_domain::volume::Mode;

use super::{limits, service};
use crate::core::Core;

pub struct Volumes(pub Core);

#[async_trait]
impl VolumesPort for Volumes {
    async fn volumes(&self) -> Result<Vec<VolumeView>, Problem> {
        Ok(service::volumes(&self.0).await?)
    }

    async fn volume(&self, name: &str) -> Result<VolumeView, Problem> {
        Ok(service::volume(&self.0, name).await?)
    }

    async fn findings(&self, volume: &str, filter: FindingsFilter) -> Result<FindingsPage, Problem> {
        Ok(service::findings(&self.0, volume, &filter).await?)
    }

    async fn set_mode(
        &self,
        actor: &Actor,
        volume: &str,
        to: Mode,
        reason: &str,
        override_gate: bool,
    ) -> Result<VolumeView, Problem> {
        Ok(service::set_mode(&self.0, actor, volume, to, reason, override_gate).await?)
    }

    async fn set_copy_limits(
        &self,
        actor: &Actor,
        volume: &str,
        copy: &str,
        change: Option<LimitsChange>,
    ) -> Result<CopyLimits, Problem> {
        Ok(limits::set_copy_limits(&self.0, actor, volume, copy, change).await?)
    }

    async fn mark_deleted(&self, actor: &Actor, volume: &str, path_hex: &str) -> Result<(), Problem> {
        let path = FilePath::from_hex(path_hex).map_err(|why| Problem::Invalid(why.to_string()))?;
        Ok(service::mark_deleted(&self.0, actor, volume, &path).await?)
    }
}
