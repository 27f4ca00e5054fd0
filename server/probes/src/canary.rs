//! A small file written, synced, read back and removed: the only way to know for sure that a file system still takes writes.
//!
//! It never makes anything in an empty folder: that may be a disk that is not mounted, and what was written would lie beneath it.

use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;
use salvor_domain::health::{Level, Probe, Reading};
use salvor_domain::path::OWN_FOLDER;

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Well(Duration),
    /// The folder itself is not there.
    Gone,
    /// Salvor has never worked there, and the folder is empty or nothing may be made in it.
    Empty,
    Failed {
        doing: &'static str,
        errno: Errno,
    },
    /// What was read is not what was written.
    Garbled,
}

/// In `folder`, under the name of `host`: another host may look at the same one. `may_make`: Salvor's own folder in it, where it is not
/// there yet.
pub fn sing(folder: &Path, host: &str, may_make: bool) -> Outcome {
    let began = Instant::now();
    match in_folder(folder, host, may_make) {
        Ok(None) => Outcome::Well(began.elapsed()),
        Ok(Some(outcome)) => outcome,
        Err((doing, errno)) => Outcome::Failed { doing, errno },
    }
}

type Failure = (&'static str, Errno);

fn in_folder(folder: &Path, host: &str, may_make: bool) -> Result<Option<Outcome>, Failure> {
    const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
    const DRAFT: OFlags = OFlags::RDWR.union(OFlags::CREATE).union(OFlags::TRUNC).union(OFlags::CLOEXEC);
    let volume = match fs::open(folder, FOLDER, Mode::empty()) {
        Ok(volume) => volume,
        Err(Errno::NOENT) => return Ok(Some(Outcome::Gone)),
        Err(errno) => return Err(("opening the folder", errno)),
    };
    let open_own = || fs::openat(&volume, OWN_FOLDER, FOLDER | OFlags::NOFOLLOW, Mode::empty());
    let own = match open_own() {
        Err(Errno::NOENT) if !may_make || is_bare(&volume)? => return Ok(Some(Outcome::Empty)),
        Err(Errno::NOENT) => {
            fs::mkdirat(&volume, OWN_FOLDER, Mode::from_raw_mode(0o700))
                .map_err(|errno| ("making a folder", errno))?;
            open_own()
        }
        other => other,
    };
    let own = own.map_err(|errno| ("opening a folder", errno))?;
    let name = format!("canary-{}", host.replace(['/', '\0'], "_"));
    let text = format!("Salvor wrote this to see whether it can. It may be removed. {:032x}\n", tag(&name));
    let draft = fs::openat(&own, name.as_str(), DRAFT | OFlags::NOFOLLOW, Mode::from_raw_mode(0o600));
    let mut file = std::fs::File::from(draft.map_err(|errno| ("making a file", errno))?);
    let told =
        |doing| move |error: std::io::Error| (doing, Errno::from_io_error(&error).unwrap_or(Errno::IO));
    let written = file.write_all(text.as_bytes()).map_err(told("writing"));
    let synced = written.and_then(|()| file.sync_all().map_err(told("syncing")));
    let read = synced.and_then(|()| {
        let again = fs::openat(&own, name.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let again = std::fs::File::from(again.map_err(|errno| ("opening it again", errno))?);
        let mut read = String::new();
        again.take(1024).read_to_string(&mut read).map_err(told("reading"))?;
        Ok(read)
    });
    // Also after a failure: a full disk would keep it.
    let removed = fs::unlinkat(&own, name.as_str(), AtFlags::empty()).map_err(|errno| ("removing it", errno));
    let read = read?;
    removed?;
    Ok((read != text).then_some(Outcome::Garbled))
}

/// Another text each time, so that an old one is not taken for it.
fn tag(name: &str) -> u128 {
    static TIMES: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let times = TIMES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    u128::from(std::process::id()) << 64 | u128::from(times) << 8 | name.len() as u128 & 0xff
}

/// Nothing is in it but what the file system puts there itself.
pub(crate) fn is_bare(folder: impl std::os::fd::AsFd) -> Result<bool, Failure> {
    let told = |errno| ("listing the folder", errno);
    for entry in fs::Dir::read_from(folder).map_err(told)? {
        if !matches!(entry.map_err(told)?.file_name().to_bytes(), b"." | b".." | b"lost+found") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What it means; one that took as long as `slow` is told of.
pub fn reading(subject: &str, outcome: &Outcome, slow: Duration) -> Reading {
    let say = |level, why: &str| Reading::new(Probe::Canary, subject, level, why);
    match outcome {
        Outcome::Well(took) => {
            let millis = (took.as_secs_f64() * 1e4).round() / 10.0;
            let done = "a file was written, read back and removed";
            let reading = if *took < slow {
                say(Level::Ok, done)
            } else {
                let seconds = took.as_secs_f64();
                say(
                    Level::Warning,
                    &format!("{done}, which took {seconds:.1} s: its disks are slow, or busy"),
                )
            };
            reading.with("took_ms", millis)
        }
        Outcome::Gone => say(Level::Unknown, "the folder is not there: mount it, or correct its path"),
        Outcome::Empty => {
            say(Level::Unknown, "not tried: the folder is empty, which may be a disk that is not mounted")
        }
        Outcome::Garbled => say(
            Level::Critical,
            "what was read is not what was written: stop using it, and run a check of the file system",
        )
        .stopping_writes(),
        Outcome::Failed { doing, errno } => failure(subject, doing, *errno),
    }
}

fn failure(subject: &str, doing: &str, errno: Errno) -> Reading {
    let say =
        |level, why| Reading::new(Probe::Canary, subject, level, why).with("errno", errno.raw_os_error());
    match errno {
        Errno::NOSPC | Errno::DQUOT => {
            say(Level::Critical, format!("it is full ({doing}): delete files, or make it larger"))
        }
        // Ours, and not its.
        Errno::ACCESS
        | Errno::PERM
        | Errno::NOTDIR
        | Errno::MFILE
        | Errno::NFILE
        | Errno::NOMEM
        | Errno::LOOP => say(Level::Unknown, format!("not known, since {doing} is not possible: {errno}")),
        Errno::ROFS => say(
            Level::Critical,
            "it is read-only: if an error did that, unmount it and check the file system".into(),
        )
        .stopping_writes(),
        _ => say(
            Level::Critical,
            format!("{doing} failed: {errno}; see the kernel's log, unmount it and check the file system"),
        )
        .stopping_writes(),
    }
}

/// It has not answered for so long. A loaded disk is slow and comes round; what has not answered for `patience` hangs.
pub fn late(subject: &str, waited: Duration, patience: Duration) -> Reading {
    let words = |span: Duration| salvor_domain::units::duration(span.as_secs_f64());
    let (for_so_long, limit) = (words(waited), words(patience));
    let reading = if waited < patience {
        let why = format!(
            "it has not answered for {for_so_long}: its disks are slow, or busy; after {limit} it counts as hanging"
        );
        Reading::new(Probe::Canary, subject, Level::Warning, why)
    } else {
        let why = format!(
            "it has not answered for {for_so_long}: whatever touches it waits; look at its disks and its network"
        );
        Reading::new(Probe::Canary, subject, Level::Critical, why).stopping_writes()
    };
    reading.with("waited_s", waited.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_secs(5);

    #[test]
    fn a_folder_that_takes_writes_is_well_and_nothing_is_left_in_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "x").unwrap();
        assert_eq!(sing(folder.path(), "store/1", false), Outcome::Empty, "it may not make a folder there");
        for _ in 0..2 {
            assert!(matches!(sing(folder.path(), "store/1", true), Outcome::Well(_)));
        }
        let own = folder.path().join(".salvor");
        assert_eq!(std::fs::read_dir(own).unwrap().count(), 0);
    }

    #[test]
    fn an_empty_folder_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("lost+found")).unwrap();
        assert_eq!(sing(folder.path(), "h", true), Outcome::Empty);
        assert!(!folder.path().join(".salvor").exists());
        assert_eq!(reading("volume:a", &Outcome::Empty, SLOW).level, Level::Unknown);
        assert_eq!(sing(&folder.path().join("gone"), "h", true), Outcome::Gone);
    }

    #[test]
    fn a_link_in_place_of_its_folder_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), folder.path().join(".salvor")).unwrap();
        let outcome = sing(folder.path(), "h", true);
        assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
        assert_eq!(reading("x", &outcome, SLOW).level, Level::Unknown, "nothing is wrong with the disk");
    }

    #[test]
    fn what_failed_decides_how_bad_it_is() {
        for (errno, level, stops) in [
            (Errno::NOSPC, Level::Critical, false),
            (Errno::DQUOT, Level::Critical, false),
            (Errno::ROFS, Level::Critical, true),
            (Errno::IO, Level::Critical, true),
            (Errno::STALE, Level::Critical, true),
            (Errno::UCLEAN, Level::Critical, true),
            (Errno::NOTCONN, Level::Critical, true),
            (Errno::ACCESS, Level::Unknown, false),
            (Errno::PERM, Level::Unknown, false),
            (Errno::MFILE, Level::Unknown, false),
        ] {
            let reading = reading("x", &Outcome::Failed { doing: "writing", errno }, SLOW);
            assert_eq!((reading.level, reading.stops_writes), (level, stops), "{errno}");
        }
    }

    #[test]
    fn slow_is_a_warning_and_only_what_hangs_stops_writes() {
        let after = |waited| late("x", Duration::from_secs(waited), Duration::from_secs(30));
        let (slow, hangs) = (after(7), after(30));
        assert!(slow.level == Level::Warning && !slow.stops_writes, "{slow:?}");
        assert!(slow.reason.contains("for 7 s") && slow.reason.contains("after 30 s"), "{slow:?}");
        assert!(hangs.level == Level::Critical && hangs.stops_writes, "{hangs:?}");
        let well = |millis| reading("x", &Outcome::Well(Duration::from_millis(millis)), SLOW);
        assert_eq!(well(4_999).level, Level::Ok);
        let long = well(5_200);
        assert!(long.level == Level::Warning && long.reason.contains("took 5.2 s"), "{long:?}");
    }
}
