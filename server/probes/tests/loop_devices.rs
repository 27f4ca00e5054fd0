//! The prober on file systems of a real kernel, on loop devices. Takes root, and the tools of each file system.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use salvor_domain::health::thresholds::Thresholds;
use salvor_domain::health::{Level, NodeKind, Probe, Reading, Report, ground};
use salvor_probes::machine::{Place, Prober, Roots};
use salvor_probes::watch::Watch;

/// A file system in one or more files.
struct Disk {
    folder: tempfile::TempDir,
    images: Vec<String>,
    /// Loop devices that are not let go of by an unmount.
    loops: Vec<String>,
}

fn ran(tool: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(tool).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

impl Disk {
    /// `None`, with a word to the reader, where it cannot be made or mounted.
    fn new(mkfs: &[&str], megabytes: u64, images: usize, options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let images =
            (0..images).map(|at| folder.path().join(format!("image{at}")).display().to_string()).collect();
        let mut disk = Self { folder, images, loops: vec![] };
        std::fs::create_dir(disk.point()).unwrap();
        for image in &disk.images {
            std::fs::File::create(image).unwrap().set_len(megabytes << 20).unwrap();
        }
        let made = disk.attach() && {
            let args: Vec<&str> =
                mkfs[1..].iter().copied().chain(disk.loops.iter().map(String::as_str)).collect();
            ran(mkfs[0], &args).is_some()
        };
        if !made || !disk.mount(options) {
            eprintln!(
                "skipped: {} cannot be run, or what it makes not mounted, here (it takes root)",
                mkfs[0]
            );
            return None;
        }
        Some(disk)
    }

    fn attach(&mut self) -> bool {
        let attached: Vec<_> =
            self.images.iter().map_while(|image| ran("losetup", &["--find", "--show", image])).collect();
        self.loops = attached;
        self.loops.len() == self.images.len()
    }

    fn mount(&self, options: &str) -> bool {
        let point = self.point().display().to_string();
        ran("mount", &["-o", options, &self.loops[0], &point]).is_some()
    }

    fn point(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("mnt")
    }

    fn device(&self) -> &str {
        self.loops[0].strip_prefix("/dev/").unwrap()
    }

    /// Of a volume in a folder of it, in which a file is.
    fn prober(&self) -> Prober {
        let path = self.point().join("uploads");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("a"), "x").unwrap();
        let place =
            Place { id: "volume:uploads".into(), label: "uploads".into(), path, kind: NodeKind::Volume };
        Prober::new(vec![place], Thresholds::default(), Roots::default())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let point = self.point().display().to_string();
        // A frozen one would never be let go of; a test that failed may hold files open.
        let _ = ran("fsfreeze", &["--unfreeze", &point]);
        let _ = ran("umount", &["-l", &point]);
        for device in &self.loops {
            let _ = ran("losetup", &["--detach", device]);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test of the real kernel")]
fn now() -> DateTime<Utc> {
    DateTime::from(std::time::SystemTime::now())
}

fn take(prober: &mut Prober) -> Report {
    prober.take("store1", now())
}

#[track_caller]
fn reading(report: &Report, probe: Probe, kind: &str) -> Reading {
    let found = report.readings.iter().find(|reading| {
        reading.probe == probe && reading.subject.starts_with(kind) && !reading.subject.ends_with("fs:/")
    });
    found.unwrap_or_else(|| panic!("no reading {probe} of {kind}: {:#?}", report.readings)).clone()
}

fn worst(report: &Report, of: &Path) -> Level {
    let of = format!("fs:{}", of.display());
    let its =
        report.readings.iter().filter(|reading| reading.subject == of || reading.subject == "volume:uploads");
    its.map(|reading| reading.level).max().unwrap()
}

#[test]
fn an_ext4_that_goes_on_after_its_error_is_told_of_at_once() {
    let Some(disk) = Disk::new(&["mkfs.ext4", "-q"], 32, 1, "errors=continue") else { return };
    let mut prober = disk.prober();
    let report = take(&mut prober);
    assert_eq!(worst(&report, &disk.point()), Level::Ok, "{report:#?}");
    let below = ground(&report.nodes, "volume:uploads");
    assert_eq!(below[1..3], [format!("fs:{}", disk.point().display()).as_str(), disk.device()]);
    let (watch, points) = (Watch::open().unwrap(), prober.mount_points().to_owned());
    assert!(watch.look_after(&points).unwrap() >= 1);
    let trigger = Path::new("/sys/fs/ext4").join(disk.device()).join("trigger_fs_error");
    std::fs::write(trigger, "1").unwrap();
    assert!(watch.wait(Duration::from_secs(60)), "the kernel tells of it");
    let report = take(&mut prober);
    let ext4 = reading(&report, Probe::Ext4, "fs:");
    assert!(ext4.level == Level::Critical && ext4.stops_writes, "{ext4:?}");
    assert_eq!(reading(&report, Probe::Mount, "fs:").level, Level::Ok, "it goes on writing");
    assert_eq!(reading(&report, Probe::Canary, "volume:").level, Level::Unknown, "the canary does not");
    let heard = reading(&report, Probe::KernelLog, "fs:");
    assert!(heard.level == Level::Critical && heard.reason.contains("EXT4-fs error"), "{heard:?}");
}

#[test]
fn an_ext4_that_stops_is_read_only_whatever_it_says() {
    let Some(disk) = Disk::new(&["mkfs.ext4", "-q"], 32, 1, "errors=remount-ro") else { return };
    let mut prober = disk.prober();
    take(&mut prober);
    let trigger = Path::new("/sys/fs/ext4").join(disk.device()).join("trigger_fs_error");
    std::fs::write(trigger, "1").unwrap();
    let report = take(&mut prober);
    let mount = reading(&report, Probe::Mount, "fs:");
    assert!(mount.level == Level::Critical && mount.stops_writes, "{mount:?}");
    assert!(reading(&report, Probe::Ext4, "fs:").stops_writes);
}

#[test]
fn one_that_hangs_is_told_of_and_holds_up_nobody() {
    let Some(disk) = Disk::new(&["mkfs.ext4", "-q"], 32, 1, "errors=continue") else { return };
    let patience = Duration::from_millis(1_500);
    let mut prober = disk.prober().with_patience(patience);
    assert_eq!(reading(&take(&mut prober), Probe::Canary, "volume:").level, Level::Ok);
    let point = disk.point().display().to_string();
    if ran("fsfreeze", &["--freeze", &point]).is_none() {
        return eprintln!("skipped: there is no fsfreeze here");
    }
    let frozen = Instant::now();
    let slow = reading(&take(&mut prober), Probe::Canary, "volume:");
    assert!(slow.level == Level::Warning && !slow.stops_writes && slow.reason.contains("slow"), "{slow:?}");
    let late = loop {
        let late = reading(&take(&mut prober), Probe::Canary, "volume:");
        if late.level == Level::Critical {
            break late;
        }
    };
    assert!(late.stops_writes && late.reason.contains("whatever touches it waits"), "{late:?}");
    assert!(frozen.elapsed() >= patience);
    let canaries = || {
        let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok());
        names.filter(|name| name.trim() == "salvor-canary").count()
    };
    for _ in 0..3 {
        assert_eq!(reading(&take(&mut prober), Probe::Canary, "volume:").level, Level::Critical);
    }
    assert_eq!(canaries(), 1, "no further thread waits for it");
    ran("fsfreeze", &["--unfreeze", &point]).unwrap();
    while reading(&take(&mut prober), Probe::Canary, "volume:").level != Level::Ok {}
}

#[test]
fn without_inodes_nothing_can_be_written_although_there_is_room() {
    let Some(disk) = Disk::new(&["mkfs.ext4", "-q", "-N", "128"], 16, 1, "errors=continue") else { return };
    let mut prober = disk.prober();
    take(&mut prober);
    let mut files = (0..).map(|at| std::fs::write(disk.point().join(format!("uploads/{at}")), ""));
    let full = files.find_map(Result::err).unwrap();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let report = take(&mut prober);
    let space = reading(&report, Probe::Space, "fs:");
    assert_eq!((space.level, &space.facts["inode_free_pct"]), (Level::Critical, &0.0.into()), "{space:?}");
    let canary = reading(&report, Probe::Canary, "volume:");
    assert!(canary.level == Level::Critical && !canary.stops_writes, "it is full, not ill: {canary:?}");
}

#[test]
fn an_xfs_that_shut_down_is_told_by_its_answers() {
    let Some(disk) = Disk::new(&["mkfs.xfs", "-q"], 320, 1, "defaults") else { return };
    let mut prober = disk.prober();
    let report = take(&mut prober);
    assert_eq!(worst(&report, &disk.point()), Level::Ok, "{report:#?}");
    let point = disk.point().display().to_string();
    if ran("xfs_io", &["-x", "-c", "shutdown", &point]).is_none() {
        return eprintln!("skipped: there is no xfs_io here");
    }
    let report = take(&mut prober);
    assert_eq!(reading(&report, Probe::Mount, "fs:").level, Level::Ok, "mountinfo shows nothing");
    for probe in [Probe::Xfs, Probe::KernelLog] {
        let down = reading(&report, probe, "fs:");
        assert!(down.level == Level::Critical && down.stops_writes, "{down:?}");
    }
}

#[test]
fn a_btrfs_counts_what_its_mirror_had_to_mend() {
    let mkfs = ["mkfs.btrfs", "-q", "-m", "raid1", "-d", "raid1"];
    let Some(disk) = Disk::new(&mkfs, 128, 2, "defaults") else { return };
    let mut prober = disk.prober();
    let report = take(&mut prober);
    assert_eq!(reading(&report, Probe::Btrfs, "fs:").level, Level::Ok, "{report:#?}");
    let below = ground(&report.nodes, "volume:uploads");
    assert!(below[2].starts_with("pool:") && below.len() >= 5, "{below:?}");
    std::fs::write(disk.point().join("uploads/large"), vec![7; 8 << 20]).unwrap();
    ran("sync", &["-f", &disk.point().display().to_string()]).unwrap();
    // Behind the superblock, whose loss would be another story.
    let zeros =
        ["if=/dev/zero", &format!("of={}", disk.loops[1]), "bs=1M", "seek=16", "count=100", "conv=fsync"];
    ran("dd", &zeros).unwrap();
    ran("btrfs", &["scrub", "start", "-B", &disk.point().display().to_string()]);
    let report = take(&mut prober);
    let grown = reading(&report, Probe::Btrfs, "fs:");
    assert!(grown.level == Level::Critical && !grown.stops_writes, "{grown:?}");
    assert!(grown.facts["nonzero"].as_str().unwrap().contains("corruption_errs"), "{grown:?}");
}
