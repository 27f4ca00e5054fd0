//! The gateway: customers' files by `GET` and `HEAD /{volume}/{path}`, on a port of its own, so that what they uploaded never shares an
//! origin with the console.
//!
//! `listener` has the connections and their limits; `find` decides which source gives a file, small ones are read whole there and
//! large ones go out through a `flow`; `answer` makes the HTTP of it. `rows` is the catalogue in memory, a `lane` asks one source
//! within its time, `cache` keeps what came
//! from slow copies (`fetch`), `errands` does what follows from an answer and must not hold it up: raising what is lost, blaming a copy.
//!
//! What must always hold:
//! - nothing outside of a volume is given out, nothing hidden, no list of a folder (I6);
//! - a file that the catalogue knows goes out as complete only with the catalogue's bytes (I5): small ones are verified before the
//!   first byte, large ones that are read whole before the last one. A file newer than its row goes out as it lies on the primary;
//! - what its owner deleted is gone, whoever still has it (I4);
//! - a source that hangs or fails costs a request its patience and no more, and the next source is asked;
//! - what nobody could tell is 503, never 404 (I10); without the database the primary is served all the same.

mod answer;
mod cache;
mod content;
mod errands;
mod fetch;
mod figures;
mod find;
mod flow;
mod lane;
mod limit;
mod listener;
mod log;
mod primary;
mod rows;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::response::Response;
use http::request::Parts;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::cache::Cache;
use self::errands::Errands;
use self::figures::Figures;
use self::lane::Lane;
use self::limit::Limit;
use self::log::Log;
use self::rows::{Key, Rows};
use crate::config::CopyConfig;
use crate::core::Core;
use crate::http::client;
use crate::volumes::modes::Modes;

pub use figures::into as metrics_into;

/// A remote copy may have to be opened, and its server is far.
const REMOTE: Duration = Duration::from_secs(10);
/// How long a source that gave wrong bytes of a file is not asked for it.
const DISTRUSTED: Duration = Duration::from_secs(600);
const MOST_DISTRUSTED: usize = 10_000;

/// Cheap to clone; one for each process.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

pub struct Inner {
    core: Core,
    modes: Modes,
    rows: Rows,
    /// As they are configured.
    sites: Vec<Site>,
    distrusted: Distrusted,
    /// Opened when the gateway begins to run.
    cache: OnceLock<Option<Arc<Cache>>>,
    errands: Errands,
    figures: Figures,
    log: Log,
    limit: Option<Limit>,
    /// Files on their way out.
    flows: TaskTracker,
}

impl std::ops::Deref for Gateway {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// A volume, and the sources of its files.
struct Site {
    name: String,
    path: PathBuf,
    /// On another host: what lies at that path here, if anything, is not the volume.
    is_elsewhere: bool,
    primary: Lane,
    copies: Vec<CopyLane>,
    cache: Lane,
    /// Of the copies, onsite ones first, else as they are configured.
    order: Vec<usize>,
}

struct CopyLane {
    lane: Lane,
    config: CopyConfig,
}

/// Where a file's bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    Primary,
    /// By its place in the configuration.
    Copy(usize),
    /// What came from a slow copy before.
    Cache,
}

impl Site {
    fn lane(&self, source: Source) -> &Lane {
        match source {
            Source::Copy(copy) if copy < self.copies.len() => &self.copies[copy].lane,
            Source::Copy(_) | Source::Primary => &self.primary,
            Source::Cache => &self.cache,
        }
    }
}

impl Gateway {
    pub fn new(core: &Core, modes: &Modes) -> Self {
        let patience = core.config.gateway.patience;
        let sites = core.config.volumes.iter().map(|volume| {
            let lane = |copy: &CopyConfig| {
                let patience = if copy.place.folder().is_some() { patience } else { REMOTE.max(patience) };
                Lane::new(&copy.name, patience)
            };
            let copies = volume.copies.iter();
            let mut order: Vec<usize> = (0..volume.copies.len()).collect();
            order.sort_by_key(|copy| volume.copies[*copy].placement);
            Site {
                name: volume.name.clone(),
                path: volume.path.clone(),
                is_elsewhere: volume.host.is_some(),
                primary: Lane::new("primary", patience),
                cache: Lane::new("cache", patience),
                copies: copies.map(|copy| CopyLane { lane: lane(copy), config: copy.clone() }).collect(),
                order,
            }
        });
        let sites: Vec<Site> = sites.collect();
        Self(Arc::new(Inner {
            core: core.clone(),
            modes: modes.clone(),
            rows: Rows::new(sites.len()),
            sites,
            distrusted: Distrusted::default(),
            cache: OnceLock::new(),
            errands: Errands::new(),
            figures: Figures::default(),
            log: Log::new(&core.config.gateway.access_log),
            limit: core.config.gateway.rate.map(Limit::new),
            flows: TaskTracker::new(),
        }))
    }

    /// Gives files out until `stop`, and what is under way then to its end.
    pub async fn run(self, listener: TcpListener, stop: CancellationToken) {
        self.open_cache().await;
        let is_over = CancellationToken::new();
        let listening = async {
            listener::run(self.clone(), listener, stop.clone()).await;
            is_over.cancel();
        };
        tokio::join!(
            listening,
            self.rows.run(self.core.clone(), stop.clone()),
            self.errands.run(&self, stop.clone()),
            self.log.run(is_over.cancelled()),
        );
    }

    /// One request, within the client's limit, and its line in the log.
    pub async fn handle(&self, request: &Parts, peer: IpAddr) -> Response {
        let client = || client::client(peer, &request.headers, &self.core.config.server.trusted_proxies);
        let is_too_much = self.limit.as_ref().is_some_and(|limit| !limit.take(client(), Instant::now()));
        let response = if is_too_much { answer::too_many() } else { self.answer(request).await };
        self.figures.answered(response.status());
        if !self.log.is_off() {
            self.log.add(log::line(client(), self.core.clock.now(), request, &response));
        }
        response
    }
}

/// Which source gave wrong bytes of which file, for a while.
#[derive(Default)]
struct Distrusted(Mutex<HashMap<(Key, Source), Instant>>);

impl Distrusted {
    fn add(&self, key: &Key, source: Source) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_DISTRUSTED {
            all.retain(|_, since| since.elapsed() < DISTRUSTED);
        }
        if all.len() < MOST_DISTRUSTED {
            all.insert((key.clone(), source), Instant::now());
        }
    }

    fn has(&self, key: &Key, source: Source) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Nearly always there is none.
        !all.is_empty() && all.get(&(key.clone(), source)).is_some_and(|since| since.elapsed() < DISTRUSTED)
    }
}
