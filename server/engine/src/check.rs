//! Comparing files with the catalogue, byte by byte.
//!
//! A file with other bytes is *changed* when its mtime is newer than the catalogue's, else *corrupt*: nobody changes a file
//! and turns its clock back. What cannot be read is *unreadable*, and when the whole volume is out of reach then everything
//! is: a check must not report a thousand missing files because a mount is missing (I10).

use std::ops::ControlFlow;

use salvor_domain::digest::Digest;
use salvor_domain::path::FilePath;

use crate::control::{Control, Progress, Tally};
use crate::crew;
use crate::fault::ReadFault;
use crate::hash::{Buffer, Pace, hash_open};
use crate::limit::RateLimit;
use crate::root::{Kind, Root};

/// One file as the catalogue knows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Expected {
    pub path: FilePath,
    pub size: u64,
    pub mtime_ns: i64,
    pub digest: Digest,
}

#[derive(Debug, Clone)]
pub struct CheckOptions {
    pub threads: usize,
    pub limit: RateLimit,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum CheckOutcome {
    /// Every byte is right. The mtime is the one found: it may differ from the catalogue's.
    Good {
        mtime_ns: i64,
    },
    Missing,
    /// Other bytes, although the file does not claim to be newer. No `digest` where the size alone tells.
    Corrupt {
        size: u64,
        mtime_ns: i64,
        digest: Option<Digest>,
    },
    /// Other bytes, and newer. No `digest` where the size alone tells, or where it is being written just now.
    Changed {
        size: u64,
        mtime_ns: i64,
        digest: Option<Digest>,
    },
    Unreadable {
        reason: String,
    },
    /// The batch was stopped before this file was done.
    NotStarted,
}

/// Checks the files with a few threads in path order; one outcome for each, in their order. Files that are good, corrupt or
/// changed count as done in `progress`.
pub fn check_batch(
    root: &Root,
    expected: &[Expected],
    options: &CheckOptions,
    control: &Control,
    progress: &Progress,
) -> Vec<CheckOutcome> {
    let limits = [&options.limit];
    let results = crew::work(
        expected,
        |file| &file.path,
        options.threads,
        |file, buffer| match check_one(root, file, buffer, control, &limits, progress) {
            CheckOutcome::NotStarted => ControlFlow::Break(()),
            outcome => ControlFlow::Continue(outcome),
        },
    );
    let gone = root.reachable().err();
    let judge = |outcome: Option<CheckOutcome>| match (outcome, &gone) {
        (Some(CheckOutcome::Missing), Some(why)) => CheckOutcome::Unreadable { reason: why.clone() },
        (outcome, _) => outcome.unwrap_or(CheckOutcome::NotStarted),
    };
    results.into_iter().map(judge).collect()
}

/// Checks one file. Whoever checks many should ask [`Root::reachable`] before believing in many missing ones.
pub fn check_file(root: &Root, expected: &Expected, buffer: &mut Buffer, control: &Control) -> CheckOutcome {
    check_one(root, expected, buffer, control, &[], &Progress::new())
}

fn check_one(
    root: &Root,
    expected: &Expected,
    buffer: &mut Buffer,
    control: &Control,
    limits: &[&RateLimit],
    progress: &Progress,
) -> CheckOutcome {
    if control.check().is_err() || limits.iter().any(|limit| limit.take_file(control).is_err()) {
        return CheckOutcome::NotStarted;
    }
    let mut pace = Pace { control, limits, tally: Tally::new(progress) };
    match compare(root, expected, buffer, &mut pace) {
        Ok(outcome) => {
            pace.tally.keep();
            outcome
        }
        Err(ReadFault::NotFound) => CheckOutcome::Missing,
        Err(ReadFault::Stopped(_)) => CheckOutcome::NotStarted,
        Err(fault) => CheckOutcome::Unreadable { reason: fault.to_string() },
    }
}

fn compare(
    root: &Root,
    expected: &Expected,
    buffer: &mut Buffer,
    pace: &mut Pace<'_, '_>,
) -> Result<CheckOutcome, ReadFault> {
    let differs = |size, mtime_ns, digest| {
        if mtime_ns > expected.mtime_ns {
            CheckOutcome::Changed { size, mtime_ns, digest }
        } else {
            CheckOutcome::Corrupt { size, mtime_ns, digest }
        }
    };
    let (file, before) = root.open_file(&expected.path)?;
    if before.size != expected.size {
        return Ok(differs(before.size, before.mtime_ns, None));
    }
    match hash_open(&file, &before, buffer, pace) {
        Ok(hashed) if hashed.digest == expected.digest => {
            Ok(CheckOutcome::Good { mtime_ns: hashed.mtime_ns })
        }
        Ok(hashed) => Ok(differs(hashed.size, hashed.mtime_ns, Some(hashed.digest))),
        // Someone is writing it right now, so it is as new as can be.
        Err(ReadFault::ChangedWhileRead) => match root.stat(&expected.path)? {
            Some(now) if now.kind == Kind::File => {
                Ok(CheckOutcome::Changed { size: now.size, mtime_ns: now.mtime_ns, digest: None })
            }
            Some(other) => Err(ReadFault::NotAFile(other.kind)),
            None => Ok(CheckOutcome::Missing),
        },
        Err(fault) => Err(fault),
    }
}

#[cfg(test)]
mod tests;
