//! A batch of orphans to their places.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{self, AtFlags, Gid, Mode, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use salvor_domain::digest::Digest;
use salvor_domain::path::FilePath;

use super::orphans::{LostFolder, Stamp};
use crate::check::{CheckOutcome, Expected, check_file};
use crate::control::{Control, Progress, Tally};
use crate::crew;
use crate::fault::{ReadFault, WriteFault, WriteFaultKind, write_words};
use crate::hash::{Buffer, Pace, SMALL, each_chunk, hash_open, stood_still};
use crate::limit::RateLimit;
use crate::resolve::split;
use crate::root::{Kind, Root, Stat, rename_new, stat_at};
use crate::sink::{Attrs, Draft, Label, Quarantined, Sealed, Sink};
use crate::xattr;

/// One path, and the orphan that has its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReuniteItem {
    pub path: FilePath,
    pub size: u64,
    pub mtime_ns: i64,
    pub digest: Digest,
    /// Permission bits.
    pub mode: u32,
    /// A check found the file at `path` corrupt or unreadable: it may be replaced even if it cannot be read.
    pub known_corrupt: bool,
    /// Index into the batch's folders, and the path beneath that folder's root.
    pub folder: usize,
    pub orphan: FilePath,
    /// The state in which the orphan was read.
    pub stamp: Stamp,
    /// The orphan itself goes to this other path; here belongs a copy.
    pub twin: Option<FilePath>,
}

#[derive(Debug, Clone)]
pub struct ReuniteOptions {
    pub threads: usize,
    /// Where corrupt files go: `.salvor/quarantine/LABEL/`.
    pub label: Label,
    /// For files/s, and for the bytes of what has to be read or copied.
    pub limit: RateLimit,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReuniteReport {
    /// One for each item, in the items' order.
    pub results: Vec<ReuniteResult>,
    /// Why the batch ended early: every further file would meet the same.
    pub fatal: Option<WriteFault>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReuniteResult {
    /// The orphan itself is in place, and durable. `quarantined`: where the corrupt file that was there lies now.
    Moved {
        quarantined: Option<Vec<u8>>,
    },
    /// A copy of it is. `shared`: by reflink, so that it takes no room of its own.
    Copied {
        shared: bool,
        quarantined: Option<Vec<u8>>,
    },
    /// The file was there and right.
    InPlace,
    /// A newer file is there and was left alone.
    NewerKept {
        size: u64,
    },
    Failed {
        reason: String,
    },
    /// The batch was stopped before this file was done.
    NotStarted,
}

impl ReuniteResult {
    /// A file found in place may be the work of someone who died before their barrier: it needs one as well.
    fn needs_barrier(&self) -> bool {
        matches!(self, Self::Moved { .. } | Self::Copied { .. } | Self::InPlace)
    }
}

/// Gives each orphan its place, with a few threads in path order. Returns when all are done and on the disks, or as soon
/// as `control` says stop or the volume takes no more.
pub fn reunite_batch(
    volume: &Sink,
    folders: &[LostFolder],
    items: &[ReuniteItem],
    options: &ReuniteOptions,
    control: &Control,
    progress: &Progress,
) -> ReuniteReport {
    let root = volume.root();
    let gone = || root.reachable().map_err(|why| WriteFault::new(WriteFaultKind::Gone, why));
    let batch = Batch { volume, folders, options, control, progress, fatal: Mutex::new(gone().err()) };
    let results = crew::work(
        items,
        |item| &item.path,
        options.threads,
        |item, buffer| {
            if options.limit.take_name(control).is_err() || batch.fatal().is_some() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(batch.reunite(item, buffer))
        },
    );
    let mut results: Vec<_> =
        results.into_iter().map(|result| result.unwrap_or(ReuniteResult::NotStarted)).collect();
    batch.remove_emptied(items, &results);
    let mut fatal = batch.fatal();
    // A volume that was unmounted meanwhile took the files with it.
    if results.iter().any(ReuniteResult::needs_barrier)
        && let Err(fault) = volume.barrier().and_then(|()| gone())
    {
        for result in results.iter_mut().filter(|result| result.needs_barrier()) {
            let reason = format!("it was moved, but the disk did not confirm it: {fault}");
            *result = ReuniteResult::Failed { reason };
        }
        fatal = fatal.or(Some(fault));
    }
    ReuniteReport { results, fatal }
}

struct Batch<'a> {
    volume: &'a Sink,
    folders: &'a [LostFolder],
    options: &'a ReuniteOptions,
    control: &'a Control,
    progress: &'a Progress,
    fatal: Mutex<Option<WriteFault>>,
}

/// What is at an item's place now.
enum There {
    Nothing,
    Right,
    Newer(u64),
    Corrupt(Stat),
}

/// Why an attempt ends without the file being in place.
enum End {
    Result(ReuniteResult),
    Write(WriteFault),
    /// Somebody else was at it, another segment perhaps: what is there must be looked at again. With the reason, should
    /// it come to be the last one.
    Again(String),
}

impl End {
    fn failed(reason: impl Into<String>) -> Self {
        Self::Result(ReuniteResult::Failed { reason: reason.into() })
    }

    fn overtaken() -> Self {
        Self::Again("someone else keeps changing this file: it was left alone".into())
    }
}

impl From<ReadFault> for End {
    fn from(fault: ReadFault) -> Self {
        match fault {
            ReadFault::Stopped(_) => Self::Result(ReuniteResult::NotStarted),
            // An orphan that gets its time and its name while it is read is changed by that.
            ReadFault::ChangedWhileRead => Self::Again(fault.to_string()),
            other => Self::failed(other.to_string()),
        }
    }
}

impl From<WriteFault> for End {
    fn from(fault: WriteFault) -> Self {
        Self::Write(fault)
    }
}

/// How often an item is looked at anew when others change it under us.
const ATTEMPTS: u32 = 4;

impl Batch<'_> {
    fn fatal(&self) -> Option<WriteFault> {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn root(&self) -> &Root {
        self.volume.root()
    }

    fn reunite(&self, item: &ReuniteItem, buffer: &mut Buffer) -> ReuniteResult {
        match self.attempt(item, buffer) {
            Ok(result) => {
                if result.needs_barrier() {
                    self.progress.add_file();
                    self.progress.add_bytes(item.size);
                }
                result
            }
            Err(End::Result(result)) => result,
            Err(End::Again(reason)) => ReuniteResult::Failed { reason },
            Err(End::Write(fault)) => {
                let reason = fault.reason.clone();
                if fault.is_fatal() {
                    self.fatal.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
                }
                ReuniteResult::Failed { reason }
            }
        }
    }

    fn attempt(&self, item: &ReuniteItem, buffer: &mut Buffer) -> Result<ReuniteResult, End> {
        let folder =
            self.folders.get(item.folder).ok_or_else(|| End::failed("its folder is not there any more"))?;
        let mut by_rename = folder.movable && item.twin.is_none();
        let mut quarantined = None;
        let mut attempts = 1;
        loop {
            match self.once(item, folder, &mut by_rename, &mut quarantined, buffer) {
                Err(End::Again(_)) if attempts < ATTEMPTS => attempts += 1,
                ended => return ended,
            }
        }
    }

    fn once(
        &self,
        item: &ReuniteItem,
        folder: &LostFolder,
        by_rename: &mut bool,
        quarantined: &mut Option<Vec<u8>>,
        buffer: &mut Buffer,
    ) -> Result<ReuniteResult, End> {
        let corrupt = match self.look(item, buffer)? {
            There::Right => return Ok(ReuniteResult::InPlace),
            There::Newer(size) => return Ok(ReuniteResult::NewerKept { size }),
            There::Nothing => None,
            There::Corrupt(stat) => Some(stat),
        };
        if *by_rename {
            // The same device mounted twice: there is no way from one to the other but a copy.
            *by_rename = self.move_there(item, folder, corrupt.as_ref(), quarantined, buffer)?;
            return match by_rename {
                true => Ok(ReuniteResult::Moved { quarantined: quarantined.take() }),
                false => Err(End::overtaken()),
            };
        }
        let shared = self.copy_there(item, folder, corrupt.as_ref(), quarantined, buffer)?;
        Ok(ReuniteResult::Copied { shared, quarantined: quarantined.take() })
    }

    /// Compares what is there with the catalogue.
    fn look(&self, item: &ReuniteItem, buffer: &mut Buffer) -> Result<There, End> {
        let stat = match self.root().stat(&item.path)? {
            None => return Ok(There::Nothing),
            Some(stat) if stat.kind == Kind::File => stat,
            Some(other) => return Err(ReadFault::NotAFile(other.kind).into()),
        };
        let expected = Expected {
            path: item.path.clone(),
            size: item.size,
            mtime_ns: item.mtime_ns,
            digest: item.digest,
        };
        Ok(match check_file(self.root(), &expected, buffer, self.control) {
            CheckOutcome::Good { .. } => There::Right,
            CheckOutcome::Missing => There::Nothing,
            CheckOutcome::Changed { size, .. } => There::Newer(size),
            CheckOutcome::Corrupt { .. } => There::Corrupt(stat),
            CheckOutcome::Unreadable { .. } if item.known_corrupt => There::Corrupt(stat),
            CheckOutcome::Unreadable { reason } => {
                return Err(End::failed(format!("the file that is there cannot be compared: {reason}")));
            }
            CheckOutcome::NotStarted => return Err(End::Result(ReuniteResult::NotStarted)),
        })
    }

    /// The orphan itself by a rename; `false` where that cannot be.
    fn move_there(
        &self,
        item: &ReuniteItem,
        folder: &LostFolder,
        corrupt: Option<&Stat>,
        quarantined: &mut Option<Vec<u8>>,
        buffer: &mut Buffer,
    ) -> Result<bool, End> {
        let (file, stat) = self.open_orphan(item, folder)?;
        if Stamp::of(&stat) != item.stamp {
            self.read(item, &file, &stat, buffer)?;
        }
        let source = folder.root.folder(item.orphan.parent()).map_err(|errno| gone(item, errno))?;
        let target = self.root().folder_made(item.path.parent()).map_err(|errno| self.fault(item, errno))?;
        let owner = (!folder.is_lost_and_found).then_some((target.uid, target.gid));
        dress(&file, &stat, item, owner).map_err(|errno| {
            End::failed(format!("its time and mode cannot be set: {}", write_words(errno)))
        })?;
        self.make_room(item, corrupt, quarantined)?;
        let (from, to) = (item.orphan.file_name(), item.path.file_name());
        match rename_new(&source.handle, from, &target.handle, to) {
            Ok(()) => {}
            Err(Errno::XDEV) => return Ok(false),
            Err(Errno::EXIST) => return Err(End::overtaken()),
            // A folder was removed after its handle was opened, or the orphan was.
            Err(Errno::NOENT) => {
                folder.root.forget(item.orphan.parent());
                self.root().forget(item.path.parent());
                return Err(End::overtaken());
            }
            Err(errno) => return Err(self.fault(item, errno)),
        }
        // Someone may have put another file under the orphan's name in the last instant.
        if stat_at(&target.handle, to).is_ok_and(|moved| (moved.dev, moved.ino) == (stat.dev, stat.ino)) {
            return Ok(true);
        }
        let _ = rename_new(&target.handle, to, &source.handle, from);
        Err(End::overtaken())
    }

    /// Whether the orphan's bytes are the item's, when that is not known.
    fn read(&self, item: &ReuniteItem, file: &File, stat: &Stat, buffer: &mut Buffer) -> Result<(), End> {
        let uncounted = Progress::new();
        let mut pace =
            Pace { control: self.control, limits: &[&self.options.limit], tally: Tally::new(&uncounted) };
        let hashed = hash_open(file, stat, buffer, &mut pace)?;
        if (hashed.size, hashed.digest) == (item.size, item.digest) {
            return Ok(());
        }
        Err(End::failed(format!(
            "{} has changed since it was read, and is not this file any more",
            item.orphan
        )))
    }

    fn open_orphan(&self, item: &ReuniteItem, folder: &LostFolder) -> Result<(File, Stat), End> {
        folder.root.open_file(&item.orphan).map_err(|fault| match fault {
            ReadFault::NotFound => no_orphan(item),
            other => other.into(),
        })
    }

    /// A copy of the orphan, or of the path that it went to meanwhile. Gives whether the two share their room.
    fn copy_there(
        &self,
        item: &ReuniteItem,
        folder: &LostFolder,
        corrupt: Option<&Stat>,
        quarantined: &mut Option<Vec<u8>>,
        buffer: &mut Buffer,
    ) -> Result<bool, End> {
        let (file, stat) = match (self.open_orphan(item, folder), &item.twin) {
            (Err(End::Again(_)), Some(twin)) => self.root().open_file(twin).map_err(|fault| match fault {
                ReadFault::NotFound => no_orphan(item),
                other => other.into(),
            })?,
            (opened, _) => opened?,
        };
        self.read(item, &file, &stat, buffer)?;
        let draft = self.volume.draft(&item.path)?;
        let attrs = Attrs {
            mtime_ns: item.mtime_ns,
            mode: Some(item.mode),
            owner: folder.is_lost_and_found.then_some((stat.uid, stat.gid)),
            xattrs: xattr::of(&file),
        };
        let (mut sealed, shared) = self.fill(draft, item, &file, &stat, &attrs, buffer)?;
        self.make_room(item, corrupt, quarantined)?;
        match sealed.link() {
            Ok(()) => Ok(shared),
            Err(fault) if fault.kind == WriteFaultKind::Exists => Err(End::overtaken()),
            Err(fault) => Err(fault.into()),
        }
    }

    /// The bytes of `file`, which were read just now, into the draft.
    fn fill(
        &self,
        mut draft: Draft,
        item: &ReuniteItem,
        mut file: &File,
        stat: &Stat,
        attrs: &Attrs,
        buffer: &mut Buffer,
    ) -> Result<(Sealed, bool), End> {
        if draft.share(file, stat.size) {
            stood_still(file, stat)?;
            return Ok((draft.seal_as(attrs, item.digest)?, true));
        }
        if item.size <= SMALL as u64 {
            // Reading it left it in the buffer.
            draft.write_unhashed(&buffer.all()[..item.size as usize])?;
            return Ok((draft.seal_as(attrs, item.digest)?, false));
        }
        file.seek(SeekFrom::Start(0)).map_err(|_| ReadFault::Io(Errno::IO))?;
        let uncounted = Progress::new();
        let mut pace =
            Pace { control: self.control, limits: &[&self.options.limit], tally: Tally::new(&uncounted) };
        let mut failed = None;
        each_chunk(file, stat, buffer, &mut pace, |chunk| {
            if failed.is_none() {
                failed = draft.write(chunk).err();
            }
        })?;
        match failed {
            Some(fault) => Err(fault.into()),
            None => Ok((draft.seal(attrs, Some((item.digest, item.size)))?, false)),
        }
    }

    /// A corrupt file in the way goes to quarantine, provided it is the one that was looked at.
    fn make_room(
        &self,
        item: &ReuniteItem,
        corrupt: Option<&Stat>,
        quarantined: &mut Option<Vec<u8>>,
    ) -> Result<(), End> {
        let Some(seen) = corrupt else { return Ok(()) };
        match self.volume.quarantine(&item.path, seen, &self.options.label)? {
            Quarantined::Moved(place) => {
                *quarantined = Some(place);
                Ok(())
            }
            Quarantined::Different => Err(End::overtaken()),
        }
    }

    fn fault(&self, item: &ReuniteItem, errno: Errno) -> End {
        End::Write(self.root().write_fault(Some(&item.path), errno))
    }

    /// Nameless folders that have given all their files away go; what holds them stays.
    fn remove_emptied(&self, items: &[ReuniteItem], results: &[ReuniteResult]) {
        let mut left: BTreeSet<(usize, &[u8])> = BTreeSet::new();
        for (item, result) in items.iter().zip(results) {
            if matches!(result, ReuniteResult::Moved { .. }) {
                left.insert((item.folder, item.orphan.parent()));
            }
        }
        for (index, mut parent) in left {
            let Some(lost) = self.folders.get(index).filter(|lost| lost.is_lost_and_found) else { continue };
            let floor = lost.folder.as_ref().map_or(&[][..], FilePath::as_bytes);
            while parent.len() > floor.len() {
                let (above, name) = split(parent);
                let removed = lost
                    .root
                    .folder(above)
                    .and_then(|held| fs::unlinkat(&held.handle, name, AtFlags::REMOVEDIR));
                lost.root.forget(parent);
                // Not empty, or somebody else was quicker: either way not ours to insist on.
                if removed.is_err() {
                    break;
                }
                parent = above;
            }
        }
    }
}

/// It went elsewhere since it was found: to its place perhaps, by another hand.
fn no_orphan(item: &ReuniteItem) -> End {
    End::Again(format!("{} is not there any more", item.orphan))
}

fn gone(item: &ReuniteItem, errno: Errno) -> End {
    match errno {
        Errno::NOENT => no_orphan(item),
        other => End::failed(format!("{} cannot be reached: {}", item.orphan, write_words(other))),
    }
}

/// Catalogued time and mode, before the file is visible where it belongs: a crash must not leave it there looking newer.
fn dress(file: &File, stat: &Stat, item: &ReuniteItem, owner: Option<(u32, u32)>) -> Result<(), Errno> {
    if let Some((user, group)) = owner.filter(|owner| *owner != (stat.uid, stat.gid)) {
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        // Giving files away is root's privilege; a group of one's own is everybody's.
        if fs::fchown(file, Some(user), Some(group)).is_err() {
            let _ = fs::fchown(file, None, Some(group));
        }
    }
    let mode = item.mode & 0o777;
    if stat.mode != mode {
        fs::fchmod(file, Mode::from_raw_mode(mode))?;
    }
    if stat.mtime_ns != item.mtime_ns {
        let at = Timespec {
            tv_sec: item.mtime_ns.div_euclid(1_000_000_000),
            tv_nsec: item.mtime_ns.rem_euclid(1_000_000_000) as _,
        };
        fs::futimens(file, &Timestamps { last_access: at, last_modification: at })?;
    }
    Ok(())
}
