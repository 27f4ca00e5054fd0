//! Scratch: folders under `data_dir/scratch` for files that are restored only to be tried and measured.
//!
//! Whoever uses one holds a lock on it for as long as its process lives, so that what a killed process left is known for
//! litter by its lock being free: the next process that works on jobs here removes it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, flock};
use salvor_engine::Root;

const FOLDER: &str = "scratch";
/// Room that is left to others on the file system that scratch lies on.
const SPARE_BYTES: u64 = 64 << 20;
/// How often making the folder is tried against a sweep that takes it for litter.
const ATTEMPTS: usize = 10;

/// A folder of one's own; gone when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    next: AtomicU64,
    _lock: File,
}

impl Scratch {
    /// Makes `name`, which nobody else uses. Blocks. The error is a sentence.
    pub fn make(data_dir: &Path, name: &str) -> Result<Self, String> {
        let folder = data_dir.join(FOLDER).join(name);
        let told =
            |why: std::io::Error| format!("the scratch folder {} cannot be used: {why}", folder.display());
        for _ in 0..ATTEMPTS {
            std::fs::create_dir_all(&folder).map_err(told)?;
            let Ok(lock) = File::open(&folder) else { continue };
            let is_ours = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
            // A sweep that was quicker has removed what was locked here.
            if is_ours && is_same(&lock, &folder) {
                return Ok(Self { folder, next: AtomicU64::new(0), _lock: lock });
            }
        }
        Err(format!("the scratch folder {} is used by somebody else", folder.display()))
    }

    /// A new empty folder in it. Blocks.
    pub fn part(&self) -> Result<Part, String> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.join(number.to_string());
        std::fs::create_dir(&folder).map_err(|why| format!("{}: {why}", folder.display()))?;
        let root = Root::open(&folder).map_err(|why| why.to_string())?;
        Ok(Part { folder, root: Arc::new(root) })
    }

    /// Whether so many bytes fit, with some room left to others. Blocks. The error says what would be right.
    pub fn has_room(&self, bytes: u64) -> Result<(), String> {
        use salvor_domain::units::bytes as shown;
        let root = Root::open(&self.folder).map_err(|why| why.to_string())?;
        let free = root.space().map_err(|why| why.to_string())?.free_bytes;
        let needed = bytes.saturating_add(SPARE_BYTES);
        if free >= needed {
            return Ok(());
        }
        let folder = self.folder.parent().unwrap_or(&self.folder).display();
        Err(format!(
            "files are restored to {folder} to be tried, where {} are free and {} are needed; make room there, or ask for \
             a smaller sample",
            shown(free),
            shown(needed)
        ))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

/// A folder within scratch; gone when this is dropped.
#[derive(Debug)]
pub struct Part {
    folder: PathBuf,
    pub root: Arc<Root>,
}

impl Drop for Part {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

fn remove(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, folder = %folder.display(), "scratch could not be removed");
    }
}

fn is_same(open: &File, folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (open.metadata(), std::fs::metadata(folder)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Removes what killed processes left. Blocks. Returns how many folders.
pub fn sweep(data_dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(data_dir.join(FOLDER)) else { return 0 };
    let is_litter = |folder: &PathBuf| {
        File::open(folder).is_ok_and(|open| {
            let is_free = flock(&open, FlockOperation::NonBlockingLockExclusive).is_ok();
            if is_free {
                remove(folder);
            }
            is_free
        })
    };
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_litter).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays_and_what_was_left_goes() {
        let data = tempfile::tempdir().unwrap();
        let used = Scratch::make(data.path(), "used").unwrap();
        let part = used.part().unwrap();
        std::fs::write(part.folder.join("file"), b"x").unwrap();
        let left = data.path().join("scratch/left/0/deep");
        std::fs::create_dir_all(&left).unwrap();
        std::fs::write(left.join("file"), b"x").unwrap();
        assert_eq!(sweep(data.path()), 1);
        assert!(part.folder.join("file").exists() && !data.path().join("scratch/left").exists());
        assert!(Scratch::make(data.path(), "used").unwrap_err().contains("somebody else"));
        drop(part);
        assert!(!data.path().join("scratch/used/0").exists());
        drop(used);
        assert_eq!(std::fs::read_dir(data.path().join("scratch")).unwrap().count(), 0);
        assert_eq!(sweep(&data.path().join("nowhere")), 0);
    }

    #[test]
    fn too_little_room_says_how_much_is_needed() {
        let data = tempfile::tempdir().unwrap();
        let scratch = Scratch::make(data.path(), "a").unwrap();
        assert_eq!(scratch.has_room(1), Ok(()));
        let why = scratch.has_room(u64::MAX / 2).unwrap_err();
        assert!(why.contains("are free and") && why.contains("smaller sample"), "{why}");
    }
}
