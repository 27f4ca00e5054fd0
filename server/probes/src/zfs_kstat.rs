//! `/proc/spl/kstat/zfs/POOL/state`: one word for the state of a pool, without a command and without privilege.

use std::path::Path;

use salvor_domain::health::{Level, Probe, Reading};

use crate::inspect::Subject;

/// Of the node `pool:NAME`.
pub fn reading(pool: &str, text: &str) -> Reading {
    state(pool, text).into_reading(Probe::Zfs, format!("pool:{pool}"))
}

/// The file names the pool: as its folder does in the kernel's own tree, or as `tank-state.txt`.
pub fn inspect(file: &Path, text: &str) -> Vec<Subject> {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let folder = || file.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let pool = match stem {
        "state" => folder(),
        _ => stem.strip_suffix("-state"),
    };
    vec![state(pool.unwrap_or("pool"), text)]
}

fn state(pool: &str, text: &str) -> Subject {
    let word = text.trim();
    let subject = judge(pool, word);
    if subject.level == Level::Unknown { subject } else { subject.with("state", word) }
}

/// By the state of a whole pool, wherever that was read; see zpoolconcepts(7). A degraded one is critical until a resilver runs, as a
/// degraded array of md is; netdata's `zfs_pool_state_warn` makes it a warning, but what redundancy is left is the same.
pub(crate) fn judge(pool: &str, state: &str) -> Subject {
    let say = |level, reason: &str| Subject::new(pool, level, reason);
    match state {
        "ONLINE" => say(Level::Ok, "the pool is online"),
        "DEGRADED" => {
            say(Level::Critical, "degraded: a device failed or is gone; see zpool status, and replace it")
        }
        "SUSPENDED" => say(
            Level::Critical,
            "suspended: the pool lost its devices and does no I/O; bring them back, then zpool clear",
        )
        .stopping_writes(),
        "FAULTED" | "UNAVAIL" | "OFFLINE" | "REMOVED" => {
            say(Level::Critical, "the pool cannot be used: too many of its devices are gone")
                .stopping_writes()
        }
        _ => Subject::unknown(pool, format!("its state \"{}\" is not one that ZFS has", clip(state))),
    }
}

/// A word for a message, not a whole file.
fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}
