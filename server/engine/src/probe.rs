//! How long a small read of a volume takes just now: what others who read it feel.
//!
//! A nameless file of a few kilobytes is kept open and read past the cache, so that the read waits in the disk's queue like
//! any other. Where that cannot be done (no `O_TMPFILE`, no `O_DIRECT`, a read-only mount) there is no probe, and nothing
//! is said.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, fdatasync, openat};
use rustix::io::Errno;

use crate::root::Root;

/// What `O_DIRECT` asks for on every disk that is sold.
const BLOCK: usize = 4_096;

#[derive(Debug)]
pub struct LatencyProbe {
    file: File,
    /// Twice a block: a whole one lies in it at an even address.
    room: Vec<u8>,
}

impl LatencyProbe {
    /// # Errors
    /// Where the folder's file system has no nameless files, takes no write, or does not read past its cache.
    pub fn open(root: &Root) -> Result<Self, Errno> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = File::from(openat(root.handle(), ".", flags, Mode::RUSR | Mode::WUSR)?);
        file.write_all_at(&[0x5a; BLOCK], 0).map_err(|error| errno(&error))?;
        fdatasync(&file)?;
        fcntl_setfl(&file, fcntl_getfl(&file)? | OFlags::DIRECT)?;
        let mut probe = Self { file, room: vec![0; 2 * BLOCK] };
        probe.read()?;
        Ok(probe)
    }

    /// Reads once, and says how long that took.
    pub fn read(&mut self) -> Result<Duration, Errno> {
        let at = self.room.as_ptr().align_offset(BLOCK).min(BLOCK);
        let block = &mut self.room[at..at + BLOCK];
        let started = Instant::now();
        self.file.read_exact_at(block, 0).map_err(|error| errno(&error))?;
        Ok(started.elapsed())
    }
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_takes_its_time_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        // Not every file system reads past its cache; whoever asks is told.
        match LatencyProbe::open(&root) {
            Ok(mut probe) => assert!(probe.read().unwrap() > Duration::ZERO),
            Err(why) => eprintln!("no probe here: {why}"),
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
