//! `/dev/kmsg`, read on from where it was read to.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use salvor_domain::health::{Level, Probe, Reading};

use crate::kernel_log::{self, Ledger};

/// Records that are read at one time.
const MOST_RECORDS: usize = 100_000;
/// Longer than any record.
const BUFFER: usize = 16 << 10;

pub(super) struct KernelLog {
    file: PathBuf,
    uptime: PathBuf,
    opened: Option<File>,
    pub ledger: Ledger,
    refused: Option<String>,
}

impl KernelLog {
    pub fn new(proc: &Path, dev: &Path) -> Self {
        let (file, uptime) = (dev.join("kmsg"), proc.join("uptime"));
        Self { file, uptime, opened: None, ledger: Ledger::default(), refused: None }
    }

    /// Takes in what is new. Where it may not be read: a reading of the host that says so.
    pub fn read(&mut self) -> Option<Reading> {
        if self.opened.is_none() {
            let flags = OFlags::NONBLOCK.bits().cast_signed();
            match File::options().read(true).custom_flags(flags).open(&self.file) {
                Ok(file) => (self.opened, self.refused) = (Some(file), None),
                Err(why) => self.refused = Some(why.to_string()),
            }
        }
        if let Some(why) = &self.refused {
            let why = format!(
                "the kernel's log is not read: {}: {why}; give Salvor CAP_SYSLOG",
                self.file.display()
            );
            return Some(Reading::new(Probe::KernelLog, "host", Level::Unknown, why));
        }
        self.records();
        self.ledger.forget(self.seconds_since_start());
        None
    }

    pub fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    fn records(&mut self) {
        let Some(mut file) = self.opened.as_ref() else { return };
        let mut buffer = vec![0; BUFFER];
        for _ in 0..MOST_RECORDS {
            match file.read(&mut buffer) {
                Ok(0) => return,
                Ok(read) => {
                    let text = String::from_utf8_lossy(&buffer[..read]);
                    kernel_log::lines(&text).for_each(|line| self.ledger.note(&line));
                }
                // Records were overwritten before they were read; the next read goes on after them.
                Err(why) if why.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => {}
                Err(why) if why.kind() == std::io::ErrorKind::Interrupted => {}
                // `WouldBlock`: that was all. Anything else: from the beginning of what is kept, the next time.
                Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => return self.opened = None,
            }
        }
    }

    fn seconds_since_start(&self) -> f64 {
        let text = std::fs::read_to_string(&self.uptime).unwrap_or_default();
        text.split_whitespace().next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0.0)
    }
}
