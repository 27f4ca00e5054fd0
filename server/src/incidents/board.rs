//! The board: the public state, rendered when it changes and served from memory (promise I8).
//!
//! One task looks at the database every second, and at once when an incident was written here. What it reads becomes a
//! [`StatusView`], the view becomes documents, the documents wait as bytes. The last view lies in `data_dir/status` as
//! well: a process that starts shows it at once, with the time of its facts, until it has read anew.
//!
//! Invariants: a request never waits for the database; a document is replaced as a whole; facts that could not be read
//! anew for [`STALE_AFTER`] say so; no view leaves its place on disk half written.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use salvor_app::document::{Look, content_security_policy};
use salvor_app::incidents::port::StatusView;
use salvor_app::incidents::public::{LiveStatus, version};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::page::Page;
use super::{render, view};
use crate::core::Core;
use crate::error::{Error, Result};
use crate::events;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The bars of a restore move at most this often.
const PROGRESS_EVERY: TimeDelta = TimeDelta::seconds(2);
/// Unchanged facts are confirmed this often: pages tell when they were true.
const CONFIRM_EVERY: TimeDelta = TimeDelta::seconds(15);
pub const STALE_AFTER: TimeDelta = TimeDelta::seconds(60);
/// A database that does not answer at all must not keep the page from growing old.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// Readers that hold a live connection; the others' pages ask now and then.
const LIVE_READERS: usize = 2_000;

/// Cheap to clone; handlers read it, one task writes it.
#[derive(Clone)]
pub struct Board(Arc<Inner>);

struct Inner {
    css: String,
    policy: String,
    folder: PathBuf,
    snapshot: watch::Sender<Arc<Snapshot>>,
    changed: Notify,
    pub readers: Arc<Semaphore>,
    stop: CancellationToken,
}

/// What is shown now.
#[derive(Default)]
pub struct Snapshot {
    view: Option<StatusView>,
    version: String,
    stale: bool,
    pages: HashMap<String, Arc<Page>>,
    /// What live readers are sent.
    pub live: Arc<str>,
}

impl Board {
    /// A board that shows what the last process left, if any. `css` is the public pages' style sheet.
    pub fn new(core: &Core, css: impl Into<String>, stop: CancellationToken) -> Self {
        let css = css.into();
        let policy = content_security_policy(&Look { css: &css });
        let board = Self(Arc::new(Inner {
            css,
            policy,
            folder: core.config.server.data_dir.join("status"),
            snapshot: watch::Sender::new(Arc::default()),
            changed: Notify::new(),
            readers: Arc::new(Semaphore::new(LIVE_READERS)),
            stop,
        }));
        if let Some(view) = load(&board.0.folder) {
            let stale = core.clock.now() - view.as_of > STALE_AFTER;
            board.show(view, stale);
        }
        board
    }

    /// Follows the database until the program stops.
    pub async fn run(self, core: Core) {
        let mut seen = Seen::default();
        while !self.0.stop.is_cancelled() {
            let outcome = tokio::time::timeout(READ_WITHIN, self.follow(&core, &mut seen)).await;
            let outcome = outcome.unwrap_or_else(|_| {
                Err(Error::Internal(format!("no answer within {} seconds", READ_WITHIN.as_secs())))
            });
            if let Err(error) = outcome {
                seen.event = None;
                // That the database is away was said once.
                if !core.db.is_away() {
                    tracing::warn!(%error, "the status page shows the last facts: newer ones could not be read");
                }
                self.grow_old(core.clock.now());
            }
            tokio::select! {
                () = self.0.stop.cancelled() => {}
                // Whatever the newest event is: its number may be lower than one that was seen already.
                () = self.0.changed.notified() => seen.event = None,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        if let Some(saving) = seen.saving {
            drop(saving.await);
        }
    }

    /// Something was written: look at once.
    pub fn nudge(&self) {
        self.0.changed.notify_one();
    }

    /// The document at `path`, if the public has one there.
    pub fn page(&self, path: &str) -> Option<Arc<Page>> {
        self.0.snapshot.borrow().pages.get(path).cloned()
    }

    /// Whether there is anything to show yet.
    pub fn is_empty(&self) -> bool {
        self.0.snapshot.borrow().view.is_none()
    }

    pub fn policy(&self) -> &str {
        &self.0.policy
    }

    pub fn look(&self) -> Look<'_> {
        Look { css: &self.0.css }
    }

    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.0.snapshot.subscribe()
    }

    pub fn readers(&self) -> Arc<Semaphore> {
        self.0.readers.clone()
    }

    pub fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    async fn follow(&self, core: &Core, seen: &mut Seen) -> Result<()> {
        let newest = newest_event(core).await?;
        let now = core.clock.now();
        let known = self.0.snapshot.borrow().clone();
        let age = known.view.as_ref().map_or(TimeDelta::MAX, |view| now - view.as_of);
        let moves = known.view.as_ref().is_some_and(|view| !view.restores.is_empty());
        let unchanged = seen.event == Some(newest);
        if unchanged && age < if moves { PROGRESS_EVERY } else { CONFIRM_EVERY } {
            return Ok(());
        }
        let next = view::status(core, now).await?;
        seen.event = Some(newest);
        let same = known.view.as_ref().is_some_and(|view| view.restores == next.restores)
            && known.version == version(&next);
        if same && !known.stale && age < CONFIRM_EVERY {
            return Ok(());
        }
        let (board, shown) = (self.clone(), next.clone());
        // Rendering and compressing take milliseconds a page: not on a thread that serves requests.
        tokio::task::spawn_blocking(move || board.show(shown, false))
            .await
            .map_err(|error| Error::Internal(format!("rendering the status page: {error}")))?;
        // The disk may be the very thing that is broken: nobody waits for it, and one at a time is enough.
        if seen.saving.as_ref().is_none_or(JoinHandle::is_finished) {
            let folder = self.0.folder.clone();
            seen.saving = Some(tokio::task::spawn_blocking(move || {
                save(&folder, &next).unwrap_or_else(|error| {
                    tracing::warn!(%error, "the status snapshot could not be written; a restart would not show it");
                });
            }));
        }
        Ok(())
    }

    /// Puts a view up: every document if its words changed or it grew old, else those that move.
    fn show(&self, view: StatusView, stale: bool) {
        let known = self.0.snapshot.borrow().clone();
        let version = version(&view);
        let (mut pages, documents) = match known.version == version && known.stale == stale {
            true => (known.pages.clone(), render::moving(&self.look(), &view, stale)),
            false => (HashMap::new(), render::all(&self.look(), &view, stale)),
        };
        for document in documents {
            match Page::new(document.kind, document.content) {
                Ok(page) => drop(pages.insert(document.path, Arc::new(page))),
                Err(error) => {
                    tracing::error!(%error, path = document.path, "a public page could not be packed")
                }
            }
        }
        let live = serde_json::to_string(&LiveStatus::of(&view)).unwrap_or_default().into();
        self.0.snapshot.send_replace(Arc::new(Snapshot { view: Some(view), version, stale, pages, live }));
    }

    /// Nothing newer can be read: after a while the page says so.
    fn grow_old(&self, now: DateTime<Utc>) {
        let known = self.0.snapshot.borrow().clone();
        if let Some(view) = &known.view
            && !known.stale
            && now - view.as_of > STALE_AFTER
        {
            self.show(view.clone(), true);
        }
    }
}

#[derive(Default)]
struct Seen {
    /// The newest event that the shown view knows of.
    event: Option<i64>,
    /// The view on its way to the disk.
    saving: Option<JoinHandle<()>>,
}

async fn newest_event(core: &Core) -> Result<i64> {
    let mut tx = core.db.read().await?;
    Ok(events::newest_id(&mut tx).await?)
}

fn load(folder: &Path) -> Option<StatusView> {
    let text = std::fs::read(folder.join("view.json")).ok()?;
    serde_json::from_slice(&text)
        .inspect_err(|error| tracing::warn!(%error, "the last status snapshot is not of this version"))
        .ok()
}

/// Beside its place, then into it: what is there is whole.
fn save(folder: &Path, view: &StatusView) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let (place, draft) = (folder.join("view.json"), folder.join("view.json.new"));
    let mut file = std::fs::File::create(&draft)?;
    file.write_all(&serde_json::to_vec(view)?)?;
    file.sync_data()?;
    std::fs::rename(draft, place)
}
