//! What the kernel says of one file system: its mount, and what its kind keeps in sysfs.

use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use salvor_domain::health::{Level, Probe, Reading};

use super::history::History;
use super::tree::FileSystem;
use crate::btrfs::{self, Stats};
use crate::ext4::{self, Counts};

/// ext4's own word; it has one where `/sys/fs/ext4/DEVICE` is.
pub(super) fn ext4(sys: &Path, known: &FileSystem) -> Option<Reading> {
    if known.mount.kind != "ext4" {
        return None;
    }
    let unknown = |why: String| Some(Reading::new(Probe::Ext4, known.id.as_str(), Level::Unknown, why));
    let Some(device) = known.devices.first() else {
        return unknown(format!(
            "which device {} is on is not known, so its error count is not read",
            known.mount.point
        ));
    };
    let folder = sys.join("fs/ext4").join(device);
    let value = |name: &&str| {
        Some(((*name).to_owned(), fs::read_to_string(folder.join(name)).ok()?.trim().to_owned()))
    };
    let counts: Counts = ext4::FILES.iter().filter_map(value).collect();
    let mut reading = counts.reading(&known.id);
    if reading.level == Level::Unknown {
        reading.reason = format!("ext4's error count cannot be read from {}", folder.display());
    }
    Some(reading)
}

/// The counters of a btrfs and whether all its devices are there. `None` where the kernel does not tell (before 5.14): then the tool
/// is asked.
pub(super) fn btrfs(
    known: &FileSystem,
    history: &mut History<Stats>,
    now: DateTime<Utc>,
) -> Option<Vec<Reading>> {
    let folder = known.btrfs.as_ref()?.join("devinfo");
    let mut devices: Vec<_> = fs::read_dir(&folder).ok()?.flatten().map(|entry| entry.file_name()).collect();
    devices.sort();
    let (mut text, mut missing) = (String::new(), Vec::new());
    for device in devices {
        let file = |name: &str| fs::read_to_string(folder.join(&device).join(name)).ok();
        let number = device.to_string_lossy();
        text += &format!("devid {number}\n{}\n", file("error_stats")?);
        if file("missing").is_some_and(|missing| missing.trim() == "1") {
            missing.push(number.into_owned());
        }
    }
    let stats = btrfs::stats(&text).ok()?;
    let before = history.before(&known.id, &stats, now);
    let shown = btrfs::Shown {
        label: known.mount.point.clone(),
        total_devices: stats.0.len() as u64,
        missing,
        some_missing: false,
    };
    Some(vec![stats.reading(&known.id, before.as_ref()), shown.reading(&known.id)])
}

/// What `btrfs device stats` says, where the kernel itself does not: its text is the fact `text`.
pub(super) fn btrfs_by_tool(
    id: &str,
    told: Reading,
    history: &mut History<Stats>,
    now: DateTime<Utc>,
) -> Reading {
    let Some(text) = told.facts.get("text").and_then(|text| text.as_str()) else { return told };
    match btrfs::stats(text) {
        Ok(stats) => stats.reading(id, history.before(id, &stats, now).as_ref()),
        Err(why) => {
            Reading::new(Probe::Btrfs, id, Level::Unknown, format!("its counters are not read: {why}"))
        }
    }
}

/// Several readings of one probe and subject as one: the worst, with the facts of all.
pub(super) fn merged(readings: Vec<Reading>) -> Option<Reading> {
    readings.into_iter().reduce(|one, other| {
        let stops_writes = one.stops_writes || other.stops_writes;
        let (worse, better) = if other.level > one.level { (other, one) } else { (one, other) };
        let mut facts = better.facts;
        facts.extend(worse.facts);
        Reading { facts, stops_writes, ..worse }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several_is_told_with_the_facts_of_all() {
        let ok = Reading::new(Probe::Btrfs, "a", Level::Ok, "well").with("x", 1).with("y", 1);
        let bad = Reading::new(Probe::Btrfs, "a", Level::Critical, "bad").with("y", 2);
        let one = merged(vec![ok, bad]).unwrap();
        assert_eq!((one.reason.as_str(), &one.facts["x"], &one.facts["y"]), ("bad", &1.into(), &2.into()));
        assert_eq!(merged(vec![]), None);
    }
}
