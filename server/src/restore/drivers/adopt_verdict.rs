//! What a file of an adopted copy means: for the catalogue, for the volume and for the copy itself.
//!
//! Invariant: a file that the catalogue knows keeps its row, whatever the copy has; the copy is a holder only of the very
//! bytes that the catalogue knows.

use chrono::{DateTime, Utc};
use salvor_domain::finding::{FindingCounts, FindingKind};
use salvor_domain::path::FilePath;
use salvor_domain::progress::Amount;
use salvor_domain::units;
use salvor_domain::volume::FileState;
use salvor_engine::{AdoptOutcome, Adopted, CopyFaultKind, OnVolume};

use crate::volumes::catalogue::CatalogueRow;
use crate::volumes::findings::NewFinding;

/// Permission bits where nobody keeps them.
const MODE: u32 = 0o644;

/// What came of a batch.
pub struct Verdicts<'a> {
    copy: &'a str,
    bit: u8,
    now: DateTime<Utc>,
    pub done: Vec<FilePath>,
    pub skipped: Vec<FilePath>,
    pub failures: Vec<(FilePath, String)>,
    /// New in the catalogue.
    pub rows: Vec<CatalogueRow>,
    pub findings: Vec<NewFinding>,
    pub counts: FindingCounts,
    /// Files of which the copy has the very bytes.
    pub held: Vec<FilePath>,
    /// What is held against the copy.
    pub faults: Vec<(FilePath, String)>,
    pub notes: Vec<String>,
    /// Read from the copy.
    pub read: Amount,
    /// The copy went away.
    pub gone: Option<String>,
    pub stopped: bool,
}

impl<'a> Verdicts<'a> {
    pub fn new(copy: &'a str, bit: u8, now: DateTime<Utc>) -> Self {
        Self {
            copy,
            bit,
            now,
            done: Vec::new(),
            skipped: Vec::new(),
            failures: Vec::new(),
            rows: Vec::new(),
            findings: Vec::new(),
            counts: FindingCounts::default(),
            held: Vec::new(),
            faults: Vec::new(),
            notes: Vec::new(),
            read: Amount::default(),
            gone: None,
            stopped: false,
        }
    }

    /// `row`: what the catalogue has of the file.
    pub fn add(&mut self, path: &FilePath, row: Option<&CatalogueRow>, outcome: &AdoptOutcome) {
        match outcome {
            AdoptOutcome::NotStarted => self.stopped = true,
            AdoptOutcome::Refused { kind: CopyFaultKind::Gone, reason } => {
                self.gone.get_or_insert_with(|| reason.clone());
            }
            // It was removed there since the list was made.
            AdoptOutcome::Refused { kind: CopyFaultKind::Missing, .. } => self.skipped.push(path.clone()),
            AdoptOutcome::Refused { kind: CopyFaultKind::Corrupt | CopyFaultKind::Io, reason } => {
                self.faults.push((path.clone(), reason.clone()));
                self.failures.push((path.clone(), reason.clone()));
            }
            AdoptOutcome::Read(file) => {
                self.read += Amount::file(file.size);
                match row {
                    Some(row) if row.state == FileState::Tombstone => self.skipped.push(path.clone()),
                    Some(row) => self.compare(path, row, file),
                    None => self.add_row(path, file),
                }
            }
        }
    }

    /// A file that the catalogue knows.
    fn compare(&mut self, path: &FilePath, row: &CatalogueRow, file: &Adopted) {
        if row.digest == file.digest && row.size == file.size {
            self.held.push(path.clone());
            self.done.push(path.clone());
            return;
        }
        let age =
            file.mtime_ns.map(|mtime_ns| mtime_ns.div_euclid(SECOND).cmp(&row.mtime_ns.div_euclid(SECOND)));
        let version = match age {
            Some(std::cmp::Ordering::Less) => "an older version than the catalogue",
            Some(std::cmp::Ordering::Greater) => "a newer version than the catalogue",
            Some(std::cmp::Ordering::Equal) | None => {
                let reason = match file.size == row.size {
                    true => "its bytes are not those of the catalogue".to_owned(),
                    false => {
                        format!("it has {} instead of {}", units::bytes(file.size), units::bytes(row.size))
                    }
                };
                self.faults.push((path.clone(), reason.clone()));
                self.failures.push((path.clone(), format!("{}: {reason}", self.copy)));
                return;
            }
        };
        self.notes.push(format!("{path}: {} has {version}", self.copy));
        self.skipped.push(path.clone());
    }

    /// A file that the catalogue did not know.
    fn add_row(&mut self, path: &FilePath, file: &Adopted) {
        let (state, mtime_ns, mode, read) = match &file.there {
            OnVolume::Same { mtime_ns, mode, read } => (FileState::Present, *mtime_ns, Some(*mode), *read),
            OnVolume::Nothing => {
                self.find(path, FindingKind::Missing, file.size, format!("adopted from {}", self.copy));
                let mtime_ns = file.mtime_ns.or_else(|| self.now.timestamp_nanos_opt()).unwrap_or(0);
                (FileState::Missing, mtime_ns, file.mode, false)
            }
            // Without a time of its own the copy's version cannot be called the newer one.
            OnVolume::Other { size, mtime_ns } if file.mtime_ns.is_none_or(|of_copy| *mtime_ns > of_copy) => {
                let detail = format!("newer than in {}, from which it was adopted", self.copy);
                self.find(path, FindingKind::Changed, *size, detail);
                (FileState::Present, file.mtime_ns.unwrap_or(*mtime_ns - 1), file.mode, false)
            }
            OnVolume::Other { size, mtime_ns } => {
                let detail = match *size == file.size {
                    true => format!("other bytes than in {}, and not newer", self.copy),
                    false => format!(
                        "{} instead of {} in {}",
                        units::bytes(*size),
                        units::bytes(file.size),
                        self.copy
                    ),
                };
                self.find(path, FindingKind::Corrupt, file.size, detail);
                (FileState::Corrupt, file.mtime_ns.unwrap_or(*mtime_ns), file.mode, false)
            }
            OnVolume::Unreadable { reason } => {
                self.find(path, FindingKind::Unreadable, file.size, reason.clone());
                (FileState::Corrupt, file.mtime_ns.unwrap_or(0), file.mode, false)
            }
        };
        self.rows.push(CatalogueRow {
            path: path.clone(),
            size: file.size,
            mtime_ns,
            digest: file.digest,
            mode: mode.unwrap_or(MODE) & 0o7777,
            state,
            holders: 1 << self.bit,
            // Never, where its bytes on the volume were not read.
            verified_at: if read { self.now } else { DateTime::UNIX_EPOCH },
        });
        self.held.push(path.clone());
        self.done.push(path.clone());
    }

    fn find(&mut self, path: &FilePath, kind: FindingKind, size: u64, detail: String) {
        self.counts.add(kind, 1);
        self.findings.push(NewFinding { path: path.clone(), kind, size, detail });
    }
}

/// Many copies keep whole seconds.
const SECOND: i64 = 1_000_000_000;
