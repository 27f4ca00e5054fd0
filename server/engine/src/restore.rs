//! Bringing files back: each verified before it is visible, all durable before one is called restored.
//!
//! For each item the target is looked at first. A file that is there and right is in place; a newer one is left alone; a
//! corrupt one goes to quarantine when its replacement is complete and verified, not before. The copies are asked in the
//! item's order of preference, and one whose bytes do not match is refused and named in the outcome, also when the next
//! one helps (I5). A batch ends with one barrier, and only then are its outcomes handed out (I2). A batch that is run
//! again, or twice at once, finds what is in place by its checksum and copies nothing twice.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use salvor_domain::digest::Digest;
use salvor_domain::path::{FilePath, shown};

use crate::control::{Control, Progress, Tally};
use crate::crew;
use crate::fault::{ReadFault, SourceFault, WriteFault, WriteFaultKind, io_words};
use crate::hash::{Buffer, Pace, SMALL, fill, hash_open, read_some};
use crate::limit::RateLimit;
use crate::root::{Kind, Stat};
use crate::sink::{Attrs, Label, Quarantined, Sealed, Sink};
use crate::source::{Opened, Source};

/// A copy to restore from. The limit is shared by everyone who reads that copy.
#[derive(Clone)]
pub struct SourceHandle {
    pub source: Arc<dyn Source>,
    pub limit: RateLimit,
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
    /// Indices into the batch's sources, best first.
    pub sources: Vec<usize>,
    /// A check found the file corrupt or unreadable: it may be replaced even if Salvor is not allowed to read it.
    pub known_corrupt: bool,
}

#[derive(Debug, Clone)]
pub struct RestoreOptions {
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
    /// Why the batch ended early: every further file would meet the same. Items not begun are [`RestoreResult::NotStarted`].
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
    /// No copy is said to hold it.
    InNoCopy,
    /// The batch was stopped before this file was done.
    NotStarted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFault {
    /// Index into the batch's sources.
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

/// Restores the items with a few threads in path order; see the module. Returns when all are done, or as soon as
/// `control` says stop or the target takes no more files.
pub fn restore_batch(
    target: &Sink,
    sources: &[SourceHandle],
    items: &[RestoreItem],
    options: &RestoreOptions,
    control: &Control,
    progress: &Progress,
) -> RestoreReport {
    let batch = Batch {
        target,
        sources,
        options,
        control,
        progress,
        gone: sources.iter().map(|_| AtomicBool::new(false)).collect(),
        fatal: Mutex::new(
            target.root().reachable().err().map(|why| WriteFault::new(WriteFaultKind::Gone, why)),
        ),
        failing: AtomicUsize::new(0),
    };
    let results = crew::work(
        items,
        |item| &item.path,
        options.threads,
        |item, buffer| {
            if control.check().is_err() || batch.fatal().is_some() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(batch.restore(item, buffer))
        },
    );
    let mut outcomes: Vec<_> = items
        .iter()
        .zip(results)
        .map(|(item, outcome)| {
            outcome.unwrap_or_else(|| RestoreOutcome::of(item, RestoreResult::NotStarted, Vec::new()))
        })
        .collect();
    let mut fatal = batch.fatal();
    // A volume that was unmounted or renamed meanwhile took the files with it.
    let still_there = || target.root().reachable().map_err(|why| WriteFault::new(WriteFaultKind::Gone, why));
    if outcomes.iter().any(|outcome| outcome.result.needs_barrier())
        && let Err(fault) = target.barrier().and_then(|()| still_there())
    {
        for outcome in outcomes.iter_mut().filter(|outcome| outcome.result.needs_barrier()) {
            outcome.result = RestoreResult::Failed {
                reason: format!("it was written, but the disk did not confirm it: {fault}"),
            };
        }
        fatal = fatal.or(Some(fault));
    }
    RestoreReport { outcomes, fatal }
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

struct Batch<'a> {
    target: &'a Sink,
    sources: &'a [SourceHandle],
    options: &'a RestoreOptions,
    control: &'a Control,
    progress: &'a Progress,
    /// Copies that were found out of reach: not asked again in this batch.
    gone: Vec<AtomicBool>,
    fatal: Mutex<Option<WriteFault>>,
    /// Writes in a row that failed as those of a failing disk do.
    failing: AtomicUsize,
}

/// What is at an item's place now.
enum There {
    Nothing,
    Right,
    Newer(Stat),
    Corrupt(Stat),
}

/// Why an item ends without being restored.
enum End {
    Result(RestoreResult),
    Write(WriteFault),
}

impl From<ReadFault> for End {
    fn from(fault: ReadFault) -> Self {
        match fault {
            ReadFault::Stopped(_) => Self::Result(RestoreResult::NotStarted),
            other => Self::Result(RestoreResult::Failed { reason: other.to_string() }),
        }
    }
}

impl From<WriteFault> for End {
    fn from(fault: WriteFault) -> Self {
        Self::Write(fault)
    }
}

/// How often an item is looked at anew when others change it under us.
const ATTEMPTS: u32 = 4;

impl Batch<'_> {
    fn fatal(&self) -> Option<WriteFault> {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn restore(&self, item: &RestoreItem, buffer: &mut Buffer) -> RestoreOutcome {
        let mut copy_faults = Vec::new();
        let result = match self.attempt(item, buffer, &mut copy_faults) {
            Ok(result) | Err(End::Result(result)) => {
                if matches!(result, RestoreResult::Restored { .. }) {
                    self.failing.store(0, Ordering::Relaxed);
                }
                result
            }
            Err(End::Write(fault)) => {
                let reason = fault.reason.clone();
                if fault.is_fatal() || self.is_failing_disk(&fault) {
                    self.fatal.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
                }
                RestoreResult::Failed { reason }
            }
        };
        RestoreOutcome::of(item, result, copy_faults)
    }

    /// One folder that the disk cannot write is that folder's; when it is one after the other, it is the disk.
    fn is_failing_disk(&self, fault: &WriteFault) -> bool {
        const IN_A_ROW: usize = 8;
        fault.kind == WriteFaultKind::Io && self.failing.fetch_add(1, Ordering::Relaxed) + 1 >= IN_A_ROW
    }

    fn attempt(
        &self,
        item: &RestoreItem,
        buffer: &mut Buffer,
        copy_faults: &mut Vec<CopyFault>,
    ) -> Result<RestoreResult, End> {
        let mut fetched: Option<Fetched<'_>> = None;
        let mut quarantined = None;
        for _ in 0..ATTEMPTS {
            let corrupt = match self.look(item, buffer)? {
                There::Right => return Ok(RestoreResult::InPlace),
                There::Newer(stat) => {
                    return Ok(RestoreResult::NewerKept { size: stat.size, mtime_ns: stat.mtime_ns });
                }
                There::Nothing => None,
                There::Corrupt(stat) => Some(stat),
            };
            let mut ready = match fetched.take() {
                Some(ready) => ready,
                None => self.fetch(item, buffer, copy_faults)?,
            };
            if self.place(item, corrupt.as_ref(), &mut ready.sealed, &mut quarantined)? {
                ready.tally.keep();
                return Ok(RestoreResult::Restored { source: ready.source, bytes: item.size, quarantined });
            }
            fetched = Some(ready);
        }
        Err(End::Result(RestoreResult::Failed {
            reason: "someone else keeps changing this file: it was left alone".into(),
        }))
    }

    /// Compares what is there with the catalogue.
    fn look(&self, item: &RestoreItem, buffer: &mut Buffer) -> Result<There, End> {
        let root = self.target.root();
        let stat = match root.stat(&item.path)? {
            None => return Ok(There::Nothing),
            Some(stat) if stat.kind == Kind::File => stat,
            Some(other) => return Err(ReadFault::NotAFile(other.kind).into()),
        };
        let differs = |stat: Stat| {
            if stat.mtime_ns > item.mtime_ns { There::Newer(stat) } else { There::Corrupt(stat) }
        };
        if stat.size != item.size {
            return Ok(differs(stat));
        }
        let mut pace = Pace { control: self.control, limits: &[], tally: Tally::new(self.progress) };
        let hashed = root.open_file(&item.path).and_then(|(file, before)| {
            hash_open(&file, &before, buffer, &mut pace).map(|hashed| (hashed, before))
        });
        match hashed {
            Ok((hashed, _)) if hashed.digest == item.digest && hashed.size == item.size => {
                pace.tally.keep();
                Ok(There::Right)
            }
            Ok((_, before)) => Ok(differs(before)),
            Err(ReadFault::NotFound) => Ok(There::Nothing),
            Err(ReadFault::ChangedWhileRead) => Ok(There::Newer(stat)),
            // The disk cannot read it, so nobody can: as lost as a corrupt one, and it goes to quarantine all the same.
            Err(ReadFault::Io(errno)) if item.known_corrupt || is_damage(errno) => Ok(differs(stat)),
            Err(fault @ ReadFault::Stopped(_)) => Err(fault.into()),
            Err(fault) => Err(End::Result(RestoreResult::Failed {
                reason: format!("the file that is there cannot be compared: {fault}"),
            })),
        }
    }

    /// A verified file from the first copy that has it.
    fn fetch(
        &self,
        item: &RestoreItem,
        buffer: &mut Buffer,
        copy_faults: &mut Vec<CopyFault>,
    ) -> Result<Fetched<'_>, End> {
        if item.sources.is_empty() {
            return Err(End::Result(RestoreResult::InNoCopy));
        }
        for &source in &item.sources {
            match self.fetch_from(source, item, buffer) {
                Ok(fetched) => return Ok(fetched),
                Err(FetchFault::End(end)) => return Err(end),
                Err(FetchFault::Copy(kind, reason)) => {
                    if kind == CopyFaultKind::Gone
                        && let Some(gone) = self.gone.get(source)
                    {
                        gone.store(true, Ordering::Relaxed);
                    }
                    if copy_faults.iter().all(|fault| fault.source != source) {
                        copy_faults.push(CopyFault { source, kind, reason });
                    }
                }
            }
        }
        let name = |source: usize| self.sources.get(source).map_or("?", |handle| handle.source.name());
        let told: Vec<_> =
            copy_faults.iter().map(|fault| format!("{}: {}", name(fault.source), fault.reason)).collect();
        Err(End::Result(RestoreResult::Failed {
            reason: format!("no copy could give it ({})", told.join("; ")),
        }))
    }

    fn fetch_from(
        &self,
        source: usize,
        item: &RestoreItem,
        buffer: &mut Buffer,
    ) -> Result<Fetched<'_>, FetchFault> {
        let Some(handle) = self.sources.get(source) else {
            return Err(FetchFault::Copy(CopyFaultKind::Gone, "there is no such copy in this job".into()));
        };
        if self.gone.get(source).is_some_and(|gone| gone.load(Ordering::Relaxed)) {
            return Err(FetchFault::Copy(CopyFaultKind::Gone, "the whole copy is out of reach".into()));
        }
        handle.limit.take_file(self.control).map_err(ReadFault::from)?;
        self.options.limit.take_file(self.control).map_err(ReadFault::from)?;
        let mut opened = handle.source.open(&item.path)?;
        if let Some(size) = opened.size.filter(|size| *size != item.size) {
            return Err(wrong_size(size, item.size));
        }
        let attrs = Attrs {
            mtime_ns: item.mtime_ns,
            mode: item.mode.or(opened.mode),
            owner: opened.owner,
            xattrs: std::mem::take(&mut opened.xattrs),
        };
        let limits = [&handle.limit, &self.options.limit];
        let mut pace = Pace { control: self.control, limits: &limits, tally: Tally::new(self.progress) };
        let sealed = if item.size <= SMALL as u64 {
            self.fetch_small(handle, item, &mut opened, &attrs, buffer, &mut pace)?
        } else {
            self.fetch_large(handle, item, &mut opened, &attrs, buffer, &mut pace)?
        };
        let Pace { tally, .. } = pace;
        Ok(Fetched { sealed, source, tally })
    }

    /// Read whole and compared before the target is touched at all.
    fn fetch_small(
        &self,
        handle: &SourceHandle,
        item: &RestoreItem,
        opened: &mut Opened,
        attrs: &Attrs,
        buffer: &mut Buffer,
        pace: &mut Pace<'_, '_>,
    ) -> Result<Sealed, FetchFault> {
        // One byte of room more than it should have shows a file that is too long.
        let room = &mut buffer.all()[..item.size as usize + 1];
        let read = fill(&mut opened.reader, room).map_err(|error| broken(handle, &error))?;
        if read as u64 != item.size {
            return Err(wrong_size(read as u64, item.size));
        }
        let content = &room[..read];
        if Digest(*blake3::hash(content).as_bytes()) != item.digest {
            return Err(wrong_bytes());
        }
        pace.moved(read)?;
        let mut draft = self.target.draft(&item.path)?;
        draft.write_unhashed(content)?;
        Ok(draft.seal_as(attrs, item.digest)?)
    }

    /// Written while it is read; what does not match in the end never gets a name.
    fn fetch_large(
        &self,
        handle: &SourceHandle,
        item: &RestoreItem,
        opened: &mut Opened,
        attrs: &Attrs,
        buffer: &mut Buffer,
        pace: &mut Pace<'_, '_>,
    ) -> Result<Sealed, FetchFault> {
        let mut draft = self.target.draft(&item.path)?;
        loop {
            let read = read_some(&mut opened.reader, buffer.all()).map_err(|error| broken(handle, &error))?;
            if read == 0 {
                break;
            }
            if draft.written() + read as u64 > item.size {
                return Err(wrong_size(draft.written() + read as u64, item.size));
            }
            draft.write(&buffer.all()[..read])?;
            pace.moved(read)?;
        }
        if draft.written() != item.size {
            return Err(wrong_size(draft.written(), item.size));
        }
        draft.seal(attrs, Some((item.digest, item.size))).map_err(|fault| match fault.kind {
            WriteFaultKind::Mismatch => wrong_bytes(),
            _ => fault.into(),
        })
    }

    /// Links the verified file into place; `false` when someone else changed the place, which must be looked at again.
    fn place(
        &self,
        item: &RestoreItem,
        corrupt: Option<&Stat>,
        sealed: &mut Sealed,
        quarantined: &mut Option<Vec<u8>>,
    ) -> Result<bool, End> {
        if let Some(seen) = corrupt {
            match self.target.quarantine(&item.path, seen, &self.options.label)? {
                Quarantined::Moved(place) => *quarantined = Some(place),
                Quarantined::Different => return Ok(false),
            }
        }
        match (sealed.link(), quarantined) {
            (Ok(()), _) => Ok(true),
            (Err(fault), _) if fault.kind == WriteFaultKind::Exists => Ok(false),
            (Err(fault), Some(place)) => Err(End::Write(WriteFault {
                reason: format!("{}; the corrupt file lies in {}", fault.reason, shown(place)),
                ..fault
            })),
            (Err(fault), None) => Err(fault.into()),
        }
    }
}

struct Fetched<'a> {
    sealed: Sealed,
    source: usize,
    tally: Tally<'a>,
}

enum FetchFault {
    Copy(CopyFaultKind, String),
    End(End),
}

impl From<SourceFault> for FetchFault {
    fn from(fault: SourceFault) -> Self {
        let kind = match fault {
            SourceFault::NotFound => CopyFaultKind::Missing,
            SourceFault::Gone(_) => CopyFaultKind::Gone,
            SourceFault::Io(_) => CopyFaultKind::Io,
        };
        Self::Copy(kind, fault.to_string())
    }
}

impl From<ReadFault> for FetchFault {
    fn from(fault: ReadFault) -> Self {
        Self::End(fault.into())
    }
}

impl From<WriteFault> for FetchFault {
    fn from(fault: WriteFault) -> Self {
        Self::End(fault.into())
    }
}

fn wrong_size(found: u64, wanted: u64) -> FetchFault {
    let reason = match found < wanted {
        true => format!("it is cut short there: {found} of {wanted} bytes"),
        false => format!("it is longer there than the catalogue's {wanted} bytes"),
    };
    FetchFault::Copy(CopyFaultKind::Corrupt, reason)
}

fn wrong_bytes() -> FetchFault {
    FetchFault::Copy(CopyFaultKind::Corrupt, "its bytes there do not have the catalogue's checksum".into())
}

/// A read that broke off: the one file, or the whole copy?
fn broken(handle: &SourceHandle, error: &std::io::Error) -> FetchFault {
    match handle.source.reachable() {
        Err(gone @ SourceFault::Gone(_)) => gone.into(),
        _ => FetchFault::Copy(CopyFaultKind::Io, io_words(error)),
    }
}

fn is_damage(errno: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    matches!(errno, Errno::IO | Errno::UCLEAN | Errno::BADMSG)
}

#[cfg(test)]
mod tests;
