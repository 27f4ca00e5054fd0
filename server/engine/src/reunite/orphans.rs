//! What lies nameless on a volume, in little memory: 64 bytes a file beside its name, so that a million fit.
//!
//! Files are collected by name and size alone. They are read only when somebody asks about their size, all of that size at
//! once and with a few threads: what no file of the catalogue is as long as is never read.

use std::collections::{BTreeSet, HashMap};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use salvor_domain::digest::Digest;
use salvor_domain::path::FilePath;

use crate::control::{Control, Progress, Stopped, Tally};
use crate::crew;
use crate::fault::ReadFault;
use crate::hash::{Pace, hash_open};
use crate::limit::RateLimit;
use crate::root::{Root, Stat};
use crate::walk::{Walk, WalkEvent};

/// A folder with nameless files.
#[derive(Debug, Clone)]
pub struct LostFolder {
    pub root: Arc<Root>,
    /// Beneath the root; `None`: the root itself.
    pub folder: Option<FilePath>,
    /// On the volume's own file system: its files can be moved there. Else they are copied, and stay.
    pub movable: bool,
    /// A file system check put the files there: they kept their owners, and the folders that they leave empty go.
    pub is_lost_and_found: bool,
}

/// Which very file, in which state: it changes with every write, rename or replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(pub u64);

impl Stamp {
    pub fn of(stat: &Stat) -> Self {
        let facts = [stat.dev, stat.ino, stat.size, stat.mtime_ns as u64, stat.ctime_ns as u64];
        // FNV-1a: the fields differ, nobody chooses them, and 64 bits tell a few million states apart.
        let hash = facts
            .iter()
            .flat_map(|fact| fact.to_le_bytes())
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
            });
        Self(hash)
    }
}

/// What is known of an orphan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing that was asked for has its size, so it was not read.
    Unread,
    /// Read, and nobody claimed its bytes.
    Read,
    /// Its bytes are those of this path, which has them already or must not have them.
    Spare(Spare, FilePath),
    /// It goes to this path.
    Taken(FilePath),
    Unreadable(String),
}

/// Why a known orphan is not needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spare {
    /// The path has these bytes, by its size and time.
    InPlace,
    /// A newer file is there.
    Older,
    /// Its owner deleted it.
    Deleted,
}

/// One nameless file, as it is told to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// Index of the folder it was collected from.
    pub folder: usize,
    /// Beneath that folder's root.
    pub path: FilePath,
    pub size: u64,
    pub standing: Standing,
}

/// The orphan that has the bytes of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub folder: usize,
    pub path: FilePath,
    pub stamp: Stamp,
    /// It goes to this other path; here belongs a copy of it.
    pub twin: Option<FilePath>,
}

/// All orphans of some folders.
#[derive(Debug, Default)]
pub struct Orphans {
    names: Names,
    /// By size, and by checksum among those of a size that were read.
    list: Vec<Record>,
    /// Why some could not be read, by their names' places.
    faults: HashMap<u32, String>,
    /// Symbolic links and special files: they stay where they are.
    others: u64,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    digest: Digest,
    size: u64,
    stamp: Stamp,
    name: u32,
    /// The name of the path that it goes to, or whose bytes it has.
    target: u32,
    folder: u8,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unread,
    Read,
    Unreadable,
    Spare(Spare),
    Taken,
}

/// Orphans that are handed to the threads at a time.
const BATCH: usize = 8_192;
/// So many folders can be told apart.
pub const MOST_FOLDERS: usize = 255;

impl Orphans {
    /// Adds what lies in a folder, except what `has_name` says is where it belongs. Gives what could not be looked at, as
    /// path and reason; an empty path is the folder itself.
    pub fn collect(
        &mut self,
        index: usize,
        lost: &LostFolder,
        has_name: impl Fn(&FilePath) -> bool,
        control: &Control,
    ) -> Result<Vec<(Vec<u8>, String)>, Stopped> {
        let folder = u8::try_from(index).unwrap_or(u8::MAX);
        let mut unreadable = Vec::new();
        let walk = Walk::new(&lost.root);
        let walk = match &lost.folder {
            Some(folder) => walk.within(folder),
            None => walk,
        };
        for event in walk {
            match event {
                WalkEvent::File(entry) if has_name(&entry.path) => {}
                WalkEvent::File(entry) => {
                    control.check()?;
                    let Some(name) = self.names.add(entry.path.as_bytes()) else {
                        let full =
                            "more nameless files than can be told apart at once: reunite again afterwards";
                        unreadable.push((Vec::new(), full.to_owned()));
                        break;
                    };
                    self.list.push(Record {
                        digest: Digest([0; 32]),
                        size: entry.size,
                        stamp: Stamp(0),
                        name,
                        target: 0,
                        folder,
                        state: State::Unread,
                    });
                }
                WalkEvent::Other { .. } => self.others += 1,
                WalkEvent::Unreadable { path, reason, .. } => unreadable.push((path, reason)),
            }
        }
        self.list.sort_by_key(|record| record.size);
        Ok(unreadable)
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Symbolic links and special files beside them.
    pub fn others(&self) -> u64 {
        self.others
    }

    pub fn has_size(&self, size: u64) -> bool {
        !self.of_size(size).is_empty()
    }

    /// Reads all orphans of these sizes that were not read yet, within the limit.
    pub fn read(
        &mut self,
        lost: &[LostFolder],
        sizes: &BTreeSet<u64>,
        threads: usize,
        limit: &RateLimit,
        control: &Control,
    ) -> Result<(), Stopped> {
        let ranges: Vec<_> = sizes.iter().map(|size| self.of_size(*size)).collect();
        let unread: Vec<usize> = ranges
            .iter()
            .flat_map(|range| range.clone())
            .filter(|index| self.list[*index].state == State::Unread)
            .collect();
        if unread.is_empty() {
            return Ok(());
        }
        for indices in unread.chunks(BATCH) {
            self.read_batch(lost, indices, threads, limit, control)?;
        }
        for range in ranges {
            self.list[range].sort_by_key(|record| record.digest.0);
        }
        Ok(())
    }

    fn read_batch(
        &mut self,
        lost: &[LostFolder],
        indices: &[usize],
        threads: usize,
        limit: &RateLimit,
        control: &Control,
    ) -> Result<(), Stopped> {
        // Nobody is shown how far the reading is.
        let progress = Progress::new();
        let items: Vec<(usize, FilePath)> =
            indices.iter().filter_map(|index| Some((*index, self.path(self.list[*index].name)?))).collect();
        let read = crew::work(
            &items,
            |(_, path)| path,
            threads,
            |(index, path), buffer| {
                if limit.take_file(control).is_err() {
                    return ControlFlow::Break(());
                }
                let record = &self.list[*index];
                let Some(folder) = lost.get(usize::from(record.folder)) else {
                    return ControlFlow::Continue(Err(ReadFault::NotFound));
                };
                let mut pace = Pace { control, limits: &[limit], tally: Tally::new(&progress) };
                let read = folder.root.open_file(path).and_then(|(file, stat)| {
                    if stat.size != record.size {
                        return Err(ReadFault::ChangedWhileRead);
                    }
                    Ok((hash_open(&file, &stat, buffer, &mut pace)?.digest, Stamp::of(&stat)))
                });
                ControlFlow::Continue(read)
            },
        );
        for ((index, _), read) in items.iter().zip(read) {
            let record = &mut self.list[*index];
            match read {
                None | Some(Err(ReadFault::Stopped(_))) => return Err(Stopped),
                Some(Ok((digest, stamp))) => {
                    (record.digest, record.stamp, record.state) = (digest, stamp, State::Read);
                }
                Some(Err(fault)) => {
                    record.state = State::Unreadable;
                    self.faults.insert(record.name, fault.to_string());
                }
            }
        }
        Ok(())
    }

    /// Whether a file with these bytes is among those that were read.
    pub fn knows(&self, size: u64, digest: &Digest) -> bool {
        !self.with(size, digest).is_empty()
    }

    /// Gives an orphan with the bytes of `path` away to it: rather one of the same name. When all of them are given away,
    /// a copy of the first.
    pub fn take(&mut self, path: &FilePath, size: u64, digest: &Digest) -> Option<Taken> {
        let range = self.with(size, digest);
        let free = |index: &usize| self.list[*index].state != State::Taken;
        let same_name = |index: &usize| {
            self.path(self.list[*index].name).is_some_and(|orphan| orphan.file_name() == path.file_name())
        };
        let mut all_free = range.clone().filter(free);
        let chosen = match range.len() {
            // Nothing to choose from.
            0 | 1 => all_free.next(),
            _ => range.clone().filter(free).find(same_name).or_else(|| all_free.next()),
        };
        let index = chosen.or(range.clone().next())?;
        let record = self.list[index];
        let twin = match chosen {
            Some(_) => {
                let target = self.names.add(path.as_bytes())?;
                (self.list[index].state, self.list[index].target) = (State::Taken, target);
                None
            }
            None => Some(self.path(record.target)?),
        };
        let path = self.path(record.name)?;
        Some(Taken { folder: usize::from(record.folder), path, stamp: record.stamp, twin })
    }

    /// Notes that `path` does not need the orphans that have its bytes.
    pub fn spare(&mut self, path: &FilePath, size: u64, digest: &Digest, why: Spare) {
        let range = self.with(size, digest);
        if !range.clone().any(|index| self.list[index].state == State::Read) {
            return;
        }
        let Some(target) = self.names.add(path.as_bytes()) else { return };
        for record in &mut self.list[range] {
            if record.state == State::Read {
                (record.state, record.target) = (State::Spare(why), target);
            }
        }
    }

    /// All of them, as they stand.
    pub fn iter(&self) -> impl Iterator<Item = Orphan> {
        self.part(0..self.list.len())
    }

    /// As many as there are of a range, as they stand.
    pub fn part(&self, range: Range<usize>) -> impl Iterator<Item = Orphan> {
        let end = range.end.min(self.list.len());
        self.list[range.start.min(end)..end].iter().filter_map(|record| {
            let standing = match record.state {
                State::Unread => Standing::Unread,
                State::Read => Standing::Read,
                State::Spare(why) => Standing::Spare(why, self.path(record.target)?),
                State::Taken => Standing::Taken(self.path(record.target)?),
                State::Unreadable => {
                    Standing::Unreadable(self.faults.get(&record.name).cloned().unwrap_or_default())
                }
            };
            let path = self.path(record.name)?;
            Some(Orphan { folder: usize::from(record.folder), path, size: record.size, standing })
        })
    }

    fn of_size(&self, size: u64) -> Range<usize> {
        let from = self.list.partition_point(|record| record.size < size);
        from..from + self.list[from..].partition_point(|record| record.size == size)
    }

    fn with(&self, size: u64, digest: &Digest) -> Range<usize> {
        let all = self.of_size(size);
        // Either all of a size were read, or none was: unread ones have no checksum.
        let from = all.start + self.list[all.clone()].partition_point(|record| record.digest.0 < digest.0);
        // Mostly one: no second search through all of them.
        from..from + self.list[from..all.end].iter().take_while(|record| record.digest == *digest).count()
    }

    fn path(&self, name: u32) -> Option<FilePath> {
        FilePath::new(self.names.get(name)).ok()
    }
}

/// Many short byte strings without an allocation each, and without ever moving them all.
#[derive(Debug, Default)]
struct Names(Vec<Vec<u8>>);

impl Names {
    const CHUNK: usize = 1 << 20;

    /// `None` when four gigabytes of names are kept already.
    fn add(&mut self, name: &[u8]) -> Option<u32> {
        let length = u16::try_from(name.len()).ok()?;
        if self.0.last().is_none_or(|chunk| chunk.len() + 2 + name.len() > Self::CHUNK) {
            self.0.push(Vec::with_capacity(Self::CHUNK));
        }
        let at = (self.0.len() - 1) * Self::CHUNK;
        let chunk = self.0.last_mut()?;
        let at = u32::try_from(at + chunk.len()).ok()?;
        chunk.extend_from_slice(&length.to_le_bytes());
        chunk.extend_from_slice(name);
        Some(at)
    }

    fn get(&self, at: u32) -> &[u8] {
        let at = at as usize;
        let chunk = self.0.get(at / Self::CHUNK).map_or(&[][..], Vec::as_slice);
        let at = at % Self::CHUNK;
        let length =
            chunk.get(at..at + 2).map_or(0, |length| usize::from(u16::from_le_bytes([length[0], length[1]])));
        chunk.get(at + 2..at + 2 + length).unwrap_or_default()
    }
}
