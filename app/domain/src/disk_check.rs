//! The full disk check: the file system's own tool runs on the volume's device. Which tools there are, how far one is, and what it
//! means when one has ended.
//!
//! Invariants: a check that did not come to its end is never called clean; one that repaired something is called repaired only after
//! a further run found nothing.

mod ending;
mod tally;

use chrono::{DateTime, Utc};

use crate::words;

pub use ending::{Exit, MOST_ROUNDS, Next, next};
pub use tally::Tally;

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
    /// A line of `e2fsck -C`: pass, current, most, and the device; others are passed over.
    pub fn read_progress(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let mut number = || words.next()?.parse::<u32>().ok();
        if let (Some(pass), Some(current), Some(most)) = (number(), number(), number()) {
            self.reach_in_pass(pass, current, most);
        }
    }

    pub fn reach(&mut self, percent: f64) {
        if percent.is_finite() {
            self.percent = Some(percent.clamp(self.percent.unwrap_or(0.0), 100.0));
        }
    }

    fn reach_in_pass(&mut self, pass: u32, current: u32, most: u32) {
        /// Where each pass of e2fsck begins and the last one ends, as its own bar has it.
        const ENDS: [f64; 6] = [0.0, 70.0, 90.0, 92.0, 95.0, 100.0];
        let at = usize::try_from(pass).unwrap_or(usize::MAX);
        let (Some(from), Some(to)) = (at.checked_sub(1).and_then(|at| ENDS.get(at)), ENDS.get(at)) else {
            return;
        };
        self.pass = Some(pass);
        let part = if most == 0 { 1.0 } else { f64::from(current.min(most)) / f64::from(most) };
        self.reach(from + (to - from) * part);
    }
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
    /// `pass 2 of 5`
    pub fn pass_in_words(&self) -> Option<String> {
        let ((word, most), pass) = (self.tool.passes()?, self.pass?);
        Some(format!("{word} {pass} of {most}"))
    }
}

#[cfg(test)]
mod tests;
