//! `e2fsck`: the lines of progress that `-C FD` writes to a file descriptor, and what its output says at the end.
//!
//! Its exit code is not recovery: files may lie nameless in `lost+found`, and others be gone. So a check that repaired something is
//! never simply well.

use std::str::FromStr;

use salvor_domain::health::Level;

use crate::inspect::Subject;

/// One line of progress: `<pass> <cur> <max> <label>`. Within a pass they may go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// 1 to 5.
    pub pass: u8,
    pub done: u64,
    pub total: u64,
    /// The file system's label, or its device.
    pub label: String,
}

/// What the output says of the whole check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Names of files that were removed from folders, because what they named is gone.
    pub cleared_entries: u64,
    /// Files without a name that were put into `lost+found`.
    pub reconnected_inodes: u64,
    pub was_modified: bool,
    /// It could not, or was not allowed to, repair everything.
    pub has_errors_left: bool,
    /// `515/51200 files, 8346/51200 blocks`: the last line of a check that came to its end.
    pub last: Option<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("\"{0}\" is not a line of progress such as \"2 7 25 uploads\"")]
pub struct NotProgress(String);

pub fn inspect(text: &str) -> Vec<Subject> {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    vec![if first.parse::<Progress>().is_ok() { progress(text) } else { Summary::read(text).judge() }]
}

fn progress(text: &str) -> Subject {
    let lines: Vec<Progress> = text.lines().filter_map(|line| line.parse().ok()).collect();
    let figures = |line: &Progress| format!("{} {} {}", line.pass, line.done, line.total);
    let back: Vec<String> = lines
        .windows(2)
        .filter_map(|pair| match pair {
            [one, two] if (two.pass, two.done) <= (one.pass, one.done) => {
                Some(format!("\"{}\" then \"{}\"", figures(one), figures(two)))
            }
            _ => None,
        })
        .take(10)
        .collect();
    let note = if back.is_empty() {
        "strictly increasing".into()
    } else {
        format!("not strictly increasing: {}", back.join("; "))
    };
    let passes = lines.iter().map(|line| line.pass);
    let range = passes.clone().min().zip(passes.max()).map(|(first, last)| format!("{first}..{last}"));
    Subject::unknown("check", "progress alone does not tell how the check ended")
        .with("format", "<pass> <cur> <max> <label>")
        .with("lines", lines.len())
        .with("note", note)
        .with_some("passes", range)
        .with_some("last", lines.last().map(|line| format!("{} {}", figures(line), line.label)))
        .with_some("done_pct", lines.last().map(|line| (line.share() * 1000.0).round() / 10.0))
}

impl Progress {
    /// Of the whole check, 0 to 1, as e2fsck weighs its own bar: most of the time goes into the first pass.
    pub fn share(&self) -> f64 {
        const STARTS: [f64; 6] = [0.0, 0.70, 0.90, 0.92, 0.95, 1.0];
        let pass = usize::from(self.pass);
        let start = STARTS.get(pass.saturating_sub(1)).copied().unwrap_or(1.0);
        let end = STARTS.get(pass).copied().unwrap_or(1.0);
        let within = if self.total == 0 { 1.0 } else { (self.done as f64 / self.total as f64).min(1.0) };
        start + (end - start) * within
    }
}

impl FromStr for Progress {
    type Err = NotProgress;

    fn from_str(line: &str) -> Result<Self, NotProgress> {
        let malformed = || NotProgress(line.chars().take(80).collect());
        let mut words = line.trim_end().splitn(4, ' ');
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).ok_or_else(malformed);
        let (pass, done, total) = (number()?, number()?, number()?);
        let label = words.next().filter(|label| !label.is_empty()).ok_or_else(malformed)?;
        match u8::try_from(pass) {
            Ok(pass @ 1..=5) => Ok(Self { pass, done, total, label: label.to_owned() }),
            _ => Err(malformed()),
        }
    }
}

impl Summary {
    /// Of all that e2fsck wrote, with or without the bar that `-C 0` draws.
    pub fn read(text: &str) -> Self {
        let mut summary = Self::default();
        for line in text.lines() {
            // `-y` answers, `-p` tells.
            let is_cleared = line.contains("Clear? yes") || line.contains("CLEARED");
            summary.cleared_entries += u64::from(is_cleared && line.contains("Entry '"));
            summary.reconnected_inodes +=
                u64::from(line.contains("Connect to /lost+found? yes") || line.contains("RECONNECTED"));
            summary.was_modified |= line.contains("***** FILE SYSTEM WAS MODIFIED *****");
            summary.has_errors_left |= line.contains("WARNING: Filesystem still has errors")
                || line.contains("UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY");
            if let Some(last) = last_line(line) {
                summary.last = Some(last);
            }
        }
        summary
    }

    /// What e2fsck exits with after such a text; unknown where it did not come to its end.
    pub fn exit_code(&self) -> Option<u8> {
        match (&self.last, self.has_errors_left, self.was_modified) {
            (_, true, _) => Some(4),
            (None, ..) => None,
            (_, false, modified) => Some(u8::from(modified)),
        }
    }

    fn judge(&self) -> Subject {
        let (cleared, nameless) = (self.cleared_entries, self.reconnected_inodes);
        let subject = if self.has_errors_left {
            Subject::new("check", Level::Critical, "errors are left in the file system: run e2fsck -fy")
        } else if self.last.is_none() {
            Subject::unknown(
                "check",
                "the check did not come to its end: its last line, of files and blocks, is missing",
            )
        } else if cleared > 0 || nameless > 0 {
            let reason = format!(
                "repaired, and not whole: {cleared} names were cleared, {nameless} files lie in lost+found: reunite, then a full check"
            );
            Subject::new("check", Level::Warning, reason)
        } else if self.was_modified {
            Subject::new("check", Level::Warning, "repaired: a full check tells whether files are missing")
        } else {
            Subject::new("check", Level::Ok, "the check came to its end and changed nothing")
        };
        subject
            .with("rc", self.exit_code())
            .with("cleared_entries", cleared)
            .with("reconnected_inodes", nameless)
            .with("modified", self.was_modified)
            .with("final", self.last.clone())
    }
}

/// `515/51200 files, 8346/51200 blocks` of `uploads: 515/51200 files (0.0% non-contiguous), 8346/51200 blocks`.
fn last_line(line: &str) -> Option<String> {
    let (_, rest) = line.rsplit_once(": ")?;
    let rest = rest.strip_prefix("clean, ").unwrap_or(rest);
    let (files, rest) = rest.split_once(" files")?;
    let (_, blocks) = rest.split_once(", ")?;
    let (blocks, _) = blocks.split_once(" blocks")?;
    let is_share = |text: &str| {
        text.split_once('/')
            .is_some_and(|(part, all)| part.parse::<u64>().is_ok() && all.parse::<u64>().is_ok())
    };
    (is_share(files) && is_share(blocks)).then(|| format!("{files} files, {blocks} blocks"))
}
