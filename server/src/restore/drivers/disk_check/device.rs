//! Whether a tool may work on its device: a repair wants it for itself alone, a scrub wants its file system mounted.
//!
//! Looked up by device number, since one device has many names; through the partitions, RAID sets, volumes and loop devices that
//! lie on it as well. What this machine's tables do not show (a mount in another namespace), the kernel does when the device is
//! opened exclusively.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use salvor_domain::disk_check::DiskTool;
use salvor_probes::mountinfo::{self, Mount};

/// Why a tool may not work on its device. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum InTheWay {
    /// A person has to do something first.
    Person(String),
    /// Another process holds it, and may be done with it soon.
    Held(String),
}

impl InTheWay {
    pub fn words(self) -> String {
        match self {
            Self::Person(words) | Self::Held(words) => words,
        }
    }
}

/// Looks at the device; may wait for as long as that hangs. `volume` is its name, for advice.
pub fn look(tool: DiskTool, device: &str, volume: &str) -> Result<(), InTheWay> {
    match tool {
        DiskTool::E2fsck | DiskTool::XfsRepair => is_free(Path::new(device), volume),
        DiskTool::BtrfsScrub => is_mounted(Path::new(device)),
        // The tool itself knows its pools.
        DiskTool::ZpoolScrub => Ok(()),
    }
}

fn is_free(device: &Path, volume: &str) -> Result<(), InTheWay> {
    let shown = device.display();
    let meta = found(device)?;
    let kind = meta.file_type();
    let own = match (kind.is_block_device(), kind.is_file()) {
        (true, _) => [Number::of(meta.rdev())].into(),
        (_, true) => loops_of(device),
        _ => {
            return Err(InTheWay::Person(format!(
                "{shown} is neither a device nor an image of one: mend `device` in [volume.disk_check]"
            )));
        }
    };
    let numbers = with_all_above(own);
    let advice = "then start the disk check again";
    if let Some(mount) = mounts().into_iter().find(|mount| lies_on(mount, &numbers)) {
        let point = mount.point;
        return Err(InTheWay::Person(format!(
            "{shown} is mounted on {point}: put the volume in failover (salvor mode {volume} failover --reason …), unmount it \
             (umount {point}), {advice}"
        )));
    }
    if let Some(swap) = swaps().into_iter().find(|swap| number_of(swap).is_some_and(|n| numbers.contains(&n)))
    {
        return Err(InTheWay::Person(format!(
            "{shown} is in use as swap: swapoff {}, {advice}; is it the right device?",
            swap.display()
        )));
    }
    if kind.is_block_device() { opens_alone(device) } else { Ok(()) }
}

fn found(path: &Path) -> Result<fs::Metadata, InTheWay> {
    let shown = path.display();
    fs::metadata(path).map_err(|error| {
        InTheWay::Person(match error.kind() {
            io::ErrorKind::NotFound => {
                format!(
                    "{shown} does not exist: is the disk there, and is it `device` in [volume.disk_check]?"
                )
            }
            _ => format!("{shown} cannot be looked at: {error}"),
        })
    })
}

fn is_mounted(point: &Path) -> Result<(), InTheWay> {
    let shown = point.display();
    found(point)?;
    let all = mounts();
    let real = point.canonicalize().unwrap_or_else(|_| point.to_owned());
    match mountinfo::of_path(&all, &real) {
        Some(mount) if mount.kind == "btrfs" => Ok(()),
        _ => Err(InTheWay::Person(format!(
            "no btrfs is mounted on {shown}: a scrub needs it mounted; mount it, then start the disk check again"
        ))),
    }
}

/// With `O_EXCL` and without `O_CREAT` the kernel refuses a block device that anything else has for itself.
fn opens_alone(device: &Path) -> Result<(), InTheWay> {
    let shown = device.display();
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match rustix::fs::open(device, flags, Mode::empty()) {
        Ok(_) => Ok(()),
        Err(rustix::io::Errno::BUSY) => Err(InTheWay::Held(format!(
            "{shown} is held by something else (a mount elsewhere, a RAID set, a volume group, or another check): end that first; \
             lsblk {shown} and fuser -v {shown} may tell what it is"
        ))),
        Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => Err(InTheWay::Person(format!(
            "Salvor may not open {shown}: have a Salvor that runs as root do this check, such as `salvor disk-check` from a shell"
        ))),
        Err(error) => Err(InTheWay::Person(format!("{shown} cannot be opened: {error}"))),
    }
}

/// A device's major and minor number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Number(u32, u32);

impl Number {
    fn of(device: u64) -> Self {
        Self(rustix::fs::major(device), rustix::fs::minor(device))
    }

    /// `8:1`
    fn parsed(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once(':')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }

    fn folder(self) -> PathBuf {
        PathBuf::from(format!("/sys/dev/block/{}:{}", self.0, self.1))
    }
}

fn number_of(path: &Path) -> Option<Number> {
    let meta = fs::metadata(path).ok()?;
    meta.file_type().is_block_device().then(|| Number::of(meta.rdev()))
}

/// The devices, and all that lies on them.
fn with_all_above(mut open: BTreeSet<Number>) -> BTreeSet<Number> {
    let mut all = BTreeSet::new();
    while let Some(number) = open.pop_first() {
        if all.insert(number) {
            open.extend(above(number));
        }
    }
    all
}

/// What lies directly on a device: its partitions, and what holds it; of a loop device also its twins.
fn above(number: Number) -> Vec<Number> {
    let folder = number.folder();
    let partitions = entries(&folder).into_iter().filter(|entry| entry.join("partition").exists());
    let holders = entries(&folder.join("holders"));
    let mut all: Vec<Number> = partitions.chain(holders).filter_map(|entry| dev(&entry)).collect();
    if let Some(file) = backing_file(&folder) {
        all.extend(loops_of(&file));
    }
    all
}

/// The loop devices that show this file.
fn loops_of(file: &Path) -> BTreeSet<Number> {
    let real = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let loops = entries(Path::new("/sys/block")).into_iter();
    loops
        .filter(|entry| backing_file(entry).as_ref() == Some(&real))
        .filter_map(|entry| dev(&entry))
        .collect()
}

fn backing_file(folder: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(folder.join("loop/backing_file")).ok()?;
    Some(PathBuf::from(text.trim_end_matches('\n')))
}

fn dev(folder: &Path) -> Option<Number> {
    Number::parsed(&fs::read_to_string(folder.join("dev")).ok()?)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).map(|all| all.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

fn mounts() -> Vec<Mount> {
    mountinfo::parse(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

/// Whether a mount shows one of these devices. A btrfs has a number of its own there: its source tells.
fn lies_on(mount: &Mount, numbers: &BTreeSet<Number>) -> bool {
    let by_number = Number::parsed(&mount.device).is_some_and(|number| numbers.contains(&number));
    let by_source = || {
        let source = mount.source.starts_with("/dev/").then(|| number_of(Path::new(&mount.source))).flatten();
        source.is_some_and(|number| numbers.contains(&number))
    };
    by_number || by_source()
}

fn swaps() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/swaps").unwrap_or_default();
    let path = |line: &str| line.split_ascii_whitespace().next().map(PathBuf::from);
    text.lines().skip(1).filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_is_named_with_its_key() {
        let no = look(DiskTool::E2fsck, "/dev/salvor-has-none", "uploads").unwrap_err().words();
        assert!(
            no.contains("/dev/salvor-has-none does not exist") && no.contains("[volume.disk_check]"),
            "{no}"
        );
        let no = look(DiskTool::XfsRepair, "/proc", "uploads").unwrap_err().words();
        assert!(no.contains("neither a device nor an image"), "{no}");
        let no = look(DiskTool::BtrfsScrub, "/proc", "uploads").unwrap_err().words();
        assert!(no.contains("no btrfs is mounted on /proc"), "{no}");
    }

    #[test]
    fn an_image_that_nothing_shows_is_free() {
        let image = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(look(DiskTool::E2fsck, image.path().to_str().unwrap(), "uploads"), Ok(()));
    }
}
