//! The first half of every check: names, sizes and times. A quick check is done with it; a full check goes on with the
//! segments that are cut here, and counts its files there, each once.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use salvor_domain::finding::{FindingCounts, FindingKind};
use salvor_domain::job::{ByteCounts, FileCounts, JobRequest, Plan};
use salvor_domain::path::{FilePath, shown};
use salvor_domain::progress::Amount;
use salvor_domain::segment::{SEGMENT_BYTES, SEGMENT_FILES};
use salvor_domain::units;
use salvor_domain::volume::FileState;
use salvor_engine::{Entry, Kind};

use crate::database::Tx;
use crate::restore::drivers::{Planned, check_orphans};
use crate::restore::hands::Hands;
use crate::restore::planner::{Merge, Pair, Scope, Seen};
use crate::restore::store::{figures, segments};
use crate::restore::work::{Halt, Work};
use crate::volumes::catalogue::{self, CatalogueRow, Outline};
use crate::volumes::findings::{self, NewFinding};

/// Where a file system's own check puts files whose name is lost.
pub const LOST_AND_FOUND: &[u8] = b"lost+found/";
/// Findings, and files of which nothing is to be said, between two commits.
const BATCH_FINDINGS: usize = 2_000;
const BATCH_FILES: u64 = 40_000;

pub async fn plan(work: &Work) -> Result<Planned, Halt> {
    let JobRequest::Check { full, paths } = &work.job.request else {
        return Err(Halt::Fail("its request is not a check".into()));
    };
    let hands = work.volume().await.map_err(Halt::Stuck)?;
    let scope = Scope::new(paths, &[]);
    let mut merge =
        Merge::begin(&work.core, work.place.volume.id, hands.clone(), &scope, &work.control).await?;
    let since = work.core.clock.now();
    let mut look = Look { full: *full, dry: work.job.dry_run, ..Look::default() };
    look.longest_path = work.core.db.read().await?.longest_path();
    while let Some(pair) = merge.next().await? {
        look.at(pair);
        if look.is_full() {
            merge.still_there().await?;
            look.record(work, &hands, since).await?;
        }
    }
    look.cut();
    look.unmet = merge.unmet();
    look.record(work, &hands, since).await?;
    // What lies nameless on another host is told by its place alone.
    if let (false, Hands::Here(root)) = (look.dry, &hands) {
        check_orphans::name(work, root, *full, &scope).await?;
    }
    Ok(look.planned())
}

#[derive(Default)]
struct Look {
    full: bool,
    dry: bool,
    longest_path: usize,
    total: Amount,
    /// Settled by name, size and time: all files of a quick check.
    done: u64,
    since_commit: u64,
    findings: Vec<NewFinding>,
    missing: Vec<FilePath>,
    corrupt: Vec<FilePath>,
    /// Called missing in the catalogue, and here they are.
    back: Vec<FilePath>,
    range: Option<Range>,
    ranges: Vec<Range>,
    ranks: i64,
    others: u64,
    too_long: u64,
    notes: Vec<String>,
    /// Asked for, and not in the catalogue.
    unmet: Vec<(FilePath, String)>,
}

/// Neighbours in the catalogue whose bytes one segment will read.
struct Range {
    first: FilePath,
    last: FilePath,
    amount: Amount,
}

impl Look {
    /// Whether there is enough for a commit.
    fn is_full(&self) -> bool {
        self.since_commit >= BATCH_FILES
            || self.findings.len() + self.back.len() + self.ranges.len() >= BATCH_FINDINGS
    }

    fn at(&mut self, pair: Pair) {
        self.since_commit += 1;
        match pair {
            Pair::Both(row, entry) if row.state == FileState::Tombstone => {
                if entry.mtime_ns > row.mtime_ns {
                    self.found(
                        &entry.path,
                        FindingKind::Extra,
                        entry.size,
                        "it was deleted, and uploaded again",
                    );
                }
            }
            Pair::Absent(row, _) if row.state == FileState::Tombstone => {}
            Pair::Both(row, entry) => {
                self.count(&row);
                self.compare(&row, &entry);
            }
            Pair::Absent(row, Some(reason)) => {
                self.count(&row);
                self.found(&row.path, FindingKind::Unreadable, row.size, &reason);
                self.corrupt.push(row.path);
            }
            Pair::Absent(row, None) => {
                self.count(&row);
                self.found(&row.path, FindingKind::Missing, row.size, "");
                if row.state != FileState::Missing {
                    self.missing.push(row.path);
                }
            }
            Pair::Uncatalogued(entry) => self.uncatalogued(entry),
            Pair::Other(kind) => self.others += u64::from(kind != Kind::Folder),
            Pair::Unreadable { path, reason } => {
                self.notes.push(format!("{} cannot be read: {reason}", shown(&path)));
            }
        }
    }

    fn compare(&mut self, row: &Outline, entry: &Entry) {
        if row.state == FileState::Missing {
            self.back.push(row.path.clone());
        }
        if entry.mtime_ns > row.mtime_ns {
            self.found(&row.path, FindingKind::Changed, entry.size, "");
        } else if entry.size != row.size {
            let detail = format!("{} instead of {}", units::bytes(entry.size), units::bytes(row.size));
            self.found(&row.path, FindingKind::Corrupt, row.size, &detail);
            self.corrupt.push(row.path.clone());
        }
    }

    fn uncatalogued(&mut self, entry: Entry) {
        if entry.path.as_bytes().len() > self.longest_path {
            self.too_long += 1;
        } else if entry.path.as_bytes().starts_with(LOST_AND_FOUND) {
            self.found(&entry.path, FindingKind::Orphan, entry.size, &units::bytes(entry.size));
        } else {
            self.found(&entry.path, FindingKind::Extra, entry.size, "");
        }
    }

    fn found(&mut self, path: &FilePath, kind: FindingKind, size: u64, detail: &str) {
        self.findings.push(NewFinding { path: path.clone(), kind, size, detail: detail.to_owned() });
    }

    /// One more file of the catalogue; in a full check it goes into a segment.
    fn count(&mut self, row: &Outline) {
        self.total.files += 1;
        if !self.full {
            self.done += 1;
            return;
        }
        self.total.bytes += row.size;
        let range = self.range.get_or_insert_with(|| Range {
            first: row.path.clone(),
            last: row.path.clone(),
            amount: Amount::default(),
        });
        range.last.clone_from(&row.path);
        range.amount += Amount::file(row.size);
        if range.amount.files >= SEGMENT_FILES || range.amount.bytes >= SEGMENT_BYTES {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.ranges.extend(self.range.take());
    }

    async fn record(&mut self, work: &Work, hands: &Hands, since: DateTime<Utc>) -> Result<(), Halt> {
        self.since_commit = 0;
        let mut findings = std::mem::take(&mut self.findings);
        let (mut tx, mut job) = work.begin().await?;
        job.files = self.files();
        job.bytes.total = self.total.bytes;
        let now = work.core.clock.now();
        figures::add_failures(&mut tx, job.id, &self.unmet, now).await?;
        if !self.dry {
            let volume = work.place.volume.id;
            tx.one_at_a_time(volume).await?;
            let back = brought_back(&mut tx, volume, hands, &findings, since).await?;
            findings.retain(|finding| !back.contains(&finding.path));
            self.missing.retain(|path| !back.contains(path));
            self.corrupt.retain(|path| !back.contains(path));
            findings::report(&mut tx, volume, job.id, now, &findings).await?;
            figures::add_findings(&mut tx, job.id, &self.counted(&findings)).await?;
            catalogue::set_state(&mut tx, volume, &self.missing, FileState::Missing).await?;
            catalogue::set_state(&mut tx, volume, &self.corrupt, FileState::Corrupt).await?;
            catalogue::set_state(&mut tx, volume, &self.back, FileState::Present).await?;
            for range in std::mem::take(&mut self.ranges) {
                segments::insert(&mut tx, job.id, &range.segment(work, self.ranks)).await?;
                self.ranks += 1;
            }
            for note in std::mem::take(&mut self.notes) {
                work.note(&mut tx, "unreadable", 20, &note).await?;
            }
        }
        for paths in [&mut self.missing, &mut self.corrupt, &mut self.back] {
            paths.clear();
        }
        work.commit(tx, &job).await
    }

    /// Findings about files that a full check reads later are counted then.
    fn counted(&self, findings: &[NewFinding]) -> FindingCounts {
        let mut counts = FindingCounts::default();
        for finding in findings {
            let later = !matches!(finding.kind, FindingKind::Extra | FindingKind::Orphan);
            if !(self.full && later) {
                counts.add(finding.kind, 1);
            }
        }
        counts
    }

    fn files(&self) -> FileCounts {
        let failed = self.unmet.len() as u64;
        FileCounts { total: self.total.files + failed, done: self.done, failed, ..FileCounts::default() }
    }

    fn planned(self) -> Planned {
        let what = if self.full {
            format!("{} to read", units::bytes(self.total.bytes))
        } else {
            "names, sizes and times".to_owned()
        };
        let mut summary = format!("{}: {what}", units::counted(self.total.files, "file", "files"));
        if self.others > 0 {
            let links = units::counted(
                self.others,
                "symbolic link or special file",
                "symbolic links or special files",
            );
            summary.push_str(&format!("; {links} left out"));
        }
        if self.too_long > 0 {
            let files = units::counted(self.too_long, "file has a path", "files have paths");
            summary.push_str(&format!("; {files} too long for this database to keep"));
        }
        Planned {
            files: self.files(),
            bytes: ByteCounts { total: self.total.bytes, done: 0 },
            plan: Plan { total: self.total, ..Plan::default() },
            summary,
        }
    }
}

/// The lost files among these that somebody verified since the check began to look, and that are there now: a restore was quicker
/// than the walk.
async fn brought_back(
    tx: &mut Tx,
    volume: i64,
    hands: &Hands,
    findings: &[NewFinding],
    since: DateTime<Utc>,
) -> Result<HashSet<FilePath>, Halt> {
    let lost = [FindingKind::Missing, FindingKind::Corrupt, FindingKind::Unreadable];
    let lost = findings.iter().filter(|finding| lost.contains(&finding.kind));
    let paths: Vec<FilePath> = lost.map(|finding| finding.path.clone()).collect();
    let mut rows = catalogue::get(tx, volume, &paths).await?;
    // In whole seconds, so that the disk has the last word.
    rows.retain(|row| row.verified_at.timestamp() >= since.timestamp());
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    let seen = hands.look(rows.iter().map(|row| row.path.clone()).collect()).await?;
    let is_there = |row: &CatalogueRow, seen: Seen| match seen {
        Seen::File(entry) => (entry.size, entry.mtime_ns) == (row.size, row.mtime_ns),
        Seen::Absent | Seen::Unknown(_) => false,
    };
    let back = rows.into_iter().zip(seen).filter_map(|(row, seen)| is_there(&row, seen).then_some(row.path));
    Ok(back.collect())
}

impl Range {
    fn segment(&self, work: &Work, rank: i64) -> segments::NewSegment<'_> {
        segments::NewSegment {
            kind: segments::SegmentKind::Work,
            rank: work.job.ticket.map_or(0, |_| segments::TICKET_RANK) + rank,
            range: Some((&self.first, &self.last)),
            files: self.amount.files,
            bytes: self.amount.bytes,
            done_at: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use salvor_domain::digest::Digest;
    use salvor_domain::volume::ModeState;
    use salvor_engine::Root;

    use super::*;
    use crate::database::testing::databases;
    use crate::volumes::store as volumes;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    #[tokio::test]
    async fn what_was_brought_back_since_the_walk_passed_is_not_called_missing() {
        let (folder, all) = databases().await;
        let volume_folder = folder.path().join("files");
        std::fs::create_dir(&volume_folder).unwrap();
        // Both were verified since: the disk tells which of them is there.
        for name in ["back", "old"] {
            std::fs::write(volume_folder.join(name), b"content").unwrap();
            let file = std::fs::File::options().write(true).open(volume_folder.join(name)).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_nanos(7)).unwrap();
        }
        let hands = Hands::Here(Root::open(&volume_folder).unwrap().into());
        for db in all {
            let mut tx = db.begin().await.unwrap();
            let mode = ModeState::Normal { since: at(0), reason: "first seen".into(), by: "salvor".into() };
            volumes::add_volume(&mut tx, "uploads", &mode).await.unwrap();
            let volume = volumes::volume(&mut tx, "uploads").await.unwrap().unwrap().id;
            let rows = [("back", 11), ("lost", 11), ("old", 9)].map(|(path, verified)| CatalogueRow {
                path: FilePath::new(path).unwrap(),
                size: 7,
                mtime_ns: 7,
                digest: Digest([7; 32]),
                mode: 0o644,
                state: FileState::Present,
                holders: 1,
                verified_at: at(verified),
            });
            catalogue::upsert(&mut tx, volume, &rows).await.unwrap();
            let missing = |row: &CatalogueRow| NewFinding {
                path: row.path.clone(),
                kind: FindingKind::Missing,
                size: 7,
                detail: String::new(),
            };
            let findings: Vec<_> = rows.iter().map(missing).collect();
            let back = brought_back(&mut tx, volume, &hands, &findings, at(10)).await.unwrap();
            assert_eq!(back, HashSet::from([rows[0].path.clone()]));
        }
    }
}
