//! All volumes and hosts at a glance, as the live pages show them. However many browsers listen, one look serves all; and a new
//! look is taken only when something happened, a signal changed its level, or the last one is old, since ages are told against it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::sse::Event;
use futures_util::stream::{self, Stream};
use salvor_app::health::glance::Glances;
use salvor_app::incidents::port::IncidentsPort;
use salvor_app::problem::Problem;
use salvor_app::restore::port::JobsPort;
use salvor_app::ui::live::VOLUMES;
use salvor_app::volumes::port::VolumesPort;
use tokio::sync::Mutex;

use crate::core::Core;
use crate::incidents::Incidents;
use crate::restore::Jobs;
use crate::volumes::Volumes;
use crate::{events, health};

/// How often it is seen whether something happened.
const EVERY: Duration = Duration::from_millis(500);
/// A storm of events is no storm of looks.
const LEAST: Duration = Duration::from_secs(1);
/// Ages on the pages are at most this much behind.
const MOST: Duration = Duration::from_secs(15);
const MOST_JOBS: u32 = 50;
const MOST_INCIDENTS: u32 = 50;

/// One for each process; clones share the last look.
#[derive(Clone, Default)]
pub struct Looks(Arc<Mutex<Option<Look>>>);

struct Look {
    at: Instant,
    newest: Newest,
    glances: Arc<Glances>,
    json: Arc<str>,
}

/// The newest event, and the newest change of a signal's level: not each of them is an event.
type Newest = (i64, i64);

impl Looks {
    /// Messages named [`VOLUMES`], one at once and then whenever something is new.
    pub fn stream(self, core: Core) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static {
        stream::unfold(None, move |told| {
            let (looks, core) = (self.clone(), core.clone());
            async move {
                let json = looks.next(&core, told).await;
                Some((Ok(Event::default().event(VOLUMES).data(&*json)), Some(json)))
            }
        })
    }

    async fn next(&self, core: &Core, told: Option<Arc<str>>) -> Arc<str> {
        loop {
            if told.is_some() {
                tokio::time::sleep(EVERY).await;
            }
            match self.look(core).await.map(|(_, json)| json) {
                Ok(json) if told.as_ref() != Some(&json) => return json,
                Ok(_) => {}
                Err(problem) => {
                    tracing::warn!(%problem, "the live pages wait for a look at the volumes");
                    tokio::time::sleep(EVERY).await;
                }
            }
        }
    }

    /// As it was a moment ago.
    pub async fn glances(&self, core: &Core) -> Result<Arc<Glances>, Problem> {
        Ok(self.look(core).await?.0)
    }

    async fn look(&self, core: &Core) -> Result<(Arc<Glances>, Arc<str>), Problem> {
        let mut last = self.0.lock().await;
        let newest = newest(core).await?;
        let is_fresh = |look: &&Look| {
            let age = look.at.elapsed();
            age < LEAST || (look.newest == newest && age < MOST)
        };
        if let Some(look) = last.as_ref().filter(is_fresh) {
            return Ok((look.glances.clone(), look.json.clone()));
        }
        let at = Instant::now();
        let glances = Glances::new(
            &Volumes(core.clone()).volumes().await?,
            &health::service::volumes(core).await?,
            &health::service::hosts(core).await?,
            &Jobs(core.clone()).jobs(None, true, MOST_JOBS).await?,
            &Incidents::new(core.clone()).incidents(true, MOST_INCIDENTS).await?,
            core.clock.now(),
        );
        let json: Arc<str> = serde_json::to_string(&glances).map_err(|_| Problem::Unavailable)?.into();
        let glances = Arc::new(glances);
        *last = Some(Look { at, newest, glances: glances.clone(), json: json.clone() });
        Ok((glances, json))
    }
}

async fn newest(core: &Core) -> Result<Newest, crate::error::Error> {
    let mut tx = core.db.read().await?;
    Ok((events::newest_id(&mut tx).await?, health::service::newest_change(&mut tx).await?))
}
