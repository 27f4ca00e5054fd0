//! Block devices as sysfs has them: what is a partition of what, what lies on which, and which file a loop device is.

use std::fs;
use std::path::{Path, PathBuf};

/// `/sys`, or a tree like it.
#[derive(Debug, Clone)]
pub(super) struct Blocks {
    sys: PathBuf,
}

impl Blocks {
    pub fn new(sys: &Path) -> Self {
        Self { sys: sys.to_owned() }
    }

    /// The kernel's name of `8:1`.
    pub fn name_of(&self, device: &str) -> Option<String> {
        let link = fs::read_link(self.sys.join("dev/block").join(device)).ok()?;
        link.file_name().map(|name| name.to_string_lossy().into_owned())
    }

    /// The kernel's name of `/dev/sda1` or `/dev/mapper/vg-data`.
    pub fn name_of_node(&self, node: &str) -> Option<String> {
        let name = node.strip_prefix("/dev/")?;
        if !name.contains('/') {
            return self.folder(name).exists().then(|| name.to_owned());
        }
        let mapped = name.strip_prefix("mapper/")?;
        let all = fs::read_dir(self.sys.join("class/block")).ok()?.flatten();
        let mut names = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.find(|name| self.text(name, "dm/name").as_deref() == Some(mapped))
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        self.sys.join("class/block").join(name)
    }

    /// What one of its files says.
    pub fn text(&self, name: &str, file: &str) -> Option<String> {
        let text = fs::read_to_string(self.folder(name).join(file)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The disk that a partition is of.
    pub fn disk_of(&self, name: &str) -> Option<String> {
        let folder = self.folder(name);
        if !folder.join("partition").exists() {
            return None;
        }
        let real = folder.canonicalize().ok()?;
        real.parent()?.file_name().map(|disk| disk.to_string_lossy().into_owned())
    }

    /// What it is made of, sorted.
    pub fn slaves(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.folder(name).join("slaves")).into_iter().flatten().flatten();
        let mut slaves: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        slaves.sort();
        slaves
    }

    pub fn is_array(&self, name: &str) -> bool {
        self.folder(name).join("md").is_dir()
    }

    /// The level of an array that survives the loss of a member.
    pub fn is_redundant(&self, name: &str) -> bool {
        self.text(name, "md/level").is_some_and(|level| !matches!(level.as_str(), "raid0" | "linear"))
    }

    /// The file of a loop device.
    pub fn backing_file(&self, name: &str) -> Option<String> {
        self.text(name, "loop/backing_file")
    }

    /// A disk that one can hold in one's hands, and so one that SMART may know.
    pub fn is_real_disk(&self, name: &str) -> bool {
        let by_name = ["sd", "hd", "nvme"].iter().any(|begin| name.starts_with(begin));
        by_name && self.folder(name).join("device").exists()
    }

    /// Name and model, for people.
    pub fn label(&self, name: &str) -> String {
        match (self.text(name, "md/level"), self.text(name, "device/model"), self.backing_file(name)) {
            (Some(level), ..) => format!("{name} ({level})"),
            (_, Some(model), _) => format!("{name}, {model}"),
            (_, _, Some(file)) => format!("{name} ({file})"),
            _ => name.to_owned(),
        }
    }
}
