//! This machine's own reports: taken again and again, and at once when the kernel tells of an error.
//!
//! Everything that may hang is in threads of its own (`salvor_probes::machine`); nothing here keeps a thread of the server. A look
//! that never comes back means that no report comes, and so that the host falls silent: it is never shown as well.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use salvor_domain::health::{NodeKind, Report};
use salvor_probes::machine::{Place, Prober, Roots};
use salvor_probes::watch::Watch;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::sentinel::Sentinel;
use super::service::{Via, ingest};
use crate::config::Config;
use crate::core::Core;

/// Between two reports, however much the kernel has to tell.
const LEAST_DISTANCE: Duration = Duration::from_secs(1);
/// How soon a file system that was mounted is watched.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Takes this machine's reports and takes them in, until it is told to stop.
pub async fn run(core: Core, sentinel: Sentinel, stop: CancellationToken) {
    let mut sampler = Sampler::start(&core.config, &stop);
    let mut is_heard = true;
    while let Some(mut report) = stop.run_until_cancelled(sampler.next(|| core.clock.now())).await {
        report.readings.extend(sentinel.readings());
        match ingest(&core, report, Via::Server).await {
            Ok(()) => is_heard = true,
            // The database is away, and whoever watches it says so.
            Err(error) if is_heard => {
                tracing::warn!(%error, "what the probes read of this host could not be kept");
                is_heard = false;
            }
            Err(error) => tracing::debug!(%error, "what the probes read of this host could not be kept"),
        }
    }
}

/// One for each process.
pub struct Sampler {
    config: Config,
    host: String,
    /// Absent while a look is under way that nobody waited for, and after one that broke down.
    prober: Option<Prober>,
    last: Option<Instant>,
    wake: Arc<Notify>,
    points: Arc<Mutex<Vec<PathBuf>>>,
}

impl Sampler {
    pub fn start(config: &Config, stop: &CancellationToken) -> Self {
        let (wake, points) = (Arc::new(Notify::new()), Arc::new(Mutex::new(Vec::new())));
        watch(points.clone(), wake.clone(), stop.clone());
        Self { config: config.clone(), host: config.health.host(), prober: None, last: None, wake, points }
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// The next report, when it is due or when the kernel tells of an error.
    pub async fn next(&mut self, now: impl Fn() -> DateTime<Utc>) -> Report {
        loop {
            if let Some(last) = self.last {
                due(last, self.config.health.every, &self.wake).await;
            }
            self.last = Some(Instant::now());
            let mut prober = self.prober.take().unwrap_or_else(|| prober(&self.config));
            let (host, at) = (self.host.clone(), now());
            let taken = tokio::task::spawn_blocking(move || {
                let report = prober.take(&host, at);
                (prober, report)
            });
            match taken.await {
                Ok((prober, report)) => {
                    *self.points.lock().unwrap_or_else(PoisonError::into_inner) =
                        prober.mount_points().to_owned();
                    self.prober = Some(prober);
                    return report;
                }
                Err(broken) => tracing::error!(%broken, "the probes broke down; they begin anew"),
            }
        }
    }
}

async fn due(last: Instant, every: Duration, wake: &Notify) {
    tokio::select! {
        () = tokio::time::sleep_until(last + every) => {}
        () = wake.notified() => tokio::time::sleep_until(last + LEAST_DISTANCE).await,
    }
}

fn prober(config: &Config) -> Prober {
    let prober = Prober::new(places(config), config.health.thresholds.clone(), Roots::default());
    let prober = prober.with_patience(config.health.patience);
    if config.health.canary { prober } else { prober.without_canary() }
}

/// Every volume, and every copy that is a folder.
fn places(config: &Config) -> Vec<Place> {
    let mut places = Vec::new();
    // What lies elsewhere is read by the agent there.
    for volume in config.volumes.iter().filter(|volume| volume.host.is_none()) {
        let (name, path) = (&volume.name, volume.path.clone());
        places.push(Place {
            id: format!("volume:{name}"),
            label: name.clone(),
            path,
            kind: NodeKind::Volume,
        });
        for copy in &volume.copies {
            let Some(path) = copy.place.folder() else { continue };
            let label = format!("{name}/{}", copy.name);
            let (id, path) = (format!("copy:{label}"), path.to_owned());
            places.push(Place { id, label, path, kind: NodeKind::Copy });
        }
    }
    places
}

/// Wakes at an error of a file system. A thread of its own, since nothing else waits for the kernel this way; where the kernel does
/// not tell, it says so once and ends.
fn watch(points: Arc<Mutex<Vec<PathBuf>>>, wake: Arc<Notify>, stop: CancellationToken) {
    let watch = move || {
        let watch = match Watch::open() {
            Ok(watch) => watch,
            Err(why) => return tracing::info!("{why}"),
        };
        while !stop.is_cancelled() {
            let points = points.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Err(why) = watch.look_after(&points) {
                return tracing::info!("{why}");
            }
            if watch.wait(WATCH_EVERY) {
                wake.notify_one();
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("salvor-watch".into()).spawn(watch) {
        tracing::warn!(%error, "file systems' errors are found by the timer alone");
    }
}
