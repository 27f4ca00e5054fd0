//! What came from copies that are no folders, on this machine's disk: in `data_dir/cache`, bounded, the least recently used goes first.
//!
//! A file is kept under its checksum, so that it never goes stale, and only after it was found right. While it is fetched, all who ask
//! for it read what is there of it already: a popular file crosses a slow link once. What is in the cache is worth nothing but
//! time: whatever is wrong with it, it is dropped, and the copies are asked.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rustix::io::Errno;
use salvor_domain::digest::Digest;
use tokio::sync::watch;

use super::lane::Miss;

/// A larger part of the cache than this is not for one file.
const SHARE: u64 = 4;
/// Files that are fetched at the same time; further ones go past the cache.
const MOST_FILLS: usize = 32;
/// The folder of what is not whole yet.
const PARTS: &str = "part";

pub struct Cache {
    folder: PathBuf,
    most_bytes: u64,
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    files: HashMap<Digest, Kept>,
    /// By when they were used last, the oldest first.
    by_use: BTreeMap<u64, Digest>,
    bytes: u64,
    uses: u64,
    fills: HashMap<Digest, Follower>,
}

struct Kept {
    size: u64,
    used: u64,
}

/// A file of the cache that is open, and how much of it is there.
#[derive(Clone)]
pub struct Follower {
    pub file: Arc<File>,
    pub progress: watch::Receiver<Progress>,
    /// When it was fetched.
    pub since: SystemTime,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    Bytes(u64),
    /// All of it, and it is right.
    Whole,
    Failed,
}

/// A file that is being fetched; dropped before [`Fill::finish`], those who follow it are told.
pub struct Fill {
    cache: Arc<Cache>,
    digest: Digest,
    size: u64,
    file: Arc<File>,
    told: watch::Sender<Progress>,
}

pub enum Place {
    /// There, or on its way here.
    Here(Follower),
    /// It is the caller's to fetch it.
    Yours(Fill, Follower),
}

impl Cache {
    /// Finds what an earlier process left. `None` where nothing is to be kept, or nothing can be.
    pub fn open(folder: &Path, most_bytes: u64) -> Option<Arc<Self>> {
        if most_bytes == 0 {
            return None;
        }
        let cache = Self { folder: folder.to_owned(), most_bytes, index: Mutex::default() };
        if let Err(error) = cache.find_what_is_there() {
            tracing::warn!(%error, folder = %folder.display(), "files of slow copies are not cached");
            return None;
        }
        Some(Arc::new(cache))
    }

    fn find_what_is_there(&self) -> std::io::Result<()> {
        let parts = self.folder.join(PARTS);
        let _ = fs::remove_dir_all(&parts);
        fs::create_dir_all(&parts)?;
        let mut found = Vec::new();
        for folder in fs::read_dir(&self.folder)? {
            let folder = folder?.path();
            if folder.ends_with(PARTS) || !folder.is_dir() {
                continue;
            }
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let meta = entry.metadata()?;
                match entry.file_name().to_str().and_then(digest_of) {
                    Some(digest) => {
                        found.push((meta.accessed().or_else(|_| meta.modified())?, digest, meta.len()))
                    }
                    None => drop(fs::remove_file(entry.path())),
                }
            }
        }
        found.sort_unstable_by_key(|(used, ..)| *used);
        let mut index = self.index();
        for (_, digest, size) in found {
            index.insert(digest, size);
        }
        self.make_room(&mut index);
        Ok(())
    }

    /// `None` where it is too large to be kept, or enough is under way. Blocks.
    pub fn place(self: &Arc<Self>, digest: Digest, size: u64) -> std::io::Result<Option<Place>> {
        if let Some(here) = self.here(digest) {
            return Ok(Some(Place::Here(here)));
        }
        let mut index = self.index();
        if size > self.most_bytes / SHARE || index.fills.len() >= MOST_FILLS {
            return Ok(None);
        }
        // Somebody may have begun meanwhile.
        if let Some(follower) = index.fills.get(&digest) {
            return Ok(Some(Place::Here(follower.clone())));
        }
        let path = self.folder.join(PARTS).join(digest.to_string());
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        let (told, progress) = watch::channel(Progress::Bytes(0));
        let file = Arc::new(file);
        let since = file.metadata()?.modified()?;
        let follower = Follower { file: Arc::clone(&file), progress, since };
        index.fills.insert(digest, follower.clone());
        Ok(Some(Place::Yours(Fill { cache: Arc::clone(self), digest, size, file, told }, follower)))
    }

    /// Where it is here already, or on its way. Blocks.
    pub fn here(&self, digest: Digest) -> Option<Follower> {
        let mut index = self.index();
        if let Some(follower) = index.fills.get(&digest) {
            return Some(follower.clone());
        }
        index.touch(&digest)?;
        drop(index);
        let opened = File::open(self.path(&digest)).and_then(|file| Ok((file.metadata()?.modified()?, file)));
        match opened {
            Ok((since, file)) => {
                let (_, progress) = watch::channel(Progress::Whole);
                Some(Follower { file: Arc::new(file), progress, since })
            }
            Err(_) => {
                self.forget(&digest);
                None
            }
        }
    }

    /// It was not right, or is not there.
    pub fn forget(&self, digest: &Digest) {
        self.index().remove(digest);
        let _ = fs::remove_file(self.path(digest));
    }

    /// How much it holds: bytes and files.
    pub fn holds(&self) -> (u64, usize) {
        let index = self.index();
        (index.bytes, index.files.len())
    }

    fn make_room(&self, index: &mut Index) {
        while index.bytes > self.most_bytes
            && let Some(digest) = index.by_use.first_key_value().map(|(_, digest)| *digest)
        {
            index.remove(&digest);
            // Whoever reads it just now has it open.
            let _ = fs::remove_file(self.path(&digest));
        }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.folder.join(&name[..2]).join(name)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fill {
    /// What was read next. Blocks.
    pub fn write(&self, at: u64, bytes: &[u8]) -> std::io::Result<()> {
        (&*self.file).write_all(bytes)?;
        self.told.send_replace(Progress::Bytes(at + bytes.len() as u64));
        Ok(())
    }

    /// All of it is there, and it is right. Blocks.
    pub fn finish(self) -> std::io::Result<()> {
        self.file.sync_data()?;
        let path = self.cache.path(&self.digest);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::rename(self.cache.folder.join(PARTS).join(self.digest.to_string()), path)?;
        let mut index = self.cache.index();
        index.insert(self.digest, self.size);
        self.cache.make_room(&mut index);
        drop(index);
        self.told.send_replace(Progress::Whole);
        Ok(())
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        self.cache.index().fills.remove(&self.digest);
        let is_over = self.told.send_if_modified(|progress| {
            let is_over = *progress != Progress::Whole;
            if is_over {
                *progress = Progress::Failed;
            }
            is_over
        });
        if is_over {
            let _ = fs::remove_file(self.cache.folder.join(PARTS).join(self.digest.to_string()));
        }
    }
}

impl Index {
    fn insert(&mut self, digest: Digest, size: u64) {
        self.remove(&digest);
        self.uses += 1;
        self.bytes += size;
        self.by_use.insert(self.uses, digest);
        self.files.insert(digest, Kept { size, used: self.uses });
    }

    fn touch(&mut self, digest: &Digest) -> Option<()> {
        let kept = self.files.get_mut(digest)?;
        self.by_use.remove(&kept.used);
        self.uses += 1;
        kept.used = self.uses;
        self.by_use.insert(self.uses, *digest);
        Some(())
    }

    fn remove(&mut self, digest: &Digest) {
        if let Some(kept) = self.files.remove(digest) {
            self.by_use.remove(&kept.used);
            self.bytes -= kept.size;
        }
    }
}

impl Follower {
    /// Seconds since it was fetched.
    pub fn age(&self) -> u64 {
        self.since.elapsed().unwrap_or_default().as_secs()
    }

    /// Waits until this many bytes are there; all of them only when they were found right.
    pub async fn reaches(&mut self, bytes: u64, size: u64) -> Result<(), Miss> {
        let is_there = |progress: &Progress| match progress {
            Progress::Bytes(there) => bytes < size && *there >= bytes,
            Progress::Whole | Progress::Failed => true,
        };
        let progress = self.progress.wait_for(is_there).await.map(|progress| progress.clone());
        match progress {
            Ok(Progress::Bytes(_) | Progress::Whole) => Ok(()),
            Ok(Progress::Failed) => Err(Miss::Broken("it could not be fetched".into())),
            // Its sender is gone; what it said last holds.
            Err(_) => match *self.progress.borrow() {
                Progress::Whole => Ok(()),
                _ => Err(Miss::Broken("it could not be fetched".into())),
            },
        }
    }

    /// Exactly `len` bytes that are there. Blocks.
    pub fn read(&self, at: u64, len: usize) -> Result<Vec<u8>, Miss> {
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match rustix::io::pread(&*self.file, &mut bytes[filled..], at + filled as u64) {
                Ok(0) => return Err(Miss::Wrong("it is shorter than it was".into())),
                Ok(read) => filled += read,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Miss::Broken(std::io::Error::from(errno).to_string())),
            }
        }
        Ok(bytes)
    }
}

fn digest_of(name: &str) -> Option<Digest> {
    let bytes = name.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    Digest::try_from(bytes.collect::<Option<Vec<u8>>>()?.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u8) -> Digest {
        Digest([number; 32])
    }

    fn fill(cache: &Arc<Cache>, number: u8, size: usize) {
        let Some(Place::Yours(fill, _)) = cache.place(digest(number), size as u64).unwrap() else { panic!() };
        fill.write(0, &vec![number; size]).unwrap();
        fill.finish().unwrap();
    }

    #[test]
    fn the_least_recently_used_goes_first_and_a_restart_finds_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 1_000).unwrap();
        for number in 0..4 {
            fill(&cache, number, 250);
        }
        assert_eq!(cache.holds(), (1_000, 4));
        assert_eq!(cache.here(digest(0)).unwrap().read(240, 10).unwrap(), [0; 10], "it is used now");
        fill(&cache, 4, 250);
        assert!(cache.here(digest(1)).is_none() && cache.here(digest(0)).is_some());
        assert!(cache.place(digest(9), 251).unwrap().is_none(), "too large a part of it");
        assert!(Cache::open(folder.path(), 0).is_none());
        let again = Cache::open(folder.path(), 500).unwrap();
        assert_eq!(again.holds(), (500, 2));
        again.forget(&digest(4));
        assert!(again.here(digest(4)).is_none());
    }

    #[tokio::test]
    async fn those_who_follow_see_the_end_only_when_it_is_right() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 10_000).unwrap();
        let Some(Place::Yours(first, mut follower)) = cache.place(digest(1), 100).unwrap() else { panic!() };
        let Some(Place::Here(mut second)) = cache.place(digest(1), 100).unwrap() else { panic!() };
        first.write(0, &[1; 100]).unwrap();
        assert_eq!(follower.reaches(50, 100).await, Ok(()));
        let mut waits = Box::pin(second.reaches(100, 100));
        assert!(futures_util::poll!(&mut waits).is_pending(), "nobody has said that it is right");
        first.finish().unwrap();
        assert_eq!(waits.await, Ok(()));
        let Some(Place::Yours(broken, mut follower)) = cache.place(digest(2), 100).unwrap() else { panic!() };
        drop(broken);
        assert!(follower.reaches(1, 100).await.is_err() && cache.here(digest(2)).is_none());
        assert!(
            matches!(cache.place(digest(2), 100).unwrap(), Some(Place::Yours(..))),
            "the next one tries again"
        );
    }
}
