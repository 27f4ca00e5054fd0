//! When a file system will be full: a straight line through what was used lately, as Prometheus' `predict_linear` draws it.
//!
//! Where the line does not fit what was read, or the end is not in sight, there is no forecast (promise I10).

use chrono::{DateTime, TimeDelta, Utc};

/// What the line is drawn through.
pub const LOOKS_BACK: TimeDelta = TimeDelta::days(7);
/// Points that lie within less say nothing of what comes after: days have their rhythm.
const AT_LEAST: TimeDelta = TimeDelta::days(1);
const FEWEST: usize = 12;
/// A later end is not in sight.
const LOOKS_AHEAD: TimeDelta = TimeDelta::days(90);
/// How much of what was read the line must explain (R²).
const FITS: f64 = 0.8;

/// `used` is percent in use by time, in any order; those older than [`LOOKS_BACK`] are left out by the caller.
pub fn full_at(used: &[(DateTime<Utc>, f64)], now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let (first, last) = (used.iter().map(|(at, _)| *at).min()?, used.iter().map(|(at, _)| *at).max()?);
    if used.len() < FEWEST || last - first < AT_LEAST {
        return None;
    }
    let count = used.len() as f64;
    let hours = |at: DateTime<Utc>| (at - now).num_seconds() as f64 / 3_600.0;
    let mean_x = used.iter().map(|(at, _)| hours(*at)).sum::<f64>() / count;
    let mean_y = used.iter().map(|(_, percent)| percent).sum::<f64>() / count;
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (at, percent) in used {
        let (x, y) = (hours(*at) - mean_x, percent - mean_y);
        (xx, xy, yy) = (xx + x * x, xy + x * y, yy + y * y);
    }
    let slope = xy / xx;
    let fit = xy * xy / (xx * yy);
    if !(slope > 0.0 && fit >= FITS) {
        return None;
    }
    let in_hours = mean_x + (100.0 - mean_y) / slope;
    let in_sight = (0.0..=LOOKS_AHEAD.num_hours() as f64).contains(&in_hours);
    in_sight.then(|| now + TimeDelta::seconds((in_hours * 3_600.0) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hourly(hours: i64, used: impl Fn(i64) -> f64) -> Vec<(DateTime<Utc>, f64)> {
        (0..hours).map(|hour| (at(hour), used(hour))).collect()
    }

    fn at(hour: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hour)
    }

    #[test]
    fn what_grows_steadily_has_an_end_and_nothing_else_has() {
        // A percent every four hours, from 50 %.
        let line = hourly(48, |hour| 50.0 + hour as f64 / 4.0);
        assert_eq!(full_at(&line, at(48)), Some(at(200)));
        assert_eq!(full_at(&line[..20], at(20)), None, "less than a day");
        assert_eq!(full_at(&hourly(48, |hour| 80.0 - hour as f64 / 4.0), at(48)), None, "it empties");
        assert_eq!(full_at(&hourly(48, |_| 80.0), at(48)), None, "it stays");
        let noise = hourly(48, |hour| if hour % 2 == 0 { 50.0 } else { 70.0 } + hour as f64 / 40.0);
        assert_eq!(full_at(&noise, at(48)), None, "no line");
        let slow = hourly(48, |hour| 50.0 + hour as f64 / 100.0);
        assert_eq!(full_at(&slow, at(48)), None, "not in sight");
        assert_eq!(full_at(&[], at(0)), None);
    }

    proptest! {
        /// Whatever was read: an end lies ahead and in sight.
        #[test]
        fn an_end_is_ahead(used in proptest::collection::vec(0.0f64..100.0, 0..200)) {
            let now = at(used.len() as i64);
            let points = hourly(used.len() as i64, |hour| used[hour as usize]);
            if let Some(end) = full_at(&points, now) {
                prop_assert!(end >= now && end <= now + LOOKS_AHEAD);
            }
        }
    }
}
