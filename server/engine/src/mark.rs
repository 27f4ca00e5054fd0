//! The mark of a place: one small file in `.salvor` by which a volume or a copy is known again. What it means is decided by
//! [`salvor_domain::identity`]; here it is read and written.

use std::io::{Read, Write};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use salvor_domain::identity::{FileSystem, Sight};
use salvor_domain::path::OWN_FOLDER;

use crate::fault::{ReadFault, WriteFault};
use crate::root::{Root, is_own};

/// Which mark: a tree that was copied from a volume to a copy, or back, brings the other's along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum MarkKind {
    Volume,
    Copy,
}

impl MarkKind {
    fn name(self) -> &'static str {
        match self {
            Self::Volume => "volume-id",
            Self::Copy => "copy-id",
        }
    }
}

/// Longer ones were not written by Salvor.
const LONGEST: u64 = 128;
/// Where a file system's own check puts what it finds: new ones have it, empty.
const LOST_AND_FOUND: &[u8] = b"lost+found";

impl Root {
    /// What tells this place from another.
    pub fn sight(&self, kind: MarkKind) -> Result<Sight, ReadFault> {
        let facts = fs::fstatvfs(self.handle()).map_err(ReadFault::Io)?;
        let file_system = FileSystem { id: facts.f_fsid, device: self.dev };
        Ok(Sight { mark: self.mark(kind)?, file_system, is_bare: self.is_bare().map_err(ReadFault::Io)? })
    }

    /// An empty or foreign file is no mark.
    fn mark(&self, kind: MarkKind) -> Result<Option<String>, ReadFault> {
        let opened =
            self.folder(OWN_FOLDER).and_then(|folder| self.open_at(&folder.handle, kind.name().as_bytes()));
        let file = match opened {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(ReadFault::Io(errno)),
        };
        let mut text = String::new();
        if file.take(LONGEST + 1).read_to_string(&mut text).is_err() || text.len() as u64 > LONGEST {
            return Ok(None);
        }
        let mark = text.trim();
        Ok((!mark.is_empty()).then(|| mark.to_owned()))
    }

    /// Durable when it returns; what was there before is replaced.
    pub fn set_mark(&self, kind: MarkKind, mark: &str) -> Result<(), WriteFault> {
        let written = || -> Result<(), Errno> {
            let folder = self.folder_made(OWN_FOLDER)?;
            let draft = format!("{}.new", kind.name());
            let handle = fs::openat(
                &folder.handle,
                draft.as_str(),
                OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::from_raw_mode(0o644),
            )?;
            let mut file = std::fs::File::from(handle);
            let whole = file.write_all(format!("{mark}\n").as_bytes()).and_then(|()| file.sync_all());
            whole.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            fs::renameat(&folder.handle, draft.as_str(), &folder.handle, kind.name())?;
            // Kept handles are only good for resolving.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            fs::fsync(fs::openat(&folder.handle, ".", flags, Mode::empty())?)?;
            fs::fsync(self.handle())
        };
        written().map_err(|errno| self.write_fault(None, errno))
    }

    fn is_bare(&self) -> Result<bool, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        for entry in fs::Dir::new(fs::openat(self.handle(), ".", flags, Mode::empty())?)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") && name != LOST_AND_FOUND && !is_own(name) {
                return Ok(false);
            }
        }
        // Files whose names were lost are somebody's.
        match self.list_bytes(LOST_AND_FOUND) {
            Ok(found) => Ok(found.is_empty()),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::PERM) => Ok(true),
            Err(errno) => Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn a_mark_stays_where_everything_else_is_removed() {
        let tree = Tree::new();
        let root = tree.root();
        assert!(root.sight(MarkKind::Volume).unwrap().is_bare);
        root.set_mark(MarkKind::Volume, "one").unwrap();
        root.set_mark(MarkKind::Volume, "two").unwrap();
        tree.write("anna/a", b"x");
        let sight = root.sight(MarkKind::Volume).unwrap();
        assert_eq!((sight.mark.as_deref(), sight.is_bare), (Some("two"), false));
        assert_eq!(root.sight(MarkKind::Copy).unwrap().mark, None);
        std::fs::remove_dir_all(tree.at("anna")).unwrap();
        let sight = root.sight(MarkKind::Volume).unwrap();
        assert_eq!((sight.mark.as_deref(), sight.is_bare), (Some("two"), true));
        assert_eq!(tree.everything(), [".salvor/volume-id"], "and nothing else is left");
    }

    #[test]
    fn an_empty_or_foreign_file_is_no_mark() {
        let tree = Tree::new();
        for content in [&b""[..], b"\n", b"\xff\xfe", &[b'x'; 500]] {
            tree.write(".salvor/volume-id", content);
            assert_eq!(tree.root().sight(MarkKind::Volume).unwrap().mark, None);
        }
        tree.write("lost+found/#12", b"somebody's");
        assert!(!tree.root().sight(MarkKind::Volume).unwrap().is_bare);
    }
}
