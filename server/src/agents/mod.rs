//! The agents that work for this process: volumes that lie on other hosts are walked, read and written there.
//!
//! The server is the head and the agent the hands: drivers, leases, the catalogue and all transactions stay here; what touches a volume's
//! folder is a *call* ([`wire::Ask`]) that the agent of its host carries out. Agents come to the server and ask for work
//! ([`Agents::poll`]), so that no port is open on a storage host. [`hand`] is the agent's side.
//!
//! What must always hold:
//! - a call ends: with what came of it, or as soon as its agent is known to be gone ([`wire::SILENT`]), never by waiting on;
//! - what is asked twice does no harm, since nobody knows how far a lost call came;
//! - an agent works for the host that its token reports for, and for no other;
//! - what waits at either end is bounded: a part is handed on before the next one is taken.

mod call;
pub mod hand;
pub mod http;
pub mod store;
pub mod wire;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use salvor_engine::{Control, FolderId, Progress, RateLimit};
use tokio::sync::Notify;

use self::call::Connection;
pub use self::call::{Talk, strange};
use self::wire::{Ask, HOLD, Orders, Poll, Taken, Told};
use crate::clock::random_hex;
use crate::volumes::reach::Away;

/// Cheap to clone; one for each process.
#[derive(Clone, Default)]
pub struct Agents(Arc<Mutex<HashMap<String, Arc<Connection>>>>);

/// What those who wait for a call share with it.
#[derive(Clone, Default)]
pub struct Duty {
    pub control: Control,
    pub progress: Progress,
    /// What the agent keeps within.
    pub limit: RateLimit,
}

/// Another agent works for the host.
#[derive(Debug)]
pub struct SecondAgent;

impl Agents {
    pub fn is_connected(&self, host: &str) -> bool {
        self.connection(host).is_some()
    }

    /// Whether this very connection is known: a new one has to prove whose it is.
    pub fn knows(&self, poll: &Poll, token: &str) -> bool {
        self.connection(&poll.host).is_some_and(|known| known.is(&poll.connection, token))
    }

    /// Whether it is time to note that an agent is connected; whoever asks notes it.
    pub fn is_to_be_noted(&self, host: &str) -> bool {
        self.connection(host).is_some_and(|known| known.is_to_be_noted())
    }

    /// Asks the agent of a host. The error is for people.
    pub fn call(
        &self,
        host: &str,
        volume: &str,
        folder: Option<FolderId>,
        ask: Ask,
        duty: Duty,
    ) -> Result<Talk, Away> {
        let connection = self.connection(host).ok_or_else(|| Away::Gone(gone(host)))?;
        Ok(connection.call(volume, folder, ask, duty))
    }

    /// An agent asks for work: it is answered when there is any, and soon in any case. A connection that is new wakes `nudge`.
    pub async fn poll(&self, poll: Poll, token: &str, nudge: &Notify) -> Result<Orders, SecondAgent> {
        let connection = self.connected(&poll, token, nudge)?;
        let mut present = connection.present(&poll);
        // No news is an answer too.
        let _ = tokio::time::timeout(HOLD, connection.news()).await;
        present.answered();
        Ok(connection.orders(&poll.at_work))
    }

    /// A part of what came of a call.
    pub async fn told(&self, told: Told, token: &str) -> Taken {
        let known = self.connection(&told.host).filter(|known| known.is(&told.connection, token));
        match known {
            Some(connection) => Taken { next: connection.told(told).await },
            None => Taken { next: None },
        }
    }

    fn connected(&self, poll: &Poll, token: &str, nudge: &Notify) -> Result<Arc<Connection>, SecondAgent> {
        let mut all = self.locked();
        if let Some(known) = all.get(&poll.host) {
            if known.is(&poll.connection, token) && !known.is_gone() {
                return Ok(known.clone());
            }
            if known.is_there() {
                return Err(SecondAgent);
            }
            known.end();
        }
        let connection = Arc::new(Connection::new(poll, token));
        all.insert(poll.host.clone(), connection.clone());
        tracing::info!(host = poll.host, version = poll.version, "an agent is connected and works for jobs");
        nudge.notify_one();
        Ok(connection)
    }

    /// One that is silent is gone, whoever finds out.
    fn connection(&self, host: &str) -> Option<Arc<Connection>> {
        let mut all = self.locked();
        let known = all.get(host)?.clone();
        if known.is_gone() {
            all.remove(host);
            return None;
        }
        Some(known)
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<String, Arc<Connection>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why nothing is done on a host.
pub fn gone(host: &str) -> String {
    format!("the agent of {host} is not connected")
}

/// A new connection's name.
pub fn new_connection() -> String {
    random_hex::<16>()
}
