//! Every file of a tree, in the byte order of its full path.
//!
//! The order is the catalogue's, so that a check is a merge of two sorted streams and a walk can go on after any path. A
//! folder's names are sorted with `/` at the end of each sub-folder's, which yields exactly that order. Memory holds the
//! names of one folder for each level; symbolic links are reported and never followed; Salvor's own folder is left out.
//! What cannot be read is an event of its own: whoever compares must not take its files for missing (I10).

mod ahead;

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{self, Mode, OFlags, RawDir};
use rustix::io::Errno;
use salvor_domain::path::{FilePath, PATH_MAX, hex_bytes};

use crate::fault::read_words;
use crate::root::{Kind, Root, is_own, stat_at};
use crate::sink::is_litter;

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum WalkEvent {
    File(Entry),
    /// A symbolic link or a special file.
    Other {
        #[serde(with = "hex_bytes")]
        path: Vec<u8>,
        kind: Kind,
    },
    /// A file whose facts, or a folder (`folder`) whose names, could not be read, or not all. Empty path: the root.
    Unreadable {
        #[serde(with = "hex_bytes")]
        path: Vec<u8>,
        folder: bool,
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    pub path: FilePath,
    pub size: u64,
    pub mtime_ns: i64,
    pub ino: u64,
    /// Permission bits.
    pub mode: u32,
}

/// An iterator over [`WalkEvent`]s; see the module. [`Walk::in_batches`] gives the same events faster.
pub struct Walk<'r> {
    root: &'r Root,
    levels: Vec<Level>,
    /// The folder of the last level, with a `/` at its end unless it is the root.
    prefix: Vec<u8>,
    after: Option<Vec<u8>>,
    until: Option<Vec<u8>>,
    waiting: VecDeque<WalkEvent>,
    room: Vec<MaybeUninit<u8>>,
    want: Want,
    start: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    Files,
    Litter,
}

impl<'r> Walk<'r> {
    pub fn new(root: &'r Root) -> Self {
        Self {
            root,
            levels: Vec::new(),
            prefix: Vec::new(),
            after: None,
            until: None,
            waiting: VecDeque::new(),
            room: Vec::new(),
            want: Want::Files,
            start: Some(Vec::new()),
        }
    }

    /// Goes on after this path: nothing up to and including it is reported again.
    pub fn after(mut self, path: &FilePath) -> Self {
        self.after = Some(path.as_bytes().to_vec());
        self
    }

    /// Ends with this path, included if it is there.
    pub fn until(mut self, path: &FilePath) -> Self {
        self.until = Some(path.as_bytes().to_vec());
        self
    }

    /// Walks one folder only, for instance `lost+found`; paths stay relative to the root. No such folder: no events.
    pub fn within(mut self, folder: &FilePath) -> Self {
        self.start = Some(folder.as_bytes().to_vec());
        self
    }

    /// Only what an interrupted write may have left; see [`crate::Sink::sweep_litter`].
    pub(crate) fn litter(root: &'r Root) -> Self {
        Self { want: Want::Litter, ..Self::new(root) }
    }
}

impl Iterator for Walk<'_> {
    type Item = WalkEvent;

    fn next(&mut self) -> Option<WalkEvent> {
        loop {
            // A file that went away between its name and its facts is no event.
            if let Some(event) = self.step()?.answer() {
                return Some(event);
            }
        }
    }
}

/// The next event, or the question that will tell it: asking is what a walk spends most of its time on.
enum Step {
    Event(WalkEvent),
    Ask(Ask),
}

/// For the facts of one file.
struct Ask {
    folder: Arc<OwnedFd>,
    path: Vec<u8>,
    /// Where the file's own name begins in `path`.
    name_at: usize,
}

impl Step {
    fn answer(self) -> Option<WalkEvent> {
        match self {
            Self::Event(event) => Some(event),
            Self::Ask(ask) => ask.answer(),
        }
    }
}

impl Ask {
    fn answer(self) -> Option<WalkEvent> {
        let Self { folder, path, name_at } = self;
        match stat_at(&*folder, &path[name_at..]) {
            Ok(stat) if stat.kind == Kind::File => {
                let too_long = (path.len() > PATH_MAX).then(|| path.clone());
                Some(match FilePath::new(path) {
                    Ok(path) => WalkEvent::File(Entry {
                        path,
                        size: stat.size,
                        mtime_ns: stat.mtime_ns,
                        ino: stat.ino,
                        mode: stat.mode,
                    }),
                    Err(invalid) => WalkEvent::Unreadable {
                        path: too_long.unwrap_or_default(),
                        folder: false,
                        reason: invalid.to_string(),
                    },
                })
            }
            Ok(stat) => Some(WalkEvent::Other { path, kind: stat.kind }),
            Err(Errno::NOENT) => None,
            Err(errno) => Some(WalkEvent::Unreadable { path, folder: false, reason: read_words(errno) }),
        }
    }
}

struct Level {
    /// Closed while the walk is far below, so that deep trees do not run out of handles.
    handle: Option<Arc<OwnedFd>>,
    /// All names, one after the other.
    text: Vec<u8>,
    names: Vec<Name>,
    next: usize,
    prefix_len: usize,
}

#[derive(Clone, Copy)]
struct Name {
    /// The first eight bytes, big-endian: settles most comparisons without touching the text.
    key: u64,
    at: usize,
    len: u16,
    kind: Kind,
}

impl Name {
    fn new(at: usize, name: &[u8], kind: Kind) -> Self {
        let mut key = [0; 8];
        let known = name.len().min(8);
        key[..known].copy_from_slice(&name[..known]);
        if known < 8 && kind == Kind::Folder {
            key[known] = b'/';
        }
        Self { key: u64::from_be_bytes(key), at, len: name.len() as u16, kind }
    }

    fn of<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        &text[self.at..self.at + self.len as usize]
    }
}

/// How many levels keep their handles.
const OPEN_LEVELS: usize = 32;
const ROOM: usize = 64 * 1024;

impl Walk<'_> {
    fn step(&mut self) -> Option<Step> {
        if let Some(start) = self.start.take() {
            self.begin(start);
        }
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(Step::Event(event));
            }
            let level = self.levels.last_mut()?;
            let Some(name) = level.names.get(level.next).copied() else {
                self.leave();
                continue;
            };
            level.next += 1;
            if let Some(step) = self.visit(name) {
                return Some(step);
            }
        }
    }

    fn begin(&mut self, start: Vec<u8>) {
        self.room.resize(ROOM, MaybeUninit::uninit());
        let opened = if start.is_empty() {
            open_folder(self.root.handle(), b".")
        } else {
            self.root.resolve(&start).and_then(|folder| open_folder(&folder, b"."))
        };
        self.prefix.clone_from(&start);
        if !start.is_empty() {
            self.prefix.push(b'/');
        }
        match opened {
            Ok(handle) => self.enter(handle),
            Err(Errno::NOENT) if !start.is_empty() => {}
            Err(errno) => self.unreadable(start, true, errno),
        }
    }

    /// Reads the folder whose name is in `prefix` and makes it the last level.
    fn enter(&mut self, handle: OwnedFd) {
        let mut text = Vec::new();
        let mut names = Vec::new();
        let at_root = self.prefix.is_empty();
        let mut broken = None;
        let mut entries = RawDir::new(&handle, &mut self.room);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(Errno::INTR) => continue,
                Err(errno) => {
                    broken = Some(errno);
                    break;
                }
            };
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." || at_root && is_own(name) {
                continue;
            }
            let kind = match Kind::from(entry.file_type()) {
                // Some file systems do not say; a file that cannot be asked now is asked again in its turn.
                Kind::Unknown => stat_at(&handle, name).map_or(Kind::File, |stat| stat.kind),
                known => known,
            };
            let wanted = match self.want {
                Want::Files => !is_litter(name),
                Want::Litter => kind == Kind::Folder || kind == Kind::File && is_litter(name),
            };
            if wanted {
                names.push(Name::new(text.len(), name, kind));
                text.extend_from_slice(name);
                if kind == Kind::Folder {
                    text.push(b'/');
                }
            }
        }
        if let Some(errno) = broken {
            let folder = self.prefix.strip_suffix(b"/").unwrap_or(&self.prefix).to_vec();
            self.unreadable(folder, true, errno);
        }
        names.sort_unstable_by(|a, b| {
            a.key.cmp(&b.key).then_with(|| with_slash(a, &text).cmp(with_slash(b, &text)))
        });
        if self.levels.len() >= OPEN_LEVELS {
            let above = self.levels.len() - OPEN_LEVELS;
            self.levels[above].handle = None;
        }
        self.levels.push(Level {
            handle: Some(Arc::new(handle)),
            text,
            names,
            next: 0,
            prefix_len: self.prefix.len(),
        });
    }

    fn leave(&mut self) {
        self.levels.pop();
        let Some(level) = self.levels.last_mut() else { return };
        self.prefix.truncate(level.prefix_len);
        if level.handle.is_some() {
            return;
        }
        let folder = self.prefix.strip_suffix(b"/").unwrap_or(&self.prefix);
        match self.root.resolve(folder).and_then(|found| open_folder(&found, b".")) {
            Ok(handle) => level.handle = Some(Arc::new(handle)),
            Err(errno) => {
                let folder = folder.to_vec();
                level.next = level.names.len();
                self.unreadable(folder, true, errno);
            }
        }
    }

    fn visit(&mut self, name: Name) -> Option<Step> {
        let level = self.levels.last()?;
        let text = with_slash(&name, &level.text);
        let bare = name.of(&level.text);
        if self.until.as_ref().is_some_and(|until| before(until, &self.prefix, text)) {
            self.levels.clear();
            return None;
        }
        if let Some(after) = &self.after {
            let passed = if name.kind == Kind::Folder {
                before_tree(&self.prefix, text, after)
            } else {
                !before(after, &self.prefix, text)
            };
            if passed {
                return None;
            }
        }
        let handle = level.handle.as_ref()?;
        match name.kind {
            Kind::Folder => {
                let opened = open_folder(handle, bare);
                match opened {
                    Ok(handle) => {
                        self.prefix.extend_from_slice(text);
                        self.enter(handle);
                    }
                    Err(Errno::NOENT) => {}
                    Err(errno) => {
                        let path = joined(&self.prefix, bare);
                        self.unreadable(path, true, errno);
                    }
                }
                None
            }
            Kind::File => Some(Step::Ask(Ask {
                folder: handle.clone(),
                path: joined(&self.prefix, bare),
                name_at: self.prefix.len(),
            })),
            kind => Some(Step::Event(WalkEvent::Other { path: joined(&self.prefix, bare), kind })),
        }
    }

    fn unreadable(&mut self, path: Vec<u8>, folder: bool, errno: Errno) {
        self.waiting.push_back(WalkEvent::Unreadable { path, folder, reason: read_words(errno) });
    }
}

fn open_folder(from: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(from, name, flags, Mode::empty())
}

/// The name as it counts in the order: a folder's ends with `/`.
fn with_slash<'t>(name: &Name, text: &'t [u8]) -> &'t [u8] {
    &text[name.at..name.at + name.len as usize + usize::from(name.kind == Kind::Folder)]
}

fn joined(prefix: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(prefix.len() + name.len());
    path.extend_from_slice(prefix);
    path.extend_from_slice(name);
    path
}

/// Whether `bound` comes before the path `prefix` + `name`.
fn before(bound: &[u8], prefix: &[u8], name: &[u8]) -> bool {
    bound.iter().lt(prefix.iter().chain(name))
}

/// Whether everything in the folder `prefix` + `name` (with its `/`) comes before `after`, or is it.
fn before_tree(prefix: &[u8], name: &[u8], after: &[u8]) -> bool {
    let reaches_into = after.starts_with(prefix) && after[prefix.len()..].starts_with(name);
    !reaches_into && !before(after, prefix, name)
}

#[cfg(test)]
mod tests;
