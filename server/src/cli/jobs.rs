//! `salvor protect`, `check`, `restore`, `reunite`, `drill`: start a job, work on it here, and say what came of it.
//!
//! A running `salvor serve` on the same database shares the work; none is needed. Progress goes to stderr (a bar on a
//! terminal), the result to stdout.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use salvor_app::restore::port::NewJob;
use salvor_app::restore::words;
use salvor_app::volumes::port::{CopyLimits, FindingView};
use salvor_domain::finding::FindingKind;
use salvor_domain::ids::JobId;
use salvor_domain::job::{JobControl, JobKind, JobReport, JobRequest, Plan};
use salvor_domain::limits::{ByteRate, JobLimits, Limits};
use salvor_domain::path::Glob;
use salvor_domain::units;
use tokio_util::sync::CancellationToken;

use super::{CliError, actor, disk_check};
use crate::core::Core;
use crate::restore::{Worker, service};
use crate::volumes::limits;

/// How often the bar moves.
const TICK: Duration = Duration::from_millis(150);
/// Findings that are named.
const NAMED: u32 = 100;

/// Copy new and changed files from a volume to its copies
#[derive(Debug, clap::Args)]
pub struct ProtectArgs {
    volume: String,
    /// Only to this copy (may be repeated)
    #[arg(long, value_name = "COPY")]
    to: Vec<String>,
    /// This copy has a new, empty disk (may be repeated): without this word, an empty folder is taken for one not mounted
    #[arg(long, value_name = "COPY", conflicts_with = "dry_run")]
    replaced: Vec<String>,
    /// Copy nothing: fill the catalogue from this copy, which another tool made
    #[arg(long, value_name = "COPY", conflicts_with = "to")]
    adopt: Option<String>,
    #[command(flatten)]
    common: CommonArgs,
}

/// Compare a volume with its catalogue
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    volume: String,
    /// Read every byte, not only names, sizes and times
    #[arg(long)]
    full: bool,
    /// Only these paths, such as 'anna/**' (may be repeated)
    #[arg(long = "path", value_name = "GLOB")]
    paths: Vec<String>,
    #[command(flatten)]
    common: CommonArgs,
}

/// Bring missing and corrupt files back from the copies
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    volume: String,
    /// Only from this copy (may be repeated)
    #[arg(long, value_name = "COPY")]
    from: Vec<String>,
    /// Only these paths, such as 'anna/**' (may be repeated)
    #[arg(long = "path", value_name = "GLOB")]
    paths: Vec<String>,
    /// Restore into this folder instead of the volume
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// The volume has a new, empty disk: without this word, an empty folder is taken for one not mounted
    #[arg(long, conflicts_with_all = ["to", "dry_run"])]
    replaced: bool,
    #[command(flatten)]
    common: CommonArgs,
}

/// Put files whose names are lost back where the catalogue says they belong
#[derive(Debug, clap::Args)]
pub struct ReuniteArgs {
    volume: String,
    /// Look in this folder instead of lost+found: absolute, or relative to the volume (may be repeated)
    #[arg(long, value_name = "DIR")]
    from: Vec<String>,
    #[command(flatten)]
    common: CommonArgs,
}

/// Restore a sample from the copies to scratch, verify it and measure it
#[derive(Debug, clap::Args)]
pub struct DrillArgs {
    volume: String,
    /// Only from this copy (may be repeated)
    #[arg(long, value_name = "COPY")]
    from: Vec<String>,
    /// So many files from each copy; without it as many as tell something (200, 256 MiB or a minute)
    #[arg(long, value_name = "N")]
    sample: Option<u64>,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, clap::Args)]
pub struct CommonArgs {
    /// Say what would be done, and move nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Start the job, print its id, and leave the work to a running `salvor serve`
    #[arg(long)]
    pub detach: bool,
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// What a job keeps within.
#[derive(Debug, Default, clap::Args)]
pub struct LimitArgs {
    /// Read at most this much, such as '20 Mbit/s'; 0 lets nothing through until it is changed
    #[arg(long, value_name = "RATE")]
    bandwidth: Option<String>,
    /// Read at most so many files a second
    #[arg(long, value_name = "N")]
    files_per_second: Option<u64>,
    /// Hold back where the volume gets slower for those whom it serves
    #[arg(long)]
    gentle: bool,
}

impl LimitArgs {
    pub fn parsed(&self) -> Result<JobLimits, CliError> {
        let bandwidth = self.bandwidth.as_deref().map(rate).transpose()?;
        Ok(JobLimits { bandwidth, files_per_second: self.files_per_second, gentle: self.gentle })
    }
}

/// A bandwidth as `--bandwidth` takes it.
pub fn rate(text: &str) -> Result<ByteRate, CliError> {
    text.parse().map_err(|why| CliError::Usage(format!("--bandwidth: {why}")))
}

pub async fn protect(core: Core, args: ProtectArgs) -> Result<ExitCode, CliError> {
    let request = JobRequest::Protect { to: args.to, adopt: args.adopt };
    let new = NewJob { replaced_copies: args.replaced, ..NewJob::new(args.volume, request) };
    run(core, new, args.common).await
}

pub async fn check(core: Core, args: CheckArgs) -> Result<ExitCode, CliError> {
    let request = JobRequest::Check { full: args.full, paths: globs(args.paths) };
    run(core, NewJob::new(args.volume, request), args.common).await
}

pub async fn restore(core: Core, args: RestoreArgs) -> Result<ExitCode, CliError> {
    let to_folder = args.to.map(absolute).transpose()?;
    let request =
        JobRequest::Restore { from: args.from, paths: globs(args.paths), files: Vec::new(), to_folder };
    let new = NewJob { replaced: args.replaced, ..NewJob::new(args.volume, request) };
    run(core, new, args.common).await
}

pub async fn reunite(core: Core, args: ReuniteArgs) -> Result<ExitCode, CliError> {
    run(core, NewJob::new(args.volume, JobRequest::Reunite { from: args.from }), args.common).await
}

pub async fn drill(core: Core, args: DrillArgs) -> Result<ExitCode, CliError> {
    let request = JobRequest::Drill { from: args.from, sample: args.sample, seed: None };
    run(core, NewJob::new(args.volume, request), args.common).await
}

fn globs(patterns: Vec<String>) -> Vec<Glob> {
    patterns.into_iter().map(Glob::new).collect()
}

/// The folder as whoever works on the job will find it, wherever that process was started.
fn absolute(folder: PathBuf) -> Result<String, CliError> {
    let shown = folder.display().to_string();
    let absolute =
        std::path::absolute(&folder).map_err(|why| CliError::Usage(format!("--to {shown}: {why}")))?;
    absolute
        .into_os_string()
        .into_string()
        .map_err(|_| CliError::Usage(format!("--to {shown}: use a folder whose name is valid UTF-8")))
}

pub async fn run(core: Core, new: NewJob, args: CommonArgs) -> Result<ExitCode, CliError> {
    let new = NewJob { dry_run: args.dry_run, limits: args.limits.parsed()?, ..new };
    let report = service::start(&core, &actor(), new, None).await?;
    let id: JobId = report.job.parse().map_err(|why| CliError::Failed(format!("{why}")))?;
    if args.detach {
        return detached(&report, args.json);
    }
    let interrupted = work(&core, id).await?;
    let report = service::job(&core, id).await?;
    if args.json {
        println!("{}", as_json(&report)?);
    } else {
        show(&core, id, &report).await?;
    }
    if interrupted && report.state == "cancelled" {
        eprintln!("Stopped. What was done is done; go on with: salvor job retry {id}");
    }
    core.db.close().await;
    Ok(ExitCode::from(report.exit_code()))
}

/// Starts nothing more: whoever serves does the work.
fn detached(report: &JobReport, json: bool) -> Result<ExitCode, CliError> {
    if json {
        println!("{}", as_json(report)?);
    } else {
        println!("{}", report.job);
        eprintln!("A running `salvor serve` does the work; see: salvor job show {}", report.job);
    }
    Ok(ExitCode::SUCCESS)
}

pub fn as_json(report: &impl serde::Serialize) -> Result<String, CliError> {
    serde_json::to_string(report)
        .map_err(|why| CliError::Failed(format!("the report cannot be written: {why}")))
}

/// Works on the job until it ended; true when the person at the keyboard stopped it.
pub async fn work(core: &Core, id: JobId) -> Result<bool, CliError> {
    let stop = CancellationToken::new();
    let bar = bar();
    let working = Worker::run_until_ended(core.clone(), id, stop.clone());
    tokio::pin!(working);
    let mut interrupted = false;
    loop {
        tokio::select! {
            ended = &mut working => {
                bar.finish_and_clear();
                ended?;
                return Ok(interrupted);
            }
            _ = tokio::signal::ctrl_c(), if !interrupted => {
                interrupted = true;
                bar.set_message("stopping …");
                // Ended or paused meanwhile: then there is nothing to cancel.
                if let Err(error) = service::control(core, &actor(), id, JobControl::Cancel).await {
                    tracing::debug!(%error, "the job was not cancelled");
                }
                stop.cancel();
            }
            () = tokio::time::sleep(TICK), if !bar.is_hidden() => {
                if let Ok(report) = service::job(core, id).await {
                    advance(&bar, &report);
                }
            }
        }
    }
}

fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:30} {msg}") {
        bar.set_style(style);
    }
    bar
}

fn advance(bar: &ProgressBar, report: &JobReport) {
    bar.set_prefix(if report.plan.is_none() { "planning".into() } else { report.kind.to_string() });
    if let Some(check) = &report.disk_check {
        return disk_check::advance(bar, check);
    }
    let settled = report.files.done + report.files.failed + report.files.skipped;
    // Half of the way are the files, half the bytes: so it moves within a large file, and past empty ones.
    let part = |done: u64, total: u64| 500 * done.min(total) / total.max(1);
    bar.set_length(part(1, 1) * 2);
    bar.set_position(part(settled, report.files.total) + part(report.bytes.done, report.bytes.total));
    let mut words = vec![
        format!("{} of {}", units::count(settled), units::counted(report.files.total, "file", "files")),
        format!("{} of {}", units::bytes(report.bytes.done), units::bytes(report.bytes.total)),
    ];
    if let Some(rate) = report.bytes_per_second {
        words.push(format!("{}/s", units::bytes(rate as u64)));
    }
    if let Some(eta) = report.eta {
        words.push(format!("{} left", units::duration_range(eta.low_seconds, eta.high_seconds)));
    }
    bar.set_message(words.join(", "));
}

/// The result for people.
pub async fn show(core: &Core, id: JobId, report: &JobReport) -> Result<(), CliError> {
    println!("{}", headline(report));
    if let Some(check) = &report.disk_check {
        disk_check::lines(report, check).iter().for_each(|line| println!("  {line}"));
        return Ok(());
    }
    if matches!(report.state.as_str(), "planning" | "running" | "paused") {
        let config = core.config.volume(&report.volume);
        let mut copies = Vec::new();
        for copy in config.iter().flat_map(|config| &config.copies) {
            let limits = limits::copy_limits(core, &report.volume, &copy.name).await?;
            copies.push((copy.name.as_str(), limits));
        }
        course(report, &copies).iter().for_each(|line| println!("  {line}"));
    }
    if let Some(plan) = report.plan.as_ref().filter(|_| report.dry_run || report.state == "planned") {
        show_plan(report.kind, plan);
    }
    let found = service::found(core, id, NAMED).await?;
    for finding in &found {
        println!("{}", finding_line(finding));
    }
    left_out(report.findings.total(), found.len());
    for failure in &report.failures {
        println!("{:<10}  {}: {}", "failed", failure.path, failure.reason);
    }
    left_out(report.files.failed, report.failures.len());
    Ok(())
}

fn headline(report: &JobReport) -> String {
    let job = &report.job;
    match (report.state.as_str(), &report.reason) {
        ("failed", Some(reason)) => format!("The {} could not run: {reason}.", report.kind.in_words()),
        ("paused", Some(reason)) => match report.tries_again_at {
            Some(at) => format!(
                "Stuck: {reason}.\nA running `salvor serve` goes on with it by itself when that is over (next try at {}); else: salvor job resume {job}",
                at.format("%H:%M:%S UTC")
            ),
            None => format!("Paused: {reason}.\nGo on with: salvor job resume {job}"),
        },
        ("planning" | "running", _) => {
            format!("{}: {} for {}.", words::title(report), report.state, units::duration(report.seconds))
        }
        ("planned", _) => format!("The plan waits for approval: salvor job approve {job}"),
        ("finished", _) => format!("{}: {}.", report.volume, crate::restore::report::sentence(report)),
        (state, _) => format!(
            "{} of {}: {state}; {}.",
            report.kind.in_words(),
            report.volume,
            crate::restore::report::sentence(report)
        ),
    }
}

fn show_plan(kind: JobKind, plan: &Plan) {
    let amount =
        |files, bytes| format!("{} ({})", units::counted(files, "file", "files"), units::bytes(bytes));
    println!(
        "  to {}: {}",
        match kind {
            JobKind::Check => "look at",
            JobKind::Reunite => "put back",
            _ => "move",
        },
        amount(plan.total.files, plan.total.bytes)
    );
    if plan.reunite.files > 0 {
        let from = amount(plan.reunite.files, plan.reunite.bytes);
        println!("  from the volume itself (nameless files): {from}");
    }
    for source in &plan.sources {
        let time = match source.estimate {
            Some(eta) => units::duration_range(eta.low_seconds, eta.high_seconds),
            None => "time unknown".to_owned(),
        };
        println!(
            "  from {}: {}, {time} ({})",
            source.name,
            amount(source.amount.files, source.amount.bytes),
            source.basis
        );
    }
    if let (Some(eta), [_, _, ..]) = (plan.estimate, plan.sources.as_slice()) {
        println!("  all of it, side by side: {}", units::duration_range(eta.low_seconds, eta.high_seconds));
    }
    for (count, what) in [
        (plan.in_place, "in place already"),
        (plan.newer, "newer on the volume: left alone"),
        (plan.tombstoned, "deleted by their owners: left alone"),
        (plan.in_no_copy, "in no copy"),
    ] {
        if count > 0 {
            println!("  {} {what}", units::count(count));
        }
    }
}

/// How far a job is that has not ended, and what it keeps within; `copies` are the volume's, with what holds for each.
fn course(report: &JobReport, copies: &[(&str, CopyLimits)]) -> Vec<String> {
    let files = &report.files;
    let mut far = format!("done: {}", part(files.done, report.bytes.done, files.total, report.bytes.total));
    for (count, what) in [(files.failed, "failed"), (files.skipped, "left alone")] {
        if count > 0 {
            far.push_str(&format!(", {} {what}", units::count(count)));
        }
    }
    let mut lines = vec![far];
    if report.state == "running" {
        lines.push(format!("rate: {}", words::rate(report)));
        lines.push(words::time_left(report));
    } else {
        lines.extend(words::held(report).map(|why| format!("waiting: {why}")));
    }
    lines.push(format!("limit: {}", report.limits));
    let planned = report.plan.as_ref().map_or(&[][..], |plan| plan.sources.as_slice());
    for (name, limits) in copies {
        let given = report.sources.get(*name);
        let all = planned.iter().find(|source| source.name == *name).map(|source| source.amount);
        if given.is_none() && all.is_none() {
            continue;
        }
        let (given, all) = (given.copied().unwrap_or_default(), all.unwrap_or_default());
        let way = if report.kind == JobKind::Protect { "to" } else { "from" };
        let done = part(given.files, given.bytes, all.files, all.bytes);
        let limits = match limits.limits {
            none if none == Limits::default() => String::new(),
            some => format!("; {some} ({})", limits.basis),
        };
        lines.push(format!("{way} {name}: {done}{limits}"));
    }
    lines
}

/// `40 of 60 files (1.2 MB of 1.8 MB)`; of what was not planned only what is done.
fn part(files: u64, bytes: u64, all_files: u64, all_bytes: u64) -> String {
    if all_files < files || all_files == 0 {
        return format!("{} ({})", units::counted(files, "file", "files"), units::bytes(bytes));
    }
    format!(
        "{} of {} ({} of {})",
        units::count(files),
        units::counted(all_files, "file", "files"),
        units::bytes(bytes),
        units::bytes(all_bytes)
    )
}

fn finding_line(finding: &FindingView) -> String {
    let word = finding.kind.as_str();
    match (finding.kind, finding.detail.as_str()) {
        (_, "") | (FindingKind::Missing, _) => format!("{word:<10}  {}", finding.path),
        (_, detail) => format!("{word:<10}  {} ({detail})", finding.path),
    }
}

fn left_out(all: u64, named: usize) {
    let more = all.saturating_sub(named as u64);
    if named > 0 && more > 0 {
        println!("… and {}", units::counted(more, "other", "others"));
    }
}
