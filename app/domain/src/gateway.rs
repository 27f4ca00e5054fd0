//! The rules of the gateway, which hands out customers' files: what a request names and asks for, what is told to whom has a
//! file already, which source may give it, and when a source is left alone for a while. No bytes and no headers live here.

pub mod breaker;
pub mod condition;
pub mod range;
pub mod target;

use crate::digest::Digest;
use crate::volume::FileState;

/// What the catalogue knows of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    pub size: u64,
    pub mtime_ns: i64,
    pub digest: Digest,
    pub state: FileState,
    /// The bits of the copies that hold these very bytes.
    pub holders: u64,
}

/// How the file on the primary stands to what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Size and time are the catalogue's: so should be its bytes.
    AsCatalogued,
    /// Written after it was catalogued, or never was: only the primary has it.
    New,
    /// Neither: damaged, or put there by somebody. The copies have what the catalogue knows.
    Doubtful,
    /// Its owner deleted it, and what lies there is not newer than that.
    Deleted,
}

impl Standing {
    pub fn of(known: Option<&Known>, size: u64, mtime_ns: i64) -> Self {
        match known {
            None => Self::New,
            Some(known) if mtime_ns > known.mtime_ns => Self::New,
            Some(known) if known.state == FileState::Tombstone => Self::Deleted,
            // A check has read it and found other bytes.
            Some(known) if known.state == FileState::Corrupt => Self::Doubtful,
            Some(known) if (known.size, known.mtime_ns) == (size, mtime_ns) => Self::AsCatalogued,
            Some(_) => Self::Doubtful,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_newer_counts_as_new_and_what_is_deleted_stays_so() {
        let known = |state| Known { size: 3, mtime_ns: 10, digest: Digest([0; 32]), state, holders: 0 };
        let of = |state, size, mtime| Standing::of(Some(&known(state)), size, mtime);
        assert_eq!(Standing::of(None, 3, 10), Standing::New);
        assert_eq!(of(FileState::Present, 3, 10), Standing::AsCatalogued);
        // It was missing and is back.
        assert_eq!(of(FileState::Missing, 3, 10), Standing::AsCatalogued);
        assert_eq!(of(FileState::Present, 9, 11), Standing::New);
        assert_eq!(of(FileState::Present, 2, 10), Standing::Doubtful);
        assert_eq!(of(FileState::Present, 3, 9), Standing::Doubtful);
        assert_eq!(of(FileState::Corrupt, 3, 10), Standing::Doubtful);
        assert_eq!(of(FileState::Corrupt, 3, 11), Standing::New);
        assert_eq!(of(FileState::Tombstone, 3, 10), Standing::Deleted);
        assert_eq!(of(FileState::Tombstone, 3, 11), Standing::New, "it was put there again");
    }
}
