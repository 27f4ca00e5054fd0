//! A copy on an SFTP server: several connections, many requests under way on each, opened anew when they break.
//!
//! Invariants: "there is no such file" is believed only while the copy's own folder is there, so that a copy that was
//! unmounted has lost nothing; a read that was cut goes on where it was, in the same version of the file or not at all; and
//! a server that is away costs one attempt to connect every few seconds, whoever asks.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use salvor_domain::path::FilePath;
use salvor_engine::{Holding, Opened, Source, SourceFault, SourceStat};

use crate::place::SftpPlace;
use crate::runtime::{runtime, wait};
use crate::sftp_lane::{Broken, Lane, LaneUse, Patience, Pending, unexpected};
use crate::sftp_list;
use crate::sftp_login::Refusal;
use crate::sftp_wire::{self as wire, Attrs, Kind, Reply};

/// Connections at most; each is served by a process of its own on the other side.
const MOST_LANES: usize = 4;
/// Files on one connection before another is opened.
const FILES_A_LANE: usize = 3;
/// Bytes asked for at once: what every server gives.
const CHUNK: u32 = 32 << 10;
/// Requests under way for one file: a megabyte, so that 20 MB/s come over 50 ms.
const AHEAD: usize = 32;
/// How often something is begun again after the connection broke under it, and for how long.
const ATTEMPTS: u32 = 4;
const GIVE_UP: Duration = Duration::from_secs(45);
/// How long a server that refused is left alone.
const AWAY: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct SftpSource {
    name: String,
    pool: Arc<Pool>,
}

impl SftpSource {
    /// Connects to nothing yet.
    pub fn new(name: impl Into<String>, place: SftpPlace) -> Self {
        Self::with_patience(name, place, Patience::default())
    }

    pub(crate) fn with_patience(name: impl Into<String>, place: SftpPlace, patience: Patience) -> Self {
        let state = Mutex::new(State::default());
        let pool = Pool { place: Arc::new(place), patience, state, connecting: tokio::sync::Mutex::new(()) };
        Self { name: name.into(), pool: Arc::new(pool) }
    }
}

impl Source for SftpSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn stat(&self, path: &FilePath) -> Result<SourceStat, SourceFault> {
        let at = self.pool.at(path);
        let attrs = wait(self.pool.ask(async |lane| {
            Ok(match lane.send(|id| wire::lstat(id, &at)).reply().await? {
                Reply::Attrs(attrs) => file(&attrs).map(|()| attrs),
                other => Err(unexpected(&other)),
            })
        }))?;
        Ok(SourceStat { size: attrs.size.unwrap_or(0), mtime_ns: attrs.mtime_ns(), digest: None })
    }

    fn open(&self, path: &FilePath) -> Result<Opened, SourceFault> {
        self.open_at(path, 0)
    }

    fn open_at(&self, path: &FilePath, offset: u64) -> Result<Opened, SourceFault> {
        let at = self.pool.at(path);
        let (attrs, open) = wait(self.pool.ask(async |lane| open_file(lane, &at).await))?;
        let mut reader = Reader {
            pool: self.pool.clone(),
            path: at,
            attrs,
            next: offset,
            asked: offset,
            open: Some(open),
            due: VecDeque::new(),
            ready: Bytes::new(),
            ended: false,
            breaks: 0,
            broken_since: None,
        };
        // Under way before anybody reads: one round trip less for a small file.
        reader.ask_ahead();
        let mode = attrs.mode.map(|mode| mode & 0o7777);
        Ok(Opened { size: attrs.size, mode, ..Opened::plain(Box::new(reader)) })
    }

    fn list(&self, visit: &mut dyn FnMut(Holding) -> ControlFlow<()>) -> Result<(), SourceFault> {
        sftp_list::list(&self.pool, visit)
    }

    fn parallel(&self) -> RangeInclusive<usize> {
        1..=MOST_LANES * 4
    }

    /// A silence, and all that is tried after it.
    fn patience(&self) -> Duration {
        (self.pool.patience.silence + self.pool.patience.connect * 4) * 2 + GIVE_UP
    }

    fn reachable(&self) -> Result<(), SourceFault> {
        wait(self.pool.reachable())
    }
}

/// The connections to one server.
pub(crate) struct Pool {
    pub(crate) place: Arc<SftpPlace>,
    patience: Patience,
    state: Mutex<State>,
    /// Held by whoever connects: one at a time.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    lanes: Vec<Arc<Lane>>,
    /// Until when no new connection is tried, and why.
    away: Option<(Instant, String)>,
    /// When the copy's folder was last seen.
    folder_seen: Option<Instant>,
}

impl Pool {
    /// The path on the server.
    fn at(&self, path: &FilePath) -> Vec<u8> {
        self.beneath(path.as_bytes())
    }

    pub(crate) fn beneath(&self, path: &[u8]) -> Vec<u8> {
        let root = self.place.root.as_bytes();
        match (root, path) {
            (b"", b"") => b".".to_vec(),
            (b"", path) => path.to_vec(),
            (root, b"") => root.to_vec(),
            ([.., b'/'], path) => [root, path].concat(),
            (root, path) => [root, b"/", path].concat(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something on a connection, anew on another one if that breaks.
    pub(crate) async fn ask<T>(
        &self,
        work: impl AsyncFn(&LaneUse) -> Result<Result<T, SourceFault>, Broken>,
    ) -> Result<T, SourceFault> {
        let (mut why, began) = (String::new(), Instant::now());
        for attempt in 0..ATTEMPTS {
            if began.elapsed() > GIVE_UP {
                break;
            }
            pause(attempt).await;
            let lane = self.lane().await?;
            match work(&lane).await {
                Ok(Err(SourceFault::NotFound)) => return Err(self.not_found().await),
                Ok(done) => return done,
                Err(Broken(broken)) => {
                    lane.kill(&broken);
                    why = broken;
                }
            }
        }
        Err(SourceFault::Gone(format!("the connection broke again and again, at last: {why}")))
    }

    /// A file is missing from a copy that is there; a copy that is not there is gone.
    async fn not_found(&self) -> SourceFault {
        /// A thousand missing files need not ask a thousand times.
        const FRESH: Duration = Duration::from_secs(2);
        if self.state().folder_seen.is_some_and(|seen| seen.elapsed() < FRESH) {
            return SourceFault::NotFound;
        }
        Box::pin(self.reachable()).await.err().unwrap_or(SourceFault::NotFound)
    }

    async fn reachable(&self) -> Result<(), SourceFault> {
        let root = self.beneath(b"");
        let gone = |why: &str| {
            SourceFault::Gone(format!("the folder {} on {}: {why}", self.place.root, self.place.host))
        };
        self.state().folder_seen = None;
        self.ask(async |lane| {
            Ok(match lane.send(|id| wire::stat(id, &root)).reply().await? {
                Reply::Attrs(attrs) if matches!(attrs.kind(), None | Some(Kind::Folder)) => Ok(()),
                Reply::Attrs(_) => Err(gone("it is not a folder")),
                Reply::Status(status) if status.code == wire::NO_SUCH_FILE => {
                    Err(gone("there is no such folder"))
                }
                Reply::Status(status) => Err(gone(&status.words())),
                other => Err(unexpected(&other)),
            })
        })
        .await?;
        self.state().folder_seen = Some(Instant::now());
        Ok(())
    }

    /// The connection with the fewest users; another one where all are busy.
    async fn lane(&self) -> Result<LaneUse, SourceFault> {
        loop {
            let living = match self.choose() {
                Choice::Take(lane) => return Ok(lane),
                Choice::Away(why) => return Err(SourceFault::Gone(why)),
                Choice::Connect(living) => living,
            };
            let turn = match (self.connecting.try_lock(), living) {
                (Ok(turn), living) => (turn, living),
                // Somebody connects already.
                (Err(_), Some(lane)) => return Ok(lane),
                (Err(_), None) => {
                    drop(self.connecting.lock().await);
                    continue;
                }
            };
            match (self.connect(turn.1.is_some()).await, turn.1) {
                (Ok(lane), _) => {
                    let mut state = self.state();
                    state.lanes.push(lane.clone());
                    return Ok(LaneUse::of(&lane));
                }
                (Err(why), living) => {
                    self.state().away = Some((Instant::now() + AWAY, why.clone()));
                    return living.ok_or(SourceFault::Gone(why));
                }
            }
        }
    }

    fn choose(&self) -> Choice {
        let mut state = self.state();
        state.lanes.retain(|lane| lane.is_alive());
        let least = state.lanes.iter().min_by_key(|lane| lane.users());
        let away = state.away.as_ref().filter(|(until, _)| Instant::now() < *until);
        match (least, away) {
            (Some(lane), away) => {
                let enough = lane.users() < FILES_A_LANE || state.lanes.len() >= MOST_LANES || away.is_some();
                let lane = LaneUse::of(lane);
                if enough { Choice::Take(lane) } else { Choice::Connect(Some(lane)) }
            }
            (None, Some((_, why))) => Choice::Away(why.clone()),
            (None, None) => Choice::Connect(None),
        }
    }

    /// Patiently where nothing else is there: a server that was restarted is back in a moment.
    async fn connect(&self, others: bool) -> Result<Arc<Lane>, String> {
        let attempts = if others { 1 } else { 3 };
        let mut refused = String::new();
        for attempt in 0..attempts {
            pause(attempt).await;
            match Lane::connect(&self.place, self.patience).await {
                Ok(lane) => return Ok(Arc::new(lane)),
                Err(Refusal::Final(why)) => return Err(why),
                Err(passing) => refused = passing.into_words(),
            }
        }
        Err(refused)
    }
}

enum Choice {
    Take(LaneUse),
    /// With one to fall back on.
    Connect(Option<LaneUse>),
    Away(String),
}

/// Between attempts: 0, 0.2, 0.8, 3.2 s.
async fn pause(attempt: u32) {
    if let Some(power) = attempt.checked_sub(1) {
        tokio::time::sleep(Duration::from_millis(200) * 4_u32.pow(power)).await;
    }
}

fn file(attrs: &Attrs) -> Result<(), SourceFault> {
    let what = match attrs.kind() {
        None | Some(Kind::File) => return Ok(()),
        Some(Kind::Folder) => "a folder",
        Some(Kind::Symlink) => "a symbolic link",
        Some(Kind::Other) => "something that is no file",
    };
    Err(SourceFault::Io(format!("{what} stands where the file should be")))
}

/// A file that is open on the server.
struct Open {
    lane: LaneUse,
    handle: Bytes,
}

impl Drop for Open {
    fn drop(&mut self) {
        // Nobody waits for the answer.
        drop(self.lane.send(|id| wire::close(id, &self.handle)));
    }
}

/// Looks and opens at once, in one round trip. A link is not followed.
async fn open_file(lane: &LaneUse, path: &[u8]) -> Result<Result<(Attrs, Open), SourceFault>, Broken> {
    let looked = lane.send(|id| wire::lstat(id, path));
    let opened = lane.send(|id| wire::open(id, path));
    let attrs = match looked.reply().await? {
        Reply::Attrs(attrs) => file(&attrs).map(|()| attrs),
        other => Err(unexpected(&other)),
    };
    let open = match opened.reply().await? {
        Reply::Handle(handle) => Ok(Open { lane: lane.again(), handle }),
        other => Err(unexpected(&other)),
    };
    Ok(attrs.and_then(|attrs| Ok((attrs, open?))))
}

struct Reader {
    pool: Arc<Pool>,
    /// On the server.
    path: Vec<u8>,
    /// As it was when it was opened.
    attrs: Attrs,
    /// Where the next byte comes from that was not handed out.
    next: u64,
    /// Where the next request begins.
    asked: u64,
    open: Option<Open>,
    due: VecDeque<Due>,
    ready: Bytes,
    ended: bool,
    /// Breaks since the last byte, and when the first of them was.
    breaks: u32,
    broken_since: Option<Instant>,
}

/// A piece that was asked for.
struct Due {
    offset: u64,
    length: u32,
    answer: Pending,
}

impl Read for Reader {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if room.is_empty() {
            return Ok(0);
        }
        if self.ready.is_empty() && !self.ended {
            let runtime = runtime().map_err(io::Error::other)?;
            self.ready = runtime.block_on(self.piece())?;
        }
        let length = self.ready.len().min(room.len());
        self.ready.copy_to_slice(&mut room[..length]);
        Ok(length)
    }
}

impl Reader {
    /// The next bytes; empty at the end.
    async fn piece(&mut self) -> io::Result<Bytes> {
        loop {
            if self.open.is_none() {
                self.reopen().await?;
            }
            self.ask_ahead();
            let Some(due) = self.due.pop_front() else {
                self.ended = true;
                return Ok(Bytes::new());
            };
            match due.answer.reply().await {
                Ok(Reply::Data(bytes)) if !bytes.is_empty() && bytes.len() <= due.length as usize => {
                    (self.breaks, self.broken_since) = (0, None);
                    self.next = due.offset + bytes.len() as u64;
                    self.ask_rest(due.offset, due.length, bytes.len() as u32);
                    return Ok(bytes);
                }
                Ok(Reply::Status(status)) if status.code == wire::EOF => {
                    self.ended = true;
                    return Ok(Bytes::new());
                }
                Ok(other) => return Err(io::Error::other(unexpected(&other).to_string())),
                Err(broken) => self.broke(broken)?,
            }
        }
    }

    /// A server may give less than was asked for; the rest comes before what was asked for later.
    fn ask_rest(&mut self, offset: u64, length: u32, given: u32) {
        if given < length
            && let Some(Open { lane, handle }) = &self.open
        {
            let (offset, length) = (offset + u64::from(given), length - given);
            let answer = lane.send(|id| wire::read(id, handle, offset, length));
            self.due.push_front(Due { offset, length, answer });
        }
    }

    fn ask_ahead(&mut self) {
        let Some(Open { lane, handle }) = &self.open else { return };
        let size = self.attrs.size.unwrap_or(u64::MAX);
        while self.due.len() < AHEAD && self.asked < size {
            let offset = self.asked;
            let length = u32::try_from(size - offset).map_or(CHUNK, |left| left.min(CHUNK));
            let answer = lane.send(|id| wire::read(id, handle, offset, length));
            self.due.push_back(Due { offset, length, answer });
            self.asked += u64::from(length);
        }
    }

    fn broke(&mut self, Broken(why): Broken) -> io::Result<()> {
        self.breaks += 1;
        self.due.clear();
        self.asked = self.next;
        if let Some(open) = self.open.take() {
            open.lane.kill(&why);
        }
        let since = *self.broken_since.get_or_insert_with(Instant::now);
        if self.breaks >= ATTEMPTS || since.elapsed() > GIVE_UP {
            return Err(io::Error::other(format!("the connection broke again and again, at last: {why}")));
        }
        Ok(())
    }

    async fn reopen(&mut self) -> io::Result<()> {
        pause(self.breaks).await;
        let path = &self.path;
        let opened = self.pool.ask(async |lane| open_file(lane, path).await).await;
        let (attrs, open) = opened.map_err(|fault| io::Error::other(fault.to_string()))?;
        if (attrs.size, attrs.mtime) != (self.attrs.size, self.attrs.mtime) {
            return Err(io::Error::other("the file was changed on the copy while it was read"));
        }
        self.open = Some(open);
        Ok(())
    }
}

#[cfg(test)]
#[path = "sftp_tests.rs"]
mod tests;
