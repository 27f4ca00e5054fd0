//! What can be asked of jobs: one server function each, one typed request, one call of the port.

use leptos::prelude::*;
use salvor_domain::job::JobControl;

use crate::problem::Problem;
use crate::restore::port::JobView;

#[cfg(feature = "ssr")]
use {
    crate::restore::port::NewJob,
    crate::ui::Address,
    crate::ui::api::{actor_who_may, ports, settle},
    salvor_domain::account::Permission,
    salvor_domain::ids::JobId,
    salvor_domain::job::{JobReport, JobRequest},
    salvor_domain::limits::LimitsChange,
    salvor_domain::path::{FilePath, Glob},
};

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct CheckRequest {
    pub volume: String,
    #[serde(default)]
    pub full: bool,
    /// A pattern; blank means everything.
    #[serde(default)]
    pub path: String,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct ProtectRequest {
    pub volume: String,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct AdoptRequest {
    pub volume: String,
    pub copy: String,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct RestoreRequest {
    pub volume: String,
    #[serde(default)]
    pub path: String,
    /// This very file alone: its path's bytes in hexadecimal; blank means what `path` says.
    #[serde(default)]
    pub file_hex: String,
    /// Copies to read from; none means all, in their order.
    #[serde(default)]
    pub from: Vec<String>,
    /// The volume's disk is a new, empty one.
    #[serde(default)]
    pub replaced: bool,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct ReuniteRequest {
    pub volume: String,
    /// A folder to look in; blank means lost+found.
    #[serde(default)]
    pub from: String,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct DrillRequest {
    pub volume: String,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct DiskCheckRequest {
    pub volume: String,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct ControlRequest {
    pub job: String,
    pub control: JobControl,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct RaiseRequest {
    pub job: String,
    /// Paths or patterns, one a line.
    pub paths: String,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct LimitRequest {
    pub job: String,
    /// Blank keeps it, `none` lifts it.
    #[serde(default)]
    pub bandwidth: String,
    #[serde(default)]
    pub files_per_second: String,
    #[serde(default)]
    pub gentle: bool,
}

/// Starts a check.
#[server(prefix = "/console/do", endpoint = "start_check")]
pub async fn start_check(request: CheckRequest) -> Result<(), Problem> {
    let paths = patterns(&request.path);
    start(NewJob::new(request.volume, JobRequest::Check { full: request.full, paths })).await
}

/// Starts to copy what is new to the copies.
#[server(prefix = "/console/do", endpoint = "start_protect")]
pub async fn start_protect(request: ProtectRequest) -> Result<(), Problem> {
    start(NewJob::new(request.volume, JobRequest::Protect { to: Vec::new(), adopt: None })).await
}

/// Restores a sample from every copy to scratch, verifies and measures it.
#[server(prefix = "/console/do", endpoint = "start_drill")]
pub async fn start_drill(request: DrillRequest) -> Result<(), Problem> {
    let drill = JobRequest::Drill { from: Vec::new(), sample: None, seed: None };
    start(NewJob::new(request.volume, drill)).await
}

/// Starts the tool that the configuration names for the volume's disk.
#[server(prefix = "/console/do", endpoint = "start_disk_check")]
pub async fn start_disk_check(request: DiskCheckRequest) -> Result<(), Problem> {
    start(NewJob::new(request.volume, JobRequest::DiskCheck {})).await
}

/// Starts to fill the catalogue from a copy that another tool made.
#[server(prefix = "/console/do", endpoint = "start_adopt")]
pub async fn start_adopt(request: AdoptRequest) -> Result<(), Problem> {
    let adopt = JobRequest::Protect { to: Vec::new(), adopt: Some(request.copy) };
    start(NewJob::new(request.volume, adopt)).await
}

/// Plans a restore, which then waits until somebody has read the plan.
#[server(prefix = "/console/do", endpoint = "plan_restore")]
pub async fn plan_restore(request: RestoreRequest) -> Result<(), Problem> {
    let page = Address::console(&["volumes", &request.volume]);
    settle(plan(request).await, page, job_page)
}

/// Plans to put nameless files back, which then waits until somebody has read the plan.
#[server(prefix = "/console/do", endpoint = "plan_reunite")]
pub async fn plan_reunite(request: ReuniteRequest) -> Result<(), Problem> {
    let from = Some(request.from.trim().to_owned()).filter(|folder| !folder.is_empty());
    let reunite = JobRequest::Reunite { from: from.into_iter().collect() };
    start(NewJob { hold: true, ..NewJob::new(request.volume, reunite) }).await
}

/// Approve, pause, resume, cancel, retry.
#[server(prefix = "/console/do", endpoint = "control_job")]
pub async fn control_job(request: ControlRequest) -> Result<(), Problem> {
    let page = Address::console(&["jobs", &request.job]);
    settle(control(request).await, page, job_page)
}

/// Brings files sooner that wait in a restore.
#[server(prefix = "/console/do", endpoint = "raise_files")]
pub async fn raise_files(request: RaiseRequest) -> Result<(), Problem> {
    let page = Address::console(&["jobs", &request.job]);
    settle(raise(request).await, page.clone(), |()| page)
}

/// Changes what a job keeps within.
#[server(prefix = "/console/do", endpoint = "limit_job")]
pub async fn limit_job(request: LimitRequest) -> Result<(), Problem> {
    let page = Address::console(&["jobs", &request.job]);
    settle(limit(request).await, page, job_page)
}

/// One job with its log.
#[server(prefix = "/console/do", endpoint = "read_job")]
pub async fn read_job(job: String) -> Result<JobView, Problem> {
    actor_who_may(Permission::View)?;
    ports()?.jobs.job(job_id(&job)?).await
}

#[cfg(feature = "ssr")]
async fn start(job: NewJob) -> Result<(), Problem> {
    let page = Address::console(&["volumes", &job.volume]);
    settle(begin(job).await, page, job_page)
}

#[cfg(feature = "ssr")]
async fn plan(request: RestoreRequest) -> Result<JobReport, Problem> {
    let files = match request.file_hex.as_str() {
        "" => Vec::new(),
        hex => vec![FilePath::from_hex(hex).map_err(|why| Problem::Invalid(why.to_string()))?],
    };
    let paths = patterns(&request.path);
    let restore = JobRequest::Restore { from: request.from, paths, files, to_folder: None };
    begin(NewJob { hold: true, replaced: request.replaced, ..NewJob::new(request.volume, restore) }).await
}

#[cfg(feature = "ssr")]
async fn begin(job: NewJob) -> Result<JobReport, Problem> {
    let actor = actor_who_may(Permission::RunJobs)?;
    ports()?.jobs.start(&actor, job).await
}

#[cfg(feature = "ssr")]
async fn control(request: ControlRequest) -> Result<JobReport, Problem> {
    let actor = actor_who_may(Permission::RunJobs)?;
    ports()?.jobs.control(&actor, job_id(&request.job)?, request.control).await
}

#[cfg(feature = "ssr")]
async fn raise(request: RaiseRequest) -> Result<(), Problem> {
    let actor = actor_who_may(Permission::RunJobs)?;
    let lines = request.paths.lines().map(str::trim).filter(|line| !line.is_empty());
    let paths: Vec<Glob> = lines.map(Glob::new).collect();
    match ports()?.jobs.raise(&actor, job_id(&request.job)?, &paths).await? {
        0 => Err(Problem::Invalid(
            "No file that waits in this job matches, or all that do come next already.".into(),
        )),
        _ => Ok(()),
    }
}

#[cfg(feature = "ssr")]
async fn limit(request: LimitRequest) -> Result<JobReport, Problem> {
    let actor = actor_who_may(Permission::RunJobs)?;
    let typed = LimitsChange::typed(&request.bandwidth, &request.files_per_second);
    let change = typed.map_err(|why| Problem::Invalid(why.to_string()))?;
    ports()?.jobs.set_limits(&actor, job_id(&request.job)?, change, request.gentle).await
}

#[cfg(feature = "ssr")]
fn job_page(report: &JobReport) -> Address {
    Address::console(&["jobs", &report.job])
}

#[cfg(feature = "ssr")]
fn job_id(text: &str) -> Result<JobId, Problem> {
    text.parse().map_err(|_| Problem::NotFound(format!("There is no job \"{text}\".")))
}

#[cfg(feature = "ssr")]
fn patterns(path: &str) -> Vec<Glob> {
    let path = path.trim();
    if path.is_empty() { Vec::new() } else { vec![Glob::new(path)] }
}
