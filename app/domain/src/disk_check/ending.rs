//! What comes after a run: a further one, a verdict, or the word that it could not run. Exit codes as the tools' manuals have them.

use super::{DiskTool, DiskVerdict, Tally};
use crate::units;

/// Runs of one check, at the most.
pub const MOST_ROUNDS: u32 = 5;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

/// What a run that ended leads to, in words for people without a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Run it once more.
    Again(String),
    Ended(DiskVerdict, String),
    /// It could not run, or was killed: nothing is known of the file system.
    Failed(String),
}

/// After the run number `round` (from 1), with what all runs told.
pub fn next(tool: DiskTool, exit: Exit, round: u32, tally: &Tally) -> Next {
    let code = match exit {
        Exit::Code(code) => code,
        Exit::Signal(signal) => {
            return Next::Failed(format!(
                "{} was killed by signal {signal}: the file system is not checked",
                tool.name()
            ));
        }
    };
    if let Some(why) = could_not_start(code) {
        return Next::Failed(why);
    }
    match tool {
        DiskTool::E2fsck => after_e2fsck(code, round, tally),
        DiskTool::XfsRepair => after_xfs_repair(code, round, tally),
        DiskTool::BtrfsScrub => after_btrfs_scrub(code, tally),
        DiskTool::ZpoolScrub => after_zpool_scrub(code, tally),
    }
}

/// What wrappers (`nice`, `env`) answer when they cannot start what they are to.
fn could_not_start(code: i32) -> Option<String> {
    match code {
        126 => Some("the command may not be executed (exit code 126)".into()),
        127 => Some("the command was not found (exit code 127)".into()),
        _ => None,
    }
}

fn after_e2fsck(code: i32, round: u32, tally: &Tally) -> Next {
    const CORRECTED: i32 = 1;
    const REBOOT: i32 = 2;
    const LEFT: i32 = 4;
    const BROKE_OFF: i32 = 8;
    const USAGE: i32 = 16;
    const CANCELLED: i32 = 32;
    const LIBRARY: i32 = 128;
    let said = format!("exit code {code}");
    if code & LIBRARY != 0 {
        return Next::Failed(format!("e2fsck lacks a library ({said}): install e2fsprogs anew"));
    }
    if code & USAGE != 0 {
        return Next::Failed(format!(
            "e2fsck does not understand its command ({said}): mend `command` in the configuration"
        ));
    }
    if code & CANCELLED != 0 {
        let words = format!("e2fsck was cancelled ({said}): the file system is not checked now");
        return Next::Ended(DiskVerdict::Unfinished, words);
    }
    if code & LEFT != 0 {
        let words =
            format!("e2fsck left errors that it could not correct ({said}): read its output{}", found(tally));
        return Next::Ended(DiskVerdict::Damaged, words);
    }
    if code == BROKE_OFF {
        return Next::Failed(format!("e2fsck could not work on the device ({said}): its output says why"));
    }
    if code & BROKE_OFF != 0 {
        let words = format!("e2fsck broke off ({said}): the file system is not checked now");
        return Next::Ended(DiskVerdict::Unfinished, words);
    }
    match code {
        0 => well("e2fsck", tally),
        _ if code & !(CORRECTED | REBOOT) == 0 => again("e2fsck", &said, round),
        _ => Next::Failed(format!("e2fsck ended in a way that it does not describe ({said})")),
    }
}

fn after_xfs_repair(code: i32, round: u32, tally: &Tally) -> Next {
    let said = format!("exit code {code}");
    match code {
        0 => well("xfs_repair", tally),
        1 if round < MOST_ROUNDS => {
            Next::Again(format!("xfs_repair broke off and is to be run again ({said})"))
        }
        1 => Next::Ended(
            DiskVerdict::Unfinished,
            format!(
                "xfs_repair broke off {round} times ({said}): the disk itself may be failing; read its output"
            ),
        ),
        2 => Next::Failed(format!(
            "the log of the file system holds changes that are not written yet ({said}): mount it and unmount it once, then try again"
        )),
        4 => again("xfs_repair", &said, round),
        _ => Next::Failed(format!("xfs_repair ended in a way that it does not describe ({said})")),
    }
}

fn after_btrfs_scrub(code: i32, tally: &Tally) -> Next {
    let said = format!("exit code {code}");
    match code {
        1 => Next::Failed(format!("btrfs scrub could not be performed ({said}): its output says why")),
        2 => Next::Failed(format!("btrfs has no scrub to resume ({said})")),
        0 | 3 => scrubbed("btrfs scrub", &said, code == 3, tally),
        _ => Next::Failed(format!("btrfs scrub ended in a way that it does not describe ({said})")),
    }
}

fn after_zpool_scrub(code: i32, tally: &Tally) -> Next {
    let said = format!("exit code {code}");
    match code {
        0 => scrubbed("zpool scrub", &said, false, tally),
        _ => Next::Failed(format!("zpool scrub could not be performed ({said}): its output says why")),
    }
}

/// A scrub that does not say that it finished is not clean, whatever it found until then.
fn scrubbed(name: &str, said: &str, has_errors: bool, tally: &Tally) -> Next {
    if tally.uncorrectable > 0 || has_errors {
        let errors = match tally.uncorrectable {
            0 => "errors".to_owned(),
            count => units::counted(count, "error", "errors"),
        };
        let words = format!(
            "{name} found {errors} that it could not correct ({said}): run a full check, it names the files"
        );
        return Next::Ended(DiskVerdict::Damaged, words);
    }
    if tally.aborted || !tally.finished {
        let words = format!("{name} broke off ({said}): the file system is not checked now");
        return Next::Ended(DiskVerdict::Unfinished, words);
    }
    match tally.corrected {
        0 => Next::Ended(DiskVerdict::Clean, format!("{name} found nothing wrong")),
        count => Next::Ended(
            DiskVerdict::Repaired,
            format!("{name} found and corrected {}", units::counted(count, "error", "errors")),
        ),
    }
}

/// It mended something: a further run has to find nothing.
fn again(name: &str, said: &str, round: u32) -> Next {
    if round < MOST_ROUNDS {
        return Next::Again(format!(
            "{name} repaired the file system ({said}) and is run again, to see that nothing is left"
        ));
    }
    let words = format!(
        "{name} found something to repair in each of {round} runs ({said}): the disk itself may be failing"
    );
    Next::Ended(DiskVerdict::Damaged, words)
}

fn well(name: &str, tally: &Tally) -> Next {
    // Of a run that was interrupted only its words are left.
    if tally.changed || tally.cleared_entries > 0 || tally.reconnected_inodes > 0 {
        let words =
            format!("{name} repaired the file system, and a further run found nothing wrong{}", found(tally));
        return Next::Ended(DiskVerdict::Repaired, words);
    }
    Next::Ended(DiskVerdict::Clean, format!("{name} found nothing wrong"))
}

/// What a repair did to files, and what to do for them.
fn found(tally: &Tally) -> String {
    let mut words = String::new();
    if tally.cleared_entries > 0 {
        let names = units::counted(tally.cleared_entries, "name", "names");
        words.push_str(&format!("; {names} of files that are gone removed"));
    }
    if tally.reconnected_inodes > 0 {
        let files = units::counted(tally.reconnected_inodes, "file may lie", "files may lie");
        words.push_str(&format!("; {files} nameless in lost+found: mount it and run reunite"));
    }
    words
}
