//! A copy in an object store: S3 and whatever speaks its language, and WebDAV. Both by way of opendal.
//!
//! What must always hold: one request for a small object, and none before it; every step has a time limit and every request
//! a bounded number of tries, and where a read was cut it goes on, not back to the start. A store that keeps failing is left
//! alone for a while ([`health`](super::object_health)), so that a hanging one costs its readers once and not once a file.
//! Names are text in a store: a file whose name is not, is refused with that reason.

use std::io::{self, Read};
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Buf;
use futures_util::StreamExt;
use opendal::options::ListOptions;
use opendal::{Buffer, BufferStream, Metadata, Operator};
use salvor_domain::digest::Digest;
use salvor_domain::path::FilePath;
use salvor_engine::{Holding, Opened, Source, SourceFault, SourceStat, Store};
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::object_fault::Trouble;
use crate::object_health::Health;
use crate::runtime::runtime;

/// Of the user's metadata on an object: 64 hexadecimal digits, and nanoseconds since 1970.
pub(crate) const DIGEST_KEY: &str = "salvor-blake3";
pub(crate) const MTIME_KEY: &str = "salvor-mtime";
/// Where rclone and s3fs keep it: seconds since 1970, and maybe a fraction.
const OTHERS_MTIME_KEY: &str = "mtime";

/// How long and how often a store is asked. Explicit, so that tests need not wait.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For one step: an answer to a question, the next bytes of a body, one part of an upload.
    pub step: Duration,
    /// For sending more than [`SMALL_PUT`] at once: a slow line needs its time.
    pub part: Duration,
    /// For the question whether the store is there at all.
    pub look: Duration,
    /// Further tries of one step; the pauses between them double and are strewn.
    pub retries: usize,
    pub first_pause: Duration,
    pub longest_pause: Duration,
    /// Requests under way at once.
    pub at_once: usize,
    /// Failures in a row, each after all its tries, after which the store is left alone for `rest`.
    pub failures: u32,
    pub rest: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            step: Duration::from_secs(15),
            part: Duration::from_secs(180),
            look: Duration::from_secs(5),
            retries: 4,
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(5),
            at_once: 64,
            failures: 8,
            rest: Duration::from_secs(15),
        }
    }
}

/// How a store differs from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    S3,
    Webdav,
}

/// What there is to ask a store with.
pub(crate) struct Operators {
    /// With retries, for everything but what follows.
    pub(crate) ask: Operator,
    /// As `ask`, and the store compares an MD5 of each object that it is given.
    pub(crate) put: Operator,
    /// As `put`, with time for a slow line.
    pub(crate) send: Operator,
    /// For objects in parts, with time for a slow line.
    pub(crate) parts: Operator,
    /// Without retries: is it there?
    pub(crate) look: Operator,
    /// The folder that `look` asks for; empty: the store's own root.
    pub(crate) folder: String,
}

/// What goes within a step even on a slow line, in bytes.
pub(crate) const SMALL_PUT: u64 = 256 << 10;

#[derive(Clone)]
pub struct ObjectCopy {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    runtime: &'static Runtime,
    name: String,
    /// As the operator knows it: `s3://bucket at https://…`.
    pub(crate) place: String,
    pub(crate) dialect: Dialect,
    pub(crate) operators: Operators,
    pub(crate) limits: Limits,
    turns: Arc<Semaphore>,
    health: Health,
    /// When the store as a whole was last seen.
    seen: Mutex<Option<Instant>>,
    /// It does not know conditions on writing: asking each time would double every request.
    pub(crate) no_conditions: AtomicBool,
}

/// For so long a store that was seen is believed to be there: that a file is missing from it says nothing of the whole.
const SEEN_HOLDS: Duration = Duration::from_secs(10);
/// S3's limit for a name, in bytes, the root's included.
const LONGEST_KEY: usize = 1024;

impl ObjectCopy {
    pub(crate) fn new(
        name: &str,
        place: String,
        dialect: Dialect,
        operators: Operators,
        limits: Limits,
    ) -> Result<Self, SourceFault> {
        let runtime = runtime()?;
        let turns = Arc::new(Semaphore::new(limits.at_once));
        let health = Health::new(limits.failures, limits.rest);
        let name = name.to_owned();
        let inner = Inner {
            runtime,
            name,
            place,
            dialect,
            operators,
            limits,
            turns,
            health,
            seen: Mutex::new(None),
            no_conditions: AtomicBool::new(false),
        };
        Ok(Self { inner: Arc::new(inner) })
    }
}

/// A file's name in the store.
pub(crate) fn key(path: &FilePath) -> Result<&str, String> {
    let key = std::str::from_utf8(path.as_bytes())
        .map_err(|_| "its name is not UTF-8, and names in this kind of copy are text".to_owned())?;
    let why = if key.len() > LONGEST_KEY {
        "its path is longer than the 1,024 bytes that a store takes"
    } else if key.trim() != key {
        "its path begins or ends with a space, which this kind of copy does not keep"
    } else if key.chars().any(char::is_control) {
        "its name has control characters, which a store cannot list"
    } else {
        return Ok(key);
    };
    Err(why.to_owned())
}

impl Inner {
    /// Blocks this thread, which must be none that runs async tasks.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Waits for a turn and asks, unless the store is being left alone. Blocks.
    pub(crate) fn ask<T>(
        &self,
        question: impl Future<Output = opendal::Result<T>>,
    ) -> Result<(T, OwnedSemaphorePermit), Trouble> {
        self.health.check().map_err(Trouble::Gone)?;
        let turn = self.turn()?;
        let answer = self.block_on(question);
        self.learn(answer).map(|answer| (answer, turn))
    }

    fn turn(&self) -> Result<OwnedSemaphorePermit, Trouble> {
        let patience = self.limits.step * (self.limits.retries as u32 + 1);
        let turn = async { tokio::time::timeout(patience, Arc::clone(&self.turns).acquire_owned()).await };
        match self.block_on(turn) {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Trouble::Failed("too many requests to this copy are under way".into())),
        }
    }

    /// What an answer says of the store's health, and in whose words its error is.
    pub(crate) fn learn<T>(&self, answer: opendal::Result<T>) -> Result<T, Trouble> {
        match answer {
            Ok(answer) => {
                self.health.good();
                Ok(answer)
            }
            Err(error) => {
                let trouble = Trouble::of(&error, self);
                match &trouble {
                    Trouble::Failed(why) | Trouble::Gone(why) => self.health.bad(why),
                    _ => self.health.good(),
                }
                Err(trouble)
            }
        }
    }

    /// A file's trouble, told from the whole copy's.
    pub(crate) fn fault(&self, trouble: Trouble) -> SourceFault {
        match trouble {
            Trouble::Gone(why) => SourceFault::Gone(why),
            Trouble::NotThere => match self.seen() {
                Ok(()) => SourceFault::NotFound,
                Err(gone) => gone,
            },
            Trouble::Denied(why) | Trouble::Changed(why) => match self.seen() {
                Ok(()) => SourceFault::Io(why),
                Err(gone) => gone,
            },
            Trouble::Failed(why) => SourceFault::Io(why),
        }
    }

    /// The store is there now, or was a moment ago.
    fn seen(&self) -> Result<(), SourceFault> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.is_some_and(|seen| seen.elapsed() < SEEN_HOLDS) {
            true => Ok(()),
            false => self.look(),
        }
    }

    fn look(&self) -> Result<(), SourceFault> {
        self.health.check().map_err(SourceFault::Gone)?;
        let operator = &self.operators.look;
        let looked = self.block_on(async {
            // A list of a WebDAV folder that is gone is empty: only its own properties tell.
            match self.operators.folder.as_str() {
                "" => operator.check().await,
                folder => operator.stat(folder).await.map(drop),
            }
        });
        match looked {
            Ok(()) => {
                *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                Ok(())
            }
            Err(error) => Err(SourceFault::Gone(match Trouble::of(&error, self) {
                Trouble::NotThere => format!("there is no folder {}; make it", self.place),
                trouble => trouble.into_words(),
            })),
        }
    }
}

impl Source for ObjectCopy {
    fn name(&self) -> &str {
        &self.inner.name
    }

    fn stat(&self, path: &FilePath) -> Result<SourceStat, SourceFault> {
        let key = key(path).map_err(SourceFault::Io)?;
        let answer = self.inner.ask(self.inner.operators.ask.stat(key));
        answer.map(|(metadata, _)| stat_of(&metadata)).map_err(|trouble| self.inner.fault(trouble))
    }

    fn open(&self, path: &FilePath) -> Result<Opened, SourceFault> {
        self.open_at(path, 0)
    }

    fn open_at(&self, path: &FilePath, offset: u64) -> Result<Opened, SourceFault> {
        let key = key(path).map_err(SourceFault::Io)?;
        let operator = &self.inner.operators.ask;
        // The first answer brings the size along: no question before it.
        let opening = async {
            let mut stream = operator.reader(key).await?.into_stream(offset..).await?;
            match stream.metadata().await {
                Ok(metadata) => Ok(Some((stream, metadata))),
                Err(error) if error.kind() == opendal::ErrorKind::RangeNotSatisfied => Ok(None),
                Err(error) => Err(error),
            }
        };
        let (opened, turn) = self.inner.ask(opening).map_err(|trouble| self.inner.fault(trouble))?;
        let Some((stream, metadata)) = opened else {
            return Ok(Opened::plain(Box::new(io::empty())));
        };
        let inner = Arc::clone(&self.inner);
        let reader = ObjectReader { inner, stream, current: Buffer::new(), _turn: turn };
        let mut opened = Opened::plain(Box::new(reader));
        opened.size = Some(metadata.content_length());
        Ok(opened)
    }

    fn list(&self, visit: &mut dyn FnMut(Holding) -> ControlFlow<()>) -> Result<(), SourceFault> {
        let fault = |trouble| self.inner.fault(trouble);
        let options = ListOptions { recursive: true, limit: Some(1000), ..ListOptions::default() };
        let listing = self.inner.operators.ask.lister_options("/", options);
        let (mut lister, _turn) = self.inner.ask(listing).map_err(fault)?;
        while let Some(entry) = self.inner.block_on(lister.next()) {
            let (path, metadata) = self.inner.learn(entry).map_err(fault)?.into_parts();
            if !metadata.is_file() || path.ends_with('/') {
                continue;
            }
            let Ok(path) = FilePath::new(path) else { continue };
            if visit(Holding { path, stat: stat_of(&metadata) }).is_break() {
                return Ok(());
            }
        }
        self.reachable()
    }

    fn store(self: Arc<Self>) -> Option<Arc<dyn Store>> {
        Some(self)
    }

    fn parallel(&self) -> RangeInclusive<usize> {
        let most = self.inner.limits.at_once.max(1);
        most.min(4)..=most
    }

    fn reachable(&self) -> Result<(), SourceFault> {
        self.inner.look()
    }
}

pub(crate) fn stat_of(metadata: &Metadata) -> SourceStat {
    let kept = |key| metadata.user_metadata().and_then(|kept| kept.get(key).map(str::to_owned));
    let own_mtime = kept(MTIME_KEY).and_then(|text| text.parse().ok());
    SourceStat {
        size: metadata.content_length(),
        mtime_ns: own_mtime.or_else(|| kept(OTHERS_MTIME_KEY).and_then(|text| nanoseconds(&text))),
        digest: kept(DIGEST_KEY).and_then(|text| digest_of(&text)),
    }
}

/// `1700000000.25`, in nanoseconds.
fn nanoseconds(seconds: &str) -> Option<i64> {
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let fraction: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let whole = whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?;
    whole.checked_add(if seconds.starts_with('-') { -fraction } else { fraction })
}

fn digest_of(text: &str) -> Option<Digest> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(Digest(bytes))
}

/// The bytes of one object. Where the connection is cut, opendal asks again from there on.
struct ObjectReader {
    inner: Arc<Inner>,
    stream: BufferStream,
    current: Buffer,
    _turn: OwnedSemaphorePermit,
}

impl Read for ObjectReader {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.inner.runtime.block_on(self.stream.next()) {
                Some(next) => {
                    let next = self.inner.learn(next);
                    self.current = next.map_err(|trouble| io::Error::other(trouble.into_words()))?;
                }
                None => return Ok(0),
            }
        }
        let count = room.len().min(self.current.len());
        self.current.copy_to_slice(&mut room[..count]);
        Ok(count)
    }
}

#[cfg(test)]
#[path = "object_tests.rs"]
mod tests;
