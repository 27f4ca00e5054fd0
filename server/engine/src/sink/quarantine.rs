//! Quarantine: a corrupt file makes room and is never deleted. It keeps its path, below a folder for each job.

use rustix::fs::{self, AtFlags};
use rustix::io::Errno;
use salvor_domain::path::{FilePath, OWN_FOLDER};

use super::Sink;
use crate::fault::{EngineError, WriteFault};
use crate::resolve::split;
use crate::root::{Stat, rename_new, stat_at};

/// The name of a folder within the quarantine, for instance a job's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label(String);

impl Label {
    pub fn new(label: impl Into<String>) -> Result<Self, EngineError> {
        let label = label.into();
        let fits = (1..=64).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if fits { Ok(Self(label)) } else { Err(EngineError::BadLabel(label)) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What became of a file that was to be moved out of the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quarantined {
    /// It lies here now, relative to the root.
    Moved(Vec<u8>),
    /// Another file has taken the name since it was looked at (or none is there): nothing was moved.
    Different,
}

impl Sink {
    /// Moves a file to `.salvor/quarantine/LABEL/PATH`, provided it is still the one that `seen` describes. It is never
    /// deleted and never overwrites an earlier one: a taken place gets `~2` and so on after the label.
    pub fn quarantine(&self, path: &FilePath, seen: &Stat, label: &Label) -> Result<Quarantined, WriteFault> {
        self.set_aside(path, seen, label, true)
    }

    /// As [`Sink::quarantine`], but the file keeps its place as well (a second link), so that a rename over it follows.
    pub(crate) fn quarantine_link(
        &self,
        path: &FilePath,
        seen: &Stat,
        label: &Label,
    ) -> Result<Quarantined, WriteFault> {
        self.set_aside(path, seen, label, false)
    }

    fn set_aside(
        &self,
        path: &FilePath,
        seen: &Stat,
        label: &Label,
        move_away: bool,
    ) -> Result<Quarantined, WriteFault> {
        self.set_aside_raw(path, seen, label, move_away).map_err(|errno| {
            let fault = self.root.write_fault(Some(path), errno);
            WriteFault { reason: format!("it could not be moved to quarantine: {}", fault.reason), ..fault }
        })
    }

    fn set_aside_raw(
        &self,
        path: &FilePath,
        seen: &Stat,
        label: &Label,
        move_away: bool,
    ) -> Result<Quarantined, Errno> {
        let name = path.file_name();
        let holder = self.root.folder(path.parent())?;
        match stat_at(&holder.handle, name) {
            Ok(now) if is_same(&now, seen) => {}
            Ok(_) | Err(Errno::NOENT) => return Ok(Quarantined::Different),
            Err(errno) => return Err(errno),
        }
        let mut attempt = 1;
        loop {
            let place = quarantine_path(label, attempt, path);
            let (parent, _) = split(&place);
            let set_aside = self.root.folder_made(parent).and_then(|quarantine| {
                if move_away {
                    rename_new(&holder.handle, name, &quarantine.handle, name)?;
                } else {
                    fs::linkat(&holder.handle, name, &quarantine.handle, name, AtFlags::empty())?;
                }
                let moved = stat_at(&quarantine.handle, name)?;
                if is_same(&moved, seen) {
                    return Ok(true);
                }
                // Someone put a new file there in the last instant: it must not be the one that disappears.
                if move_away {
                    match rename_new(&quarantine.handle, name, &holder.handle, name) {
                        // Yet another one has its place already: both are kept.
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(errno),
                    }
                } else {
                    fs::unlinkat(&quarantine.handle, name, AtFlags::empty())?;
                }
                Ok(false)
            });
            match set_aside {
                Ok(true) => return Ok(Quarantined::Moved(place)),
                Ok(false) | Err(Errno::NOENT) => return Ok(Quarantined::Different),
                // Taken, or a file quarantined earlier stands where this one needs a folder.
                Err(Errno::EXIST | Errno::NOTDIR) if attempt < 1000 => attempt += 1,
                Err(errno) => return Err(errno),
            }
        }
    }
}

fn quarantine_path(label: &Label, attempt: u32, path: &FilePath) -> Vec<u8> {
    let folder = if attempt == 1 { label.0.clone() } else { format!("{}~{attempt}", label.0) };
    [OWN_FOLDER, b"/quarantine/", folder.as_bytes(), b"/", path.as_bytes()].concat()
}

/// A rename changes the ctime, so it is not compared.
fn is_same(now: &Stat, seen: &Stat) -> bool {
    let facts = |stat: &Stat| (stat.kind, stat.dev, stat.ino, stat.size, stat.mtime_ns);
    facts(now) == facts(seen)
}
