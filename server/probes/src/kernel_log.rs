//! Lines of the kernel's log that name a device: records of `/dev/kmsg`, or what `dmesg` prints.
//!
//! A line is news of one moment and not a state. A [`Ledger`] keeps what was said of each device until it is old, or until the file
//! system was mounted anew, which is when what was said of its earlier life stops to count.

use std::collections::{BTreeMap, VecDeque};

use salvor_domain::health::{Level, Probe, Reading};
use salvor_domain::units;

/// What is kept of one device, at the most: distinct signs.
const MOST_SIGNS: usize = 16;
/// Devices that are kept, at the most.
const MOST_DEVICES: usize = 1_000;
/// News of a file system count this long.
const FILE_SYSTEM_SECONDS: f64 = 24.0 * 3600.0;
/// A disk that has long been quiet may have been a loose cable.
const DISK_SECONDS: f64 = 3600.0;

/// One record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line<'a> {
    /// Of `/dev/kmsg` alone.
    pub number: Option<u64>,
    /// Since the machine's start.
    pub seconds: Option<f64>,
    pub text: &'a str,
}

/// What a line says of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Its file system was mounted.
    Mounted(String),
    Fault(Fault),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The kernel's name of it, as `sda1`.
    pub device: String,
    pub sign: &'static str,
    pub level: Level,
    /// See [`Reading::stops_writes`].
    pub stops_writes: bool,
    /// The file system that says it; absent where a disk does.
    pub of_file_system: Option<&'static str>,
}

/// Records, without the lines that only add to one.
pub fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().filter_map(line)
}

/// `3,1234,5678,-;text` of `/dev/kmsg`, `[ 12.345678] text` or `<3>[ 12.345678] text` of dmesg, or bare text.
fn line(line: &str) -> Option<Line<'_>> {
    if line.starts_with(' ') || line.is_empty() {
        return None;
    }
    if let Some((head, text)) = line.split_once(';') {
        let figures: Vec<&str> = head.split(',').collect();
        if let [_, number, micros, ..] = figures[..]
            && let (Ok(number), Ok(micros)) = (number.parse(), micros.parse::<u64>())
        {
            return Some(Line { number: Some(number), seconds: Some(micros as f64 / 1e6), text });
        }
    }
    let line = line.strip_prefix('<').and_then(|rest| rest.split_once('>')).map_or(line, |(_, rest)| rest);
    let stamped = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    Some(match stamped {
        Some((stamp, text)) => {
            Line { number: None, seconds: stamp.trim().parse().ok(), text: text.trim_start() }
        }
        None => Line { number: None, seconds: None, text: line },
    })
}

/// What a record says; most say nothing of storage.
pub fn news(text: &str) -> Option<News> {
    mounted(text).map(News::Mounted).or_else(|| {
        let fault = ext4(text).or_else(|| xfs(text)).or_else(|| btrfs(text)).or_else(|| disk(text))?;
        Some(News::Fault(fault))
    })
}

fn mounted(text: &str) -> Option<String> {
    let (device, rest) = named(text, "EXT4-fs (")
        .or_else(|| named(text, "XFS ("))
        .or_else(|| named(text, "BTRFS info (device "))?;
    let begins = ["mounted filesystem", "Mounting V", "first mount of filesystem"];
    begins.iter().any(|begin| rest.starts_with(begin)).then(|| device.to_owned())
}

fn of_file_system(kind: &'static str, device: &str, sign: &'static str, level: Level) -> Fault {
    let stops_writes = level == Level::Critical;
    Fault { device: device.to_owned(), sign, level, stops_writes, of_file_system: Some(kind) }
}

fn ext4(text: &str) -> Option<Fault> {
    let fault = |device, sign| Some(of_file_system("ext4", device, sign, Level::Critical));
    if let Some((device, _)) = named(text, "EXT4-fs error (device ") {
        return fault(device, "EXT4-fs error");
    }
    if let Some(journal) = text.strip_prefix("Aborting journal on device ") {
        // `sda1-8`: the journal's inode stands behind the device.
        let device = journal.trim_end_matches('.').rsplit_once('-')?.0;
        return fault(device, "Aborting journal");
    }
    let (device, rest) = named(text, "EXT4-fs (")?;
    let signs = [
        ("Remounting filesystem read-only", "Remounting filesystem read-only"),
        ("Delayed block allocation failed", "Delayed block allocation failed"),
        ("I/O error while writing superblock", "I/O error while writing superblock"),
        ("failed to convert unwritten extents", "failed to convert unwritten extents"),
        ("shut down requested", "shut down requested"),
    ];
    signs.iter().find(|(begin, _)| rest.starts_with(begin)).and_then(|(_, sign)| fault(device, sign))
}

fn xfs(text: &str) -> Option<Fault> {
    let (device, rest) = named(text, "XFS (")?;
    let lower = rest.to_ascii_lowercase();
    // Bad bytes were already told of as such: EFSBADCRC (74) and EFSCORRUPTED (117).
    let is_an_echo = lower.ends_with("error 74") || lower.ends_with("error 117");
    let sign = if lower.contains("shutting down filesystem") || lower.contains("has been shut down") {
        "Shutting down filesystem"
    } else if lower.starts_with("metadata crc error") {
        "Metadata CRC error"
    } else if lower.starts_with("metadata corruption") || lower.starts_with("internal error") {
        "Metadata corruption"
    } else if lower.starts_with("metadata i/o error in") && !is_an_echo {
        "metadata I/O error"
    } else if lower.starts_with("log i/o error") {
        "log I/O error"
    } else {
        return None;
    };
    Some(of_file_system("xfs", device, sign, Level::Critical))
}

fn btrfs(text: &str) -> Option<Fault> {
    let rest = text.strip_prefix("BTRFS")?;
    let (said, rest) = rest.split_once("(device ")?;
    let (device, rest) = rest.split_once(')')?;
    let device = device.split([':', ' ']).next()?;
    let said = said.trim_matches([':', ' ']);
    let (sign, level) = if rest.contains("forced readonly") {
        ("forced readonly", Level::Critical)
    } else if rest.contains("errs: wr ") {
        // The counters of a device, which the probe of btrfs reads and compares.
        return None;
    } else if rest.contains("csum failed")
        || rest.contains("checksum error")
        || rest.contains("checksum verify failed")
    {
        ("checksum error", Level::Warning)
    } else if said == "critical" || rest.contains("corrupt leaf") || rest.contains("corrupt node") {
        ("corrupt metadata", Level::Critical)
    } else if rest.contains("errno=") || rest.contains("Transaction aborted") {
        ("Transaction aborted", Level::Critical)
    } else {
        return None;
    };
    Some(of_file_system("btrfs", device, sign, level))
}

/// Of the disk itself. A read that failed is bad; a write that failed has lost something.
fn disk(text: &str) -> Option<Fault> {
    let fault = |device: &str, sign, stops_writes| {
        let device = device.split([',', ' ', '.', ';']).next()?;
        let named = !device.is_empty() && device.len() <= 32;
        named.then(|| Fault {
            device: device.to_owned(),
            sign,
            level: Level::Critical,
            stops_writes,
            of_file_system: None,
        })
    };
    if let Some(device) = text.strip_prefix("Buffer I/O error on dev") {
        let device = device.strip_prefix("ice").unwrap_or(device).trim_start();
        let lost = text.contains("lost async page write") || text.contains("lost sync page write");
        return fault(device, if lost { "lost page write" } else { "Buffer I/O error" }, lost);
    }
    if let Some((_, device)) = text.split_once("Disk failure on ") {
        return fault(device, "Disk failure", false);
    }
    let wrote = text.contains("(WRITE)") || text.contains("(FLUSH)");
    let kinds = [
        ("critical medium error, dev ", "critical medium error"),
        ("critical target error, dev ", "critical target error"),
        ("I/O error, dev ", if wrote { "I/O error on write" } else { "I/O error" }),
    ];
    kinds.iter().find_map(|(begin, sign)| fault(text.split_once(begin)?.1, sign, wrote))
}

/// The device between `begin` and `)`, and what is said of it.
fn named<'a>(text: &'a str, begin: &str) -> Option<(&'a str, &'a str)> {
    let (device, rest) = text.strip_prefix(begin)?.split_once(')')?;
    let device = device.split([':', ' ']).next()?;
    Some((device, rest.trim_start_matches(':').trim_start()))
}

/// What was said of the devices, while it counts.
#[derive(Debug, Default)]
pub struct Ledger(BTreeMap<(String, bool), Heard>);

/// What was said of one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    signs: VecDeque<&'static str>,
    /// See [`Fault::of_file_system`].
    by: Option<&'static str>,
    level: Level,
    stops_writes: bool,
    lines: u64,
    last_number: Option<u64>,
    last_seconds: f64,
}

impl Ledger {
    /// Takes in one record; one without a time counts as said at the machine's start.
    pub fn note(&mut self, line: &Line<'_>) {
        match news(line.text) {
            None => {}
            Some(News::Mounted(device)) => self.mounted(device),
            Some(News::Fault(fault)) => self.fault(fault, line),
        }
    }

    fn mounted(&mut self, device: String) {
        // The disk is the same one, but for a loop device, which may be another file now.
        if device.starts_with("loop") {
            self.0.remove(&(device.clone(), false));
        }
        self.0.remove(&(device, true));
    }

    fn fault(&mut self, fault: Fault, line: &Line<'_>) {
        let key = (fault.device, fault.of_file_system.is_some());
        // What another file system said that was on the device before.
        if self.0.get(&key).is_some_and(|heard| heard.by != fault.of_file_system) {
            self.0.remove(&key);
        }
        if self.0.len() >= MOST_DEVICES && !self.0.contains_key(&key) {
            return;
        }
        let heard = self.0.entry(key).or_insert_with(|| Heard {
            signs: VecDeque::new(),
            by: fault.of_file_system,
            level: fault.level,
            stops_writes: false,
            lines: 0,
            last_number: None,
            last_seconds: 0.0,
        });
        if !heard.signs.contains(&fault.sign) && heard.signs.len() < MOST_SIGNS {
            heard.signs.push_back(fault.sign);
        }
        heard.level = heard.level.max(fault.level);
        heard.stops_writes |= fault.stops_writes;
        heard.lines += 1;
        heard.last_number = line.number.or(heard.last_number);
        heard.last_seconds = line.seconds.unwrap_or(heard.last_seconds);
    }

    /// Lets go of what is old, `seconds` after the machine's start.
    pub fn forget(&mut self, seconds: f64) {
        self.0.retain(|(_, of_file_system), heard| {
            seconds - heard.last_seconds <= if *of_file_system { FILE_SYSTEM_SECONDS } else { DISK_SECONDS }
        });
    }

    /// What a file system of this kind said. Of a btrfs over several devices the kernel tells one at its mount; what another kind said of
    /// the others was before it.
    pub fn of_file_system(&self, device: &str, kind: &str) -> Option<&Heard> {
        // One driver is for all three.
        let driver = if matches!(kind, "ext2" | "ext3") { "ext4" } else { kind };
        self.0.get(&(device.to_owned(), true)).filter(|heard| heard.by == Some(driver))
    }

    /// What was said of disks, by device.
    pub fn of_disks(&self) -> impl Iterator<Item = (&str, &Heard)> {
        let of_disks = self.0.iter().filter(|((_, of_file_system), _)| !of_file_system);
        of_disks.map(|((device, _), heard)| (device.as_str(), heard))
    }

    /// Every device that something was said of.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Heard)> {
        self.0.iter().map(|((device, _), heard)| (device.as_str(), heard))
    }
}

impl Heard {
    pub fn signs(&self) -> String {
        Vec::from(self.signs.clone()).join("; ")
    }

    /// `device` is where it was heard of; `subject` the node that it is about.
    pub fn reading(&self, subject: &str, device: &str) -> Reading {
        let lines = units::counted(self.lines, "line", "lines");
        let why = format!("the kernel's log has {lines} about {device}: {}", self.signs());
        let reading = Reading::new(Probe::KernelLog, subject, self.level, why)
            .with("device", device)
            .with("signals", self.signs())
            .with("lines", self.lines)
            .with("occurrence", self.last_number.unwrap_or(self.lines).to_string());
        if self.stops_writes { reading.stopping_writes() } else { reading }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(text: &str) -> Ledger {
        let mut ledger = Ledger::default();
        lines(text).for_each(|line| ledger.note(&line));
        ledger
    }

    #[test]
    fn records_of_kmsg_and_lines_of_dmesg_are_read_alike() {
        let kmsg =
            "3,814,1115920341,-;EXT4-fs error (device loop0): f:1: x\n SUBSYSTEM=block\n DEVICE=b7:0\n";
        let line = lines(kmsg).next().unwrap();
        assert_eq!((line.number, line.seconds), (Some(814), Some(1115.920341)));
        assert_eq!(lines(kmsg).count(), 1, "what only adds to a record is none");
        for text in [
            "[ 1115.920341] EXT4-fs error (device loop0): x",
            "<3>[1115.920341] EXT4-fs error (device loop0): x",
        ] {
            let line = lines(text).next().unwrap();
            assert_eq!((line.number, line.seconds), (None, Some(1115.920341)));
            assert!(matches!(news(line.text), Some(News::Fault(fault)) if fault.device == "loop0"));
        }
        assert_eq!(lines("[Mon Nov 30 12:00:00 2026] XFS (a): x").next().unwrap().text, "XFS (a): x");
    }

    #[test]
    fn each_file_system_is_understood() {
        for (text, device, sign, stops) in [
            (
                "EXT4-fs error (device dm-0): htree_dirblock_to_tree:1051: inode #2",
                "dm-0",
                "EXT4-fs error",
                true,
            ),
            ("Aborting journal on device dm-0-8.", "dm-0", "Aborting journal", true),
            (
                "EXT4-fs (sda1): Remounting filesystem read-only",
                "sda1",
                "Remounting filesystem read-only",
                true,
            ),
            (
                "XFS (sdb): Metadata CRC error detected at x+0x71/0x100, block 0x9 ",
                "sdb",
                "Metadata CRC error",
                true,
            ),
            (
                "XFS (sdb): User initiated shutdown received. Shutting down filesystem",
                "sdb",
                "Shutting down filesystem",
                true,
            ),
            (
                "XFS (sdb): metadata I/O error in \"f\" at daddr 0x9 len 8 error 5",
                "sdb",
                "metadata I/O error",
                true,
            ),
            ("BTRFS info (device sdc: state EA): forced readonly", "sdc", "forced readonly", true),
            ("BTRFS: error (device sdc) in f:1: errno=-5 IO failure", "sdc", "Transaction aborted", true),
            ("BTRFS warning (device sdc): csum failed root 5 ino 257 off 0", "sdc", "checksum error", false),
            ("BTRFS critical (device sdc): corrupt leaf: root=1", "sdc", "corrupt metadata", true),
            ("I/O error, dev sda, sector 9 op 0x0:(READ) flags 0x0", "sda", "I/O error", false),
            (
                "blk_update_request: I/O error, dev sda, sector 9 op 0x1:(WRITE) flags",
                "sda",
                "I/O error on write",
                true,
            ),
            ("critical medium error, dev sda, sector 9 op 0x0:(READ)", "sda", "critical medium error", false),
            (
                "Buffer I/O error on dev dm-1, logical block 1, lost async page write",
                "dm-1",
                "lost page write",
                true,
            ),
            ("Buffer I/O error on device sda1, logical block 1", "sda1", "Buffer I/O error", false),
            ("md/raid1:md0: Disk failure on sdb1, disabling device.", "sdb1", "Disk failure", false),
        ] {
            let Some(News::Fault(fault)) = news(text) else { panic!("nothing was read of: {text}") };
            assert_eq!(
                (fault.device.as_str(), fault.sign, fault.stops_writes),
                (device, sign, stops),
                "{text}"
            );
        }
        for text in [
            "EXT4-fs warning (device loop0): ext4_dirblock_csum_verify:375: x",
            "EXT4-fs (loop0): error count since last fsck: 3",
            "XFS (loop0): Unmount and run xfs_repair",
            "XFS (loop0): metadata I/O error in \"f\" at daddr 0x9 len 8 error 74",
            "usb 1-1: new high-speed USB device",
        ] {
            assert_eq!(news(text), None, "{text}");
        }
    }

    #[test]
    fn a_new_mount_ends_what_was_said_of_the_earlier_one() {
        let fault = "[1.0] EXT4-fs error (device loop0): x\n";
        assert!(ledger(fault).of_file_system("loop0", "ext4").is_some());
        assert!(ledger(fault).of_file_system("loop0", "btrfs").is_none(), "it was another one's");
        let fresh =
            format!("{fault}[2.0] EXT4-fs (loop0): mounted filesystem 1-2 r/w with ordered data mode.\n");
        assert!(ledger(&fresh).of_file_system("loop0", "ext4").is_none());
        let again = format!("{fault}[2.0] EXT4-fs (loop0): re-mounted 1-2 ro.\n");
        assert!(ledger(&again).of_file_system("loop0", "ext4").is_some(), "it was never unmounted");
        let disk = |device: &str| {
            format!(
                "[1.0] I/O error, dev {device}, sector 9 op 0x1:(WRITE)\n[2.0] XFS ({device}): Mounting V5 Filesystem 1-2\n"
            )
        };
        assert_eq!(ledger(&disk("sda")).of_disks().count(), 1, "the disk is the same");
        assert_eq!(ledger(&disk("loop0")).of_disks().count(), 0, "it is another file by now");
    }

    #[test]
    fn news_grow_old_and_further_ones_are_another_occurrence() {
        let mut one = ledger("3,7,1000000,-;I/O error, dev sda, sector 9 op 0x1:(WRITE)\n");
        let reading = one.of_disks().next().unwrap().1.reading("sda", "sda");
        assert!(
            reading.level == Level::Critical && reading.stops_writes && reading.facts["occurrence"] == "7"
        );
        lines("3,9,2000000,-;I/O error, dev sda, sector 9 op 0x1:(WRITE)\n").for_each(|line| one.note(&line));
        assert_eq!(one.of_disks().next().unwrap().1.reading("sda", "sda").facts["occurrence"], "9");
        one.forget(2.0 + DISK_SECONDS);
        assert!(one.of_disks().next().is_some());
        one.forget(2.5 + DISK_SECONDS);
        assert!(one.of_disks().next().is_none());
    }
}
