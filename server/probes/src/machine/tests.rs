//! The prober on trees that look like those of a kernel.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use salvor_domain::health::ground;

use super::*;

/// A machine: `proc`, `sys`, `dev`, tools, and folders to be mounted.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.write("dev/kmsg", "");
        machine.write("proc/uptime", "1000.00 1.00\n");
        std::fs::create_dir(machine.at("tools")).unwrap();
        machine
    }

    fn at(&self, path: &str) -> PathBuf {
        // The prober knows folders by their real names.
        self.0.path().canonicalize().unwrap().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        std::fs::write(self.at(path), text).unwrap();
    }

    /// Lines of mountinfo, with `/MNT` for the machine's folders.
    fn mounts(&self, lines: &str) {
        self.write("proc/self/mountinfo", &lines.replace("/MNT", &self.at("mnt").to_string_lossy()));
    }

    /// `parent`: of a partition.
    fn device(&self, number: &str, name: &str, parent: Option<&str>, files: &[(&str, &str)]) {
        let within = parent.map_or(name.to_owned(), |disk| format!("{disk}/{name}"));
        let folder = format!("sys/devices/{within}");
        std::fs::create_dir_all(self.at(&folder)).unwrap();
        for (file, text) in files {
            self.write(&format!("{folder}/{file}"), text);
        }
        for link in [format!("sys/class/block/{name}"), format!("sys/dev/block/{number}")] {
            std::fs::create_dir_all(self.at(&link).parent().unwrap()).unwrap();
            symlink(Path::new("../../devices").join(&within), self.at(&link)).unwrap();
        }
    }

    fn tool(&self, name: &str, script: &str) {
        let file = format!("tools/{name}");
        self.write(&file, &format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(self.at(&file), PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn prober(&self, places: &[(&str, &str)]) -> Prober {
        let place = |(id, path): &(&str, &str)| {
            std::fs::create_dir_all(self.at(path)).unwrap();
            let kind = if id.starts_with("volume:") { NodeKind::Volume } else { NodeKind::Copy };
            Place { id: (*id).to_owned(), label: (*id).to_owned(), path: self.at(path), kind }
        };
        let [proc, sys, dev, tools] = ["proc", "sys", "dev", "tools"].map(|root| self.at(root));
        let roots = Roots { proc, sys, dev, tools: Some(tools) };
        Prober::new(places.iter().map(place).collect(), Thresholds::default(), roots)
    }

    /// Two disks with a partition each, mirrored, an ext4 on the mirror.
    fn mirrored(&self) -> Prober {
        for (number, disk) in [(0, "sda"), (16, "sdb")] {
            self.device(&format!("8:{number}"), disk, None, &[("device/model", "WDC WD140\n")]);
            let (number, part) = (format!("8:{}", number + 1), format!("{disk}1"));
            self.device(&number, &part, Some(disk), &[("partition", "1\n")]);
        }
        let array = [
            ("slaves/sda1", ""),
            ("slaves/sdb1", ""),
            ("md/level", "raid1\n"),
            ("md/array_state", "clean\n"),
            ("md/raid_disks", "2\n"),
            ("md/degraded", "0\n"),
            ("md/sync_action", "idle\n"),
            ("md/metadata_version", "1.2\n"),
        ];
        self.device("9:0", "md0", None, &array);
        self.write("sys/fs/ext4/md0/errors_count", "0\n");
        self.mounts(
            "1 0 0:1 / / rw - tmpfs none rw\n2 1 9:0 / /MNT/srv rw - ext4 /dev/md0 rw,errors=continue\n",
        );
        let prober = self.prober(&[("volume:uploads", "mnt/srv/uploads")]);
        self.write("mnt/srv/uploads/a", "x");
        prober
    }
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

#[track_caller]
fn reading(report: &Report, probe: Probe, subject: &str) -> Reading {
    let found =
        report.readings.iter().find(|reading| reading.probe == probe && reading.subject.ends_with(subject));
    found.unwrap_or_else(|| panic!("no reading {probe} of {subject}: {:#?}", report.readings)).clone()
}

fn on<'a>(report: &'a Report, id: &str) -> Vec<&'a str> {
    let node = report.nodes.iter().find(|node| node.id.ends_with(id)).unwrap();
    node.on.iter().map(String::as_str).collect()
}

#[test]
fn all_that_a_volume_lies_on_is_found_down_to_the_disks() {
    let machine = Machine::new();
    let report = machine.mirrored().take("store1", now());
    let below = ground(&report.nodes, "volume:uploads");
    assert!(below[1].starts_with("fs:/") && below[1].ends_with("/mnt/srv"), "{below:?}");
    assert_eq!(below[2..], ["md0", "sda", "sdb"]);
    let label = |id: &str| report.nodes.iter().find(|node| node.id == id).unwrap().label.clone();
    assert_eq!((label("md0"), label("sda")), ("md0 (raid1)".into(), "sda, WDC WD140".into()));
    for (probe, subject) in [
        (Probe::Mount, "/mnt/srv"),
        (Probe::Mount, "volume:uploads"),
        (Probe::Ext4, "/mnt/srv"),
        (Probe::Md, "md0"),
        (Probe::KernelLog, "/mnt/srv"),
        (Probe::KernelLog, "sdb"),
        (Probe::Canary, "volume:uploads"),
    ] {
        let reading = reading(&report, probe, subject);
        assert_eq!(reading.level, Level::Ok, "{reading:?}");
    }
    assert!(reading(&report, Probe::Space, "/mnt/srv").facts.contains_key("used_percent"));
}

#[test]
fn counted_errors_stop_writes_and_the_canary_does_not_write_then() {
    let machine = Machine::new();
    let mut prober = machine.mirrored();
    machine.write("sys/fs/ext4/md0/errors_count", "2\n");
    machine.write("sys/fs/ext4/md0/last_error_time", "1795378917\n");
    let report = prober.take("store1", now());
    let ext4 = reading(&report, Probe::Ext4, "/mnt/srv");
    assert!(ext4.level == Level::Critical && ext4.stops_writes && ext4.facts["occurrence"] == "1795378917-2");
    let canary = reading(&report, Probe::Canary, "volume:uploads");
    assert_eq!(canary.level, Level::Unknown);
    assert!(canary.reason.contains("ext4 counts 2 errors"), "{}", canary.reason);
    assert!(!machine.at("mnt/srv/uploads/.salvor").exists());
}

#[test]
fn a_volume_that_has_become_an_empty_folder_is_not_mounted() {
    let machine = Machine::new();
    let mut prober = machine.mirrored();
    prober.take("store1", now());
    // What lay there is gone with its mount.
    std::fs::remove_dir_all(machine.at("mnt/srv/uploads")).unwrap();
    let gone = reading(&prober.take("store1", now()), Probe::Mount, "volume:uploads");
    assert_eq!(gone.level, Level::Unknown, "{gone:?}");
    std::fs::create_dir(machine.at("mnt/srv/uploads")).unwrap();
    machine.mounts("1 0 0:1 / / rw - tmpfs none rw\n");
    let report = prober.take("store1", now());
    let bare = reading(&report, Probe::Mount, "volume:uploads");
    assert!(
        bare.level == Level::Critical && bare.stops_writes && bare.reason.contains("is not mounted"),
        "{bare:?}"
    );
    assert_eq!(reading(&report, Probe::Canary, "volume:uploads").level, Level::Unknown);
    assert!(!machine.at("mnt/srv/uploads/.salvor").exists(), "nothing is written beneath the mount point");
    machine.mounts("1 0 0:1 / / rw - tmpfs none rw\n2 1 9:0 / /MNT/srv rw - ext4 /dev/md0 rw\n");
    assert_eq!(reading(&prober.take("store1", now()), Probe::Mount, "volume:uploads").level, Level::Ok);
}

#[test]
fn a_failed_write_stops_writes_only_where_no_mirror_is_above() {
    const FAILED: &str = "3,7,1000000,-;I/O error, dev DISK, sector 9 op 0x1:(WRITE)\n";
    let machine = Machine::new();
    let mut prober = machine.mirrored();
    machine.write("dev/kmsg", &FAILED.replace("DISK", "sda"));
    let heard = reading(&prober.take("store1", now()), Probe::KernelLog, "sda");
    assert_eq!(
        (heard.level, heard.stops_writes, &heard.facts["occurrence"]),
        (Level::Critical, false, &"7".into())
    );

    let machine = Machine::new();
    machine.device("8:0", "sda", None, &[]);
    machine.mounts("2 1 8:0 / /MNT/srv rw - xfs /dev/sda rw\n");
    let mut prober = machine.prober(&[("volume:uploads", "mnt/srv")]);
    machine.write("dev/kmsg", &FAILED.replace("DISK", "sda"));
    let heard = reading(&prober.take("store1", now()), Probe::KernelLog, "sda");
    assert!(heard.level == Level::Critical && heard.stops_writes);
    machine.write("proc/uptime", "90000 1\n");
    assert_eq!(reading(&prober.take("store1", now()), Probe::KernelLog, "sda").level, Level::Ok, "it is old");
}

#[test]
fn what_cannot_be_read_is_unknown_once() {
    let machine = Machine::new();
    let mut prober = machine.mirrored();
    std::fs::remove_file(machine.at("dev/kmsg")).unwrap();
    let report = loop {
        // smartctl is asked in a thread of its own.
        let report = prober.take("store1", now());
        if report.readings.iter().any(|reading| reading.probe == Probe::Smart) {
            break report;
        }
    };
    let unknown: Vec<&Reading> =
        report.readings.iter().filter(|reading| reading.level == Level::Unknown).collect();
    let mut told: Vec<_> = unknown.iter().map(|reading| (reading.probe, reading.subject.as_str())).collect();
    told.sort();
    assert_eq!(told, [(Probe::Smart, "host"), (Probe::KernelLog, "host")], "{unknown:#?}");
    assert!(unknown.iter().any(|reading| reading.reason.contains("smartctl is not installed")));
}

#[test]
fn disks_are_asked_by_smartctl_and_told_of_until_they_are_asked_again() {
    let machine = Machine::new();
    machine.tool("smartctl", "echo '{\"smartctl\": {\"exit_status\": 2}, \"device\": {\"name\": \"'$3'\"}}'");
    let mut prober = machine.mirrored();
    for disk in ["sda", "sdb"] {
        while !prober
            .take("store1", now())
            .readings
            .iter()
            .any(|one| one.probe == Probe::Smart && one.subject == disk)
        {}
    }
    let report = prober.take("store1", now());
    let smart = reading(&report, Probe::Smart, "sda");
    assert_eq!(smart.facts["asked_at"], "2027-01-15T08:00:00Z");
}

#[test]
fn a_btrfs_of_several_devices_is_a_pool_that_misses_what_is_gone() {
    let machine = Machine::new();
    for (number, disk) in [(0, "sda"), (16, "sdb")] {
        machine.device(&format!("8:{number}"), disk, None, &[]);
        machine.write(&format!("sys/fs/btrfs/54df/devices/{disk}"), "");
    }
    machine.write("sys/fs/btrfs/54df/label", "tank\n");
    for (device, errors, missing) in [(1, 0, 0), (2, 9, 0), (3, 0, 1)] {
        let folder = format!("sys/fs/btrfs/54df/devinfo/{device}");
        machine.write(&format!("{folder}/error_stats"), &format!("write_errs {errors}\nread_errs 0\n"));
        machine.write(&format!("{folder}/missing"), &format!("{missing}\n"));
    }
    machine.mounts("2 1 0:39 / /MNT/srv rw - btrfs /dev/sda rw,subvol=/\n");
    machine.tool(
        "btrfs",
        "echo 'UUID: 54df'; echo 'Status:   aborted'; echo 'Error summary:    no errors found'",
    );
    let mut prober = machine.prober(&[("volume:uploads", "mnt/srv")]);
    let report = prober.take("store1", now());
    assert_eq!(on(&report, "/mnt/srv"), ["pool:54df"]);
    assert_eq!(on(&report, "pool:54df"), ["sda", "sdb"]);
    let btrfs = reading(&report, Probe::Btrfs, "/mnt/srv");
    assert_eq!(
        (btrfs.level, btrfs.stops_writes, &btrfs.facts["missing"]),
        (Level::Critical, false, &"devid 3".into())
    );
    assert_eq!(btrfs.facts["nonzero"], "devid 2 write_errs 9");
    while !reading(&prober.take("store1", now()), Probe::Btrfs, "/mnt/srv").facts.contains_key("status") {}
    machine.write("sys/fs/btrfs/54df/devinfo/3/missing", "0\n");
    let aborted = reading(&prober.take("store1", now()), Probe::Btrfs, "/mnt/srv");
    assert_eq!(aborted.level, Level::Warning, "old errors outrank a scrub that did not end: {aborted:?}");
    machine.write("sys/fs/btrfs/54df/devinfo/2/error_stats", "write_errs 10\n");
    let grown = reading(&prober.take("store1", now()), Probe::Btrfs, "/mnt/srv");
    assert_eq!((grown.level, &grown.facts["grown"]), (Level::Critical, &1.into()));
}

#[test]
fn mappings_are_seen_through_and_a_loop_device_lies_on_its_file() {
    let machine = Machine::new();
    machine.device("8:0", "sda", None, &[]);
    machine.device("253:0", "dm-0", None, &[("slaves/sda", ""), ("dm/name", "vg-data\n")]);
    let image = machine.at("mnt/disk/image").display().to_string();
    machine.device("7:0", "loop0", None, &[("loop/backing_file", &image)]);
    machine.mounts("1 0 253:0 / /MNT/disk rw - ext4 /dev/mapper/vg-data rw\n2 1 7:0 / /MNT/loop ro - ext4 /dev/loop0 ro\n");
    let mut prober = machine.prober(&[("copy:uploads/local", "mnt/loop/copy")]);
    let report = prober.take("store1", now());
    let below = ground(&report.nodes, "copy:uploads/local");
    assert_eq!((below.len(), below[2], below[4]), (5, "loop0", "sda"), "{below:?}");
    let mount = reading(&report, Probe::Mount, "/mnt/loop");
    assert_eq!(mount.level, Level::Warning, "only a copy lies on it");
    let canary = report.readings.iter().find(|reading| reading.probe == Probe::Canary).unwrap();
    assert_eq!((canary.level, canary.reason.contains("read-only")), (Level::Unknown, true));
    machine.write(
        "dev/kmsg",
        "3,8,1000000,-;Buffer I/O error on dev dm-0, logical block 1, lost async page write\n",
    );
    let lost = reading(&prober.take("store1", now()), Probe::KernelLog, "/mnt/disk");
    assert!(lost.stops_writes && lost.facts["device"] == "dm-0", "{lost:?}");
}

#[test]
fn a_pool_of_zfs_is_known_by_its_mounts() {
    let machine = Machine::new();
    machine.mounts("2 1 0:40 / /MNT/srv rw - zfs tank/uploads rw,xattr\n");
    machine.write("proc/spl/kstat/zfs/tank/state", "SUSPENDED\n");
    let mut prober = machine.prober(&[("volume:uploads", "mnt/srv")]);
    let report = prober.take("store1", now());
    assert_eq!(on(&report, "/mnt/srv"), ["pool:tank"]);
    let state = reading(&report, Probe::Zfs, "pool:tank");
    assert!(state.level == Level::Critical && state.stops_writes);
}

#[test]
fn without_its_canary_the_prober_writes_nothing() {
    let machine = Machine::new();
    let report = machine.mirrored().without_canary().take("store1", now());
    assert!(report.readings.iter().all(|reading| reading.probe != Probe::Canary));
    assert!(!machine.at("mnt/srv/uploads/.salvor").exists());
}
