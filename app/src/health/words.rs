//! What the pages say of signals: plain functions from a word to words.

use salvor_domain::health::{NodeKind, Probe};

/// What a probe looks at.
pub fn probe(probe: Probe) -> &'static str {
    match probe {
        Probe::Mount => "how it is mounted",
        Probe::Space => "free space",
        Probe::Ext4 => "ext4 error counts",
        Probe::Xfs => "XFS state",
        Probe::Btrfs => "btrfs counters and scrub",
        Probe::Md => "RAID state",
        Probe::Zfs => "ZFS state",
        Probe::Smart => "SMART",
        Probe::KernelLog => "kernel log",
        Probe::Canary => "trial write",
        Probe::Agent => "reports of the host",
        Probe::Alert => "alert",
        Probe::Sentinel => "sample of files",
    }
}

pub fn kind(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Host => "Host",
        NodeKind::Volume => "Volume",
        NodeKind::Copy => "Copy",
        NodeKind::Filesystem => "File system",
        NodeKind::Pool => "Pool",
        NodeKind::Array => "Array",
        NodeKind::Disk => "Disk",
    }
}

/// A fact's name for people: `errors_count` is `errors count`.
pub fn fact(name: &str) -> String {
    name.replace('_', " ")
}

/// A fact's value on one line, as it was read.
pub fn value(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "not given".to_owned(),
        serde_json::Value::Bool(true) => "yes".to_owned(),
        serde_json::Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}

/// With a capital letter.
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
