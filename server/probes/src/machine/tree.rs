//! The tree beneath volumes and copies: file systems, pools, arrays, disks, by mountinfo and sysfs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use salvor_domain::health::{Node, NodeKind};

use super::Place;
use super::blocks::Blocks;
use crate::mountinfo::{self, Mount};

/// Deeper than any sane stack of devices; one that names itself as its own ground ends here.
const DEEPEST: usize = 16;

/// A file system that something of ours lies on.
#[derive(Debug, Clone)]
pub(super) struct FileSystem {
    /// `fs:/srv`
    pub id: String,
    pub mount: Mount,
    /// The kernel's names of what it lies on directly: of a btrfs perhaps several, of what comes over the network none.
    pub devices: Vec<String>,
    /// Of a btrfs: its folder in sysfs.
    pub btrfs: Option<PathBuf>,
    pub carries_a_volume: bool,
}

#[derive(Debug, Default)]
pub(super) struct Tree {
    pub nodes: Vec<Node>,
    pub file_systems: BTreeMap<String, FileSystem>,
    /// Devices whose failed writes are lost: no mirror or parity is above them.
    pub exposed: BTreeSet<String>,
}

impl Tree {
    pub fn has(&self, id: &str) -> bool {
        self.nodes.iter().any(|node| node.id == id)
    }

    pub fn is_zfs(&self, pool: &str) -> bool {
        let of_pool = |known: &FileSystem| known.mount.source.split('/').next() == Some(pool);
        self.file_systems.values().any(|known| known.mount.kind == "zfs" && of_pool(known))
    }

    /// What a device of the kernel's log stands for: a node, the disk that it is a part of, or the file systems on a mapping.
    pub fn nodes_of(&self, device: &str, blocks: &Blocks) -> Vec<String> {
        let disk = blocks.disk_of(device);
        if let Some(node) = [Some(device), disk.as_deref()].into_iter().flatten().find(|name| self.has(name))
        {
            return vec![node.to_owned()];
        }
        let on_it = |known: &&FileSystem| known.devices.iter().any(|name| name == device);
        self.file_systems.values().filter(on_it).map(|known| known.id.clone()).collect()
    }
}

pub(super) struct Builder<'a> {
    pub sys: &'a Path,
    pub blocks: &'a Blocks,
    pub mounts: &'a [Mount],
    pub tree: Tree,
}

impl Builder<'_> {
    /// Adds a volume or a copy, with all that it lies on; gives the node of its file system.
    pub fn place(&mut self, place: &Place, path: Option<&Path>) -> Option<String> {
        let on = path.and_then(|path| self.file_system(path, place.kind == NodeKind::Volume, DEEPEST));
        self.node(&place.id, place.kind, place.label.clone(), on.clone().into_iter().collect());
        on
    }

    fn node(&mut self, id: &str, kind: NodeKind, label: String, on: Vec<String>) {
        if !self.tree.has(id) {
            self.tree.nodes.push(Node { id: id.to_owned(), kind, label, on });
        }
    }

    /// The node of the file system that a path lies on.
    fn file_system(&mut self, path: &Path, carries_a_volume: bool, depth: usize) -> Option<String> {
        let mount = mountinfo::of_path(self.mounts, path)?.clone();
        let id = format!("fs:{}", mount.point);
        if let Some(known) = self.tree.file_systems.get_mut(&id) {
            known.carries_a_volume |= carries_a_volume;
            return Some(id);
        }
        let btrfs = (mount.kind == "btrfs").then(|| self.btrfs(&mount)).flatten();
        let devices = match &btrfs {
            Some(folder) => names_in(&folder.join("devices")),
            None if mount.kind == "btrfs" => self.blocks.name_of_node(&mount.source).into_iter().collect(),
            None => self.blocks.name_of(&mount.device).into_iter().collect(),
        };
        let label = format!("{} ({})", mount.point, mount.kind);
        let known = FileSystem { id: id.clone(), mount: mount.clone(), devices, btrfs, carries_a_volume };
        // Before what it lies on: a file may lie on the file system that is made of it.
        self.tree.file_systems.insert(id.clone(), known.clone());
        let on = self.beneath(&known, depth);
        self.node(&id, NodeKind::Filesystem, label, on);
        Some(id)
    }

    fn beneath(&mut self, known: &FileSystem, depth: usize) -> Vec<String> {
        if known.mount.kind == "zfs" {
            let pool = known.mount.source.split('/').next().unwrap_or_default();
            let id = format!("pool:{pool}");
            self.node(&id, NodeKind::Pool, format!("{pool} (ZFS)"), vec![]);
            return vec![id];
        }
        let is_pool = known.devices.len() > 1;
        let on = self.all_of(&known.devices, !is_pool, depth);
        let Some(folder) = known.btrfs.as_ref().filter(|_| is_pool) else { return on };
        let uuid = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let label = fs::read_to_string(folder.join("label")).unwrap_or_default();
        let label = if label.trim().is_empty() { &uuid } else { label.trim() };
        let id = format!("pool:{uuid}");
        self.node(&id, NodeKind::Pool, format!("{label} (btrfs of {} devices)", known.devices.len()), on);
        vec![id]
    }

    /// The folder in sysfs of the btrfs that has the mount's device.
    fn btrfs(&self, mount: &Mount) -> Option<PathBuf> {
        let device = self.blocks.name_of_node(&mount.source)?;
        let all = fs::read_dir(self.sys.join("fs/btrfs")).ok()?.flatten();
        all.map(|entry| entry.path()).find(|folder| folder.join("devices").join(&device).exists())
    }

    fn all_of(&mut self, names: &[String], is_exposed: bool, depth: usize) -> Vec<String> {
        let mut on: Vec<String> = Vec::new();
        for name in names {
            for id in self.device(name, is_exposed, depth) {
                if !on.contains(&id) {
                    on.push(id);
                }
            }
        }
        on
    }

    /// The nodes that a device stands for: itself, or what it is a part or a mapping of.
    fn device(&mut self, name: &str, is_exposed: bool, depth: usize) -> Vec<String> {
        if depth == 0 {
            return vec![];
        }
        if is_exposed {
            self.tree.exposed.insert(name.to_owned());
        }
        if let Some(disk) = self.blocks.disk_of(name) {
            return self.device(&disk, is_exposed, depth - 1);
        }
        let slaves = self.blocks.slaves(name);
        if self.blocks.is_array(name) {
            if !self.tree.has(name) {
                let on = self.all_of(&slaves, is_exposed && !self.blocks.is_redundant(name), depth - 1);
                self.node(name, NodeKind::Array, self.blocks.label(name), on);
            }
            return vec![name.to_owned()];
        }
        if !slaves.is_empty() {
            return self.all_of(&slaves, is_exposed, depth - 1);
        }
        if !self.tree.has(name) {
            let file = self.blocks.backing_file(name);
            let on = file.and_then(|file| self.file_system(Path::new(&file), false, depth - 1));
            self.node(name, NodeKind::Disk, self.blocks.label(name), on.into_iter().collect());
        }
        vec![name.to_owned()]
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
