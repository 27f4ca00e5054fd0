//! The modes of all volumes in memory: for upload services that ask before each upload, and for those that listen.
//!
//! One task reads them a few times a second, so that a change of any process is known here within a second. Invariant: what is not
//! known is never writable; while the database does not answer, the last known mode holds for [`HOLDS`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use salvor_domain::volume::{Mode, ModeState};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::store;
use crate::core::Core;
use crate::error::{Error, Result};

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A database that does not answer at all must not keep what is known from growing old.
const READ_WITHIN: Duration = Duration::from_secs(5);
pub const HOLDS: TimeDelta = TimeDelta::seconds(60);
/// Before anything was read.
const NEVER: i64 = i64::MIN;

/// Cheap to clone; handlers read it, one task writes it.
#[derive(Clone)]
pub struct Modes(Arc<Inner>);

struct Inner {
    known: watch::Sender<BTreeMap<String, ModeState>>,
    /// When it was read, in microseconds since 1970.
    read_at: AtomicI64,
}

/// What others are told of one volume.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ModeNow {
    pub volume: String,
    /// Uploads and deletes may go on.
    pub writable: bool,
    /// `unknown` beside the words of [`Mode`].
    pub mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    pub evidence: Vec<String>,
}

impl Modes {
    /// Knows the modes at once where the database answers.
    pub async fn open(core: &Core) -> Self {
        let inner = Inner { known: watch::Sender::new(BTreeMap::new()), read_at: AtomicI64::new(NEVER) };
        let modes = Self(Arc::new(inner));
        if let Err(error) = modes.step(core).await {
            tracing::debug!(%error, "the modes of the volumes are not known yet");
        }
        modes
    }

    /// Reads them until `stop`.
    pub async fn run(self, core: Core, stop: CancellationToken) {
        loop {
            if let Err(error) = self.step(&core).await {
                // That the database is away was said once.
                tracing::debug!(%error, "the modes of the volumes could not be read");
            }
            if stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// Reads them once.
    pub async fn step(&self, core: &Core) -> Result<()> {
        let now = core.clock.now();
        let read = async { store::volumes(&mut core.db.read().await?).await };
        let rows = tokio::time::timeout(READ_WITHIN, read)
            .await
            .map_err(|_| Error::Internal(format!("no answer within {} s", READ_WITHIN.as_secs())))??;
        let modes: BTreeMap<_, _> = rows.into_iter().map(|row| (row.name, row.mode)).collect();
        self.0.read_at.store(now.timestamp_micros(), Ordering::SeqCst);
        self.0.known.send_if_modified(|known| {
            let is_news = *known != modes;
            *known = modes;
            is_news
        });
        Ok(())
    }

    pub fn of(&self, volume: &str, now: DateTime<Utc>) -> ModeNow {
        let read_at = DateTime::from_timestamp_micros(self.0.read_at.load(Ordering::SeqCst));
        // A clock that was set back must not make it hold for longer.
        let holds = read_at.is_some_and(|at| (now - at).abs() <= HOLDS);
        match self.0.known.borrow().get(volume).filter(|_| holds) {
            Some(mode) => ModeNow {
                volume: volume.to_owned(),
                writable: mode.mode() == Mode::Normal,
                mode: mode.mode().as_str(),
                since: Some(mode.since()),
                reason: mode.reason().to_owned(),
                by: Some(mode.by().to_owned()),
                evidence: mode.evidence().to_vec(),
            },
            None => ModeNow {
                volume: volume.to_owned(),
                writable: false,
                mode: "unknown",
                since: None,
                reason: format!("not known: the database has not answered for {} s", HOLDS.num_seconds()),
                by: None,
                evidence: Vec::new(),
            },
        }
    }

    /// As it was known last, however long ago.
    pub fn mode(&self, volume: &str) -> Option<Mode> {
        self.0.known.borrow().get(volume).map(ModeState::mode)
    }

    /// Wakes whoever listens when a mode has changed.
    pub fn watch(&self) -> watch::Receiver<BTreeMap<String, ModeState>> {
        self.0.known.subscribe()
    }
}
