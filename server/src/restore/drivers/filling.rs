//! The files of a plan, cut into segments of work while the plan is made.

use salvor_domain::progress::Amount;
use salvor_domain::segment::{SEGMENT_BYTES, SEGMENT_FILES};

use crate::database::Tx;
use crate::restore::need::Rank;
use crate::restore::store::Job;
use crate::restore::store::segments::{self, Item};

/// What comes one after the other into segments of one rank and one copy.
#[derive(Debug)]
pub struct Filling {
    /// All that was added.
    pub total: Amount,
    /// A segment is full with as much, whichever comes first.
    most: Amount,
    first_rank: i64,
    source_bit: Option<u8>,
    open: Vec<Item>,
    open_bytes: u64,
    full: Vec<Vec<Item>>,
    /// Segments that were written down.
    number: i64,
}

impl Default for Filling {
    fn default() -> Self {
        Self::new(0, None)
    }
}

impl Filling {
    /// The first segment gets this rank and those after it the next ones; they are read from the copy with this bit.
    pub fn new(first_rank: i64, source_bit: Option<u8>) -> Self {
        let most = Amount { files: SEGMENT_FILES, bytes: SEGMENT_BYTES };
        let (total, open, open_bytes, full, number) = Default::default();
        Self { total, most, first_rank, source_bit, open, open_bytes, full, number }
    }

    /// Longer segments, each full with as much.
    pub fn with_most(self, most: Amount) -> Self {
        Self { most, ..self }
    }

    pub fn add(&mut self, item: Item) {
        self.total += Amount::file(item.size);
        self.open_bytes += item.size;
        self.open.push(item);
        if self.open.len() as u64 >= self.most.files || self.open_bytes >= self.most.bytes {
            self.close();
        }
    }

    /// Whether a segment waits to be written down.
    pub fn is_full(&self) -> bool {
        !self.full.is_empty()
    }

    /// Writes down what is full, at the end everything; in a dry run it is only forgotten.
    pub async fn record(&mut self, tx: &mut Tx, job: &Job, at_end: bool) -> sqlx::Result<()> {
        if at_end {
            self.close();
        }
        for items in std::mem::take(&mut self.full) {
            let rank = job.ticket.map_or(self.first_rank + self.number, |_| Rank::TICKET);
            if !job.dry_run {
                segments::insert_work(tx, job.id, &items, rank, self.source_bit).await?;
            }
            self.number += 1;
        }
        Ok(())
    }

    fn close(&mut self) {
        let mut items = std::mem::take(&mut self.open);
        self.open_bytes = 0;
        // A copy's list may name a file twice; a segment must not.
        items.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        items.dedup_by(|a, b| a.path == b.path);
        if !items.is_empty() {
            self.full.push(items);
        }
    }
}
