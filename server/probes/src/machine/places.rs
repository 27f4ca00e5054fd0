//! Folders of volumes and copies, each looked at in a thread of its own: one that hangs holds up nothing but itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{self, Mode, OFlags};
use salvor_domain::health::thresholds;
use salvor_domain::health::{Level, NodeKind, Probe, Reading};
use salvor_domain::path::OWN_FOLDER;

use super::Place;
use super::ask::{Answer, Asked};
use crate::canary::{self, Outcome};
use crate::mountinfo::Mount;
use crate::space::Space;

/// What a folder shows.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    /// It is not there.
    Gone,
    /// It is there or not: this came in place of an answer.
    Failed(i32),
    There(Folder),
    Late(Duration),
}

#[derive(Debug, Clone)]
pub(super) struct Folder {
    /// Without links.
    pub real: PathBuf,
    pub space: Space,
    /// Empty, and never worked in by Salvor.
    pub is_bare: bool,
}

/// With a folder that does not answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Nobody waits longer for it in one report.
    pub slow: Duration,
    /// From then on it hangs.
    pub hangs: Duration,
}

impl Patience {
    pub fn until(hangs: Duration) -> Self {
        Self { slow: hangs / 6, hangs }
    }
}

/// A place, and what is being asked of it.
#[derive(Debug)]
pub(super) struct Watched {
    pub place: Place,
    /// Where it was when it last answered.
    pub real: PathBuf,
    pub seen: Seen,
    /// The node of its file system.
    pub lies_on: Option<String>,
    looking: Option<Asked<Seen>>,
    singing: Option<Asked<Outcome>>,
    sung: Option<Outcome>,
    /// The mount point that it was first seen on.
    lay_on: Option<String>,
}

impl Watched {
    pub fn new(place: Place) -> Self {
        let real = place.path.clone();
        let seen = Seen::Late(Duration::ZERO);
        Self { place, real, seen, lies_on: None, looking: None, singing: None, sung: None, lay_on: None }
    }

    /// Begins to look, unless the last look has not come back.
    pub fn look(&mut self) {
        if self.looking.is_none() {
            let path = self.place.path.clone();
            self.looking = Asked::new("salvor-look", move || look_at(&path)).ok();
        }
    }

    /// Waits for the look no longer than until it is as old as `slow`.
    pub fn saw(&mut self, slow: Duration) {
        let answer = self.looking.as_ref().map_or(Answer::None, |asked| asked.wait(slow));
        self.seen = match answer {
            Answer::Given(seen) => seen,
            Answer::Late(waited) => return self.seen = Seen::Late(waited),
            Answer::None => Seen::Failed(rustix::io::Errno::AGAIN.raw_os_error()),
        };
        self.looking = None;
        if let Seen::There(folder) = &self.seen {
            self.real = folder.real.clone();
        }
    }

    pub fn is_volume(&self) -> bool {
        self.place.kind == NodeKind::Volume
    }

    /// Begins to write the canary's file, unless the last one hangs.
    pub fn sing(&mut self, host: &str) {
        if self.singing.is_none() && matches!(self.seen, Seen::There(_)) {
            let (path, host, may_make) = (self.real.clone(), host.to_owned(), self.is_volume());
            self.singing = Asked::new("salvor-canary", move || canary::sing(&path, &host, may_make)).ok();
        }
    }

    /// What the canary says; `held`: why it does not write.
    pub fn sang(&mut self, patience: Patience, held: Option<&str>) -> Option<Reading> {
        let id = &self.place.id;
        let late = |waited| Some(canary::late(id, waited, patience.hangs));
        if let Some(asked) = &self.singing {
            match asked.wait(patience.slow) {
                Answer::Given(outcome) => (self.singing, self.sung) = (None, Some(outcome)),
                Answer::Late(waited) => return late(waited),
                Answer::None => self.singing = None,
            }
        }
        match &self.seen {
            Seen::Late(waited) => return late(*waited),
            Seen::Gone => self.sung = Some(Outcome::Gone),
            Seen::Failed(errno) => {
                let errno = rustix::io::Errno::from_raw_os_error(*errno);
                self.sung = Some(Outcome::Failed { doing: "looking at the folder", errno });
            }
            Seen::There(_) => {}
        }
        if let Some(why) = held {
            let why = format!("not tried, since nothing is to be written there: {why}");
            return Some(Reading::new(Probe::Canary, id.as_str(), Level::Unknown, why));
        }
        let outcome = self.sung.as_ref()?;
        // A copy that nothing was written to yet.
        if *outcome == Outcome::Empty && !self.is_volume() {
            return None;
        }
        Some(canary::reading(id, outcome, patience.slow))
    }

    /// Whether a volume's folder still is on the file system that it was on.
    pub fn mounted(&mut self, mount: Option<&Mount>) -> Option<Reading> {
        if !self.is_volume() {
            return None;
        }
        let path = self.place.path.display();
        let say = |level, why| Some(Reading::new(Probe::Mount, self.place.id.as_str(), level, why));
        let folder = match &self.seen {
            Seen::There(folder) => folder,
            Seen::Gone => {
                return say(
                    Level::Unknown,
                    format!("there is no folder {path}: mount it, or correct its path"),
                );
            }
            Seen::Late(_) => return say(Level::Unknown, format!("{path} does not answer")),
            Seen::Failed(errno) => {
                return say(Level::Unknown, format!("{path} cannot be looked at: {}", words(*errno)));
            }
        };
        let Some(mount) = mount else {
            return say(Level::Unknown, format!("which file system {path} is on is not known"));
        };
        let lay_on = self.lay_on.get_or_insert_with(|| mount.point.clone());
        if *lay_on != mount.point && folder.is_bare {
            let why = format!("{path} is empty: it lay on {lay_on}, which is not mounted; mount it");
            return say(Level::Critical, why).map(Reading::stopping_writes);
        }
        self.lay_on = Some(mount.point.clone());
        say(Level::Ok, format!("{path} is on {} ({})", mount.point, mount.kind))
    }

    /// What there is room for, as a reading of its file system; also what it answered where that is bad.
    pub fn space(&self, file_system: &str, limits: &thresholds::Space) -> Option<Reading> {
        let unknown = |why| Some(Reading::new(Probe::Space, file_system, Level::Unknown, why));
        match &self.seen {
            Seen::There(folder) => Some(folder.space.reading(file_system, limits)),
            Seen::Late(_) => unknown("not known: it does not answer".to_owned()),
            Seen::Failed(errno) => unknown(format!("not known: {}", words(*errno))),
            Seen::Gone => None,
        }
    }

    /// How its folder answered, for a file system that tells its end in no other way.
    pub fn answer(&self) -> Option<Result<(), i32>> {
        match &self.seen {
            Seen::There(_) => Some(Ok(())),
            Seen::Failed(errno) => Some(Err(*errno)),
            Seen::Gone | Seen::Late(_) => None,
        }
    }
}

fn words(errno: i32) -> String {
    std::io::Error::from_raw_os_error(errno).to_string()
}

fn look_at(path: &Path) -> Seen {
    let errno = |why: &std::io::Error| why.raw_os_error().unwrap_or(rustix::io::Errno::IO.raw_os_error());
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Seen::Gone,
        Err(why) => return Seen::Failed(errno(&why)),
    };
    let look = || -> rustix::io::Result<Folder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = fs::open(&real, flags, Mode::empty())?;
        let stat = fs::fstatvfs(&opened)?;
        let space = Space {
            block_size: stat.f_frsize,
            blocks: stat.f_blocks,
            free: stat.f_bfree,
            available: stat.f_bavail,
            inodes: stat.f_files,
            inodes_free: stat.f_ffree,
        };
        let is_ours = fs::statat(&opened, OWN_FOLDER, fs::AtFlags::SYMLINK_NOFOLLOW).is_ok();
        let is_bare = !is_ours && canary::is_bare(&opened).map_err(|(_, errno)| errno)?;
        Ok(Folder { real: real.clone(), space, is_bare })
    };
    match look() {
        Ok(folder) => Seen::There(folder),
        Err(errno) => Seen::Failed(errno.raw_os_error()),
    }
}
