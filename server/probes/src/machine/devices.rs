//! What is said of arrays, pools and disks: by the kernel at once, by tools now and then.

use std::fs;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use salvor_domain::health::thresholds::Thresholds;
use salvor_domain::health::{Facts, Level, Probe, Reading};

use super::blocks::Blocks;
use super::commands::{Silence, Tools};
use super::history::History;
use super::slow::Slow;
use super::tree::FileSystem;
use crate::btrfs::scrub;
use crate::md_sysfs::Values;
use crate::{md_sysfs, mdstat, smart, zfs_kstat, zpool};

const SMART_EVERY: TimeDelta = TimeDelta::minutes(30);
const POOLS_EVERY: TimeDelta = TimeDelta::minutes(1);
const SCRUBS_EVERY: TimeDelta = TimeDelta::minutes(1);
/// A disk that spins up first takes a quarter of a minute.
const SMART_PATIENCE: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(10);

/// What readings are taken with.
pub(super) struct Means<'a> {
    pub proc: &'a Path,
    pub blocks: &'a Blocks,
    pub tools: &'a Tools,
    pub thresholds: &'a Thresholds,
    pub now: DateTime<Utc>,
}

/// Of a software RAID, from sysfs, or from mdstat where that is not to be read.
pub(super) fn array(means: &Means<'_>, name: &str) -> Reading {
    let folder = means.blocks.folder(name).join("md");
    let mut values = Values::new();
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let of_member = file.starts_with("dev-").then(|| format!("{file}/state"));
        let path = of_member.unwrap_or(file);
        // Many of its files can only be written to.
        if let Ok(value) = fs::read_to_string(folder.join(&path)) {
            values.insert(path, value.trim().to_owned());
        }
    }
    let reading = md_sysfs::reading(name, &values, means.thresholds);
    if reading.level != Level::Unknown {
        return reading;
    }
    let text = fs::read_to_string(means.proc.join("mdstat")).unwrap_or_default();
    mdstat::readings(&text).into_iter().find(|other| other.subject == name).unwrap_or(reading)
}

/// Of a disk, what it says of itself, and what of it grew.
pub(super) fn disk(
    means: &Means<'_>,
    slow: &mut Slow,
    errors: &mut History<Facts>,
    name: &str,
) -> Vec<Reading> {
    if !means.blocks.is_real_disk(name) {
        return vec![];
    }
    let told = slow.keep(&format!("smart {name}"), SMART_EVERY, means.now, |_| {
        let (tools, thresholds, name) = (means.tools.clone(), means.thresholds.clone(), name.to_owned());
        move || {
            let device = format!("/dev/{name}");
            vec![match tools.run("smartctl", &["-x", "-j", &device], SMART_PATIENCE) {
                Ok(text) => smart::reading(&name, &text, &thresholds),
                Err(why) => silent(Probe::Smart, &name, &why, "what disks say of themselves"),
            }]
        }
    });
    let with_growth = |reading: Reading| {
        let counters = smart::counters(&reading.facts);
        // A disk that could not be asked says nothing of them.
        let before = (!counters.is_empty()).then(|| errors.before(name, &counters, means.now)).flatten();
        match before {
            None => reading,
            Some(before) => smart::with_growth(reading, &before),
        }
    };
    told.into_iter().map(with_growth).collect()
}

/// Of a pool of ZFS: the kernel's word at once, with what `zpool status` said last.
pub(super) fn pool(means: &Means<'_>, slow: &mut Slow, name: &str) -> Vec<Reading> {
    let file = means.proc.join("spl/kstat/zfs").join(name).join("state");
    let kernel = fs::read_to_string(file).ok().map(|state| zfs_kstat::reading(name, &state));
    let tools = means.tools.clone();
    let told = slow.keep("zpool", POOLS_EVERY, means.now, |_| {
        move || {
            let json = tools.run("zpool", &["status", "-j", "--json-int"], PATIENCE);
            let readings = json.map(|text| zpool::readings(&text));
            // One from before 2.3 has no JSON.
            let readings = match readings {
                Ok(readings) if readings.is_empty() => {
                    tools.run("zpool", &["status"], PATIENCE).map(|text| zpool::readings_of_text(&text))
                }
                other => other,
            };
            readings
                .unwrap_or_else(|why| vec![silent(Probe::Zfs, "host", &why, "what pools say of themselves")])
        }
    });
    let id = format!("pool:{name}");
    let told = told.into_iter().filter(|reading| reading.subject == id || reading.subject == "host");
    kernel.into_iter().chain(told).collect()
}

/// The last scrub of a btrfs.
pub(super) fn scrub(means: &Means<'_>, slow: &mut Slow, known: &FileSystem) -> Vec<Reading> {
    let (tools, id, point) = (means.tools.clone(), known.id.clone(), known.mount.point.clone());
    slow.keep(&format!("scrub {id}"), SCRUBS_EVERY, means.now, |_| {
        move || match tools.run("btrfs", &["scrub", "status", "-d", &point], PATIENCE) {
            Ok(text) => scrub::parse(&text).map(|scrub| scrub.reading(&id)).into_iter().collect(),
            Err(why) => vec![silent(Probe::Btrfs, &id, &why, "scrubs of btrfs")],
        }
    })
}

/// The counters of a btrfs as text, where the kernel does not show them in sysfs.
pub(super) fn device_stats(means: &Means<'_>, slow: &mut Slow, known: &FileSystem) -> Vec<Reading> {
    let (tools, id, point) = (means.tools.clone(), known.id.clone(), known.mount.point.clone());
    slow.keep(&format!("stats {id}"), POOLS_EVERY, means.now, |_| {
        move || {
            let reading = match tools.run("btrfs", &["device", "stats", &point], PATIENCE) {
                Ok(text) => Reading::new(Probe::Btrfs, id, Level::Unknown, "not read yet").with("text", text),
                Err(why) => silent(Probe::Btrfs, &id, &why, "counters of btrfs"),
            };
            vec![reading]
        }
    })
}

/// A tool that is not there is told of once, for the whole host.
fn silent(probe: Probe, subject: &str, why: &Silence, what: &str) -> Reading {
    let subject = if matches!(why, Silence::NotInstalled(_)) { "host" } else { subject };
    Reading::new(probe, subject, Level::Unknown, format!("{what} cannot be read: {why}"))
}
