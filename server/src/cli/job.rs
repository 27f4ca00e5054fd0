//! `salvor job`: see jobs, and give them a word.

use std::process::ExitCode;

use salvor_app::restore::words;
use salvor_domain::ids::JobId;
use salvor_domain::job::{JobControl, JobReport};
use salvor_domain::limits::{JobLimits, Limits};
use salvor_domain::path::Glob;
use salvor_domain::units;

use super::jobs::{LimitArgs, as_json, show, work};
use super::{CliError, actor};
use crate::core::Core;
use crate::restore::{need, pace, report, service};

/// See jobs, and pause, resume, cancel, retry or approve one
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// The newest jobs
    List {
        /// Only of this volume
        #[arg(long, value_name = "VOLUME")]
        volume: Option<String>,
        /// Only those that have not ended
        #[arg(long)]
        active: bool,
        /// Print a list of JSON objects
        #[arg(long)]
        json: bool,
    },
    /// One job: how far it is and what holds it up, or how it ended; its findings and failures
    Show(OneArgs),
    /// Let a job wait; workers stop within a second
    Pause(OneArgs),
    /// Let a paused job go on
    Resume(OneArgs),
    /// End a job; what it has done stays done
    Cancel(OneArgs),
    /// Try again what failed or was left
    Retry(OneArgs),
    /// Let a plan that waits be carried out
    Approve(OneArgs),
    /// Bring files sooner that wait in a restore
    Raise {
        id: String,
        /// Paths, or patterns such as 'anna/**'
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<String>,
        /// Print the job as one JSON object, with `moved`: how many files come sooner
        #[arg(long)]
        json: bool,
    },
    /// Change what a job keeps within, while it runs; without options, show what holds now
    ///
    /// A limit that is not named stays as it is.
    Limit {
        id: String,
        #[command(flatten)]
        limits: LimitArgs,
        /// Lift all limits
        #[arg(long, conflicts_with_all = ["bandwidth", "files_per_second", "gentle"])]
        unlimited: bool,
        /// Print the job as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Work on a job here until it ends, beside any running `salvor serve`
    Work(OneArgs),
}

#[derive(Debug, clap::Args)]
pub struct OneArgs {
    id: String,
    /// Print the job as one JSON object
    #[arg(long)]
    json: bool,
    /// Do not work on it here: leave that to a running `salvor serve`
    #[arg(long)]
    detach: bool,
}

pub async fn run(core: Core, args: Args) -> Result<ExitCode, CliError> {
    let (control, one) = match args {
        Args::List { volume, active, json } => return list(&core, volume.as_deref(), active, json).await,
        Args::Show(one) => return tell(&core, parsed(&one.id)?, one.json).await,
        Args::Work(one) => return work_on(&core, parsed(&one.id)?, one.json).await,
        Args::Raise { id, paths, json } => return raise(&core, &id, paths, json).await,
        Args::Limit { id, limits, unlimited, json } => {
            let (limits, id) = (limits.parsed()?, parsed(&id)?);
            return limit(&core, id, limits, unlimited, json).await;
        }
        Args::Pause(one) => (JobControl::Pause, one),
        Args::Resume(one) => (JobControl::Resume, one),
        Args::Cancel(one) => (JobControl::Cancel, one),
        Args::Retry(one) => (JobControl::Retry, one),
        Args::Approve(one) => (JobControl::Approve, one),
    };
    let id = parsed(&one.id)?;
    service::control(&core, &actor(), id, control).await?;
    let goes_on = matches!(control, JobControl::Resume | JobControl::Retry | JobControl::Approve);
    if goes_on && !one.detach {
        return work_on(&core, id, one.json).await;
    }
    tell(&core, id, one.json).await
}

/// Sets what a job keeps within, if anything was said, and tells what holds.
async fn limit(
    core: &Core,
    id: JobId,
    said: JobLimits,
    unlimited: bool,
    json: bool,
) -> Result<ExitCode, CliError> {
    let now = service::job(core, id).await?;
    let report = if unlimited {
        pace::set_limits(core, &actor(), id, Limits::default().into(), false).await?
    } else if said == JobLimits::default() {
        now
    } else {
        let gentle = said.gentle || now.limits.gentle;
        pace::set_limits(core, &actor(), id, said.limits().named(), gentle).await?
    };
    if json {
        println!("{}", as_json(&report)?);
    } else {
        println!("The limit of the {} of {}: {}.", report.kind, report.volume, report.limits);
    }
    Ok(ExitCode::SUCCESS)
}

/// Exit 1 when nothing that waits matches.
async fn raise(core: &Core, id: &str, paths: Vec<String>, json: bool) -> Result<ExitCode, CliError> {
    let paths: Vec<Glob> = paths.into_iter().map(Glob::new).collect();
    let raised = need::raise(core, &actor(), parsed(id)?, &paths).await?;
    if json {
        println!("{}", as_json(&raised)?);
    }
    match raised.moved {
        0 => {
            eprintln!("No file that waits in this job matches, or all that do come next already.");
            Ok(ExitCode::FAILURE)
        }
        moved => {
            eprintln!("{} sooner.", units::counted(moved, "file comes", "files come"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn parsed(id: &str) -> Result<JobId, CliError> {
    id.parse().map_err(|why| CliError::Usage(format!("{why}")))
}

/// Works on a job until it ends; the exit code says how it ended.
async fn work_on(core: &Core, id: JobId, json: bool) -> Result<ExitCode, CliError> {
    work(core, id).await?;
    let report = service::job(core, id).await?;
    tell(core, id, json).await?;
    Ok(ExitCode::from(report.exit_code()))
}

/// Says how a job is. That it was told is success, whatever is told.
async fn tell(core: &Core, id: JobId, json: bool) -> Result<ExitCode, CliError> {
    let report = service::job(core, id).await?;
    if json {
        println!("{}", as_json(&report)?);
    } else {
        show(core, id, &report).await?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(core: &Core, volume: Option<&str>, active: bool, json: bool) -> Result<ExitCode, CliError> {
    const MOST: u32 = 50;
    let reports = service::jobs(core, volume, active, MOST).await?;
    if json {
        let text = serde_json::to_string(&reports).map_err(|why| CliError::Failed(why.to_string()))?;
        println!("{text}");
    } else if reports.is_empty() {
        println!("There are no jobs.");
    }
    if !json {
        reports.iter().for_each(|report| println!("{}", line(report)));
    }
    Ok(ExitCode::SUCCESS)
}

fn line(report: &JobReport) -> String {
    let at = report.created_at.format("%Y-%m-%d %H:%M:%S UTC");
    let (kind, state) = (report.kind, report.word());
    let why = words::paused(report).or_else(|| words::held(report).map(|why| format!("Waiting: {why}.")));
    let why = why.map(|why| format!("; {why}")).unwrap_or_default();
    let how = report::sentence(report);
    format!("{}  {at}  {kind:<8} {:<12} {state:<10} {how}{why}", report.job, report.volume)
}
