use proptest::prelude::*;

use super::*;

fn sample(active_seconds: f64, files: u64, bytes: u64) -> Sample {
    Sample { active_seconds, files, bytes }
}

/// A sample each `step` seconds at a constant rate, until `seconds`.
fn steady(seconds: u32, step: u32, files: u64, size: u64) -> Vec<Sample> {
    (0..=seconds / step)
        .map(|at| {
            let done = u64::from(at * step) * files;
            sample(f64::from(at * step), done, done * size)
        })
        .collect()
}

fn middle(range: EtaRange) -> f64 {
    (range.low_seconds + range.high_seconds) / 2.0
}

#[test]
fn nothing_measured_is_nothing_said() {
    assert_eq!(rate(&[]), None);
    let still = sample(5.0, 0, 0);
    assert_eq!(rate(&[Sample { active_seconds: 0.0, ..still }, still]), None);
    let only_files = Rate { files_per_second: 10.0, bytes_per_second: 0.0 };
    assert_eq!(estimate(Amount { files: 1, bytes: 9 }, only_files), None);
    let left = Amount { files: 10, bytes: 10 };
    assert_eq!(eta(&[], left, 5.0), None);
    assert_eq!(eta(&[Sample { active_seconds: 0.0, ..still }, still], left, 9.0), None);
}

#[test]
fn a_long_plan_does_not_count_as_slow_moving() {
    let mut samples = vec![sample(0.0, 0, 0), sample(300.0, 0, 0), sample(600.0, 0, 0)];
    samples.extend((1..=20).map(|at| sample(600.0 + f64::from(at), u64::from(at as u32) * 100, 0)));
    let range = eta(&samples, Amount { files: 1_000, bytes: 0 }, 620.0).unwrap();
    assert!((middle(range) - 10.0).abs() < 1.0, "{range:?}");
}

#[test]
fn after_a_stall_it_is_unknown_and_before_that_wider() {
    let samples = steady(60, 1, 10, 1_000);
    let left = Amount { files: 600, bytes: 600_000 };
    let at = |idle: f64| eta(&samples, left, 60.0 + idle);
    let first = at(0.0).unwrap();
    assert!((middle(first) - 60.0).abs() < 3.0, "{first:?}");
    let soon = at(3.0).unwrap();
    assert!((first.high_seconds - soon.high_seconds - 3.0).abs() < 0.01, "it runs down by the clock");
    let late = at(15.0).unwrap();
    assert!(late.high_seconds > first.high_seconds, "{late:?} is overdue");
    assert_eq!(at(60.0), None, "nothing moves any more");
}

#[test]
fn rare_large_steps_are_no_stall() {
    // A batch of 16 MB each 16 s over a slow link.
    let samples = steady(320, 16, 1, 1_000_000);
    let left = Amount { files: 160, bytes: 160_000_000 };
    for idle in 0..26 {
        let range = eta(&samples, left, 320.0 + f64::from(idle)).unwrap();
        assert!((middle(range) + f64::from(idle) - 160.0).abs() < 20.0, "{idle}: {range:?}");
    }
}

#[test]
fn it_is_never_zero_while_something_is_left() {
    let samples = steady(100, 1, 1_000, 10);
    let range = eta(&samples, Amount { files: 1, bytes: 10 }, 103.0).unwrap();
    assert!(range.low_seconds >= 1.0 && range.high_seconds > range.low_seconds, "{range:?}");
}

#[test]
fn a_job_ends_with_its_slowest_copy() {
    let fast = Lane {
        samples: steady(20, 1, 100, 1_000),
        left: Amount { files: 1_000, bytes: 1_000_000 },
        planned: None,
    };
    let slow =
        Lane { samples: steady(20, 1, 1, 1_000), left: Amount { files: 600, bytes: 600_000 }, planned: None };
    let range = eta_of_lanes(&[fast.clone(), slow], 20.0).unwrap();
    assert!((middle(range) - 600.0).abs() < 60.0, "{range:?}");
    let waiting = Lane { samples: vec![], left: Amount { files: 5, bytes: 5 }, planned: None };
    assert_eq!(
        eta_of_lanes(&[fast.clone(), waiting.clone()], 20.0),
        None,
        "nobody knows how long that one takes"
    );
    let planned = EtaRange { low_seconds: 50.0, high_seconds: 70.0 };
    let waiting = Lane { planned: Some(planned), ..waiting };
    assert_eq!(eta_of_lanes(&[fast, waiting], 20.0), Some(planned), "what was planned stands until it moves");
}

#[test]
fn a_lane_that_never_begins_is_stalled() {
    // The others are done within 10 s; two files wait for a copy that gives nothing.
    let began = sample(4.0, 0, 0);
    let lane = |high_seconds, at| Lane {
        samples: vec![began, sample(at, 0, 0)],
        left: Amount { files: 2, bytes: 2_000 },
        planned: Some(EtaRange { low_seconds: high_seconds * 0.5, high_seconds }),
    };
    let at = |high, at| eta_of_lanes(&[lane(high, at)], at);
    let soon = at(3.0, 5.0).unwrap();
    assert!((soon.high_seconds - 2.0).abs() < 0.01, "it runs down by the clock: {soon:?}");
    assert!(at(3.0, 10.0).unwrap().low_seconds >= 1.0, "it is never 0 s while something is left");
    assert_eq!(at(3.0, 29.0), None, "it should have been done long ago");
    assert!(at(600.0, 30.0).is_some(), "one large file over a slow link");
    assert_eq!(at(600.0, 4.0 + SILENCE + 1.0), None, "of which not a byte comes");
}

#[test]
fn quiet_is_counted_from_the_last_move() {
    assert_eq!(quiet(&[], 9.0), 0.0);
    assert_eq!(quiet(&[sample(1.0, 0, 0), sample(4.0, 0, 0)], 9.0), 8.0);
    let mut samples = steady(10, 1, 5, 10);
    assert_eq!(quiet(&samples, 12.0), 2.0);
    samples.push(Sample { active_seconds: 40.0, ..*samples.last().unwrap() });
    assert_eq!(quiet(&samples, 45.0), 35.0, "the same figures again are no move");
}

#[test]
fn large_files_after_small_ones_are_reckoned_by_both() {
    // 1 ms a file and 10 MB/s: first small files, then large ones.
    let mut samples = vec![sample(0.0, 0, 0)];
    let (mut at, mut files, mut bytes) = (0.0, 0, 0);
    for step in 0..40 {
        let (more, size) = if step < 20 { (900, 1_000) } else { (1, 10_000_000) };
        files += more;
        bytes += more * size;
        at += more as f64 / 1_000.0 + (more * size) as f64 / 10e6;
        samples.push(sample(at, files, bytes));
    }
    let left = Amount { files: 10_000, bytes: 10_000 * 1_000 + 500_000_000 };
    let truth = 10.0 + 51.0;
    let range = eta(&samples, left, at).unwrap();
    assert!(range.low_seconds < truth && truth < range.high_seconds, "{truth} in {range:?}");
    assert!(range.high_seconds < truth * 1.8, "{range:?}");
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

    /// At a constant rate the middle of the range is the truth, within 5 %.
    #[test]
    fn a_constant_rate_is_found(
        seconds in 10u32..600, step in 1u32..5, files in 1u64..5_000, size in 0u64..1_000_000, left in 10u64..1_000_000,
    ) {
        let samples = steady(seconds, step, files, size);
        let now = samples.last().unwrap().active_seconds;
        let range = eta(&samples, Amount { files: left, bytes: left * size }, now).unwrap();
        let truth = left as f64 / files as f64;
        prop_assume!(truth > 20.0);
        prop_assert!((middle(range) - truth).abs() < truth * 0.05, "{truth} is not in the middle of {range:?}");
        prop_assert!(range.low_seconds >= truth * 0.6 && range.high_seconds <= truth * 1.4);
    }

    /// Whatever the samples say, in whatever order: a range is ordered, finite and above zero.
    #[test]
    fn no_samples_break_it(
        samples in proptest::collection::vec((-1e6f64..1e6, 0u64..1 << 50, 0u64..1 << 50), 0..60),
        files in 0u64..1 << 40, bytes in 0u64..1 << 60, now in -1e7f64..1e7,
    ) {
        let samples: Vec<_> = samples.into_iter().map(|(at, files, bytes)| sample(at, files, bytes)).collect();
        if let Some(range) = eta(&samples, Amount { files, bytes }, now) {
            prop_assert!(range.low_seconds.is_finite() && range.high_seconds.is_finite(), "{range:?}");
            prop_assert!(range.low_seconds <= range.high_seconds, "{range:?}");
            prop_assert!(range.low_seconds >= if files + bytes > 0 { 1.0 } else { 0.0 }, "{range:?}");
        }
    }

    /// Between two samples it only runs down; and active seconds alone matter, so that a pause changes nothing.
    #[test]
    fn the_clock_runs_down(seconds in 20u32..200, files in 1u64..1_000, left in 1u64..1_000_000, a in 0.0f64..3.4, b in 0.0f64..3.4) {
        let samples = steady(seconds, 1, files, 100);
        let left = Amount { files: left, bytes: left * 100 };
        let (early, later) = (a.min(b), a.max(b));
        let at = |idle: f64| eta(&samples, left, f64::from(seconds) + idle).unwrap();
        prop_assert!(at(later).high_seconds <= at(early).high_seconds + 1e-9);
        let shifted: Vec<_> = samples.iter().map(|s| Sample { active_seconds: s.active_seconds + 7_000.0, ..*s }).collect();
        let moved = eta(&shifted, left, f64::from(seconds) + early + 7_000.0).unwrap();
        prop_assert!((moved.high_seconds - at(early).high_seconds).abs() < 1e-3 * moved.high_seconds);
    }
}
