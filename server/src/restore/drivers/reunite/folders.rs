//! Where nameless files may lie: `lost+found` of the volume, that of the file system which the volume is a part of, and the
//! folders that a reunite was given.
//!
//! A folder has a number that stays the same for the whole job, in whatever process it is opened: see the table `orphans`.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use salvor_domain::path::{FilePath, shown};
use salvor_engine::{Kind, LostFolder, Root};

use crate::config::VolumeConfig;
use crate::restore::work::Work;
use crate::volumes::reach::{self, Away};

/// What a file system's own check calls the folder for files whose name is lost.
const LOST_AND_FOUND: &str = "lost+found";

/// Numbers of the two that need not be named.
const OF_THE_VOLUME: usize = 0;
const OF_THE_FILE_SYSTEM: usize = 1;
const FIRST_GIVEN: usize = 2;

/// The numbers of the folders to look in.
pub fn numbers(from: &[String]) -> Vec<usize> {
    match from.len() {
        0 => vec![OF_THE_VOLUME, OF_THE_FILE_SYSTEM],
        given => (FIRST_GIVEN..FIRST_GIVEN + given).collect(),
    }
}

/// Opens a folder by its number; `None` when there is no such folder, which for `lost+found` is nothing to speak of.
pub async fn open(
    work: &Work,
    root: &Arc<Root>,
    from: &[String],
    number: usize,
) -> Result<Option<LostFolder>, String> {
    let (config, patience) = (&work.place.config, work.core.patience.job);
    let at = match number {
        OF_THE_VOLUME => FilePath::new(LOST_AND_FOUND).ok().map(Place::InVolume),
        OF_THE_FILE_SYSTEM => mount_root(&config.path, patience).await?.map(Place::LostAndFound),
        given => match given.checked_sub(FIRST_GIVEN).and_then(|index| from.get(index)) {
            Some(folder) => Some(find(config, folder, patience).await?),
            None => None,
        },
    };
    let lost = match at {
        None => return Ok(None),
        Some(Place::InVolume(folder)) => LostFolder {
            root: root.clone(),
            movable: true,
            is_lost_and_found: folder.file_name() == LOST_AND_FOUND.as_bytes(),
            folder: Some(folder),
        },
        Some(Place::LostAndFound(mount)) => LostFolder {
            root: work.open_folder(&mount).await?,
            folder: FilePath::new(LOST_AND_FOUND).ok(),
            movable: true,
            is_lost_and_found: true,
        },
        Some(Place::Outside(folder)) => LostFolder {
            root: work.open_folder(&folder).await?,
            movable: are_on_one_device(&folder, &config.path, patience).await?,
            is_lost_and_found: folder.file_name().is_some_and(|name| name == LOST_AND_FOUND),
            folder: None,
        },
    };
    let root = lost.root.clone();
    work.ask_folder(&root, move |_| Ok(is_there(&lost)?.then_some(lost))).await
}

/// A link of that name is not what the file system's check made; it would not be followed either.
fn is_there(lost: &LostFolder) -> Result<bool, String> {
    let Some(folder) = &lost.folder else { return Ok(true) };
    match lost.root.stat(folder) {
        Ok(stat) => Ok(stat.is_some_and(|stat| stat.kind == Kind::Folder)),
        Err(fault) => Err(format!("{} cannot be looked at: {fault}", shown_folder(lost))),
    }
}

/// Where a folder is, for people.
pub fn shown_folder(lost: &LostFolder) -> String {
    let root = shown(lost.root.path().as_os_str().as_bytes());
    match &lost.folder {
        Some(folder) => format!("{}/{folder}", root.trim_end_matches('/')),
        None => root,
    }
}

/// How a finding names an orphan: by its path on the volume, or outside of it by its whole path.
pub fn name(lost: &LostFolder, volume: &Root, orphan: &FilePath) -> Option<FilePath> {
    if lost.root.path() == volume.path() {
        return Some(orphan.clone());
    }
    let whole = [lost.root.path().as_os_str().as_bytes(), b"/", orphan.as_bytes()].concat();
    let start = whole.iter().position(|byte| *byte != b'/')?;
    FilePath::new(&whole[start..]).ok()
}

/// Where a folder that was given is.
enum Place {
    InVolume(FilePath),
    /// The root of the file system that the volume is a part of.
    LostAndFound(PathBuf),
    Outside(PathBuf),
}

/// Whether a folder may be given: the error says what is wrong with it.
pub async fn check(config: &VolumeConfig, from: &str, patience: Duration) -> Result<(), String> {
    find(config, from, patience).await.map(drop)
}

/// A folder that was given: absolute, or relative to the volume.
async fn find(config: &VolumeConfig, from: &str, patience: Duration) -> Result<Place, String> {
    let real = reach::real(&config.path.join(from), patience).await.map_err(|away| match away {
        Away::Gone(why) => format!("{why}; name one with nameless files in it"),
        Away::Silent(why) => why,
    })?;
    let copies = config.copies.iter().filter_map(|copy| Some((&copy.name, copy.place.folder()?)));
    let copies =
        copies.map(|(name, folder)| async move { (name, reach::real_or_named(folder, patience).await) });
    let (volume, copies) = tokio::join!(reach::real_or_named(&config.path, patience), join_all(copies));
    if volume.starts_with(&real) {
        return Err(format!("the folder {from} holds the volume itself; name one with nameless files only"));
    }
    for (name, held) in copies {
        if real.starts_with(&held) || held.starts_with(&real) {
            return Err(format!(
                "the folder {from} belongs to the copy \"{name}\", from which nothing may be moved; restore from it instead"
            ));
        }
    }
    match real.strip_prefix(&volume) {
        Ok(within) => FilePath::new(within.as_os_str().as_bytes())
            .map(Place::InVolume)
            .map_err(|why| format!("the folder {from} cannot be looked in: {why}")),
        Err(_) => Ok(Place::Outside(real)),
    }
}

/// The folder at the top of the volume's file system, if that is not the volume itself.
async fn mount_root(volume: &Path, patience: Duration) -> Result<Option<PathBuf>, String> {
    let named = volume.to_owned();
    let find = move || {
        let volume = named.canonicalize().ok()?;
        let on = device(&volume)?;
        let mut top = volume.as_path();
        while let Some(parent) = top.parent().filter(|parent| device(parent) == Some(on)) {
            top = parent;
        }
        (top != volume).then(|| top.to_owned())
    };
    reach::ask(volume, patience, find).await.map_err(|away| away.to_string())
}

async fn are_on_one_device(folder: &Path, volume: &Path, patience: Duration) -> Result<bool, String> {
    let (one, other) = (folder.to_owned(), volume.to_owned());
    let compare = move || device(&one).is_some_and(|on| device(&other) == Some(on));
    reach::ask(folder, patience, compare).await.map_err(|away| away.to_string())
}

fn device(folder: &Path) -> Option<u64> {
    std::fs::metadata(folder).ok().map(|facts| facts.dev())
}
