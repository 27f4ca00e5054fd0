//! Where the files lie: an ext4 of its own on a loop device whose image is in memory, so that barriers are real and the
//! disk's noise is not. Without the privilege, a temporary folder.
//!
//! Everything has one name, [`HOME`]: what an earlier run left is removed first, and a small watchman removes it when this
//! process ends in whatever way.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Outcome;

const HOME: &str = "/dev/shm/salvor-bench";
/// Of the memory that is available, at most this part.
const MOST: f64 = 0.6;

pub struct Place {
    folder: PathBuf,
    kept: Kept,
}

enum Kept {
    Mounted(Child),
    Temporary(#[expect(dead_code, reason = "removes its folder when it is dropped")] tempfile::TempDir),
    Given,
}

/// What the file system must be able to hold.
pub struct Room {
    pub bytes: u64,
    pub files: u64,
    /// Of a block: small files in large blocks would need much memory.
    pub block: u64,
}

impl Place {
    /// A place in `given`, or where the machine allows it.
    pub fn find(given: Option<&Path>, room: &Room) -> Outcome<Self> {
        if let Some(given) = given {
            let folder = given.join("salvor-bench");
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(&folder)?;
            return Ok(Self { folder, kept: Kept::Given });
        }
        if !can_mount() {
            let folder = tempfile::tempdir()?;
            return Ok(Self { folder: folder.path().to_owned(), kept: Kept::Temporary(folder) });
        }
        shell(&clean())?;
        // Inodes and journal come on top.
        let size = room.bytes + room.bytes / 8 + room.files * 512 + (512 << 20);
        if size as f64 > available_bytes()? * MOST {
            return Err(format!(
                "{} MiB of memory are needed for the files, which is too much here: set SALVOR_BENCH_DIR to a folder on a \
                 disk, or measure fewer files",
                size >> 20
            )
            .into());
        }
        let per_inode = (size / (room.files * 5 / 4 + 10_000)).clamp(1_024, 16_384);
        let watchman = watchman()?;
        // Written once before, so that its pages exist.
        shell(&format!(
            "mkdir -p {HOME}/files && head -c {size} /dev/zero >{HOME}/image && \
             mkfs.ext4 -qF -b {} -i {per_inode} -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 {HOME}/image && \
             mount -o loop,nodiscard {HOME}/image {HOME}/files",
            room.block
        ))?;
        Ok(Self { folder: Path::new(HOME).join("files"), kept: Kept::Mounted(watchman) })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        match &mut self.kept {
            Kept::Mounted(watchman) => {
                // At the end of its input it cleans up, as it would have without us.
                drop(watchman.stdin.take());
                let _ = watchman.wait();
            }
            Kept::Temporary(_) => {}
            Kept::Given => drop(std::fs::remove_dir_all(&self.folder)),
        }
    }
}

/// In words, for whoever reads the figures.
pub fn kind() -> &'static str {
    if can_mount() { "ext4 on a loop device in memory" } else { "in a temporary folder" }
}

fn can_mount() -> bool {
    rustix::process::geteuid().is_root()
        && Path::new("/dev/shm").is_dir()
        && Path::new("/dev/loop-control").exists()
        && shell("command -v mkfs.ext4 && command -v mount").is_ok()
}

/// Waits for the end of its input, which comes with the end of this process at the latest; no interrupt reaches it.
fn watchman() -> Outcome<Child> {
    Ok(Command::new("sh")
        .args(["-c", &format!("cat >/dev/null; {}", clean())])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?)
}

fn clean() -> String {
    // What still works there is given a moment: programs that were interrupted along with us.
    format!(
        "for wait in 1 2 3 4 5; do mountpoint -q {HOME}/files || break; umount {HOME}/files 2>/dev/null || sleep 0.5; done; \
         ! mountpoint -q {HOME}/files || umount -l {HOME}/files; rm -rf {HOME}"
    )
}

fn available_bytes() -> Outcome<f64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib: f64 = line.and_then(|line| line.split_whitespace().next()).ok_or("no MemAvailable")?.parse()?;
    Ok(kib * 1024.0)
}

fn shell(command: &str) -> Outcome<()> {
    let status = Command::new("sh").args(["-c", command]).stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("{status}: {command}").into()) }
}
