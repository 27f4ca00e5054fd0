//! What an operator does next with a volume: one step, the one that all others wait for.

use salvor_domain::health::Level;
use salvor_domain::job::{JobKind, JobReport};
use salvor_domain::units;
use salvor_domain::volume::{GatePointKind, Mode};

use super::worst_signal;
use crate::health::port::{SignalView, VolumeHealth};
use crate::health::signal_page;
use crate::restore::words;
use crate::ui::Address;
use crate::volumes::port::{Reach, VolumeView};

/// Follows `Next:`; leads to where it is done.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Step {
    pub words: String,
    pub href: Option<String>,
}

impl Step {
    fn new(words: impl Into<String>, href: impl Into<String>) -> Self {
        Self { words: words.into(), href: Some(href.into()) }
    }

    fn nothing() -> Self {
        Self { words: "nothing to do".into(), href: None }
    }
}

/// `jobs` are those of this volume that have not ended.
pub fn next_step(volume: &VolumeView, health: Option<&VolumeHealth>, jobs: &[&JobReport]) -> Step {
    match volume.mode.mode() {
        Mode::Normal => while_normal(volume, health, jobs),
        Mode::ReadOnly => while_read_only(volume, health, jobs),
        Mode::Failover => while_offline(volume, jobs),
    }
}

fn while_normal(volume: &VolumeView, health: Option<&VolumeHealth>, jobs: &[&JobReport]) -> Step {
    let losses = volume.findings.losses();
    let worst = health.and_then(worst_signal).filter(|signal| signal.muted.is_none());
    let is_dangerous = health.is_some_and(endangered);
    let page = Address::console(&["volumes", &volume.name]);
    match worst {
        _ if !volume.reach.is_reached() => out_of_reach(volume),
        _ if is_dangerous => {
            Step::new("make it read-only: what is written now may be lost", format!("{page}#mode"))
        }
        _ if let Some(step) = repair_under_way(jobs) => step,
        _ if losses > 0 => plan_restore(volume),
        Some(signal) => look_at(signal),
        _ if volume.copies.is_empty() => {
            Step::new("give it a copy: add a [[volume.copy]] to the configuration", format!("{page}#copies"))
        }
        _ if volume.files == 0 => {
            Step::new("run protect, or adopt a copy that has the files", format!("{page}#start"))
        }
        _ if volume.checked_at.is_none() => Step::new("start a check", format!("{page}#start")),
        None if health.is_none_or(|health| health.level == Level::Unknown) => {
            Step::new("let a host report on its disks", "/console/health")
        }
        None => Step::nothing(),
    }
}

fn while_read_only(volume: &VolumeView, health: Option<&VolumeHealth>, jobs: &[&JobReport]) -> Step {
    let page = Address::console(&["volumes", &volume.name]);
    let open = |kind| volume.gate_points.iter().find(|point| point.kind == kind && !point.met);
    let needs_disk_check = open(GatePointKind::DiskCheck).is_some() || health.is_some_and(endangered);
    if let Some(step) = repair_under_way(jobs) {
        return step;
    }
    let Some(first) = volume.gate_points.iter().find(|point| !point.met) else {
        return Step::new("the gate is open: return it to normal", format!("{page}#mode"));
    };
    if needs_disk_check {
        Step::new("take it offline and check its disk", format!("{page}#mode"))
    } else if !volume.reach.is_reached() {
        out_of_reach(volume)
    } else if volume.findings.losses() > 0 {
        plan_restore(volume)
    } else if open(GatePointKind::NoErrors).is_some() {
        match health.and_then(worst_signal) {
            Some(signal) => look_at(signal),
            None => Step::new("see what counts errors", format!("{page}#health")),
        }
    } else if open(GatePointKind::FullCheck).is_some() {
        under_way(jobs, JobKind::Check)
            .map_or_else(|| Step::new("start a full check", format!("{page}#start")), wait)
    } else if open(GatePointKind::CopiesVerified).is_some() {
        under_way(jobs, JobKind::Drill)
            .map_or_else(|| Step::new("run a drill of its copies", "/console/readiness"), wait)
    } else {
        Step::new(&first.detail, format!("{page}#gate"))
    }
}

fn while_offline(volume: &VolumeView, jobs: &[&JobReport]) -> Step {
    let page = Address::console(&["volumes", &volume.name]);
    let is_checked =
        volume.gate_points.iter().any(|point| point.kind == GatePointKind::DiskCheck && point.met);
    match under_way(jobs, JobKind::DiskCheck) {
        Some(job) => wait(job),
        None if is_checked => Step::new("mount it, and bring it back to read-only", format!("{page}#mode")),
        None => Step::new("check its disk", format!("{page}#start")),
    }
}

/// What is being done about a volume, in the order in which that helps; leads to where it is seen. Jobs of every day are none.
pub fn doing(jobs: &[&JobReport]) -> Option<Step> {
    let mends =
        [JobKind::DiskCheck, JobKind::Restore, JobKind::Reunite, JobKind::Check, JobKind::Drill].into_iter();
    let job = mends.filter_map(|kind| under_way(jobs, kind)).next()?;
    let how = match job.state.as_str() {
        "planned" => "waits for approval",
        "paused" if job.tries_again_at.is_some() => "is stuck",
        "paused" => "is paused",
        _ => "is under way",
    };
    Some(Step::new(format!("{} {how}", words::title(job)), Address::console(&["jobs", &job.job])))
}

/// While it is written to, it may be damaged further. A copy in danger is no reason to stop the volume.
fn endangered(health: &VolumeHealth) -> bool {
    let is = |signal: &SignalView| {
        signal.level == Level::Critical && signal.stops_writes && signal.muted.is_none()
    };
    health.level == Level::Critical && health.signals.iter().any(is)
}

/// What mends the volume, and waits for nobody but itself or for a word.
fn repair_under_way(jobs: &[&JobReport]) -> Option<Step> {
    [JobKind::DiskCheck, JobKind::Restore, JobKind::Reunite]
        .into_iter()
        .find_map(|kind| under_way(jobs, kind))
        .map(wait)
}

fn under_way<'a>(jobs: &[&'a JobReport], kind: JobKind) -> Option<&'a JobReport> {
    jobs.iter().copied().find(|job| job.kind == kind && !job.dry_run && !words::has_ended(job))
}

fn wait(job: &JobReport) -> Step {
    let title = words::title(job);
    let words = match job.state.as_str() {
        "planned" => format!("read the plan of \"{title}\" and approve it"),
        "paused" if job.tries_again_at.is_some() => format!("see why \"{title}\" is stuck"),
        "paused" => format!("resume \"{title}\", which is paused"),
        _ => format!("wait for \"{title}\", which is under way"),
    };
    Step::new(words, Address::console(&["jobs", &job.job]))
}

fn plan_restore(volume: &VolumeView) -> Step {
    let files = units::counted(volume.findings.losses(), "file", "files");
    Step::new(
        format!("plan a restore of {files}"),
        format!("{}#start", Address::console(&["volumes", &volume.name])),
    )
}

fn out_of_reach(volume: &VolumeView) -> Step {
    let words = match volume.reach {
        Reach::NotKnownYet(_) => format!("see why {} does not answer", volume.path),
        _ => format!("see why {} cannot be reached: is its disk mounted?", volume.path),
    };
    Step::new(words, Address::console(&["volumes", &volume.name]))
}

fn look_at(signal: &SignalView) -> Step {
    let (host, subject) = (&signal.host, &signal.subject);
    let words = match signal.level {
        Level::Unknown => format!("see why nothing is known of {subject} on {host}"),
        Level::Warning => format!("look at {subject} on {host} today"),
        _ => format!("look at {subject} on {host} now"),
    };
    Step::new(words, signal_page(signal))
}
