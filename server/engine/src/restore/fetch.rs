//! The bytes of one file from the first copy that has them, verified while they come.
//!
//! A read that breaks off goes on where it was: the copy is opened again at that offset, a few times with longer and
//! longer pauses, before it is blamed. Only a disk that says that it is damaged is believed at once.

use std::io::Read;
use std::time::Duration;

use rustix::io::Errno;
use salvor_domain::digest::Digest;

use super::desk::{GivenUp, Hand};
use super::gate::{Permit, Refusal};
use super::item::{End, Task};
use super::stream::Stream;
use super::{CopyFault, CopyFaultKind, RestoreItem, RestoreResult, SourceHandle};
use crate::control::{Stopped, Tally};
use crate::fault::{ReadFault, SourceFault, WriteFault, WriteFaultKind, io_words};
use crate::hash::{Buffer, Pace, SMALL, read_some};
use crate::sink::{Attrs, Sealed};
use crate::source::Opened;

/// How often a broken read goes on, and the pause before the first time; each further one is twice as long.
const RESUMES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 2 } else { 250 });

/// A verified file that waits for its name.
pub(super) struct Fetched<'a> {
    pub(super) sealed: Sealed,
    pub(super) source: usize,
    pub(super) tally: Tally<'a>,
}

pub(super) enum FetchFault {
    Copy(CopyFaultKind, String),
    End(End),
}

impl<'a> Task<'a> {
    /// A verified file from the first copy that has it.
    pub(super) fn fetch(&mut self, buffer: &mut Buffer) -> Result<Fetched<'a>, End> {
        let item = self.item;
        if item.sources.is_empty() {
            return Err(End::Result(RestoreResult::InNoCopy));
        }
        for (place, &source) in item.sources.iter().enumerate() {
            let is_gone = |fault: &CopyFault| fault.kind == CopyFaultKind::Gone;
            if place >= item.holders && self.outcome.copy_faults.iter().any(is_gone) {
                break;
            }
            match self.fetch_from(source, buffer) {
                Ok(fetched) => return Ok(fetched),
                Err(FetchFault::End(end)) => return Err(end),
                Err(FetchFault::Copy(kind, reason)) => {
                    if kind == CopyFaultKind::Gone {
                        self.stream.set_gone(source, &reason);
                    }
                    let faults = &mut self.outcome.copy_faults;
                    if faults.iter().all(|fault| fault.source != source) {
                        faults.push(CopyFault { source, kind, reason });
                    }
                }
            }
        }
        let name = |source: usize| self.stream.sources.get(source).map_or("?", |handle| handle.source.name());
        let faults = self.outcome.copy_faults.iter();
        let told: Vec<_> = faults
            .map(|fault| match fault.kind {
                CopyFaultKind::Gone => format!("{} is out of reach: {}", name(fault.source), fault.reason),
                _ => format!("{}: {}", name(fault.source), fault.reason),
            })
            .collect();
        Err(End::Result(RestoreResult::NotGiven {
            reason: format!("no copy could give it ({})", told.join("; ")),
        }))
    }

    fn fetch_from(&self, source: usize, buffer: &mut Buffer) -> Result<Fetched<'a>, FetchFault> {
        let (stream, item) = (self.stream, self.item);
        let Some(handle) = stream.sources.get(source) else {
            return Err(FetchFault::Copy(CopyFaultKind::Gone, "there is no such copy in this job".into()));
        };
        if let Some(why) = stream.gone(source) {
            return Err(FetchFault::Copy(CopyFaultKind::Gone, why));
        }
        handle.limit.take_file(&stream.control).map_err(ReadFault::from)?;
        stream.options.limit.take_file(&stream.control).map_err(ReadFault::from)?;
        let (mut feed, opened) = Feed::open(stream, self.hand, handle, source, item)?;
        if let Some(size) = opened.size.filter(|size| *size != item.size) {
            return Err(wrong_size(size, item.size));
        }
        feed.knows_its_end = opened.size.is_some();
        let attrs = Attrs {
            mtime_ns: item.mtime_ns,
            mode: item.mode.or(opened.mode),
            owner: opened.owner,
            xattrs: opened.xattrs,
        };
        let limits = [&handle.limit, &stream.options.limit];
        let tally = Tally::new(&stream.progress);
        let mut pace = Pace { control: &stream.control, limits: &limits, tally };
        let sealed = if item.size <= SMALL as u64 {
            self.fetch_small(feed, &attrs, buffer, &mut pace)?
        } else {
            self.fetch_large(feed, &attrs, buffer, &mut pace)?
        };
        let Pace { tally, .. } = pace;
        Ok(Fetched { sealed, source, tally })
    }

    /// Read whole and compared before the target is touched at all.
    fn fetch_small(
        &self,
        mut feed: Feed<'_>,
        attrs: &Attrs,
        buffer: &mut Buffer,
        pace: &mut Pace<'_, '_>,
    ) -> Result<Sealed, FetchFault> {
        let item = self.item;
        // One byte of room more than it should have shows a file that is too long.
        let room = &mut buffer.all()[..item.size as usize + usize::from(!feed.knows_its_end)];
        let read = feed.fill(room)?;
        drop(feed);
        if read as u64 != item.size {
            return Err(wrong_size(read as u64, item.size));
        }
        let content = &room[..read];
        if Digest(*blake3::hash(content).as_bytes()) != item.digest {
            return Err(wrong_bytes());
        }
        pace.moved(read)?;
        let mut draft = self.stream.target.draft_as(&item.path, attrs.mode)?;
        draft.write_unhashed(content)?;
        Ok(draft.seal_as(attrs, item.digest)?)
    }

    /// Written while it is read; what does not match in the end never gets a name.
    fn fetch_large(
        &self,
        mut feed: Feed<'_>,
        attrs: &Attrs,
        buffer: &mut Buffer,
        pace: &mut Pace<'_, '_>,
    ) -> Result<Sealed, FetchFault> {
        let item = self.item;
        let mut draft = self.stream.target.draft_as(&item.path, attrs.mode)?;
        loop {
            let read = feed.read(buffer.all())?;
            if read == 0 {
                break;
            }
            if draft.written() + read as u64 > item.size {
                return Err(wrong_size(draft.written() + read as u64, item.size));
            }
            draft.write(&buffer.all()[..read])?;
            feed.keep_pace(pace, read)?;
        }
        drop(feed);
        if draft.written() != item.size {
            return Err(wrong_size(draft.written(), item.size));
        }
        draft.seal(attrs, Some((item.digest, item.size))).map_err(|fault| match fault.kind {
            WriteFaultKind::Mismatch => wrong_bytes(),
            _ => fault.into(),
        })
    }
}

/// One file's bytes as its copy gives them, in one go for whoever reads them. Holds its place at the copy's gate while it reads.
struct Feed<'a> {
    stream: &'a Stream,
    hand: &'a Hand,
    handle: &'a SourceHandle,
    source: usize,
    item: &'a RestoreItem,
    reader: Box<dyn Read + Send>,
    permit: Permit,
    at: u64,
    broke: u32,
    /// The copy said how long the file is, and it is as long as it should be: no need to look for more.
    knows_its_end: bool,
}

impl<'a> Feed<'a> {
    /// Gives what the copy knows of the file as well, without its reader.
    fn open(
        stream: &'a Stream,
        hand: &'a Hand,
        handle: &'a SourceHandle,
        source: usize,
        item: &'a RestoreItem,
    ) -> Result<(Self, Opened), FetchFault> {
        let mut permit = enter(stream, handle)?;
        let opened = match hand.reading(source, || handle.source.open(&item.path)) {
            Ok(opened) => opened,
            Err(given_up) => {
                permit.came_back();
                return Err(given_up.into());
            }
        };
        let mut opened = opened.inspect_err(|fault| {
            if matches!(fault, SourceFault::Io(_)) {
                handle.gate.failed();
            }
        })?;
        let reader = std::mem::replace(&mut opened.reader, Box::new(std::io::empty()));
        let feed = Self {
            stream,
            hand,
            handle,
            source,
            item,
            reader,
            permit,
            at: 0,
            broke: 0,
            knows_its_end: false,
        };
        Ok((feed, opened))
    }

    /// Fills the room as far as the file goes.
    fn fill(&mut self, room: &mut [u8]) -> Result<usize, FetchFault> {
        let mut filled = 0;
        while filled < room.len() {
            match self.read(&mut room[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }

    fn read(&mut self, room: &mut [u8]) -> Result<usize, FetchFault> {
        loop {
            match self.ask(|feed| read_some(&mut feed.reader, room))? {
                Ok(read) => {
                    self.at += read as u64;
                    self.handle.gate.moved(read);
                    return Ok(read);
                }
                Err(error) => self.go_on_after(&error)?,
            }
        }
    }

    /// Accounts for bytes that have just moved. While the limits say wait, another may read in this one's place: a job that is
    /// held back holds up nobody else at the copy.
    fn keep_pace(&mut self, pace: &mut Pace<'_, '_>, bytes: usize) -> Result<(), FetchFault> {
        if !pace.is_limited() {
            return Ok(pace.moved(bytes)?);
        }
        if let Some(_resting) = self.permit.rest() {
            return Ok(pace.moved(bytes)?);
        }
        // Too many rest already, each with its open file: this one comes back for what is left of it.
        self.reader = Box::new(std::io::empty());
        self.permit.leave();
        pace.moved(bytes)?;
        if self.knows_its_end && self.at >= self.item.size {
            return Ok(());
        }
        self.permit = enter(self.stream, self.handle)?;
        match self.open_again()? {
            Ok(()) => Ok(()),
            Err(fault) => self.try_again(fault),
        }
    }

    /// Opens the copy again where the read broke off; the fault once that was tried often enough.
    fn go_on_after(&mut self, error: &std::io::Error) -> Result<(), FetchFault> {
        let fault = self.ask(|feed| broken(feed.handle, error))?;
        if Errno::from_io_error(error).is_some_and(super::is_damage) {
            self.handle.gate.failed();
            return Err(fault);
        }
        self.try_again(fault)
    }

    fn try_again(&mut self, mut fault: FetchFault) -> Result<(), FetchFault> {
        self.handle.gate.failed();
        while self.broke < RESUMES && !matches!(fault, FetchFault::Copy(CopyFaultKind::Gone, _)) {
            self.stream.control.sleep(PAUSE * 2_u32.pow(self.broke)).map_err(ReadFault::from)?;
            self.broke += 1;
            match self.open_again()? {
                Ok(()) => return Ok(()),
                Err(again) => fault = again,
            }
        }
        Err(fault)
    }

    /// Opens the copy at where it is; the inner fault is the copy's.
    fn open_again(&mut self) -> Result<Result<(), FetchFault>, FetchFault> {
        let (path, at) = (&self.item.path, self.at);
        Ok(match self.ask(|feed| feed.handle.source.open_at(path, at))? {
            Ok(opened) => {
                self.reader = opened.reader;
                Ok(())
            }
            Err(fault) => Err(fault.into()),
        })
    }

    /// Does what may hang, where the committer can see that it does.
    fn ask<T>(&mut self, ask: impl FnOnce(&mut Self) -> T) -> Result<T, FetchFault> {
        let (hand, source) = (self.hand, self.source);
        hand.reading(source, || ask(self)).map_err(|given_up| {
            self.permit.came_back();
            given_up.into()
        })
    }
}

fn enter(stream: &Stream, handle: &SourceHandle) -> Result<Permit, FetchFault> {
    let patience = handle.source.patience();
    handle.gate.enter(&stream.control, patience).map_err(|refusal| match refusal {
        Refusal::Stopped => FetchFault::from(ReadFault::Stopped(Stopped)),
        Refusal::Hung => FetchFault::Copy(
            CopyFaultKind::Gone,
            format!("none of its readers has had an answer for {} s", patience.as_secs_f64()),
        ),
    })
}

impl From<SourceFault> for FetchFault {
    fn from(fault: SourceFault) -> Self {
        match fault {
            SourceFault::NotFound => Self::Copy(CopyFaultKind::Missing, fault.to_string()),
            SourceFault::Gone(why) => Self::Copy(CopyFaultKind::Gone, why),
            SourceFault::Io(_) => Self::Copy(CopyFaultKind::Io, fault.to_string()),
        }
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

impl From<GivenUp> for FetchFault {
    fn from(given_up: GivenUp) -> Self {
        Self::End(given_up.into())
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
