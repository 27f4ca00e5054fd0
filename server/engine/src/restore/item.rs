//! The way of one file: what is at its place, a verified one from a copy, and into place without harming another.

use std::sync::atomic::Ordering;

use salvor_domain::path::shown;

use super::desk::{GivenUp, Hand};
use super::fetch::Fetched;
use super::stream::Stream;
use super::{RestoreItem, RestoreOutcome, RestoreResult};
use crate::control::Tally;
use crate::fault::{ReadFault, WriteFault, WriteFaultKind};
use crate::hash::{Buffer, Pace, hash_open};
use crate::root::{Kind, Stat};
use crate::sink::{Quarantined, Sealed};

/// What is at an item's place now.
enum There {
    Nothing,
    Right,
    Newer(Stat),
    Corrupt(Stat),
}

/// Why an item ends without being restored.
pub(super) enum End {
    Result(RestoreResult),
    Write(WriteFault),
    /// Others have it now.
    GivenUp,
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

impl From<GivenUp> for End {
    fn from(_: GivenUp) -> Self {
        Self::GivenUp
    }
}

/// How often an item is looked at anew when others change it under us.
const ATTEMPTS: u32 = 4;

/// One item in the hands of one thread.
pub(super) struct Task<'a> {
    pub(super) stream: &'a Stream,
    pub(super) item: &'a RestoreItem,
    pub(super) hand: &'a Hand,
    pub(super) outcome: RestoreOutcome,
}

impl Stream {
    /// `None` when the restore was stopped before it was done, or others have the item now.
    pub(super) fn restore(
        &self,
        item: &RestoreItem,
        buffer: &mut Buffer,
        hand: &Hand,
    ) -> Option<RestoreOutcome> {
        let outcome = RestoreOutcome::of(item, RestoreResult::NotStarted, Vec::new());
        let mut task = Task { stream: self, item, hand, outcome };
        let result = match task.attempt(buffer) {
            Ok(result) | Err(End::Result(result)) => {
                if matches!(result, RestoreResult::Restored { .. }) {
                    self.failing.store(0, Ordering::Relaxed);
                }
                result
            }
            Err(End::Write(fault)) if fault.is_fatal() || self.is_failing_disk(&fault) => {
                self.end_with(fault);
                return None;
            }
            Err(End::Write(fault)) => RestoreResult::Failed { reason: fault.reason },
            Err(End::GivenUp) => return None,
        };
        (result != RestoreResult::NotStarted).then_some(RestoreOutcome { result, ..task.outcome })
    }

    /// One folder that the disk cannot write is that folder's; when it is one after the other, it is the disk.
    fn is_failing_disk(&self, fault: &WriteFault) -> bool {
        const IN_A_ROW: usize = 8;
        fault.kind == WriteFaultKind::Io && self.failing.fetch_add(1, Ordering::Relaxed) + 1 >= IN_A_ROW
    }
}

impl<'a> Task<'a> {
    fn attempt(&mut self, buffer: &mut Buffer) -> Result<RestoreResult, End> {
        let mut fetched: Option<Fetched<'a>> = None;
        let mut quarantined = None;
        for _ in 0..ATTEMPTS {
            let corrupt = match self.look(buffer)? {
                There::Right => return Ok(RestoreResult::InPlace),
                There::Newer(stat) => {
                    return Ok(RestoreResult::NewerKept { size: stat.size, mtime_ns: stat.mtime_ns });
                }
                There::Nothing => None,
                There::Corrupt(stat) => Some(stat),
            };
            let mut ready = match fetched.take() {
                Some(ready) => ready,
                None => self.fetch(buffer)?,
            };
            if self.place(corrupt.as_ref(), &mut ready.sealed, &mut quarantined)? {
                ready.tally.keep();
                let bytes = self.item.size;
                return Ok(RestoreResult::Restored { source: ready.source, bytes, quarantined });
            }
            fetched = Some(ready);
        }
        Err(End::Result(RestoreResult::Failed {
            reason: "someone else keeps changing this file: it was left alone".into(),
        }))
    }

    /// Compares what is there with the catalogue.
    fn look(&self, buffer: &mut Buffer) -> Result<There, End> {
        let (item, root) = (self.item, self.stream.target.root());
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
        let tally = Tally::new(&self.stream.progress);
        let mut pace = Pace { control: &self.stream.control, limits: &[], tally };
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
            Err(ReadFault::Io(errno)) if item.known_corrupt || super::is_damage(errno) => Ok(differs(stat)),
            Err(fault @ ReadFault::Stopped(_)) => Err(fault.into()),
            Err(fault) => Err(End::Result(RestoreResult::Failed {
                reason: format!("the file that is there cannot be compared: {fault}"),
            })),
        }
    }

    /// Links the verified file into place; `false` when someone else changed the place, which must be looked at again.
    fn place(
        &self,
        corrupt: Option<&Stat>,
        sealed: &mut Sealed,
        quarantined: &mut Option<Vec<u8>>,
    ) -> Result<bool, End> {
        if let Some(seen) = corrupt {
            match self.stream.target.quarantine(&self.item.path, seen, &self.stream.options.label)? {
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
