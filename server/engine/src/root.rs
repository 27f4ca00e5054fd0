//! The folder of a volume or of an fs copy, and the only way to what is in it.
//!
//! A [`Root`] holds a directory handle. Every path is resolved beneath it by the kernel (`openat2`), which refuses symbolic
//! links anywhere on the way; where the kernel cannot, the path is walked component by component with `O_NOFOLLOW`. The last
//! name is then used relative to its folder's handle and never followed either. So no path, and no link that a customer
//! made, leads outside (I6).
//!
//! Work goes in path order, so the handles of the last few folders are kept for a moment. What does not live here: reading
//! and writing file contents (`hash`, `sink`).
//!
//! A `Root` keeps its file system busy: drop it before an unmount.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;
use salvor_domain::path::{FilePath, OWN_FOLDER};

use crate::fault::{EngineError, ReadFault, WriteFault, WriteFaultKind, bytes_for_people, read_words};
use crate::fault::{path_for_people, write_kind, write_words};

#[derive(Debug)]
pub struct Root {
    handle: OwnedFd,
    path: PathBuf,
    dev: u64,
    ino: u64,
    folders: Mutex<Vec<Kept>>,
    /// Handles on further file systems mounted beneath this root; a barrier must cover them as well.
    mounted_beneath: Mutex<Vec<(u64, OwnedFd)>>,
    without_openat2: AtomicBool,
    without_noatime: AtomicBool,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        self.mounts().iter().try_for_each(|(_, handle)| fs::syncfs(handle)).map_err(fault)
    }
}

/// A folder's handle (`O_PATH`), with what new files in it inherit.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) handle: OwnedFd,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Folder {
    fn is_removed(&self) -> bool {
        fs::fstat(&self.handle).is_ok_and(|stat| stat.st_nlink == 0)
    }
}

#[derive(Debug)]
struct Kept {
    path: Vec<u8>,
    folder: Arc<Folder>,
    since: Instant,
}

/// How many folders' handles are kept, and how long one is trusted: a folder may be renamed under us, and a handle
/// follows the folder, not the name.
const KEPT: usize = 8;
const TRUSTED: Duration = Duration::from_secs(1);
/// What the kernel takes as one path, with room to spare; longer ones are resolved piece by piece.
const PIECE: usize = 4000;
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Root {
    /// Runs `work` in the folder that holds `path`. A kept handle whose folder was removed since is resolved once more.
    pub(crate) fn in_folder<T>(
        &self,
        path: &FilePath,
        work: impl Fn(&Folder) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let folder = self.folder(path.parent())?;
        match work(&folder) {
            Err(Errno::NOENT) if folder.is_removed() => {
                self.forget(path.parent());
                work(&*self.folder(path.parent())?)
            }
            done => done,
        }
    }

    pub(crate) fn folder(&self, path: &[u8]) -> Result<Arc<Folder>, Errno> {
        if let Some(folder) = self.kept(path) {
            return Ok(folder);
        }
        self.keep(path, self.resolve(path)?)
    }

    /// As [`Root::folder`], but makes what is missing of it.
    pub(crate) fn folder_made(&self, path: &[u8]) -> Result<Arc<Folder>, Errno> {
        match self.folder(path) {
            Ok(folder) if folder.is_removed() => self.forget(path),
            Err(Errno::NOENT) => {}
            done => return done,
        }
        let (parent, name) = split(path);
        if name.is_empty() {
            return Err(Errno::NOENT);
        }
        let mut holder = self.folder(parent);
        if holder.as_ref().is_ok_and(|folder| folder.is_removed()) || holder.as_ref().is_err() {
            holder = self.folder_made(parent);
        }
        let holder = holder?;
        // The quarantine holds customers' files side by side: nobody else's business.
        let mode = if path == OWN_FOLDER { 0o700 } else { 0o755 };
        let made = match fs::mkdirat(&holder.handle, name, Mode::from_raw_mode(mode)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(errno),
        };
        let handle = self.step(&holder.handle, name)?;
        if made {
            self.dress(&holder, name, &handle, mode)?;
        }
        self.keep(path, handle)
    }

    /// Mode and owner of a folder just made. Whatever the umask says, the service must be able to go through it.
    fn dress(&self, holder: &Folder, name: &[u8], handle: &OwnedFd, mode: u32) -> Result<(), Errno> {
        let stat = fs::fstat(handle)?;
        if (stat.st_uid, stat.st_gid) != (holder.uid, holder.gid) {
            let owner = (rustix::fs::Uid::from_raw(holder.uid), rustix::fs::Gid::from_raw(holder.gid));
            // Only root may give files away; for everyone else the new folder is Salvor's.
            let _ =
                fs::chownat(&holder.handle, name, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW);
        }
        if stat.st_mode & mode != mode {
            let readable =
                fs::openat(handle, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            fs::fchmod(&readable, Mode::from_raw_mode(stat.st_mode & 0o7000 | mode))?;
        }
        Ok(())
    }

    pub(crate) fn list_bytes(&self, path: &[u8]) -> Result<Vec<Listed>, Errno> {
        let folder = self.folder(path)?;
        let mut listed = Vec::new();
        for entry in fs::Dir::read_from(&folder.handle)? {
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

    /// Resolves a folder beneath the root, without the kept handles.
    pub(crate) fn resolve(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        if path.is_empty() {
            return fs::openat(&self.handle, ".", FOLDER, Mode::empty());
        }
        let mut at: Option<OwnedFd> = None;
        let mut rest = path;
        while !rest.is_empty() {
            let (piece, further) = cut(rest);
            let from = at.as_ref().unwrap_or(&self.handle);
            at = Some(self.resolve_piece(from, piece)?);
            rest = further;
        }
        at.ok_or(Errno::NOENT)
    }

    fn resolve_piece(&self, from: &OwnedFd, piece: &[u8]) -> Result<OwnedFd, Errno> {
        if !self.without_openat2.load(Ordering::Relaxed) {
            let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match fs::openat2(from, piece, FOLDER, Mode::empty(), beneath) {
                // Old container runtimes answer EPERM for calls that they do not know.
                Err(Errno::NOSYS | Errno::PERM) => self.without_openat2.store(true, Ordering::Relaxed),
                done => return done,
            }
        }
        let mut at: Option<OwnedFd> = None;
        for name in piece.split(|&byte| byte == b'/') {
            let next = self.step(at.as_ref().unwrap_or(from), name)?;
            at = Some(next);
        }
        at.ok_or(Errno::NOENT)
    }

    /// One component down, never over a link.
    fn step(&self, from: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
        debug_assert!(!name.is_empty() && name != b".." && !name.contains(&b'/'));
        match fs::openat(from, name, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
            Err(Errno::NOTDIR) if stat_at(from, name).is_ok_and(|stat| stat.kind == Kind::Symlink) => {
                Err(Errno::LOOP)
            }
            done => done,
        }
    }

    fn kept(&self, path: &[u8]) -> Option<Arc<Folder>> {
        let kept = self.kept_folders();
        let found = kept.iter().find(|kept| kept.path == path)?;
        (found.since.elapsed() < TRUSTED).then(|| Arc::clone(&found.folder))
    }

    fn keep(&self, path: &[u8], handle: OwnedFd) -> Result<Arc<Folder>, Errno> {
        let stat = fs::fstat(&handle)?;
        let dev = stat.st_dev;
        if dev != self.dev {
            self.remember_mount(dev, &handle)?;
        }
        let folder = Arc::new(Folder { handle, uid: stat.st_uid, gid: stat.st_gid });
        let fresh = Kept { path: path.to_vec(), folder: Arc::clone(&folder), since: Instant::now() };
        let mut kept = self.kept_folders();
        if let Some(same) = kept.iter_mut().find(|kept| kept.path == path) {
            *same = fresh;
        } else {
            if kept.len() >= KEPT {
                kept.remove(0);
            }
            kept.push(fresh);
        }
        Ok(folder)
    }

    pub(crate) fn forget(&self, path: &[u8]) {
        self.kept_folders().retain(|kept| kept.path != path);
    }

    fn kept_folders(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember_mount(&self, dev: u64, folder: &OwnedFd) -> Result<(), Errno> {
        let mut mounts = self.mounts();
        if mounts.iter().all(|(known, _)| *known != dev) {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            mounts.push((dev, fs::openat(folder, ".", flags, Mode::empty())?));
        }
        Ok(())
    }

    fn mounts(&self) -> MutexGuard<'_, Vec<(u64, OwnedFd)>> {
        self.mounted_beneath.lock().unwrap_or_else(PoisonError::into_inner)
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

/// `a/b/c` → (`a/b`, `c`).
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&[], path),
    }
}

/// The longest beginning that the kernel takes as one path, and the rest.
fn cut(path: &[u8]) -> (&[u8], &[u8]) {
    if path.len() <= PIECE {
        return (path, &[]);
    }
    match path[..PIECE].iter().rposition(|&byte| byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (path, &[]),
    }
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
