//! The kernel's own word that a file system has hit an error (`FAN_FS_ERROR`, since Linux 5.16, from ext4), the moment it does. Takes
//! `CAP_SYS_ADMIN`. Where there is none of it, the timer finds out a little later.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

/// The crate has no name for it; without it the kernel tells no errors.
const REPORT_FID: u32 = 0x200;

pub struct Watch {
    group: Fanotify,
}

/// Why errors cannot be watched for, in words.
#[derive(Debug, thiserror::Error)]
#[error("the kernel does not tell of file systems' errors ({0}): they are found by the timer alone")]
pub struct Unwatchable(Errno);

impl Watch {
    pub fn open() -> Result<Self, Unwatchable> {
        let flags = InitFlags::FAN_CLASS_NOTIF | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK;
        let flags = flags | InitFlags::from_bits_retain(REPORT_FID);
        let group = Fanotify::init(flags, EventFFlags::O_CLOEXEC).map_err(Unwatchable)?;
        Ok(Self { group })
    }

    /// Watches the file systems of these folders. A mark goes with its file system when that is unmounted, so this is to be said again
    /// and again; twice does no harm. Gives how many are watched, and fails where it may not watch any.
    pub fn look_after(&self, points: &[PathBuf]) -> Result<usize, Unwatchable> {
        let mut watched = 0;
        for point in points {
            match self.mark(point) {
                Ok(()) => watched += 1,
                Err(errno @ (Errno::EPERM | Errno::ENOSYS | Errno::EINVAL)) => {
                    return Err(Unwatchable(errno));
                }
                // This one cannot be watched, as what comes over the network, or is just being unmounted.
                Err(_) => {}
            }
        }
        Ok(watched)
    }

    fn mark(&self, point: &Path) -> Result<(), Errno> {
        let flags = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_FILESYSTEM;
        self.group.mark(flags, MaskFlags::FAN_FS_ERROR, AT_FDCWD, Some(point))
    }

    /// Blocks until a file system reports an error, or until the time is up: then `false`.
    pub fn wait(&self, timeout: Duration) -> bool {
        let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
        let timeout = Timespec { tv_sec: seconds, tv_nsec: timeout.subsec_nanos().into() };
        let mut fds = [PollFd::new(&self.group, PollFlags::IN)];
        // Interrupted is like nothing heard.
        if !poll(&mut fds, Some(&timeout)).is_ok_and(|ready| ready > 0) {
            return false;
        }
        let mut heard = false;
        while let Ok(events) = self.group.read_events() {
            if events.is_empty() {
                break;
            }
            heard |= events.iter().any(|event| event.mask().contains(MaskFlags::FAN_FS_ERROR));
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_error_the_time_is_up() {
        let Ok(watch) = Watch::open() else { return eprintln!("skipped: no fanotify here") };
        match watch.look_after(&[PathBuf::from("/proc"), PathBuf::from("/does not exist")]) {
            Ok(watched) => assert!(watched <= 1),
            Err(why) => eprintln!("skipped: {why}"),
        }
        assert!(!watch.wait(Duration::from_millis(1)));
    }
}
