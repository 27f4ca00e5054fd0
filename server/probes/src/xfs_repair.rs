//! `xfs_repair -n`: what a check of an XFS found. It changes nothing, and says what it would do.
//!
//! A clean run says only where it is. So every line that is not known to be such a line counts as damage: an unknown complaint must
//! not pass for well.

use std::collections::BTreeSet;

use salvor_domain::health::Level;

use crate::inspect::Subject;

const LAST: &str = "No modify flag set, skipping filesystem flush and exiting.";

pub fn is_one(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("Phase 1 - "))
}

pub fn inspect(text: &str) -> Vec<Subject> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    if !is_one(text) {
        return vec![Subject::unknown("check", "it is not the output of xfs_repair: \"Phase 1\" is missing")];
    }
    let findings: Vec<&str> = lines.iter().copied().filter(|line| !is_progress(line)).collect();
    let is_complete = lines.contains(&LAST);
    let is_corrupt = !findings.is_empty();
    let log_ignored = text.contains("valuable metadata changes in a log which is being");
    let dirs = inodes_after(&findings, "directory inode ");
    let disconnected = inodes_after(&findings, "disconnected inode ").len();
    let subject = match (is_corrupt, is_complete) {
        (true, _) if log_ignored => Subject::new(
            "check",
            Level::Warning,
            "its log was not replayed, so that what the check found may not be so: mount and unmount it, then check again",
        ),
        (true, true) => {
            let reason = format!(
                "it is corrupt: {} complaints, {disconnected} inodes would move to lost+found: run xfs_repair",
                findings.len()
            );
            Subject::new("check", Level::Critical, reason)
        }
        (true, false) => {
            Subject::new("check", Level::Critical, "it is corrupt, and the check did not come to its end")
        }
        (false, true) => Subject::new("check", Level::Ok, "the check came to its end and found nothing"),
        (false, false) => Subject::unknown("check", "the check did not come to its end"),
    };
    let dir = dirs.iter().next().copied();
    vec![
        subject
            .with("rc", rc(is_corrupt, is_complete))
            .with("corrupt", is_corrupt.then_some(true).or(is_complete.then_some(false)))
            .with("complaints", findings.len())
            .with("disconnected_inodes", disconnected)
            .with_some("dir_inode", dir),
    ]
}

/// What xfs_repair -n exits with: 1 for corruption, 0 for none.
fn rc(is_corrupt: bool, is_complete: bool) -> Option<u8> {
    is_complete.then_some(u8::from(is_corrupt))
}

/// `Phase 3 - for each AG...`, `        - agno = 0`, and what -n says of itself.
fn is_progress(line: &str) -> bool {
    line.strip_prefix("Phase ").is_some_and(|rest| rest.as_bytes().get(1..4) == Some(b" - "))
        || line.starts_with("        - ")
        || line.starts_with("No modify flag set, skipping ")
}

fn inodes_after(lines: &[&str], words: &str) -> BTreeSet<u64> {
    lines
        .iter()
        .filter_map(|line| line.split_once(words))
        .filter_map(|(_, rest)| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        })
        .collect()
}
