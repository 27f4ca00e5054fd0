//! Every so-many-th path of a catalogue, so that a file can be drawn evenly out of a million without counting to it.

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::random;
use crate::database::Tx;
use crate::volumes::catalogue;

/// Rows from one place to the next, at first.
const STRIDE: u32 = 64;
/// Kept places; with more, every other one is let go and the stride doubles.
const MOST: usize = 20_000;
/// Files are added and forgotten: the walk begins anew after so long.
const WALK_AGAIN_AFTER: TimeDelta = TimeDelta::hours(1);

#[derive(Debug)]
pub struct Places {
    /// Paths that rows are counted from; the empty one comes before all.
    known: Vec<Vec<u8>>,
    stride: u32,
    /// Rows after the last place; absent before the catalogue's end was reached.
    rest: Option<u32>,
    walked_at: Option<DateTime<Utc>>,
    /// The walk under way, while the one before is drawn from.
    next: Option<Walk>,
}

#[derive(Debug)]
struct Walk {
    known: Vec<Vec<u8>>,
    stride: u32,
}

impl Default for Places {
    fn default() -> Self {
        Self { known: vec![], stride: STRIDE, rest: None, walked_at: None, next: None }
    }
}

impl Default for Walk {
    fn default() -> Self {
        Self { known: vec![vec![]], stride: STRIDE }
    }
}

impl Walk {
    fn note(&mut self, path: Vec<u8>) {
        self.known.push(path);
        if self.known.len() > MOST {
            let mut at = 0;
            self.known.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.stride *= 2;
        }
    }
}

impl Places {
    /// Walks on by `steps` places, or begins a new walk when the last one is old.
    pub async fn walk(
        &mut self,
        tx: &mut Tx,
        volume_id: i64,
        steps: u32,
        now: DateTime<Utc>,
    ) -> sqlx::Result<()> {
        let is_fresh = self.walked_at.is_some_and(|at| now >= at && now - at < WALK_AGAIN_AFTER);
        if self.next.is_none() && is_fresh {
            return Ok(());
        }
        let mut walk = self.next.take().unwrap_or_default();
        for _ in 0..steps {
            let last = walk.known.last().map_or(&[][..], Vec::as_slice);
            if let Some(path) = catalogue::path_after(tx, volume_id, last, walk.stride).await? {
                walk.note(path);
                continue;
            }
            let rest = catalogue::count_after(tx, volume_id, last, walk.stride).await?;
            let Walk { known, stride } = walk;
            *self = Self { known, stride, rest: Some(rest), walked_at: Some(now), next: None };
            return Ok(());
        }
        if self.rest.is_none() {
            // The first walk: what it has seen so far is drawn from already.
            (self.known, self.stride) = (walk.known[..walk.known.len() - 1].to_vec(), walk.stride);
        }
        self.next = Some(walk);
        Ok(())
    }

    /// Where to begin and how many rows on, each row of what is known as likely as any other; `None` while there is none.
    pub fn draw(&self) -> Option<(&[u8], u32)> {
        let stride = u64::from(self.stride);
        let rows = match self.rest {
            Some(rest) => (self.known.len() as u64).saturating_sub(1) * stride + u64::from(rest),
            None => self.known.len() as u64 * stride,
        };
        let row = u64::from_le_bytes(random()).checked_rem(rows)?;
        let place = self.known.get(usize::try_from(row / stride).ok()?)?;
        Some((place, u32::try_from(row % stride).ok()? + 1))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use salvor_domain::digest::Digest;
    use salvor_domain::path::FilePath;
    use salvor_domain::volume::{FileState, ModeState};

    use super::*;
    use crate::database::testing::databases;
    use crate::volumes::catalogue::CatalogueRow;
    use crate::volumes::store;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    /// Deep and uneven names, as customers have them.
    fn name(number: u32) -> FilePath {
        FilePath::new(format!(
            "uploads/{}/{}/{number:05}.jpg",
            number % 3,
            "x".repeat(number as usize % 7 + 1)
        ))
        .unwrap()
    }

    async fn add(tx: &mut Tx, volume: i64, names: impl Iterator<Item = FilePath>, state: FileState) {
        let row = |path| CatalogueRow {
            path,
            size: 1,
            mtime_ns: 0,
            digest: Digest([7; 32]),
            mode: 0o644,
            state,
            holders: 0,
            verified_at: at(0),
        };
        let mut rows: Vec<_> = names.map(row).collect();
        rows.sort_by(|a, b| a.path.cmp(&b.path));
        catalogue::add(tx, volume, &rows).await.unwrap();
    }

    #[tokio::test]
    async fn every_file_is_drawn_about_as_often_as_any_other() {
        let (_folder, all) = databases().await;
        for db in all {
            let mut tx = db.begin().await.unwrap();
            let mode = ModeState::Normal { since: at(0), reason: "first seen".into(), by: "salvor".into() };
            store::add_volume(&mut tx, "uploads", &mode).await.unwrap();
            let volume = store::volume(&mut tx, "uploads").await.unwrap().unwrap().id;
            let mut places = Places::default();
            places.walk(&mut tx, volume, 1, at(0)).await.unwrap();
            assert_eq!(places.draw(), None, "there is nothing to draw");

            add(&mut tx, volume, (0..300).map(name), FileState::Present).await;
            add(
                &mut tx,
                volume,
                [FilePath::new("uploads/deleted").unwrap()].into_iter(),
                FileState::Tombstone,
            )
            .await;
            let mut places = Places::default();
            places.walk(&mut tx, volume, 2, at(0)).await.unwrap();
            assert!(
                places.draw().is_some() && places.rest.is_none(),
                "it draws before it has been everywhere"
            );
            while places.next.is_some() {
                places.walk(&mut tx, volume, 2, at(0)).await.unwrap();
            }
            let mut drawn: BTreeMap<FilePath, u32> = BTreeMap::new();
            let mut tombstones = 0;
            for _ in 0..6_020 {
                let (after, steps) = places.draw().unwrap();
                match catalogue::file_after(&mut tx, volume, after, steps).await.unwrap() {
                    Some(path) => *drawn.entry(path).or_default() += 1,
                    None => tombstones += 1,
                }
            }
            // Each is expected 20 times; further off than this has less than one chance in a million.
            assert_eq!(drawn.len(), 300);
            assert!(
                drawn.values().chain([&tombstones]).all(|times| (2..=55).contains(times)),
                "{drawn:?} {tombstones}"
            );
            places.walk(&mut tx, volume, 100, at(60)).await.unwrap();
            assert_eq!(places.walked_at, Some(at(0)));
            places.walk(&mut tx, volume, 100, at(3_600)).await.unwrap();
            assert_eq!(places.walked_at, Some(at(3_600)), "an hour later it looks again");
            drop(tx);
            db.close().await;
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_stays_even() {
        let mut walk = Walk::default();
        for number in 1..=MOST as u32 {
            walk.note(number.to_be_bytes().to_vec());
        }
        assert_eq!((walk.known.len(), walk.stride), (MOST / 2 + 1, 2 * STRIDE));
        assert_eq!((&walk.known[0][..], &walk.known[1][..]), (&[][..], &2_u32.to_be_bytes()[..]));
    }
}
