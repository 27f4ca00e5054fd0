//! The nameless files of a volume, and which file of the catalogue each of them is.
//!
//! The files are collected once, by name and size. Rows of the catalogue come by, in whatever portions the plan reads
//! them; what has the size of an orphan makes all orphans of that size be read, and what has the bytes of one takes it. So
//! neither the catalogue nor more of the orphans than needed is ever in memory or read.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use salvor_domain::path::FilePath;
use salvor_domain::units;
use salvor_domain::volume::FileState;
use salvor_engine::{
    Control, Kind, LostFolder, Orphan, Orphans, RateLimit, ReadFault, Root, Spare, Standing, Stopped, Taken,
    sniff_file,
};

use super::folders;
use crate::restore::work::{Halt, Work};
use crate::volumes::catalogue::{self, CatalogueRow, Outline};

/// Catalogued names that are asked for at a time.
const PAGE: u32 = 2_000;

pub struct Nameless {
    shared: Arc<Shared>,
    orphans: Orphans,
    /// What could not be looked at, as paths and reasons.
    pub unreadable: Vec<(Vec<u8>, String)>,
}

/// What the threads that look and read need.
struct Shared {
    volume: Arc<Root>,
    /// Each with its number.
    folders: Vec<(usize, LostFolder)>,
    threads: usize,
    /// The job's.
    limit: RateLimit,
    control: Control,
}

/// A file of the catalogue that is lost, and the orphan that has its bytes.
#[derive(Debug, Clone)]
pub struct Match {
    pub row: CatalogueRow,
    /// Something that is not right lies in its place.
    pub corrupt: bool,
    /// With the folder's number.
    pub taken: Taken,
}

/// What rows of the catalogue came to.
#[derive(Debug, Default)]
pub struct Matched {
    pub matches: Vec<Match>,
    /// Files that are newer on the volume than what lies nameless, with their sizes.
    pub newer: Vec<(FilePath, u64)>,
}

/// Which orphans are told of, and how.
#[derive(Debug, Clone)]
pub enum Telling {
    /// Those that stay, by what their bytes are.
    Left,
    /// All of them, by what their bytes are.
    All,
    /// All of them, unread: by the missing files of each size, the first one's path and how many.
    BySize(Arc<HashMap<u64, (FilePath, u64)>>),
}

/// An orphan in words.
#[derive(Debug, Clone)]
pub struct Told {
    pub path: FilePath,
    pub size: u64,
    pub detail: String,
    /// Nobody knows its bytes.
    pub unknown: bool,
    /// It lies within the volume's folder.
    pub in_volume: bool,
}

impl Nameless {
    /// Looks into the folders; see [`folders::numbers`] for `from`.
    pub async fn find(work: &Work, volume: &Arc<Root>, from: &[String]) -> Result<Self, Halt> {
        let mut found = Vec::new();
        let mut unreadable = Vec::new();
        for number in folders::numbers(from) {
            match folders::open(work, volume, from, number).await {
                Ok(Some(folder)) => found.push((number, folder)),
                Ok(None) => {}
                Err(reason) => unreadable.push((b"lost+found".to_vec(), reason)),
            }
        }
        let mut named = HashSet::new();
        for (_, folder) in found.iter().filter(|(_, folder)| folder.root.path() == volume.path()) {
            if let Some(folder) = &folder.folder {
                named.extend(catalogued_within(work, folder).await?);
            }
        }
        let shared = Shared {
            volume: volume.clone(),
            folders: found,
            threads: work.threads,
            limit: work.job_limit(),
            control: work.control.clone(),
        };
        let nameless = Self { shared: Arc::new(shared), orphans: Orphans::default(), unreadable };
        nameless.collected(work, named).await
    }

    async fn collected(mut self, work: &Work, named: HashSet<FilePath>) -> Result<Self, Halt> {
        let (shared, mut orphans) = (self.shared.clone(), self.orphans);
        let collect = move || -> Result<_, Stopped> {
            let mut unreadable = Vec::new();
            for (index, (_, lost)) in shared.folders.iter().enumerate() {
                let in_volume = lost.root.path() == shared.volume.path();
                let has_name = |path: &FilePath| in_volume && named.contains(path);
                for (path, reason) in orphans.collect(index, lost, has_name, &shared.control)? {
                    let whole = [folders::shown_folder(lost).as_bytes(), b"/", &path].concat();
                    // A fault of the folder itself has its name already.
                    let own = lost.folder.as_ref().map_or(&b""[..], FilePath::as_bytes);
                    unreadable.push((
                        if path == own { folders::shown_folder(lost).into_bytes() } else { whole },
                        reason,
                    ));
                }
            }
            Ok((orphans, unreadable))
        };
        let (collected, _) = work.blocking(collect).await?;
        let (orphans, unreadable) = collected.map_err(|Stopped| Halt::Stopped)?;
        self.unreadable.extend(unreadable);
        Ok(Self { orphans, ..self })
    }

    pub fn is_empty(&self) -> bool {
        self.orphans.is_empty()
    }

    /// Symbolic links and special files among them.
    pub fn others(&self) -> u64 {
        self.orphans.others()
    }

    /// The folders that were looked in, for people: `/srv/uploads/lost+found`.
    pub fn places(&self) -> Vec<String> {
        self.shared.folders.iter().map(|(_, lost)| folders::shown_folder(lost)).collect()
    }

    /// Whether a file of this size lies nameless.
    pub fn has_size(&self, size: u64) -> bool {
        self.orphans.has_size(size)
    }

    /// Rows as they come from the catalogue: looks which of them are lost, and gives those the orphans that have their bytes.
    pub async fn sort_out(&mut self, work: &Work, rows: Vec<CatalogueRow>) -> Result<Matched, Halt> {
        let rows: Vec<_> = rows.into_iter().filter(|row| self.has_size(row.size)).collect();
        self.with(work, rows, |orphans, shared, rows| {
            let mut matched = Matched::default();
            for row in rows {
                if !orphans.knows(row.size, &row.digest) {
                    continue;
                }
                let (path, size, digest) = (row.path.clone(), row.size, row.digest);
                match look(&shared.volume, &row) {
                    Look::Deleted => orphans.spare(&path, size, &digest, Spare::Deleted),
                    Look::InPlace => orphans.spare(&path, size, &digest, Spare::InPlace),
                    Look::Newer(newer) => {
                        orphans.spare(&path, size, &digest, Spare::Older);
                        matched.newer.push((path, newer));
                    }
                    Look::Lost { corrupt } => {
                        matched.matches.extend(take(orphans, shared, row, corrupt).ok())
                    }
                }
            }
            matched
        })
        .await
    }

    /// Rows that are known to be lost, each with whether something corrupt is in its place: gives those that have one their
    /// orphan, and the others back.
    pub async fn claim(
        &mut self,
        work: &Work,
        lost: Vec<(Outline, bool)>,
    ) -> Result<(Vec<Match>, Vec<(Outline, bool)>), Halt> {
        let (fitting, mut others): (Vec<_>, Vec<_>) =
            lost.into_iter().partition(|(row, _)| self.has_size(row.size));
        let corrupt: HashSet<FilePath> =
            fitting.iter().filter(|(_, corrupt)| *corrupt).map(|(row, _)| row.path.clone()).collect();
        let paths: Vec<FilePath> = fitting.into_iter().map(|(row, _)| row.path).collect();
        let mut tx = work.core.db.read().await?;
        let rows = catalogue::get(&mut tx, work.place.volume.id, &paths).await?;
        drop(tx);
        let (matches, unmatched) = self
            .with(work, rows, move |orphans, shared, rows| {
                let mut matches = Vec::new();
                let mut unmatched = Vec::new();
                for row in rows {
                    let corrupt = corrupt.contains(&row.path);
                    match take(orphans, shared, row, corrupt) {
                        Ok(found) => matches.push(found),
                        Err(row) => unmatched.push((Outline::from(row), corrupt)),
                    }
                }
                (matches, unmatched)
            })
            .await?;
        others.extend(unmatched);
        others.sort_unstable_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        Ok((matches, others))
    }

    /// Reads the orphans of the rows' sizes, and goes on with them on a thread for blocking work.
    async fn with<T: Default + Send + 'static>(
        &mut self,
        work: &Work,
        rows: Vec<CatalogueRow>,
        go_on: impl FnOnce(&mut Orphans, &Shared, Vec<CatalogueRow>) -> T + Send + 'static,
    ) -> Result<T, Halt> {
        if rows.is_empty() {
            return Ok(T::default());
        }
        let (shared, mut orphans) = (self.shared.clone(), std::mem::take(&mut self.orphans));
        let reading = move || {
            let folders: Vec<LostFolder> = shared.folders.iter().map(|(_, folder)| folder.clone()).collect();
            let sizes: BTreeSet<u64> = rows.iter().map(|row| row.size).collect();
            orphans.read(&folders, &sizes, shared.threads, &shared.limit, &shared.control)?;
            let done = go_on(&mut orphans, &shared, rows);
            Ok((orphans, done))
        };
        let (read, _) = work.blocking(reading).await?;
        let (orphans, done) = read.map_err(|Stopped| Halt::Stopped)?;
        self.orphans = orphans;
        Ok(done)
    }

    /// A portion of the orphans from the `from`th on, with the type that their first bytes tell and what is known of them;
    /// and where the next portion begins.
    pub async fn told(
        &mut self,
        work: &Work,
        from: usize,
        telling: &Telling,
    ) -> Result<(Vec<Told>, Option<usize>), Halt> {
        const PORTION: usize = 2_000;
        let (shared, orphans, telling) =
            (self.shared.clone(), std::mem::take(&mut self.orphans), telling.clone());
        let tell = move || {
            let part = orphans.part(from..from + PORTION).take_while(|_| shared.control.check().is_ok());
            let told: Vec<Told> = part.filter_map(|orphan| told(&shared, orphan, &telling)).collect();
            (orphans, told)
        };
        let ((orphans, told), _) = work.blocking(tell).await?;
        self.orphans = orphans;
        if work.control.stop().is_some() {
            return Err(Halt::Stopped);
        }
        let next = from + PORTION;
        Ok((told, (next < self.orphans.len()).then_some(next)))
    }
}

/// What the catalogue knows by name beneath a folder of the volume: such files are not nameless.
async fn catalogued_within(work: &Work, folder: &FilePath) -> Result<Vec<FilePath>, Halt> {
    let prefix = [folder.as_bytes(), b"/"].concat();
    let mut after = prefix.clone();
    let mut named = Vec::new();
    loop {
        let mut tx = work.core.db.read().await?;
        let page = catalogue::after(&mut tx, work.place.volume.id, Some(&after), PAGE).await?;
        drop(tx);
        let is_last = page.len() < PAGE as usize;
        let Some(last) = page.last() else { return Ok(named) };
        after = last.path.as_bytes().to_vec();
        let has_left = !after.starts_with(&prefix);
        let within = page.into_iter().filter(|row| row.path.as_bytes().starts_with(&prefix));
        named.extend(within.filter(|row| row.state != FileState::Tombstone).map(|row| row.path));
        if is_last || has_left {
            return Ok(named);
        }
    }
}

enum Look {
    Deleted,
    InPlace,
    Newer(u64),
    Lost { corrupt: bool },
}

/// How a file of the catalogue is, by its name, size and time and by what checks found. The work looks again, at its bytes.
fn look(volume: &Root, row: &CatalogueRow) -> Look {
    if row.state == FileState::Tombstone {
        return Look::Deleted;
    }
    let known_corrupt = row.state == FileState::Corrupt;
    match volume.stat(&row.path) {
        Ok(None) | Err(ReadFault::NotFound | ReadFault::InTheWay(..)) => Look::Lost { corrupt: false },
        Ok(Some(there)) if there.kind != Kind::File => Look::Lost { corrupt: false },
        Ok(Some(there)) if there.mtime_ns > row.mtime_ns => Look::Newer(there.size),
        Ok(Some(there)) if (there.size, there.mtime_ns) == (row.size, row.mtime_ns) && !known_corrupt => {
            Look::InPlace
        }
        Ok(Some(_)) => Look::Lost { corrupt: known_corrupt },
        Err(_) => Look::Lost { corrupt: true },
    }
}

fn take(
    orphans: &mut Orphans,
    shared: &Shared,
    row: CatalogueRow,
    corrupt: bool,
) -> Result<Match, CatalogueRow> {
    match orphans.take(&row.path, row.size, &row.digest) {
        Some(taken) => {
            let number = shared.folders.get(taken.folder).map_or(usize::MAX, |(number, _)| *number);
            Ok(Match { row, corrupt, taken: Taken { folder: number, ..taken } })
        }
        None => Err(row),
    }
}

fn told(shared: &Shared, orphan: Orphan, telling: &Telling) -> Option<Told> {
    let Orphan { folder, path, size, standing } = orphan;
    let (_, lost) = shared.folders.get(folder)?;
    let (what, unknown) = match (standing, telling) {
        (Standing::Taken(_), Telling::Left) => return None,
        (Standing::Taken(at), _) => (format!("it belongs at {at}"), false),
        (Standing::Unread, Telling::BySize(sizes)) => (by_size(sizes, size), true),
        (Standing::Unread | Standing::Read, _) => {
            ("no file of the catalogue has these bytes".to_owned(), true)
        }
        (Standing::Unreadable(reason), _) => (format!("it cannot be read: {reason}"), true),
        (Standing::Spare(Spare::InPlace, at), _) => (format!("{at} has these bytes, and is in place"), false),
        (Standing::Spare(Spare::Older, at), _) => (format!("an older version of {at}"), false),
        (Standing::Spare(Spare::Deleted, at), _) => (format!("it was {at}, which its owner deleted"), false),
    };
    let kind = sniff_file(&lost.root, &path).unwrap_or("type unknown");
    let mut detail = format!("{kind}, {}", units::bytes(size));
    if !what.is_empty() {
        detail.push_str(&format!("; {what}"));
    }
    let in_volume = lost.root.path() == shared.volume.path();
    if !in_volume {
        detail.push_str(&format!("; it lies in {}", folders::shown_folder(lost)));
    }
    // A name that is too long to be kept is counted all the same.
    let path = folders::name(lost, &shared.volume, &path).unwrap_or(path);
    Some(Told { path, size, detail, unknown, in_volume })
}

fn by_size(missing: &HashMap<u64, (FilePath, u64)>, size: u64) -> String {
    match missing.get(&size) {
        None => String::new(),
        Some((first, 1)) => format!("it may be {first}, which is missing and has the same size"),
        Some((first, 2)) => format!("it may be {first} or another missing file of this size"),
        Some((first, count)) => format!("it may be {first} or one of {} others of this size", count - 1),
    }
}
