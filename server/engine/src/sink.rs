//! Writing files so that a half-written one is never visible and a good one never overwritten (I3).
//!
//! A [`Draft`] has no name: `O_TMPFILE` in the folder where the file belongs. It is written and hashed, given its mode,
//! owner and time, and compared with the checksum that it must have; only then is the [`Sealed`] file linked into place,
//! which the kernel refuses when the name is taken. A crash at any moment leaves either nothing or the whole file. File
//! systems without `O_TMPFILE` get a hidden name and a rename that does not replace; what a crash leaves of those,
//! [`Sink::sweep_litter`] removes.
//!
//! A file is durable after [`Sink::barrier`], one for a whole batch, or at once after [`Sealed::sync`].

mod quarantine;

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{self, AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use salvor_domain::digest::Digest;
use salvor_domain::path::FilePath;

pub use quarantine::{Label, Quarantined};

use crate::control::Control;
use crate::fault::{WriteFault, WriteFaultKind};
use crate::resolve::{Folder, split};
use crate::root::{Kind, Root, Stat, rename_new, stat_at};
use crate::walk::{Walk, WalkEvent};
use crate::xattr;

/// A cheap handle for writing beneath a [`Root`]; clones share it.
#[derive(Debug, Clone)]
pub struct Sink {
    root: Arc<Root>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    without_tmpfile: bool,
    link_by_proc: AtomicBool,
    serial: AtomicU64,
    random: u64,
    #[cfg(test)]
    barriers: AtomicU64,
}

/// What a file has besides its bytes. Owner and extended attributes are set where that is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attrs {
    pub mtime_ns: i64,
    /// Permission bits; 0644 when unknown. Set-user-id and its like are never set: no customer's file needs them.
    pub mode: Option<u32>,
    /// User and group; those of the folder when unknown.
    pub owner: Option<(u32, u32)>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Sink {
    pub fn new(root: Arc<Root>) -> Self {
        // Without /proc there is no way to name a nameless file that works for every user.
        let without_tmpfile = fs::stat("/proc/self/fd").is_err();
        Self::with(root, without_tmpfile)
    }

    fn with(root: Arc<Root>, without_tmpfile: bool) -> Self {
        let shared = Shared {
            without_tmpfile,
            link_by_proc: AtomicBool::new(false),
            serial: AtomicU64::new(0),
            random: RandomState::new().build_hasher().finish(),
            #[cfg(test)]
            barriers: AtomicU64::new(0),
        };
        Self { root, shared: Arc::new(shared) }
    }

    /// As on a file system that has no `O_TMPFILE`.
    #[cfg(test)]
    pub(crate) fn without_tmpfile(root: Arc<Root>) -> Self {
        Self::with(root, true)
    }

    pub fn root(&self) -> &Arc<Root> {
        &self.root
    }

    /// Begins a file, making the folders it needs. Nothing is visible until it is linked; dropping it leaves nothing.
    pub fn draft(&self, path: &FilePath) -> Result<Draft, WriteFault> {
        self.draft_as(path, None)
    }

    /// As [`Sink::draft`], with the mode that it will have where that is known: a file that is made with the right one need
    /// not be changed.
    pub(crate) fn draft_as(&self, path: &FilePath, mode: Option<u32>) -> Result<Draft, WriteFault> {
        let mode = mode.map_or(0o600, |mode| mode & 0o777);
        self.draft_raw(path, mode).map_err(|errno| self.root.write_fault(Some(path), errno))
    }

    /// Everything written so far is on the disks when this returns.
    pub fn barrier(&self) -> Result<(), WriteFault> {
        self.root.barrier()?;
        #[cfg(test)]
        self.shared.barriers.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// How many barriers have passed.
    #[cfg(test)]
    pub(crate) fn barriers(&self) -> u64 {
        self.shared.barriers.load(Ordering::Relaxed)
    }

    /// Removes what interrupted writes left under hidden names (file systems without `O_TMPFILE`, and replacements), as far
    /// as it is older than `before_ns` (Unix time): younger ones may be at work. Returns how many.
    pub fn sweep_litter(&self, before_ns: i64, control: &Control) -> Result<u64, WriteFault> {
        let mut swept = 0;
        for event in Walk::litter(&self.root) {
            if control.check().is_err() {
                break;
            }
            let WalkEvent::File(entry) = event else { continue };
            let old =
                self.root.stat(&entry.path).ok().flatten().is_some_and(|stat| stat.ctime_ns < before_ns);
            if old && self.root.remove_file(&entry.path)? {
                swept += 1;
            }
        }
        Ok(swept)
    }
}

/// A file that is being written and has no name yet.
#[derive(Debug)]
pub struct Draft {
    sink: Sink,
    path: FilePath,
    folder: Arc<Folder>,
    file: File,
    hidden: Hidden,
    hasher: blake3::Hasher,
    written: u64,
}

impl Draft {
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), WriteFault> {
        self.hasher.update(bytes);
        self.write_unhashed(bytes)
    }

    pub fn written(&self) -> u64 {
        self.written
    }

    /// Finishes the file. With `expected`, other bytes than those are a [`WriteFaultKind::Mismatch`].
    pub fn seal(self, attrs: &Attrs, expected: Option<(Digest, u64)>) -> Result<Sealed, WriteFault> {
        let found = (Digest(*self.hasher.finalize().as_bytes()), self.written);
        if expected.is_some_and(|expected| expected != found) {
            return Err(WriteFault::new(
                WriteFaultKind::Mismatch,
                "the bytes do not have the checksum that they should have",
            ));
        }
        self.seal_as(attrs, found.0)
    }

    /// For bytes whose checksum the caller has just worked out.
    pub(crate) fn write_unhashed(&mut self, bytes: &[u8]) -> Result<(), WriteFault> {
        (&self.file).write_all(bytes).map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            self.sink.root.write_fault(Some(&self.path), errno)
        })?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Takes over the bytes of `file`, which are `size` many, without copying them; `false` where the file system cannot.
    /// Only for an empty draft, and for bytes whose checksum the caller knows.
    pub(crate) fn share(&mut self, file: &File, size: u64) -> bool {
        let shared = size > 0 && fs::ioctl_ficlone(&self.file, file).is_ok();
        if shared {
            self.written = size;
        }
        shared
    }

    pub(crate) fn seal_as(self, attrs: &Attrs, digest: Digest) -> Result<Sealed, WriteFault> {
        self.dress(attrs).map_err(|errno| self.sink.root.write_fault(Some(&self.path), errno))?;
        Ok(Sealed { digest, draft: self })
    }

    fn dress(&self, attrs: &Attrs) -> Result<(), Errno> {
        let made = fs::fstat(&self.file)?;
        let owner = attrs.owner.unwrap_or((self.folder.uid, self.folder.gid));
        if owner != (made.st_uid, made.st_gid) {
            let (user, group) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
            // Giving files away is root's privilege; a group of one's own is everybody's.
            if fs::fchown(&self.file, Some(user), Some(group)).is_err() {
                let _ = fs::fchown(&self.file, None, Some(group));
            }
        }
        let mode = attrs.mode.unwrap_or(0o644) & 0o777;
        if made.st_mode & 0o7777 != mode {
            fs::fchmod(&self.file, Mode::from_raw_mode(mode))?;
        }
        xattr::set(&self.file, &attrs.xattrs);
        let at = Timespec {
            tv_sec: attrs.mtime_ns.div_euclid(1_000_000_000),
            tv_nsec: attrs.mtime_ns.rem_euclid(1_000_000_000) as _,
        };
        fs::futimens(&self.file, &Timestamps { last_access: at, last_modification: at })
    }
}

/// A whole and verified file that has no name yet.
#[derive(Debug)]
pub struct Sealed {
    digest: Digest,
    draft: Draft,
}

impl Sealed {
    pub fn digest(&self) -> Digest {
        self.digest
    }

    pub fn size(&self) -> u64 {
        self.draft.written
    }

    /// Gives the file its name. A name that is taken is [`WriteFaultKind::Exists`]; what has it stays untouched, and the
    /// caller may make room and try again.
    pub fn link(&mut self) -> Result<(), WriteFault> {
        let mut linked = self.draft.link_raw(false);
        if linked == Err(Errno::NOENT) {
            // The folder was removed meanwhile. A nameless file can still go to a new folder of that name.
            let path = &self.draft.path;
            self.draft.sink.root.forget(path.parent());
            linked = self.draft.sink.root.folder_made(path.parent()).and_then(|folder| {
                self.draft.folder = folder;
                self.draft.link_raw(false)
            });
        }
        linked.map_err(|errno| self.fault(errno))
    }

    /// Gives the file its name in place of the file that has it, atomically. Only for a copy's older version: the
    /// primary's files are moved to quarantine instead.
    pub fn replace(&mut self) -> Result<(), WriteFault> {
        let there = stat_at(&self.draft.folder.handle, self.draft.path.file_name());
        if let Ok(Stat { kind: Kind::Symlink | Kind::Folder, .. }) = there {
            return Err(self.fault(Errno::LOOP));
        }
        self.draft.link_raw(true).map_err(|errno| self.fault(errno))
    }

    /// Makes this one file, its name and the folders on the way durable now, without waiting for a barrier. Call it
    /// after linking.
    pub fn sync(&self) -> Result<(), WriteFault> {
        self.sync_raw().map_err(|errno| self.fault(errno))
    }

    fn sync_raw(&self) -> Result<(), Errno> {
        fs::fsync(&self.draft.file)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = &self.draft.sink.root;
        let mut at = self.draft.path.parent();
        loop {
            fs::fsync(fs::openat(&root.folder(at)?.handle, ".", flags, Mode::empty())?)?;
            if at.is_empty() {
                return Ok(());
            }
            at = split(at).0;
        }
    }

    fn fault(&self, errno: Errno) -> WriteFault {
        self.draft.sink.root.write_fault(Some(&self.draft.path), errno)
    }
}

/// A temporary name that goes away with its draft.
#[derive(Debug)]
struct Hidden {
    folder: Arc<Folder>,
    name: Option<Vec<u8>>,
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = fs::unlinkat(&self.folder.handle, name.as_slice(), AtFlags::empty());
        }
    }
}

const LITTER: &[u8] = b".salvor-tmp-";

/// Whether a name is one of ours for an unfinished file: the prefix and 32 hexadecimal digits.
pub(crate) fn is_litter(name: &[u8]) -> bool {
    name.strip_prefix(LITTER).is_some_and(|rest| {
        rest.len() == 32 && rest.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

impl Sink {
    fn draft_raw(&self, path: &FilePath, mode: u32) -> Result<Draft, Errno> {
        let held = self.root.folder(path.parent());
        let opened = held.and_then(|folder| self.open_draft(&folder, mode).map(|opened| (folder, opened)));
        let (folder, (file, name)) = match opened {
            // There is no such folder yet, or it was removed after its handle was opened.
            Err(Errno::NOENT) => {
                self.root.forget(path.parent());
                let folder = self.root.folder_made(path.parent())?;
                let opened = self.open_draft(&folder, mode)?;
                (folder, opened)
            }
            done => done?,
        };
        Ok(Draft {
            sink: self.clone(),
            path: path.clone(),
            hidden: Hidden { folder: Arc::clone(&folder), name },
            folder,
            file,
            hasher: blake3::Hasher::new(),
            written: 0,
        })
    }

    fn open_draft(&self, folder: &Folder, mode: u32) -> Result<(File, Option<Vec<u8>>), Errno> {
        if !self.shared.without_tmpfile {
            let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
            // Nobody sees it before it is linked, so its mode may be the last one.
            match fs::openat(&folder.handle, ".", flags, Mode::from_raw_mode(mode)) {
                Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => {}
                done => return done.map(|file| (File::from(file), None)),
            }
        }
        let name = self.hidden_name();
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&folder.handle, name.as_slice(), flags, Mode::from_raw_mode(0o600))?;
        Ok((File::from(file), Some(name)))
    }

    fn hidden_name(&self) -> Vec<u8> {
        let serial = self.shared.serial.fetch_add(1, Ordering::Relaxed) as u32;
        let text = format!("{:08x}{:016x}{serial:08x}", std::process::id(), self.shared.random);
        [LITTER, text.as_bytes()].concat()
    }

    fn link_nameless(&self, file: &File, folder: &Folder, name: &[u8]) -> Result<(), Errno> {
        if !self.shared.link_by_proc.load(Ordering::Relaxed) {
            match fs::linkat(file, "", &folder.handle, name, AtFlags::EMPTY_PATH) {
                // Older kernels allow this to root only, and say so with ENOENT.
                Err(Errno::NOENT) if !folder.is_removed() => {
                    self.shared.link_by_proc.store(true, Ordering::Relaxed);
                }
                done => return done,
            }
        }
        let by_proc = format!("/proc/self/fd/{}", file.as_raw_fd());
        fs::linkat(fs::CWD, by_proc, &folder.handle, name, AtFlags::SYMLINK_FOLLOW)
    }
}

impl Draft {
    fn link_raw(&mut self, over: bool) -> Result<(), Errno> {
        let name = self.path.file_name();
        if self.hidden.name.is_none() {
            if !over {
                return self.sink.link_nameless(&self.file, &self.folder, name);
            }
            let hidden = self.sink.hidden_name();
            self.sink.link_nameless(&self.file, &self.folder, &hidden)?;
            self.hidden = Hidden { folder: Arc::clone(&self.folder), name: Some(hidden) };
        }
        let Some(hidden) = self.hidden.name.clone() else { return Err(Errno::NOENT) };
        if over {
            fs::renameat(&self.hidden.folder.handle, hidden.as_slice(), &self.folder.handle, name)?;
        } else {
            rename_new(&self.hidden.folder.handle, &hidden, &self.folder.handle, name)?;
        }
        self.hidden.name = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
