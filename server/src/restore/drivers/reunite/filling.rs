//! Matches of orphans and lost files, cut into segments.

use salvor_domain::progress::Amount;

use super::nameless::Match;
use crate::database::Tx;
use crate::restore::need::{Age, Rank};
use crate::restore::store::Job;
use crate::restore::store::orphans::{self, OrphanFor};
use crate::restore::store::segments::{self, Item, ItemState, NewSegment, SegmentKind};

/// A rename costs microseconds: segments are long, so that the database is not what takes the time.
const SEGMENT_FILES: usize = 8_000;

#[derive(Default)]
pub struct Filling {
    /// All that was added.
    pub total: Amount,
    items: Vec<Item>,
    orphans: Vec<OrphanFor>,
    /// Segments so far.
    number: i64,
}

impl Filling {
    pub fn add(&mut self, found: Match) {
        let Match { row, corrupt, taken } = found;
        self.total.files += 1;
        self.total.bytes += row.size;
        self.orphans.push(OrphanFor { path: row.path.clone(), taken });
        self.items.push(Item { path: row.path, size: row.size, corrupt });
    }

    pub fn is_full(&self) -> bool {
        self.items.len() >= SEGMENT_FILES
    }

    /// Writes down what is full, at the end everything.
    pub async fn record(&mut self, tx: &mut Tx, job: &Job, at_end: bool) -> sqlx::Result<()> {
        while self.is_full() || at_end && !self.items.is_empty() {
            let count = self.items.len().min(SEGMENT_FILES);
            let items: Vec<_> = self.items.drain(..count).collect();
            let orphans: Vec<_> = self.orphans.drain(..count).collect();
            if job.dry_run {
                continue;
            }
            // Among the first: what is on the volume itself is nearest, and no copy's lane has to wait for it.
            let rank = job.ticket.map_or(Rank::of(Age::Week, self.number), |_| Rank::TICKET);
            let segment = NewSegment {
                kind: SegmentKind::Work,
                rank,
                range: None,
                files: items.len() as u64,
                bytes: items.iter().map(|item| item.size).sum(),
                done_at: None,
            };
            self.number += 1;
            let id = segments::insert(tx, job.id, &segment).await?;
            segments::insert_items(tx, id, &items, ItemState::Waiting).await?;
            orphans::insert(tx, job.id, &orphans).await?;
        }
        Ok(())
    }
}
