//! A small tree on disk for a test, disks that are full or read-only, and short ways to say things.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use salvor_domain::digest::Digest;
use salvor_domain::path::FilePath;

use crate::root::Root;
use crate::sink::Sink;

pub(crate) struct Tree(tempfile::TempDir);

impl Tree {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub(crate) fn root(&self) -> Root {
        Root::open(self.0.path()).unwrap()
    }

    pub(crate) fn sink(&self) -> Sink {
        Sink::new(Arc::new(self.root()))
    }

    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        std::fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        std::fs::write(self.at(path), content).unwrap();
    }

    /// `false` where a folder or a file is in the way.
    pub(crate) fn try_write(&self, path: &FilePath, content: &[u8]) -> bool {
        let at = self.0.path().join(std::ffi::OsStr::from_bytes(path.as_bytes()));
        std::fs::create_dir_all(at.parent().unwrap()).is_ok() && std::fs::write(at, content).is_ok()
    }

    pub(crate) fn link(&self, to: &str, path: &str) {
        std::os::unix::fs::symlink(to, self.at(path)).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.at(path)).unwrap()
    }

    pub(crate) fn set_mtime(&self, path: &str, mtime_ns: i64) {
        set_mtime(&self.at(path), mtime_ns);
    }

    pub(crate) fn mtime(&self, path: &str) -> i64 {
        use std::os::unix::fs::MetadataExt;
        let facts = std::fs::metadata(self.at(path)).unwrap();
        facts.mtime() * 1_000_000_000 + facts.mtime_nsec()
    }

    /// Every path in the tree but folders, Salvor's own included.
    pub(crate) fn everything(&self) -> Vec<String> {
        everything(self.0.path())
    }
}

pub(crate) fn everything(base: &Path) -> Vec<String> {
    fn visit(folder: &Path, base: &Path, all: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                visit(&path, base, all);
            } else {
                all.push(path.strip_prefix(base).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    let mut all = Vec::new();
    visit(base, base, &mut all);
    all.sort();
    all
}

pub(crate) fn set_mtime(path: &Path, mtime_ns: i64) {
    let at = rustix::fs::Timespec {
        tv_sec: mtime_ns.div_euclid(1_000_000_000),
        tv_nsec: mtime_ns.rem_euclid(1_000_000_000),
    };
    let times = rustix::fs::Timestamps { last_access: at, last_modification: at };
    rustix::fs::futimens(std::fs::File::open(path).unwrap(), &times).unwrap();
}

/// A file system of its own, unmounted when dropped. `None`, with a word to the reader, where the privilege is missing.
pub(crate) struct Mount {
    at: PathBuf,
    /// Goes after the file system that is on it.
    _under: Option<Box<Mount>>,
    _folder: tempfile::TempDir,
}

impl Mount {
    pub(crate) fn tmpfs(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        Self::mounted(folder, &["-t", "tmpfs", "-o", options, "salvor-test"])
    }

    pub(crate) fn ext4(megabytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(megabytes << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image).status();
        if !made.is_ok_and(|status| status.success()) {
            skipped("mkfs.ext4 is missing");
            return None;
        }
        let image = image.to_str().unwrap().to_owned();
        Self::mounted(folder, &["-o", "loop", &image])
    }

    /// A disk that takes everything and cannot keep it: an ext4 whose device has room for a tenth of what it promises.
    pub(crate) fn lying() -> Option<Self> {
        let under = Self::tmpfs("size=6m")?;
        let image = under.at.join("image");
        std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        let made = Command::new("mkfs.ext4")
            .args(["-q", "-F", "-m", "0", "-O", "^has_journal"])
            .arg(&image)
            .status();
        if !made.is_ok_and(|status| status.success()) {
            skipped("mkfs.ext4 is missing");
            return None;
        }
        let mut mount =
            Self::mounted(tempfile::tempdir().unwrap(), &["-o", "loop", image.to_str().unwrap()])?;
        mount._under = Some(Box::new(under));
        Some(mount)
    }

    fn mounted(folder: tempfile::TempDir, what: &[&str]) -> Option<Self> {
        let at = folder.path().join("mnt");
        std::fs::create_dir(&at).unwrap();
        let mounted = Command::new("mount").args(what).arg(&at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { at, _under: None, _folder: folder });
        }
        skipped("this test mounts a file system of its own and needs the privilege for it (run it as root)");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        &self.at
    }

    pub(crate) fn sink(&self) -> Sink {
        Sink::new(Arc::new(Root::open(&self.at).unwrap()))
    }

    pub(crate) fn remount(&self, option: &str) {
        let options = format!("remount,{option}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.at).status().unwrap().success());
    }

    pub(crate) fn unmount_lazily(&self) {
        assert!(Command::new("umount").arg("-l").arg(&self.at).status().unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).output();
    }
}

/// Past the test harness, which would keep it to itself: a test that tested nothing should be seen.
pub(crate) fn skipped(why: &str) {
    use std::io::Write;
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "skipped {name}: {why}");
}

pub(crate) fn path(text: &str) -> FilePath {
    FilePath::new(text.as_bytes()).unwrap()
}

pub(crate) fn digest(content: &[u8]) -> Digest {
    Digest(*blake3::hash(content).as_bytes())
}

/// Bytes that do not repeat soon, different for each seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}
