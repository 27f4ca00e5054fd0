//! What a check says of nameless files: their type and size, and where they belong; by their bytes in a full check, by their
//! size alone in a quick one.

use std::collections::HashMap;
use std::sync::Arc;

use salvor_domain::finding::FindingCounts;
use salvor_domain::path::FilePath;
use salvor_domain::volume::FileState;
use salvor_engine::Root;

use crate::restore::drivers::reunite::{self, Nameless, Telling};
use crate::restore::planner::Scope;
use crate::restore::store::figures;
use crate::restore::work::{Halt, Work};
use crate::volumes::catalogue::{self, CatalogueRow};
use crate::volumes::findings;

/// Rows of the catalogue that are looked at at a time.
const PAGE: u32 = 4_000;

/// Names what lies in `lost+found`: the volume's, and (in a check of everything) that of the file system above it, whose
/// files the check has not counted yet.
pub async fn name(work: &Work, root: &Arc<Root>, full: bool, scope: &Scope) -> Result<(), Halt> {
    let mut nameless = Nameless::find(work, root, &[]).await?;
    if nameless.is_empty() {
        return Ok(());
    }
    let telling = compared(work, &mut nameless, full).await?;
    let mut from = Some(0);
    while let Some(start) = from {
        let (mut told, next) = nameless.told(work, start, &telling).await?;
        from = next;
        told.retain(|told| {
            if told.in_volume { scope.contains(told.path.as_bytes()) } else { scope.is_everything() }
        });
        let uncounted = told.iter().filter(|told| !told.in_volume).count() as u64;
        let (mut tx, job) = work.begin().await?;
        let longest = tx.longest_path();
        let found: Vec<_> = told.into_iter().filter_map(|told| reunite::finding(told, longest)).collect();
        findings::report(&mut tx, work.place.volume.id, job.id, work.core.clock.now(), &found).await?;
        let counts = FindingCounts { orphan: uncounted, ..FindingCounts::default() };
        figures::add_findings(&mut tx, job.id, &counts).await?;
        work.commit(tx, &job).await?;
    }
    Ok(())
}

/// One pass over the catalogue.
async fn compared(work: &Work, nameless: &mut Nameless, full: bool) -> Result<Telling, Halt> {
    let mut missing: HashMap<u64, (FilePath, u64)> = HashMap::new();
    let mut after = Vec::new();
    loop {
        let mut tx = work.core.db.read().await?;
        let page = catalogue::after(&mut tx, work.place.volume.id, Some(&after), PAGE).await?;
        drop(tx);
        let Some(last) = page.last() else { break };
        after = last.path.as_bytes().to_vec();
        if full {
            nameless.sort_out(work, page).await?;
        } else {
            let may_be = |row: &CatalogueRow| row.state == FileState::Missing && nameless.has_size(row.size);
            for row in page.into_iter().filter(may_be) {
                missing.entry(row.size).or_insert((row.path, 0)).1 += 1;
            }
        }
    }
    Ok(if full { Telling::All } else { Telling::BySize(Arc::new(missing)) })
}
