//! Salvor's bytes: walk, hash, read from copies, write verified files, check, restore, protect.
//!
//! What lives here: everything that touches a customer's file. What does not: databases, the web, async, clocks; the
//! engine is plain threads over directory handles, and whoever calls it decides what to do and records what came of it.
//!
//! What must always hold:
//! - every access goes through a [`Root`], which resolves beneath one folder and follows no symbolic link (I6);
//! - a file becomes visible whole, verified and without overwriting another one (I3): see [`Sink`];
//! - nothing is reported as written before a barrier has made it durable (I2): see [`restore_stream`], [`protect_batch`];
//! - a copy whose bytes do not match is refused and named, and the next one is tried (I5);
//! - what could not be read is said to be unreadable, never missing and never good (I10).

mod adopt;
mod check;
mod control;
mod crew;
mod fault;
mod hash;
mod limit;
mod mark;
mod probe;
mod protect;
mod resolve;
mod restore;
mod reunite;
mod root;
mod sink;
mod source;
mod store;
mod walk;
mod xattr;

#[cfg(test)]
mod testing;

pub use adopt::{AdoptOptions, AdoptOutcome, Adopted, OnVolume, adopt_batch};
pub use check::{CheckOptions, CheckOutcome, Expected, check_batch, check_file};
pub use control::{Control, Progress, Stop, Stopped};
pub use fault::{EngineError, ReadFault, SourceFault, WriteFault, WriteFaultKind, bytes_for_people};
pub use hash::{Buffer, Hashed, hash_file};
pub use limit::{RateLimit, Rates};
pub use mark::MarkKind;
pub use probe::LatencyProbe;
pub use protect::{
    CopyResult, CopyTarget, Known, ProtectItem, ProtectOptions, ProtectOutcome, ProtectReport, ProtectResult,
    TargetPlace, protect_batch,
};
pub use restore::{
    CopyFault, CopyFaultKind, Gate, RestoreEnd, RestoreItem, RestoreOptions, RestoreOutcome, RestoreReport,
    RestoreResult, SourceHandle, restore_batch, restore_stream,
};
pub use reunite::{
    LostFolder, MOST_FOLDERS, Orphan, Orphans, ReuniteItem, ReuniteOptions, ReuniteReport, ReuniteResult,
    Spare, Stamp, Standing, Taken, reunite_batch, sniff, sniff_file,
};
pub use root::{FolderId, Kind, Listed, Root, Space, Stat};
pub use sink::{Attrs, Draft, Label, Quarantined, Sealed, Sink};
pub use source::{FsSource, Holding, Opened, Source, SourceStat};
pub use store::{Confirmed, Object, Store, Stored, Upload};
pub use walk::{Entry, Walk, WalkEvent};
