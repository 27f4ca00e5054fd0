//! Files that their owner deleted while they were on their way back (I4).
//!
//! A segment's rows of the catalogue are read once, and minutes may pass before the last of its files has its place. So
//! whoever records what is in place asks what of it has a tombstone by now, and takes that away again: into the quarantine,
//! where an operator finds it.

use std::collections::HashSet;

use salvor_domain::path::FilePath;
use salvor_domain::volume::FileState;
use salvor_engine::{Label, Sink};

use crate::database::Tx;
use crate::restore::work::{Halt, Work};
use crate::volumes::catalogue::{self, CatalogueRow};

/// Marks files as verified and in place; gives those that have a tombstone instead, which are in their places no more.
/// Others who change the catalogue of this volume wait until the transaction ends.
pub async fn verified(
    work: &Work,
    tx: &mut Tx,
    target: &Sink,
    done: &[&FilePath],
) -> Result<HashSet<FilePath>, Halt> {
    let volume = work.place.volume.id;
    tx.one_at_a_time(volume).await?;
    let paths: Vec<FilePath> = done.iter().map(|&path| path.clone()).collect();
    let present = catalogue::verified(tx, volume, &paths, work.core.clock.now()).await?;
    if present == paths.len() as u64 {
        return Ok(HashSet::new());
    }
    let rows = catalogue::get(tx, volume, &paths).await?;
    let dead: Vec<_> = rows.into_iter().filter(|row| row.state == FileState::Tombstone).collect();
    set_aside(work, target, dead).await
}

/// Takes files with a tombstone out of their places, where they are as the catalogue had them: then somebody brought them
/// back before their owner's word was known. Gives the paths of all of them.
pub async fn set_aside(
    work: &Work,
    target: &Sink,
    dead: Vec<CatalogueRow>,
) -> Result<HashSet<FilePath>, Halt> {
    let (target, label) = (target.clone(), work.label()?);
    let moving = move || {
        dead.iter().for_each(|row| set_one_aside(&target, row, &label));
        dead.into_iter().map(|row| row.path).collect()
    };
    tokio::task::spawn_blocking(moving).await.map_err(Halt::panicked)
}

fn set_one_aside(target: &Sink, row: &CatalogueRow, label: &Label) {
    let Ok(Some(there)) = target.root().stat(&row.path) else { return };
    if (there.size, there.mtime_ns) != (row.size, row.mtime_ns) {
        return;
    }
    if let Err(fault) = target.quarantine(&row.path, &there, label) {
        tracing::error!(%fault, path = %row.path, "a file that its owner deleted meanwhile could not be taken away again");
    }
}
