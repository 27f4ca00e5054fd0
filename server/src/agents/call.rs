//! One agent's connection, and the calls that are in its hands.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use salvor_engine::{FolderId, Stop};
use tokio::sync::{Notify, mpsc};

use super::store::NOTED_EVERY;
use super::wire::{Ask, AtWork, Call, Going, Orders, Part, Poll, SILENT, Told};
use super::{Duty, gone};
use crate::volumes::reach::Away;

/// Parts of one call that wait to be taken.
const WAITING: usize = 4;
/// How long a part waits for its place; then the agent brings it again.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often those who wait for a call look whether its agent is still there.
const LOOK: Duration = Duration::from_millis(500);

pub struct Connection {
    id: String,
    host: String,
    token: String,
    ended: AtomicBool,
    /// There is a call to be taken, or one to be given up.
    news: Notify,
    state: Mutex<State>,
}

struct State {
    /// When it asked last, or was answered.
    heard_at: Instant,
    /// It waits for an answer just now.
    polls: usize,
    /// It went away while it waited for one.
    hung_up: bool,
    noted_at: Option<Instant>,
    last_call: u64,
    /// Given to nobody yet, or the agent has not said so.
    new_calls: VecDeque<Call>,
    calls: HashMap<u64, Waiting>,
}

/// Somebody waits for what comes of a call.
struct Waiting {
    parts: mpsc::Sender<Told>,
    /// The number of the next part.
    next: u64,
    duty: Duty,
    files: u64,
    bytes: u64,
}

/// A call, for whoever waits for what comes of it. Dropped, it is given up.
pub struct Talk {
    connection: Arc<Connection>,
    id: u64,
    parts: mpsc::Receiver<Told>,
    is_over: bool,
}

/// An agent waits for an answer.
pub struct Present {
    connection: Arc<Connection>,
    is_answered: bool,
}

impl Connection {
    pub fn new(poll: &Poll, token: &str) -> Self {
        let state = State {
            heard_at: Instant::now(),
            polls: 0,
            hung_up: false,
            noted_at: None,
            last_call: 0,
            new_calls: VecDeque::new(),
            calls: HashMap::new(),
        };
        Self {
            id: poll.connection.clone(),
            host: poll.host.clone(),
            token: token.to_owned(),
            ended: AtomicBool::new(false),
            news: Notify::new(),
            state: Mutex::new(state),
        }
    }

    pub fn is(&self, id: &str, token: &str) -> bool {
        self.id == id && self.token == token
    }

    /// Ended, or silent for so long that it counts as ended.
    pub fn is_gone(&self) -> bool {
        if self.ended.load(Ordering::Relaxed) {
            return true;
        }
        let state = self.state();
        let is_silent = state.polls == 0 && state.heard_at.elapsed() > SILENT;
        drop(state);
        if is_silent {
            tracing::warn!(host = self.host, "the agent has gone silent");
            self.end();
        }
        is_silent
    }

    /// Surely there: another one that calls itself so is a second agent, not this one after a restart.
    pub fn is_there(&self) -> bool {
        !self.is_gone() && !self.state().hung_up
    }

    pub fn is_to_be_noted(&self) -> bool {
        let mut state = self.state();
        let is_due = state.noted_at.is_none_or(|at| at.elapsed() >= NOTED_EVERY);
        if is_due {
            state.noted_at = Some(Instant::now());
        }
        is_due
    }

    /// Whoever waits for a call learns that nothing more comes.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.state().calls.clear();
    }

    pub fn call(self: Arc<Self>, volume: &str, folder: Option<FolderId>, ask: Ask, duty: Duty) -> Talk {
        let (sender, parts) = mpsc::channel(WAITING);
        let mut state = self.state();
        state.last_call += 1;
        let id = state.last_call;
        let rates = duty.limit.rates();
        state.new_calls.push_back(Call { id, volume: volume.to_owned(), folder, ask, rates });
        // One that ended meanwhile is found out by the first look.
        state.calls.insert(id, Waiting { parts: sender, next: 0, duty, files: 0, bytes: 0 });
        drop(state);
        self.news.notify_one();
        Talk { connection: self, id, parts, is_over: false }
    }

    /// The agent asks: what it has heard of is not told again, and how far it is is counted.
    pub fn present(self: &Arc<Self>, poll: &Poll) -> Present {
        let mut state = self.state();
        (state.heard_at, state.hung_up) = (Instant::now(), false);
        state.polls += 1;
        state.new_calls.retain(|call| call.id > poll.heard);
        for at in &poll.at_work {
            if let Some(waiting) = state.calls.get_mut(&at.call) {
                waiting.count(at);
            }
        }
        drop(state);
        Present { connection: self.clone(), is_answered: false }
    }

    /// Comes back when there is something to tell.
    pub async fn news(&self) {
        if self.state().new_calls.is_empty() {
            self.news.notified().await;
        }
    }

    pub fn orders(&self, at_work: &[AtWork]) -> Orders {
        let state = self.state();
        let course = |at: &AtWork| match state.calls.get(&at.call) {
            Some(Waiting { duty, .. }) => {
                Going { call: at.call, stop: duty.control.stop(), rates: duty.limit.rates() }
            }
            None => Going { call: at.call, stop: Some(Stop::Cancel), rates: Duty::default().limit.rates() },
        };
        Orders {
            calls: state.new_calls.iter().cloned().collect(),
            courses: at_work.iter().map(course).collect(),
        }
    }

    /// Hands a part on to who waits for it, and gives the number of the one that is waited for now: a part that was told before, or
    /// found no place, is known by it. None when nobody waits.
    pub async fn told(&self, told: Told) -> Option<u64> {
        let (id, number) = (told.call, told.number);
        let parts = {
            let state = self.state();
            match state.calls.get(&id) {
                Some(waiting) if waiting.next == number => waiting.parts.clone(),
                Some(waiting) => return Some(waiting.next),
                None => return None,
            }
        };
        // Too many wait: it has to be brought again.
        let place = match tokio::time::timeout(PATIENCE, parts.reserve()).await {
            Ok(place) => place.ok()?,
            Err(_) => return Some(number),
        };
        let mut state = self.state();
        let waiting = state.calls.get_mut(&id)?;
        if waiting.next == number {
            waiting.next += 1;
            place.send(told);
        }
        Some(waiting.next)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Bytes of an attempt that came to nothing are taken back.
    fn count(&mut self, at: &AtWork) {
        let progress = &self.duty.progress;
        progress.add_files(at.files.saturating_sub(self.files));
        progress.add_bytes(at.bytes.saturating_sub(self.bytes));
        progress.take_back(self.bytes.saturating_sub(at.bytes));
        (self.files, self.bytes) = (at.files.max(self.files), at.bytes);
    }
}

impl Present {
    pub fn answered(&mut self) {
        self.is_answered = true;
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut state = self.connection.state();
        state.polls -= 1;
        state.heard_at = Instant::now();
        state.hung_up |= !self.is_answered;
    }
}

impl Talk {
    /// The next part of what comes of it; none after the last. The error is for people: what went wrong there, or that the agent
    /// is gone.
    pub async fn next(&mut self) -> Result<Option<Part>, Away> {
        let host = &self.connection.host;
        while !self.is_over {
            tokio::select! {
                told = self.parts.recv() => match told {
                    Some(Told { part: Part::Failed(why), .. }) => return Err(Away::Gone(format!("{host}: {why}"))),
                    Some(Told { part: Part::Silent(why), .. }) => return Err(Away::Silent(format!("{host}: {why}"))),
                    Some(told) => {
                        self.is_over = told.is_last;
                        return Ok(Some(told.part));
                    }
                    None => return Err(Away::Gone(gone(host))),
                },
                () = tokio::time::sleep(LOOK) => {}
            }
            if self.connection.is_gone() && self.parts.is_empty() {
                return Err(Away::Gone(gone(host)));
            }
        }
        Ok(None)
    }

    /// The only part.
    pub async fn only(mut self) -> Result<Part, Away> {
        let part = self.next().await?;
        part.ok_or_else(|| self.strange())
    }

    pub fn strange(&self) -> Away {
        strange(&self.connection.host)
    }
}

/// An agent of another version, or none at all.
pub fn strange(host: &str) -> Away {
    Away::Gone(format!(
        "the agent of {host} gave an answer to something else; does it have the server's version?"
    ))
}

impl Drop for Talk {
    fn drop(&mut self) {
        let mut state = self.connection.state();
        state.new_calls.retain(|call| call.id != self.id);
        if state.calls.remove(&self.id).is_some() {
            drop(state);
            self.connection.news.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
