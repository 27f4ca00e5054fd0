//! How far, how fast, how long still: figures that tell the truth.
//!
//! An estimate is a range with a basis, or it is absent: never a number without data (promise I10). Time in pauses does
//! not count; the caller gives samples in *active* seconds.

use std::iter::Sum;
use std::ops::AddAssign;

use crate::cost::{self, Observation};

/// Files and bytes moved by an active second of a job.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Sample {
    /// Seconds that the job has been running, pauses left out.
    pub active_seconds: f64,
    pub files: u64,
    pub bytes: u64,
}

/// Files and bytes still to do, or done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Amount {
    pub files: u64,
    pub bytes: u64,
}

impl Amount {
    /// One file of so many bytes.
    pub fn file(bytes: u64) -> Self {
        Self { files: 1, bytes }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, more: Self) {
        self.files += more.files;
        self.bytes += more.bytes;
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, more| {
            sum += more;
            sum
        })
    }
}

/// Seconds, the least and the most that are likely.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct EtaRange {
    pub low_seconds: f64,
    pub high_seconds: f64,
}

/// A cost model of two parts: so long a file, and so long a byte. Both are measured rates on their own; the truth lies
/// between the slower of the two and their sum.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Rate {
    pub files_per_second: f64,
    pub bytes_per_second: f64,
}

/// The rate over the samples' span; `None` before there is a second of it with something moved.
pub fn rate(samples: &[Sample]) -> Option<Rate> {
    let (first, last) = (samples.first()?, samples.last()?);
    let seconds = last.active_seconds - first.active_seconds;
    let files = last.files.saturating_sub(first.files);
    let bytes = last.bytes.saturating_sub(first.bytes);
    (seconds >= 1.0 && (files > 0 || bytes > 0))
        .then(|| Rate { files_per_second: files as f64 / seconds, bytes_per_second: bytes as f64 / seconds })
}

/// How long `left` takes at `rate`: `None` when what is left is of a kind that has not moved yet.
pub fn estimate(left: Amount, rate: Rate) -> Option<EtaRange> {
    let by = |amount: u64, per_second: f64| match amount {
        0 => Some(0.0),
        _ if per_second > 0.0 => Some(amount as f64 / per_second),
        _ => None,
    };
    let (by_files, by_bytes) =
        (by(left.files, rate.files_per_second)?, by(left.bytes, rate.bytes_per_second)?);
    let (least, most) = (by_files.min(by_bytes), by_files.max(by_bytes));
    // Rates wander: a fifth either way is what earlier runs showed between their first minute and their whole.
    Some(EtaRange { low_seconds: least.max(most * 0.5) * 0.8, high_seconds: most * 1.25 })
}

/// What one part of a job (the files that come from one copy) has done so far, and has left.
#[derive(Debug, Clone, PartialEq)]
pub struct Lane {
    /// Oldest first.
    pub samples: Vec<Sample>,
    pub left: Amount,
    /// How long what is left takes by the plan: until the lane has moved there is nothing better.
    pub planned: Option<EtaRange>,
}

impl Lane {
    /// Until something moves the plan's time runs down, from when the lane might have begun; where not a byte comes for
    /// long, or it takes longer to begin than it should have taken to end, the lane is stalled.
    fn before_it_moves(&self, now: f64) -> Option<EtaRange> {
        let planned = self.planned?;
        let waited = quiet(&self.samples, now);
        if waited > SILENCE { None } else { planned.after(waited, planned.high_seconds / 2.0) }
    }
}

/// Of what has moved, the newer half of the weight lies in this share of the time, within these seconds.
const HALF_SHARE: f64 = 1.0 / 6.0;
const HALF_SECONDS: (f64, f64) = (8.0, 240.0);
/// A stretch says something from this many seconds on.
const SPEAKS: f64 = 1.0;
/// Seconds without a byte after which something is held up.
pub const SILENCE: f64 = 30.0;

/// How long `left` still takes, `now` in active seconds; `None` when that is not known: nothing has moved yet, or nothing
/// moves any more.
///
/// Files and bytes count together; the newest stretch counts most. Between two samples the time runs down by the clock,
/// and when the next is overdue the range grows, until there is none.
pub fn eta(samples: &[Sample], left: Amount, now: f64) -> Option<EtaRange> {
    if left == Amount::default() {
        return Some(EtaRange { low_seconds: 0.0, high_seconds: 1.0 });
    }
    let moves = moves(samples);
    let last = moves.last()?;
    let observed: f64 = moves.iter().map(|step| step.seconds).sum();
    if observed < SPEAKS {
        return None;
    }
    let half = (observed * HALF_SHARE).clamp(HALF_SECONDS.0, HALF_SECONDS.1);
    let seen: Vec<Observation> = moves.iter().map(|step| step.observed(last.at, half)).collect();
    let cost = cost::fit(&seen)?;
    let (least, most) = cost.seconds(left)?;
    let reach = 1.0 - (observed / most.max(0.001)).min(1.0);
    let doubt = (0.08 + 0.17 * reach + unrest(&moves, &cost)).min(0.9);
    let range = EtaRange { low_seconds: least * (1.0 - doubt), high_seconds: most * (1.0 + doubt) };
    let longest = moves.iter().rev().take(8).map(|step| step.seconds).fold(0.0, f64::max);
    let range = range.after(now - last.at, longest)?;
    (range.low_seconds.is_finite() && range.high_seconds.is_finite()).then_some(range)
}

/// Seconds since something moved, or could have begun to (the first sample): what a stall is told by.
pub fn quiet(samples: &[Sample], now: f64) -> f64 {
    let since = moves(samples).last().map(|last| last.at);
    let since = since.or_else(|| samples.first().map(|first| first.active_seconds));
    since.map_or(0.0, |since| (now - since).max(0.0))
}

/// A job on several copies ends when the slowest copy's part ends; one part unknown makes the whole unknown.
pub fn eta_of_lanes(lanes: &[Lane], now: f64) -> Option<EtaRange> {
    let open: Vec<&Lane> = lanes.iter().filter(|lane| lane.left != Amount::default()).collect();
    if open.is_empty() {
        return Some(EtaRange { low_seconds: 0.0, high_seconds: 1.0 });
    }
    cost::side_by_side(open.into_iter().map(|lane| {
        let has_moved = !moves(&lane.samples).is_empty();
        if has_moved { eta(&lane.samples, lane.left, now) } else { lane.before_it_moves(now) }
    }))
}

impl EtaRange {
    /// The same estimate `idle` seconds later, when moves usually came within `usual` seconds.
    fn after(self, idle: f64, usual: f64) -> Option<Self> {
        let idle = idle.max(0.0);
        let patience = usual * 1.5 + 2.0;
        let (waited, overdue) = (idle.min(patience), (idle - patience).max(0.0));
        if overdue > (usual * 2.0).max(20.0) {
            return None;
        }
        // Something is left: it is never "0 s".
        let low_seconds = (self.low_seconds - waited).max(1.0);
        let high_seconds = (self.high_seconds - waited).max(low_seconds + 1.0) + overdue * 2.0;
        Some(Self { low_seconds, high_seconds })
    }

    /// The share `part` of `whole` of it.
    #[must_use]
    pub fn share(self, part: Amount, whole: Amount) -> Self {
        let of = |part: u64, whole: u64| if whole == 0 { 0.0 } else { (part as f64 / whole as f64).min(1.0) };
        let share = of(part.files, whole.files).max(of(part.bytes, whole.bytes));
        Self { low_seconds: self.low_seconds * share, high_seconds: self.high_seconds * share }
    }
}

/// Something moved: until when, in how many seconds since the move before.
struct Move {
    at: f64,
    seconds: f64,
    files: u64,
    bytes: u64,
}

impl Move {
    fn observed(&self, newest: f64, half: f64) -> Observation {
        let weight = 0.5_f64.powf((newest - self.at).max(0.0) / half).max(1e-9);
        Observation { files: self.files as f64, bytes: self.bytes as f64, seconds: self.seconds, weight }
    }
}

/// The steps in which something moved. Time before the first is planning's; samples out of order are passed over, and so
/// are figures that went back (a job that was planned anew).
fn moves(samples: &[Sample]) -> Vec<Move> {
    let mut moves: Vec<Move> = Vec::new();
    let mut from: Option<Sample> = None;
    for &sample in samples.iter().filter(|sample| sample.active_seconds.is_finite()) {
        let Some(before) = from else {
            from = Some(sample);
            continue;
        };
        let (files, bytes) =
            (sample.files.saturating_sub(before.files), sample.bytes.saturating_sub(before.bytes));
        let seconds = sample.active_seconds - before.active_seconds;
        if sample.files < before.files || sample.bytes < before.bytes {
            from = Some(sample);
        } else if files == 0 && bytes == 0 {
            if moves.is_empty() {
                from = Some(sample);
            }
        } else if seconds > 0.0 {
            moves.push(Move { at: sample.active_seconds, seconds, files, bytes });
            from = Some(sample);
        }
    }
    moves
}

/// How much the cost wandered: the doubt that remains after so many stretches.
fn unrest(moves: &[Move], cost: &cost::Cost) -> f64 {
    const STRETCHES: usize = 8;
    const FEW: f64 = 0.1;
    if moves.len() < 3 {
        return FEW;
    }
    let stretch = moves.len().div_ceil(STRETCHES);
    let ratios: Vec<f64> = moves
        .chunks(stretch)
        .filter_map(|part| {
            let sum = |of: fn(&Move) -> u64| part.iter().map(of).sum::<u64>();
            let amount = Amount { files: sum(|step| step.files), bytes: sum(|step| step.bytes) };
            let (least, most) = cost.seconds(amount)?;
            let expected = (least + most) / 2.0;
            let seconds: f64 = part.iter().map(|step| step.seconds).sum();
            (expected > 0.0).then(|| (seconds / expected).clamp(0.1, 10.0))
        })
        .collect();
    let count = ratios.len() as f64;
    if count < 2.0 {
        return FEW;
    }
    let mean = ratios.iter().sum::<f64>() / count;
    let variance = ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum::<f64>() / (count - 1.0);
    variance.sqrt() / count.sqrt()
}

/// Whole percent for people; 100 only when everything is done, however little is missing.
pub fn percent(done: u64, total: u64) -> u8 {
    match total {
        0 => 100,
        _ if done >= total => 100,
        _ => u8::try_from(u128::from(done) * 100 / u128::from(total)).unwrap_or(99).min(99),
    }
}

#[cfg(test)]
mod tests;
