//! What follows from an answer and must not hold it up: a file that the primary has lost comes back sooner, a copy that gave wrong bytes
//! is blamed. Both wait in one bounded queue; what does not fit is dropped and counted, since the next request for it asks again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use salvor_domain::account::{Actor, Role};
use salvor_domain::path::FilePath;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Gateway;
use super::rows::Key;
use crate::error::Result;
use crate::restore::need;
use crate::volumes::store;

const MOST_WAITING: usize = 10_000;
/// Wishes of so long come together.
const GATHERED_FOR: Duration = Duration::from_millis(250);
const BATCH: usize = 1_000;
/// Who asks for the same file again so soon changes nothing.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
const MOST_REMEMBERED: usize = 20_000;

pub struct Errands {
    queue: mpsc::Sender<Errand>,
    queued: Mutex<Option<mpsc::Receiver<Errand>>>,
    /// When each file was raised last.
    raised: Mutex<HashMap<Key, Instant>>,
    /// Files that were moved to the front of a restore.
    pub moved: AtomicU64,
    pub dropped: AtomicU64,
}

enum Errand {
    Raise(Key),
    Blame { key: Key, copy: usize, why: String },
}

impl Errands {
    pub fn new() -> Self {
        let (queue, queued) = mpsc::channel(MOST_WAITING);
        Self {
            queue,
            queued: Mutex::new(Some(queued)),
            raised: Mutex::default(),
            moved: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// Somebody was just now asked for it, and the primary does not have it.
    pub fn raise(&self, key: &Key) {
        let mut raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        if raised.get(key).is_some_and(|at| at.elapsed() < AGAIN_AFTER) {
            return;
        }
        if raised.len() >= MOST_REMEMBERED {
            raised.retain(|_, at| at.elapsed() < AGAIN_AFTER);
        }
        if raised.len() < MOST_REMEMBERED {
            raised.insert(key.clone(), Instant::now());
            drop(raised);
            self.send(Errand::Raise(key.clone()));
        }
    }

    pub fn blame(&self, key: &Key, copy: usize, why: String) {
        self.send(Errand::Blame { key: key.clone(), copy, why });
    }

    fn send(&self, errand: Errand) {
        if self.queue.try_send(errand).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Does them, until `stop`.
    pub async fn run(&self, gateway: &Gateway, stop: CancellationToken) {
        let queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut queued) = queued else { return };
        let mut errands = Vec::new();
        while stop.run_until_cancelled(queued.recv_many(&mut errands, 1)).await.is_some_and(|got| got > 0) {
            let _ = stop.run_until_cancelled(tokio::time::sleep(GATHERED_FOR)).await;
            while errands.len() < BATCH
                && let Ok(errand) = queued.try_recv()
            {
                errands.push(errand);
            }
            let mut by_volume: BTreeMap<usize, BTreeSet<FilePath>> = BTreeMap::new();
            for errand in errands.drain(..) {
                match errand {
                    Errand::Raise(key) => {
                        by_volume.entry(key.volume).or_default().insert(key.path);
                    }
                    Errand::Blame { key, copy, why } => {
                        if let Err(error) = blame(gateway, &key, copy, &why).await {
                            tracing::warn!(%error, path = %key.path, "that a copy gave wrong bytes is not recorded");
                        }
                        gateway.rows.forget(&key);
                    }
                }
            }
            for (volume, files) in by_volume {
                match raise(gateway, volume, files.into_iter().collect()).await {
                    Ok(moved) => drop(self.moved.fetch_add(moved, Ordering::Relaxed)),
                    Err(error) => tracing::warn!(%error, "lost files do not come back sooner"),
                }
            }
        }
    }
}

async fn raise(gateway: &Gateway, volume: usize, files: Vec<FilePath>) -> Result<u64> {
    let Some(known) = gateway.rows.in_database(volume) else { return Ok(0) };
    let actor = Actor { name: "the gateway".to_owned(), role: Role::Operator };
    need::raise_in_volume(&gateway.core, &actor, known.id, &files).await
}

async fn blame(gateway: &Gateway, key: &Key, copy: usize, why: &str) -> Result<()> {
    let Some(known) = gateway.rows.in_database(key.volume) else { return Ok(()) };
    let Some(bit) = known.bits.get(copy).copied().flatten() else { return Ok(()) };
    let mut tx = gateway.core.db.begin().await?;
    let now = gateway.core.clock.now();
    store::record_copy_fault(&mut tx, known.id, bit, &key.path, why, None, now).await?;
    Ok(tx.commit().await?)
}
