//! Copying new and changed files from the primary to the copies, without ever spreading damage.
//!
//! The primary's file is read and hashed before a copy is touched. Other bytes than the catalogue's under the same mtime are
//! damage, not a change: [`ProtectResult::Suspicious`], and no copy is touched. An older version on a copy is replaced
//! atomically; where the copy's version is the *newer* one it goes to the copy's quarantine as well, because a primary whose
//! clock ran backwards may be the damaged side. Each copy's barrier comes before its files are reported (I2); a store has
//! none, since it answers only when it has an object durably. Where it compared no checksum the object is read again.

mod copying;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use salvor_domain::digest::Digest;
use salvor_domain::path::FilePath;

use crate::control::{Control, Progress, Tally};
use crate::crew;
use crate::fault::{ReadFault, SourceFault, WriteFault, WriteFaultKind};
use crate::hash::{Broke, Buffer, Hashed, Pace, SMALL, hash_from, hash_open};
use crate::limit::RateLimit;
use crate::root::{Kind, Root, Stat};
use crate::sink::{Attrs, Label, Sink};
use crate::store::{Store, Stored};
use crate::xattr;
use copying::Copying;

/// A copy to write to. The limit is for bytes written to it.
#[derive(Clone)]
pub struct CopyTarget {
    pub name: String,
    pub place: TargetPlace,
    pub limit: RateLimit,
}

#[derive(Clone)]
pub enum TargetPlace {
    Folder(Sink),
    Store(Arc<dyn Store>),
}

impl From<Sink> for TargetPlace {
    fn from(sink: Sink) -> Self {
        Self::Folder(sink)
    }
}

impl CopyTarget {
    fn reachable(&self) -> Result<(), WriteFault> {
        match &self.place {
            TargetPlace::Folder(sink) => {
                sink.root().reachable().map_err(|why| WriteFault::new(WriteFaultKind::Gone, why))
            }
            TargetPlace::Store(store) => store.reachable().map_err(WriteFault::from),
        }
    }

    /// Nothing that was written before can be lost after it.
    fn barrier(&self) -> Result<(), WriteFault> {
        match &self.place {
            TargetPlace::Folder(sink) => sink.barrier().and_then(|()| self.reachable()),
            TargetPlace::Store(_) => Ok(()),
        }
    }
}

/// What the catalogue says of a file, if it has it already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    pub size: u64,
    pub mtime_ns: i64,
    pub digest: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectItem {
    pub path: FilePath,
    pub known: Option<Known>,
    /// Indices into the batch's copies; none: the file is only hashed.
    pub copies: Vec<usize>,
}

#[derive(Debug, Clone)]
pub struct ProtectOptions {
    pub threads: usize,
    /// For bytes read from the primary by this job.
    pub limit: RateLimit,
    /// Where a copy keeps a newer version that was replaced: `.salvor/quarantine/LABEL/`.
    pub label: Label,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectReport {
    /// One for each item, in the items' order.
    pub outcomes: Vec<ProtectOutcome>,
    /// Copies that take no more files (index, why): their later files failed with the same reason.
    pub lost_copies: Vec<(usize, WriteFault)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectOutcome {
    pub path: FilePath,
    pub result: ProtectResult,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProtectResult {
    /// The primary's file as it was read, and what came of it on each of the item's copies (index, result).
    Read {
        file: Hashed,
        copies: Vec<(usize, CopyResult)>,
    },
    /// Its bytes changed and its mtime did not: nothing was copied.
    Suspicious {
        file: Hashed,
    },
    /// The primary does not have it (any more).
    Missing,
    Failed {
        reason: String,
    },
    /// The batch was stopped before this file was done.
    NotStarted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyResult {
    Written,
    /// An older version made way. `quarantined`: where a newer one lies on the copy.
    Replaced {
        quarantined: Option<Vec<u8>>,
    },
    /// The copy had the same bytes already.
    AlreadyThere,
    Failed {
        reason: String,
    },
}

/// Protects the items with a few threads in path order; see the module.
pub fn protect_batch(
    primary: &Root,
    copies: &[CopyTarget],
    items: &[ProtectItem],
    options: &ProtectOptions,
    control: &Control,
    progress: &Progress,
) -> ProtectReport {
    let lost = copies.iter().map(|copy| Mutex::new(copy.reachable().err())).collect();
    let batch = Batch { primary, copies, options, control, progress, lost };
    let results = crew::work(
        items,
        |item| &item.path,
        options.threads,
        |item, buffer| {
            if control.check().is_err() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(batch.protect(item, buffer))
        },
    );
    let mut outcomes: Vec<_> = items
        .iter()
        .zip(results)
        .map(|(item, result)| ProtectOutcome {
            path: item.path.clone(),
            result: result.unwrap_or(ProtectResult::NotStarted),
        })
        .collect();
    if let Err(why) = primary.reachable() {
        for outcome in &mut outcomes {
            if outcome.result == ProtectResult::Missing {
                outcome.result = ProtectResult::Failed { reason: why.clone() };
            }
        }
    }
    for (index, copy) in copies.iter().enumerate() {
        batch.confirm(index, copy, &mut outcomes);
    }
    let lost_copies = (0..copies.len()).filter_map(|index| Some((index, batch.lost(index)?))).collect();
    ProtectReport { outcomes, lost_copies }
}

struct Batch<'a> {
    primary: &'a Root,
    copies: &'a [CopyTarget],
    options: &'a ProtectOptions,
    control: &'a Control,
    progress: &'a Progress,
    /// For each copy, why it takes no more files.
    lost: Vec<Mutex<Option<WriteFault>>>,
}

impl From<Broke> for WriteFault {
    fn from(broke: Broke) -> Self {
        match broke {
            Broke::Stopped => Self::new(WriteFaultKind::Other, "it was stopped"),
            Broke::Fault(fault) => fault.into(),
        }
    }
}

/// What a copy needs.
enum Need {
    Nothing,
    New,
    Replace(Stat),
    ReplaceObject(Stored),
}

impl Batch<'_> {
    fn lost(&self, copy: usize) -> Option<WriteFault> {
        self.lost.get(copy)?.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lose(&self, copy: usize, fault: &WriteFault) {
        if let Some(lost) = self.lost.get(copy) {
            lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| fault.clone());
        }
    }

    /// The barrier of one copy. Without it none of its files counts.
    fn confirm(&self, index: usize, copy: &CopyTarget, outcomes: &mut [ProtectOutcome]) {
        let mut done: Vec<&mut CopyResult> = outcomes
            .iter_mut()
            .filter_map(|outcome| match &mut outcome.result {
                ProtectResult::Read { copies, .. } => Some(copies),
                _ => None,
            })
            .flatten()
            .filter(|(copy, result)| *copy == index && !matches!(result, CopyResult::Failed { .. }))
            .map(|(_, result)| result)
            .collect();
        if done.is_empty() {
            return;
        }
        if let Err(fault) = copy.barrier() {
            for result in &mut done {
                **result = CopyResult::Failed {
                    reason: format!("it was written, but the copy did not confirm it: {fault}"),
                };
            }
            self.lose(index, &fault);
        }
    }

    fn protect(&self, item: &ProtectItem, buffer: &mut Buffer) -> ProtectResult {
        let mut again = true;
        loop {
            match self.attempt(item, buffer) {
                Ok(result) => return result,
                Err(ReadFault::ChangedWhileRead) if again => again = false,
                Err(ReadFault::NotFound) => return ProtectResult::Missing,
                Err(ReadFault::Stopped(_)) => return ProtectResult::NotStarted,
                Err(fault) => return ProtectResult::Failed { reason: fault.to_string() },
            }
        }
    }

    /// A fault is the primary's: no copy got anything.
    fn attempt(&self, item: &ProtectItem, buffer: &mut Buffer) -> Result<ProtectResult, ReadFault> {
        self.options.limit.take_file(self.control)?;
        let (file, before) = self.primary.open_file(&item.path)?;
        let limits = [&self.options.limit];
        let mut pace = Pace { control: self.control, limits: &limits, tally: Tally::new(self.progress) };
        let hashed = hash_open(&file, &before, buffer, &mut pace)?;
        if item.known.is_some_and(|known| known.mtime_ns == hashed.mtime_ns && known.digest != hashed.digest)
        {
            pace.tally.keep();
            return Ok(ProtectResult::Suspicious { file: hashed });
        }
        // The small file's bytes are still in the buffer; looking at the copies needs a buffer as well.
        let small = hashed.size <= SMALL as u64;
        let mut other = None;
        let mut results = Vec::with_capacity(item.copies.len());
        let mut wanting = Vec::new();
        for &copy in &item.copies {
            let room = if small { other.get_or_insert_with(Buffer::new) } else { &mut *buffer };
            match self.need(copy, item, &hashed, room) {
                Ok(Need::Nothing) => results.push((copy, CopyResult::AlreadyThere)),
                Ok(need) => wanting.push((copy, need)),
                Err(fault) => results.push((copy, self.failed(copy, &fault))),
            }
        }
        self.control.check()?;
        if !wanting.is_empty() {
            let attrs = Attrs {
                mtime_ns: hashed.mtime_ns,
                mode: Some(hashed.mode),
                owner: Some((before.uid, before.gid)),
                xattrs: xattr::of(&file),
            };
            let copying = Copying { batch: self, item, hashed: &hashed, attrs: &attrs };
            if small {
                let content = &buffer.all()[..hashed.size as usize];
                let room = other.get_or_insert_with(Buffer::new);
                for (copy, need) in wanting {
                    let sealed = copying.write_small(copy, &need, content);
                    results.push((copy, copying.finish(copy, &need, sealed, room)));
                }
            } else {
                results.extend(copying.write_large(wanting, &file, &before, buffer)?);
            }
        }
        if results.iter().any(|(_, result)| matches!(result, CopyResult::Failed { .. })) {
            // A copy that failed because the job was stopped has not failed.
            self.control.check()?;
        }
        pace.tally.keep();
        results.sort_by_key(|(copy, _)| item.copies.iter().position(|wanted| wanted == copy));
        Ok(ProtectResult::Read { file: hashed, copies: results })
    }

    fn target(&self, copy: usize) -> Result<&CopyTarget, WriteFault> {
        if let Some(fault) = self.lost(copy) {
            return Err(fault);
        }
        self.copies
            .get(copy)
            .ok_or_else(|| WriteFault::new(WriteFaultKind::Other, "there is no such copy in this job"))
    }

    fn need(
        &self,
        copy: usize,
        item: &ProtectItem,
        hashed: &Hashed,
        room: &mut Buffer,
    ) -> Result<Need, WriteFault> {
        let root = match &self.target(copy)?.place {
            TargetPlace::Folder(sink) => sink.root(),
            TargetPlace::Store(store) => return self.need_object(copy, &**store, item, hashed, room),
        };
        let unreadable = |fault: ReadFault| WriteFault::new(WriteFaultKind::InTheWay, fault.to_string());
        let stat = match root.stat(&item.path).map_err(unreadable)? {
            None => return Ok(Need::New),
            Some(stat) if stat.kind == Kind::File => stat,
            Some(other) => return Err(unreadable(ReadFault::NotAFile(other.kind))),
        };
        if stat.size != hashed.size {
            return Ok(Need::Replace(stat));
        }
        match crate::hash_file(root, &item.path, room, self.control) {
            Ok(there) if there.digest == hashed.digest => Ok(Need::Nothing),
            // An unreadable version is no version: it is replaced by a good one.
            Ok(_) | Err(ReadFault::Io(_) | ReadFault::ChangedWhileRead) => Ok(Need::Replace(stat)),
            Err(ReadFault::NotFound) => Ok(Need::New),
            Err(fault) => Err(unreadable(fault)),
        }
    }

    /// As [`Self::need`]. The object's bytes are read: what the store says of them may be older than their damage.
    fn need_object(
        &self,
        copy: usize,
        store: &dyn Store,
        item: &ProtectItem,
        hashed: &Hashed,
        room: &mut Buffer,
    ) -> Result<Need, WriteFault> {
        let Some(stored) = store.look(&item.path)? else { return Ok(Need::New) };
        let other_version = stored.stat.digest.is_some_and(|digest| digest != hashed.digest);
        if stored.stat.size != hashed.size || other_version {
            return Ok(Need::ReplaceObject(stored));
        }
        match self.hash_object(copy, store, &item.path, room) {
            Ok(digest) if digest == hashed.digest => Ok(Need::Nothing),
            Ok(_) | Err(Broke::Fault(SourceFault::Io(_))) => Ok(Need::ReplaceObject(stored)),
            Err(Broke::Fault(SourceFault::NotFound)) => Ok(Need::New),
            Err(broke) => Err(broke.into()),
        }
    }

    /// What the object's bytes are now, read within the copy's limit.
    fn hash_object(
        &self,
        copy: usize,
        store: &dyn Store,
        path: &FilePath,
        room: &mut Buffer,
    ) -> Result<Digest, Broke> {
        let opened = store.open(path)?;
        let limits: Vec<_> = self.copies.get(copy).map(|target| &target.limit).into_iter().collect();
        let unseen = Progress::new();
        let mut pace = Pace { control: self.control, limits: &limits, tally: Tally::new(&unseen) };
        hash_from(store, opened, room, &mut pace).map(|(digest, _)| digest)
    }

    fn failed(&self, copy: usize, fault: &WriteFault) -> CopyResult {
        if fault.is_fatal() {
            self.lose(copy, fault);
        }
        CopyResult::Failed { reason: fault.reason.clone() }
    }
}

#[cfg(test)]
mod tests;
