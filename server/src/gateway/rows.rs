//! What the catalogue knows of the files that are asked for, in memory.
//!
//! A row that was read within [`FRESH`] is believed; an older one is read again meanwhile, and one older than [`USABLE`] before it
//! is used. Whoever asks at the same time shares one statement. A database that is away, or slow, holds nobody up: what is
//! known of old is used, and else the answer is that nothing is known ([`Row::Unread`]), which is not "not catalogued".

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use salvor_domain::gateway::Known;
use salvor_domain::gateway::breaker::{Breaker, Fault};
use salvor_domain::path::FilePath;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::core::Core;
use crate::error::Result;
use crate::volumes::{catalogue, store};

const FRESH: u64 = 2_000;
const USABLE: u64 = 10_000;
/// How long a request waits for the database.
const WITHIN: Duration = Duration::from_millis(300);
/// And how long a statement may take.
const STATEMENT: Duration = Duration::from_secs(5);
/// Some 200 bytes each.
const MOST_ROWS: usize = 65_536;
/// Rows of one statement, and requests that may wait for one.
const BATCH: usize = 500;
const MOST_WAITING: usize = 10_000;
/// No file has such a time of change.
const NEVER: i64 = i64::MIN;

/// A file: the volume's number in the configuration, and its path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub volume: usize,
    pub path: FilePath,
}

#[derive(Debug)]
pub struct Entry {
    /// `None`: the catalogue does not have it.
    pub known: Option<Known>,
    /// When it was read, or asked for anew.
    read_at: AtomicU64,
    /// The ctime of the primary's file whose bytes were read and found right.
    proven: AtomicI64,
}

impl Entry {
    pub fn is_proven(&self, ctime_ns: i64) -> bool {
        self.proven.load(Ordering::Relaxed) == ctime_ns
    }

    pub fn prove(&self, ctime_ns: i64) {
        self.proven.store(ctime_ns, Ordering::Relaxed);
    }
}

#[derive(Debug, Clone)]
pub enum Row {
    Told(Arc<Entry>),
    /// Nobody could say.
    Unread,
}

/// A volume as the database has it; it never changes while it is configured.
#[derive(Debug)]
pub struct InDatabase {
    pub id: i64,
    /// Of the configured copies, in their order: the bits of holders.
    pub bits: Vec<Option<u8>>,
}

pub struct Rows {
    cache: Cache<Key, Arc<Entry>>,
    volumes: Vec<OnceLock<InDatabase>>,
    breaker: Mutex<Breaker>,
    since: Instant,
    asks: mpsc::Sender<Ask>,
    asked: Mutex<Option<mpsc::Receiver<Ask>>>,
}

struct Ask {
    key: Key,
    tell: Option<oneshot::Sender<Arc<Entry>>>,
}

impl Rows {
    pub fn new(volumes: usize) -> Self {
        let (asks, asked) = mpsc::channel(MOST_WAITING);
        Self {
            cache: Cache::new(MOST_ROWS),
            volumes: (0..volumes).map(|_| OnceLock::new()).collect(),
            breaker: Mutex::default(),
            since: Instant::now(),
            asks,
            asked: Mutex::new(Some(asked)),
        }
    }

    pub async fn get(&self, core: &Core, key: &Key) -> Row {
        let now = self.now();
        let kept = self.cache.get(key);
        if let Some(entry) = &kept {
            let age = now.saturating_sub(entry.read_at.load(Ordering::Relaxed));
            if age <= FRESH {
                return Row::Told(Arc::clone(entry));
            }
            if age <= USABLE {
                // One of those who ask just now has it read again.
                entry.read_at.store(now - FRESH / 2, Ordering::Relaxed);
                let _ = self.asks.try_send(Ask { key: key.clone(), tell: None });
                return Row::Told(Arc::clone(entry));
            }
        }
        let kept = kept.map_or(Row::Unread, Row::Told);
        if core.db.is_away() || !self.may_ask(now) {
            return kept;
        }
        let (tell, told) = oneshot::channel();
        if self.asks.try_send(Ask { key: key.clone(), tell: Some(tell) }).is_err() {
            return kept;
        }
        match tokio::time::timeout(WITHIN, told).await {
            Ok(Ok(entry)) => {
                self.note(None);
                Row::Told(entry)
            }
            Ok(Err(_)) => {
                self.note(Some(Fault::Error));
                kept
            }
            Err(_) => {
                self.note(Some(Fault::Silence));
                kept
            }
        }
    }

    /// Something about it has changed: it is read anew before it is used.
    pub fn forget(&self, key: &Key) {
        self.cache.remove(key);
    }

    /// `None` until the database has answered once.
    pub fn in_database(&self, volume: usize) -> Option<&InDatabase> {
        self.volumes.get(volume)?.get()
    }

    /// Reads what is asked for, until `stop`.
    pub async fn run(&self, core: Core, stop: CancellationToken) {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut asked) = asked else { return };
        let mut asks = Vec::with_capacity(BATCH);
        while stop.run_until_cancelled(asked.recv_many(&mut asks, BATCH)).await.is_some_and(|got| got > 0) {
            let mut by_volume: BTreeMap<usize, Vec<Ask>> = BTreeMap::new();
            for ask in asks.drain(..) {
                by_volume.entry(ask.key.volume).or_default().push(ask);
            }
            for (volume, asks) in by_volume {
                let read = tokio::time::timeout(STATEMENT, self.read(&core, volume, asks)).await;
                // Who waits is told by the end of the channel.
                match read {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!(%error, "the catalogue could not be read"),
                    Err(_) => tracing::debug!("the catalogue did not answer in time"),
                }
            }
        }
    }

    async fn read(&self, core: &Core, volume: usize, asks: Vec<Ask>) -> Result<()> {
        let Some(config) = core.config.volumes.get(volume) else { return Ok(()) };
        let now = self.now();
        let mut tx = core.db.read().await?;
        let Some(slot) = self.volumes.get(volume) else { return Ok(()) };
        if slot.get().is_none()
            && let Some(row) = store::volume(&mut tx, &config.name).await?
        {
            let copies = store::copies(&mut tx, row.id).await?;
            let bit = |name: &str| copies.iter().find(|copy| copy.name == name).map(|copy| copy.bit);
            let bits = config.copies.iter().map(|copy| bit(&copy.name)).collect();
            let _ = slot.set(InDatabase { id: row.id, bits });
        }
        let Some(in_database) = slot.get() else { return Ok(()) };
        let mut paths: Vec<FilePath> = asks.iter().map(|ask| ask.key.path.clone()).collect();
        paths.sort_unstable();
        paths.dedup();
        let found = catalogue::get(&mut tx, in_database.id, &paths).await?;
        for Ask { key, tell } in asks {
            let row = found.binary_search_by(|row| row.path.cmp(&key.path)).ok().map(|at| &found[at]);
            let known = row.map(|row| Known {
                size: row.size,
                mtime_ns: row.mtime_ns,
                digest: row.digest,
                state: row.state,
                holders: row.holders,
            });
            let entry = self.keep(key, known, now);
            if let Some(tell) = tell {
                let _ = tell.send(entry);
            }
        }
        Ok(())
    }

    /// A row that says what it said stays, with what was proven of it.
    fn keep(&self, key: Key, known: Option<Known>, now: u64) -> Arc<Entry> {
        if let Some(kept) = self.cache.get(&key).filter(|kept| kept.known == known) {
            kept.read_at.store(now, Ordering::Relaxed);
            return kept;
        }
        let entry = Arc::new(Entry { known, read_at: AtomicU64::new(now), proven: AtomicI64::new(NEVER) });
        self.cache.insert(key, Arc::clone(&entry));
        entry
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn may_ask(&self, now: u64) -> bool {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, may) = breaker.ask(now);
        *breaker = next;
        may
    }

    fn note(&self, fault: Option<Fault>) {
        let now = self.now();
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        *breaker = fault.map_or_else(|| breaker.answered(), |fault| breaker.failed(fault, now));
    }
}
