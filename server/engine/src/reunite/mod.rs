//! Files whose names are lost: found, recognised by their bytes, and given their places back without copying a byte.
//!
//! [`Orphans`] is what lies in `lost+found` and the like, in little memory; who knows which bytes belong where asks it.
//! [`reunite_batch`] does the moving: a rename that never overwrites, after the file has its catalogued time and mode. Where
//! several paths should have the same bytes, one gets the file and the others a copy, by reflink where the file system can.
//!
//! What must always hold: bytes that were not read under the very identity that is moved ([`Stamp`]) are read again first
//! (I2); nothing is overwritten and a corrupt file in the way goes to quarantine (I3); one barrier comes before any outcome;
//! every access, also to the place of finding, goes beneath a [`Root`](crate::Root) (I6).

mod batch;
mod orphans;
mod sniff;

pub use batch::{ReuniteItem, ReuniteOptions, ReuniteReport, ReuniteResult, reunite_batch};
pub use orphans::{LostFolder, MOST_FOLDERS, Orphan, Orphans, Spare, Stamp, Standing, Taken};
pub use sniff::{sniff, sniff_file};

#[cfg(test)]
mod tests;
