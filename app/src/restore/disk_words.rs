//! What the pages say of a disk check: plain functions from a report to words.

use salvor_domain::disk_check::{DiskCheckReport, DiskVerdict};
use salvor_domain::job::{JobKind, JobReport};

/// How far: parts of a thousand where the tool tells, and words. `pass 2 of 5, 71 %`
pub fn far(check: &DiskCheckReport) -> (u64, u64, String) {
    let percent = check.percent.map(|percent| percent.clamp(0.0, 100.0));
    let told = percent.map(|percent| format!("{percent:.0} %"));
    let words: Vec<String> = check.pass_in_words().into_iter().chain(told).collect();
    let words = match (words.is_empty(), check.round) {
        (false, _) => words.join(", "),
        (true, 0) => "not begun yet".to_owned(),
        (true, _) => "it does not tell how far it is".to_owned(),
    };
    percent.map_or((0, 0, words.clone()), |percent| ((percent * 10.0) as u64, 1_000, words.clone()))
}

/// A repair that runs cannot be paused.
pub fn can_pause(report: &JobReport) -> bool {
    let check = report.disk_check.as_ref();
    check.is_none_or(|check| check.can_pause || check.round == 0 || report.state != "running")
}

/// How it went, once it has ended.
pub fn outcome(report: &JobReport, took: &str) -> String {
    let summary = report.disk_check.as_ref().and_then(|check| check.summary.as_deref());
    match report.state.as_str() {
        "cancelled" => format!("Cancelled after {took}: the file system is not checked now."),
        _ if report.dry_run => {
            format!(
                "Only the plan was asked for, and nothing was run: {}.",
                summary.unwrap_or("it is being planned")
            )
        }
        _ => format!("After {took}: {}.", summary.unwrap_or("it did not say what it found")),
    }
}

/// What to do now.
pub fn next_step(report: &JobReport) -> Option<&'static str> {
    let check =
        report.disk_check.as_ref().filter(|_| report.kind == JobKind::DiskCheck && !report.dry_run)?;
    let is_scrub = check.tool.is_scrub();
    match (report.state.as_str(), check.verdict?) {
        ("finished", DiskVerdict::Clean | DiskVerdict::Repaired) if check.reconnected_inodes > 0 => Some(
            "Mount the volume, bring it back to read-only, and run reunite: it puts the nameless files back. Then a full check.",
        ),
        ("finished", DiskVerdict::Clean | DiskVerdict::Repaired) if is_scrub => None,
        ("finished", DiskVerdict::Clean | DiskVerdict::Repaired) => Some(
            "Mount the volume, bring it back to read-only, and run a full check: it tells whether files are lost.",
        ),
        ("finished", DiskVerdict::Damaged) => {
            Some("Read its output. Keep the volume out of service: what it could not mend is still wrong.")
        }
        ("finished" | "failed" | "cancelled", _) => {
            Some("Start it again: until it has come to its end, nothing is known of the file system.")
        }
        _ => None,
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::restore::port::JobView;
    use salvor_domain::disk_check::DiskTool;
    use salvor_domain::job::JobRequest;

    pub fn sample() -> JobReport {
        JobReport {
            kind: JobKind::DiskCheck,
            request: JobRequest::DiskCheck {},
            plan: Some(Default::default()),
            disk_check: Some(DiskCheckReport::sample()),
            files: Default::default(),
            bytes: Default::default(),
            sources: Default::default(),
            failures: vec![],
            eta: None,
            ..JobView::sample().report
        }
    }

    #[test]
    fn the_unknown_is_said_as_unknown() {
        let check = DiskCheckReport::sample();
        assert_eq!(far(&check), (713, 1_000, "pass 2 of 5, 71 %".into()));
        let silent = DiskCheckReport { tool: DiskTool::XfsRepair, percent: None, ..check.clone() };
        assert_eq!(far(&silent), (0, 0, "phase 2 of 7".into()));
        let silent = DiskCheckReport { pass: None, ..silent };
        assert_eq!(far(&silent).2, "it does not tell how far it is");
        assert_eq!(far(&DiskCheckReport { round: 0, ..silent }).2, "not begun yet");
    }

    #[test]
    fn a_repair_is_not_the_end() {
        let ended = |verdict, reconnected_inodes| {
            let mut report = JobReport { state: "finished".into(), ..sample() };
            let check = report.disk_check.as_mut().unwrap();
            (check.verdict, check.reconnected_inodes) = (Some(verdict), reconnected_inodes);
            next_step(&report).unwrap()
        };
        assert!(ended(DiskVerdict::Repaired, 25).contains("reunite"));
        assert!(ended(DiskVerdict::Clean, 0).contains("full check"));
        assert!(ended(DiskVerdict::Damaged, 0).contains("out of service"));
        assert!(ended(DiskVerdict::Unfinished, 0).contains("Start it again"));
        assert_eq!(next_step(&sample()), None);
        let cancelled = JobReport { state: "cancelled".into(), ..sample() };
        assert_eq!(
            outcome(&cancelled, "3 min"),
            "Cancelled after 3 min: the file system is not checked now."
        );
        assert!(!can_pause(&sample()) && can_pause(&JobView::sample().report));
    }
}
