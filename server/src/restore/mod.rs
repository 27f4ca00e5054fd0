//! Jobs: check, protect, restore. The slice's tables are `jobs`, `segments`, `items` and those named `job_…`.
//!
//! The way of a job: [`service`] stores it, [`worker`] leases its segments (by [`lanes`], in order of [`need`]), [`drivers`] plan and do them with the engine,
//! [`revival`] lets what was stuck go on, [`report`] says how it is. [`planner`] is the merge of volume and catalogue that all plans share. What a file is and
//! which copies hold it is the business of `volumes`.

mod admission;
pub mod drivers;
pub mod estimate;
pub mod forget;
mod grace;
pub mod hands;
mod held;
mod help;
pub mod http;
pub mod lanes;
mod live;
mod moving;
pub mod need;
pub mod pace;
pub mod places;
pub mod planner;
pub mod rates;
pub mod readiness;
pub mod report;
pub mod revival;
pub mod scratch;
pub mod service;
pub mod store;
mod waiting;
pub mod work;
pub mod worker;

use async_trait::async_trait;
use salvor_app::problem::Problem;
use salvor_app::restore::port::{JobView, JobsPort, NewJob, ReadinessView};
use salvor_domain::account::Actor;
use salvor_domain::ids::JobId;
use salvor_domain::job::{JobControl, JobReport};
use salvor_domain::limits::LimitsChange;
use salvor_domain::path::Glob;

pub use worker::Worker;

use crate::core::Core;

/// The port of this slice.
#[derive(Clone)]
pub struct Jobs(pub Core);

#[async_trait]
impl JobsPort for Jobs {
    async fn jobs(&self, volume: Option<&str>, active: bool, limit: u32) -> Result<Vec<JobReport>, Problem> {
        Ok(service::jobs(&self.0, volume, active, limit).await?)
    }

    async fn job(&self, id: JobId) -> Result<JobView, Problem> {
        Ok(service::view(&self.0, id).await?)
    }

    async fn start(&self, actor: &Actor, job: NewJob) -> Result<JobReport, Problem> {
        Ok(service::start(&self.0, actor, job, None).await?)
    }

    async fn readiness(&self, volume: Option<&str>) -> Result<Vec<ReadinessView>, Problem> {
        Ok(readiness::readiness(&self.0, volume).await?)
    }

    async fn control(&self, actor: &Actor, id: JobId, control: JobControl) -> Result<JobReport, Problem> {
        Ok(service::control(&self.0, actor, id, control).await?)
    }

    async fn raise(&self, actor: &Actor, id: JobId, paths: &[Glob]) -> Result<u64, Problem> {
        Ok(need::raise(&self.0, actor, id, paths).await?.moved)
    }

    async fn set_limits(
        &self,
        actor: &Actor,
        id: JobId,
        change: LimitsChange,
        gentle: bool,
    ) -> Result<JobReport, Problem> {
        Ok(pace::set_limits(&self.0, actor, id, change, gentle).await?)
    }
}
