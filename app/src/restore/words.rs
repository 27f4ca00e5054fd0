//! What the pages say of a job: plain functions from a report to words.

use salvor_domain::job::{FileCounts, JobControl, JobKind, JobReport, JobRequest, REUNITED};
use salvor_domain::path::Glob;
use salvor_domain::progress::EtaRange;
use salvor_domain::text::sentence;
use salvor_domain::units;
use salvor_domain::volume::Mode;

use super::disk_words;
use crate::ui::{Badge, Tone, badge};
use leptos::prelude::*;

/// `Full check of "uploads"`: what was asked for, in a line.
pub fn title(report: &JobReport) -> String {
    let volume = &report.volume;
    let dry = if report.dry_run { " (plan only)" } else { "" };
    match &report.request {
        JobRequest::Check { full: true, .. } => format!("Full check of {volume}{dry}"),
        JobRequest::Check { full: false, .. } => format!("Quick check of {volume}{dry}"),
        JobRequest::Protect { adopt: Some(copy), .. } => format!("Adopt {copy} for {volume}{dry}"),
        JobRequest::Protect { adopt: None, .. } => format!("Protect {volume}{dry}"),
        JobRequest::Restore { .. } => format!("Restore of {volume}{dry}"),
        JobRequest::Reunite { .. } => format!("Reunite of {volume}{dry}"),
        JobRequest::Drill { .. } => format!("Drill of {volume}{dry}"),
        JobRequest::DiskCheck {} => format!("Disk check of {volume}{dry}"),
    }
}

/// What narrows the job down, if anything does.
pub fn scope(report: &JobReport) -> Option<String> {
    let globs = |paths: &[Glob]| paths.iter().map(Glob::as_str).collect::<Vec<_>>().join(", ");
    let mut parts = Vec::new();
    match &report.request {
        JobRequest::DiskCheck {} => {
            parts.extend(
                report.disk_check.as_ref().map(|check| format!("{} on {}", check.tool.name(), check.device)),
            );
        }
        JobRequest::Check { paths, .. } => {
            if !paths.is_empty() {
                parts.push(format!("only {}", globs(paths)));
            }
        }
        JobRequest::Protect { to, .. } => {
            if !to.is_empty() {
                parts.push(format!("to {}", to.join(", ")));
            }
        }
        JobRequest::Restore { from, paths, files, to_folder } => {
            if !paths.is_empty() {
                parts.push(format!("only {}", globs(paths)));
            }
            if !files.is_empty() {
                let named = u64::try_from(files.len()).unwrap_or(u64::MAX);
                parts.push(units::counted(named, "named file", "named files"));
            }
            if !from.is_empty() {
                parts.push(format!("from {}", from.join(", ")));
            }
            parts.extend(to_folder.as_ref().map(|folder| format!("into {folder}")));
        }
        JobRequest::Reunite { from } | JobRequest::Drill { from, .. } => {
            if !from.is_empty() {
                parts.push(format!("from {}", from.join(", ")));
            }
        }
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Files that the volume misses until the job has done its work.
pub fn to_bring_back(job: &JobReport) -> u64 {
    let to_volume = match &job.request {
        JobRequest::Restore { to_folder, .. } => to_folder.is_none(),
        JobRequest::Reunite { .. } => true,
        _ => false,
    };
    let left = job.files.total.saturating_sub(job.files.done + job.files.skipped);
    if to_volume && !job.dry_run { left } else { 0 }
}

pub fn has_ended(report: &JobReport) -> bool {
    matches!(report.state.as_str(), "finished" | "failed" | "cancelled")
}

/// `about 2–4 min`; unknown is said as unknown.
pub fn eta(eta: Option<EtaRange>) -> String {
    match eta {
        Some(EtaRange { low_seconds, high_seconds }) => {
            format!("about {}", units::duration_range(low_seconds, high_seconds))
        }
        None => "not known yet".to_owned(),
    }
}

/// How long a job still takes, to stand by itself: `about 2–4 min left`.
pub fn time_left(report: &JobReport) -> String {
    match (report.eta, held(report)) {
        (Some(_), _) => format!("{} left", eta(report.eta)),
        (None, Some(why)) => format!("time left not known: {why}"),
        (None, None) => "time left not known yet".to_owned(),
    }
}

/// What holds a job up that is under way.
pub fn held(report: &JobReport) -> Option<&str> {
    report.held.as_deref().filter(|_| matches!(report.state.as_str(), "planning" | "running"))
}

/// Where files came from, by the name that a report has for it.
pub fn source(name: &str) -> &str {
    if name == REUNITED { "the volume itself" } else { name }
}

/// `12.5 MB/s, 410 files/s`
pub fn rate(report: &JobReport) -> String {
    let bytes = report.bytes_per_second.map(|rate| format!("{}/s", units::bytes(rate as u64)));
    let files = report.files_per_second.map(|rate| match rate {
        0.0..10.0 => format!("{rate:.1} files/s"),
        _ => format!("{} files/s", units::count(rate as u64)),
    });
    let parts: Vec<String> = bytes.into_iter().chain(files).collect();
    match (parts.is_empty(), has_ended(report)) {
        (false, _) => parts.join(", "),
        (true, false) => "not measured yet".to_owned(),
        (true, true) if report.seconds >= 1.0 => {
            format!("{}/s on average", units::bytes((report.bytes.done as f64 / report.seconds) as u64))
        }
        (true, true) => "over too soon to measure".to_owned(),
    }
}

/// What a job in this state can be told, and the words on the button.
pub fn controls(state: &str, tries_again: bool) -> &'static [(JobControl, &'static str)] {
    match state {
        // It is tried again by itself: who does not want that pauses it for good.
        "paused" if tries_again => &[
            (JobControl::Resume, "Try now"),
            (JobControl::Pause, "Stop trying"),
            (JobControl::Cancel, "Cancel"),
        ],
        "planning" | "running" => &[(JobControl::Pause, "Pause"), (JobControl::Cancel, "Cancel")],
        "planned" => &[(JobControl::Approve, "Approve and start"), (JobControl::Cancel, "Cancel")],
        "paused" => &[(JobControl::Resume, "Resume"), (JobControl::Cancel, "Cancel")],
        "finished" | "failed" | "cancelled" => &[(JobControl::Retry, "Retry what is left")],
        _ => &[],
    }
}

/// Why it is paused, and what comes next: `The disk is full. Next try at 03:12:10 UTC.`
pub fn paused(report: &JobReport) -> Option<String> {
    let reason = report.reason.as_ref().filter(|_| report.state == "paused")?;
    Some(match report.tries_again_at {
        Some(at) => format!("{}. Next try at {}.", sentence(reason), at.format("%H:%M:%S UTC")),
        None => format!("Paused: {reason}"),
    })
}

/// Whether there is anything to retry.
pub fn can_retry(report: &JobReport) -> bool {
    match report.state.as_str() {
        "finished" => report.files.failed > 0 && !report.dry_run,
        "failed" | "cancelled" => true,
        _ => false,
    }
}

/// How it went, in words, once it has ended.
pub fn outcome(report: &JobReport) -> Option<String> {
    let took = units::duration(report.seconds);
    let done = files(report.files.done);
    match report.state.as_str() {
        "failed" => Some(match &report.reason {
            Some(reason) => format!("It could not run: {reason}"),
            None => "It could not run; no reason was kept.".to_owned(),
        }),
        "cancelled" | "finished" if report.kind == JobKind::DiskCheck => {
            Some(disk_words::outcome(report, &took))
        }
        "cancelled" => Some(format!("Cancelled after {took}; {done} were done by then and stay so.")),
        "finished" if report.dry_run => {
            let failed = match report.files.failed {
                0 => String::new(),
                failed => format!(" {} would fail.", files(failed)),
            };
            Some(format!("Only the plan was asked for; nothing was moved.{failed}"))
        }
        "finished" => Some(match report.kind {
            JobKind::Check => checked(report, &took),
            JobKind::Protect if report.request.adopts() => {
                format!("{done} adopted in {took}.{}{}", lost(report), left(report))
            }
            JobKind::Protect => format!("{done} protected in {took}.{}", left(report)),
            JobKind::Restore => format!("{done} restored and verified in {took}.{}", left(report)),
            JobKind::Reunite => {
                format!("{done} back in place in {took}.{}{}", left(report), nameless(report))
            }
            JobKind::Drill => format!("{done} restored to scratch and verified in {took}.{}", left(report)),
            JobKind::DiskCheck => disk_words::outcome(report, &took),
        }),
        _ => None,
    }
}

/// What to do now; only where something is to be done.
pub fn next_step(report: &JobReport) -> Option<&'static str> {
    let in_service = report.volume_mode == Some(Mode::Normal);
    match (report.state.as_str(), report.kind) {
        (_, JobKind::DiskCheck) => disk_words::next_step(report),
        ("finished", _) if report.dry_run && report.files.failed > 0 => {
            Some("Read the reasons below, and mend what can be mended before you start it.")
        }
        ("finished", _) if report.files.failed > 0 => {
            Some("Read the reasons below, mend what can be mended, and retry what is left.")
        }
        ("finished", JobKind::Check | JobKind::Protect) if report.findings.losses() > 0 => {
            Some("Plan a restore: it shows from where and how long before anything moves.")
        }
        ("finished", JobKind::Restore) if report.plan.as_ref().is_some_and(|plan| plan.in_no_copy > 0) => {
            Some("Some files are in no copy. Tell their owners, or bring another backup as a copy.")
        }
        ("finished", JobKind::Reunite) if report.findings.orphan > 0 => {
            Some("Look at what stays nameless: the volume's findings list each with its type and size.")
        }
        ("finished", JobKind::Reunite | JobKind::Restore) if !report.dry_run && in_service => {
            Some("Run a full check: it tells whether anything is still lost.")
        }
        ("finished", JobKind::Reunite | JobKind::Restore) if !report.dry_run => {
            Some("Run a full check: when it finds nothing lost, the volume may return to normal.")
        }
        _ => None,
    }
}

/// How far a job is: parts that are done, of how many, and in words; before that is known the parts are none.
pub fn course(report: &JobReport) -> (u64, u64, String) {
    match (&report.disk_check, report.files) {
        (Some(check), _) => disk_words::far(check),
        (None, FileCounts { total: 0, .. }) => (0, 0, "counting …".to_owned()),
        (None, FileCounts { done, total, .. }) => {
            let words = format!("{} of {}", units::count(done), units::counted(total, "file", "files"));
            (done, total, words)
        }
    }
}

/// State as a badge.
pub fn state_badge(report: &JobReport) -> impl IntoView + use<> {
    let (tone, word) = badge::job(report.word(), report.exit_code() == 0);
    view! { <Badge tone word /> }
}

/// For a screen reader, at most once for each tenth of the way.
pub fn announcement(report: &JobReport) -> String {
    let (_, word): (Tone, _) = badge::job(report.word(), report.exit_code() == 0);
    match report.state.as_str() {
        "running" if course(report).1 > 0 => {
            let (done, total, _) = course(report);
            let percent = salvor_domain::progress::percent(done, total);
            format!("{word}, {} percent", percent / 10 * 10)
        }
        _ => word.to_owned(),
    }
}

fn checked(report: &JobReport, took: &str) -> String {
    let looked = format!("{} checked in {took}.", files(report.files.done));
    match (report.findings.losses(), report.findings.total()) {
        (0, 0) => format!("{looked} Everything is as it should be."),
        (0, other) => {
            format!("{looked} Nothing is lost; {}.", units::counted(other, "other finding", "other findings"))
        }
        (lost, _) => format!("{looked} {} lost or damaged.", units::counted(lost, "file is", "files are")),
    }
}

/// What an adopted copy has and the volume has not.
fn lost(report: &JobReport) -> String {
    match report.findings.losses() {
        0 => String::new(),
        lost => format!(" {} lost or damaged on the volume.", units::counted(lost, "file is", "files are")),
    }
}

fn left(report: &JobReport) -> String {
    let mut text = String::new();
    if report.files.failed > 0 {
        text.push_str(&format!(" {} not.", units::counted(report.files.failed, "file could", "files could")));
    }
    if let Some(lost) = report.plan.as_ref().map(|plan| plan.in_no_copy).filter(|lost| *lost > 0) {
        text.push_str(&format!(" {} in no copy.", units::counted(lost, "file is", "files are")));
    }
    text
}

/// What a reunite did not recognise, and where it lies.
fn nameless(report: &JobReport) -> String {
    let JobRequest::Reunite { from } = &report.request else { return String::new() };
    let place = if from.is_empty() { "lost+found".to_owned() } else { from.join(", ") };
    match report.findings.orphan {
        0 => String::new(),
        count => format!(
            " {} nameless in {place}.",
            units::counted(count, "unknown file stays", "unknown files stay")
        ),
    }
}

fn files(count: u64) -> String {
    units::counted(count, "file", "files")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::port::JobView;

    fn report(state: &str) -> JobReport {
        JobReport { state: state.into(), ..JobView::sample().report }
    }

    #[test]
    fn the_unknown_is_said_as_unknown() {
        assert_eq!(eta(None), "not known yet");
        assert_eq!(eta(Some(EtaRange { low_seconds: 120.0, high_seconds: 240.0 })), "about 2–4 min");
        let silent = JobReport { bytes_per_second: None, files_per_second: None, ..report("running") };
        assert_eq!(rate(&silent), "not measured yet");
        assert_eq!(rate(&report("running")), "30.0 kB/s, 1.0 files/s");
        let ended = JobReport { state: "finished".into(), seconds: 0.2, ..silent };
        assert_eq!(rate(&ended), "over too soon to measure");
        assert!(rate(&JobReport { seconds: 16.0, ..ended }).ends_with("/s on average"));
    }

    #[test]
    fn an_outcome_names_what_is_left() {
        assert_eq!(outcome(&report("running")), None);
        assert_eq!(
            outcome(&report("finished")).unwrap(),
            "40 files restored and verified in 42 s. 1 file could not. 1 file is in no copy."
        );
        let failed = JobReport { reason: Some("the folder is gone".into()), ..report("failed") };
        assert!(outcome(&failed).unwrap().contains("the folder is gone"));
    }

    #[test]
    fn a_stuck_job_says_when_it_is_tried_again() {
        let stuck = JobReport {
            reason: Some("the disk of the volume is full".into()),
            tries_again_at: chrono::DateTime::from_timestamp(11_530, 0),
            ..report("paused")
        };
        let words = paused(&stuck).unwrap();
        assert_eq!(words, "The disk of the volume is full. Next try at 03:12:10 UTC.");
        let by_hand = JobReport { reason: Some("ann asked for it".into()), tries_again_at: None, ..stuck };
        assert_eq!(paused(&by_hand).unwrap(), "Paused: ann asked for it");
        assert_eq!(paused(&JobReport { state: "running".into(), ..by_hand }), None);
    }

    #[test]
    fn who_waits_for_whom_shows_in_the_badge() {
        let at = chrono::DateTime::from_timestamp(11_530, 0);
        let stuck = JobReport { tries_again_at: at, ..report("paused") };
        assert_eq!(announcement(&stuck), "Stuck");
        assert_eq!(announcement(&report("paused")), "Paused");
    }

    #[test]
    fn an_end_that_is_not_known_says_why() {
        let silent = JobReport { eta: None, ..report("running") };
        assert_eq!(time_left(&report("running")), "about 12–25 s left");
        assert_eq!(time_left(&silent), "time left not known yet");
        let held = JobReport { held: Some("offsite is paused by its limit".into()), ..silent };
        assert_eq!(time_left(&held), "time left not known: offsite is paused by its limit");
    }

    #[test]
    fn a_plan_alone_tells_what_would_fail() {
        let plan = JobReport { dry_run: true, ..report("finished") };
        assert_eq!(
            outcome(&plan).unwrap(),
            "Only the plan was asked for; nothing was moved. 1 file would fail."
        );
        assert_eq!(announcement(&plan), "Finished, not all well");
        assert!(!next_step(&plan).unwrap().contains("retry"));
    }

    #[test]
    fn the_way_back_to_normal_is_told_only_to_who_is_not_there() {
        let well = |volume_mode| JobReport {
            files: salvor_domain::job::FileCounts { total: 40, done: 40, ..Default::default() },
            plan: None,
            volume_mode,
            ..report("finished")
        };
        assert!(!next_step(&well(Some(Mode::Normal))).unwrap().contains("normal"));
        assert!(next_step(&well(Some(Mode::ReadOnly))).unwrap().contains("return to normal"));
    }

    #[test]
    fn a_reunite_tells_what_stays_and_where() {
        let reunite = |orphan| JobReport {
            kind: JobKind::Reunite,
            request: JobRequest::Reunite { from: vec![] },
            files: salvor_domain::job::FileCounts { total: 40, done: 40, ..Default::default() },
            findings: salvor_domain::finding::FindingCounts { orphan, ..Default::default() },
            plan: None,
            ..report("finished")
        };
        assert_eq!(outcome(&reunite(0)).unwrap(), "40 files back in place in 42 s.");
        let some = reunite(2);
        assert_eq!(
            outcome(&some).unwrap(),
            "40 files back in place in 42 s. 2 unknown files stay nameless in lost+found."
        );
        assert!(next_step(&some).unwrap().contains("type and size"));
    }

    #[test]
    fn each_state_offers_only_what_it_takes() {
        use salvor_domain::job::JobState;
        let at = chrono::DateTime::UNIX_EPOCH;
        for state in [
            JobState::Planning { since: at },
            JobState::Planned { since: at },
            JobState::Running { since: at },
            JobState::Finished { at },
            JobState::Running { since: at }.stick("a".into(), "b".into(), at, at).unwrap(),
        ] {
            for (control, _) in controls(state.word(), state.tries_again_at().is_some()) {
                let taken = match control {
                    JobControl::Approve => state.clone().approve(at),
                    JobControl::Pause => state.clone().pause("a".into(), "b".into(), at),
                    JobControl::Resume => state.clone().resume(at),
                    JobControl::Cancel => state.clone().cancel("a".into(), at),
                    JobControl::Retry => state.clone().retry(true, at),
                };
                assert!(taken.is_ok(), "{control:?} in {state:?}");
            }
        }
    }

    #[test]
    fn a_scope_is_said_only_where_there_is_one() {
        assert_eq!(scope(&report("running")), None);
        let request = JobRequest::Restore {
            from: vec!["local".into()],
            paths: vec![Glob::new("rose/**")],
            files: vec![],
            to_folder: None,
        };
        assert_eq!(scope(&JobReport { request, ..report("running") }).unwrap(), "only rose/**; from local");
    }
}
