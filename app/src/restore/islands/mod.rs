//! The live parts: jobs that are running, and one job while it runs.

mod live_job;
mod live_jobs;

pub use live_job::LiveJob;
pub use live_jobs::{LiveJobs, figures as job_figures};
