//! `salvor disk-check`: have the file system's own tool check the volume's disk, and say what came of it.

use std::process::ExitCode;

use indicatif::ProgressBar;
use salvor_app::restore::disk_words;
use salvor_app::restore::port::NewJob;
use salvor_domain::disk_check::DiskCheckReport;
use salvor_domain::job::{JobReport, JobRequest};
use salvor_domain::units;

use super::CliError;
use super::jobs::{self, CommonArgs, LimitArgs};
use crate::core::Core;

/// Check a volume's disk with its file system's own tool, as the configuration names it
///
/// e2fsck and xfs_repair want the volume out of service and unmounted; they repair what they find, and run until they find nothing
/// more. Scrubs run while it is mounted.
#[derive(Debug, clap::Args)]
pub struct Args {
    volume: String,
    /// Say what would be run, and what is in its way
    #[arg(long)]
    dry_run: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
    /// Start the job, print its id, and leave the work to a running `salvor serve`
    #[arg(long)]
    detach: bool,
}

pub async fn run(core: Core, args: Args) -> Result<ExitCode, CliError> {
    let Args { volume, dry_run, json, detach } = args;
    let common = CommonArgs { dry_run, json, detach, limits: LimitArgs::default() };
    jobs::run(core, NewJob::new(volume, JobRequest::DiskCheck {}), common).await
}

pub(super) fn advance(bar: &ProgressBar, check: &DiskCheckReport) {
    let (done, total, far) = disk_words::far(check);
    bar.set_prefix(check.tool.name());
    bar.set_length(total);
    bar.set_position(done);
    let words = [Some(far), check.activity.clone()];
    bar.set_message(words.into_iter().flatten().collect::<Vec<_>>().join(", "));
}

/// What runs, how far it is, and (of one that did not end well) the last that it said.
pub(super) fn lines(report: &JobReport, check: &DiskCheckReport) -> Vec<String> {
    const SAID: usize = 20;
    let mut lines = Vec::new();
    if report.state == "running" {
        lines.extend([disk_words::far(check).2].into_iter().chain(check.activity.clone()));
    }
    if !report.dry_run {
        let said = units::counted(check.output_lines, "line", "lines");
        lines.push(format!("command: {} ({said} of output)", check.command));
    }
    let is_well = check.verdict.is_some_and(|verdict| verdict.is_well());
    if check.round > 0 && !is_well {
        let from = check.tail.len().saturating_sub(SAID);
        lines.extend(check.tail.iter().skip(from).map(|line| format!("| {line}")));
    }
    lines
}
