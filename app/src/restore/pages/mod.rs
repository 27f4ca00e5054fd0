//! The list of jobs, and one job.

mod job;
mod jobs;
mod need;

pub use job::JobPage;
pub use jobs::{JobsPage, JobsTable};
pub use need::fields as limit_fields;
