//! Live progress: a holder tells about once a second how much of its segment has moved, so that everybody sees it, in
//! whatever process they look, also while one large file takes its time.

use std::time::{Duration, Instant};

use salvor_domain::job::JobKind;

use crate::restore::store::{self, moving};
use crate::restore::work::Work;

/// How often, at most. What a driver records tells it as well.
const EVERY: Duration = Duration::from_millis(900);

/// What was told last, by one holder.
#[derive(Debug)]
pub struct Told {
    at: Instant,
    bytes: u64,
    done: u64,
}

impl Told {
    pub fn new() -> Self {
        Self { at: Instant::now(), bytes: 0, done: 0 }
    }

    /// Tells what has moved, if it is time and there is anything new: nothing is written while groups of files are
    /// recorded more often than that.
    pub async fn tell(&mut self, work: &Work) -> sqlx::Result<()> {
        if work.job.kind() != JobKind::Restore || self.at.elapsed() < EVERY {
            return Ok(());
        }
        let (moving, all) = (work.progress.moving(), work.progress.bytes());
        let recorded = all - moving.min(all);
        let is_new = recorded == self.done && moving != self.bytes;
        *self = Self { at: Instant::now(), bytes: moving, done: recorded };
        if !is_new {
            return Ok(());
        }
        let mut tx = work.core.db.begin().await?;
        moving::set(&mut tx, work.segment.id, work.worker, moving).await?;
        if let Some(job) = store::job(&mut tx, work.job.id).await? {
            work.keep_sample(&mut tx, &job).await?;
        }
        tx.commit().await
    }
}
