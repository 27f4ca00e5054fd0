//! Whether a folder or another place answers, asked without ever waiting long for it.
//!
//! A file system that hangs keeps every thread that touches it, for hours. So each question has a time limit, and a
//! folder that keeps [`PATIENT`] threads already is not asked again until one of them comes back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use salvor_domain::identity::Sight;
use salvor_engine::{MarkKind, Root, SourceFault};

use crate::config::CopyConfig;
use crate::core::Core;

const PATIENCE: Duration = Duration::from_secs(2);
/// Threads that one folder may keep waiting.
const PATIENT: u32 = 4;

/// What is said of a copy that has not answered yet: an index may be long, and a server far.
pub const SILENT: &str = "it does not answer";

/// Whether a copy answers, or why not.
pub async fn copy(core: &Core, volume: &str, copy: &CopyConfig) -> Result<(), String> {
    let silent = || SILENT.to_owned();
    if let Some(folder) = copy.place.folder() {
        let gone = || format!("the folder {} is not there", folder.display());
        return if is_there(folder).await { Ok(()) } else { Err(gone()) };
    }
    let place = format!("{volume}: {}", copy.name);
    let turn = Turn::take(&place).ok_or_else(silent)?;
    let looked = async {
        let source = core.copies.open(volume, copy).await?;
        let looked = tokio::task::spawn_blocking(move || {
            let looked = source.reachable();
            drop(turn);
            looked
        });
        looked.await.unwrap_or_else(|broken| Err(SourceFault::Io(broken.to_string())))
    };
    match tokio::time::timeout(PATIENCE, looked).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(SourceFault::Gone(why))) => Err(why),
        Ok(Err(why)) => Err(why.to_string()),
        Err(_) => Err(silent()),
    }
}

/// Looks into the folder itself: on a file system that shut down after an error its name alone may still answer.
pub async fn is_there(folder: &Path) -> bool {
    let path = folder.to_owned();
    ask(folder, move || {
        let mut entries = std::fs::read_dir(path)?;
        entries.next().transpose().map(drop)
    })
    .await
    .is_some_and(|looked| looked.is_ok())
}

/// What tells the place that a folder is from another; `None` when it cannot be looked at.
pub async fn sight(folder: &Path, kind: MarkKind) -> Option<Sight> {
    let path = folder.to_owned();
    ask(folder, move || Root::open(&path).ok()?.sight(kind).ok()).await.flatten()
}

/// What `question` answers about `folder`; `None` when it does not within the time limit.
pub async fn ask<T: Send + 'static>(
    folder: &Path,
    question: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let turn = Turn::take(&folder.to_string_lossy())?;
    let answer = tokio::task::spawn_blocking(move || {
        let answer = question();
        drop(turn);
        answer
    });
    tokio::time::timeout(PATIENCE, answer).await.ok()?.ok()
}

/// One of the threads that a place may keep.
struct Turn(String);

static WAITING: Mutex<BTreeMap<String, u32>> = Mutex::new(BTreeMap::new());

fn waiting() -> MutexGuard<'static, BTreeMap<String, u32>> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Turn {
    fn take(place: &str) -> Option<Self> {
        let mut waiting = waiting();
        let threads = waiting.entry(place.to_owned()).or_default();
        (*threads < PATIENT).then(|| {
            *threads += 1;
            Self(place.to_owned())
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut waiting = waiting();
        match waiting.get_mut(&self.0) {
            Some(threads) if *threads > 1 => *threads -= 1,
            _ => drop(waiting.remove(&self.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_folder_is_there_or_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(is_there(folder.path()).await, "an empty folder is there");
        assert!(!is_there(&folder.path().join("gone")).await);
    }

    #[tokio::test]
    async fn a_folder_that_hangs_keeps_a_few_threads_and_answers_again_when_it_comes_back() {
        let folder = Path::new("/hangs");
        let (wake, asleep) = mpsc::channel::<()>();
        let asleep = std::sync::Arc::new(Mutex::new(asleep));
        let hang = || {
            let asleep = std::sync::Arc::clone(&asleep);
            ask(folder, move || asleep.lock().unwrap().recv().is_ok())
        };
        let waiting = [hang(), hang(), hang(), hang()];
        assert_eq!(waiting.len(), PATIENT as usize);
        let mut waiting = Box::pin(futures_util::future::join_all(waiting));
        // All four take their turns before anything is awaited for long.
        assert!(futures_util::poll!(&mut waiting).is_pending());
        assert_eq!(ask(folder, || true).await, None, "not asked: four threads wait already");
        assert_eq!(ask(Path::new("/well"), || true).await, Some(true), "others are not held up");
        for _ in 0..PATIENT {
            wake.send(()).unwrap();
        }
        assert_eq!(waiting.await, [Some(true); 4]);
        assert_eq!(ask(folder, || true).await, Some(true));
    }
}
