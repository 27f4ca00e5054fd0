//! A look at one file of the primary. The volume's folder is opened anew each time: that costs next to nothing, what is mounted there
//! may have changed, and a folder that is kept open could not be unmounted.

use std::fs::File;
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use salvor_domain::gateway::Standing;
use salvor_domain::path::FilePath;
use salvor_engine::{MarkKind, ReadFault, Root};

use super::lane::Miss;
use super::rows::Entry;

/// Files up to this size are read whole, and verified, before anything of them goes out.
pub const SMALL: u64 = 1 << 20;

#[derive(Debug)]
pub struct Look {
    pub file: File,
    pub size: u64,
    pub mtime_ns: i64,
    pub ctime_ns: i64,
    pub standing: Standing,
    /// Of a small file, where it was to be read.
    pub bytes: Option<Vec<u8>>,
}

/// Blocks. `entry` is what the catalogue knows of the file; with `read` a small file is read, and verified once.
pub fn look(volume: &Path, path: &FilePath, entry: Option<&Entry>, read: bool) -> Result<Look, Miss> {
    let root = Root::open(volume).map_err(|why| Miss::Broken(why.to_string()))?;
    let known = entry.and_then(|entry| entry.known.as_ref());
    let (file, stat) = match root.open_file(path) {
        Ok(opened) => opened,
        Err(fault) if is_absence(&fault) => {
            return Err(if known.is_none() && is_bare(&root) { no_disk() } else { Miss::Absent });
        }
        Err(fault) => return Err(Miss::Broken(fault.to_string())),
    };
    let standing = Standing::of(known, stat.size, stat.mtime_ns);
    let is_served = matches!(standing, Standing::AsCatalogued | Standing::New);
    let mut bytes = None;
    if read && is_served && stat.size <= SMALL {
        let whole = read_whole(&file, stat.size)?;
        if let (Standing::AsCatalogued, Some(entry), Some(known)) = (standing, entry, known)
            && !entry.is_proven(stat.ctime_ns)
        {
            if blake3::hash(&whole).as_bytes() != &known.digest.0 {
                return Err(Miss::Wrong("its bytes are not the catalogue's".into()));
            }
            entry.prove(stat.ctime_ns);
        }
        bytes = Some(whole);
    }
    Ok(Look { file, size: stat.size, mtime_ns: stat.mtime_ns, ctime_ns: stat.ctime_ns, standing, bytes })
}

/// Of a file that was `size` bytes long a moment ago.
fn read_whole(file: &File, size: u64) -> Result<Vec<u8>, Miss> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size {
        match rustix::io::read(file, spare_capacity(&mut bytes)) {
            Ok(0) => return Err(Miss::Broken(ReadFault::ChangedWhileRead.to_string())),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Miss::Broken(ReadFault::Io(errno).to_string())),
        }
    }
    bytes.truncate(size);
    Ok(bytes)
}

/// Nothing that may be given out has this name.
fn is_absence(fault: &ReadFault) -> bool {
    match fault {
        ReadFault::NotFound | ReadFault::NotAFile(_) | ReadFault::InTheWay(..) => true,
        ReadFault::Io(errno) => {
            matches!(*errno, Errno::NAMETOOLONG | Errno::LOOP | Errno::NOTDIR | Errno::ACCESS | Errno::PERM)
        }
        ReadFault::ChangedWhileRead | ReadFault::Stopped(_) => false,
    }
}

/// A volume's folder without a file and without Salvor's mark is most likely a disk that is not mounted.
fn is_bare(root: &Root) -> bool {
    root.sight(MarkKind::Volume).is_ok_and(|sight| sight.is_bare && sight.mark.is_none())
}

fn no_disk() -> Miss {
    Miss::Broken("the volume's folder is empty: its disk may not be mounted".into())
}
