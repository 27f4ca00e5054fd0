//! Clearing away what jobs of long ago left; a server does it now and then.

use chrono::TimeDelta;

use crate::core::Core;
use crate::error::Result;
use crate::restore::store::{disk_checks, orphans, prune};

/// How long items that are done are kept, of jobs of few files.
const ITEMS_KEPT: TimeDelta = TimeDelta::days(30);
/// Segments whose items are forgotten in one transaction, and transactions in one go.
const SEGMENTS: u32 = 20;
const GOES: usize = 100;

pub async fn forget(core: &Core) -> Result<()> {
    let before = core.clock.now() - ITEMS_KEPT;
    for _ in 0..GOES {
        // Looking holds up nobody; only who finds something asks for the right to write.
        if !prune::has_old_items(&mut core.db.read().await?, before).await? {
            break;
        }
        let mut tx = core.db.begin().await?;
        prune::forget_items(&mut tx, before, SEGMENTS).await?;
        tx.commit().await?;
    }
    let mut tx = core.db.begin().await?;
    orphans::forget_old(&mut tx, before).await?;
    disk_checks::forget_old(&mut tx, before).await?;
    tx.commit().await?;
    Ok(())
}
