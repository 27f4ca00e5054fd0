//! What the pages say of signals: plain functions from a word to words.

use salvor_domain::health::{NodeKind, Probe};
use salvor_domain::text::sentence;

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

/// Why something is as it is, as a sentence without its full stop. One that begins with the name of its subject keeps that as it is.
pub fn reason(subject: &str, reason: &str) -> String {
    let name = subject.rsplit_once(':').map_or(subject, |(_, name)| name);
    let text = reason.trim_end_matches('.');
    if text.starts_with(name) { text.to_owned() } else { sentence(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_begins_with_a_capital_letter_or_the_name_of_its_subject() {
        assert_eq!(reason("sda", "the disk is failing."), "The disk is failing");
        assert_eq!(reason("sda", "sda is failing"), "sda is failing");
        assert_eq!(reason("volume:uploads", "uploads does not answer"), "uploads does not answer");
        assert_eq!(reason("fs:/srv", "ext4 counts 1 error"), "ext4 counts 1 error");
    }
}
