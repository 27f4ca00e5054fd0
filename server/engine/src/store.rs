//! A copy that keeps whole objects instead of files: a bucket, a WebDAV server.
//!
//! What is different from a folder: an object appears whole and is durable once the store has said so, so that there is
//! neither a draft without a name nor a barrier; and every question costs a round trip. Names are text there.

use salvor_domain::digest::Digest;
use salvor_domain::path::FilePath;

use crate::fault::WriteFault;
use crate::sink::Label;
use crate::source::{Source, SourceStat};

pub trait Store: Source {
    /// What the store has under that name; `None`: nothing.
    fn look(&self, path: &FilePath) -> Result<Option<Stored>, WriteFault>;

    /// Begins to store an object, in the place of `over` or where nothing is. Where the store can compare, it refuses with
    /// [`crate::WriteFaultKind::Exists`] when someone else has written there meanwhile.
    fn upload(
        &self,
        path: &FilePath,
        object: &Object,
        over: Option<&Stored>,
    ) -> Result<Box<dyn Upload>, WriteFault>;

    /// Keeps another copy of what is there, within the store: `.salvor/quarantine/LABEL/PATH`, which it gives.
    fn set_aside(&self, path: &FilePath, label: &Label) -> Result<Vec<u8>, WriteFault>;
}

/// An object that is being stored. Dropped before [`Upload::finish`], nothing is to be seen of it.
pub trait Upload: Send {
    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteFault>;

    /// The store has it whole and durably when this returns, and was asked whether that is so.
    fn finish(self: Box<Self>) -> Result<Confirmed, WriteFault>;
}

/// What a store's word that it has an object rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// A checksum of the bytes that arrived.
    ByChecksum,
    /// Their number alone: whether they are the right ones is known when they were read again.
    BySize,
}

/// What is stored along with an object's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object {
    pub size: u64,
    pub mtime_ns: i64,
    pub digest: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub stat: SourceStat,
    /// The store's own mark of this very version (an ETag), where it has one.
    pub version: Option<String>,
}
