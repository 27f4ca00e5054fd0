//! `zpool status`, as text and as the JSON of `-j`, with or without `--json-int`.
//!
//! The state of a pool tells only of its devices: a pool may be ONLINE with files that are lost for good, so data errors, the last
//! scrub and the counters of every device decide with it. A pool that was never scrubbed is well as far as is known, and says so.

mod json;
mod text;

use salvor_domain::health::{Level, Probe, Reading};
use salvor_domain::units::counted;

use crate::inspect::{Subject, WHOLE};
use crate::zfs_kstat;

/// One for each pool of the output of `zpool status -j`, of the node `pool:NAME`.
pub fn readings(json: &str) -> Vec<Reading> {
    readings_of(inspect_json(json))
}

/// The same of a ZFS that has no `-j` yet (before 2.3).
pub fn readings_of_text(text: &str) -> Vec<Reading> {
    readings_of(inspect_text(text))
}

fn readings_of(subjects: Vec<Subject>) -> Vec<Reading> {
    let pools = subjects.into_iter().filter(|subject| subject.name != WHOLE);
    pools
        .map(|pool| {
            let id = format!("pool:{}", pool.name);
            pool.into_reading(Probe::Zfs, id)
        })
        .collect()
}

pub fn inspect_json(text: &str) -> Vec<Subject> {
    match json::pools(text) {
        Ok(pools) => with_whole(pools),
        Err(error) => {
            vec![Subject::unknown(WHOLE, format!("it is not the JSON of zpool status -j: {error}"))]
        }
    }
}

pub fn inspect_text(text: &str) -> Vec<Subject> {
    if text.trim() == "no pools available" {
        return with_whole(Vec::new());
    }
    match text::pools(text) {
        pools if pools.is_empty() => {
            vec![Subject::unknown(WHOLE, "it names no pool, as in \"  pool: tank\"")]
        }
        pools => with_whole(pools),
    }
}

fn with_whole(pools: Vec<Pool>) -> Vec<Subject> {
    let subjects: Vec<Subject> = pools.into_iter().map(Pool::into_subject).collect();
    let well = subjects.iter().filter(|pool| pool.level == Level::Ok).count();
    let worst = subjects.iter().map(|pool| pool.level).max().unwrap_or(Level::Ok);
    let mut reason = format!("{well} of {} pools are well", subjects.len());
    let bad: Vec<&str> =
        subjects.iter().filter(|pool| pool.level > Level::Ok).map(|pool| pool.name.as_str()).collect();
    if !bad.is_empty() {
        reason += &format!("; not so: {}", bad.join(", "));
    }
    let whole = Subject::new(WHOLE, worst, reason).with("pools", subjects.len());
    [whole].into_iter().chain(subjects).collect()
}

/// A pool, however it was told.
#[derive(Debug, Default)]
struct Pool {
    name: String,
    state: String,
    scan: Scan,
    /// As the text has it.
    scan_words: String,
    /// Files, or blocks, that are lost for good; unknown where nothing is said of them.
    data_errors: Option<u64>,
    /// Devices that are not as they should be, described.
    bad: Vec<String>,
    /// Of all devices together.
    device_errors: u64,
    /// No device was named at all.
    is_hollow: bool,
    /// Facts that only one of the two forms has.
    more: Vec<(&'static str, serde_json::Value)>,
}

#[derive(Debug, Default, PartialEq)]
enum Scan {
    #[default]
    Never,
    Scrubbing(Option<f64>),
    Resilvering(Option<f64>),
    Finished {
        errors: u64,
    },
    Canceled,
    /// In words that are not known.
    Other,
}

impl Pool {
    fn into_subject(self) -> Subject {
        let judged = self.judge();
        let subject = judged
            .with("state", self.state.as_str())
            .with("bad", if self.bad.is_empty() { "none".into() } else { self.bad.join("; ") })
            .with("scan", self.scan_words.as_str())
            .with("scan_state", self.scan.word());
        let subject = match self.scan {
            Scan::Finished { errors } => subject.with("scan_errors", errors),
            Scan::Scrubbing(percent) | Scan::Resilvering(percent) => subject.with_some("scan_pct", percent),
            _ => subject,
        };
        self.more.into_iter().fold(subject, |subject, (name, value)| subject.with(name, value))
    }

    fn judge(&self) -> Subject {
        let mut subject = zfs_kstat::judge(&self.name, &self.state);
        if self.state == "DEGRADED" && matches!(self.scan, Scan::Resilvering(_)) {
            subject = Subject::new(&*self.name, Level::Warning, "degraded, and a resilver is running");
        }
        let mut reasons = Vec::new();
        let mut level = subject.level;
        let mut say = |worse: Level, reason: String| {
            level = level.max(worse);
            reasons.push(reason);
        };
        match self.data_errors {
            Some(0) => {}
            Some(count) => say(
                Level::Critical,
                format!(
                    "{count} data errors: files are damaged for good; zpool status -v names them, bring them back"
                ),
            ),
            None => say(Level::Unknown, "nothing is said of data errors".into()),
        }
        if let Scan::Finished { errors: errors @ 1.. } = self.scan {
            say(
                Level::Critical,
                format!(
                    "its last scrub left {} that could not be repaired",
                    counted(errors, "error", "errors")
                ),
            );
        }
        if !self.bad.is_empty() {
            say(Level::Warning, format!("not as they should be: {}", self.bad.join("; ")));
        }
        if self.device_errors > 0 {
            say(
                Level::Warning,
                format!("its devices count {} read, write or checksum errors", self.device_errors),
            );
        }
        if self.is_hollow {
            say(Level::Unknown, "its devices are not named".into());
        }
        if let Some(reason) = self.scan.caveat() {
            reasons.push(reason.into());
        }
        subject.level = level;
        subject.reason = [subject.reason].into_iter().chain(reasons).collect::<Vec<_>>().join("; ");
        subject
    }
}

impl Scan {
    fn word(&self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Scrubbing(_) => "scrubbing",
            Self::Resilvering(_) => "resilvering",
            Self::Finished { .. } => "finished",
            Self::Canceled => "canceled",
            Self::Other => "unknown",
        }
    }

    /// Not bad, but not to be passed over.
    fn caveat(&self) -> Option<&'static str> {
        match self {
            Self::Never => Some("it was never scrubbed"),
            Self::Scrubbing(_) => Some("a scrub is running"),
            Self::Canceled => Some("its last scrub was canceled, and vouches for nothing"),
            Self::Other => Some("how its last scrub ended is not known"),
            Self::Resilvering(_) | Self::Finished { .. } => None,
        }
    }
}

/// States of a device that is as it should be: `AVAIL` is a spare that waits.
fn is_well(state: &str) -> bool {
    matches!(state, "ONLINE" | "AVAIL")
}

/// `loop3 UNAVAIL read=2 (corrupted data)`.
fn describe(name: &str, state: &str, errors: [u64; 3], note: Option<String>) -> String {
    let counters = ["read", "write", "cksum"].iter().zip(errors).filter(|&(_, count)| count > 0);
    let counters: String = counters.map(|(what, count)| format!(" {what}={count}")).collect();
    let note = note.map_or_else(String::new, |note| format!(" {note}"));
    format!("{name} {state}{counters}{note}")
}

/// `12`, or `1.2K` as ZFS shortens it.
fn count(text: &str) -> Option<u64> {
    if let Ok(count) = text.parse() {
        return Some(count);
    }
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T', 'P', 'E']);
    let power = "KMGTPE".find(text.strip_prefix(digits)?)?;
    let figure: f64 = digits.parse().ok().filter(|figure: &f64| figure.is_finite() && *figure >= 0.0)?;
    Some((figure * 1024_f64.powi(power as i32 + 1)) as u64)
}
