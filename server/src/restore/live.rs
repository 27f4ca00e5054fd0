//! The live list of jobs: however many browsers listen, the database is asked twice a second at the most, and not at all
//! when nobody listens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::service;
use crate::core::Core;
use crate::error::{Error, Result};

const FRESH: Duration = Duration::from_millis(450);
const MOST_JOBS: u32 = 50;

/// One for each process; clones share what was read last.
#[derive(Clone, Default)]
pub struct Live(Arc<Mutex<Option<Read>>>);

struct Read {
    at: Instant,
    json: Arc<str>,
}

impl Live {
    /// The jobs that have not ended, as a JSON list: read now, or a moment ago for somebody else.
    pub async fn jobs(&self, core: &Core) -> Result<Arc<str>> {
        let mut last = self.0.lock().await;
        if let Some(read) = last.as_ref().filter(|read| read.at.elapsed() < FRESH) {
            return Ok(read.json.clone());
        }
        let jobs = service::jobs(core, None, true, MOST_JOBS).await?;
        let json = serde_json::to_string(&jobs).map_err(|why| Error::Internal(why.to_string()))?;
        let json: Arc<str> = json.into();
        *last = Some(Read { at: Instant::now(), json: json.clone() });
        Ok(json)
    }
}
