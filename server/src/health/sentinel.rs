//! The sentinel: a steady sample of catalogued files, about a thousand a minute of each volume, looked at by name, size and time. It
//! sees within a minute that one file in a hundred is gone, long before any check gets there.
//!
//! Files are drawn evenly over the catalogue. Since a database cannot jump to its n-th row, the places of every so-many-th path are
//! kept in memory ([`Places`]), noted in small steps, and a draw goes a random number of rows on from one of them.

mod places;
mod window;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use salvor_domain::health::{Level, Probe, Reading};
use salvor_domain::job::JobKind;
use salvor_domain::path::FilePath;
use salvor_domain::volume::Mode;
use tokio_util::sync::CancellationToken;

use self::places::Places;
use self::window::Window;
use crate::core::Core;
use crate::database::Tx;
use crate::error::Result;
use crate::volumes::lookup::{self, OnDisk};
use crate::volumes::{catalogue, store};

const EVERY: Duration = Duration::from_secs(1);
/// Files of each volume, each time.
const SAMPLE: u64 = 17;
/// Steps of [`Places`] that are taken each time, until the catalogue's end: a million files in about a minute.
const STEPS: u32 = 100;

/// What it has seen last, to be told with this host's report. Cheap to clone.
#[derive(Clone, Default)]
pub struct Sentinel(Arc<Mutex<BTreeMap<String, Reading>>>);

impl Sentinel {
    pub fn readings(&self) -> Vec<Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Samples all volumes, until it is told to stop.
    pub async fn run(self, core: Core, stop: CancellationToken) {
        // What lies on another host is not within its reach.
        let here = core.config.volumes.iter().filter(|volume| volume.host.is_none());
        let mut all: Vec<Post> = here.map(|volume| Post::new(&volume.name)).collect();
        while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            // Side by side: a folder that hangs holds up no other volume.
            let looks = all.iter_mut().map(|post| post.look(&core));
            futures_util::future::join_all(looks).await;
            let readings = all.iter().filter_map(|post| Some((post.volume.clone(), post.reading(&core)?)));
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = readings.collect();
        }
    }
}

/// One volume's.
struct Post {
    volume: String,
    places: Places,
    window: Window,
    /// Why it does not look just now.
    paused: Option<String>,
}

impl Post {
    fn new(volume: &str) -> Self {
        Self { volume: volume.to_owned(), places: Places::default(), window: Window::default(), paused: None }
    }

    async fn look(&mut self, core: &Core) {
        let paused = match self.try_look(core).await {
            Ok(paused) => paused,
            Err(error) => {
                tracing::debug!(%error, volume = self.volume, "the sentinel could not look");
                Some("its catalogue cannot be read".to_owned())
            }
        };
        if self.paused.is_some() && paused.is_none() {
            // Much may have been mended meanwhile.
            self.window = Window::default();
        }
        self.paused = paused;
    }

    /// Why it did not look.
    async fn try_look(&mut self, core: &Core) -> Result<Option<String>> {
        let now = core.clock.now();
        let files = {
            let mut tx = core.db.read().await?;
            let Some(row) = store::volume(&mut tx, &self.volume).await? else {
                return Ok(Some("it is not known yet".into()));
            };
            if row.mode.mode() != Mode::Normal {
                return Ok(Some(format!("the volume is {}", row.mode.mode())));
            }
            if is_being_restored(&mut tx, row.id).await? {
                return Ok(Some("files are being restored to it".into()));
            }
            self.places.walk(&mut tx, row.id, STEPS, now).await?;
            self.draw(&mut tx, row.id).await?
        };
        if files.is_empty() {
            return Ok(None);
        }
        let mut lost = Vec::new();
        let mut seen = 0;
        for facts in lookup::look_up(core, &self.volume, &files).await? {
            match facts.on_disk {
                // It does not say; what it does not say is not lost.
                OnDisk::Unknown(why) => return Ok(Some(why)),
                OnDisk::Good | OnDisk::Newer => seen += 1,
                OnDisk::Absent | OnDisk::Differs => {
                    seen += 1;
                    lost.push(facts.path);
                }
            }
        }
        self.window.add(now, seen, lost);
        Ok(None)
    }

    async fn draw(&self, tx: &mut Tx, volume_id: i64) -> Result<Vec<FilePath>> {
        let mut files = Vec::new();
        for _ in 0..SAMPLE {
            let Some((after, steps)) = self.places.draw() else { break };
            files.extend(catalogue::file_after(tx, volume_id, after, steps).await?);
        }
        files.sort_unstable();
        files.dedup();
        Ok(files)
    }

    fn reading(&self, core: &Core) -> Option<Reading> {
        let bound = core.config.health.sentinel_loss;
        let subject = format!("volume:{}", self.volume);
        let told = self.window.told(core.clock.now(), bound);
        let Some(why) = &self.paused else {
            return told.sampled.gt(&0).then(|| told.reading(&subject));
        };
        let why = format!("paused: {why}");
        if told.lost == 0 {
            return Some(Reading::new(Probe::Sentinel, subject, Level::Unknown, why));
        }
        // It counts on as it was seen, so that what is known already is no news afterwards; the mode keeps writes away.
        let reading = told.reading(&subject);
        Some(Reading { reason: format!("{why}; before: {}", reading.reason), stops_writes: false, ..reading })
    }
}

/// A restore or a reunite is on its way: files come back all the time.
async fn is_being_restored(tx: &mut Tx, volume_id: i64) -> Result<bool> {
    let active = crate::restore::store::active(tx, volume_id).await?;
    Ok(active.iter().any(|job| matches!(job.kind(), JobKind::Restore | JobKind::Reunite)))
}
