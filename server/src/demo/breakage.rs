//! The outage of 2007, replayed: names are lost, files are gone, bytes rot, and one backup turns out to be bad.
//!
//! What must always hold: only a volume that the demonstration made is touched, a copy only where it holds the very
//! bytes of a file of that volume, and nothing outside the two. Running it again damages whatever is there by then.

use super::MARKER;
use super::dice::Dice;
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Shares of the volume's files, in percent.
const NAMELESS_PERCENT: usize = 8;
const GONE_PERCENT: usize = 12;
const FLIPPED_PERCENT: usize = 2;

/// Where a file system check puts what it found without a name.
const LOST_AND_FOUND: &str = "lost+found";

/// What was done, as paths relative to the volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Damage {
    /// Still there, as `lost+found/#INODE`.
    pub nameless: Vec<PathBuf>,
    /// Removed.
    pub gone: Vec<PathBuf>,
    /// Other bytes, but the same size and time of change.
    pub flipped: Vec<PathBuf>,
    /// One of `gone`, and the name of the copy whose bytes of it were changed. `None` when no copy held any of them.
    pub bad_in_copy: Option<(String, PathBuf)>,
}

/// Damages a demonstration's volume. `copies` are names and roots of its copies in order of preference: one file that
/// goes missing also rots in the first copy that holds it, so that its restore has to fall back to the next.
pub fn break_volume(volume: &Path, copies: &[(&str, &Path)], seed: u64) -> io::Result<Damage> {
    refuse_real_data(volume)?;
    let mut files = files(volume)?;
    let total = files.len();
    let share = |percent: usize| (total * percent / 100).max(1);
    let mut dice = Dice::new(seed);
    dice.shuffle(&mut files);
    let mut take = |count: usize| files.split_off(files.len().saturating_sub(count));

    // An empty file has no bytes to rot: those are left in peace, whatever is drawn for them.
    let flipped = take(share(FLIPPED_PERCENT));
    let (nameless, gone) = (take(share(NAMELESS_PERCENT)), take(share(GONE_PERCENT)));
    let mut damage =
        Damage { bad_in_copy: spoil_a_copy(volume, copies, &gone, &mut dice)?, ..Damage::default() };
    for path in flipped {
        if flip(&volume.join(&path), &mut dice)? {
            damage.flipped.push(path);
        }
    }
    for path in nameless {
        lose_name(volume, &path)?;
        damage.nameless.push(path);
    }
    for path in gone {
        fs::remove_file(volume.join(&path))?;
        damage.gone.push(path);
    }
    for list in [&mut damage.nameless, &mut damage.gone, &mut damage.flipped] {
        list.sort();
    }
    Ok(damage)
}

fn refuse_real_data(volume: &Path) -> io::Result<()> {
    let marker = volume.join(MARKER);
    if fs::symlink_metadata(&marker).is_ok_and(|found| found.is_file()) {
        return Ok(());
    }
    let why = format!(
        "{} was not made by `salvor demo` (there is no {MARKER} in it): it will not be damaged",
        volume.display()
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

/// The customers' files, sorted, relative to the volume; symbolic links are not followed.
fn files(volume: &Path) -> io::Result<Vec<PathBuf>> {
    let own = OsStr::from_bytes(salvor_domain::path::OWN_FOLDER);
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(volume.join(&folder))? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let path = folder.join(entry.file_name());
            if path == Path::new(own) || path == Path::new(LOST_AND_FOUND) {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn lose_name(volume: &Path, path: &Path) -> io::Result<()> {
    let lost = volume.join(LOST_AND_FOUND);
    fs::create_dir_all(&lost)?;
    let from = volume.join(path);
    // The inode stays the same, so no two files without a name can meet.
    let inode = fs::symlink_metadata(&from)?.ino();
    fs::rename(from, lost.join(format!("#{inode}")))
}

/// Changes one of the files in the first copy that still holds it as the volume does.
fn spoil_a_copy(
    volume: &Path,
    copies: &[(&str, &Path)],
    gone: &[PathBuf],
    dice: &mut Dice,
) -> io::Result<Option<(String, PathBuf)>> {
    for (name, root) in copies {
        for path in gone {
            let held = root.join(path);
            let is_file = fs::symlink_metadata(&held).is_ok_and(|found| found.is_file());
            if is_file && fs::read(&held)? == fs::read(volume.join(path))? && flip(&held, dice)? {
                return Ok(Some(((*name).to_owned(), path.clone())));
            }
        }
    }
    Ok(None)
}

/// Changes some bytes in place, as a failing disk does: no size, time or name tells. False for an empty file.
fn flip(path: &Path, dice: &mut Dice) -> io::Result<bool> {
    let file = File::options().read(true).write(true).open(path)?;
    let before = file.metadata()?;
    if before.len() == 0 {
        return Ok(false);
    }
    // A run of bytes is changed and no byte is changed back, so the file is never the same again by chance.
    let at = dice.range(0, before.len());
    let mut run = vec![0; dice.range(1, 64).min(before.len() - at) as usize];
    file.read_exact_at(&mut run, at)?;
    run.iter_mut().for_each(|byte| *byte ^= dice.range(1, 256) as u8);
    file.write_all_at(&run, at)?;
    file.set_times(FileTimes::new().set_accessed(before.accessed()?).set_modified(before.modified()?))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::time::{Duration, SystemTime};

    /// A marked volume of small files and a copy of it.
    struct Place {
        _folder: tempfile::TempDir,
        volume: PathBuf,
        copy: PathBuf,
    }

    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let (volume, copy) = (folder.path().join("uploads"), folder.path().join("local"));
        for root in [&volume, &copy] {
            for number in 0..200 {
                let path = root.join(format!("site-{}/file-{number:03}", number % 8));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, format!("content of {number}").repeat(20)).unwrap();
                let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + number);
                File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
            }
        }
        fs::write(volume.join("site-0/empty"), "").unwrap();
        fs::create_dir_all(volume.join(".salvor")).unwrap();
        fs::write(volume.join(MARKER), "").unwrap();
        Place { _folder: folder, volume, copy }
    }

    type Listing = HashMap<PathBuf, (Vec<u8>, SystemTime)>;

    fn listing(root: &Path) -> Listing {
        let one = |path: PathBuf| {
            let full = root.join(&path);
            (path, (fs::read(&full).unwrap(), fs::metadata(&full).unwrap().modified().unwrap()))
        };
        files(root).unwrap().into_iter().map(one).collect()
    }

    #[test]
    fn replays_the_outage() {
        let Place { volume, copy, _folder } = place();
        let before = listing(&volume);
        let copy_before = listing(&copy);
        let damage = break_volume(&volume, &[("local", &copy)], 1).unwrap();
        let after = listing(&volume);

        assert_eq!((damage.nameless.len(), damage.gone.len()), (16, 24));
        assert!((3..=4).contains(&damage.flipped.len()));
        for path in before.keys() {
            let lost = damage.nameless.contains(path) || damage.gone.contains(path);
            assert_eq!(after.contains_key(path), !lost, "{}", path.display());
        }
        for (path, (bytes, then)) in &after {
            let (old_bytes, old_then) = &before[path];
            assert_eq!(bytes != old_bytes, damage.flipped.contains(path), "{}", path.display());
            assert_eq!((bytes.len(), then), (old_bytes.len(), old_then), "{}", path.display());
        }

        let mut found: Vec<_> =
            fs::read_dir(volume.join("lost+found")).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(found.len(), 16);
        assert!(found.iter().all(|path| path.file_name().unwrap().as_bytes().starts_with(b"#")));
        let mut expected: Vec<_> = damage.nameless.iter().map(|path| before[path].0.clone()).collect();
        let mut bytes: Vec<_> = found.drain(..).map(|path| fs::read(path).unwrap()).collect();
        expected.sort();
        bytes.sort();
        assert_eq!(bytes, expected);

        let (name, path) = damage.bad_in_copy.unwrap();
        assert_eq!(name, "local");
        assert!(damage.gone.contains(&path));
        let changed: Vec<_> =
            listing(&copy).into_iter().filter(|(path, held)| copy_before[path].0 != held.0).collect();
        assert_eq!(changed.len(), 1);
        assert_eq!(changed[0].0, path);
        assert_eq!(changed[0].1.1, copy_before[&path].1);
        assert_eq!(changed[0].1.0.len(), copy_before[&path].0.len());
    }

    #[test]
    fn the_same_seed_does_the_same_damage() {
        let (a, b, c) = (place(), place(), place());
        let damage =
            |place: &Place, seed| break_volume(&place.volume, &[("local", &place.copy)], seed).unwrap();
        let done = damage(&a, 5);
        assert_eq!(done, damage(&b, 5));
        assert_ne!(done, damage(&c, 6));
    }

    #[test]
    fn a_second_time_works_on_what_is_left() {
        let Place { volume, copy, _folder } = place();
        let first = break_volume(&volume, &[("local", &copy)], 1).unwrap();
        let second = break_volume(&volume, &[("local", &copy)], 2).unwrap();
        assert!(second.gone.iter().all(|path| !first.gone.contains(path) && !first.nameless.contains(path)));
        let lost = fs::read_dir(volume.join("lost+found")).unwrap().count();
        assert_eq!(lost, first.nameless.len() + second.nameless.len());
    }

    #[test]
    fn real_data_is_never_damaged() {
        let Place { volume, copy, _folder } = place();
        fs::remove_file(volume.join(MARKER)).unwrap();
        let before = (listing(&volume), listing(&copy));
        let why = break_volume(&volume, &[("local", &copy)], 1).unwrap_err();
        assert!(why.to_string().contains(MARKER), "{why}");
        assert_eq!((listing(&volume), listing(&copy)), before);
    }

    #[test]
    fn without_a_copy_that_holds_the_file_none_is_spoiled() {
        let Place { volume, copy, _folder } = place();
        for path in files(&copy).unwrap() {
            fs::write(copy.join(path), "something else").unwrap();
        }
        let before = listing(&copy);
        assert_eq!(break_volume(&volume, &[("local", &copy)], 1).unwrap().bad_in_copy, None);
        assert_eq!(listing(&copy), before);
    }

    #[test]
    fn an_almost_empty_volume_is_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join(".salvor")).unwrap();
        fs::write(folder.path().join(MARKER), "").unwrap();
        assert_eq!(break_volume(folder.path(), &[], 1).unwrap(), Damage::default());
        fs::write(folder.path().join("only"), "one").unwrap();
        assert_eq!(break_volume(folder.path(), &[], 1).unwrap().flipped.len(), 1);
    }
}
