//! How far, how fast, how long still: figures that tell the truth.
//!
//! An estimate is a range with a basis, or it is absent: never a number without data (promise I10). Time in pauses does
//! not count; the caller gives samples in *active* seconds.

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

/// Whole percent for people; 100 only when everything is done, however little is missing.
pub fn percent(done: u64, total: u64) -> u8 {
    match total {
        0 => 100,
        _ if done >= total => 100,
        _ => u8::try_from(u128::from(done) * 100 / u128::from(total)).unwrap_or(99).min(99),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_measured_is_nothing_said() {
        assert_eq!(rate(&[]), None);
        let still = Sample { active_seconds: 5.0, files: 0, bytes: 0 };
        assert_eq!(rate(&[Sample { active_seconds: 0.0, ..still }, still]), None);
        let only_files = Rate { files_per_second: 10.0, bytes_per_second: 0.0 };
        assert_eq!(estimate(Amount { files: 1, bytes: 9 }, only_files), None);
    }

    proptest! {
        #[test]
        fn a_range_is_ordered_and_grows_with_what_is_left(files in 0u64..1_000_000, bytes in 0u64..1 << 40) {
            let rate = Rate { files_per_second: 900.0, bytes_per_second: 12.5e6 };
            let eta = estimate(Amount { files, bytes }, rate).unwrap();
            let more = estimate(Amount { files: files + 1000, bytes: bytes * 2 }, rate).unwrap();
            prop_assert!(eta.low_seconds <= eta.high_seconds && eta.high_seconds <= more.high_seconds);
        }

        #[test]
        fn a_hundred_percent_is_everything(done in 0u64..u64::MAX, missing in 1u64..1000) {
            prop_assert!(percent(done, done.saturating_add(missing)) < 100 || done.checked_add(missing).is_none());
        }
    }
}
