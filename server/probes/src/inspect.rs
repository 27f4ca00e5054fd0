//! What Salvor makes of the raw text of a tool or a kernel file: the same functions that the live probes use, asked by hand.
//!
//! Each source has a module with `inspect(text) -> Vec<Subject>`; this one knows which is meant by a kind. A kind may hold several
//! shapes of text (`ext4` has sysfs values, `tune2fs -l` and lines of the kernel's log); they are told apart by what they say. A text
//! that no shape fits is `unknown`, never an error: only a kind that does not exist is.

mod file_systems;

use std::path::Path;

use salvor_domain::health::{Facts, Level, Probe, Reading};
use serde_json::{Map, Value, json};

use crate::{alertmanager, e2fsck, md_sysfs, mdadm, mdstat, smart, tune2fs, xfs_repair, zfs_kstat, zpool};

/// Every kind that can be inspected, sorted.
pub const KINDS: [&str; 14] = [
    "alertmanager",
    "btrfs",
    "e2fsck",
    "ext4",
    "md-sysfs",
    "mdadm-detail",
    "mdstat",
    "proc",
    "smartctl",
    "statvfs",
    "xfs",
    "zfs-kstat",
    "zpool-json",
    "zpool-text",
];

/// The subject for what a text says as a whole: how many arrays it names, or that it could not be read.
pub const WHOLE: &str = "*";

/// One thing that a text speaks of, and what it says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    pub name: String,
    pub level: Level,
    /// One sentence for people.
    pub reason: String,
    pub facts: Facts,
    /// See [`Reading::stops_writes`].
    pub stops_writes: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    pub subjects: Vec<Subject>,
}

#[derive(Debug, thiserror::Error)]
#[error("there is no kind of text \"{0}\"; there are: {kinds}", kinds = KINDS.join(", "))]
pub struct UnknownKind(String);

/// `file` is where the text came from: some texts do not name what they speak of, their file does.
pub fn inspect(kind: &str, file: &Path, text: &str) -> Result<Inspection, UnknownKind> {
    let subjects = match kind {
        "alertmanager" => alertmanager::inspect(text),
        "btrfs" => file_systems::btrfs(text),
        "e2fsck" => e2fsck::inspect(text),
        "ext4" if tune2fs::is_one(text) => tune2fs::inspect(text),
        "ext4" => file_systems::ext4(text),
        "md-sysfs" => md_sysfs::inspect(text),
        "mdadm-detail" => mdadm::inspect(text),
        "mdstat" => mdstat::inspect(text),
        "proc" => file_systems::proc(text),
        "smartctl" => smart::inspect(text),
        "statvfs" => file_systems::statvfs(text),
        "xfs" if xfs_repair::is_one(text) => xfs_repair::inspect(text),
        "xfs" => file_systems::kernel_log(text),
        "zfs-kstat" => zfs_kstat::inspect(file, text),
        "zpool-json" => zpool::inspect_json(text),
        "zpool-text" => zpool::inspect_text(text),
        _ => return Err(UnknownKind(kind.to_owned())),
    };
    Ok(Inspection { subjects })
}

impl Inspection {
    /// The worst of its subjects. A text that speaks of nothing says nothing good.
    pub fn verdict(&self) -> Level {
        self.subjects.iter().map(|subject| subject.level).max().unwrap_or(Level::Unknown)
    }

    pub fn to_json(&self) -> Value {
        let subjects: Map<String, Value> =
            self.subjects.iter().map(|subject| (subject.name.clone(), subject.to_json())).collect();
        json!({ "verdict": self.verdict().as_str(), "subjects": subjects })
    }
}

impl Subject {
    pub fn new(name: impl Into<String>, level: Level, reason: impl Into<String>) -> Self {
        Self { name: name.into(), level, reason: reason.into(), facts: Facts::new(), stops_writes: false }
    }

    pub fn unknown(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(name, Level::Unknown, reason)
    }

    /// What a probe reads of one thing, under the name that the text gives it.
    pub fn of(name: impl Into<String>, reading: Reading) -> Self {
        Self {
            name: name.into(),
            level: reading.level,
            reason: reading.reason,
            facts: reading.facts,
            stops_writes: reading.stops_writes,
        }
    }

    #[must_use]
    pub fn with(mut self, fact: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(fact.to_owned(), value.into());
        self
    }

    /// As [`with`](Self::with), where there is something to say.
    #[must_use]
    pub fn with_some(self, fact: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(fact, value),
            None => self,
        }
    }

    /// While this is critical, volumes on the subject are to be read-only.
    #[must_use]
    pub fn stopping_writes(self) -> Self {
        Self { stops_writes: true, ..self }
    }

    /// As a probe reports it of the node `id`.
    pub fn into_reading(self, probe: Probe, id: impl Into<String>) -> Reading {
        Reading {
            probe,
            subject: id.into(),
            level: self.level,
            reason: self.reason,
            facts: self.facts,
            stops_writes: self.stops_writes,
        }
    }

    fn to_json(&self) -> Value {
        let mut facts: Map<String, Value> = self.facts.clone().into_iter().collect();
        facts.insert("verdict".into(), self.level.as_str().into());
        facts.insert("reason".into(), self.reason.as_str().into());
        Value::Object(facts)
    }
}
