//! The folders of a restic snapshot, read as they are needed.
//!
//! A snapshot is a tree of trees, each stored by the hash of its content. Those that were read last stay in memory, as
//! little of each as a file needs; how many is bounded by the number of their entries.

use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustic_core::repofile::{BlobType, Node, NodeType};
use rustic_core::{DataId, ErrorKind, IndexedFullStatus, Repository, RusticError, TreeId};
use salvor_engine::SourceStat;
use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

pub(crate) type Repo = Repository<IndexedFullStatus>;

/// Entries of folders that stay in memory: about 20 MB.
const MOST_ENTRIES: usize = 100_000;

/// A folder, by name.
pub(crate) struct Folder(Vec<Entry>);

pub(crate) struct Entry {
    pub(crate) name: Box<[u8]>,
    pub(crate) what: What,
}

pub(crate) enum What {
    Folder(TreeId),
    File(Box<FileEntry>),
    /// A link or a special file.
    Other(&'static str),
}

pub(crate) struct FileEntry {
    pub(crate) stat: SourceStat,
    pub(crate) mode: Option<u32>,
    pub(crate) owner: Option<(u32, u32)>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The file's pieces, in order.
    pub(crate) content: Vec<DataId>,
}

impl Folder {
    pub(crate) fn get(&self, name: &[u8]) -> Option<&What> {
        let at = self.0.binary_search_by(|entry| entry.name.as_ref().cmp(name)).ok()?;
        self.0.get(at).map(|entry| &entry.what)
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.0
    }
}

/// The trees of one snapshot.
pub(crate) struct Trees {
    repo: Arc<Repo>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    folders: HashMap<TreeId, (Arc<Folder>, u64)>,
    entries: usize,
    uses: u64,
}

impl Trees {
    pub(crate) fn new(repo: Arc<Repo>) -> Self {
        Self { repo, kept: Mutex::default() }
    }

    pub(crate) fn get(&self, id: TreeId) -> Result<Arc<Folder>, Box<RusticError>> {
        if let Some(folder) = self.kept().get(id) {
            return Ok(folder);
        }
        let folder = Arc::new(self.read(id)?);
        self.kept().put(id, folder.clone());
        Ok(folder)
    }

    fn read(&self, id: TreeId) -> Result<Folder, Box<RusticError>> {
        let mut entries = Vec::new();
        self.each(id, &mut |entry| {
            entries.push(entry);
            ControlFlow::Continue(())
        })?;
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(Folder(entries))
    }

    /// Hands out a folder's entries as they are read: there may be a million of them, and a list needs none of them again.
    pub(crate) fn each(
        &self,
        id: TreeId,
        take: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<(), Box<RusticError>> {
        let json = self.repo.cat_blob(BlobType::Tree, id.to_hex().as_str())?;
        serde_json::Deserializer::from_slice(&json).deserialize_map(Tree(take)).map_err(|why| {
            RusticError::with_source(
                ErrorKind::Internal,
                "a folder of the snapshot cannot be understood",
                why,
            )
        })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn get(&mut self, id: TreeId) -> Option<Arc<Folder>> {
        self.uses += 1;
        let (folder, used) = self.folders.get_mut(&id)?;
        *used = self.uses;
        Some(folder.clone())
    }

    fn put(&mut self, id: TreeId, folder: Arc<Folder>) {
        let size = |folder: &Folder| folder.0.len() + 1;
        while !self.folders.is_empty() && self.entries + size(&folder) > MOST_ENTRIES {
            let oldest = self.folders.iter().min_by_key(|(_, (_, used))| *used).map(|(id, _)| *id);
            let Some((gone, _)) = oldest.and_then(|oldest| self.folders.remove(&oldest)) else { break };
            self.entries -= size(&gone);
        }
        self.entries += size(&folder);
        if let Some((before, _)) = self.folders.insert(id, (folder, self.uses)) {
            self.entries -= size(&before);
        }
    }
}

/// `{"nodes": […]}`, and whatever else restic may add to it.
struct Tree<'t>(&'t mut dyn FnMut(Entry) -> ControlFlow<()>);

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a folder of a snapshot")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "nodes" => map.next_value_seed(Nodes(self.0))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

struct Nodes<'t>(&'t mut dyn FnMut(Entry) -> ControlFlow<()>);

impl<'de> DeserializeSeed<'de> for Nodes<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nodes<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the entries of a folder")
    }

    /// An empty folder, as old versions wrote it.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut nodes: A) -> Result<(), A::Error> {
        while let Some(node) = nodes.next_element()? {
            if (self.0)(entry(node)).is_break() {
                // Nobody wants the rest.
                while nodes.next_element::<IgnoredAny>()?.is_some() {}
                break;
            }
        }
        Ok(())
    }
}

fn entry(node: Node) -> Entry {
    let name = node.name().as_bytes().into();
    let what = match (&node.node_type, node.subtree) {
        (NodeType::Dir, Some(tree)) => What::Folder(tree),
        (NodeType::Dir, None) => What::Other("a folder without content"),
        (NodeType::File, _) => What::File(Box::new(file(node))),
        (NodeType::Symlink { .. }, _) => What::Other("a symbolic link"),
        _ => What::Other("a special file"),
    };
    Entry { name, what }
}

fn file(node: Node) -> FileEntry {
    let meta = node.meta;
    let mtime_ns = meta.mtime.and_then(|time| i64::try_from(time.as_nanosecond()).ok());
    FileEntry {
        stat: SourceStat { size: meta.size, mtime_ns, digest: None },
        mode: meta.mode.map(permissions),
        owner: meta.uid.zip(meta.gid),
        xattrs: meta
            .extended_attributes
            .into_iter()
            .filter_map(|attribute| Some((attribute.name.into_bytes(), attribute.value?)))
            .collect(),
        content: node.content.unwrap_or_default(),
    }
}

/// restic keeps modes as Go does: the permissions where Unix has them, the other three bits elsewhere.
fn permissions(go: u32) -> u32 {
    let moved = [(23, 0o4000), (22, 0o2000), (20, 0o1000)];
    moved.iter().filter(|(bit, _)| go & (1 << bit) != 0).fold(go & 0o777, |mode, (_, unix)| mode | unix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_translated_from_go() {
        assert_eq!(permissions(0o644), 0o644);
        assert_eq!(permissions(0o755 | 1 << 23 | 1 << 31), 0o4755);
        assert_eq!(permissions(0o700 | 1 << 20 | 1 << 22), 0o3700);
    }
}
