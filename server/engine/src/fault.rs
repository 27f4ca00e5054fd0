//! What can go wrong with a file, in words for the person who is woken by it.
//!
//! Every error number that matters is translated here and nowhere else. The words say what happened and, where there is
//! something to do, what would be right; the path stands beside them in the outcome.

use std::path::{Path, PathBuf};

use rustix::io::Errno;
use salvor_domain::path::shown;

use crate::control::Stopped;
use crate::root::Kind;

/// A folder that cannot serve as a volume or a copy, or an argument that cannot be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    #[error("the folder {} does not exist", path_for_people(.0))]
    NoFolder(PathBuf),
    #[error("{} is not a folder", path_for_people(.0))]
    NotAFolder(PathBuf),
    #[error("the folder {} cannot be opened: {reason}", path_for_people(.path))]
    Unusable { path: PathBuf, reason: String },
    #[error("\"{0}\" cannot name a quarantine folder: use letters, digits, - and _, at most 64")]
    BadLabel(String),
}

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadFault {
    #[error("there is no such file")]
    NotFound,
    #[error("{} stands where the file should be", .0.with_article())]
    NotAFile(Kind),
    /// A parent of the file is no folder: where, and what it is instead.
    #[error("{} is in the way: {}", .1.with_article(), shown(.0))]
    InTheWay(Vec<u8>, Kind),
    #[error("it was being changed while it was read")]
    ChangedWhileRead,
    #[error("{}", read_words(*.0))]
    Io(Errno),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Why a copy did not give a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceFault {
    #[error("this copy does not hold the file")]
    NotFound,
    /// The whole copy is away, not only this file: asking it for others is no use.
    #[error("the whole copy is out of reach: {0}")]
    Gone(String),
    #[error("{0}")]
    Io(String),
}

/// Why a file could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct WriteFault {
    pub kind: WriteFaultKind,
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteFaultKind {
    /// No space, or no room for more names.
    Full,
    /// The quota of Salvor's user is used up.
    Quota,
    ReadOnly,
    /// The root itself has vanished.
    Gone,
    /// The disk or its file system failed.
    Io,
    Denied,
    /// A file has the name already; nothing was overwritten.
    Exists,
    /// Something that is not a file, or a parent that is not a folder.
    InTheWay,
    /// The bytes were not those that were promised; nothing became visible.
    Mismatch,
    Other,
}

impl WriteFault {
    pub fn new(kind: WriteFaultKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }

    /// Whether every further file would meet the same fault: the job should stop and say so.
    pub fn is_fatal(&self) -> bool {
        use WriteFaultKind::*;
        matches!(self.kind, Full | Quota | ReadOnly | Gone)
    }
}

impl From<SourceFault> for WriteFault {
    fn from(fault: SourceFault) -> Self {
        match fault {
            SourceFault::Gone(why) => Self::new(WriteFaultKind::Gone, why),
            other => Self::new(WriteFaultKind::Io, other.to_string()),
        }
    }
}

impl Kind {
    pub(crate) fn with_article(self) -> &'static str {
        match self {
            Kind::File => "a file",
            Kind::Folder => "a folder",
            Kind::Symlink => "a symbolic link",
            Kind::Fifo => "a named pipe",
            Kind::Socket => "a socket",
            Kind::Device => "a device",
            Kind::Unknown => "something unknown",
        }
    }
}

/// `10.2 GB`: decimal units, as disks and links are sold.
pub fn bytes_for_people(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

pub(crate) fn path_for_people(path: &Path) -> String {
    shown(path.as_os_str().as_encoded_bytes())
}

pub(crate) fn read_words(errno: Errno) -> String {
    match errno {
        Errno::IO => "input/output error: the disk could not read it".into(),
        Errno::ACCESS | Errno::PERM => "permission denied: Salvor's user may not read it".into(),
        other => words(other),
    }
}

pub(crate) fn write_words(errno: Errno) -> String {
    match errno {
        Errno::IO => "input/output error: the disk could not write it".into(),
        Errno::ACCESS => "permission denied: Salvor's user may not write there".into(),
        Errno::PERM => "not permitted: the folder may be immutable or belong to someone else".into(),
        other => words(other),
    }
}

pub(crate) fn write_kind(errno: Errno) -> WriteFaultKind {
    use WriteFaultKind::*;
    match errno {
        Errno::NOSPC => Full,
        Errno::DQUOT => Quota,
        Errno::ROFS => ReadOnly,
        Errno::IO | Errno::UCLEAN | Errno::BADMSG | Errno::NXIO | Errno::NODEV => Io,
        Errno::ACCESS | Errno::PERM => Denied,
        Errno::EXIST => Exists,
        Errno::NOTDIR | Errno::LOOP | Errno::ISDIR => InTheWay,
        _ => Other,
    }
}

/// What an error of the standard library means, by its number where it has one.
pub(crate) fn io_words(error: &std::io::Error) -> String {
    Errno::from_io_error(error).map_or_else(|| error.to_string(), read_words)
}

fn words(errno: Errno) -> String {
    match errno {
        Errno::NOENT => "it is not there".into(),
        Errno::LOOP => "a symbolic link is in the way".into(),
        Errno::NOTDIR => "a file is in the way where a folder should be".into(),
        Errno::ISDIR => "a folder is in the way where a file should be".into(),
        Errno::EXIST => "a file of that name is there already".into(),
        Errno::NAMETOOLONG => "the name is longer than this file system allows".into(),
        Errno::NOSPC => "no space left".into(),
        Errno::DQUOT => "the disk quota of Salvor's user is used up".into(),
        Errno::ROFS => "the file system is mounted read-only".into(),
        Errno::FBIG => "the file is larger than this file system allows".into(),
        Errno::MLINK => "the file system takes no more links here".into(),
        Errno::XDEV => "it lies on another file system than the root of the volume".into(),
        Errno::MFILE | Errno::NFILE => {
            "too many open files: raise the limit (LimitNOFILE) of the service".into()
        }
        Errno::NOMEM => "the machine is out of memory".into(),
        Errno::STALE => "the file server no longer knows it (stale handle): mount it again".into(),
        Errno::TIMEDOUT => "the storage did not answer in time".into(),
        Errno::NXIO | Errno::NODEV => "the device under it is gone".into(),
        Errno::UCLEAN => "the file system's own data is damaged here: it needs its check".into(),
        Errno::BADMSG => "a checksum of the file system does not match here: it needs its check".into(),
        Errno::NOKEY => "it is encrypted and its key is not loaded".into(),
        Errno::TXTBSY => "it is being executed".into(),
        Errno::OPNOTSUPP => "this file system cannot do that".into(),
        other => std::io::Error::from(other).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        for (bytes, text) in
            [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_999, "1.0 MB"), (10_240_000_000, "10.2 GB")]
        {
            assert_eq!(bytes_for_people(bytes), text);
        }
        assert_eq!(bytes_for_people(u64::MAX), "18.4 EB");
    }

    #[test]
    fn reading_and_writing_say_what_the_disk_could_not_do() {
        assert_eq!(read_words(Errno::IO), "input/output error: the disk could not read it");
        assert_eq!(write_words(Errno::IO), "input/output error: the disk could not write it");
        let blocked = ReadFault::InTheWay(b"anna".to_vec(), Kind::Symlink);
        assert_eq!(blocked.to_string(), "a symbolic link is in the way: anna");
        assert_eq!(ReadFault::NotAFile(Kind::Folder).to_string(), "a folder stands where the file should be");
    }
}
