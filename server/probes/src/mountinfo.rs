//! `/proc/self/mountinfo`: what is mounted where, and whether it may be written to.
//!
//! Since Linux 6.12 an ext4 that tripped over an error still says `rw` in its flags and in its super options; from 6.15 the super options
//! add `emergency_ro`. So `rw` alone proves nothing, and only the canary tells for sure.

use std::path::Path;

use salvor_domain::health::{Level, Probe, Reading};

/// One line: one mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `8:1`; one that belongs to no block device for btrfs, ZFS, and what comes over the network.
    pub device: String,
    /// Which folder of the file system is mounted.
    pub root: String,
    pub point: String,
    /// Of the mount.
    pub flags: Vec<String>,
    /// `ext4`, `xfs`, …
    pub kind: String,
    /// `/dev/sda1`, `tank/data`, `server:/export`
    pub source: String,
    /// Of the file system, whichever mount it is seen through.
    pub super_options: Vec<String>,
}

/// Why nothing can be written through a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOnly {
    /// ext4 has stopped all writes after an error.
    Emergency,
    /// ext4 was shut down.
    ShutDown,
    /// The whole file system; this is also what a kernel does that hit an error.
    FileSystem,
    /// This mount of it.
    Mount,
}

/// Lines that are none are passed over.
pub fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(line).collect()
}

/// `36 35 98:0 /root /point rw,noatime master:1 … - ext3 /dev/root rw,errors=continue`
fn line(line: &str) -> Option<Mount> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(2);
    let mut file_system = file_system.split(' ');
    Some(Mount {
        device: mount.next()?.to_owned(),
        root: unescaped(mount.next()?),
        point: unescaped(mount.next().filter(|point| point.starts_with('/'))?),
        flags: options(mount.next()?),
        kind: file_system.next()?.to_owned(),
        source: unescaped(file_system.next()?),
        super_options: file_system.next().map(options).unwrap_or_default(),
    })
}

fn options(list: &str) -> Vec<String> {
    list.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect()
}

/// The kernel writes a space, a tab, a line's end, a backslash and `#` as `\040`.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let (byte, after) = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                ((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), after)
            }
            _ => (*first, others),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The mount that an absolute path lies on: the one with the longest mount point, and of several on the same the last, which hides
/// the others.
pub fn of_path<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let beneath = mounts.iter().filter(|mount| path.starts_with(&mount.point));
    beneath.max_by_key(|mount| Path::new(&mount.point).components().count())
}

impl Mount {
    pub fn read_only(&self) -> Option<ReadOnly> {
        let has = |options: &[String], wanted: &str| options.iter().any(|option| option == wanted);
        match self {
            _ if has(&self.super_options, "emergency_ro") => Some(ReadOnly::Emergency),
            _ if has(&self.super_options, "shutdown") => Some(ReadOnly::ShutDown),
            _ if has(&self.super_options, "ro") => Some(ReadOnly::FileSystem),
            _ if has(&self.flags, "ro") => Some(ReadOnly::Mount),
            _ => None,
        }
    }

    /// A btrfs that was mounted although one of its devices is missing.
    pub fn is_degraded(&self) -> bool {
        self.super_options.iter().any(|option| option == "degraded")
    }

    /// What a volume on it is in for. `carries_a_volume`: otherwise copies alone lie on it, which nobody uploads to.
    pub fn reading(&self, subject: &str, carries_a_volume: bool) -> Reading {
        let at = &self.point;
        let reading = match self.read_only() {
            None if self.is_degraded() => {
                let why = format!(
                    "{at} is mounted with a device missing: add one, then run btrfs replace, or btrfs device remove missing"
                );
                Reading::new(Probe::Mount, subject, Level::Critical, why)
            }
            None => Reading::new(Probe::Mount, subject, Level::Ok, format!("{at} is mounted for writing")),
            Some(how) => {
                let why = format!("{at} {}", how.words(&self.kind));
                let level = if carries_a_volume { Level::Critical } else { Level::Warning };
                let level = if how == ReadOnly::Emergency { Level::Critical } else { level };
                Reading::new(Probe::Mount, subject, level, why).stopping_writes()
            }
        };
        let reading = reading
            .with("fs_type", self.kind.as_str())
            .with("source", self.source.as_str())
            .with("readonly", self.read_only().is_some())
            .with("options", self.flags.join(","))
            .with("super_options", self.super_options.join(","));
        if self.kind == "btrfs" { reading.with("degraded", self.is_degraded()) } else { reading }
    }
}

impl ReadOnly {
    fn words(self, kind: &str) -> String {
        let check = match kind {
            "ext2" | "ext3" | "ext4" => "unmount it and run e2fsck",
            "xfs" => "unmount it and run xfs_repair",
            "btrfs" => "see the kernel's log, and run btrfs scrub",
            _ => "see the kernel's log",
        };
        match self {
            Self::Emergency => format!("has stopped all writes after an error (emergency_ro): {check}"),
            Self::ShutDown => format!("was shut down: {check}"),
            Self::FileSystem => format!("is read-only: if an error did that, {check}"),
            Self::Mount => "is mounted read-only: remount it for writing once it is known why".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIPPED: &str =
        "43 27 7:0 / /srv/e4a rw,relatime - ext4 /dev/loop0 rw,errors=remount-ro,emergency_ro\n";

    fn one(text: &str) -> Mount {
        parse(text).remove(0)
    }

    #[test]
    fn a_tripped_ext4_is_read_only_although_it_says_rw() {
        let mount = one(TRIPPED);
        assert_eq!((mount.device.as_str(), mount.kind.as_str()), ("7:0", "ext4"));
        assert_eq!(mount.read_only(), Some(ReadOnly::Emergency));
        let reading = mount.reading("fs:/srv/e4a", true);
        assert!(reading.level == Level::Critical && reading.stops_writes, "{reading:?}");
        assert!(reading.reason.contains("e2fsck"), "{}", reading.reason);
    }

    #[test]
    fn each_way_of_being_read_only_is_told() {
        for (flags, super_options, expected) in [
            ("rw,relatime", "rw", None),
            ("rw", "rw,errors=remount-ro", None),
            ("ro,relatime", "rw", Some(ReadOnly::Mount)),
            ("rw", "ro", Some(ReadOnly::FileSystem)),
            ("rw", "rw,shutdown", Some(ReadOnly::ShutDown)),
        ] {
            let mount =
                one(&format!("1 2 8:1 / /a {flags} shared:1 master:2 - ext4 /dev/sda1 {super_options}"));
            assert_eq!(mount.read_only(), expected, "{flags} {super_options}");
            let reading = mount.reading("fs:/a", true);
            assert_eq!(reading.level == Level::Ok, expected.is_none());
            assert_eq!(reading.stops_writes, expected.is_some());
        }
        let copy = one("1 2 8:1 / /a ro - ext4 /dev/sda1 rw").reading("fs:/a", false);
        assert_eq!(copy.level, Level::Warning, "a copy can still be read");
    }

    #[test]
    fn a_path_lies_on_the_last_of_the_longest_mounts() {
        let mounts = parse(
            "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /srv rw - xfs /dev/sda2 rw\n\
             3 2 8:3 / /srv/a\\040b rw - ext4 /dev/sda3 rw\nnot a mount\n4 2 8:4 / /srv/a\\040b rw - ext4 /dev/sda4 rw\n",
        );
        let on = |path: &str| of_path(&mounts, Path::new(path)).map(|mount| mount.device.as_str());
        assert_eq!(on("/srv/a b/c"), Some("8:4"));
        assert_eq!(on("/srv/a"), Some("8:2"), "a name that only begins alike");
        assert_eq!(on("/home"), Some("8:1"));
        assert_eq!(of_path(&[], Path::new("/")), None);
    }

    #[test]
    fn escapes_that_are_none_stay_as_they_are() {
        assert_eq!(unescaped(r"/a\040b\134c\04\x"), r"/a b\c\04\x");
    }
}
