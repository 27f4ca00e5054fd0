//! One source of a volume's files, and how it is asked: within a time, by a bounded number of threads, and not at all while it is
//! known to fail ([`Breaker`]). A disk that hangs keeps [`MOST_WAITING`] threads at the most, and no request beyond its patience.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use salvor_domain::gateway::breaker::{Breaker, Fault};
use salvor_engine::SourceFault;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Threads that one source may keep.
const MOST_WAITING: usize = 48;

/// Why a source did not give a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// It has failed of late and was not asked.
    Shut,
    /// It did not answer in time.
    Silent,
    /// It does not have the file.
    Absent,
    /// It failed, in words.
    Broken(String),
    /// It gave other bytes than the catalogue's.
    Wrong(String),
}

impl From<SourceFault> for Miss {
    fn from(fault: SourceFault) -> Self {
        match fault {
            SourceFault::NotFound => Self::Absent,
            SourceFault::Gone(why) | SourceFault::Io(why) => Self::Broken(why),
        }
    }
}

/// What came of it, since this process began.
#[derive(Debug, Default)]
pub struct Counts {
    pub files: AtomicU64,
    pub bytes: AtomicU64,
    pub absent: AtomicU64,
    pub broken: AtomicU64,
    pub silent: AtomicU64,
    pub wrong: AtomicU64,
}

#[derive(Debug)]
pub struct Lane {
    /// `primary`, or the copy's name.
    pub name: String,
    pub counts: Counts,
    patience: Duration,
    breaker: Mutex<Breaker>,
    turns: Arc<Semaphore>,
    since: Instant,
}

/// The right to keep one thread.
pub struct Turn(OwnedSemaphorePermit);

impl Turn {
    /// Runs `work` on a thread; the turn is over when that comes back, whether or not anybody still waits for it.
    pub async fn work<T: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<T, Miss> + Send + 'static,
    ) -> Result<T, Miss> {
        let worked = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(self.0);
            done
        });
        worked.await.unwrap_or_else(|broken| {
            tracing::error!(%broken, "reading a file broke down");
            Err(Miss::Broken("Salvor itself broke down at it; the details are in its log".into()))
        })
    }
}

impl Lane {
    pub fn new(name: &str, patience: Duration) -> Self {
        Self {
            name: name.to_owned(),
            counts: Counts::default(),
            patience,
            breaker: Mutex::default(),
            turns: Arc::new(Semaphore::new(MOST_WAITING)),
            since: Instant::now(),
        }
    }

    /// Asks it, unless it is left alone just now; what came of it counts for those who come after.
    pub async fn ask<T>(&self, ask: impl AsyncFnOnce(Turn) -> Result<T, Miss>) -> Result<T, Miss> {
        if !self.may_ask() {
            return Err(Miss::Shut);
        }
        let asked = async {
            let turn = self.turns.clone().acquire_owned().await;
            ask(Turn(turn.map_err(|_| Miss::Silent)?)).await
        };
        let told = tokio::time::timeout(self.patience, asked).await.unwrap_or(Err(Miss::Silent));
        self.note(told.as_ref().err());
        told
    }

    pub fn is_left_alone(&self) -> bool {
        !self.breaker.lock().unwrap_or_else(PoisonError::into_inner).is_closed()
    }

    /// So many bytes of a file of this source went out.
    pub fn gave(&self, bytes: u64) {
        self.counts.files.fetch_add(1, Ordering::Relaxed);
        self.counts.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn may_ask(&self) -> bool {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        if breaker.is_closed() {
            return true;
        }
        let (next, may) = breaker.ask(self.now());
        *breaker = next;
        may
    }

    fn note(&self, miss: Option<&Miss>) {
        let counts = &self.counts;
        let (count, fault) = match miss {
            None | Some(Miss::Shut) => (None, None),
            Some(Miss::Absent) => (Some(&counts.absent), None),
            Some(Miss::Wrong(_)) => (Some(&counts.wrong), None),
            Some(Miss::Broken(_)) => (Some(&counts.broken), Some(Fault::Error)),
            Some(Miss::Silent) => (Some(&counts.silent), Some(Fault::Silence)),
        };
        if let Some(count) = count {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *breaker;
        *breaker = match fault {
            None => before.answered(),
            Some(fault) => before.failed(fault, self.now()),
        };
        let (was_well, is_well) = (before.is_closed(), breaker.is_closed());
        drop(breaker);
        match (was_well, is_well) {
            (true, false) => tracing::warn!(source = self.name, ?miss, "files are asked of the next source"),
            (false, true) => tracing::info!(source = self.name, "it gives files again"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_hangs_is_left_alone_after_two_of_its_silences() {
        let lane = Lane::new("primary", Duration::from_millis(20));
        let (wake, asleep) = mpsc::channel::<()>();
        let asleep = Arc::new(Mutex::new(asleep));
        for _ in 0..2 {
            let asleep = Arc::clone(&asleep);
            let hang = move || asleep.lock().unwrap().recv().map_err(|_| Miss::Absent);
            assert_eq!(lane.ask(async |turn| turn.work(hang).await).await, Err(Miss::Silent));
        }
        let begun = Instant::now();
        assert_eq!(lane.ask(async |turn| turn.work(|| Ok(())).await).await, Err(Miss::Shut));
        assert!(begun.elapsed() < Duration::from_millis(20) && lane.is_left_alone());
        drop(wake);
    }

    #[tokio::test]
    async fn a_file_that_it_does_not_have_is_an_answer() {
        let lane = Lane::new("local", Duration::from_secs(5));
        for _ in 0..20 {
            let told: Result<(), Miss> = lane.ask(async |_| Err(Miss::Absent)).await;
            assert_eq!(told, Err(Miss::Absent));
        }
        for _ in 0..6 {
            let told: Result<(), Miss> = lane.ask(async |_| Err(Miss::Broken("EIO".into()))).await;
            assert!(matches!(told, Err(Miss::Broken(_))));
        }
        assert!(lane.is_left_alone());
    }
}
