//! The copies that are not folders: S3, WebDAV, SFTP and restic, behind the engine's traits.
//!
//! What lives here: where each kind of copy is, how it is listed, read and written, with retries and time limits. What does
//! not: which file comes from which copy, and whether its bytes are right; that is the engine's and the server's business.
//!
//! What must always hold: a copy that hangs or lies costs its own readers a bounded time and nobody else anything, and one
//! that cannot be reached is told from one that does not hold a file. No secret is ever part of a message.

mod object;
mod object_fault;
mod object_health;
mod object_open;
mod object_store;
pub mod place;
#[cfg(test)]
#[path = "../testing/proxy.rs"]
mod proxy;
mod restic;
mod restic_tree;
mod runtime;
pub mod secret;
mod sftp;
mod sftp_lane;
mod sftp_list;
mod sftp_login;
mod sftp_wire;

use std::sync::Arc;

use salvor_engine::{FsSource, Root, Source, SourceFault};

pub use object::{Limits, ObjectCopy};
pub use place::CopyPlace;
pub use restic::ResticSource;
pub use secret::Secret;
pub use sftp::SftpSource;

/// Opens a copy for reading. Blocks, for a bounded time.
pub fn open(place: &CopyPlace, name: &str) -> Result<Arc<dyn Source>, SourceFault> {
    match place {
        CopyPlace::Folder { path } => {
            let root = Root::open(path).map_err(|why| SourceFault::Gone(why.to_string()))?;
            Ok(Arc::new(FsSource::new(name, Arc::new(root))))
        }
        CopyPlace::S3(place) => Ok(Arc::new(ObjectCopy::s3(name, place, Limits::default())?)),
        CopyPlace::Webdav(place) => Ok(Arc::new(ObjectCopy::webdav(name, place, Limits::default())?)),
        CopyPlace::Sftp(place) => Ok(Arc::new(SftpSource::new(name, place.clone()))),
        CopyPlace::Restic(place) => Ok(Arc::new(ResticSource::open(name, place)?)),
    }
}
