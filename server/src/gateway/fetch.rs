//! Files of slow copies by way of the cache: fetched once, however many ask, and read while they come.

use std::sync::Arc;

use axum::body::Bytes;
use salvor_domain::gateway::Known;

use super::cache::{Cache, Fill, Follower, Place, Progress};
use super::find::Found;
use super::flow::{CHUNK, Flow};
use super::lane::Miss;
use super::rows::{Entry, Key};
use super::{Gateway, REMOTE, Source};

impl Gateway {
    pub(super) async fn open_cache(&self) {
        let (folder, most) =
            (self.core.config.server.data_dir.join("cache"), self.core.config.gateway.cache_bytes);
        let opened = tokio::task::spawn_blocking(move || Cache::open(&folder, most)).await.ok().flatten();
        let _ = self.cache.set(opened);
    }

    /// The file as the cache has it or is getting it; `None` where it does not go by the cache. With `whole` it is fetched where it
    /// is not there, else only what is whole already will do.
    pub(super) async fn cached(
        &self,
        key: &Key,
        entry: &Arc<Entry>,
        from: Source,
        whole: bool,
    ) -> Option<Follower> {
        let cache = self.cache.get()?.as_ref()?;
        let known = entry.known?;
        let site = &self.sites[key.volume];
        let is_slow =
            matches!(from, Source::Copy(copy) if site.copies.get(copy)?.config.place.folder().is_none());
        if !is_slow || self.distrusted.has(key, Source::Cache) {
            return None;
        }
        let at = Arc::clone(cache);
        if !whole {
            let here = site.cache.ask(async |turn| turn.work(move || Ok(at.here(known.digest))).await).await;
            return here.ok().flatten().filter(|follower| *follower.progress.borrow() == Progress::Whole);
        }
        let place =
            move || at.place(known.digest, known.size).map_err(|error| Miss::Broken(error.to_string()));
        match site.cache.ask(async |turn| turn.work(place).await).await {
            Ok(Some(Place::Here(follower))) => Some(follower),
            Ok(Some(Place::Yours(fill, follower))) => {
                let flow = Flow::of_copies(self, key.clone(), Found::of(entry, &known, from));
                self.flows.spawn(fetch(flow, fill, known.size));
                Some(follower)
            }
            Ok(None) => None,
            Err(miss) => {
                tracing::debug!(?miss, "the cache does not answer");
                None
            }
        }
    }

    /// All of a small file by way of the cache, and its age in seconds.
    pub(super) async fn small_cached(
        &self,
        key: &Key,
        entry: &Arc<Entry>,
        known: &Known,
        from: Source,
    ) -> Option<(Bytes, u64)> {
        let mut follower = self.cached(key, entry, from, true).await?;
        let age = follower.age();
        let (size, digest) = (known.size, known.digest);
        tokio::time::timeout(REMOTE, follower.reaches(size, size)).await.ok()?.ok()?;
        let read = move || {
            let bytes = follower.read(0, usize::try_from(size).unwrap_or(usize::MAX))?;
            match blake3::hash(&bytes).as_bytes() == &digest.0 {
                true => Ok(Bytes::from(bytes)),
                false => Err(Miss::Wrong("its bytes are not the catalogue's".into())),
            }
        };
        match self.sites[key.volume].cache.ask(async |turn| turn.work(read).await).await {
            Ok(bytes) => Some((bytes, age)),
            Err(miss) => {
                if matches!(miss, Miss::Wrong(_)) {
                    self.uncache(key, known);
                }
                None
            }
        }
    }

    /// What the cache has of it is wrong.
    pub(super) fn uncache(&self, key: &Key, known: &Known) {
        tracing::warn!(path = %key.path, "the cache gave wrong bytes");
        self.distrusted.add(key, Source::Cache);
        if let Some(Some(cache)) = self.cache.get() {
            let (cache, digest) = (Arc::clone(cache), known.digest);
            drop(tokio::task::spawn_blocking(move || cache.forget(&digest)));
        }
    }
}

/// Brings the whole file into the cache; those who follow it are told how far it is.
async fn fetch(mut flow: Flow, mut fill: Fill, size: u64) {
    let mut at = 0;
    while at < size {
        let len = CHUNK.min(size - at);
        let Ok(chunk) = flow.read(at, len).await else { return };
        let written = tokio::task::spawn_blocking(move || fill.write(at, &chunk).map(|()| fill)).await;
        fill = match written {
            Ok(Ok(fill)) => fill,
            Ok(Err(error)) => return tracing::warn!(%error, "the cache cannot be written"),
            Err(_) => return,
        };
        at += len;
    }
    if flow.is_right().is_ok() {
        flow.gave(size);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || fill.finish()).await {
            tracing::warn!(%error, "the cache cannot be written");
        }
    }
}
