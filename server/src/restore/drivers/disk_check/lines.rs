//! What the tools tell line by line while they run: counted, and how far they are. The probes know e2fsck's words.

use salvor_domain::disk_check::{Course, DiskTool, Tally};
use salvor_probes::e2fsck::{Progress, Summary};

/// A line of e2fsck's own progress, which has a descriptor to itself.
pub fn progress(line: &str, course: &mut Course) {
    if let Ok(progress) = line.parse::<Progress>() {
        course.reach_in(progress.pass.into(), progress.share() * 100.0);
    }
}

/// A line of output. A tool that tells its progress among them moves the course.
pub fn read(tool: DiskTool, line: &str, tally: &mut Tally, course: &mut Course) {
    match tool {
        DiskTool::E2fsck => e2fsck(line, tally),
        DiskTool::XfsRepair => xfs(line, tally, course),
        DiskTool::BtrfsScrub => btrfs(line, tally, course),
        DiskTool::ZpoolScrub => zpool(line, tally, course),
    }
}

fn e2fsck(line: &str, tally: &mut Tally) {
    let told = Summary::read(line);
    tally.cleared_entries += told.cleared_entries;
    tally.reconnected_inodes += told.reconnected_inodes;
}

fn xfs(line: &str, tally: &mut Tally, course: &mut Course) {
    if let Some(phase) = line.strip_prefix("Phase ").and_then(first_number) {
        course.pass = u32::try_from(phase).ok();
    }
    let is_moved = line.starts_with("disconnected ") && line.contains(", moving to lost+found");
    tally.reconnected_inodes += u64::from(is_moved);
    tally.cleared_entries += u64::from(line.contains("junking entry"));
}

/// Lines of `btrfs scrub start -B`, and of `btrfs scrub status`.
fn btrfs(line: &str, tally: &mut Tally, course: &mut Course) {
    let Some((key, value)) = line.split_once(':') else { return };
    let value = value.trim();
    match key.trim() {
        "Status" if value == "finished" => tally.finished = true,
        "Status" if value != "running" => tally.aborted = true,
        "Corrected" => tally.corrected += first_number(value).unwrap_or(0),
        "Uncorrectable" => tally.uncorrectable += first_number(value).unwrap_or(0),
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
fn zpool(line: &str, tally: &mut Tally, course: &mut Course) {
    let line = line.trim();
    if let Some((before, _)) = line.split_once("% done")
        && let Some(percent) = before.rsplit([' ', ',']).next().and_then(|word| word.parse().ok())
    {
        course.reach(percent);
    }
    if line.starts_with("scan: scrub canceled") {
        tally.aborted = true;
    }
    let Some(rest) = line.strip_prefix("scan: scrub repaired ") else { return };
    tally.finished = true;
    tally.corrected += u64::from(!rest.starts_with("0B ") && !rest.starts_with("0 "));
    let errors = rest.split_once(" with ").and_then(|(_, errors)| first_number(errors));
    tally.uncorrectable += errors.unwrap_or(0);
}

fn first_number(text: &str) -> Option<u64> {
    let digits = text.trim_start();
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(tool: DiskTool, text: &str) -> (Tally, Course) {
        let (mut tally, mut course) = (Tally::default(), Course::default());
        text.lines().for_each(|line| read(tool, line, &mut tally, &mut course));
        (tally, course)
    }

    #[test]
    fn lines_are_counted_as_the_tools_say_them() {
        let (tally, _) = told(
            DiskTool::E2fsck,
            "Entry 'file02.bin' in /c12 (25611) has deleted/unused inode 289.  Clear? yes\n\
             Unconnected directory inode 25620 (was in /)\nConnect to /lost+found? yes\n\
             Unattached inode 12  Connect to /lost+found? yes\nFix? yes\n",
        );
        assert_eq!((tally.cleared_entries, tally.reconnected_inodes), (1, 2));
        let (tally, course) = told(
            DiskTool::BtrfsScrub,
            "Status:           finished\nBytes scrubbed:   77.25MiB  (38.48%)\nError summary:    csum=5632\n  \
             Corrected:      5632\n  Uncorrectable:  1\n",
        );
        assert_eq!((tally.corrected, tally.uncorrectable, tally.finished), (5_632, 1, true));
        assert_eq!(course.percent, Some(38.48));
        let (tally, course) = told(
            DiskTool::XfsRepair,
            "Phase 6 - check inode connectivity...\njunking entry \"site 1\" in directory inode 128\n\
             disconnected inode 786561, moving to lost+found\n",
        );
        assert_eq!((tally.cleared_entries, tally.reconnected_inodes, course.pass), (1, 1, Some(6)));
        let (tally, course) = told(
            DiskTool::ZpoolScrub,
            "\t0B repaired, 12.34% done, 00:01:10 to go\n  scan: scrub repaired 0B in 00:00:01 with 3 errors on Sun\n",
        );
        assert_eq!((tally.corrected, tally.uncorrectable, tally.finished), (0, 3, true));
        assert_eq!(course.percent, Some(12.34));
    }

    #[test]
    fn progress_may_step_back_and_the_bar_does_not() {
        let mut course = Course::default();
        for (line, pass, percent) in [
            ("1 1 2 /dev/sdb1", 1, 35.0),
            ("5 4 4 /dev/sdb1", 5, 100.0),
            ("5 3 4 /dev/sdb1", 5, 100.0),
            ("nothing that could be read", 5, 100.0),
            ("1 0 2 my label", 1, 100.0),
        ] {
            progress(line, &mut course);
            assert_eq!((course.pass, course.percent), (Some(pass), Some(percent)), "{line}");
        }
    }
}
