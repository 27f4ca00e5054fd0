//! The list of jobs, and one job.

mod job;
mod jobs;

pub use job::JobPage;
pub use jobs::{JobsPage, JobsTable};
