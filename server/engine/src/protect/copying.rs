//! One file on its way to its copies, folders and stores alike.

use salvor_domain::digest::Digest;

use super::{Batch, CopyResult, CopyTarget, Need, ProtectItem, TargetPlace};
use crate::control::{Progress, Tally};
use crate::fault::{ReadFault, WriteFault, WriteFaultKind};
use crate::hash::{Buffer, Hashed, Pace, each_chunk, stood_still};
use crate::root::Stat;
use crate::sink::{Attrs, Draft, Quarantined, Sealed};
use crate::store::{Confirmed, Object, Upload};

pub(super) struct Copying<'a> {
    pub(super) batch: &'a Batch<'a>,
    pub(super) item: &'a ProtectItem,
    pub(super) hashed: &'a Hashed,
    pub(super) attrs: &'a Attrs,
}

/// A file that a copy is being given. Dropped, nothing is to be seen of it.
#[expect(clippy::large_enum_variant, reason = "few are alive at once, and a file is the usual one")]
enum Giving {
    File(Draft),
    Object(Box<dyn Upload>),
}

/// The same when all its bytes are there.
#[expect(clippy::large_enum_variant, reason = "few are alive at once, and a file is the usual one")]
pub(super) enum Given {
    File(Sealed),
    Object(Box<dyn Upload>),
}

impl Giving {
    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteFault> {
        match self {
            Self::File(draft) => draft.write_unhashed(bytes),
            Self::Object(upload) => upload.write(bytes),
        }
    }
}

impl Copying<'_> {
    fn begin(&self, copy: usize, need: &Need) -> Result<Giving, WriteFault> {
        match &self.batch.target(copy)?.place {
            TargetPlace::Folder(sink) => sink.draft(&self.item.path).map(Giving::File),
            TargetPlace::Store(store) => {
                let Hashed { size, mtime_ns, digest, .. } = *self.hashed;
                let over = match need {
                    Need::ReplaceObject(stored) => Some(stored),
                    _ => None,
                };
                store.upload(&self.item.path, &Object { size, mtime_ns, digest }, over).map(Giving::Object)
            }
        }
    }

    fn seal(&self, giving: Giving) -> Result<Given, WriteFault> {
        match giving {
            Giving::File(draft) => draft.seal_as(self.attrs, self.hashed.digest).map(Given::File),
            Giving::Object(upload) => Ok(Given::Object(upload)),
        }
    }

    pub(super) fn write_small(&self, copy: usize, need: &Need, content: &[u8]) -> Result<Given, WriteFault> {
        let mut giving = self.begin(copy, need)?;
        giving.write(content)?;
        self.take(self.batch.target(copy)?, content.len())?;
        self.seal(giving)
    }

    /// Reads the primary a second time and writes to all copies at once. Bytes that differ from the first reading are a
    /// change: nothing of it is kept anywhere.
    pub(super) fn write_large(
        &self,
        wanting: Vec<(usize, Need)>,
        mut file: &std::fs::File,
        before: &Stat,
        buffer: &mut Buffer,
    ) -> Result<Vec<(usize, CopyResult)>, ReadFault> {
        std::io::Seek::rewind(&mut file).map_err(|_| ReadFault::Io(rustix::io::Errno::IO))?;
        let mut drafts: Vec<(usize, Need, Result<Giving, WriteFault>)> = wanting
            .into_iter()
            .map(|(copy, need)| {
                let giving = self.begin(copy, &need);
                (copy, need, giving)
            })
            .collect();
        let limits = [&self.batch.options.limit];
        let unseen = Progress::new();
        let mut pace = Pace { control: self.batch.control, limits: &limits, tally: Tally::new(&unseen) };
        let mut hasher = blake3::Hasher::new();
        each_chunk(file, before, buffer, &mut pace, |chunk| {
            hasher.update(chunk);
            for (copy, _, draft) in &mut drafts {
                let written = match draft {
                    Ok(giving) => giving.write(chunk).and_then(|()| {
                        self.batch.target(*copy).and_then(|target| self.take(target, chunk.len()))
                    }),
                    Err(_) => continue,
                };
                if let Err(fault) = written {
                    *draft = Err(fault);
                }
            }
        })?;
        stood_still(file, before)?;
        if Digest(*hasher.finalize().as_bytes()) != self.hashed.digest {
            return Err(ReadFault::ChangedWhileRead);
        }
        let finish = |(copy, need, draft): (usize, Need, Result<Giving, WriteFault>)| {
            let given = draft.and_then(|giving| self.seal(giving));
            (copy, self.finish(copy, &need, given, buffer))
        };
        Ok(drafts.into_iter().map(finish).collect())
    }

    fn take(&self, target: &CopyTarget, bytes: usize) -> Result<(), WriteFault> {
        target
            .limit
            .take_bytes(bytes as u64, self.batch.control)
            .map_err(|stopped| WriteFault::new(WriteFaultKind::Other, stopped.to_string()))
    }

    pub(super) fn finish(
        &self,
        copy: usize,
        need: &Need,
        given: Result<Given, WriteFault>,
        room: &mut Buffer,
    ) -> CopyResult {
        let placed = given.and_then(|given| match given {
            Given::File(sealed) => self.place(copy, need, sealed),
            Given::Object(upload) => self.place_object(copy, need, upload, room),
        });
        placed.unwrap_or_else(|fault| self.batch.failed(copy, &fault))
    }

    fn place(&self, copy: usize, need: &Need, mut sealed: Sealed) -> Result<CopyResult, WriteFault> {
        let (Need::Replace(there), TargetPlace::Folder(sink)) = (need, &self.batch.target(copy)?.place)
        else {
            return sealed.link().map(|()| CopyResult::Written);
        };
        let mut quarantined = None;
        if there.mtime_ns > self.hashed.mtime_ns {
            match sink.quarantine_link(&self.item.path, there, &self.batch.options.label)? {
                Quarantined::Moved(place) => quarantined = Some(place),
                Quarantined::Different => {
                    return Err(WriteFault::new(
                        WriteFaultKind::Exists,
                        "someone else is writing this file on the copy: it was left alone",
                    ));
                }
            }
        }
        sealed.replace()?;
        Ok(CopyResult::Replaced { quarantined })
    }

    /// An object whose age is not known counts as newer: it is kept.
    fn place_object(
        &self,
        copy: usize,
        need: &Need,
        upload: Box<dyn Upload>,
        room: &mut Buffer,
    ) -> Result<CopyResult, WriteFault> {
        let TargetPlace::Store(store) = &self.batch.target(copy)?.place else {
            return Err(WriteFault::new(WriteFaultKind::Other, "this copy keeps files, not objects"));
        };
        let (mut result, path) = (CopyResult::Written, &self.item.path);
        if let Need::ReplaceObject(there) = need {
            let is_newer = there.stat.mtime_ns.is_none_or(|mtime_ns| mtime_ns > self.hashed.mtime_ns);
            let label = &self.batch.options.label;
            let quarantined = is_newer.then(|| store.set_aside(path, label)).transpose()?;
            result = CopyResult::Replaced { quarantined };
        }
        let confirmed = upload.finish()?;
        if confirmed == Confirmed::BySize
            && self.batch.hash_object(copy, &**store, path, room)? != self.hashed.digest
        {
            return Err(WriteFault::new(
                WriteFaultKind::Mismatch,
                "the copy gives other bytes than were written",
            ));
        }
        Ok(result)
    }
}
