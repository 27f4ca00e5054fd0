//! Takes readings on this machine: finds the file systems, pools, arrays and disks beneath every volume and copy by itself, and asks each
//! of them.
//!
//! Nothing here waits without end. A folder that hangs keeps the one thread that touches it and holds up nobody else; a tool that is
//! late is killed. What cannot be read is `unknown` and says why. Only the canary writes, and not where writing may do damage.

mod ask;
mod blocks;
mod commands;
mod devices;
mod file_systems;
mod history;
mod log;
mod places;
mod slow;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use salvor_domain::health::thresholds::Thresholds;
use salvor_domain::health::{Facts, Level, Node, NodeKind, Probe, Reading, Report};

use self::blocks::Blocks;
use self::commands::Tools;
use self::devices::Means;
use self::history::History;
use self::log::KernelLog;
use self::places::{Patience, Seen, Watched};
use self::slow::Slow;
use self::tree::{Builder, FileSystem, Tree};
use crate::btrfs::Stats;
use crate::mountinfo::{self, Mount};
use crate::xfs;

/// A folder that has not answered for so long hangs. What answers later than after a sixth of it is slow: a disk under load is.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Error counters of btrfs that grew within this time are critical.
const GROWN: TimeDelta = TimeDelta::hours(1);
/// Error counters of a disk that grew within this time are a warning: whoever looks once a day sees it.
const DISK_GROWN: TimeDelta = TimeDelta::hours(24);

/// The folder of a volume, or of a copy that is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `volume:uploads`, `copy:uploads/local`
    pub id: String,
    pub label: String,
    pub path: PathBuf,
    pub kind: NodeKind,
}

/// Where the kernel tells of itself, and where tools are.
#[derive(Debug, Clone)]
pub struct Roots {
    pub proc: PathBuf,
    pub sys: PathBuf,
    pub dev: PathBuf,
    /// As the machine finds them, where nothing is said.
    pub tools: Option<PathBuf>,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: "/proc".into(), sys: "/sys".into(), dev: "/dev".into(), tools: None }
    }
}

pub struct Prober {
    places: Vec<Watched>,
    thresholds: Thresholds,
    roots: Roots,
    blocks: Blocks,
    tools: Tools,
    log: KernelLog,
    btrfs_errors: History<Stats>,
    disks_errors: History<Facts>,
    slow: Slow,
    has_canary: bool,
    patience: Patience,
    /// Mount points of the last report.
    points: Vec<PathBuf>,
}

impl Prober {
    pub fn new(places: Vec<Place>, thresholds: Thresholds, roots: Roots) -> Self {
        Self {
            places: places.into_iter().map(Watched::new).collect(),
            thresholds,
            blocks: Blocks::new(&roots.sys),
            tools: Tools(roots.tools.clone()),
            log: KernelLog::new(&roots.proc, &roots.dev),
            roots,
            btrfs_errors: History::of(GROWN),
            disks_errors: History::of(DISK_GROWN),
            slow: Slow::default(),
            has_canary: true,
            patience: Patience::until(PATIENCE),
            points: Vec::new(),
        }
    }

    /// Writes nothing anywhere.
    #[must_use]
    pub fn without_canary(self) -> Self {
        Self { has_canary: false, ..self }
    }

    /// A folder that has not answered for so long hangs, and is slow after a sixth of it.
    #[must_use]
    pub fn with_patience(self, hangs: Duration) -> Self {
        Self { patience: Patience::until(hangs), ..self }
    }

    /// Where the file systems of the last report are mounted, for [`Watch`](crate::watch::Watch).
    pub fn mount_points(&self) -> &[PathBuf] {
        &self.points
    }

    /// Reads everything, within about a third of the patience with a folder that hangs.
    pub fn take(&mut self, host: &str, now: DateTime<Utc>) -> Report {
        let mut readings: Vec<Reading> = self.log.read().into_iter().collect();
        self.places.iter_mut().for_each(Watched::look);
        let patience = self.patience;
        self.places.iter_mut().for_each(|place| place.saw(patience.slow));
        let text = fs::read_to_string(self.roots.proc.join("self/mountinfo"));
        let mounts = mountinfo::parse(text.as_deref().unwrap_or_default());
        if let Err(why) = text {
            readings.push(unknown(Probe::Mount, "host", format!("mounts are not read: {why}")));
        }
        let tree = self.tree(&mounts);
        self.points = tree.file_systems.values().map(|known| known.mount.point.clone().into()).collect();
        let first = readings.len();
        for known in tree.file_systems.values() {
            readings.extend(self.of_file_system(known, now));
        }
        readings.extend(self.of_devices(&tree, now));
        readings.extend(self.heard(&tree));
        let of_places = self.of_places(&mounts, &readings[first..], host);
        readings.extend(of_places);
        self.slow.forget();
        self.btrfs_errors.forget(|id| tree.file_systems.contains_key(id));
        self.disks_errors.forget(|id| tree.has(id));
        Report {
            host: host.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            taken_at: now,
            nodes: tree.nodes,
            readings: each_once(readings),
        }
    }

    fn tree(&mut self, mounts: &[Mount]) -> Tree {
        let (sys, tree) = (self.roots.sys.as_path(), Tree::default());
        let mut builder = Builder { sys, blocks: &self.blocks, mounts, tree };
        for watched in &mut self.places {
            // A folder that is not there lies on nothing.
            let path = (!matches!(watched.seen, Seen::Gone)).then_some(watched.real.as_path());
            watched.lies_on = builder.place(&watched.place, path);
        }
        builder.tree
    }

    fn of_file_system(&mut self, known: &FileSystem, now: DateTime<Utc>) -> Vec<Reading> {
        let id = known.id.as_str();
        let on_it = self.places.iter().filter(|watched| watched.lies_on.as_deref() == Some(id));
        let mut readings = vec![known.mount.reading(id, known.carries_a_volume)];
        // The best answer: it may be one folder that is ill, and not the whole file system.
        let spaces = on_it.clone().filter_map(|watched| watched.space(id, &self.thresholds.space));
        readings.extend(spaces.min_by_key(|reading| reading.level == Level::Unknown));
        readings.extend(file_systems::ext4(&self.roots.sys, known));
        match known.mount.kind.as_str() {
            "xfs" => {
                let answers = on_it.filter_map(Watched::answer);
                let worst = answers.max_by_key(Result::is_err);
                readings.extend(worst.map(|answer| xfs::reading(id, answer)));
            }
            "btrfs" => readings.extend(self.of_btrfs(known, now)),
            _ => {}
        }
        readings
    }

    fn of_btrfs(&mut self, known: &FileSystem, now: DateTime<Utc>) -> Vec<Reading> {
        let means = means(&self.roots, &self.blocks, &self.tools, &self.thresholds, now);
        let mut readings = file_systems::btrfs(known, &mut self.btrfs_errors, now).unwrap_or_else(|| {
            let told = devices::device_stats(&means, &mut self.slow, known).into_iter();
            told.map(|reading| file_systems::btrfs_by_tool(&known.id, reading, &mut self.btrfs_errors, now))
                .collect()
        });
        readings.extend(devices::scrub(&means, &mut self.slow, known));
        let (of_host, of_it) = readings.into_iter().partition(|reading| reading.subject == "host");
        file_systems::merged(of_it).into_iter().chain::<Vec<Reading>>(of_host).collect()
    }

    fn of_devices(&mut self, tree: &Tree, now: DateTime<Utc>) -> Vec<Reading> {
        let means = means(&self.roots, &self.blocks, &self.tools, &self.thresholds, now);
        let (slow, errors) = (&mut self.slow, &mut self.disks_errors);
        let mut of_node = |node: &Node| match (node.kind, node.id.strip_prefix("pool:")) {
            (NodeKind::Array, _) => vec![devices::array(&means, &node.id)],
            (NodeKind::Disk, _) => devices::disk(&means, slow, errors, &node.id),
            (NodeKind::Pool, Some(name)) if tree.is_zfs(name) => devices::pool(&means, slow, name),
            _ => vec![],
        };
        tree.nodes.iter().flat_map(&mut of_node).collect()
    }

    /// What the kernel's log says of each file system and disk; nothing, where it is not read.
    fn heard(&self, tree: &Tree) -> Vec<Reading> {
        if self.log.is_refused() {
            return vec![];
        }
        let ledger = &self.log.ledger;
        let quiet = |id: &str| {
            Reading::new(Probe::KernelLog, id, Level::Ok, "the kernel's log tells of no errors of it")
        };
        let mut readings = Vec::new();
        for known in tree.file_systems.values().filter(|known| !known.devices.is_empty()) {
            let kind = known.mount.kind.as_str();
            let heard =
                known.devices.iter().find_map(|device| Some((device, ledger.of_file_system(device, kind)?)));
            readings.push(
                heard.map_or_else(|| quiet(&known.id), |(device, heard)| heard.reading(&known.id, device)),
            );
        }
        let is_disk = |node: &&Node| matches!(node.kind, NodeKind::Disk | NodeKind::Array);
        readings.extend(tree.nodes.iter().filter(is_disk).map(|node| quiet(&node.id)));
        for (device, heard) in ledger.of_disks() {
            readings.extend(tree.nodes_of(device, &self.blocks).iter().map(|id| {
                let reading = heard.reading(id, device);
                // A mirror or parity above it has kept what it could not.
                Reading { stops_writes: reading.stops_writes && tree.exposed.contains(device), ..reading }
            }));
        }
        readings
    }

    /// Of volumes and copies themselves: what their folders show, and the canary.
    fn of_places(&mut self, mounts: &[Mount], others: &[Reading], host: &str) -> Vec<Reading> {
        let mut readings = Vec::new();
        let mut held = Vec::new();
        for watched in &mut self.places {
            let mount = watched.lies_on.as_deref().and_then(|_| mountinfo::of_path(mounts, &watched.real));
            let mounted = watched.mounted(mount);
            let why = why_not_to_write(watched, mount, others.iter().chain(&mounted));
            if self.has_canary && why.is_none() {
                watched.sing(host);
            }
            held.push(why);
            readings.extend(mounted);
        }
        let (patience, has_canary) = (self.patience, self.has_canary);
        for (watched, held) in self.places.iter_mut().zip(held) {
            let sang = watched.sang(patience, held.as_deref());
            readings.extend(sang.filter(|reading| has_canary || reading.level >= Level::Warning));
        }
        readings
    }
}

/// Where writing may do damage, the canary does not.
fn why_not_to_write<'a>(
    watched: &Watched,
    mount: Option<&Mount>,
    mut others: impl Iterator<Item = &'a Reading>,
) -> Option<String> {
    if !watched.is_volume() && mount.is_some_and(|mount| mount.read_only().is_some()) {
        return Some("it is read-only".into());
    }
    let its = [Some(watched.place.id.as_str()), watched.lies_on.as_deref()];
    let stops = |reading: &&Reading| {
        let by_its_answer = matches!(reading.probe, Probe::Xfs | Probe::Canary);
        let stops = reading.stops_writes && reading.level == Level::Critical;
        stops && !by_its_answer && its.contains(&Some(reading.subject.as_str()))
    };
    others.find(stops).map(|reading| reading.reason.clone())
}

fn means<'a>(
    roots: &'a Roots,
    blocks: &'a Blocks,
    tools: &'a Tools,
    thresholds: &'a Thresholds,
    now: DateTime<Utc>,
) -> Means<'a> {
    Means { proc: &roots.proc, blocks, tools, thresholds, now }
}

fn unknown(probe: Probe, subject: &str, why: String) -> Reading {
    Reading::new(probe, subject, Level::Unknown, why)
}

/// One reading for each probe and subject: the worst.
fn each_once(readings: Vec<Reading>) -> Vec<Reading> {
    let mut each: BTreeMap<(Probe, String), Reading> = BTreeMap::new();
    for reading in readings {
        let key = (reading.probe, reading.subject.clone());
        match each.get(&key) {
            Some(other) if other.level >= reading.level => {}
            _ => drop(each.insert(key, reading)),
        }
    }
    each.into_values().collect()
}
