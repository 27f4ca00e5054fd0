//! The folder of a volume or of an fs copy, and the only way to what is in it.
//!
//! A [`Root`] holds a directory handle. Every path is resolved beneath it by the kernel (`openat2`), which refuses symbolic
//! links anywhere on the way; where the kernel cannot, the path is walked component by component with `O_NOFOLLOW`. The last
//! name is then used relative to its folder's handle and never followed either. So no path, and no link that a customer
//! made, leads outside (I6).
//!
//! Work goes in path order, so the handles of the last folders are kept for a moment. What does not live here: reading
//! and writing file contents (`hash`, `sink`), and how a folder is found (`resolve`).
//!
//! A `Root` keeps its file system busy: drop it before an unmount.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use salvor_domain::path::{FilePath, OWN_FOLDER};

use crate::fault::{EngineError, ReadFault, WriteFault, WriteFaultKind, bytes_for_people, read_words};
use crate::fault::{path_for_people, write_kind, write_words};
use crate::resolve::{Kept, split};

#[derive(Debug)]
pub struct Root {
    pub(crate) handle: OwnedFd,
    path: PathBuf,
    pub(crate) dev: u64,
    ino: u64,
    pub(crate) folders: Mutex<Vec<Kept>>,
    /// Handles on further file systems mounted beneath this root; a barrier must cover them as well.
    pub(crate) mounted_beneath: Mutex<Vec<(u64, OwnedFd)>>,
    pub(crate) without_openat2: AtomicBool,
    without_noatime: AtomicBool,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    File,
    Folder,
    Symlink,
    Fifo,
    Socket,
    Device,
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    pub kind: Kind,
    pub size: u64,
    pub mtime_ns: i64,
    pub ctime_ns: i64,
    pub ino: u64,
    pub dev: u64,
    /// Permission bits, without the file type.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// Which very folder was opened: another one may stand under its path later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FolderId {
    dev: u64,
    ino: u64,
}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: Vec<u8>,
    pub kind: Kind,
}

/// Room on the file system of a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    pub free_bytes: u64,
    pub total_bytes: u64,
    pub free_names: u64,
    pub total_names: u64,
}

impl Root {
    /// Opens the folder; the path itself is the operator's and may lead over symbolic links.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::NOENT => EngineError::NoFolder(path.to_owned()),
            Errno::NOTDIR => EngineError::NotAFolder(path.to_owned()),
            other => EngineError::Unusable { path: path.to_owned(), reason: read_words(other) },
        })?;
        let stat = fs::fstat(&handle)
            .map_err(|errno| EngineError::Unusable { path: path.to_owned(), reason: read_words(errno) })?;
        Ok(Self {
            handle,
            path: path.to_owned(),
            dev: stat.st_dev,
            ino: stat.st_ino,
            folders: Mutex::default(),
            mounted_beneath: Mutex::default(),
            without_openat2: AtomicBool::new(false),
            without_noatime: AtomicBool::new(false),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn id(&self) -> FolderId {
        FolderId { dev: self.dev, ino: self.ino }
    }

    /// Whether the folder that was opened is still what its path leads to: not removed, replaced or unmounted.
    /// The error says what happened.
    pub fn reachable(&self) -> Result<(), String> {
        let shown = path_for_people(&self.path);
        match fs::stat(&self.path) {
            Ok(stat) if (stat.st_dev, stat.st_ino) == (self.dev, self.ino) => Ok(()),
            Ok(_) => Err(format!("{shown} is not the folder it was: it has been unmounted or replaced")),
            Err(Errno::NOENT | Errno::NOTDIR) => Err(format!("the folder {shown} is gone")),
            Err(errno) => Err(format!("the folder {shown} cannot be reached: {}", read_words(errno))),
        }
    }

    /// `None` when nothing has that name. Symbolic links are reported, not followed.
    pub fn stat(&self, path: &FilePath) -> Result<Option<Stat>, ReadFault> {
        match self.in_folder(path, |folder| stat_at(&folder.handle, path.file_name())) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.read_fault(path, errno)),
        }
    }

    /// Opens a regular file for reading, without touching its access time where that is allowed.
    pub fn open_file(&self, path: &FilePath) -> Result<(File, Stat), ReadFault> {
        let file = self
            .in_folder(path, |folder| self.open_at(&folder.handle, path.file_name()))
            .map_err(|errno| self.read_fault(path, errno))?;
        let stat = Stat::from(fs::fstat(&file).map_err(ReadFault::Io)?);
        if stat.kind == Kind::File { Ok((file, stat)) } else { Err(ReadFault::NotAFile(stat.kind)) }
    }

    /// What is in a folder (`None`: the root), in byte order; Salvor's own folder is left out.
    pub fn list(&self, folder: Option<&FilePath>) -> Result<Vec<Listed>, ReadFault> {
        let path = folder.map_or(&b""[..], FilePath::as_bytes);
        let listed = self.list_bytes(path).map_err(|errno| match folder {
            Some(folder) => self.read_fault(folder, errno),
            None => ReadFault::Io(errno),
        })?;
        Ok(listed.into_iter().filter(|entry| !path.is_empty() || !is_own(&entry.name)).collect())
    }

    /// Makes the folder and its parents, with mode 0755 and their parent's owner where that is allowed.
    pub fn create_folders(&self, folder: &FilePath) -> Result<(), WriteFault> {
        self.folder_made(folder.as_bytes()).map(drop).map_err(|errno| self.write_fault(Some(folder), errno))
    }

    /// Removes one regular file; `false` when there was none.
    pub fn remove_file(&self, path: &FilePath) -> Result<bool, WriteFault> {
        let fault = |errno| self.write_fault(Some(path), errno);
        let removed = self.in_folder(path, |folder| match stat_at(&folder.handle, path.file_name())?.kind {
            Kind::File => fs::unlinkat(&folder.handle, path.file_name(), AtFlags::empty()),
            Kind::Folder => Err(Errno::ISDIR),
            _ => Err(Errno::LOOP),
        });
        match removed {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(fault(errno)),
        }
    }

    /// Removes the folder that held `path` and its parents, as far as they are empty; never the root. Returns how many.
    pub fn remove_empty_folders(&self, path: &FilePath) -> Result<u64, WriteFault> {
        let mut removed = 0;
        let mut folder = path.parent();
        while !folder.is_empty() {
            let (parent, name) = split(folder);
            let gone =
                self.folder(parent).and_then(|held| fs::unlinkat(&held.handle, name, AtFlags::REMOVEDIR));
            match gone {
                Ok(()) => removed += 1,
                Err(Errno::NOENT) => {}
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY) => break,
                Err(errno) => return Err(self.write_fault(Some(path), errno)),
            }
            self.forget(folder);
            folder = parent;
        }
        Ok(removed)
    }

    /// Gives a file another name at rename speed, making the folders it needs; never over another file. This is how an
    /// orphan goes back to its place. Durable after the next barrier.
    pub fn move_file(&self, from: &FilePath, to: &FilePath) -> Result<(), WriteFault> {
        let source = self.folder(from.parent()).map_err(|errno| self.write_fault(Some(from), errno))?;
        match stat_at(&source.handle, from.file_name()) {
            Ok(stat) if stat.kind == Kind::File => {}
            Ok(stat) => {
                return Err(WriteFault::new(
                    WriteFaultKind::InTheWay,
                    ReadFault::NotAFile(stat.kind).to_string(),
                ));
            }
            Err(errno) => return Err(self.write_fault(Some(from), errno)),
        }
        let target = self.folder_made(to.parent()).map_err(|errno| self.write_fault(Some(to), errno))?;
        rename_new(&source.handle, from.file_name(), &target.handle, to.file_name())
            .map_err(|errno| self.write_fault(Some(to), errno))
    }

    pub fn space(&self) -> Result<Space, ReadFault> {
        let room = fs::fstatvfs(&self.handle).map_err(ReadFault::Io)?;
        Ok(Space {
            free_bytes: room.f_bavail.saturating_mul(room.f_frsize),
            total_bytes: room.f_blocks.saturating_mul(room.f_frsize),
            free_names: room.f_favail,
            total_names: room.f_files,
        })
    }

    /// Waits until everything written beneath this root is on its disks (`syncfs`), folders included.
    pub fn barrier(&self) -> Result<(), WriteFault> {
        let fault = |errno| self.write_fault(None, errno);
        fs::syncfs(&self.handle).map_err(fault)?;
        // Writers go on meanwhile, and may come upon further mounts.
        let mounts: Result<Vec<OwnedFd>, _> =
            self.mounts().iter().map(|(_, handle)| rustix::io::dup(handle)).collect();
        mounts.map_err(fault)?.iter().try_for_each(fs::syncfs).map_err(fault)
    }
}

impl Root {
    pub(crate) fn list_bytes(&self, path: &[u8]) -> Result<Vec<Listed>, Errno> {
        let folder = self.folder(path)?;
        let mut listed = Vec::new();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        for entry in fs::Dir::new(fs::openat(&folder.handle, ".", flags, Mode::empty())?)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => match stat_at(&folder.handle, name) {
                    Ok(stat) => stat.kind,
                    Err(Errno::NOENT) => continue,
                    Err(errno) => return Err(errno),
                },
                known => Kind::from(known),
            };
            listed.push(Listed { name: name.to_vec(), kind });
        }
        listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    /// Opens a regular file (or whatever has the name: the caller looks) without following or waiting.
    pub(crate) fn open_at(&self, folder: &OwnedFd, name: &[u8]) -> Result<File, Errno> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        if !self.without_noatime.load(Ordering::Relaxed) {
            match fs::openat(folder, name, flags | OFlags::NOATIME, Mode::empty()) {
                // Someone else's file. As an ordinary user that is the rule, so do not ask twice for each.
                Err(Errno::PERM) => self.without_noatime.store(true, Ordering::Relaxed),
                done => return done.map(File::from),
            }
        }
        fs::openat(folder, name, flags, Mode::empty()).map(File::from)
    }

    pub(crate) fn handle(&self) -> &OwnedFd {
        &self.handle
    }

    /// An error number of a read, with what stands in the way by name.
    pub(crate) fn read_fault(&self, path: &FilePath, errno: Errno) -> ReadFault {
        match errno {
            Errno::NOENT => ReadFault::NotFound,
            Errno::NOTDIR | Errno::LOOP | Errno::NXIO => match self.in_the_way(path.as_bytes()) {
                Some((at, kind)) if at == path.as_bytes() => ReadFault::NotAFile(kind),
                Some((at, kind)) => ReadFault::InTheWay(at, kind),
                None => ReadFault::Io(errno),
            },
            other => ReadFault::Io(other),
        }
    }

    /// An error number of a write, with the figures that explain it.
    pub(crate) fn write_fault(&self, path: Option<&FilePath>, errno: Errno) -> WriteFault {
        let kind = write_kind(errno);
        let reason = match (kind, path) {
            (WriteFaultKind::Full, _) => self.full_words(),
            (WriteFaultKind::InTheWay, Some(path)) => match self.in_the_way(path.as_bytes()) {
                Some((at, kind)) if at == path.as_bytes() => ReadFault::NotAFile(kind).to_string(),
                Some((at, kind)) => ReadFault::InTheWay(at, kind).to_string(),
                None => write_words(errno),
            },
            (WriteFaultKind::ReadOnly, _) => {
                format!("{} is mounted read-only: nothing can be written there", path_for_people(&self.path))
            }
            _ => write_words(errno),
        };
        WriteFault { kind, reason }
    }

    fn full_words(&self) -> String {
        let root = path_for_people(&self.path);
        match self.space() {
            Ok(space) if space.total_names > 0 && space.free_names == 0 => format!(
                "{root} takes no more files: 0 of its {} inodes are free, with {} of space",
                space.total_names,
                bytes_for_people(space.free_bytes)
            ),
            Ok(space) => format!(
                "{root} is full: {} free of {}",
                bytes_for_people(space.free_bytes),
                bytes_for_people(space.total_bytes)
            ),
            Err(_) => format!("{root} is full"),
        }
    }

    /// The first name on the way to `path`, itself included, that is not what it should be.
    fn in_the_way(&self, path: &[u8]) -> Option<(Vec<u8>, Kind)> {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let (parent, name) = split(&path[..end]);
            let stat = stat_at(&self.resolve(parent).ok()?, name).ok()?;
            let wanted = if end == path.len() { Kind::File } else { Kind::Folder };
            if stat.kind != wanted {
                return Some((path[..end].to_vec(), stat.kind));
            }
        }
        None
    }
}

pub(crate) fn is_own(name: &[u8]) -> bool {
    name == OWN_FOLDER
}

pub(crate) fn stat_at(folder: impl AsFd, name: &[u8]) -> Result<Stat, Errno> {
    fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map(Stat::from)
}

/// Renames without overwriting, also where the file system does not know how to refuse.
pub(crate) fn rename_new(from: &OwnedFd, name: &[u8], to: &OwnedFd, new: &[u8]) -> Result<(), Errno> {
    match fs::renameat_with(from, name, to, new, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => {
            fs::linkat(from, name, to, new, AtFlags::empty())?;
            fs::unlinkat(from, name, AtFlags::empty())
        }
        done => done,
    }
}

impl From<fs::Stat> for Stat {
    fn from(stat: fs::Stat) -> Self {
        let nanoseconds =
            |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            kind: FileType::from_raw_mode(stat.st_mode).into(),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec as i64),
            ctime_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec as i64),
            ino: stat.st_ino,
            dev: stat.st_dev,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
        }
    }
}

impl From<FileType> for Kind {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Folder,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice | FileType::BlockDevice => Self::Device,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;
