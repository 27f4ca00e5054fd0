//! What is on the volume beside what should be: two streams in byte order, merged in bounded memory.
//!
//! The walk runs on threads of its own and feeds a short channel; the catalogue comes in pages, the next of which is read
//! while one is merged. Every plan and every check is a loop over [`Merge::next`]. Invariant: a file is called absent only where its folder could be read; whoever acts on
//! many absent files asks [`Merge::still_there`] first, since an unmounted volume looks like an empty one.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use salvor_domain::path::{FilePath, Glob};
use salvor_engine::{Control, Entry, Kind, ReadFault, Root, Walk, WalkEvent};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::core::Core;
use crate::restore::hands::{Hands, Walked};
use crate::restore::work::Halt;
use crate::volumes::catalogue::{self, Outline, Outlines};

/// Why something that was asked for by name fails.
const NOT_IN_CATALOGUE: &str = "the catalogue has no such file";

/// Which files a job is about.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Scope {
    globs: Vec<Glob>,
    /// In path order.
    files: Vec<FilePath>,
}

impl Scope {
    pub fn new(globs: &[Glob], files: &[FilePath]) -> Self {
        let mut files = files.to_vec();
        files.sort_unstable();
        files.dedup();
        Self { globs: globs.to_vec(), files }
    }

    pub fn is_everything(&self) -> bool {
        self.globs.is_empty() && self.files.is_empty()
    }

    pub fn contains(&self, path: &[u8]) -> bool {
        self.is_everything()
            || self.globs.iter().any(|glob| glob.matches(path))
            || self.files.binary_search_by(|file| file.as_bytes().cmp(path)).is_ok()
    }

    /// Takes out what `path` answers to: what is left at the end of a catalogue is not in it.
    fn strike(&mut self, path: &[u8]) {
        self.globs.retain(|glob| !glob.matches(path));
        if let Ok(at) = self.files.binary_search_by(|file| file.as_bytes().cmp(path)) {
            self.files.remove(at);
        }
    }

    /// The files, when the scope is nothing but files: then nobody has to walk.
    fn only_files(&self) -> Option<&[FilePath]> {
        (self.globs.is_empty() && !self.files.is_empty()).then_some(&self.files)
    }

    /// The folder that holds everything in the scope, as far as a single pattern tells.
    fn folder(&self) -> Option<FilePath> {
        let [glob] = self.globs.as_slice() else { return None };
        if !self.files.is_empty() {
            return None;
        }
        let pattern = glob.as_str();
        let literal = &pattern[..pattern.find(['*', '?']).unwrap_or(pattern.len())];
        FilePath::new(&literal.as_bytes()[..literal.rfind('/')?]).ok()
    }
}

/// One path, as the catalogue and the folder have it.
#[derive(Debug)]
pub enum Pair {
    Both(Outline, Entry),
    /// Not there; or, with the reason, it cannot be said whether it is.
    Absent(Outline, Option<String>),
    /// On the volume only.
    Uncatalogued(Entry),
    /// A symbolic link or a special file.
    Other(Kind),
    /// Something uncatalogued that could not be read: a folder, or a file.
    Unreadable {
        path: Vec<u8>,
        reason: String,
    },
}

pub struct Merge {
    hands: Hands,
    catalogue: Pages,
    found: Found,
    ready: VecDeque<Pair>,
    /// Folders that could not be read, with the reason.
    unreadable: Vec<(Vec<u8>, String)>,
}

impl Merge {
    /// Of the volume's catalogue with the tree that `hands` reach.
    pub async fn begin(
        core: &Core,
        volume_id: i64,
        hands: Hands,
        scope: &Scope,
        control: &Control,
    ) -> Result<Self, Halt> {
        if let Some(files) = scope.only_files() {
            let (ready, unmet) = listed(core, volume_id, &hands, files).await?;
            let (catalogue, found) = (Pages::none(core, volume_id, unmet), Found::none());
            return Ok(Self { hands, catalogue, found, ready, unreadable: Vec::new() });
        }
        let folder = scope.folder();
        let walk = hands.walk(folder.clone(), scope, control)?;
        let found = Found { walk: Some(walk), events: VecDeque::new(), control: control.clone() };
        let catalogue = Pages::new(core, volume_id, folder, scope.clone());
        Ok(Self { hands, catalogue, found, ready: VecDeque::new(), unreadable: Vec::new() })
    }

    /// Whether the folder is still the one that was opened.
    pub async fn still_there(&self) -> Result<(), Halt> {
        self.hands.still_there(self.catalogue.core.patience.job).await.map_err(Halt::Stuck)
    }

    /// At the end: what was asked for by name or pattern and fits nothing in the catalogue, as failures of the job.
    pub fn unmet(&self) -> Vec<(FilePath, String)> {
        let Scope { globs, files } = &self.catalogue.unmet;
        // A pattern that is no path could not have fitted one; such are refused before a job begins.
        let globs = globs.iter().filter_map(|glob| FilePath::new(glob.as_str()).ok());
        globs.chain(files.iter().cloned()).map(|path| (path, NOT_IN_CATALOGUE.to_owned())).collect()
    }

    pub async fn next(&mut self) -> Result<Option<Pair>, Halt> {
        if let Some(pair) = self.ready.pop_front() {
            return Ok(Some(pair));
        }
        loop {
            if let Some(WalkEvent::Unreadable { path, folder: true, reason }) = self.found.peek().await? {
                if path.is_empty() {
                    return Err(Halt::Stuck(format!("the volume's folder cannot be read: {reason}")));
                }
                self.unreadable.push(([path.as_slice(), b"/"].concat(), reason.clone()));
                let (path, reason) = (path.clone(), reason.clone());
                self.found.take();
                return Ok(Some(Pair::Unreadable { path, reason }));
            }
            let row = self.catalogue.peek().await?;
            let event = self.found.peek().await?;
            let order = match (row, event) {
                (None, None) => {
                    self.still_there().await?;
                    return Ok(None);
                }
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(row), Some(event)) => row.cmp(event_path(event)),
            };
            let event = if order.is_ge() { self.found.take() } else { None };
            let known = match &event {
                Some(WalkEvent::File(entry)) => Some(&entry.path),
                _ => None,
            };
            let row = if order.is_le() { self.catalogue.take(known)? } else { None };
            if let Some(pair) = self.paired(row, event) {
                return Ok(Some(pair));
            }
        }
    }

    fn paired(&mut self, row: Option<Outline>, event: Option<WalkEvent>) -> Option<Pair> {
        Some(match (row, event) {
            (Some(row), Some(WalkEvent::File(entry))) => Pair::Both(row, entry),
            (Some(row), Some(WalkEvent::Unreadable { reason, .. })) => Pair::Absent(row, Some(reason)),
            // A link or a folder where the file should be: the file is not there.
            (Some(row), Some(WalkEvent::Other { .. }) | None) => {
                let hidden =
                    self.unreadable.iter().find(|(folder, _)| row.path.as_bytes().starts_with(folder));
                let reason = hidden.map(|(_, reason)| format!("its folder cannot be read: {reason}"));
                Pair::Absent(row, reason)
            }
            (None, Some(WalkEvent::File(entry))) => Pair::Uncatalogued(entry),
            (None, Some(WalkEvent::Other { kind, .. })) => Pair::Other(kind),
            (None, Some(WalkEvent::Unreadable { path, reason, .. })) => Pair::Unreadable { path, reason },
            (None, None) => return None,
        })
    }
}

fn event_path(event: &WalkEvent) -> &[u8] {
    match event {
        WalkEvent::File(entry) => entry.path.as_bytes(),
        WalkEvent::Other { path, .. } | WalkEvent::Unreadable { path, .. } => path,
    }
}

/// A few files are looked up one by one; with what of them is not in the catalogue.
async fn listed(
    core: &Core,
    volume_id: i64,
    hands: &Hands,
    files: &[FilePath],
) -> Result<(VecDeque<Pair>, Scope), Halt> {
    let mut tx = core.db.read().await?;
    let rows = catalogue::get(&mut tx, volume_id, files).await?;
    drop(tx);
    let rows: Vec<Outline> = rows.into_iter().map(Outline::from).collect();
    let mut unmet = Scope::new(&[], files);
    unmet.files.retain(|file| rows.binary_search_by(|row| row.path.cmp(file)).is_err());
    let row_of = |path: &FilePath| {
        rows.binary_search_by(|row| row.path.cmp(path)).ok().and_then(|at| rows.get(at)).cloned()
    };
    let seen = hands.look(files.to_vec()).await?;
    Ok((files.iter().zip(seen).filter_map(|(path, seen)| paired(seen, row_of(path))).collect(), unmet))
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Seen {
    File(Entry),
    /// No file.
    Absent,
    /// It cannot be said, for this reason.
    Unknown(String),
}

impl Seen {
    pub fn at(root: &Root, path: &FilePath) -> Self {
        match root.stat(path) {
            Ok(Some(stat)) if stat.kind == Kind::File => Self::File(Entry {
                path: path.clone(),
                size: stat.size,
                mtime_ns: stat.mtime_ns,
                ino: stat.ino,
                mode: stat.mode,
            }),
            Ok(_) | Err(ReadFault::NotFound | ReadFault::InTheWay(..)) => Self::Absent,
            Err(fault) => Self::Unknown(fault.to_string()),
        }
    }
}

fn paired(seen: Seen, row: Option<Outline>) -> Option<Pair> {
    Some(match (seen, row) {
        (Seen::File(entry), Some(row)) => Pair::Both(row, entry),
        (Seen::File(entry), None) => Pair::Uncatalogued(entry),
        (Seen::Absent, Some(row)) => Pair::Absent(row, None),
        (Seen::Unknown(reason), Some(row)) => Pair::Absent(row, Some(reason)),
        (_, None) => return None,
    })
}

/// Rows a page.
const PAGE: u32 = 4_000;

/// The catalogue of a volume as a stream.
struct Pages {
    core: Core,
    volume_id: i64,
    /// With a `/` at its end.
    folder: Option<Vec<u8>>,
    scope: Scope,
    /// What of the scope no row was in yet.
    unmet: Scope,
    page: Outlines,
    /// The next page is on its way, if there is one.
    next: JoinSet<sqlx::Result<Outlines>>,
    /// The present row was seen to be in the scope.
    looked: bool,
}

impl Pages {
    fn new(core: &Core, volume_id: i64, folder: Option<FilePath>, scope: Scope) -> Self {
        let folder = folder.map(|folder| [folder.as_bytes(), b"/"].concat());
        let unmet = scope.clone();
        let mut pages = Self { folder, scope, ..Self::none(core, volume_id, unmet) };
        pages.ask(pages.folder.clone().unwrap_or_default());
        pages
    }

    fn none(core: &Core, volume_id: i64, unmet: Scope) -> Self {
        Self {
            core: core.clone(),
            volume_id,
            folder: None,
            scope: Scope::default(),
            unmet,
            page: Outlines::default(),
            next: JoinSet::new(),
            looked: false,
        }
    }

    fn ask(&mut self, after: Vec<u8>) {
        let (db, volume_id) = (self.core.db.clone(), self.volume_id);
        self.next.spawn(async move {
            let mut tx = db.read().await?;
            catalogue::outlines(&mut tx, volume_id, Some(&after), PAGE).await
        });
    }

    /// The path of the next row.
    async fn peek(&mut self) -> Result<Option<&[u8]>, Halt> {
        while !self.looked && self.more().await? {
            let Some(path) = self.page.first() else { break };
            if self.folder.as_ref().is_some_and(|folder| !path.starts_with(folder)) {
                self.page = Outlines::default();
                self.next.abort_all();
                self.next = JoinSet::new();
            } else if self.scope.contains(path) {
                self.unmet.strike(path);
                self.looked = true;
            } else {
                self.page.skip();
            }
        }
        Ok(self.page.first())
    }

    /// Whether there is a row; turns the page if need be.
    async fn more(&mut self) -> Result<bool, Halt> {
        while self.page.is_empty() {
            let Some(page) = self.next.join_next().await else { return Ok(false) };
            self.page = page.map_err(Halt::panicked)??;
            if self.page.len() == PAGE as usize {
                self.ask(self.page.last().unwrap_or_default().to_vec());
            }
        }
        Ok(true)
    }

    fn take(&mut self, known: Option<&FilePath>) -> Result<Option<Outline>, Halt> {
        self.looked = false;
        Ok(self.page.take(known)?)
    }
}

/// Batches of events that may wait.
const WAITING: usize = 8;
/// Threads that ask for the facts of files.
const MOST_THREADS: usize = 4;

/// The walk as a stream.
struct Found {
    walk: Option<Walked>,
    events: VecDeque<WalkEvent>,
    control: Control,
}

/// A walk on threads of its own, batch by batch.
pub struct Walking {
    batches: mpsc::Receiver<Vec<WalkEvent>>,
    thread: JoinHandle<()>,
}

impl Walking {
    pub fn begin(root: Arc<Root>, folder: Option<FilePath>, scope: Scope, control: Control) -> Self {
        let (sender, batches) = mpsc::channel(WAITING);
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        // Ends by itself when the receiver is dropped or the job is stopped.
        let thread = tokio::task::spawn_blocking(move || {
            let walk = Walk::new(&root);
            let walk = match &folder {
                Some(folder) => walk.within(folder),
                None => walk,
            };
            walk.in_batches(threads, |mut batch| {
                if !scope.is_everything() {
                    batch.retain(|event| {
                        matches!(event, WalkEvent::Unreadable { folder: true, .. })
                            || scope.contains(event_path(event))
                    });
                }
                match control.stop().is_some() || sender.blocking_send(batch).is_err() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            });
        });
        Self { batches, thread }
    }

    /// None at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<WalkEvent>>, Halt> {
        match self.batches.recv().await {
            Some(batch) => Ok(Some(batch)),
            // A walk that broke down ends early too, and what it did not reach is not missing.
            None => (&mut self.thread).await.map(|()| None).map_err(Halt::panicked),
        }
    }
}

impl Found {
    fn none() -> Self {
        Self { walk: None, events: VecDeque::new(), control: Control::new() }
    }

    async fn peek(&mut self) -> Result<Option<&WalkEvent>, Halt> {
        while self.events.is_empty()
            && let Some(walk) = &mut self.walk
        {
            match walk.next().await? {
                Some(batch) => self.events = batch.into(),
                None => self.walk = None,
            }
            // Nor is what a walk did not reach that was stopped.
            if self.control.stop().is_some() {
                return Err(Halt::Stopped);
            }
        }
        Ok(self.events.front())
    }

    fn take(&mut self) -> Option<WalkEvent> {
        self.events.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(globs: &[&str], files: &[&str]) -> Scope {
        let files: Vec<_> = files.iter().map(|file| FilePath::new(*file).unwrap()).collect();
        Scope::new(&globs.iter().map(|glob| Glob::new(*glob)).collect::<Vec<_>>(), &files)
    }

    #[test]
    fn a_scope_is_everything_or_what_was_named() {
        assert!(scope(&[], &[]).contains(b"x") && scope(&[], &[]).is_everything());
        let some = scope(&["anna/**"], &["b", "a"]);
        assert!(
            some.contains(b"anna/x") && some.contains(b"a") && some.contains(b"b") && !some.contains(b"c")
        );
    }

    #[test]
    fn one_pattern_tells_the_folder_that_has_to_be_walked() {
        let folder = |globs: &[&str]| scope(globs, &[]).folder().map(|folder| folder.to_string());
        assert_eq!(folder(&["anna/b/*.jpg"]).as_deref(), Some("anna/b"));
        assert_eq!(folder(&["anna/b.jpg"]).as_deref(), Some("anna"));
        assert_eq!(folder(&["*/b"]), None);
        assert_eq!(folder(&["a/*", "b/*"]), None);
    }

    #[test]
    fn what_the_catalogue_does_not_have_is_left_over() {
        let mut unmet = scope(&["anna/**", "rose/*"], &["b", "a"]);
        for path in ["anna/x", "anna/y", "b", "rose/x/y"] {
            unmet.strike(path.as_bytes());
        }
        assert_eq!(
            (unmet.globs, unmet.files),
            (vec![Glob::new("rose/*")], vec![FilePath::new("a").unwrap()])
        );
    }
}
