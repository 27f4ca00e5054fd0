//! A job as it is shown: the report that `--json`, the API and the pages share, and the one sentence of the log.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use salvor_domain::finding::{FindingCounts, FindingKind};
use salvor_domain::job::{
    Failure, JobKind, JobReport, JobRequest, JobState, PlannedSource, REPORTED_FAILURES,
};
use salvor_domain::progress::{self, Amount, EtaRange, Lane, Rate, Sample};
use salvor_domain::units;

use crate::core::Core;
use crate::database::Tx;
use crate::restore::drivers::disk_check;
use crate::restore::held;
use crate::restore::store::moving::Moving;
use crate::restore::store::{Job, figures, moving};
use crate::volumes::store as volumes;

/// The present rate is that of the last so many active seconds.
const WINDOW_SECONDS: f64 = 30.0;

/// How a job is just now.
pub async fn report(core: &Core, tx: &mut Tx, job: Job, now: DateTime<Utc>) -> sqlx::Result<JobReport> {
    let held = match held::by_agent(core, tx, &job).await? {
        Some(waits) => Some(waits),
        None => held::by_limits(core, tx, &job).await?,
    };
    reported(tx, job, held, now).await
}

/// How a job ended: nothing holds it up any more.
pub async fn at_end(tx: &mut Tx, job: Job, now: DateTime<Utc>) -> sqlx::Result<JobReport> {
    reported(tx, job, None, now).await
}

async fn reported(
    tx: &mut Tx,
    mut job: Job,
    mut held: Option<String>,
    now: DateTime<Utc>,
) -> sqlx::Result<JobReport> {
    // What has moved and is not durable yet shows in the bytes, never in the files.
    let moving = match job.state {
        JobState::Running { .. } => moving::of_job(tx, job.id, now).await?,
        _ => Moving::default(),
    };
    job.bytes.done = (job.bytes.done + moving.bytes).min(job.bytes.total.max(job.bytes.done));
    let volume = volumes::volume_by_id(tx, job.volume_id).await?;
    let volume_mode = volume.as_ref().map(|volume| volume.mode.mode());
    let disk_check = match job.kind() {
        JobKind::DiskCheck => disk_check::shown(tx, job.id, now).await?,
        _ => None,
    };
    let samples = if job.state.is_active() { figures::samples(tx, job.id).await? } else { Vec::new() };
    let sources = figures::sources(tx, job.id).await?;
    let mut eta = None;
    // What a limit holds ends when somebody says so.
    let moves_files = job.kind() != JobKind::DiskCheck;
    if matches!(job.state, JobState::Running { .. }) && held.is_none() && moves_files {
        let lanes = figures::source_samples(tx, job.id).await?;
        let copies = volumes::copies(tx, job.volume_id).await?;
        let mut given: BTreeMap<_, _> =
            sources.iter().map(|(name, given)| (name.clone(), given.amount)).collect();
        for copy in copies {
            given.entry(copy.name).or_default().bytes += moving.of_copy(copy.bit);
        }
        let course = Course::of(&job, &samples, lanes, &given, now);
        eta = course.eta();
        held = if eta.is_none() { course.silence() } else { None };
    }
    let findings = figures::findings(tx, job.id).await?;
    let failures = match job.files.failed {
        0 => Vec::new(),
        _ => figures::failures(tx, job.id, REPORTED_FAILURES).await?,
    };
    let rate = rate(&job, samples, now);
    let tries_again_at = job.state.tries_again_at();
    let reason = match &job.state {
        JobState::Paused { reason, .. } | JobState::Failed { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    Ok(JobReport {
        job: job.id.to_string(),
        kind: job.kind(),
        volume: volume.map(|volume| volume.name).unwrap_or_default(),
        state: job.state.word().to_owned(),
        started_at: job.started_at,
        finished_at: job.finished_at,
        seconds: job.active_seconds_at(now),
        files: job.files,
        bytes: job.bytes,
        findings,
        sources: sources.into_iter().map(|(name, figures)| (name, figures.amount)).collect(),
        failures: failures.into_iter().map(|(path, reason)| Failure { path, reason }).collect(),
        created_at: job.created_at,
        created_by: job.created_by,
        request: job.request,
        reason,
        tries_again_at,
        plan: job.plan,
        dry_run: job.dry_run,
        eta,
        held,
        files_per_second: rate.map(|rate| rate.files_per_second),
        bytes_per_second: rate.map(|rate| rate.bytes_per_second),
        ticket: job.ticket,
        limits: job.limits,
        volume_mode,
        disk_check,
    })
}

/// `restored 96 of 96 files (2.9 MB) in 3 s`
pub fn sentence(report: &JobReport) -> String {
    if report.dry_run && report.kind == JobKind::DiskCheck {
        let check = report.disk_check.as_ref();
        let command = check.map_or("", |check| check.command.as_str());
        let way = check.and_then(|check| check.summary.as_deref()).unwrap_or("it is being planned");
        return format!("would run: {command}; {way}; nothing was run");
    }
    if report.dry_run {
        let failed = match report.files.failed {
            0 => String::new(),
            failed => format!("; {} would fail", units::counted(failed, "file", "files")),
        };
        return format!("planned in {}; nothing was moved{failed}", took(report.seconds));
    }
    if let Some(why) = why_nothing(report) {
        return why;
    }
    let verb = match report.kind {
        JobKind::Check => "checked",
        JobKind::Protect if report.request.adopts() => "adopted",
        JobKind::Protect => "protected",
        JobKind::Restore => "restored",
        JobKind::Reunite => "reunited",
        JobKind::Drill => "restored to scratch",
        JobKind::DiskCheck => return disk_checked(report),
    };
    let files = &report.files;
    let mut text =
        format!("{verb} {} of {}", units::count(files.done), units::counted(files.total, "file", "files"));
    if report.bytes.done > 0 {
        text.push_str(&format!(" ({})", units::bytes(report.bytes.done)));
    }
    text.push_str(&format!(" in {}", took(report.seconds)));
    if files.failed > 0 {
        text.push_str(&format!("; {} failed", units::count(files.failed)));
    }
    if files.skipped > 0 {
        text.push_str(&format!("; {} left alone", units::count(files.skipped)));
    }
    let found = found(&report.findings);
    if let JobRequest::Reunite { from } = &report.request {
        text.push_str(&stays(report.findings.orphan, from));
    } else if !found.is_empty() {
        text.push_str(&format!("; found {found}"));
    } else if report.kind == JobKind::Check && report.state == "finished" && files.failed == 0 {
        text.push_str(match &report.request {
            JobRequest::Check { full: true, .. } => "; nothing is wrong",
            _ => "; nothing is missing or changed; bytes were not read",
        });
    }
    text
}

/// `e2fsck found nothing wrong, after 3 min`
fn disk_checked(report: &JobReport) -> String {
    let (check, took) = (report.disk_check.as_ref(), took(report.seconds));
    match check.and_then(|check| check.summary.as_ref()) {
        Some(summary) => format!("{summary}, after {took}"),
        None => {
            let name = check.map_or("the disk check", |check| check.tool.name());
            format!("{name} has come to no end in {took}")
        }
    }
}

/// Of a job for the whole volume that had nothing to do: no file at all is not good news.
fn why_nothing(report: &JobReport) -> Option<String> {
    let is_whole = match &report.request {
        JobRequest::Check { paths, .. } => paths.is_empty(),
        JobRequest::Restore { paths, files, .. } => paths.is_empty() && files.is_empty(),
        _ => false,
    };
    if !is_whole || report.state != "finished" || report.files.total > 0 {
        return None;
    }
    let plan = report.plan.as_ref();
    let there = plan.map_or(0, |plan| plan.in_place + plan.newer);
    if there > 0 {
        let files = units::counted(there, "file is", "files are");
        return Some(format!("nothing was missing: {files} in place"));
    }
    if plan.is_some_and(|plan| plan.tombstoned > 0) {
        return Some(
            "there was nothing to do: every file of the catalogue was deleted by its owner".to_owned(),
        );
    }
    let extra = match report.findings.extra {
        0 => String::new(),
        extra => format!(", and {} not in it", units::counted(extra, "file is", "files are")),
    };
    Some(format!("there was nothing to do: the catalogue holds no file yet{extra}; protect the volume first"))
}

/// What a reunite did not recognise, and where it lies.
fn stays(unknown: u64, from: &[String]) -> String {
    let place = if from.is_empty() { "lost+found".to_owned() } else { from.join(", ") };
    match unknown {
        0 => "; no unknown file is left".to_owned(),
        count => format!(
            "; {} nameless in {place}",
            units::counted(count, "unknown file stays", "unknown files stay")
        ),
    }
}

/// Short times with a decimal: 0.4 s is not 0 s.
fn took(seconds: f64) -> String {
    if seconds < 9.95 { format!("{seconds:.1} s") } else { units::duration(seconds) }
}

/// `12 missing, 3 corrupt`
fn found(findings: &FindingCounts) -> String {
    let counted = FindingKind::ALL.iter().filter(|&&kind| findings.of(kind) > 0);
    counted.map(|&kind| format!("{} {kind}", units::count(findings.of(kind)))).collect::<Vec<_>>().join(", ")
}

/// What is still to be moved. The bytes of files that failed or were skipped are not known one by one: each counts as the
/// mean of what is not done.
fn left(job: &Job) -> Amount {
    let settled = job.files.done + job.files.failed + job.files.skipped;
    let files = job.files.total.saturating_sub(settled);
    // Files in no copy failed in the plan, and their bytes were never to be moved.
    let in_no_copy = job.plan.as_ref().map_or(0, |plan| plan.in_no_copy);
    let not_done = job.files.total.saturating_sub(job.files.done + in_no_copy).max(files);
    let bytes = u128::from(job.bytes.total.saturating_sub(job.bytes.done)) * u128::from(files);
    Amount { files, bytes: bytes.checked_div(u128::from(not_done)).map_or(0, |bytes| bytes as u64) }
}

/// What a running job has left, and how that goes: by the copy that each part comes from, where the plan says so.
struct Course<'a> {
    left: Amount,
    at: f64,
    /// Of the whole job.
    samples: Vec<Sample>,
    lanes: Vec<(&'a str, Lane)>,
}

impl<'a> Course<'a> {
    fn of(
        job: &'a Job,
        samples: &[Sample],
        by_copy: BTreeMap<String, Vec<Sample>>,
        given: &BTreeMap<String, Amount>,
        now: DateTime<Utc>,
    ) -> Self {
        let (left, at) = (left(job), job.active_seconds_at(now));
        let seen = seen_at(samples, at);
        // What came before the first files began to move is planning's.
        let began = samples.iter().rposition(|sample| sample.files == 0 && sample.bytes == 0);
        let mut all = samples[began.unwrap_or(0)..].to_vec();
        all.push(Sample { active_seconds: seen, files: job.files.done, bytes: job.bytes.done });
        let parts = job.plan.as_ref().map_or(&[][..], |plan| plan.sources.as_slice());
        let lanes = parts
            .iter()
            .map(|part| (part.name.as_str(), lane(part, samples, &by_copy, given.get(&part.name), seen)));
        let mut lanes: Vec<_> = lanes.collect();
        share_out(&mut lanes, left);
        Self { left, at, samples: all, lanes }
    }

    /// How long it still takes: as long as the copy that ends last.
    fn eta(&self) -> Option<EtaRange> {
        if self.lanes.is_empty() {
            return progress::eta(&self.samples, self.left, self.at);
        }
        let lanes: Vec<Lane> = self.lanes.iter().map(|(_, lane)| lane.clone()).collect();
        progress::eta_of_lanes(&lanes, self.at)
    }

    /// Who is waited for, when nothing has moved for long.
    fn silence(&self) -> Option<String> {
        if self.lanes.is_empty() {
            return held::by_silence(progress::quiet(&self.samples, self.at), None);
        }
        let open = self.lanes.iter().filter(|(_, lane)| lane.left != Amount::default());
        let quiet = open.map(|(name, lane)| (progress::quiet(&lane.samples, self.at), *name));
        let (quiet, name) = quiet.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
        held::by_silence(quiet, Some(name))
    }
}

/// When the present figures were reached, in active seconds: samples are kept each second in which something came of the
/// job, so that what is not in the newest one came within a second of it.
fn seen_at(samples: &[Sample], at: f64) -> f64 {
    samples.last().map_or(at, |newest| at.min(newest.active_seconds + 1.0))
}

/// What failed, was in place or came from another copy than planned is shared out: the parts add up to what is left. Where
/// the plan's parts do not tell what is left there are none.
fn share_out(lanes: &mut Vec<(&str, Lane)>, left: Amount) {
    let planned: Amount = lanes.iter().map(|(_, lane)| lane.left).sum();
    if planned.files == 0 || left.files == 0 {
        return lanes.clear();
    }
    let share = |part: u64, sum: u64, all: u64| {
        (u128::from(part) * u128::from(all)).checked_div(u128::from(sum)).map_or(0, |share| share as u64)
    };
    for (_, lane) in lanes {
        lane.left.files = share(lane.left.files, planned.files, left.files);
        lane.left.bytes = share(lane.left.bytes, planned.bytes, left.bytes);
    }
}

/// One copy's part; `seen` is when its present figures were reached.
fn lane(
    part: &PlannedSource,
    all: &[Sample],
    by_copy: &BTreeMap<String, Vec<Sample>>,
    given: Option<&Amount>,
    seen: f64,
) -> Lane {
    let done = given.copied().unwrap_or_default();
    // A copy has no figures before its first batch: it began when the job's first files began to move.
    let began = all.iter().rev().find(|sample| sample.files == 0 && sample.bytes == 0);
    let mut samples: Vec<Sample> = began.copied().into_iter().collect();
    samples.extend(by_copy.get(&part.name).into_iter().flatten());
    samples.push(Sample { active_seconds: seen, files: done.files, bytes: done.bytes });
    let left = Amount {
        files: part.amount.files.saturating_sub(done.files),
        bytes: part.amount.bytes.saturating_sub(done.bytes),
    };
    Lane { samples, left, planned: part.estimate.map(|estimate| estimate.share(left, part.amount)) }
}

/// The rate of the last stretch: up to now while files move, else up to where they last did.
fn rate(job: &Job, mut samples: Vec<Sample>, now: DateTime<Utc>) -> Option<Rate> {
    if !job.state.is_active() {
        return None;
    }
    samples.push(Sample {
        active_seconds: job.active_seconds_at(now),
        files: job.files.done,
        bytes: job.bytes.done,
    });
    let newest = samples.last()?.active_seconds;
    let from = samples.iter().position(|sample| sample.active_seconds >= newest - WINDOW_SECONDS)?;
    progress::rate(&samples[from..])
}
