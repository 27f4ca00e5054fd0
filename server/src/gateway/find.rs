//! Which source gives a file: the primary, unless the volume is in failover, and then the copies that hold the catalogue's bytes,
//! onsite before offsite. No source is asked twice, and each only within its patience.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use http::StatusCode;
use salvor_domain::gateway::condition::{Tag, Version};
use salvor_domain::gateway::{Known, Standing};
use salvor_domain::volume::{FileState, Mode};

use super::lane::Miss;
use super::primary::{self, Look, SMALL};
use super::rows::{Entry, Key, Row};
use super::{CopyLane, Gateway, Site, Source};
use crate::http::ApiProblem;

/// When to ask again for what nobody could give just now.
const LATER: Duration = Duration::from_secs(30);

/// What will be given.
pub struct Found {
    pub source: Source,
    pub version: Version,
    pub size: u64,
    pub entry: Option<Arc<Entry>>,
    /// Seconds since it was fetched, where it comes from the cache.
    pub age: Option<u64>,
    pub content: Content,
}

pub enum Content {
    /// All of it.
    Whole(Bytes),
    /// A file of the primary, not read yet.
    Open { file: File, stamp: Stamp },
    /// Large, in this copy or one of those after it.
    InCopies,
}

/// What a file of the primary was like when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub size: u64,
    pub mtime_ns: i64,
    pub ctime_ns: i64,
}

impl Gateway {
    /// With `read` a small file is read at once.
    pub(super) async fn find(&self, key: &Key, read: bool) -> Result<Found, ApiProblem> {
        let site = &self.sites[key.volume];
        let row = self.rows.get(&self.core, key).await;
        let entry = match &row {
            Row::Told(entry) => Some(Arc::clone(entry)),
            Row::Unread => None,
        };
        let known = entry.as_ref().and_then(|entry| entry.known);
        let is_offline = site.is_elsewhere || self.modes.mode(&site.name) == Some(Mode::Failover);
        let is_distrusted = self.distrusted.has(key, Source::Primary);
        let primary = if is_offline {
            Err(Miss::Shut)
        } else {
            self.look(site, key, entry.clone(), read && !is_distrusted).await
        };
        let mut doubtful = None;
        let primary = match primary {
            Ok(look) => match (look.standing, known) {
                // It gave wrong bytes a moment ago.
                (Standing::AsCatalogued, Some(_)) if is_distrusted => Miss::Wrong(String::new()),
                (Standing::AsCatalogued, Some(known)) => return Ok(as_known(&known, entry, look)),
                (Standing::New | Standing::AsCatalogued, _) => return Ok(as_it_lies(look)),
                (Standing::Deleted, _) => return Err(deleted()),
                (Standing::Doubtful, _) => {
                    doubtful = Some(look);
                    Miss::Wrong("it is not as the catalogue has it".into())
                }
            },
            Err(miss) => miss,
        };
        let Some(known) = known else {
            let is_told = matches!(row, Row::Told(_));
            return Err(if primary == Miss::Absent && is_told { not_found() } else { away() });
        };
        if known.state == FileState::Tombstone {
            return Err(deleted());
        }
        if matches!(primary, Miss::Wrong(_)) && doubtful.is_none() && !is_distrusted {
            self.distrusted.add(key, Source::Primary);
        }
        let is_lost = matches!(primary, Miss::Absent | Miss::Wrong(_))
            || matches!(known.state, FileState::Missing | FileState::Corrupt);
        if is_lost {
            self.errands.raise(key);
        }
        if let Some(found) = self.in_copies(site, key, &known, entry, read).await {
            return Ok(found);
        }
        match doubtful {
            // Somebody put another version there; no copy has the one that the catalogue knows.
            Some(look) if known.state != FileState::Corrupt && look.mtime_ns != known.mtime_ns => {
                Ok(as_it_lies(look))
            }
            _ if known.holders == 0 && primary == Miss::Absent => Err(not_found()),
            _ => Err(away()),
        }
    }

    async fn look(
        &self,
        site: &Site,
        key: &Key,
        entry: Option<Arc<Entry>>,
        read: bool,
    ) -> Result<Look, Miss> {
        let (volume, path) = (site.path.clone(), key.path.clone());
        let look = move || primary::look(&volume, &path, entry.as_deref(), read);
        site.primary.ask(async |turn| turn.work(look).await).await
    }

    /// From the first copy that has it.
    async fn in_copies(
        &self,
        site: &Site,
        key: &Key,
        known: &Known,
        entry: Option<Arc<Entry>>,
        read: bool,
    ) -> Option<Found> {
        let version = version(known);
        let found = |source, content| {
            Some(Found {
                source,
                version: version.clone(),
                size: known.size,
                entry: entry.clone(),
                age: None,
                content,
            })
        };
        for source in self.holders(key, known) {
            if known.size > SMALL || !read {
                return found(source, Content::InCopies);
            }
            if let Some(entry) = &entry
                && let Some((bytes, age)) = self.small_cached(key, entry, known, source).await
            {
                let given = found(Source::Cache, Content::Whole(bytes));
                return given.map(|given| Found { age: Some(age), ..given });
            }
            if self.distrusted.has(key, source) {
                continue;
            }
            match self.small_of(site, key, known, source).await {
                Ok(bytes) => return found(source, Content::Whole(bytes)),
                Err(Miss::Wrong(why)) => self.blame(key, source, why),
                Err(miss) => tracing::debug!(?miss, ?source, path = %key.path, "a copy did not give a file"),
            }
        }
        None
    }

    /// The copies that hold these very bytes, in the order that they are asked in.
    pub(super) fn holders(&self, key: &Key, known: &Known) -> Vec<Source> {
        let Some(in_database) = self.rows.in_database(key.volume) else { return Vec::new() };
        let holds = |copy: &usize| {
            let bit = in_database.bits.get(*copy).copied().flatten();
            bit.is_some_and(|bit| known.holders & (1 << bit) != 0)
                && !self.distrusted.has(key, Source::Copy(*copy))
        };
        let order = self.sites[key.volume].order.iter().copied();
        order.filter(holds).map(Source::Copy).collect()
    }

    async fn small_of(&self, site: &Site, key: &Key, known: &Known, source: Source) -> Result<Bytes, Miss> {
        let (path, size, digest) = (key.path.clone(), known.size, known.digest);
        self.ask_copy(site, source, move |copy| {
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
            let reader = copy.open_at(&path, 0)?.reader;
            // One byte more shows that it is longer.
            std::io::Read::read_to_end(&mut std::io::Read::take(reader, size + 1), &mut bytes).map_err(
                |error| copy.reachable().err().map_or_else(|| Miss::Broken(error.to_string()), Miss::from),
            )?;
            if bytes.len() as u64 != size || blake3::hash(&bytes).as_bytes() != &digest.0 {
                return Err(Miss::Wrong("its bytes are not the catalogue's".into()));
            }
            Ok(Bytes::from(bytes))
        })
        .await
    }

    /// Asks a copy, which is opened first: a folder each time, all others once for this process.
    pub(super) async fn ask_copy<T: Send + 'static>(
        &self,
        site: &Site,
        source: Source,
        work: impl FnOnce(&dyn salvor_engine::Source) -> Result<T, Miss> + Send + 'static,
    ) -> Result<T, Miss> {
        let Source::Copy(at) = source else { return Err(Miss::Absent) };
        let Some(CopyLane { lane, config }) = site.copies.get(at) else { return Err(Miss::Absent) };
        lane.ask(async |turn| {
            if config.place.folder().is_some() {
                let (place, name) = (config.place.clone(), config.name.clone());
                return turn.work(move || work(&*salvor_copies::open(&place, &name)?)).await;
            }
            let copy = self.core.copies.open(&site.name, config).await?;
            turn.work(move || work(&*copy)).await
        })
        .await
    }

    /// A source gave other bytes than the catalogue's: it is not asked for this file for a while, and a copy is blamed.
    pub(super) fn blame(&self, key: &Key, source: Source, why: String) {
        tracing::warn!(volume = self.sites[key.volume].name, ?source, path = %key.path, why, "wrong bytes");
        self.distrusted.add(key, source);
        match source {
            Source::Primary => self.errands.raise(key),
            Source::Copy(copy) => self.errands.blame(key, copy, why),
            Source::Cache => {}
        }
    }
}

impl Found {
    /// Of a copy, and not read yet.
    pub fn of(entry: &Arc<Entry>, known: &Known, source: Source) -> Self {
        let (version, entry) = (version(known), Some(Arc::clone(entry)));
        Self { source, version, size: known.size, entry, age: None, content: Content::InCopies }
    }
}

fn version(known: &Known) -> Version {
    Version::new(Tag::of_bytes(&known.digest), known.mtime_ns)
}

fn as_known(known: &Known, entry: Option<Arc<Entry>>, look: Look) -> Found {
    Found {
        source: Source::Primary,
        version: version(known),
        size: look.size,
        entry,
        age: None,
        content: content(look),
    }
}

/// Nobody has read it yet, or nobody else has it.
fn as_it_lies(look: Look) -> Found {
    let version = Version::new(Tag::of_stat(look.size, look.mtime_ns), look.mtime_ns);
    Found {
        source: Source::Primary,
        version,
        size: look.size,
        entry: None,
        age: None,
        content: content(look),
    }
}

fn content(look: Look) -> Content {
    let stamp = Stamp { size: look.size, mtime_ns: look.mtime_ns, ctime_ns: look.ctime_ns };
    match look.bytes {
        Some(bytes) => Content::Whole(bytes.into()),
        None => Content::Open { file: look.file, stamp },
    }
}

pub(super) fn not_found() -> ApiProblem {
    ApiProblem::new(StatusCode::NOT_FOUND, "Not found", "There is no file at this address.")
}

fn deleted() -> ApiProblem {
    ApiProblem::new(StatusCode::GONE, "Gone", "This file was deleted by its owner.")
}

pub(super) fn away() -> ApiProblem {
    let detail = "This file cannot be read just now. Try again in a moment.";
    ApiProblem::new(StatusCode::SERVICE_UNAVAILABLE, "Not available just now", detail).retry_after(LATER)
}
