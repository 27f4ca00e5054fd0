//! Bringing files back: each verified before it is visible, all durable before one is called restored.
//!
//! For each item the target is looked at first. A file that is there and right is in place; a newer one is left alone; a
//! corrupt one goes to quarantine when its replacement is complete and verified, not before. The copies are asked in the
//! item's order of preference, and one whose bytes do not match is refused and named in the outcome, also when the next
//! one helps (I5). Outcomes are handed out in groups, each after its barrier (I2), while the work goes on. A restore that
//! is run again, or twice at once, finds what is in place by its checksum and copies nothing twice.
//!
//! [`stream`] has the threads and the barriers, [`desk`] what they take and put, [`item`] the way of one file, [`fetch`]
//! its bytes, [`gate`] how many read from one copy at once.

mod desk;
mod fetch;
mod gate;
mod item;
mod stream;

use std::sync::Arc;

use salvor_domain::digest::Digest;
use salvor_domain::path::FilePath;

use crate::control::{Control, Progress};
use crate::fault::WriteFault;
use crate::limit::RateLimit;
use crate::sink::{Label, Sink};
use crate::source::Source;

pub use gate::Gate;
pub use stream::{RestoreEnd, restore_stream};

/// A copy to restore from. Limit and gate are shared by everyone who reads that copy.
#[derive(Clone)]
pub struct SourceHandle {
    pub source: Arc<dyn Source>,
    pub limit: RateLimit,
    pub gate: Gate,
}

impl SourceHandle {
    /// With a gate of its own.
    pub fn new(source: Arc<dyn Source>, limit: RateLimit) -> Self {
        let gate = Gate::new(source.parallel());
        Self { source, limit, gate }
    }
}

/// One file as the catalogue knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreItem {
    pub path: FilePath,
    pub size: u64,
    pub mtime_ns: i64,
    pub digest: Digest,
    /// `None`: as the copy has it, else 0644.
    pub mode: Option<u32>,
    /// Indices into the restore's sources, best first.
    pub sources: Vec<usize>,
    /// So many of these, the first, are said to hold it. The others are asked when those do not give it, but not while one of
    /// those is out of reach.
    pub holders: usize,
    /// A check found the file corrupt or unreadable: it may be replaced even if Salvor is not allowed to read it.
    pub known_corrupt: bool,
}

#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// At most, whatever the copies bear.
    pub threads: usize,
    /// Where corrupt files go: `.salvor/quarantine/LABEL/`.
    pub label: Label,
    /// The job's own: for every file and byte that it reads from any copy.
    pub limit: RateLimit,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// One for each item, in the items' order.
    pub outcomes: Vec<RestoreOutcome>,
    /// Why it ended early: every further file would meet the same. What is not durable is [`RestoreResult::NotStarted`].
    pub fatal: Option<WriteFault>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreOutcome {
    pub path: FilePath,
    pub result: RestoreResult,
    /// Copies that were asked and did not give the file, whatever the result.
    pub copy_faults: Vec<CopyFault>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreResult {
    /// Verified, in place and durable. `quarantined`: where the corrupt file that was there lies now.
    Restored {
        source: usize,
        bytes: u64,
        quarantined: Option<Vec<u8>>,
    },
    /// The file was there and right; nothing was copied.
    InPlace,
    /// A newer file is there and was left alone.
    NewerKept {
        size: u64,
        mtime_ns: i64,
    },
    Failed {
        reason: String,
    },
    /// None of the copies that were asked gave it: [`RestoreOutcome::copy_faults`] has why.
    NotGiven {
        reason: String,
    },
    /// No copy is said to hold it.
    InNoCopy,
    /// The restore was stopped before this file was done and durable.
    NotStarted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFault {
    /// Index into the restore's sources.
    pub source: usize,
    pub kind: CopyFaultKind,
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFaultKind {
    /// The copy does not hold the file.
    Missing,
    /// The copy's bytes are not those of the catalogue.
    Corrupt,
    /// The copy as a whole is out of reach.
    Gone,
    /// The copy could not be read.
    Io,
}

/// [`restore_stream`], with all outcomes at the end.
pub fn restore_batch(
    target: &Sink,
    sources: &[SourceHandle],
    items: &[RestoreItem],
    options: &RestoreOptions,
    control: &Control,
    progress: &Progress,
) -> RestoreReport {
    let mut outcomes: Vec<_> =
        items.iter().map(|item| RestoreOutcome::of(item, RestoreResult::NotStarted, Vec::new())).collect();
    let end = restore_stream(target, sources, items.to_vec(), options, control, progress, |group| {
        for (index, outcome) in group {
            outcomes[index] = outcome;
        }
    });
    RestoreReport { outcomes, fatal: end.fatal }
}

impl RestoreOutcome {
    fn of(item: &RestoreItem, result: RestoreResult, copy_faults: Vec<CopyFault>) -> Self {
        Self { path: item.path.clone(), result, copy_faults }
    }
}

impl RestoreResult {
    /// A file found in place may be the work of someone who died before their barrier: it needs one as well.
    fn needs_barrier(&self) -> bool {
        matches!(self, Self::Restored { .. } | Self::InPlace)
    }
}

/// Whether a disk says that it, or its file system, is damaged there.
fn is_damage(errno: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    matches!(errno, Errno::IO | Errno::UCLEAN | Errno::BADMSG)
}

#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod tests;
