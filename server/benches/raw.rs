//! What the file system alone bears: files copied by as many threads as there are processors, without names until they are
//! whole, and one barrier at the end. Nothing is verified and nothing recorded: the limit that a restore can come near to.
//!
//! `bench raw FROM TO` is such a copy; the benchmark of restores starts it as a contestant.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open, openat, syncfs};

use crate::Outcome;

/// Files that a thread takes at once.
const RUN: usize = 32;

/// Copies the folders of `from` whose names begin with `site`.
pub fn run(from: &Path, to: &Path) -> Outcome<()> {
    let mut folders = Vec::new();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("site") {
            list(&entry.path(), from, &mut folders, &mut files)?;
        }
    }
    for folder in &folders {
        std::fs::create_dir_all(to.join(folder))?;
    }
    files.sort_unstable();
    let left = Mutex::new(files.chunks(RUN));
    let failed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let mut room = Vec::new();
                loop {
                    let next = left.lock().map(|mut left| left.next());
                    let Ok(Some(run)) = next else { break };
                    if let Err(error) = run.iter().try_for_each(|file| copy(from, to, file, &mut room)) {
                        eprintln!("bench: raw: {error}");
                        failed.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    syncfs(File::open(to)?)?;
    if failed.into_inner() { Err("a file could not be copied".into()) } else { Ok(()) }
}

fn list(folder: &Path, from: &Path, folders: &mut Vec<PathBuf>, files: &mut Vec<PathBuf>) -> Outcome<()> {
    folders.push(folder.strip_prefix(from)?.to_owned());
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => list(&entry.path(), from, folders, files)?,
            false => files.push(entry.path().strip_prefix(from)?.to_owned()),
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, file: &Path, room: &mut Vec<u8>) -> std::io::Result<()> {
    room.clear();
    File::open(from.join(file))?.read_to_end(room)?;
    let place = to.join(file);
    let folder = open(place.parent().unwrap_or(to), OFlags::DIRECTORY | OFlags::PATH, Mode::empty())?;
    let nameless = openat(&folder, ".", OFlags::TMPFILE | OFlags::WRONLY, Mode::RUSR | Mode::WUSR)?;
    let mut nameless = File::from(nameless);
    nameless.write_all(room)?;
    let mut itself = OsString::from("/proc/self/fd/");
    itself.push(std::os::fd::AsRawFd::as_raw_fd(&nameless).to_string());
    linkat(CWD, &itself, &folder, place.file_name().unwrap_or_default(), AtFlags::SYMLINK_FOLLOW)?;
    Ok(())
}
