//! A large file on its way out, in chunks. A source that breaks off, or falls silent, in the midst of a file that the catalogue knows
//! is followed by the next one, which goes on where it was.
//!
//! Invariant: of a file that goes out whole the last chunk is kept back until all bytes were found right; else the answer breaks off,
//! so that nobody takes it for complete.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Error, Read, Seek, SeekFrom};
use std::path::Path;

use axum::body::{Body, Bytes};
use futures_util::stream;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use salvor_domain::gateway::range::Part;
use salvor_domain::path::FilePath;
use salvor_engine::{ReadFault, Root};
use tokio::sync::mpsc;

use super::cache::Follower;
use super::find::{Content, Found, Stamp};
use super::lane::Miss;
use super::rows::Key;
use super::{Gateway, REMOTE, Source};

/// Bytes of one read.
pub const CHUNK: u64 = 256 * 1024;
/// Chunks that are read ahead of a slow client.
const AHEAD: usize = 2;

/// What goes out of a file: text before each part, and after the last one.
pub struct Layout {
    pub parts: Vec<(Bytes, Part)>,
    pub end: Bytes,
}

pub struct Flow {
    gateway: Gateway,
    key: Key,
    found: Found,
    /// Those that may be asked, the one that gives now first.
    sources: VecDeque<Source>,
    reader: Option<Reader>,
    /// Of the primary's file, as it was when the answer began.
    stamp: Option<Stamp>,
    /// Of what was read, where all of it goes out and has to be right.
    hasher: Option<blake3::Hasher>,
    /// More than one source gave it.
    is_mixed: bool,
}

/// An answer that has begun.
pub struct Begun {
    pub source: Source,
    /// The first of it.
    pub chunk: Bytes,
    pub body: Body,
    /// Seconds since it was fetched, where it comes from the cache.
    pub age: Option<u64>,
}

/// An open file, at a place in it.
struct Reader {
    at: u64,
    held: Held,
}

enum Held {
    Primary(File),
    Copy(Box<dyn Read + Send>),
    Cached(Follower),
}

impl Flow {
    /// All of a file, verified, from the copies that hold it.
    pub fn of_copies(gateway: &Gateway, key: Key, found: Found) -> Self {
        let known = found.entry.as_ref().and_then(|entry| entry.known);
        let sources = known.map(|known| gateway.holders(&key, &known).into()).unwrap_or_default();
        let hasher = Some(blake3::Hasher::new());
        Self {
            gateway: gateway.clone(),
            key,
            found,
            sources,
            reader: None,
            stamp: None,
            hasher,
            is_mixed: false,
        }
    }

    /// Reads the first chunk; gives its source, the chunk, and the body that goes on with it.
    pub async fn begin(gateway: &Gateway, key: Key, mut found: Found, layout: Layout) -> Result<Begun, Miss> {
        let known = found.entry.as_ref().and_then(|entry| entry.known);
        let mut sources: VecDeque<Source> =
            known.map(|known| gateway.holders(&key, &known).into()).unwrap_or_default();
        let (mut reader, mut stamp) = (None, None);
        if let Content::Open { file, stamp: seen } = std::mem::replace(&mut found.content, Content::InCopies)
        {
            sources.push_front(Source::Primary);
            reader = Some(Reader { at: 0, held: Held::Primary(file) });
            stamp = Some(seen);
        }
        let mut age = None;
        let first = layout.parts.first().map_or(Part { first: 0, last: 0 }, |(_, part)| *part);
        let is_whole = layout.parts.len() == 1 && first.len() == found.size;
        if reader.is_none()
            && let (Some(from), Some(entry)) = (sources.front().copied(), &found.entry)
            && let Some(follower) = gateway.cached(&key, entry, from, is_whole).await
        {
            age = Some(follower.age());
            sources.push_front(Source::Cache);
            reader = Some(Reader { at: 0, held: Held::Cached(follower) });
        }
        let is_proven =
            matches!((&found.entry, stamp), (Some(entry), Some(stamp)) if entry.is_proven(stamp.ctime_ns));
        let hasher = (is_whole && known.is_some() && !is_proven).then(blake3::Hasher::new);
        let mut flow =
            Self { gateway: gateway.clone(), key, found, sources, reader, stamp, hasher, is_mixed: false };
        let chunk = flow.read(first.first, CHUNK.min(first.len())).await?;
        flow.is_mixed = false;
        let source = flow.sources.front().copied().ok_or(Miss::Absent)?;
        let (tell, mut told) = mpsc::channel(AHEAD);
        gateway.flows.spawn(flow.pump(chunk.clone(), layout, tell));
        let body = Body::from_stream(stream::poll_fn(move |context| told.poll_recv(context)));
        Ok(Begun { source, chunk, body, age: age.filter(|_| source == Source::Cache) })
    }

    async fn pump(mut self, first: Bytes, layout: Layout, tell: mpsc::Sender<Result<Bytes, Error>>) {
        let mut first = Some(first);
        let mut sent = 0;
        for (head, part) in layout.parts {
            if !head.is_empty() && tell.send(Ok(head)).await.is_err() {
                return;
            }
            let mut at = part.first;
            while at <= part.last {
                let len = CHUNK.min(part.last - at + 1);
                let chunk = match first.take() {
                    Some(chunk) => Ok(chunk),
                    None => self.read(at, len).await,
                };
                at += len;
                let chunk =
                    chunk.and_then(
                        |chunk| if at > part.last { self.is_right().map(|()| chunk) } else { Ok(chunk) },
                    );
                sent += len;
                let is_over = chunk.is_err();
                let chunk = chunk.map_err(|miss| Error::other(format!("{miss:?}")));
                if tell.send(chunk).await.is_err() || is_over {
                    return;
                }
            }
        }
        if !layout.end.is_empty() && tell.send(Ok(layout.end)).await.is_err() {
            return;
        }
        self.gave(sent);
    }

    /// So many bytes went out.
    pub fn gave(&self, bytes: u64) {
        if let Some(source) = self.sources.front() {
            self.gateway.sites[self.key.volume].lane(*source).gave(bytes);
        }
    }

    /// All that was read is what the catalogue knows; else its source is blamed, where it was one alone.
    pub fn is_right(&mut self) -> Result<(), Miss> {
        let known = self.found.entry.as_ref().and_then(|entry| entry.known);
        let (Some(hasher), Some(known)) = (self.hasher.take(), known) else { return Ok(()) };
        let source = self.sources.front().copied();
        if hasher.finalize().as_bytes() == &known.digest.0 {
            if let (Some(Source::Primary), Some(stamp), Some(entry)) = (source, self.stamp, &self.found.entry)
            {
                entry.prove(stamp.ctime_ns);
            }
            return Ok(());
        }
        let why = "its bytes are not the catalogue's";
        if let Some(source) = source.filter(|_| !self.is_mixed) {
            self.gateway.sites[self.key.volume]
                .lane(source)
                .counts
                .wrong
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            match source {
                Source::Cache => self.gateway.uncache(&self.key, &known),
                source => self.gateway.blame(&self.key, source, why.to_owned()),
            }
        }
        Err(Miss::Wrong(why.to_owned()))
    }

    /// `len` bytes from `at` on, of the first source that gives them.
    pub async fn read(&mut self, at: u64, len: u64) -> Result<Bytes, Miss> {
        let mut why = Miss::Absent;
        while let Some(source) = self.sources.front().copied() {
            match self.read_of(source, at, len).await {
                Ok(chunk) => return Ok(chunk),
                Err(miss) => {
                    tracing::debug!(?miss, ?source, path = %self.key.path, at, "the next source goes on");
                    why = miss;
                    self.reader = None;
                    self.is_mixed = true;
                    self.sources.pop_front();
                }
            }
        }
        Err(why)
    }

    async fn read_of(&mut self, source: Source, at: u64, len: u64) -> Result<Bytes, Miss> {
        let gateway = self.gateway.clone();
        let site = &gateway.sites[self.key.volume];
        let hasher = self.hasher.clone();
        let is_kept = |reader: &Reader| reader.at == at || !matches!(reader.held, Held::Copy(_));
        let path = self.key.path.clone();
        let read = move |mut reader: Reader| {
            let chunk = reader.read(at, len)?;
            let hasher = hasher.map(|mut hasher| {
                hasher.update(&chunk);
                hasher
            });
            Ok((reader, hasher, Bytes::from(chunk)))
        };
        let done = match (self.reader.take().filter(is_kept), source) {
            (Some(mut reader), _) => {
                if let Held::Cached(follower) = &mut reader.held {
                    // Others may wait for the same file: no thread is kept for that.
                    let comes = tokio::time::timeout(REMOTE, follower.reaches(at + len, self.found.size));
                    comes.await.unwrap_or(Err(Miss::Silent))?;
                }
                site.lane(source).ask(async |turn| turn.work(move || read(reader)).await).await
            }
            (None, Source::Primary) => {
                let (volume, stamp) = (site.path.clone(), self.stamp);
                let open = move || read(Reader::of_primary(&volume, &path, stamp)?);
                site.primary.ask(async |turn| turn.work(open).await).await
            }
            (None, Source::Cache) => return Err(Miss::Absent),
            (None, Source::Copy(_)) => {
                let open = move |copy: &dyn salvor_engine::Source| {
                    let held = Held::Copy(copy.open_at(&path, at)?.reader);
                    read(Reader { at, held })
                };
                gateway.ask_copy(site, source, open).await
            }
        };
        let (reader, hasher, chunk) = done?;
        (self.reader, self.hasher) = (Some(reader), hasher);
        Ok(chunk)
    }
}

impl Reader {
    fn of_primary(volume: &Path, path: &FilePath, stamp: Option<Stamp>) -> Result<Self, Miss> {
        let root = Root::open(volume).map_err(|why| Miss::Broken(why.to_string()))?;
        let (file, stat) = root.open_file(path).map_err(|why| Miss::Broken(why.to_string()))?;
        if stamp.is_some_and(|stamp| (stamp.size, stamp.mtime_ns) != (stat.size, stat.mtime_ns)) {
            return Err(Miss::Broken(ReadFault::ChangedWhileRead.to_string()));
        }
        Ok(Self { at: 0, held: Held::Primary(file) })
    }

    /// Exactly `len` bytes.
    fn read(&mut self, at: u64, len: u64) -> Result<Vec<u8>, Miss> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let mut chunk = Vec::with_capacity(len);
        match &mut self.held {
            Held::Primary(file) => {
                if self.at != at {
                    file.seek(SeekFrom::Start(at)).map_err(broken)?;
                }
                while chunk.len() < len {
                    match rustix::io::read(&*file, spare_capacity(&mut chunk)) {
                        Ok(0) => return Err(Miss::Broken(ReadFault::ChangedWhileRead.to_string())),
                        Ok(_) | Err(Errno::INTR) => {}
                        Err(errno) => return Err(Miss::Broken(ReadFault::Io(errno).to_string())),
                    }
                }
                chunk.truncate(len);
                self.at = at + chunk.len() as u64;
            }
            Held::Cached(follower) => chunk = follower.read(at, len)?,
            Held::Copy(reader) => {
                chunk.resize(len, 0);
                reader.read_exact(&mut chunk).map_err(broken)?;
                self.at = at + len as u64;
            }
        }
        Ok(chunk)
    }
}

fn broken(error: Error) -> Miss {
    Miss::Broken(error.to_string())
}
