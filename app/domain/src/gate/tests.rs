use super::*;
use crate::volume::{Mode, ModeChange, ModeRefused};
use chrono::TimeDelta;
use proptest::prelude::*;

const START: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn change(to: Mode, now: DateTime<Utc>, override_gate: bool) -> ModeChange {
    ModeChange { to, reason: "because".into(), by: "ann".into(), evidence: vec![], override_gate, now }
}

fn hour(hour: i64) -> DateTime<Utc> {
    START + TimeDelta::hours(hour)
}

/// Tripped in the hour 1.
fn tripped() -> ModeState {
    let normal = ModeState::Normal { since: START, reason: "new".into(), by: "salvor".into() };
    normal.change(change(Mode::ReadOnly, hour(1), false), &GateFacts::default()).unwrap()
}

/// With these the gate is open.
fn all_well() -> GateFacts {
    GateFacts { full_check_started_at: Some(hour(2)), ..GateFacts::default() }
}

fn copy(good: &[(i64, &'static str)], failed_drill: Option<i64>) -> CopyProof {
    CopyProof {
        name: "local".into(),
        files: 7,
        good: good.iter().map(|(at, how)| (hour(*at), *how)).collect(),
        failed_drill: failed_drill.map(|at| (hour(at), "no such file".into())),
    }
}

#[test]
fn the_gate_names_what_is_open() {
    let facts = GateFacts { full_check_started_at: Some(START), missing: 2, ..GateFacts::default() };
    let refused = tripped().change(change(Mode::Normal, hour(2), false), &facts);
    let Err(ModeRefused::GateClosed(points)) = refused else { panic!("{refused:?}") };
    assert_eq!(points.len(), 2);
    assert!(points[0].contains("full check") && points[1] == "2 files are missing", "{points:?}");
}

#[test]
fn what_is_met_stays_on_the_list() {
    let points = tripped().gate(&all_well());
    let kinds: Vec<_> = points.iter().map(|point| point.kind.as_str()).collect();
    let always = ["no_errors", "full_check", "nothing_missing", "nothing_corrupt", "nothing_unreadable"];
    assert_eq!(kinds, always);
    assert!(points.iter().all(|point| point.met), "{points:?}");
    let offline = tripped().change(change(Mode::Failover, hour(2), false), &all_well()).unwrap();
    assert!(offline.open_points(&all_well())[0].contains("offline"));
    let away = GateFacts { out_of_reach: Some("it is not mounted".into()), ..all_well() };
    assert_eq!(tripped().open_points(&away), ["the volume is out of reach: it is not mounted"]);
}

#[test]
fn errors_that_are_counted_keep_it_closed() {
    let troubles = vec!["ext4 on /srv counts 1 error".to_owned()];
    let open = tripped().open_points(&GateFacts { troubles, ..all_well() });
    assert_eq!(open, ["ext4 on /srv counts 1 error"]);
}

#[test]
fn a_disk_check_that_was_begun_must_end_well() {
    let with = |started_at, end| GateFacts { disk_check: Some(DiskCheck { started_at, end }), ..all_well() };
    for (facts, open) in [
        (with(hour(2), DiskCheckEnd::Running), "not ended yet"),
        (with(hour(1), DiskCheckEnd::Badly), "did not end well"),
    ] {
        let points = tripped().open_points(&facts);
        assert!(points.len() == 1 && points[0].contains(open), "{points:?}");
    }
    for facts in [with(START, DiskCheckEnd::Badly), with(hour(2), DiskCheckEnd::Well)] {
        assert_eq!(tripped().open_points(&facts), [""; 0], "{facts:?}");
    }
}

#[test]
fn a_fault_of_the_file_system_asks_for_a_disk_check_that_began_after_it() {
    let fault = |at| Some(FileSystemFault { at: hour(at), what: "/srv on store1".into() });
    let with = |fault_at, check: Option<(i64, DiskCheckEnd)>| GateFacts {
        volume: "uploads".into(),
        file_system_fault: fault(fault_at),
        disk_check: check.map(|(at, end)| DiskCheck { started_at: hour(at), end }),
        ..all_well()
    };
    use DiskCheckEnd::{Badly, Running, Well};
    let asked = "/srv on store1 told of a fault at 1970-01-01";
    for (facts, open) in [
        (with(1, None), Some(asked)),
        (with(1, Some((0, Well))), Some(asked)),
        (with(3, Some((2, Well))), Some(asked)),
        (with(1, Some((2, Running))), Some("has not ended yet")),
        (with(1, Some((2, Badly))), Some("did not end well")),
        (with(1, Some((2, Well))), None),
        // Cleared before the volume left normal for another reason.
        (with(-5, Some((0, Well))), None),
        (with(-5, Some((0, Badly))), Some("run `salvor disk-check uploads`")),
    ] {
        let points = tripped().open_points(&facts);
        match open {
            None => assert_eq!(points, [""; 0], "{facts:?}"),
            Some(words) => assert!(points.len() == 1 && points[0].contains(words), "{points:?}"),
        }
    }
}

#[test]
fn a_copy_is_verified_by_what_was_found_good_last() {
    let empty = CopyProof { files: 0, ..copy(&[], None) };
    for (copy, open) in [
        (copy(&[(5, "drilled")], None), None),
        (copy(&[(2, "protected"), (6, "restored from")], Some(5)), None),
        (empty, None),
        (copy(&[], None), Some("nothing has verified the copy local yet: run `salvor drill uploads`")),
        (copy(&[(3, "protected")], None), Some("1970-01-01 03:00:00 UTC")),
        (copy(&[(5, "protected")], Some(6)), Some("failed (no such file)")),
        (copy(&[(5, "protected")], Some(5)), Some("failed (no such file)")),
    ] {
        let facts = GateFacts {
            volume: "uploads".into(),
            copies: vec![copy.clone()],
            verified_since: hour(4),
            ..all_well()
        };
        let points = tripped().open_points(&facts);
        match open {
            None => assert_eq!(points, [""; 0], "{copy:?}"),
            Some(words) => assert!(points.len() == 1 && points[0].contains(words), "{points:?}"),
        }
    }
}

/// What is on the list in its states, as people read it: nothing twice, and nothing that is not known.
#[test]
fn each_point_is_one_sentence() {
    let facts = |change: &dyn Fn(&mut GateFacts)| {
        let mut facts = GateFacts { volume: "uploads".into(), verified_since: hour(4), ..all_well() };
        change(&mut facts);
        facts
    };
    let unchecked = facts(&|facts| facts.full_check_started_at = None);
    let copy_that = |copy: CopyProof| facts(&move |facts| facts.copies = vec![copy.clone()]);
    let disk_check =
        |end| facts(&move |facts| facts.disk_check = Some(DiskCheck { started_at: hour(2), end }));
    for (facts, kind, words) in [
        (all_well(), "no_errors", "Nothing that the volume lies on counts errors (as it was read last)"),
        (
            facts(&|facts| facts.troubles = vec!["the disk is failing".into()]),
            "no_errors",
            "The disk is failing",
        ),
        (
            all_well(),
            "full_check",
            "A full check that started after 1970-01-01 01:00:00 UTC has finished (it started 1970-01-01 02:00:00 UTC)",
        ),
        (
            unchecked.clone(),
            "full_check",
            "No full check that started after 1970-01-01 01:00:00 UTC has finished",
        ),
        (all_well(), "nothing_missing", "No file is known to be missing (the full check found none)"),
        (unchecked, "nothing_corrupt", "No file is known to be corrupt (only the full check will tell)"),
        (facts(&|facts| facts.unreadable = 1), "nothing_unreadable", "1 file is unreadable"),
        (
            copy_that(copy(&[(5, "drilled")], None)),
            "copies_verified",
            "The copy local was verified lately (drilled 1970-01-01 05:00:00 UTC)",
        ),
        (
            copy_that(CopyProof { files: 0, ..copy(&[], None) }),
            "copies_verified",
            "The copy local needs no proof (it holds no file of the catalogue)",
        ),
        (
            copy_that(copy(&[], None)),
            "copies_verified",
            "Nothing has verified the copy local yet: run `salvor drill uploads`",
        ),
        (
            disk_check(DiskCheckEnd::Well),
            "disk_check",
            "A disk check ended well (it began 1970-01-01 02:00:00 UTC)",
        ),
        (
            disk_check(DiskCheckEnd::Running),
            "disk_check",
            "The disk check of 1970-01-01 02:00:00 UTC has not ended yet",
        ),
    ] {
        let points = tripped().gate(&facts);
        let point = points.iter().find(|point| point.kind.as_str() == kind).unwrap();
        assert_eq!(point.sentence(), words);
    }
}

fn any_facts() -> impl Strategy<Value = GateFacts> {
    let check = prop_oneof![Just(DiskCheckEnd::Running), Just(DiskCheckEnd::Well), Just(DiskCheckEnd::Badly)];
    let copies = proptest::collection::vec((0u64..2, -20i64..40, any::<bool>()), 0..3);
    let fault = proptest::option::of(-5i64..60);
    (-5i64..60, 0u64..2, 0usize..2, proptest::option::of((-5i64..60, check)), fault, copies).prop_map(
        |(full, missing, troubles, disk_check, fault, copies)| GateFacts {
            full_check_started_at: Some(hour(full)),
            missing,
            troubles: vec!["an error".into(); troubles],
            disk_check: disk_check.map(|(at, end)| DiskCheck { started_at: hour(at), end }),
            file_system_fault: fault
                .map(|at| FileSystemFault { at: hour(at), what: "/srv on store1".into() }),
            copies: copies
                .into_iter()
                .map(|(files, at, fails)| {
                    let drill = fails.then_some(at);
                    CopyProof { files, ..self::copy(&[(at, "drilled")], drill) }
                })
                .collect(),
            ..GateFacts::default()
        },
    )
}

proptest! {
    /// Whatever is asked for in whatever order: without an override, normal is only reached through an open gate,
    /// and failover only through read_only.
    #[test]
    fn normal_only_through_the_gate(steps in proptest::collection::vec((0usize..3, any_facts(), any::<bool>()), 1..50)) {
        let mut now = START;
        let mut state = ModeState::Normal { since: now, reason: "new".into(), by: "salvor".into() };
        for (to, facts, override_gate) in steps {
            now += TimeDelta::hours(1);
            let (from, open) = (state.mode(), state.open_points(&facts));
            if let Ok(next) = state.clone().change(change(Mode::ALL[to], now, override_gate), &facts) {
                if next.mode() == Mode::Normal {
                    prop_assert!(from == Mode::ReadOnly && (open.is_empty() || override_gate));
                }
                if next.mode() == Mode::Failover {
                    prop_assert_eq!(from, Mode::ReadOnly);
                }
                state = next;
            }
        }
    }

    /// What is refused is told: the open points are exactly those that are not met, each says why, and an open gate means that
    /// each of the facts is good.
    #[test]
    fn an_open_gate_means_that_all_is_well(facts in any_facts()) {
        let points = tripped().gate(&facts);
        let open = tripped().open_points(&facts);
        prop_assert_eq!(open.len(), points.iter().filter(|point| !point.met).count());
        prop_assert!(points.iter().all(|point| !point.detail.is_empty() && !point.what.is_empty()));
        if open.is_empty() {
            prop_assert!(facts.full_check_started_at.is_some_and(|at| at >= hour(1)));
            prop_assert!(facts.missing + facts.corrupt + facts.unreadable == 0 && facts.troubles.is_empty());
            let ended = |check: DiskCheck| check.started_at < hour(1) || check.end == DiskCheckEnd::Well;
            prop_assert!(facts.disk_check.is_none_or(ended));
            let clears = |fault: &FileSystemFault| {
                let checked = |check: DiskCheck| check.end == DiskCheckEnd::Well && check.started_at >= fault.at;
                facts.disk_check.is_some_and(checked)
            };
            prop_assert!(facts.file_system_fault.as_ref().is_none_or(clears));
            prop_assert!(facts.copies.iter().all(|copy| copy.files == 0 || copy.failed_drill.is_none()));
        }
    }
}
