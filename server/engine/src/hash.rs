//! Reading a file once and knowing that it stood still: its checksum, size and times.
//!
//! A file that changes while it is read has no checksum worth keeping; size, mtime and ctime before and after tell.
//! A small file is one read into the caller's buffer and stays there, so that whoever copies it need not read it again.

use std::fs::File;
use std::io::Read;

use rustix::fs::{Advice, fadvise, fstat};
use rustix::io::Errno;
use salvor_domain::digest::Digest;
use salvor_domain::path::FilePath;

use crate::control::{Control, Progress, Tally};
use crate::fault::{ReadFault, SourceFault, io_words};
use crate::limit::RateLimit;
use crate::root::{Root, Stat};
use crate::source::{Opened, Source};

/// Files up to this size are read whole before anything else happens to them.
pub(crate) const SMALL: usize = 256 * 1024;

/// One thread's reusable room for reading.
#[derive(Debug)]
pub struct Buffer(Vec<u8>);

impl Buffer {
    pub fn new() -> Self {
        // One byte more than the largest small file, so that a file that is longer than it should be shows.
        Self(vec![0; SMALL + 1])
    }

    pub(crate) fn all(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self::new()
    }
}

/// A file as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashed {
    pub digest: Digest,
    pub size: u64,
    pub mtime_ns: i64,
    /// Permission bits.
    pub mode: u32,
}

/// Reads the whole file. What is not a regular file, or cannot be read to its end while standing still, is a fault.
pub fn hash_file(
    root: &Root,
    path: &FilePath,
    buffer: &mut Buffer,
    control: &Control,
) -> Result<Hashed, ReadFault> {
    let progress = Progress::new();
    let mut pace = Pace { control, limits: &[], tally: Tally::new(&progress) };
    let (file, before) = root.open_file(path)?;
    hash_open(&file, &before, buffer, &mut pace)
}

/// What every read and write of a job goes through: stop flag, rate limits, progress.
pub(crate) struct Pace<'a, 'l> {
    pub(crate) control: &'a Control,
    pub(crate) limits: &'l [&'l RateLimit],
    pub(crate) tally: Tally<'a>,
}

impl Pace<'_, '_> {
    /// Whether [`Pace::moved`] may have to wait.
    pub(crate) fn is_limited(&self) -> bool {
        self.limits.iter().any(|limit| limit.is_limited())
    }

    /// Accounts for bytes that have just moved; waits as long as the limits say.
    pub(crate) fn moved(&mut self, bytes: usize) -> Result<(), ReadFault> {
        self.tally.add(bytes as u64);
        self.control.check()?;
        self.limits.iter().try_for_each(|limit| limit.take_bytes(bytes as u64, self.control))?;
        Ok(())
    }
}

/// As [`hash_file`] for an open file. If the file fits, `buffer` holds its content afterwards.
pub(crate) fn hash_open(
    file: &File,
    before: &Stat,
    buffer: &mut Buffer,
    pace: &mut Pace<'_, '_>,
) -> Result<Hashed, ReadFault> {
    let digest = if before.size <= SMALL as u64 {
        let room = &mut buffer.0[..before.size as usize];
        if fill(file, room).map_err(read_errno)? < room.len() {
            return Err(ReadFault::ChangedWhileRead);
        }
        pace.moved(room.len())?;
        blake3::hash(room)
    } else {
        let mut hasher = blake3::Hasher::new();
        each_chunk(file, before, buffer, pace, |chunk| {
            hasher.update(chunk);
        })?;
        hasher.finalize()
    };
    stood_still(file, before)?;
    Ok(Hashed {
        digest: Digest(*digest.as_bytes()),
        size: before.size,
        mtime_ns: before.mtime_ns,
        mode: before.mode,
    })
}

/// Hands over a large file piece by piece; a different length than `before` says is a change.
pub(crate) fn each_chunk(
    mut file: &File,
    before: &Stat,
    buffer: &mut Buffer,
    pace: &mut Pace<'_, '_>,
    mut take: impl FnMut(&[u8]),
) -> Result<(), ReadFault> {
    let _ = fadvise(file, 0, None, Advice::Sequential);
    let mut total = 0u64;
    loop {
        let read = read_some(&mut file, &mut buffer.0).map_err(read_errno)?;
        if read == 0 {
            break;
        }
        total += read as u64;
        if total > before.size {
            return Err(ReadFault::ChangedWhileRead);
        }
        take(&buffer.0[..read]);
        pace.moved(read)?;
    }
    if total == before.size { Ok(()) } else { Err(ReadFault::ChangedWhileRead) }
}

/// Why a copy's file was not read to its end.
pub(crate) enum Broke {
    Stopped,
    Fault(SourceFault),
}

impl From<SourceFault> for Broke {
    fn from(fault: SourceFault) -> Self {
        Self::Fault(fault)
    }
}

/// Reads what a copy gives to its end: checksum and size.
pub(crate) fn hash_from(
    copy: &dyn Source,
    mut opened: Opened,
    buffer: &mut Buffer,
    pace: &mut Pace<'_, '_>,
) -> Result<(Digest, u64), Broke> {
    let mut hasher = blake3::Hasher::new();
    loop {
        match read_some(&mut opened.reader, &mut buffer.0) {
            Ok(0) => return Ok((Digest(*hasher.finalize().as_bytes()), hasher.count())),
            Ok(read) => {
                hasher.update(&buffer.0[..read]);
                pace.moved(read).map_err(|_| Broke::Stopped)?;
            }
            Err(error) => {
                return Err(copy.reachable().err().unwrap_or(SourceFault::Io(io_words(&error))).into());
            }
        }
    }
}

pub(crate) fn stood_still(file: &File, before: &Stat) -> Result<(), ReadFault> {
    let after = Stat::from(fstat(file).map_err(ReadFault::Io)?);
    let facts = |stat: &Stat| (stat.size, stat.mtime_ns, stat.ctime_ns);
    if facts(&after) == facts(before) { Ok(()) } else { Err(ReadFault::ChangedWhileRead) }
}

/// Fills the room as far as the reader goes.
pub(crate) fn fill(mut reader: impl Read, room: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < room.len() {
        match read_some(&mut reader, &mut room[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

pub(crate) fn read_some(reader: &mut impl Read, room: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match reader.read(room) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn read_errno(error: std::io::Error) -> ReadFault {
    ReadFault::Io(Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests;
