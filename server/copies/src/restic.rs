//! A copy in a restic repository: one snapshot of it, read in the order in which its packs lie.
//!
//! Invariants: the repository is only read (no lock, no cache, no other file is written); whatever a pack gives was
//! authenticated by restic's own cipher, so that damage is an error and not a wrong byte; and a repository that went away
//! is told from one that lacks a pack.

use std::io::{self, Read};
use std::ops::{ControlFlow, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::{Buf, Bytes};
use rustic_backend::LocalBackend;
use rustic_core::repofile::{BlobType, SnapshotFile};
use rustic_core::{
    BlobId, Credentials, DataId, OpenStatus, Repository, RepositoryBackends, RepositoryOptions, RusticError,
    TreeId,
};
use salvor_domain::path::{FilePath, shown};
use salvor_engine::{Holding, Opened, Source, SourceFault, SourceStat};

use crate::place::ResticPlace;
use crate::restic_tree::{FileEntry, Folder, Repo, Trees, What};

pub struct ResticSource {
    name: String,
    inner: Arc<Inner>,
}

/// The word for the newest snapshot that fits.
const LATEST: &str = "latest";
/// How long the latest snapshot is believed to be the latest.
const FRESH: Duration = Duration::from_secs(600);

struct Inner {
    folder: PathBuf,
    /// When the latest snapshot was picked; `None` where the configuration names one.
    picked: Option<Instant>,
    /// When the snapshot was made.
    taken_at: SystemTime,
    repo: Arc<Repo>,
    trees: Trees,
    /// The tree that is the volume's folder.
    root: TreeId,
}

impl ResticSource {
    /// Opens the repository, reads its index and picks the snapshot. Every fault is about the whole copy.
    pub fn open(name: impl Into<String>, place: &ResticPlace) -> Result<Self, SourceFault> {
        let folder = place.repository.clone();
        let gone = |why: String| SourceFault::Gone(format!("the repository {}: {why}", folder.display()));
        there(&folder).map_err(gone)?;
        let password = place.password.read().map_err(gone)?;
        let repo = open_repository(&folder, &password).map_err(gone)?;
        let snapshot = pick(&repo, place).map_err(gone)?;
        let repo = Arc::new(repo.to_indexed().map_err(|why| gone(words(&why)))?);
        let trees = Trees::new(repo.clone());
        let root = find_root(&trees, &snapshot, &place.root).map_err(gone)?;
        let taken_at = SystemTime::from(snapshot.time.timestamp());
        let picked = (place.snapshot == LATEST).then(Instant::now);
        let inner = Arc::new(Inner { folder, picked, taken_at, repo, trees, root });
        Ok(Self { name: name.into(), inner })
    }
}

impl Source for ResticSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn stat(&self, path: &FilePath) -> Result<SourceStat, SourceFault> {
        self.inner.find(path, |file| file.stat)
    }

    fn open(&self, path: &FilePath) -> Result<Opened, SourceFault> {
        self.open_at(path, 0)
    }

    fn open_at(&self, path: &FilePath, offset: u64) -> Result<Opened, SourceFault> {
        self.inner.find(path, |file| {
            let pieces = file.content.clone().into_iter();
            let reader = Reader { inner: self.inner.clone(), pieces, skip: offset, ready: Bytes::new() };
            Opened {
                size: Some(file.stat.size),
                mode: file.mode,
                owner: file.owner,
                xattrs: file.xattrs.clone(),
                reader: Box::new(reader),
            }
        })
    }

    fn list(&self, visit: &mut dyn FnMut(Holding) -> ControlFlow<()>) -> Result<(), SourceFault> {
        self.inner.list(visit)
    }

    fn location(&self, path: &FilePath) -> Option<u64> {
        let first = self.inner.find(path, |file| file.content.first().copied()).ok()??;
        let entry = self.inner.repo.get_index_entry(&first).ok()?;
        // What lies in one pack lies together; among packs their names are an order as good as any.
        let pack = u32::from_str_radix(entry.pack.to_hex().as_str().get(..8)?, 16).ok()?;
        Some(u64::from(pack) << 32 | u64::from(entry.location.offset))
    }

    fn parallel(&self) -> RangeInclusive<usize> {
        1..=8
    }

    fn taken_at(&self) -> Option<SystemTime> {
        Some(self.inner.taken_at)
    }

    fn is_spent(&self) -> bool {
        self.inner.picked.is_some_and(|picked| picked.elapsed() > FRESH)
    }

    fn reachable(&self) -> Result<(), SourceFault> {
        there(&self.inner.folder).map_err(|why| self.inner.gone(&why))
    }
}

fn there(folder: &Path) -> Result<(), String> {
    match std::fs::metadata(folder.join("config")) {
        Ok(_) => Ok(()),
        Err(why) if why.kind() == io::ErrorKind::NotFound && folder.is_dir() => {
            Err("it is no restic repository, or not mounted: it has no config".into())
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => Err("there is no such folder".into()),
        Err(why) => Err(format!("it cannot be read: {why}")),
    }
}

fn open_repository(folder: &Path, password: &str) -> Result<Repository<OpenStatus>, String> {
    let text = folder.to_str().ok_or("its path is not UTF-8, which is not supported")?;
    let backend = LocalBackend::new(text, []).map_err(|why| words(&why))?;
    let backends = RepositoryBackends::new(Arc::new(backend), None);
    let options = RepositoryOptions::default().no_cache(true);
    let repository = Repository::new(&options, &backends).map_err(|why| words(&why))?;
    repository.open(&Credentials::password(password)).map_err(|why| match why.is_incorrect_password() {
        true => "the password is wrong".to_owned(),
        false => words(&why),
    })
}

/// The snapshot that the configuration means: the one with this id, or the latest of those that fit.
fn pick(repo: &Repository<OpenStatus>, place: &ResticPlace) -> Result<SnapshotFile, String> {
    let all = repo.get_all_snapshots().map_err(|why| words(&why))?;
    let count = all.len();
    let latest = place.snapshot == LATEST;
    let fits = |snapshot: &SnapshotFile| {
        (latest || snapshot.id.to_hex().as_str().starts_with(&place.snapshot))
            && place.host.as_ref().is_none_or(|host| snapshot.hostname == *host)
            && place.paths.iter().all(|path| snapshot.paths.contains(path))
            && place.tags.iter().all(|tag| snapshot.tags.contains(tag))
    };
    let mut fitting: Vec<SnapshotFile> = all.into_iter().filter(fits).collect();
    if !latest && fitting.len() > 1 {
        return Err(format!(
            "{} snapshots begin with \"{}\": write more of the id",
            fitting.len(),
            place.snapshot
        ));
    }
    fitting.sort_by(|a, b| a.time.cmp(&b.time));
    fitting.pop().ok_or_else(|| match count {
        0 => "it has no snapshot yet".to_owned(),
        _ => format!(
            "none of its {count} snapshots fits snapshot = \"{}\" with this host, these paths and these tags",
            place.snapshot
        ),
    })
}

/// The volume's folder in the snapshot. Without a word in the configuration: the only path that was backed up, or all.
fn find_root(trees: &Trees, snapshot: &SnapshotFile, wanted: &str) -> Result<TreeId, String> {
    let parts =
        |path: &str| path.split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect();
    let parts: Vec<String> = parts(wanted);
    let mut tree = snapshot.tree;
    for (depth, part) in parts.iter().enumerate() {
        let folder = trees.get(tree).map_err(|why| words(&why))?;
        let Some(What::Folder(next)) = folder.get(part.as_bytes()) else {
            return Err(no_root(&folder, &parts[..depth], wanted, snapshot));
        };
        tree = *next;
    }
    Ok(tree)
}

fn no_root(folder: &Folder, above: &[String], wanted: &str, snapshot: &SnapshotFile) -> String {
    const NAMED: usize = 5;
    let names: Vec<String> = folder.entries().iter().take(NAMED).map(|entry| shown(&entry.name)).collect();
    let paths: Vec<&str> = snapshot.paths.iter().map(String::as_str).collect();
    format!(
        "the snapshot {:.8} has no folder {wanted}: in /{} there is {}; it was made of {}",
        snapshot.id.to_string(),
        above.join("/"),
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") },
        paths.join(", ")
    )
}

impl Inner {
    fn gone(&self, why: &str) -> SourceFault {
        SourceFault::Gone(format!("the repository {}: {why}", self.folder.display()))
    }

    /// What a fault means: the whole repository is away, or only this is damaged.
    fn fault(&self, why: &RusticError) -> SourceFault {
        match there(&self.folder) {
            Err(away) => self.gone(&away),
            Ok(()) => SourceFault::Io(format!("{}{}", words(why), self.locked())),
        }
    }

    /// A word about who else may be at it.
    fn locked(&self) -> &'static str {
        let locks = std::fs::read_dir(self.folder.join("locks"));
        match locks.is_ok_and(|mut locks| locks.next().is_some()) {
            true => " (the repository is locked: a backup or a prune may be at work)",
            false => "",
        }
    }

    fn find<T>(&self, path: &FilePath, take: impl FnOnce(&FileEntry) -> T) -> Result<T, SourceFault> {
        let mut folder = self.folder(self.root)?;
        let mut parts = path.as_bytes().split(|byte| *byte == b'/').peekable();
        while let Some(part) = parts.next() {
            let next = match (folder.get(part), parts.peek()) {
                (Some(What::Folder(next)), Some(_)) => *next,
                (Some(What::File(file)), None) => return Ok(take(file)),
                (Some(What::Folder(_)), None) => return Err(in_the_way("a folder")),
                (Some(What::Other(what)), None) => return Err(in_the_way(what)),
                (None | Some(What::File(_) | What::Other(_)), _) => break,
            };
            folder = self.folder(next)?;
        }
        self.reachable_or_gone()?;
        Err(SourceFault::NotFound)
    }

    fn reachable_or_gone(&self) -> Result<(), SourceFault> {
        there(&self.folder).map_err(|why| self.gone(&why))
    }

    fn folder(&self, id: TreeId) -> Result<Arc<Folder>, SourceFault> {
        self.trees.get(id).map_err(|why| self.fault(&why))
    }

    /// In memory are the names of folders that were seen and not read yet. One that cannot be read does not end the list.
    fn list(&self, visit: &mut dyn FnMut(Holding) -> ControlFlow<()>) -> Result<(), SourceFault> {
        let mut folders: Vec<(Vec<u8>, TreeId)> = vec![(Vec::new(), self.root)];
        let mut unread: Option<(String, usize)> = None;
        let mut wanted = ControlFlow::Continue(());
        while let Some((folder, id)) = folders.pop() {
            let read = self.trees.each(id, &mut |entry| {
                let slash: &[u8] = if folder.is_empty() { b"" } else { b"/" };
                let Ok(path) = FilePath::new([folder.as_slice(), slash, &entry.name].concat()) else {
                    return ControlFlow::Continue(());
                };
                match entry.what {
                    What::Folder(id) => folders.push((path.into_bytes(), id)),
                    What::File(file) => wanted = visit(Holding { path, stat: file.stat }),
                    What::Other(_) => {}
                }
                wanted
            });
            if wanted.is_break() {
                return Ok(());
            }
            match (read.map_err(|why| self.fault(&why)), &mut unread) {
                (Ok(()), _) => {}
                (Err(gone @ SourceFault::Gone(_)), _) => return Err(gone),
                (Err(why), _) if folder.is_empty() => return Err(why),
                (Err(_), Some((_, others))) => *others += 1,
                (Err(why), none) => {
                    *none = Some((format!("the folder {} cannot be read: {why}", shown(&folder)), 0));
                }
            }
        }
        match unread {
            None => self.reachable_or_gone(),
            Some((why, 0)) => Err(SourceFault::Io(why)),
            Some((why, others)) => Err(SourceFault::Io(format!("{why}; and {others} other folders"))),
        }
    }

    fn piece(&self, id: &DataId) -> Result<Bytes, SourceFault> {
        let entry = self.repo.get_index_entry(id).map_err(|_| {
            self.reachable_or_gone().err().unwrap_or_else(|| {
                SourceFault::Io(format!(
                    "a piece of it is in no pack of the repository: restic check says more{}",
                    self.locked()
                ))
            })
        })?;
        self.repo.get_blob_cached(&BlobId::from(**id), BlobType::Data).map_err(|why| {
            let pack = entry.pack.to_hex();
            let pack = pack.as_str();
            let file = self.folder.join("data").join(&pack[..2]).join(pack);
            let what = match std::fs::metadata(&file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => "is missing from the repository",
                Err(_) => "cannot be read",
                Ok(_) => "is damaged",
            };
            match self.reachable_or_gone() {
                Err(gone) => gone,
                Ok(()) => {
                    tracing::debug!(pack, error = %words(&why), "a piece cannot be read");
                    SourceFault::Io(format!(
                        "the pack {pack:.8}, which holds a part of it, {what}{}",
                        self.locked()
                    ))
                }
            }
        })
    }
}

fn in_the_way(what: &str) -> SourceFault {
    SourceFault::Io(format!("{what} stands where the file should be"))
}

/// One line, without advice that is meant for others.
fn words(error: &RusticError) -> String {
    let text = error.display_log();
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it cannot be read").to_owned()
}

struct Reader {
    inner: Arc<Inner>,
    pieces: std::vec::IntoIter<DataId>,
    /// Bytes before the first one that is wanted.
    skip: u64,
    ready: Bytes,
}

impl Read for Reader {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if room.is_empty() {
            return Ok(0);
        }
        while self.ready.is_empty() {
            let Some(id) = self.pieces.next() else { return Ok(0) };
            if self.passes_over(&id) {
                continue;
            }
            let mut piece = self.inner.piece(&id).map_err(|fault| io::Error::other(fault.to_string()))?;
            let unwanted = usize::try_from(self.skip).unwrap_or(usize::MAX).min(piece.len());
            piece.advance(unwanted);
            self.skip -= unwanted as u64;
            self.ready = piece;
        }
        let length = self.ready.len().min(room.len());
        self.ready.copy_to_slice(&mut room[..length]);
        Ok(length)
    }
}

impl Reader {
    /// A piece that lies wholly before the offset need not be read.
    fn passes_over(&mut self, id: &DataId) -> bool {
        if self.skip == 0 {
            return false;
        }
        let length = self.inner.repo.get_index_entry(id).map(|entry| u64::from(entry.data_length()));
        match length {
            Ok(length) if length <= self.skip => {
                self.skip -= length;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
#[path = "restic_tests.rs"]
mod tests;
