//! The full disk check: the file system's own tool runs on the volume's device. Which tools there are, how far one is, and what it
//! means when one has ended.
//!
//! Invariants: a check that did not come to its end is never called clean; one that repaired something is called repaired only after
//! a further run found nothing.

mod ending;

use chrono::{DateTime, Utc};

use crate::words;

pub use ending::{Exit, MOST_ROUNDS, Next, next};

words! {
    DiskTool ("tool for disk checks") {
        E2fsck = "e2fsck",
        XfsRepair = "xfs_repair",
        BtrfsScrub = "btrfs_scrub",
        ZpoolScrub = "zpool_scrub",
    }
}

words! {
    DiskVerdict ("verdict of a disk check") {
        /// Nothing was wrong.
        Clean = "clean",
        /// Something was, and a further run found nothing any more.
        Repaired = "repaired",
        /// Something is wrong that the tool did not mend.
        Damaged = "damaged",
        /// It broke off: the file system is not checked.
        Unfinished = "unfinished",
    }
}

impl DiskVerdict {
    pub fn is_well(self) -> bool {
        matches!(self, Self::Clean | Self::Repaired)
    }
}

/// Stands for the configured device in a command.
pub const DEVICE: &str = "{device}";

impl DiskTool {
    /// As its makers call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::E2fsck => "e2fsck",
            Self::XfsRepair => "xfs_repair",
            Self::BtrfsScrub => "btrfs scrub",
            Self::ZpoolScrub => "zpool scrub",
        }
    }

    /// A scrub works on a file system that is mounted; the others must have theirs alone.
    pub fn is_scrub(self) -> bool {
        matches!(self, Self::BtrfsScrub | Self::ZpoolScrub)
    }

    /// What is run where the configuration names no command.
    pub fn usual_command(self) -> &'static [&'static str] {
        match self {
            // It tells its progress on descriptor 3.
            Self::E2fsck => &["e2fsck", "-f", "-y", "-C", "3", DEVICE],
            // With -e its exit code tells whether it found anything.
            Self::XfsRepair => &["xfs_repair", "-e", DEVICE],
            Self::BtrfsScrub => &["btrfs", "scrub", "start", "-B", "-d", DEVICE],
            Self::ZpoolScrub => &["zpool", "scrub", "-w", DEVICE],
        }
    }

    /// What a part of its work is called, and how many there are.
    pub fn passes(self) -> Option<(&'static str, u32)> {
        match self {
            Self::E2fsck => Some(("pass", 5)),
            Self::XfsRepair => Some(("phase", 7)),
            Self::BtrfsScrub | Self::ZpoolScrub => None,
        }
    }
}

/// How far a run is. A tool may step back within a pass, or begin again: the pass is shown as it comes, the percentage of a run
/// never falls.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Course {
    pub pass: Option<u32>,
    /// Absent when the tool does not tell.
    pub percent: Option<f64>,
}

impl Course {
    /// In this pass; so far of the whole run, in percent.
    pub fn reach_in(&mut self, pass: u32, percent: f64) {
        self.pass = Some(pass);
        self.reach(percent);
    }

    pub fn reach(&mut self, percent: f64) {
        if percent.is_finite() {
            self.percent = Some(percent.clamp(self.percent.unwrap_or(0.0), 100.0));
        }
    }
}

/// What the tool's own words tell of what it found: sums over all runs of a check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tally {
    /// Names in folders that led nowhere and were removed.
    pub cleared_entries: u64,
    /// Files that no folder named and that lie in lost+found now.
    pub reconnected_inodes: u64,
    /// Errors that were mended from another copy (scrubs).
    pub corrected: u64,
    /// Errors that could not be mended.
    pub uncorrectable: u64,
    /// It said that it came to its end (scrubs).
    pub finished: bool,
    /// It said that it was broken off (scrubs).
    pub aborted: bool,
    /// A run mended something: see [`next`].
    pub changed: bool,
}

/// A disk check as a job's report has it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct DiskCheckReport {
    pub tool: DiskTool,
    /// As it is run, for people.
    pub command: String,
    /// What it is run on: a device, or for scrubs a mount point or a pool.
    pub device: String,
    /// How often it was run, this run included; 0 before the first.
    pub round: u32,
    /// Of this run: see [`Course`].
    pub pass: Option<u32>,
    pub percent: Option<f64>,
    pub exit_code: Option<i32>,
    pub verdict: Option<DiskVerdict>,
    /// The verdict in words.
    pub summary: Option<String>,
    /// All that it said; of very many the middle is not kept.
    pub output_lines: u64,
    pub output_left_out: u64,
    /// The last of them.
    pub tail: Vec<String>,
    /// Of files and folders that are gone.
    pub cleared_entries: u64,
    /// What now lies nameless in lost+found.
    pub reconnected_inodes: u64,
    /// `working, 12 MB read`; absent when it does not run.
    pub activity: Option<String>,
    pub last_io_at: Option<DateTime<Utc>>,
    /// Whether it may be paused and go on where it was.
    pub can_pause: bool,
}

impl DiskCheckReport {
    /// One that runs.
    pub fn sample() -> Self {
        Self {
            tool: DiskTool::E2fsck,
            command: "e2fsck -f -y -C 3 /dev/sdb1".into(),
            device: "/dev/sdb1".into(),
            round: 1,
            pass: Some(2),
            percent: Some(71.3),
            exit_code: None,
            verdict: None,
            summary: None,
            output_lines: 12_000,
            output_left_out: 2_000,
            tail: vec![
                "Pass 1: Checking inodes, blocks, and sizes".into(),
                "Pass 2: Checking directory structure".into(),
            ],
            cleared_entries: 16,
            reconnected_inodes: 0,
            activity: Some("working, 12.0 MB read".into()),
            last_io_at: Some(DateTime::UNIX_EPOCH),
            can_pause: false,
        }
    }

    /// `pass 2 of 5`
    pub fn pass_in_words(&self) -> Option<String> {
        let ((word, most), pass) = (self.tool.passes()?, self.pass?);
        Some(format!("{word} {pass} of {most}"))
    }
}

#[cfg(test)]
mod tests;
