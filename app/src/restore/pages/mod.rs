//! The list of jobs, one job, and readiness.

pub mod disk_check;
mod job;
mod jobs;
pub mod need;
mod readiness;

pub use job::JobPage;
pub use jobs::{JobsPage, JobsTable};
pub use need::fields as limit_fields;
pub use readiness::ReadinessPage;
