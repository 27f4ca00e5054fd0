//! A disk of a test's own: an image in a file, shown as a loop device. Takes root; where that or a tool is missing, the reader is told
//! and the test passes over. Whatever becomes of the test, the disk is unmounted and taken away.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::facts::until;

pub struct LoopDisk {
    pub device: String,
    /// Where its file system is mounted, or will be.
    pub point: PathBuf,
}

/// Of the file systems that [`LoopDisk::ext4`] makes, in bytes.
const BLOCK: u64 = 1024;

impl LoopDisk {
    /// Without a file system. The folder `point` is there, or is made.
    pub fn new(image: &Path, point: &Path, megabytes: u64) -> Option<Self> {
        std::fs::create_dir_all(point).unwrap();
        std::fs::File::create(image).unwrap().set_len(megabytes << 20).unwrap();
        let made = Command::new("losetup").args(["-f", "--show"]).arg(image).output();
        let Some(made) = made.ok().filter(|made| made.status.success()) else {
            eprintln!("skipped: a loop device cannot be set up here (it takes root)");
            return None;
        };
        let device = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        Some(Self { device, point: point.to_owned() })
    }

    /// With an ext4, mounted.
    pub fn ext4(image: &Path, point: &Path, megabytes: u64, options: &str) -> Option<Self> {
        let disk = Self::new(image, point, megabytes)?;
        let block = BLOCK.to_string();
        (disk.made("mkfs.ext4", &["-q", "-F", "-b", &block]) && disk.mount(options)).then_some(disk)
    }

    /// Runs a tool on the device.
    pub fn made(&self, tool: &str, args: &[&str]) -> bool {
        told(succeeds(Command::new(tool).args(args).arg(&self.device)), tool)
    }

    pub fn mount(&self, options: &str) -> bool {
        let mut mount = Command::new("mount");
        told(succeeds(mount.args(["-o", options, &self.device]).arg(&self.point)), "mount")
    }

    pub fn unmount(&self) {
        until("nobody holds the file system any more", || {
            let done = Command::new("umount").arg(&self.point).output().unwrap();
            if done.status.success() {
                Ok(())
            } else {
                Err(String::from_utf8_lossy(&done.stderr).into_owned())
            }
        });
    }

    /// From the folder at once, from whoever has a file open later.
    pub fn detach(&self) -> bool {
        succeeds(Command::new("umount").arg("-l").arg(&self.point))
    }

    pub fn overwrite(&self, offset: u64, bytes: usize) {
        let device = std::fs::File::options().write(true).open(&self.device).unwrap();
        device.write_all_at(&vec![0xAA; bytes], offset).unwrap();
        device.sync_all().unwrap();
    }

    /// Overwrites the blocks of a folder of an ext4: the names in it are lost, and nothing else.
    pub fn forget(&self, folder: &str) {
        let told = self.debugfs(&format!("blocks \"{folder}\""));
        let blocks: Vec<u64> = told.split_whitespace().map(|block| block.parse().unwrap()).collect();
        assert!(!blocks.is_empty(), "{folder} has no blocks");
        blocks.into_iter().for_each(|block| self.destroy(block));
    }

    /// Overwrites a block of an ext4.
    pub fn destroy(&self, block: u64) {
        self.overwrite(block * BLOCK, BLOCK as usize);
    }

    /// Where an ext4 keeps the inode of a path, and those beside it.
    pub fn inode_block(&self, path: &str) -> u64 {
        number_after(&self.debugfs(&format!("imap \"{path}\"")), "located at block ")
    }

    /// Where an ext4 keeps which of its blocks are free, group by group.
    pub fn block_bitmaps(&self) -> Vec<u64> {
        let told = self.debugfs("stats");
        let lines: Vec<&str> = told.lines().filter(|line| line.contains("block bitmap at ")).collect();
        lines.into_iter().map(|line| number_after(line, "block bitmap at ")).collect()
    }

    fn debugfs(&self, request: &str) -> String {
        let told = Command::new("debugfs").args(["-R", request, &self.device]).output().unwrap();
        String::from_utf8_lossy(&told.stdout).into_owned()
    }

    /// As the kernel does with an XFS whose metadata it cannot write. False, with a word to the reader, where there is no xfs_io.
    pub fn shut_down(&self) -> bool {
        told(succeeds(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(&self.point)), "xfs_io")
    }

    /// Whatever touches it from now on waits.
    pub fn freeze(&self) -> bool {
        told(succeeds(Command::new("fsfreeze").arg("--freeze").arg(&self.point)), "fsfreeze")
    }

    pub fn thaw(&self) -> bool {
        succeeds(Command::new("fsfreeze").arg("--unfreeze").arg(&self.point))
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // A frozen one would never be let go of.
        self.thaw();
        // A test that failed may still hold files open.
        self.detach();
        succeeds(Command::new("losetup").args(["-d", &self.device]));
    }
}

fn number_after(text: &str, words: &str) -> u64 {
    let rest = text.split(words).nth(1).unwrap_or_else(|| panic!("no \"{words}\" in {text}"));
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

fn told(is_done: bool, tool: &str) -> bool {
    if !is_done {
        eprintln!("skipped: {tool} is not there, or does not work here (it takes root)");
    }
    is_done
}

fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).output().is_ok_and(|Output { status, .. }| status.success())
}
