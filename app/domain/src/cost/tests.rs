use proptest::prelude::*;

use super::*;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn measured(basis: Basis, days: i64, files: u64, bytes: u64, seconds: f64) -> Measurement {
    Measurement { at: now() - TimeDelta::days(days), basis, files, bytes, seconds }
}

fn amount(files: u64, bytes: u64) -> Amount {
    Amount { files, bytes }
}

#[test]
fn nothing_measured_is_said_so() {
    let estimate = estimate(amount(10, 1_000), &[], &[], now());
    assert_eq!((estimate.range, estimate.basis.as_str()), (None, "not measured yet"));
    let empty_files = [measured(Basis::Job, 1, 100, 0, 1.0)];
    assert_eq!(super::estimate(amount(10, 1_000), &empty_files, &[], now()).range, None);
}

#[test]
fn what_it_rests_on_is_said_in_words() {
    let job = |days| measured(Basis::Job, days, 1_000, 30_000_000, 10.0);
    let drill = |days| measured(Basis::Drill, days, 200, 6_000_000, 2.0);
    let probe = |days| measured(Basis::Probe, days, 20, 600_000, 0.2);
    let basis = |measured: &[Measurement]| estimate(amount(10, 1_000), measured, &[], now()).basis;
    assert_eq!(basis(&[job(1), job(5), job(29), drill(2)]), "3 jobs and a drill in the last 30 days");
    assert_eq!(basis(&[job(1), probe(0)]), "a job in the last 30 days", "a probe adds nothing to a job");
    assert_eq!(basis(&[probe(0)]), "a probe of 20 files just now");
    assert_eq!(basis(&[probe(0), job(45)]), "a probe of 20 files just now", "new before old");
    assert_eq!(basis(&[drill(45)]), "a drill 45 days ago");
    assert_eq!(basis(&[drill(45), job(50)]), "a job and a drill, the newest 45 days ago");
}

#[test]
fn a_limit_holds_and_stands_in() {
    let ceiling = |of, bytes| Ceiling { of, bytes_per_second: Some(bytes), files_per_second: None };
    let link = &[ceiling(Holder::Copy, 1e6)];
    let alone = estimate(amount(10, 10_000_000), &[], link, now());
    assert_eq!((alone.range.unwrap().low_seconds, alone.basis.as_str()), (10.0, "its bandwidth limit"));
    let closed = estimate(amount(10, 10), &[], &[ceiling(Holder::Copy, 0.0)], now());
    assert_eq!((closed.range, closed.basis.as_str()), (None, "it is paused by its limit"));
    let fast = [measured(Basis::Job, 1, 1_000, 1_000_000_000, 10.0)];
    let held = estimate(amount(10, 10_000_000), &fast, link, now());
    assert!(held.range.unwrap().low_seconds >= 10.0 && held.basis.ends_with("held to its bandwidth limit"));
    let slow = [measured(Basis::Job, 1, 10, 1_000_000, 10.0)];
    let unheld = estimate(amount(10, 1_000_000), &slow, link, now());
    assert!(!unheld.basis.contains("limit") && unheld.range.unwrap().high_seconds >= 10.0, "{unheld:?}");
    // The job's own limit counts beside the copy's: the narrower one holds.
    let both = |job| estimate(amount(10, 10_000_000), &fast, &[link[0], ceiling(Holder::Job, job)], now());
    let held = both(1e5);
    assert_eq!(held.range.unwrap().low_seconds, 100.0);
    assert!(held.basis.ends_with("held to the job's limit"), "{held:?}");
    assert!(both(1e7).basis.ends_with("held to its bandwidth limit"));
    assert_eq!((both(0.0).range, both(0.0).basis.as_str()), (None, "the job is paused by its limit"));
}

#[test]
fn one_mean_size_gives_bounds_for_another() {
    let small = [measured(Basis::Job, 1, 10_000, 10_000 * 1_000, 10.0)];
    let range = |amount| estimate(amount, &small, &[], now()).range.unwrap();
    let same = range(amount(1_000, 1_000_000));
    assert!(same.low_seconds > 0.7 && same.high_seconds < 1.3, "{same:?}");
    // A gigabyte in ten files: by its bytes 1,000 s. Less may be true, and is not promised.
    let large = range(amount(10, 1_000_000_000));
    assert!(large.high_seconds > 1_000.0 && large.low_seconds > 300.0, "{large:?}");
}

#[test]
fn one_wild_measurement_does_not_carry_the_others_away() {
    let mut all: Vec<_> = (0..9)
        .map(|i| {
            let (files, size) = if i % 2 == 0 { (2_000, 4_000) } else { (40, 5_000_000) };
            measured(Basis::Job, i, files, files * size, 0.001 * files as f64 + (files * size) as f64 / 50e6)
        })
        .collect();
    all.push(measured(Basis::Job, 1, 1_000, 4_000_000, 60.0));
    let Some(Cost::Parted { seconds_a_file, seconds_a_byte, .. }) =
        fit(&Chosen::of(&all, now()).observations(now()))
    else {
        panic!()
    };
    assert!((seconds_a_file / 0.001 - 1.0).abs() < 0.5, "{seconds_a_file}");
    assert!((seconds_a_byte * 50e6 - 1.0).abs() < 0.3, "{seconds_a_byte}");
}

#[test]
fn the_slowest_part_is_the_whole() {
    let part = |low_seconds, high_seconds| Some(EtaRange { low_seconds, high_seconds });
    assert_eq!(side_by_side([part(1.0, 9.0), part(3.0, 4.0)]), part(3.0, 9.0));
    assert_eq!(side_by_side([part(1.0, 9.0), None]), None, "one unknown part makes the whole unknown");
}

proptest! {
    /// Two mean sizes and noise of 5 %: the costs come out, and so does the time for any mixture between.
    #[test]
    fn the_costs_are_found(
        file_ms in 0.05f64..20.0,
        mb_per_second in 1.0f64..2_000.0,
        noise in proptest::collection::vec(0.95f64..1.05, 8),
        files in 1u64..1_000_000,
        mean in 4_000u64..2_000_000,
    ) {
        let cost = |files: u64, bytes: u64| files as f64 * file_ms / 1e3 + bytes as f64 / (mb_per_second * 1e6);
        let seen: Vec<_> = noise.iter().enumerate().map(|(i, noise)| {
            let (files, size) = if i % 2 == 0 { (5_000, 4_000) } else { (300, 2_000_000) };
            measured(Basis::Job, i as i64, files, files * size, cost(files, files * size) * noise)
        }).collect();
        let truth = cost(files, files * mean);
        let range = estimate(amount(files, files * mean), &seen, &[], now()).range.unwrap();
        prop_assert!(range.low_seconds <= truth && truth <= range.high_seconds, "{truth} in {range:?}");
        prop_assert!(range.high_seconds < range.low_seconds * 3.0, "{range:?}");
    }

    /// Whatever was measured: ordered, finite, not below zero, and never less for more.
    #[test]
    fn a_range_is_a_range(
        seen in proptest::collection::vec((0i64..80, 0u64..1_000_000, 0u64..1 << 40, 0.0f64..1e5, 0usize..3), 0..30),
        files in 0u64..10_000_000,
        bytes in 0u64..1 << 50,
        most in proptest::option::of(1.0f64..1e10),
    ) {
        let seen: Vec<_> = seen.into_iter()
            .map(|(days, files, bytes, seconds, basis)| measured(Basis::ALL[basis], days, files, bytes, seconds))
            .collect();
        let ceiling = Ceiling { of: Holder::Job, bytes_per_second: most, files_per_second: None };
        let estimate = super::estimate(amount(files, bytes), &seen, &[ceiling], now());
        if let Some(range) = estimate.range {
            prop_assert!(range.low_seconds.is_finite() && range.high_seconds.is_finite());
            prop_assert!(0.0 <= range.low_seconds && range.low_seconds <= range.high_seconds, "{range:?}");
            if let Some(most) = most {
                prop_assert!(range.low_seconds >= bytes as f64 / most * 0.999);
            }
        }
        prop_assert!(!estimate.basis.is_empty());
    }
}
