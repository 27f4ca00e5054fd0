//! One connection to an SFTP server, with many requests under way at once.
//!
//! A task writes what is asked, another reads what is answered and hands each answer to who waits for it. A lane on which
//! somebody waits and nothing arrives for the time limit is dead, and all who wait are told; what was merely asked and then
//! not wanted any more costs nobody anything.

use std::collections::HashMap;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use russh::client::{self, Handle, Msg};
use russh::{ChannelStream, Preferred};
use salvor_engine::SourceFault;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::place::SftpPlace;
use crate::runtime::runtime;
use crate::sftp_login::{Doorkeeper, Refusal, algorithms, sign_in};
use crate::sftp_wire::{self as wire, Reply};

/// How long others are waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// To connect, shake hands and sign in.
    pub connect: Duration,
    /// For the next byte, while an answer is due.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), silence: Duration::from_secs(20) }
    }
}

/// No answer takes this many times the silence, however much else arrives meanwhile.
const LONGEST_ANSWER: u32 = 10;

/// The connection broke, or is no use any more.
#[derive(Debug, Clone)]
pub(crate) struct Broken(pub String);

pub(crate) struct Lane {
    requests: mpsc::UnboundedSender<Bytes>,
    waiting: Arc<Waiting>,
    next_id: AtomicU32,
    users: AtomicUsize,
    patience: Patience,
    tasks: [AbortHandle; 2],
    /// The session lives as long as both of these.
    _session: Handle<Doorkeeper>,
    _hold: Hold,
}

/// Holds a connection: dropped, it is over. russh keeps the socket in a task of its own, which hears of no handle that was
/// dropped while it waits for a server that takes nothing more; so this has the same socket, and shuts it down.
struct Hold(std::net::TcpStream);

impl Hold {
    fn on(socket: &TcpStream) -> std::io::Result<Self> {
        Ok(Self(socket.as_fd().try_clone_to_owned()?.into()))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // An error: it is over already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Who waits for which answer; once the lane is dead, why.
#[derive(Debug)]
struct Waiting(Mutex<Result<HashMap<u32, oneshot::Sender<Reply>>, String>>);

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Result<HashMap<u32, oneshot::Sender<Reply>>, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kill(&self, why: &str) {
        let mut waiting = self.lock();
        if waiting.is_ok() {
            *waiting = Err(why.to_owned());
        }
    }

    fn is_anybody(&self) -> bool {
        self.lock().as_ref().is_ok_and(|waiting| !waiting.is_empty())
    }
}

/// An answer that is due.
pub(crate) struct Pending {
    answer: oneshot::Receiver<Reply>,
    waiting: Arc<Waiting>,
    most: Duration,
}

impl Pending {
    pub(crate) async fn reply(self) -> Result<Reply, Broken> {
        match timeout(self.most, self.answer).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => {
                let why = self.waiting.lock().as_ref().err().cloned();
                Err(Broken(why.unwrap_or_else(|| "the connection broke".into())))
            }
            Err(_) => Err(Broken("the server left a request without an answer".into())),
        }
    }
}

impl Lane {
    /// Connects, looks at the host's key, signs in and starts SFTP.
    pub(crate) async fn connect(place: &Arc<SftpPlace>, patience: Patience) -> Result<Self, Refusal> {
        // What was said against the first key that was shown.
        let mut judged: Option<String> = None;
        for algorithms in algorithms(place) {
            let verdict = Arc::new(Mutex::new(None));
            let doorkeeper = Doorkeeper { place: place.clone(), verdict: verdict.clone() };
            let preferred = Preferred { key: algorithms.into(), ..Preferred::DEFAULT };
            let attempt = Self::attempt(place, doorkeeper, preferred, patience);
            let failed = match timeout(patience.connect, attempt).await {
                Ok(Ok(lane)) => return Ok(lane),
                Ok(Err(refusal)) => refusal,
                Err(_) => {
                    let seconds = patience.connect.as_secs_f64();
                    Refusal::Passing(format!("the server did not let us in within {seconds} s"))
                }
            };
            match verdict.lock().unwrap_or_else(PoisonError::into_inner).take() {
                Some(why) => drop(judged.get_or_insert(why)),
                None if judged.is_none() => return Err(failed),
                None => break,
            }
        }
        Err(Refusal::Final(judged.unwrap_or_else(|| "no kind of host key is supported".into())))
    }

    async fn attempt(
        place: &SftpPlace,
        doorkeeper: Doorkeeper,
        preferred: Preferred,
        patience: Patience,
    ) -> Result<Self, Refusal> {
        let passing = |what: &str, why: &dyn std::fmt::Display| Refusal::Passing(format!("{what}: {why}"));
        let socket = TcpStream::connect((place.host.as_str(), place.port))
            .await
            .map_err(|why| passing(&format!("no connection to {} port {}", place.host, place.port), &why))?;
        socket.set_nodelay(true).map_err(|why| passing("no connection", &why))?;
        let hold = Hold::on(&socket).map_err(|why| passing("no connection", &why))?;
        let config = client::Config {
            preferred,
            keepalive_interval: Some(Duration::from_secs(15)),
            keepalive_max: 3,
            ..client::Config::default()
        };
        let connected = client::connect_stream(Arc::new(config), socket, doorkeeper).await;
        let mut session = connected.map_err(|why| match why {
            russh::Error::NoCommonAlgo { kind: russh::AlgorithmKind::Key, theirs, .. } => {
                Refusal::Final(format!(
                    "the server has no host key of a kind that is supported (ed25519, ecdsa), only {}",
                    theirs.join(", ")
                ))
            }
            why => passing("the server does not speak SSH as it should", &why),
        })?;
        sign_in(place, &mut session).await?;
        let channel = session.channel_open_session().await;
        let channel = channel.map_err(|why| passing("the server opens no session", &why))?;
        let asked = channel.request_subsystem(true, "sftp").await;
        asked.map_err(|why| passing("the server has no SFTP", &why))?;
        let lane = Self::run((session, hold), channel.into_stream(), patience)?;
        match lane.send_first().reply().await {
            Ok(Reply::Version(version)) if version >= 3 => Ok(lane),
            Ok(Reply::Version(version)) => {
                Err(Refusal::Final(format!("the server speaks SFTP {version}; version 3 is needed")))
            }
            Ok(_) => Err(Refusal::Final("the server does not begin as SFTP servers do".into())),
            Err(Broken(why)) => Err(passing(
                "the server ends SFTP as soon as it began (is the subsystem set up there?)",
                &why,
            )),
        }
    }

    fn run(
        (session, hold): (Handle<Doorkeeper>, Hold),
        stream: ChannelStream<Msg>,
        patience: Patience,
    ) -> Result<Self, Refusal> {
        let runtime = runtime().map_err(|fault| Refusal::Final(fault.to_string()))?;
        let (incoming, outgoing) = tokio::io::split(stream);
        let (requests, queue) = mpsc::unbounded_channel();
        let waiting = Arc::new(Waiting(Mutex::new(Ok(HashMap::new()))));
        let reading = runtime.spawn(hand_out(incoming, waiting.clone(), patience.silence));
        let writing = runtime.spawn(send_all(outgoing, queue, waiting.clone()));
        let tasks = [reading.abort_handle(), writing.abort_handle()];
        let (next_id, users) = (AtomicU32::new(1), AtomicUsize::new(0));
        Ok(Self { requests, waiting, next_id, users, patience, tasks, _session: session, _hold: hold })
    }

    fn send_first(&self) -> Pending {
        self.asked(0, wire::init())
    }

    /// Asks for something; the answer is waited for with [`Pending::reply`].
    pub(crate) fn send(&self, request: impl FnOnce(u32) -> Bytes) -> Pending {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.asked(id, request(id))
    }

    fn asked(&self, id: u32, request: Bytes) -> Pending {
        let (sender, answer) = oneshot::channel();
        if let Ok(waiting) = self.waiting.lock().as_mut() {
            waiting.insert(id, sender);
            // Without a writer the lane is dead, and says so to all who wait.
            let _ = self.requests.send(request);
        }
        let most = self.patience.silence * LONGEST_ANSWER;
        Pending { answer, waiting: self.waiting.clone(), most }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.waiting.lock().is_ok()
    }

    pub(crate) fn kill(&self, why: &str) {
        self.waiting.kill(why);
    }

    pub(crate) fn users(&self) -> usize {
        self.users.load(Ordering::Relaxed)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// A lane in use: the pool spreads its users by their number.
pub(crate) struct LaneUse(Arc<Lane>);

impl LaneUse {
    pub(crate) fn of(lane: &Arc<Lane>) -> Self {
        lane.users.fetch_add(1, Ordering::Relaxed);
        Self(lane.clone())
    }

    /// One more use of the same lane.
    pub(crate) fn again(&self) -> Self {
        Self::of(&self.0)
    }
}

impl std::ops::Deref for LaneUse {
    type Target = Lane;

    fn deref(&self) -> &Lane {
        &self.0
    }
}

impl Drop for LaneUse {
    fn drop(&mut self) {
        self.0.users.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn send_all(
    mut outgoing: WriteHalf<ChannelStream<Msg>>,
    mut queue: mpsc::UnboundedReceiver<Bytes>,
    waiting: Arc<Waiting>,
) {
    while let Some(request) = queue.recv().await {
        if let Err(why) = outgoing.write_all(&request).await {
            return waiting.kill(&format!("the connection broke: {why}"));
        }
    }
}

async fn hand_out(mut incoming: ReadHalf<ChannelStream<Msg>>, waiting: Arc<Waiting>, silence: Duration) {
    /// The silence is measured in so many looks: it may last one of them longer, never shorter.
    const LOOKS: u32 = 4;
    let mut arrived = BytesMut::with_capacity(64 << 10);
    let mut silent = 0;
    let why = loop {
        arrived.reserve(32 << 10);
        match timeout(silence / LOOKS, incoming.read_buf(&mut arrived)).await {
            Err(_) if !waiting.is_anybody() => silent = 0,
            Err(_) if silent < LOOKS => silent += 1,
            Err(_) => break format!("the server sent nothing for {} s", silence.as_secs_f64()),
            Ok(Ok(0)) => break "the server closed the connection".to_owned(),
            Ok(Err(why)) => break format!("the connection broke: {why}"),
            Ok(Ok(_)) => {
                silent = 0;
                if let Err(why) = deliver(&mut arrived, &waiting) {
                    break why.to_owned();
                }
            }
        }
    };
    waiting.kill(&why);
}

fn deliver(arrived: &mut BytesMut, waiting: &Waiting) -> Result<(), &'static str> {
    while let Some((id, reply)) = wire::take(arrived)? {
        let who = waiting.lock().as_mut().ok().and_then(|waiting| waiting.remove(&id));
        if let Some(who) = who {
            // Who asked may have lost interest.
            let _ = who.send(reply);
        }
    }
    Ok(())
}

/// A fault about one file, from an answer that is no use.
pub(crate) fn unexpected(reply: &Reply) -> SourceFault {
    match reply {
        Reply::Status(status) if status.code == wire::NO_SUCH_FILE => SourceFault::NotFound,
        Reply::Status(status) => SourceFault::Io(status.words()),
        _ => SourceFault::Io("the server gave another answer than was asked for".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_connection_that_is_let_go_of_is_over_whoever_keeps_its_socket() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // As russh does while a server takes nothing: it neither reads nor writes, and does not close.
        let kept = runtime().unwrap().block_on(TcpStream::connect(address)).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        drop(Hold::on(&kept).unwrap());
        assert_eq!(server.read(&mut [0]).unwrap(), 0, "the server is told at once");
    }
}
