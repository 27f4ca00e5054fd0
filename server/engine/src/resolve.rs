//! How a [`Root`] finds its folders: beneath, over no link, piece by piece where a path is long.
//!
//! What lives here: resolving a folder to a handle, making missing ones, keeping the last few. What must always hold: the
//! kernel is only ever asked to resolve beneath the root with links refused, or for one component at a time; a kept handle
//! is trusted for a moment only.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{self, AtFlags, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use salvor_domain::path::{FilePath, OWN_FOLDER};

use crate::root::{Kind, Root, stat_at};

/// A folder's handle (`O_PATH`), with what new files in it inherit.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) handle: OwnedFd,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Folder {
    pub(crate) fn is_removed(&self) -> bool {
        fs::fstat(&self.handle).is_ok_and(|stat| stat.st_nlink == 0)
    }
}

#[derive(Debug)]
pub(crate) struct Kept {
    path: Vec<u8>,
    folder: Arc<Folder>,
    since: Instant,
}

/// How many folders' handles are kept, and how long one is trusted: a folder may be renamed under us, and a handle
/// follows the folder, not the name.
const KEPT: usize = 32;
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
            let owner = (Uid::from_raw(holder.uid), Gid::from_raw(holder.gid));
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

    pub(crate) fn mounts(&self) -> MutexGuard<'_, Vec<(u64, OwnedFd)>> {
        self.mounted_beneath.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
