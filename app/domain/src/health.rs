//! Storage health: what probes read, what they read it of, and how bad it is.
//!
//! A **probe** looks at one kind of thing and gives **readings**; each is about a **subject**, one node of the host's tree (a disk, an
//! array, a file system, a volume). What was read last of each subject, and since when it is so, is a **signal**. What is not known is
//! [`Level::Unknown`], never [`Level::Ok`] (promise I10).

pub mod forecast;
pub mod standing;
pub mod thresholds;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::words;

words! {
    /// Least bad first: the level of many is their greatest. What is not known outranks what is well, and what is known to be
    /// bad outranks what is not known.
    Level ("level") {
        Ok = "ok",
        Unknown = "unknown",
        Warning = "warning",
        Critical = "critical",
    }
}

words! {
    Probe ("probe") {
        /// How a file system is mounted: its flags and its super options.
        Mount = "mount",
        /// Free blocks and inodes, with a forecast.
        Space = "space",
        /// ext4's own error counts.
        Ext4 = "ext4",
        /// An XFS that shut down.
        Xfs = "xfs",
        /// Device stats and scrubs of btrfs.
        Btrfs = "btrfs",
        /// Linux software RAID.
        Md = "md",
        Zfs = "zfs",
        /// What a disk says of itself.
        Smart = "smart",
        /// Lines of the kernel's log that name a device.
        KernelLog = "kernel_log",
        /// A small file written, synced, read back and removed.
        Canary = "canary",
        /// A host that reports, or has fallen silent.
        Agent = "agent",
        /// An alert that Alertmanager sent.
        Alert = "alert",
        /// A steady sample of catalogued files.
        Sentinel = "sentinel",
    }
}

words! {
    NodeKind ("kind of node") {
        Host = "host",
        Volume = "volume",
        Copy = "copy",
        Filesystem = "filesystem",
        /// A pool of ZFS or a btrfs over several devices.
        Pool = "pool",
        Array = "array",
        Disk = "disk",
    }
}

/// Values by name, as a tool or a file gave them: numbers stay numbers.
pub type Facts = BTreeMap<String, serde_json::Value>;

/// What one probe read of one subject.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Reading {
    pub probe: Probe,
    /// The [`Node::id`] that this is about.
    pub subject: String,
    pub level: Level,
    /// One sentence for people: what is so, and for what is not well what to do.
    pub reason: String,
    pub facts: Facts,
    /// Writing on may do damage: while this is critical, every volume that lies on the subject is to be read-only.
    pub stops_writes: bool,
}

/// One thing on a host, and what it lies on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Node {
    /// Unique on its host: `volume:uploads`, `copy:uploads/local`, `fs:/srv/uploads` (by mount point), `pool:tank`, or the kernel's
    /// name of an array or disk (`md0`, `sda`).
    pub id: String,
    pub kind: NodeKind,
    /// For people: a name, a model, a mount point.
    pub label: String,
    /// The nodes directly beneath it.
    pub on: Vec<String>,
}

/// What a host says of itself at one moment.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Report {
    pub host: String,
    /// Of the program that made it.
    pub version: String,
    pub taken_at: DateTime<Utc>,
    pub nodes: Vec<Node>,
    pub readings: Vec<Reading>,
}

impl Reading {
    pub fn new(probe: Probe, subject: impl Into<String>, level: Level, reason: impl Into<String>) -> Self {
        Self {
            probe,
            subject: subject.into(),
            level,
            reason: reason.into(),
            facts: Facts::new(),
            stops_writes: false,
        }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// While this is critical, volumes on the subject are to be read-only.
    #[must_use]
    pub fn stopping_writes(self) -> Self {
        Self { stops_writes: true, ..self }
    }
}

/// The ids of everything that `start` lies on, itself included. A tree that names itself as its own ground ends.
pub fn ground<'a>(nodes: &'a [Node], start: &'a str) -> Vec<&'a str> {
    let mut found = vec![start];
    let mut at = 0;
    while let Some(&id) = found.get(at) {
        at += 1;
        let beneath = nodes.iter().filter(|node| node.id == id).flat_map(|node| &node.on);
        for next in beneath {
            if !found.contains(&next.as_str()) {
                found.push(next);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_never_well_and_bad_outranks_it() {
        assert!(
            Level::Ok < Level::Unknown && Level::Unknown < Level::Warning && Level::Warning < Level::Critical
        );
    }

    #[test]
    fn the_ground_of_a_volume_is_all_that_it_lies_on() {
        let node = |id: &str, on: &[&str]| Node {
            id: id.into(),
            kind: NodeKind::Disk,
            label: id.into(),
            on: on.iter().map(|&on| on.to_owned()).collect(),
        };
        let nodes = [
            node("volume:a", &["fs:/a"]),
            node("fs:/a", &["md0"]),
            node("md0", &["sda", "sdb"]),
            node("sdb", &["md0"]),
            node("sdc", &[]),
        ];
        assert_eq!(ground(&nodes, "volume:a"), ["volume:a", "fs:/a", "md0", "sda", "sdb"]);
        assert_eq!(ground(&nodes, "volume:b"), ["volume:b"]);
    }
}
