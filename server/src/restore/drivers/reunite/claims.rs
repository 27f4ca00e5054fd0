//! Lost files that have their orphans, on their way into segments.

use salvor_domain::progress::Amount;

use super::nameless::Match;
use crate::database::Tx;
use crate::restore::drivers::filling::Filling;
use crate::restore::need::{Age, Rank};
use crate::restore::store::Job;
use crate::restore::store::orphans::{self, OrphanFor};
use crate::restore::store::segments::Item;

/// A rename costs microseconds: segments are long, so that the database is not what takes the time.
const SEGMENT: Amount = Amount { files: 8_000, bytes: u64::MAX };

pub struct Claims {
    filling: Filling,
    orphans: Vec<OrphanFor>,
}

impl Default for Claims {
    fn default() -> Self {
        // Among the first: what is on the volume itself is nearest, and no copy's lane has to wait for it.
        let filling = Filling::new(Rank::of(Age::Week, 0), None).with_most(SEGMENT);
        Self { filling, orphans: Vec::new() }
    }
}

impl Claims {
    pub fn add(&mut self, found: Match) {
        let Match { row, corrupt, taken } = found;
        self.orphans.push(OrphanFor { path: row.path.clone(), taken });
        self.filling.add(Item { path: row.path, size: row.size, corrupt });
    }

    /// All that was added.
    pub fn total(&self) -> Amount {
        self.filling.total
    }

    pub fn is_full(&self) -> bool {
        self.filling.is_full()
    }

    /// Writes down what is full, at the end everything.
    pub async fn record(&mut self, tx: &mut Tx, job: &Job, at_end: bool) -> sqlx::Result<()> {
        self.filling.record(tx, job, at_end).await?;
        let orphans = std::mem::take(&mut self.orphans);
        if job.dry_run { Ok(()) } else { orphans::insert(tx, job.id, &orphans).await }
    }
}
