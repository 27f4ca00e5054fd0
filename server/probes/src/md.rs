//! How bad the state of a Linux software RAID is, wherever that was read: `/proc/mdstat`, sysfs or `mdadm --detail`.
//!
//! Lost redundancy is critical until it is being rebuilt: a degraded array is critical in netdata (`mdstat_disks`) and in the
//! node-exporter mixin (`NodeRAIDDegraded`); faulty members of an array at full width are a warning there (`NodeRAIDDiskFailure`).
//! A resync is a warning until it is done, also that of a new array, as in check_raid (`--resync`, WARNING where nothing is said): until
//! then members differ, and which of them is right is not known after a crash.
//! Writes stop only where the array itself cannot hold data any more.

use salvor_domain::health::Level;
use salvor_domain::units::counted;

use crate::inspect::Subject;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Array<'a> {
    pub name: &'a str,
    /// `raid1`, `linear`, …; `unknown` where the text does not say.
    pub level: &'a str,
    pub running: Running,
    /// Members that it should have.
    pub width: u64,
    /// Of these, members that are not there or do not work.
    pub down: u64,
    /// Members that md threw out, though they may have been replaced.
    pub faulty: u64,
    pub work: Work,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Running {
    Yes,
    ReadOnly,
    /// Its members are known, and it does not run.
    No,
    /// The metadata of other arrays, as firmware RAID has them: it never runs itself.
    Container,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Work {
    None,
    Check,
    Rebuild(Option<f64>),
    /// Members are made alike again, after a crash or at first.
    Resync(Option<f64>),
    Reshape,
}

impl Array<'_> {
    /// Without facts.
    pub fn judge(&self) -> Subject {
        let Self { name, level, width, down, faulty, .. } = *self;
        let say = |level, reason: String| Subject::new(name, level, reason);
        if self.running == Running::Container {
            return say(Level::Ok, "it holds only the metadata of other arrays".into());
        }
        if self.running == Running::No {
            let reason = "it is not running: nothing on it can be read or written; look at its members with mdadm --examine";
            return say(Level::Critical, reason.into()).stopping_writes();
        }
        if width == 0 {
            return Subject::unknown(name, "how many members it should have is not said");
        }
        if down > self.spareable() {
            let reason =
                format!("{down} of {width} members are down, more than {level} can lose: stop using it");
            return say(Level::Critical, reason).stopping_writes();
        }
        if down > 0 {
            return match self.work {
                Work::Rebuild(percent) => say(
                    Level::Warning,
                    format!("degraded, {down} of {width} members down; a rebuild is running{}", at(percent)),
                ),
                _ => say(
                    Level::Critical,
                    format!("degraded, {down} of {width} members down and no rebuild is running: add a disk"),
                ),
            };
        }
        let mut subject = say(
            Level::Ok,
            if width == 1 { "its only member works".into() } else { format!("all {width} members work") },
        );
        let mut also = |level: Level, reason: String| {
            subject.level = subject.level.max(level);
            subject.reason += &reason;
        };
        if faulty > 0 {
            let listed = counted(faulty, "faulty one is", "faulty ones are");
            also(Level::Warning, format!(", and {listed} still listed: remove or replace what failed"));
        }
        if self.running == Running::ReadOnly {
            also(Level::Warning, "; it is read-only: nothing can be written to it".into());
        }
        match self.work {
            Work::Resync(None) => also(Level::Warning, "; a resync waits and has not run".into()),
            Work::Resync(percent) => also(Level::Warning, format!("; a resync is running{}", at(percent))),
            Work::Check => also(Level::Ok, "; a check is running".into()),
            Work::Reshape => also(Level::Ok, "; a reshape is running".into()),
            Work::Rebuild(percent) => also(Level::Ok, format!("; one is being replaced{}", at(percent))),
            Work::None => {}
        }
        if self.spareable() == 0 {
            also(Level::Ok, format!("; {level} can lose none"));
        }
        subject
    }

    /// How many members can be lost at most before data is. A RAID 10 may lose half, if they are the right ones.
    fn spareable(&self) -> u64 {
        match self.level {
            "raid1" | "multipath" => self.width.saturating_sub(1),
            "raid4" | "raid5" => 1,
            "raid6" => 2,
            "raid10" => self.width / 2,
            _ => 0,
        }
    }
}

fn at(percent: Option<f64>) -> String {
    percent.map_or_else(String::new, |percent| format!(", at {percent} %"))
}
