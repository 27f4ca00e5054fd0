//! The gate: what must hold before a volume returns to `normal`, point by point.
//!
//! A point is there whether or not it is met, so that an operator sees a list that fills; the gate is open when all are. Nothing
//! is asked for that cannot be done while the volume is read-only.

use chrono::{DateTime, Utc};

use crate::text;
use crate::units::counted;
use crate::volume::ModeState;
use crate::words;

words! {
    GatePointKind ("point of the gate") {
        /// The primary is in its place again; a point only while it is not.
        PrimaryBack = "primary_back",
        /// A disk check ended well that began after the trip, and after the last fault of the file system.
        DiskCheck = "disk_check",
        /// Nothing on the ground of the volume counts errors.
        NoErrors = "no_errors",
        FullCheck = "full_check",
        NothingMissing = "nothing_missing",
        NothingCorrupt = "nothing_corrupt",
        NothingUnreadable = "nothing_unreadable",
        /// A copy gave, or was given, good bytes lately: one point a copy.
        CopiesVerified = "copies_verified",
    }
}

/// One thing that the gate asks for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GatePoint {
    pub kind: GatePointKind,
    /// What is asked for, in words that are the same whether or not it is met.
    pub what: String,
    pub met: bool,
    /// How it stands; for what is not met, what to do where that is not plain.
    pub detail: String,
}

impl GatePoint {
    /// How it stands, in one sentence without its full stop. What is open says by itself what is asked for.
    pub fn sentence(&self) -> String {
        match self.met {
            true => format!("{} ({})", self.what, self.detail),
            false => text::sentence(&self.detail),
        }
    }
}

/// What the gate looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GateFacts {
    /// The volume's name, for the commands that help.
    pub volume: String,
    /// Why the volume's folder is not in its place, or not known to be; whoever does not look leaves this out.
    pub out_of_reach: Option<String>,
    /// Start of the newest full check that finished.
    pub full_check_started_at: Option<DateTime<Utc>>,
    pub missing: u64,
    pub corrupt: u64,
    pub unreadable: u64,
    /// What is wrong with what the volume lies on, a sentence each.
    pub troubles: Vec<String>,
    /// The newest disk check.
    pub disk_check: Option<DiskCheck>,
    /// The newest fault of the volume's file system that only a disk check can clear.
    pub file_system_fault: Option<FileSystemFault>,
    /// Of each configured copy.
    pub copies: Vec<CopyProof>,
    /// A proof that is older counts no more.
    pub verified_since: DateTime<Utc>,
}

/// What a file system said of itself. Unmounting and mounting it again makes it silent, and not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystemFault {
    pub at: DateTime<Utc>,
    /// `/srv on store1`
    pub what: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskCheck {
    pub started_at: DateTime<Utc>,
    pub end: DiskCheckEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskCheckEnd {
    Running,
    Well,
    Badly,
}

/// How a copy is known to be good.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyProof {
    pub name: String,
    /// Files of the catalogue that it is known to hold.
    pub files: u64,
    /// Each time that its bytes were found good, or written and hashed, with the words for that.
    pub good: Vec<(DateTime<Utc>, &'static str)>,
    /// The newest drill, if files of it failed, and why the first did.
    pub failed_drill: Option<(DateTime<Utc>, String)>,
}

impl ModeState {
    /// Everything that the gate asks for, met or not; nothing for a volume that is normal.
    pub fn gate(&self, facts: &GateFacts) -> Vec<GatePoint> {
        use GatePointKind::{NothingCorrupt, NothingMissing, NothingUnreadable};
        let (Self::ReadOnly { tripped_at, .. } | Self::Failover { tripped_at, .. }) = self else {
            return Vec::new();
        };
        let mut points = Vec::new();
        let away = match self {
            Self::Failover { .. } => Some(
                "the primary is offline: bring the volume back to read_only when it is in its place again"
                    .to_owned(),
            ),
            _ => facts.out_of_reach.as_ref().map(|why| format!("the volume is out of reach: {why}")),
        };
        points.extend(away.map(|why| point(GatePointKind::PrimaryBack, "The primary is back", Err(why))));
        points.extend(disk_check(facts, *tripped_at));
        points.push(no_errors(&facts.troubles));
        points.push(full_check(facts.full_check_started_at, *tripped_at));
        let checked = facts.full_check_started_at.is_some_and(|started| started >= *tripped_at);
        points.push(nothing(NothingMissing, "missing", facts.missing, checked));
        points.push(nothing(NothingCorrupt, "corrupt", facts.corrupt, checked));
        points.push(nothing(NothingUnreadable, "unreadable", facts.unreadable, checked));
        points.extend(facts.copies.iter().map(|copy| verified(copy, facts)));
        points
    }

    /// What still stands between this volume and `normal`; empty for a volume that is normal, or whose gate is open.
    pub fn open_points(&self, facts: &GateFacts) -> Vec<String> {
        open(&self.gate(facts))
    }
}

/// Those that are not met, in words.
pub fn open(points: &[GatePoint]) -> Vec<String> {
    points.iter().filter(|point| !point.met).map(|point| point.detail.clone()).collect()
}

/// `stands`: how it is met, or why it is not.
fn point(kind: GatePointKind, what: impl Into<String>, stands: Result<String, String>) -> GatePoint {
    let met = stands.is_ok();
    let (Ok(detail) | Err(detail)) = stands;
    GatePoint { kind, what: what.into(), met, detail }
}

/// It is asked for where the file system had a fault; and one that was begun after the trip must end well, whoever asked for it.
fn disk_check(facts: &GateFacts, tripped_at: DateTime<Utc>) -> Option<GatePoint> {
    let cleared = |fault: &&FileSystemFault| {
        facts.disk_check.is_some_and(|check| check.end == DiskCheckEnd::Well && check.started_at >= fault.at)
    };
    let fault = facts.file_system_fault.as_ref().filter(|fault| !cleared(fault));
    let newest = facts.disk_check.filter(|check| check.started_at >= tripped_at);
    let named = |check: DiskCheck| format!("the disk check of {}", time(check.started_at));
    let stands = match (newest, fault) {
        (None, None) => return None,
        (Some(check @ DiskCheck { end: DiskCheckEnd::Running, .. }), _) => {
            Err(format!("{} has not ended yet", named(check)))
        }
        (Some(check @ DiskCheck { end: DiskCheckEnd::Badly, .. }), _) => {
            Err(format!("{} did not end well: its job says why", named(check)))
        }
        (_, Some(FileSystemFault { at, what })) => Err(format!(
            "the file system {what} told of a fault at {}, and no disk check that began after that has ended well: run \
             `salvor disk-check {}`",
            time(*at),
            facts.volume
        )),
        (Some(check), None) => Ok(format!("it began {}", time(check.started_at))),
    };
    Some(point(GatePointKind::DiskCheck, "A disk check ended well", stands))
}

fn no_errors(troubles: &[String]) -> GatePoint {
    let stands = match troubles {
        [] => Ok("as it was read last".to_owned()),
        troubles => Err(troubles.join("; ")),
    };
    point(GatePointKind::NoErrors, "Nothing that the volume lies on counts errors", stands)
}

fn full_check(started: Option<DateTime<Utc>>, tripped_at: DateTime<Utc>) -> GatePoint {
    let trip = time(tripped_at);
    let stands = match started {
        Some(started) if started >= tripped_at => Ok(format!("it started {}", time(started))),
        _ => Err(format!("no full check that started after {trip} has finished")),
    };
    point(GatePointKind::FullCheck, format!("A full check that started after {trip} has finished"), stands)
}

/// Before the full check none may be known to be, and that is all that can be said.
fn nothing(kind: GatePointKind, word: &str, number: u64, checked: bool) -> GatePoint {
    let stands = match (number, checked) {
        (0, true) => Ok("the full check found none".to_owned()),
        (0, false) => Ok("only the full check will tell".to_owned()),
        _ => Err(format!("{} {word}", counted(number, "file is", "files are"))),
    };
    point(kind, format!("No file is known to be {word}"), stands)
}

/// A copy without files has nothing that could be verified, and gets none while the volume is read-only.
fn verified(copy: &CopyProof, facts: &GateFacts) -> GatePoint {
    let CopyProof { name, files, good, failed_drill } = copy;
    if *files == 0 {
        let what = format!("The copy {name} needs no proof");
        return point(GatePointKind::CopiesVerified, what, Ok("it holds no file of the catalogue".into()));
    }
    let drill = format!("run `salvor drill {}`", facts.volume);
    let newest = good.iter().max_by_key(|(at, _)| *at);
    let stands = match (newest, failed_drill) {
        (newest, Some((at, why))) if newest.is_none_or(|(good, _)| good <= at) => {
            Err(format!("the last drill of the copy {name} failed ({why}): {drill} again"))
        }
        (Some((at, how)), _) if *at >= facts.verified_since => Ok(format!("{how} {}", time(*at))),
        (Some((at, how)), _) => {
            let since = time(facts.verified_since);
            Err(format!("the copy {name} was verified last ({how}) {}, before {since}: {drill}", time(*at)))
        }
        (None, _) => Err(format!("nothing has verified the copy {name} yet: {drill}")),
    };
    point(GatePointKind::CopiesVerified, format!("The copy {name} was verified lately"), stands)
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests;
