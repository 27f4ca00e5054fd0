//! What moving files costs, fitted from what was measured, and how long an amount will take by it.
//!
//! A file costs so long (opening, naming, the link's round trip) and a byte costs so long. Measurements with different mean
//! sizes tell the two apart; those of one mean size do not, and then the truth lies between two bounds. Every estimate
//! says on what it rests, and without anything to rest on there is none (promise I10).

use chrono::{DateTime, TimeDelta, Utc};

use crate::progress::{Amount, EtaRange, Rate};
use crate::{units, words};

words! {
    /// How a measurement came about.
    Basis ("basis of a measurement") {
        /// A restore read from the copy.
        Job = "job",
        /// A sample was restored to scratch.
        Drill = "drill",
        /// A few files were read when a plan had nothing newer.
        Probe = "probe",
    }
}

/// What one reading of a copy moved, and in how many seconds.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Measurement {
    pub at: DateTime<Utc>,
    pub basis: Basis,
    pub files: u64,
    pub bytes: u64,
    pub seconds: f64,
}

/// One stretch of moving, for [`fit`]. All numbers are finite; `weight` says how much it counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    pub files: f64,
    pub bytes: f64,
    pub seconds: f64,
    pub weight: f64,
}

/// What moving costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cost {
    /// Sizes differed enough to tell a file's cost from a byte's.
    Parted {
        seconds_a_file: f64,
        seconds_a_byte: f64,
        /// The rates at both ends of what was measured, with the mean sizes there: beyond them the model alone would promise
        /// what nobody saw.
        smallest: (f64, Rate),
        largest: (f64, Rate),
    },
    /// The rates at one mean size: at another the cost lies between being all the files' and all the bytes'.
    Together(Rate),
}

/// The most that limits allow, where there are such.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ceiling {
    pub of: Holder,
    pub bytes_per_second: Option<f64>,
    pub files_per_second: Option<f64>,
}

/// Whose limit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    Copy,
    Job,
}

/// How long something takes, with the words for what that rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Absent when nothing is known.
    pub range: Option<EtaRange>,
    pub basis: String,
}

/// Measurements count for this long without being called old.
pub const RECENT: TimeDelta = TimeDelta::days(30);
/// Mean sizes that differ less say nothing about a file's cost beside a byte's.
const APART: f64 = 3.0;
/// Measurements that are looked at, the newest first.
const MOST: usize = 24;
const ROUNDS: usize = 4;

impl Measurement {
    pub fn rate(&self) -> Option<Rate> {
        (self.seconds > 0.0).then(|| Rate {
            files_per_second: self.files as f64 / self.seconds,
            bytes_per_second: self.bytes as f64 / self.seconds,
        })
    }
}

impl Cost {
    /// The least and the most seconds for `amount`; `None` where it is of a kind that was never seen to move.
    pub fn seconds(&self, amount: Amount) -> Option<(f64, f64)> {
        if amount == Amount::default() {
            return Some((0.0, 0.0));
        }
        match self {
            Self::Together(rate) => bounds(amount, *rate),
            Self::Parted { seconds_a_file, seconds_a_byte, smallest, largest } => {
                let seconds = amount.files as f64 * seconds_a_file + amount.bytes as f64 * seconds_a_byte;
                let mean = amount.bytes as f64 / amount.files.max(1) as f64;
                let beyond = if mean > largest.0 {
                    bounds(amount, largest.1)
                } else if mean < smallest.0 {
                    bounds(amount, smallest.1)
                } else {
                    None
                };
                let most = beyond.map_or(seconds, |(_, most)| most.max(seconds));
                Some((seconds, most))
            }
        }
    }
}

/// With the rates of one mean size: all cost is the files', or all is the bytes'. What is less than half the slower one is
/// left out of the range: no copy's cost is all of one kind.
fn bounds(amount: Amount, rate: Rate) -> Option<(f64, f64)> {
    let by = |amount: u64, per_second: f64| (per_second > 0.0).then(|| amount as f64 / per_second);
    let (by_files, by_bytes) =
        (by(amount.files, rate.files_per_second), by(amount.bytes, rate.bytes_per_second));
    let (one, other) = match (amount.files, amount.bytes) {
        (_, 0) => (by_files?, by_files?),
        (0, _) => (by_bytes?, by_bytes?),
        // Within the first large file no file is done yet: its bytes tell all the same.
        _ => (by_files.or(by_bytes)?, by_bytes?),
    };
    let (least, most) = (one.min(other), one.max(other));
    Some((least.max(most * 0.5), most))
}

/// Fits the cost to what was seen: least squares of the relative errors, those far off counting less, no cost below zero.
pub fn fit(seen: &[Observation]) -> Option<Cost> {
    let usable = |o: &&Observation| o.seconds > 0.0 && o.weight > 0.0 && (o.files > 0.0 || o.bytes > 0.0);
    let seen: Vec<Observation> = seen.iter().filter(usable).copied().collect();
    let together = rate_of(&seen)?;
    let (smallest, largest) = ends(&seen)?;
    if largest.0 < smallest.0 * APART {
        return Some(Cost::Together(together));
    }
    match solve(&seen) {
        Some((seconds_a_file, seconds_a_byte)) => {
            Some(Cost::Parted { seconds_a_file, seconds_a_byte, smallest, largest })
        }
        None => Some(Cost::Together(together)),
    }
}

fn rate_of(seen: &[Observation]) -> Option<Rate> {
    let sum = |of: fn(&Observation) -> f64| seen.iter().map(|o| of(o) * o.weight).sum::<f64>();
    let seconds = sum(|o| o.seconds);
    (seconds > 0.0).then(|| Rate {
        files_per_second: sum(|o| o.files) / seconds,
        bytes_per_second: sum(|o| o.bytes) / seconds,
    })
}

/// Mean size and rates of the third with the smallest files, and of that with the largest.
fn ends(seen: &[Observation]) -> Option<((f64, Rate), (f64, Rate))> {
    let mean = |o: &Observation| (o.bytes + 1.0) / o.files.max(1.0);
    let mut by_size: Vec<Observation> = seen.to_vec();
    by_size.sort_by(|a, b| mean(a).total_cmp(&mean(b)));
    let third = by_size.len().div_ceil(3);
    let of = |part: &[Observation]| {
        let (files, bytes) = part.iter().fold((0.0, 0.0), |(f, b), o| (f + o.files, b + o.bytes));
        Some(((bytes + 1.0) / f64::max(files, 1.0), rate_of(part)?))
    };
    Some((of(by_size.get(..third)?)?, of(by_size.get(by_size.len() - third..)?)?))
}

/// The costs of a file and of a byte; `None` where what was seen cannot tell them apart.
fn solve(seen: &[Observation]) -> Option<(f64, f64)> {
    let mut trust = vec![1.0_f64; seen.len()];
    let mut found = None;
    for _ in 0..ROUNDS {
        let (mut xx, mut xy, mut yy, mut x1, mut y1) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (o, trust) in seen.iter().zip(&trust) {
            let (x, y, w) = (o.files / o.seconds, o.bytes / o.seconds, o.weight * trust);
            xx += w * x * x;
            xy += w * x * y;
            yy += w * y * y;
            x1 += w * x;
            y1 += w * y;
        }
        let determinant = xx * yy - xy * xy;
        if xx <= 0.0 || yy <= 0.0 || determinant <= 1e-6 * xx * yy {
            return None;
        }
        let (file, byte) = ((x1 * yy - y1 * xy) / determinant, (y1 * xx - x1 * xy) / determinant);
        let (file, byte) = match (file < 0.0, byte < 0.0) {
            (true, _) => (0.0, y1 / yy),
            (_, true) => (x1 / xx, 0.0),
            _ => (file, byte),
        };
        for (o, trust) in seen.iter().zip(&mut trust) {
            const USUAL: f64 = 0.3;
            let off = ((o.files * file + o.bytes * byte) / o.seconds - 1.0).abs();
            *trust = if off <= USUAL { 1.0 } else { USUAL / off };
        }
        found = Some((file, byte));
    }
    found.filter(|(file, byte)| file.is_finite() && byte.is_finite())
}

/// How long `amount` takes by what was measured, and not faster than any of the ceilings.
pub fn estimate(
    amount: Amount,
    measured: &[Measurement],
    ceilings: &[Ceiling],
    now: DateTime<Utc>,
) -> Estimate {
    if amount == Amount::default() {
        let range = Some(EtaRange { low_seconds: 0.0, high_seconds: 0.0 });
        return Estimate { range, basis: "nothing to move".into() };
    }
    if let Some(shut) = ceilings.iter().find(|ceiling| ceiling.shuts(amount)) {
        return Estimate { range: None, basis: shut.of.paused().into() };
    }
    let chosen = Chosen::of(measured, now);
    let by_measure = chosen.range(amount, now);
    let times = ceilings.iter().filter_map(|ceiling| Some((ceiling.seconds(amount)?, ceiling.of)));
    let at_most = times.max_by(|(one, _), (other, _)| one.total_cmp(other));
    match (by_measure, at_most) {
        (Some(range), Some((least, holder))) if least > range.low_seconds => {
            let basis = format!("{}, held to {}", chosen.in_words(now), holder.limit());
            Estimate { range: Some(range.not_before(least)), basis }
        }
        (Some(range), _) => Estimate { range: Some(range), basis: chosen.in_words(now) },
        (None, Some((least, holder))) => {
            let range = Some(EtaRange { low_seconds: least, high_seconds: least * 1.25 });
            Estimate { range, basis: holder.limit().into() }
        }
        (None, None) => Estimate { range: None, basis: "not measured yet".into() },
    }
}

/// Parts that are moved side by side end with the slowest; unknown as soon as one of them is.
pub fn side_by_side(parts: impl IntoIterator<Item = Option<EtaRange>>) -> Option<EtaRange> {
    let none = EtaRange { low_seconds: 0.0, high_seconds: 0.0 };
    parts.into_iter().try_fold(none, |slowest, part| {
        let part = part?;
        Some(EtaRange {
            low_seconds: slowest.low_seconds.max(part.low_seconds),
            high_seconds: slowest.high_seconds.max(part.high_seconds),
        })
    })
}

/// Whether there is anything that a plan can rest on: else a probe is worth its second.
pub fn is_fresh(measured: &[Measurement], now: DateTime<Utc>, for_at_most: TimeDelta) -> bool {
    measured.iter().any(|m| now - m.at <= for_at_most)
}

impl Holder {
    fn limit(self) -> &'static str {
        match self {
            Self::Copy => "its bandwidth limit",
            Self::Job => "the job's limit",
        }
    }

    fn paused(self) -> &'static str {
        match self {
            Self::Copy => "it is paused by its limit",
            Self::Job => "the job is paused by its limit",
        }
    }
}

impl EtaRange {
    /// The same, where a limit lets it end after `least` seconds at the earliest.
    #[must_use]
    pub fn not_before(self, least: f64) -> Self {
        let low_seconds = self.low_seconds.max(least);
        Self { low_seconds, high_seconds: self.high_seconds.max(least * 1.1) }
    }
}

impl Ceiling {
    /// Whether nothing of it gets through.
    fn shuts(self, amount: Amount) -> bool {
        let is_shut = |amount: u64, most: Option<f64>| amount > 0 && most == Some(0.0);
        is_shut(amount.bytes, self.bytes_per_second) || is_shut(amount.files, self.files_per_second)
    }

    /// The least seconds that `amount` takes; `None` without a limit on it.
    pub fn seconds(self, amount: Amount) -> Option<f64> {
        let by =
            |amount: u64, most: Option<f64>| most.filter(|most| *most > 0.0).map(|most| amount as f64 / most);
        let times = [by(amount.bytes, self.bytes_per_second), by(amount.files, self.files_per_second)];
        times.into_iter().flatten().reduce(f64::max).filter(|seconds| *seconds > 0.0)
    }
}

/// The measurements that an estimate rests on.
struct Chosen {
    measured: Vec<Measurement>,
    is_old: bool,
}

impl Chosen {
    /// Jobs and drills of the last days; else probes of the last days; else the newest three of whatever there is.
    fn of(measured: &[Measurement], now: DateTime<Utc>) -> Self {
        let mut all: Vec<Measurement> =
            measured.iter().filter(|m| m.seconds > 0.0 && (m.files > 0 || m.bytes > 0)).cloned().collect();
        all.sort_by_key(|m| std::cmp::Reverse(m.at));
        let is_recent = |m: &&Measurement| now - m.at <= RECENT;
        let of = |probes: bool| -> Vec<Measurement> {
            let wanted = all.iter().filter(is_recent).filter(|m| (m.basis == Basis::Probe) == probes);
            wanted.take(MOST).cloned().collect()
        };
        for recent in [of(false), of(true)] {
            if !recent.is_empty() {
                return Self { measured: recent, is_old: false };
            }
        }
        all.truncate(3);
        Self { measured: all, is_old: true }
    }

    fn observations(&self, now: DateTime<Utc>) -> Vec<Observation> {
        const HALF_LIFE_DAYS: f64 = 10.0;
        let weight = |m: &Measurement| {
            let days = (now - m.at).num_seconds().max(0) as f64 / 86_400.0;
            // What took a moment is noise beside what took a minute.
            (m.seconds / 30.0).clamp(0.05, 1.0) * 0.5_f64.powf(days / HALF_LIFE_DAYS)
        };
        let observation = |m: &Measurement| Observation {
            files: m.files as f64,
            bytes: m.bytes as f64,
            seconds: m.seconds,
            weight: weight(m).max(1e-6),
        };
        self.measured.iter().map(observation).collect()
    }

    fn range(&self, amount: Amount, now: DateTime<Utc>) -> Option<EtaRange> {
        let seen = self.observations(now);
        let cost = fit(&seen)?;
        let (least, most) = cost.seconds(amount)?;
        // How far off the model was for each, and never surer than so many measurements allow.
        let off = seen.iter().filter_map(|o| {
            let (low, high) = cost
                .seconds(Amount { files: o.files as u64, bytes: o.bytes as u64 })
                .filter(|(_, high)| *high > 0.0)?;
            Some((o.seconds / ((low + high) / 2.0)).clamp(0.2, 5.0))
        });
        let (fastest, slowest) =
            off.fold((1.0_f64, 1.0_f64), |(low, high), off| (low.min(off), high.max(off)));
        let doubt = 0.1 + 0.15 / (seen.len() as f64).sqrt();
        let old = if self.is_old { 1.5 } else { 1.0 };
        let range = EtaRange {
            low_seconds: least * fastest.min(1.0 - doubt) / old,
            high_seconds: most * slowest.max(1.0 + doubt) * old,
        };
        (range.low_seconds.is_finite() && range.high_seconds.is_finite()).then_some(range)
    }

    /// `3 jobs and a drill in the last 30 days`
    fn in_words(&self, now: DateTime<Utc>) -> String {
        let of = |basis: Basis| self.measured.iter().filter(|m| m.basis == basis).count() as u64;
        let parts: Vec<String> = [Basis::Job, Basis::Drill, Basis::Probe]
            .into_iter()
            .filter_map(|basis| match of(basis) {
                0 => None,
                1 => Some(format!("a {basis}")),
                many => Some(format!("{} {basis}s", units::count(many))),
            })
            .collect();
        let newest = self.measured.first();
        if let (Some(probe), [_]) = (newest.filter(|m| m.basis == Basis::Probe), self.measured.as_slice()) {
            let files = units::counted(probe.files, "file", "files");
            return format!("a probe of {files} {}", ago(probe.at, now));
        }
        let what = match parts.as_slice() {
            [] => return "not measured yet".into(),
            [one] => one.clone(),
            [first @ .., last] => format!("{} and {last}", first.join(", ")),
        };
        match newest.filter(|_| self.is_old) {
            Some(newest) if self.measured.len() == 1 => format!("{what} {}", ago(newest.at, now)),
            Some(newest) => format!("{what}, the newest {}", ago(newest.at, now)),
            None => format!("{what} in the last {} days", RECENT.num_days()),
        }
    }
}

fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match (now - at).num_seconds() {
        i64::MIN..120 => "just now".into(),
        seconds @ 120..7_200 => format!("{} min ago", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} days ago", units::count(seconds.unsigned_abs() / 86_400)),
    }
}

#[cfg(test)]
mod tests;
