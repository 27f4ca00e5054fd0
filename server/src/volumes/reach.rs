//! Whether a folder or another place answers, asked without ever waiting for it without end.
//!
//! A file system that hangs keeps every thread that touches it, for hours. So each question has a time limit, and a place keeps
//! [`MOST_WAITING`] threads at the most: who asks while they all wait has the turn of the first that comes back, or none in time.
//! What did not answer is [`Away::Silent`], which is never to be taken for "not there".

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use salvor_domain::identity::Sight;
use salvor_domain::units;
use salvor_engine::{MarkKind, Root, SourceFault};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::{CopyConfig, VolumeConfig};
use crate::core::Core;
use crate::restore::hands;

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// By people, who wait for a page.
    pub page: Duration,
    /// By jobs: a disk may have to spin up, and a large restic repository reads its index.
    pub job: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { page: Duration::from_secs(2), job: Duration::from_secs(60) }
    }
}

/// Threads that one place may keep.
const MOST_WAITING: usize = 4;

/// Why a place cannot be worked with just now, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Away {
    #[error("{0}")]
    Gone(String),
    /// It did not answer in time: it may hang, or be slow.
    #[error("{0}")]
    Silent(String),
}

impl Away {
    fn silent(place: &str, patience: Duration) -> Self {
        let seconds = units::duration(patience.as_secs_f64());
        Self::Silent(format!("{place} has not answered for {seconds}"))
    }
}

/// Whether a copy answers; with it, what tells its folder from another, if it is one.
pub async fn copy(core: &Core, volume: &str, copy: &CopyConfig) -> Result<Option<Sight>, Away> {
    let patience = core.patience.page;
    if let Some(folder) = copy.place.folder() {
        return sight(folder, MarkKind::Copy, patience).await.map(Some);
    }
    let place = format!("{volume}: {}", copy.name);
    let looked = in_turn(&place, patience, async |turn| {
        let source = core.copies.open(volume, copy).await?;
        on_a_thread(turn, move || source.reachable()).await.map_err(SourceFault::Io)?
    });
    match looked.await {
        Some(Ok(())) => Ok(None),
        Some(Err(SourceFault::Gone(why))) => Err(Away::Gone(why)),
        Some(Err(why)) => Err(Away::Gone(why.to_string())),
        // An index may be long, and a server far.
        None => Err(Away::silent("it", patience)),
    }
}

/// As [`sight`], of a volume: on another host its agent looks.
pub async fn volume(core: &Core, volume: &VolumeConfig, patience: Duration) -> Result<Sight, Away> {
    match &volume.host {
        None => sight(&volume.path, MarkKind::Volume, patience).await,
        Some(host) => hands::see(&core.agents, host, &volume.name, patience).await.map(|(_, sight)| sight),
    }
}

/// What tells the place that a folder is from another.
pub async fn sight(folder: &Path, kind: MarkKind, patience: Duration) -> Result<Sight, Away> {
    let path = folder.to_owned();
    let look = move || look_at(&Root::open(&path).map_err(|why| why.to_string())?, kind);
    ask(folder, patience, look).await?.map_err(Away::Gone)
}

/// As [`sight`], of a folder that is open, and as long as it takes. Looks into the folder itself: on a file system that shut down
/// after an error its name alone may still answer.
pub fn look_at(root: &Root, kind: MarkKind) -> Result<Sight, String> {
    let gone = |fault| format!("the folder {} cannot be looked at: {fault}", root.path().display());
    root.sight(kind).map_err(gone)
}

/// Opens a folder.
pub async fn open(folder: &Path, patience: Duration) -> Result<Arc<Root>, Away> {
    let path = folder.to_owned();
    let opened = ask(folder, patience, move || Root::open(&path)).await?;
    opened.map(Arc::new).map_err(|why| Away::Gone(why.to_string()))
}

/// The path of a folder that is there, without links.
pub async fn real(folder: &Path, patience: Duration) -> Result<PathBuf, Away> {
    let path = folder.to_owned();
    let found = move || -> Result<PathBuf, String> {
        Root::open(&path).map_err(|why| why.to_string())?;
        path.canonicalize().map_err(|why| format!("the folder {} cannot be found: {why}", path.display()))
    };
    ask(folder, patience, found).await?.map_err(Away::Gone)
}

/// As [`real`], or the path as it is named: what does not answer holds nothing that did.
pub async fn real_or_named(folder: &Path, patience: Duration) -> PathBuf {
    real(folder, patience).await.unwrap_or_else(|_| folder.to_owned())
}

/// Whether a folder is still the one that was opened.
pub async fn still_there(root: &Arc<Root>, patience: Duration) -> Result<(), Away> {
    let opened = root.clone();
    ask(root.path(), patience, move || opened.reachable()).await?.map_err(Away::Gone)
}

/// What `question` answers about `folder`.
pub async fn ask<T: Send + 'static>(
    folder: &Path,
    patience: Duration,
    question: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Away> {
    let place = folder.to_string_lossy();
    match in_turn(&place, patience, async |turn| on_a_thread(turn, question).await).await {
        Some(answer) => answer.map_err(Away::Gone),
        None => Err(Away::silent(&format!("the folder {place}"), patience)),
    }
}

/// The right to keep one thread waiting for a place.
type Turn = OwnedSemaphorePermit;

/// Looks at a place when its turn has come; `None` when the time is up before there is an answer.
async fn in_turn<T>(place: &str, patience: Duration, look: impl AsyncFnOnce(Turn) -> T) -> Option<T> {
    let turns = turns(place);
    let looked = async { Some(look(turns.acquire_owned().await.ok()?).await) };
    tokio::time::timeout(patience, looked).await.ok().flatten()
}

/// The turn is over when the thread comes back, whether or not anybody still waits for it.
async fn on_a_thread<T: Send + 'static>(
    turn: Turn,
    question: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let answer = tokio::task::spawn_blocking(move || {
        let answer = question();
        drop(turn);
        answer
    });
    answer.await.map_err(|broken| {
        tracing::error!(%broken, "a look at a place broke down");
        "Salvor itself broke down at it; the details are in its log".to_owned()
    })
}

/// The turns of a place, which all who ask it just now share.
fn turns(place: &str) -> Arc<Semaphore> {
    static PLACES: Mutex<BTreeMap<String, Weak<Semaphore>>> = Mutex::new(BTreeMap::new());
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(turns) = places.get(place).and_then(Weak::upgrade) {
        return turns;
    }
    places.retain(|_, turns| turns.strong_count() > 0);
    let turns = Arc::new(Semaphore::new(MOST_WAITING));
    places.insert(place.to_owned(), Arc::downgrade(&turns));
    turns
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::future::join_all;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SOON: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn a_folder_is_there_or_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(sight(folder.path(), MarkKind::Volume, LONG).await.unwrap().is_bare);
        let gone = sight(&folder.path().join("gone"), MarkKind::Volume, LONG).await.unwrap_err();
        assert!(matches!(&gone, Away::Gone(why) if why.contains("does not exist")), "{gone:?}");
        std::os::unix::fs::symlink(folder.path(), folder.path().join("link")).unwrap();
        let real_path = folder.path().canonicalize().unwrap();
        assert_eq!(real(&folder.path().join("link"), LONG).await, Ok(real_path));
    }

    #[tokio::test]
    async fn who_asks_a_folder_that_hangs_waits_for_a_turn_and_takes_silence_for_no_answer() {
        let folder = Path::new("/hangs");
        let (wake, asleep) = mpsc::channel::<()>();
        let asleep = Arc::new(Mutex::new(asleep));
        let hang = || {
            let asleep = Arc::clone(&asleep);
            ask(folder, LONG, move || asleep.lock().unwrap().recv().is_ok())
        };
        let waiting = [hang(), hang(), hang(), hang()];
        assert_eq!(waiting.len(), MOST_WAITING);
        let mut waiting = Box::pin(join_all(waiting));
        // All four take their turns before anything is awaited for long.
        assert!(futures_util::poll!(&mut waiting).is_pending());
        let silent = ask(folder, SOON, || true).await;
        assert!(matches!(silent, Err(Away::Silent(_))), "four threads wait already: {silent:?}");
        assert_eq!(ask(Path::new("/well"), SOON, || true).await, Ok(true), "others are not held up");
        let mut fifth = Box::pin(ask(folder, LONG, || true));
        assert!(futures_util::poll!(&mut fifth).is_pending());
        wake.send(()).unwrap();
        assert_eq!(fifth.await, Ok(true), "the turn of the first that came back");
        for _ in 1..MOST_WAITING {
            wake.send(()).unwrap();
        }
        assert_eq!(waiting.await, vec![Ok(true); 4]);
    }
}
