//! A small tree on disk for a test, and short ways to say things.

use std::path::PathBuf;
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
        use std::os::unix::ffi::OsStrExt;
        let at = self.0.path().join(std::ffi::OsStr::from_bytes(path.as_bytes()));
        std::fs::create_dir_all(at.parent().unwrap()).is_ok() && std::fs::write(at, content).is_ok()
    }

    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.at(path)).unwrap()
    }

    pub(crate) fn set_mtime(&self, path: &str, mtime_ns: i64) {
        let at = rustix::fs::Timespec {
            tv_sec: mtime_ns.div_euclid(1_000_000_000),
            tv_nsec: mtime_ns.rem_euclid(1_000_000_000),
        };
        let times = rustix::fs::Timestamps { last_access: at, last_modification: at };
        rustix::fs::futimens(std::fs::File::open(self.at(path)).unwrap(), &times).unwrap();
    }

    /// Every path in the tree, Salvor's own folder included, folders with a `/`.
    pub(crate) fn everything(&self) -> Vec<String> {
        fn visit(folder: &std::path::Path, base: &std::path::Path, all: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(base).unwrap().to_string_lossy().into_owned();
                if path.is_dir() && !path.is_symlink() {
                    all.push(format!("{name}/"));
                    visit(&path, base, all);
                } else {
                    all.push(name);
                }
            }
        }
        let mut all = Vec::new();
        visit(self.0.path(), self.0.path(), &mut all);
        all.sort();
        all
    }
}

pub(crate) fn path(text: &str) -> FilePath {
    FilePath::new(text.as_bytes()).unwrap()
}

pub(crate) fn digest(content: &[u8]) -> Digest {
    Digest(*blake3::hash(content).as_bytes())
}
