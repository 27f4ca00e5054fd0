//! What a tool's own lines tell of what it found, counted line by line as they come.

use super::{Course, DiskTool};

/// Sums over all runs of a check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tally {
    /// Entries of folders that led nowhere and were removed.
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
    /// A run mended something: see [`super::next`].
    pub changed: bool,
}

impl Tally {
    /// Takes one line of output; a tool that tells its progress among them moves the course.
    pub fn read(&mut self, tool: DiskTool, line: &str, course: &mut Course) {
        match tool {
            DiskTool::E2fsck => self.read_e2fsck(line),
            DiskTool::XfsRepair => self.read_xfs(line, course),
            DiskTool::BtrfsScrub => self.read_btrfs(line, course),
            DiskTool::ZpoolScrub => self.read_zpool(line, course),
        }
    }

    fn read_e2fsck(&mut self, line: &str) {
        self.cleared_entries += u64::from(line.starts_with("Entry '") && line.ends_with("Clear? yes"));
        self.reconnected_inodes += u64::from(line.ends_with("Connect to /lost+found? yes"));
    }

    fn read_xfs(&mut self, line: &str, course: &mut Course) {
        if let Some(phase) = line.strip_prefix("Phase ").and_then(first_number) {
            course.pass = u32::try_from(phase).ok();
        }
        let moved = line.starts_with("disconnected ") && line.contains(", moving to lost+found");
        self.reconnected_inodes += u64::from(moved);
        self.cleared_entries += u64::from(line.starts_with("entry \"") && line.contains(", junking entry"));
    }

    fn read_btrfs(&mut self, line: &str, course: &mut Course) {
        let Some((key, value)) = line.split_once(':') else { return };
        let value = value.trim();
        match key.trim() {
            "Status" if value == "finished" => self.finished = true,
            "Status" if value != "running" => self.aborted = true,
            "Corrected" => self.corrected += first_number(value).unwrap_or(0),
            "Uncorrectable" => self.uncorrectable += first_number(value).unwrap_or(0),
            "Bytes scrubbed" => {
                let percent = value.split_once('(').and_then(|(_, rest)| rest.split_once('%'));
                if let Some(percent) = percent.and_then(|(percent, _)| percent.trim().parse().ok()) {
                    course.reach(percent);
                }
            }
            _ => {}
        }
    }

    /// Lines of `zpool status`.
    fn read_zpool(&mut self, line: &str, course: &mut Course) {
        let line = line.trim();
        if let Some(percent) = line.split_once("% done").map(|(before, _)| before)
            && let Some(percent) = percent.rsplit([' ', ',']).next().and_then(|word| word.parse().ok())
        {
            course.reach(percent);
        }
        if line.starts_with("scan: scrub canceled") {
            self.aborted = true;
        }
        let Some(rest) = line.strip_prefix("scan: scrub repaired ") else { return };
        self.finished = true;
        self.corrected += u64::from(!rest.starts_with("0B ") && !rest.starts_with("0 "));
        let errors = rest.split_once(" with ").and_then(|(_, errors)| first_number(errors));
        self.uncorrectable += errors.unwrap_or(0);
    }
}

fn first_number(text: &str) -> Option<u64> {
    let digits = text.trim_start();
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}
