//! Reading what a copy holds, for a catalogue that does not know it yet, and looking at the volume for the same files.
//!
//! Nothing is written, neither to the volume nor to the copy. Each file of the copy is read once, whole; a file on the
//! volume is read only where its size and time do not tell already.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use salvor_domain::digest::Digest;
use salvor_domain::path::FilePath;

use crate::control::{Control, Progress, Tally};
use crate::crew;
use crate::fault::{ReadFault, SourceFault};
use crate::hash::{Broke, Buffer, Pace, hash_from, hash_open};
use crate::limit::RateLimit;
use crate::restore::{CopyFaultKind, SourceHandle};
use crate::root::{Kind, Root, Stat};

#[derive(Debug, Clone)]
pub struct AdoptOptions {
    pub threads: usize,
    /// For everything that this job reads.
    pub limit: RateLimit,
}

/// What came of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdoptOutcome {
    Read(Adopted),
    /// The copy did not give it.
    Refused {
        kind: CopyFaultKind,
        reason: String,
    },
    /// The batch was stopped before this file was done.
    NotStarted,
}

/// A file as the copy has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    pub digest: Digest,
    pub size: u64,
    /// Where the copy keeps it; of some, whole seconds only.
    pub mtime_ns: Option<i64>,
    /// Permission bits, where the copy keeps them.
    pub mode: Option<u32>,
    pub there: OnVolume,
}

/// What is at the file's place on the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnVolume {
    Nothing,
    /// The same file: by size and time, or where these do not tell (`read`) by its bytes.
    Same {
        mtime_ns: i64,
        mode: u32,
        read: bool,
    },
    /// A file with other bytes.
    Other {
        size: u64,
        mtime_ns: i64,
    },
    Unreadable {
        reason: String,
    },
}

/// Reads the files with a few threads, in path order; one outcome for each, in their order. A copy that is out of reach
/// ends the batch: what was not begun is [`AdoptOutcome::NotStarted`].
pub fn adopt_batch(
    volume: &Root,
    copy: &SourceHandle,
    paths: &[FilePath],
    options: &AdoptOptions,
    control: &Control,
    progress: &Progress,
) -> Vec<AdoptOutcome> {
    let threads = options.threads.clamp(*copy.source.parallel().start(), *copy.source.parallel().end());
    let away = AtomicBool::new(false);
    let results = crew::work(
        paths,
        |path| path,
        threads,
        |path, buffer| {
            if control.check().is_err() || away.load(Ordering::Relaxed) {
                return ControlFlow::Break(());
            }
            let outcome = match adopt_one(volume, copy, path, buffer, options, control, progress) {
                Ok(adopted) => AdoptOutcome::Read(adopted),
                Err(Fault::Stopped) => return ControlFlow::Break(()),
                Err(Fault::Copy(kind, reason)) => {
                    if kind == CopyFaultKind::Gone {
                        away.store(true, Ordering::Relaxed);
                    }
                    AdoptOutcome::Refused { kind, reason }
                }
            };
            ControlFlow::Continue(outcome)
        },
    );
    results.into_iter().map(|outcome| outcome.unwrap_or(AdoptOutcome::NotStarted)).collect()
}

enum Fault {
    Stopped,
    Copy(CopyFaultKind, String),
}

impl From<SourceFault> for Fault {
    fn from(fault: SourceFault) -> Self {
        let kind = match &fault {
            SourceFault::NotFound => CopyFaultKind::Missing,
            SourceFault::Gone(_) => CopyFaultKind::Gone,
            SourceFault::Io(_) => CopyFaultKind::Io,
        };
        Self::Copy(kind, fault.to_string())
    }
}

impl From<Broke> for Fault {
    fn from(broke: Broke) -> Self {
        match broke {
            Broke::Stopped => Self::Stopped,
            Broke::Fault(fault) => fault.into(),
        }
    }
}

fn adopt_one(
    volume: &Root,
    copy: &SourceHandle,
    path: &FilePath,
    buffer: &mut Buffer,
    options: &AdoptOptions,
    control: &Control,
    progress: &Progress,
) -> Result<Adopted, Fault> {
    let limits = [&copy.limit, &options.limit];
    limits.iter().try_for_each(|limit| limit.take_file(control)).map_err(|_| Fault::Stopped)?;
    let stat = copy.source.stat(path)?;
    let opened = copy.source.open(path)?;
    let mode = opened.mode;
    let mut pace = Pace { control, limits: &limits, tally: Tally::new(progress) };
    let (digest, size) = hash_from(&*copy.source, opened, buffer, &mut pace)?;
    if size != stat.size {
        let reason = format!("the copy says that it has {} bytes, and gave {size}", stat.size);
        return Err(Fault::Copy(CopyFaultKind::Io, reason));
    }
    let there = look(volume, path, size, stat.mtime_ns, digest, buffer, control)?;
    pace.tally.keep();
    Ok(Adopted { digest, size, mtime_ns: stat.mtime_ns, mode, there })
}

fn look(
    volume: &Root,
    path: &FilePath,
    size: u64,
    mtime_ns: Option<i64>,
    digest: Digest,
    buffer: &mut Buffer,
    control: &Control,
) -> Result<OnVolume, Fault> {
    let looked = volume.stat(path).and_then(|stat| match stat {
        // Where something else stands, the file is not.
        Some(stat) if stat.kind != Kind::File => Err(ReadFault::NotFound),
        None => Err(ReadFault::NotFound),
        Some(stat) if stat.size != size => Ok(other(&stat)),
        Some(stat) if mtime_ns.is_some_and(|mtime_ns| is_same_time(mtime_ns, stat.mtime_ns)) => {
            Ok(OnVolume::Same { mtime_ns: stat.mtime_ns, mode: stat.mode, read: false })
        }
        Some(_) => {
            let progress = Progress::new();
            let mut pace = Pace { control, limits: &[], tally: Tally::new(&progress) };
            let (file, before) = volume.open_file(path)?;
            let hashed = hash_open(&file, &before, buffer, &mut pace)?;
            Ok(match hashed.digest == digest && hashed.size == size {
                true => OnVolume::Same { mtime_ns: before.mtime_ns, mode: before.mode, read: true },
                false => other(&before),
            })
        }
    });
    match looked {
        Ok(there) => Ok(there),
        Err(ReadFault::NotFound | ReadFault::InTheWay(..)) => Ok(OnVolume::Nothing),
        Err(ReadFault::Stopped(_)) => Err(Fault::Stopped),
        Err(fault) => Ok(OnVolume::Unreadable { reason: fault.to_string() }),
    }
}

fn other(stat: &Stat) -> OnVolume {
    OnVolume::Other { size: stat.size, mtime_ns: stat.mtime_ns }
}

/// A copy that keeps whole seconds means any time within that second.
fn is_same_time(of_copy: i64, of_volume: i64) -> bool {
    const SECOND: i64 = 1_000_000_000;
    of_copy == of_volume
        || (of_copy % SECOND == 0 && of_copy.div_euclid(SECOND) == of_volume.div_euclid(SECOND))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::source::FsSource;
    use crate::testing::{Tree, digest, path};

    fn options() -> AdoptOptions {
        AdoptOptions { threads: 4, limit: RateLimit::unlimited() }
    }

    fn adopt(tree: &Tree, names: &[&str], control: &Control) -> Vec<AdoptOutcome> {
        let copy = Root::open(&tree.at("copy")).unwrap();
        let source = Arc::new(FsSource::new("old", Arc::new(copy)));
        let handle = SourceHandle::new(source, RateLimit::unlimited());
        let volume = Root::open(&tree.at("volume")).unwrap();
        let paths: Vec<_> = names.iter().map(|name| path(name)).collect();
        adopt_batch(&volume, &handle, &paths, &options(), control, &Progress::new())
    }

    #[test]
    fn each_file_of_the_copy_is_compared_with_the_volume() {
        let tree = Tree::new();
        tree.write("volume/present", b"here");
        for (name, content) in [
            ("same", "1"),
            ("moved", "bytes"),
            ("other", "old"),
            ("longer", "x"),
            ("lost", "gone"),
            ("folder", "x"),
        ] {
            tree.write(&format!("copy/{name}"), content.as_bytes());
            tree.set_mtime(&format!("copy/{name}"), 5_000_000_000);
        }
        for (name, content, mtime_ns) in
            [("same", "1", 5_700_000_000), ("moved", "bytes", 9), ("other", "new", 7), ("longer", "xyz", 8)]
        {
            tree.write(&format!("volume/{name}"), content.as_bytes());
            tree.set_mtime(&format!("volume/{name}"), mtime_ns);
        }
        std::fs::create_dir(tree.at("volume/folder")).unwrap();
        let names = ["same", "moved", "other", "longer", "lost", "folder", "nothing"];
        let outcomes = adopt(&tree, &names, &Control::new());
        let there = |at: usize| match &outcomes[at] {
            AdoptOutcome::Read(adopted) => {
                assert_eq!(adopted.mtime_ns, Some(5_000_000_000));
                adopted.there.clone()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(there(0), OnVolume::Same { mtime_ns: 5_700_000_000, mode: 0o644, read: false });
        assert_eq!(there(1), OnVolume::Same { mtime_ns: 9, mode: 0o644, read: true });
        assert_eq!(there(2), OnVolume::Other { size: 3, mtime_ns: 7 });
        assert_eq!(there(3), OnVolume::Other { size: 3, mtime_ns: 8 });
        assert_eq!((there(4), there(5)), (OnVolume::Nothing, OnVolume::Nothing));
        let AdoptOutcome::Read(lost) = &outcomes[4] else { panic!() };
        assert_eq!((lost.digest, lost.size), (digest(b"gone"), 4));
        let AdoptOutcome::Refused { kind: CopyFaultKind::Missing, .. } = &outcomes[6] else { panic!() };
    }

    #[test]
    fn a_stopped_batch_has_begun_nothing_and_a_copy_that_is_away_has_lost_nothing() {
        let tree = Tree::new();
        tree.write("volume/x", b"x");
        tree.write("copy/a", b"a");
        let stopped = Control::new();
        stopped.pause();
        assert_eq!(adopt(&tree, &["a"], &stopped), [AdoptOutcome::NotStarted]);
        let source = Arc::new(FsSource::new("old", Arc::new(Root::open(&tree.at("copy")).unwrap())));
        std::fs::remove_file(tree.at("copy/a")).unwrap();
        std::fs::rename(tree.at("copy"), tree.at("away")).unwrap();
        let handle = SourceHandle::new(source, RateLimit::unlimited());
        let volume = Root::open(&tree.at("volume")).unwrap();
        let outcomes =
            adopt_batch(&volume, &handle, &[path("a")], &options(), &Control::new(), &Progress::new());
        assert!(matches!(outcomes[0], AdoptOutcome::Refused { kind: CopyFaultKind::Gone, .. }));
    }
}
