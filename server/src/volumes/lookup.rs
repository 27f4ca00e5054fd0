//! What is known of single files, from the catalogue, the findings, the copies and the volume itself: what a ticket's
//! verdict is made of.

use salvor_domain::finding::{FindingKind, FindingState};
use salvor_domain::identity::doubt;
use salvor_domain::path::FilePath;
use salvor_engine::{Kind, MarkKind, ReadFault, Root};

use super::catalogue::{self, CatalogueRow};
use super::{findings, reach, service, store};
use crate::config::VolumeConfig;
use crate::core::Core;
use crate::error::Result;

#[derive(Debug, Clone, PartialEq)]
pub struct FileFacts {
    pub path: FilePath,
    pub known: Option<CatalogueRow>,
    /// Everything that was ever found about it.
    pub findings: Vec<(FindingKind, FindingState)>,
    /// Configured copies known to hold these very bytes, in order of preference.
    pub holders: Vec<String>,
    pub on_disk: OnDisk,
}

/// How the volume itself has a file, by a look just now. Its bytes were not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnDisk {
    /// Size and time of change as catalogued.
    Good,
    /// Written after it was catalogued, or not catalogued yet.
    Newer,
    /// Neither as catalogued nor newer, or not a file.
    Differs,
    Absent,
    /// The volume did not say; never to be taken for absent.
    Unknown(String),
}

/// The facts of each of `paths`, in their order.
pub async fn look_up(core: &Core, volume: &str, paths: &[FilePath]) -> Result<Vec<FileFacts>> {
    let config = service::configured(core, volume)?;
    let mut tx = core.db.read().await?;
    let row = service::found(store::volume(&mut tx, volume).await?, volume)?;
    let copies = service::configured_copies(config, store::copies(&mut tx, row.id).await?);
    let known = catalogue::get(&mut tx, row.id, paths).await?;
    let found = findings::of_files(&mut tx, row.id, paths).await?;
    let identity = store::identity(&mut tx, row.id, None).await?;
    let has_files = catalogue::has_any(&mut tx, row.id, None).await?;
    drop(tx);
    let known =
        |path: &FilePath| known.binary_search_by(|row| row.path.cmp(path)).ok().map(|at| known[at].clone());
    let holders = |row: &CatalogueRow| -> Vec<String> {
        copies.iter().filter(|copy| copy.holds(row.holders)).map(|copy| copy.name.clone()).collect()
    };
    let asked: Vec<_> = paths.iter().map(|path| (path.clone(), known(path))).collect();
    // A mount point without its disk has lost nothing.
    let is_place = move |root: &Root| {
        let sight = reach::look_at(root, MarkKind::Volume)?;
        let doubt = doubt(identity.as_ref(), &sight, has_files);
        doubt.map_or(Ok(()), |doubt| Err(doubt.words(&root.path().display().to_string())))
    };
    let on_disk = look(core, config, asked.clone(), is_place).await;
    let facts = asked.into_iter().zip(on_disk).map(|((path, known), on_disk)| FileFacts {
        findings: found
            .iter()
            .filter(|(of, ..)| *of == path)
            .map(|&(_, kind, state)| (kind, state))
            .collect(),
        holders: known.iter().flat_map(holders).collect(),
        path,
        known,
        on_disk,
    });
    Ok(facts.collect())
}

async fn look(
    core: &Core,
    volume: &VolumeConfig,
    asked: Vec<(FilePath, Option<CatalogueRow>)>,
    is_place: impl FnOnce(&Root) -> Result<(), String> + Send + 'static,
) -> Vec<OnDisk> {
    let count = asked.len();
    if let Some(host) = &volume.host {
        // Only its agent could say, and is not asked for each look.
        return vec![OnDisk::Unknown(format!("it lies on {host}")); count];
    }
    let path = volume.path.clone();
    let looks = reach::ask(&volume.path, core.patience.page, move || {
        let root = Root::open(&path).map_err(|why| why.to_string())?;
        is_place(&root)?;
        Ok(asked.iter().map(|(path, known)| one(&root, path, known.as_ref())).collect())
    });
    match looks.await {
        Ok(Ok(looks)) => looks,
        Ok(Err(reason)) => vec![OnDisk::Unknown(reason); count],
        Err(away) => vec![OnDisk::Unknown(away.to_string()); count],
    }
}

fn one(root: &Root, path: &FilePath, known: Option<&CatalogueRow>) -> OnDisk {
    match (root.stat(path), known) {
        (Err(ReadFault::NotFound | ReadFault::InTheWay(..)), _) => OnDisk::Absent,
        (Err(ReadFault::NotAFile(_)), _) => OnDisk::Differs,
        (Err(fault), _) => OnDisk::Unknown(fault.to_string()),
        (Ok(None), _) => OnDisk::Absent,
        (Ok(Some(stat)), _) if stat.kind != Kind::File => OnDisk::Differs,
        (Ok(Some(_)), None) => OnDisk::Newer,
        (Ok(Some(stat)), Some(row)) if (stat.size, stat.mtime_ns) == (row.size, row.mtime_ns) => OnDisk::Good,
        (Ok(Some(stat)), Some(row)) if stat.mtime_ns > row.mtime_ns => OnDisk::Newer,
        (Ok(Some(_)), Some(_)) => OnDisk::Differs,
    }
}
