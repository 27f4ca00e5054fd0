//! Where bytes come from: the trait that every copy implements, and the copy that is a folder.
//!
//! A source promises nothing about its bytes; whoever reads them compares checksums. It does say whether one file is
//! missing from it or the whole copy is out of reach, because the first is a finding about a file and the second is not.
//! Remote sources live with the server, behind the same trait.

use std::io::Read;
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use salvor_domain::digest::Digest;
use salvor_domain::path::{FilePath, shown};

use crate::fault::{ReadFault, SourceFault, io_words};
use crate::root::{Kind, Root, Stat};
use crate::store::Store;
use crate::walk::{Walk, WalkEvent};
use crate::xattr;

pub trait Source: Send + Sync {
    /// The copy's name in the configuration.
    fn name(&self) -> &str;

    /// What the copy says of a file; [`SourceFault::NotFound`] when it does not hold it.
    fn stat(&self, path: &FilePath) -> Result<SourceStat, SourceFault>;

    fn open(&self, path: &FilePath) -> Result<Opened, SourceFault>;

    /// Opens for reading from `offset` on. The default reads and drops what comes before.
    fn open_at(&self, path: &FilePath, offset: u64) -> Result<Opened, SourceFault> {
        let mut opened = self.open(path)?;
        let skipped = std::io::copy(&mut opened.reader.by_ref().take(offset), &mut std::io::sink());
        match skipped {
            Ok(_) => Ok(opened),
            Err(error) => Err(SourceFault::Io(io_words(&error))),
        }
    }

    /// Names every file that the copy holds to `visit`, in no order that is promised. Ends early with `visit`'s `Break`.
    fn list(&self, visit: &mut dyn FnMut(Holding) -> ControlFlow<()>) -> Result<(), SourceFault>;

    /// Where the file's bytes lie in the copy: those of a batch are read in this order. `None`: in the order of their paths.
    fn location(&self, _path: &FilePath) -> Option<u64> {
        None
    }

    /// The same copy as one that objects are written to, where it is one.
    fn store(self: Arc<Self>) -> Option<Arc<dyn Store>> {
        None
    }

    /// How many files may be read from it at once: the fewest that make sense and the most that it is asked to bear.
    fn parallel(&self) -> RangeInclusive<usize> {
        1..=8
    }

    /// When what it holds was taken from the volume, where the copy itself says so.
    fn taken_at(&self) -> Option<SystemTime> {
        None
    }

    /// Whether it is to be opened anew before something new begins: its connection is broken, or what it knows of the copy
    /// has grown old. Answers at once.
    fn is_spent(&self) -> bool {
        false
    }

    /// How long it may be silent, while it is opened or read, before it is taken for hung. Longer than any time limit of
    /// its own, and than a disk takes that tries a bad sector again and again.
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// Whether the copy as a whole can be reached: asked when a read failed. The default believes that it can.
    fn reachable(&self) -> Result<(), SourceFault> {
        Ok(())
    }
}

/// A file as a copy's own list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    pub path: FilePath,
    pub stat: SourceStat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceStat {
    pub size: u64,
    /// Where the copy keeps it.
    pub mtime_ns: Option<i64>,
    /// The checksum that whoever wrote it there said it had: says which version it is, proves nothing of its bytes now.
    pub digest: Option<Digest>,
}

/// An open file of a copy, with what the copy knows of it besides its bytes.
pub struct Opened {
    pub reader: Box<dyn Read + Send>,
    pub size: Option<u64>,
    pub mode: Option<u32>,
    pub owner: Option<(u32, u32)>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Opened {
    /// A stream of bytes about which nothing else is known.
    pub fn plain(reader: Box<dyn Read + Send>) -> Self {
        Self { reader, size: None, mode: None, owner: None, xattrs: Vec::new() }
    }
}

/// A copy in a folder.
#[derive(Debug, Clone)]
pub struct FsSource {
    name: String,
    root: Arc<Root>,
}

impl FsSource {
    pub fn new(name: impl Into<String>, root: Arc<Root>) -> Self {
        Self { name: name.into(), root }
    }

    pub fn root(&self) -> &Arc<Root> {
        &self.root
    }

    fn open_file(&self, path: &FilePath) -> Result<(std::fs::File, Stat), SourceFault> {
        self.root.open_file(path).map_err(|fault| self.fault(&fault))
    }

    /// A copy that has been unmounted looks like one that holds nothing: tell them apart.
    fn fault(&self, fault: &ReadFault) -> SourceFault {
        match (self.reachable(), fault) {
            (Err(gone), _) => gone,
            (Ok(()), ReadFault::NotFound) => SourceFault::NotFound,
            (Ok(()), other) => SourceFault::Io(other.to_string()),
        }
    }
}

impl Source for FsSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn stat(&self, path: &FilePath) -> Result<SourceStat, SourceFault> {
        match self.root.stat(path) {
            Ok(Some(Stat { kind: Kind::File, size, mtime_ns, .. })) => {
                Ok(SourceStat { size, mtime_ns: Some(mtime_ns), digest: None })
            }
            Ok(Some(other)) => Err(SourceFault::Io(ReadFault::NotAFile(other.kind).to_string())),
            Ok(None) => Err(self.fault(&ReadFault::NotFound)),
            Err(fault) => Err(self.fault(&fault)),
        }
    }

    fn open(&self, path: &FilePath) -> Result<Opened, SourceFault> {
        let (file, stat) = self.open_file(path)?;
        Ok(Opened {
            size: Some(stat.size),
            mode: Some(stat.mode),
            owner: Some((stat.uid, stat.gid)),
            xattrs: xattr::of(&file),
            reader: Box::new(file),
        })
    }

    fn open_at(&self, path: &FilePath, offset: u64) -> Result<Opened, SourceFault> {
        let (file, stat) = self.open_file(path)?;
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(offset))
            .map_err(|errno| self.fault(&ReadFault::Io(errno)))?;
        let mut opened = Opened::plain(Box::new(file));
        opened.size = Some(stat.size);
        Ok(opened)
    }

    /// What cannot be read does not end the list: the others are named, and then the list fails, saying so.
    fn list(&self, visit: &mut dyn FnMut(Holding) -> ControlFlow<()>) -> Result<(), SourceFault> {
        let mut unread = None;
        for event in Walk::new(&self.root) {
            match event {
                WalkEvent::File(entry) => {
                    let stat = SourceStat { size: entry.size, mtime_ns: Some(entry.mtime_ns), digest: None };
                    if visit(Holding { path: entry.path, stat }).is_break() {
                        return Ok(());
                    }
                }
                WalkEvent::Unreadable { path, reason, .. } => {
                    unread.get_or_insert_with(|| format!("{}: {reason}", shown(&path)));
                }
                WalkEvent::Other { .. } => {}
            }
        }
        self.reachable()?;
        unread.map_or(Ok(()), |why| Err(SourceFault::Io(why)))
    }

    fn reachable(&self) -> Result<(), SourceFault> {
        self.root.reachable().map_err(SourceFault::Gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Tree, path};

    fn read(opened: Opened) -> Vec<u8> {
        let mut bytes = Vec::new();
        { opened.reader }.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_folder_gives_its_files_whole_or_from_an_offset() {
        let tree = Tree::new();
        tree.write("a", b"0123456789");
        let source = FsSource::new("local", Arc::new(tree.root()));
        assert_eq!(source.stat(&path("a")).unwrap().size, 10);
        let opened = source.open(&path("a")).unwrap();
        assert_eq!(opened.size, Some(10));
        assert_eq!(read(opened), b"0123456789");
        assert_eq!(read(source.open_at(&path("a"), 7).unwrap()), b"789");
    }

    #[test]
    fn a_missing_file_is_told_from_a_missing_copy() {
        let tree = Tree::new();
        tree.write("copy/a", b"x");
        std::os::unix::fs::symlink("a", tree.at("copy/link")).unwrap();
        let source = FsSource::new("local", Arc::new(Root::open(&tree.at("copy")).unwrap()));
        assert_eq!(source.stat(&path("b")).err(), Some(SourceFault::NotFound));
        assert_eq!(source.open(&path("b")).err(), Some(SourceFault::NotFound));
        let Err(SourceFault::Io(reason)) = source.open(&path("link")).map(drop) else { panic!() };
        assert_eq!(reason, "a symbolic link stands where the file should be");
        std::fs::rename(tree.at("copy"), tree.at("away")).unwrap();
        assert!(matches!(source.open(&path("b")), Err(SourceFault::Gone(_))));
        std::fs::create_dir(tree.at("copy")).unwrap();
        let Err(SourceFault::Gone(why)) = source.stat(&path("b")) else { panic!() };
        assert!(why.contains("unmounted or replaced"), "{why}");
    }
}
