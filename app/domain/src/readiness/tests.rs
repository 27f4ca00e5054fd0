use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn range(low_seconds: f64, high_seconds: f64) -> cost::Estimate {
    cost::Estimate {
        range: Some(EtaRange { low_seconds, high_seconds }),
        basis: "a drill in the last 30 days".into(),
    }
}

fn drill(hours: i64, failed: u64) -> DrillResult {
    DrillResult {
        job: "j".into(),
        at: now() - TimeDelta::hours(hours),
        verified: 200 - failed,
        failed,
        skipped: 0,
        bytes: 1 << 20,
        seconds: 2.0,
        reason: (failed > 0).then(|| "rose/a.jpg: its bytes do not match".into()),
    }
}

fn amount(files: u64) -> Amount {
    Amount { files, bytes: files * 30_000 }
}

fn copy(name: &str, held: u64, first: u64, hours: i64) -> CopyFacts {
    CopyFacts {
        name: name.into(),
        placement: Placement::Onsite,
        held: amount(held),
        first: amount(first),
        age: CopyAge { protected_at: Some(now() - TimeDelta::hours(hours)), ..CopyAge::default() },
        faults: 0,
        whole: range(3_600.0, 7_200.0),
        part: range(3_600.0, 7_200.0),
        last_drill: Some(drill(24, 0)),
    }
}

fn volume(copies: Vec<CopyFacts>, in_no_copy: u64) -> VolumeFacts {
    VolumeFacts { volume: "uploads".into(), all: amount(1_000), in_no_copy: amount(in_no_copy), copies }
}

fn objectives() -> Objectives {
    let span = |text: &str| text.parse().ok();
    Objectives { rpo: span("24h"), rto: span("4h"), drill_every: span("7d") }
}

fn judged(facts: &VolumeFacts) -> Readiness {
    judge(objectives(), facts, now())
}

#[test]
fn a_ready_volume_has_nothing_to_warn_of() {
    let ready = judged(&volume(vec![copy("local", 1_000, 1_000, 3), copy("offsite", 1_000, 0, 20)], 0));
    assert_eq!((ready.verdict, ready.warnings.len()), (Verdict::Met, 0), "{ready:#?}");
    assert_eq!(ready.rpo.reason, "the newest whole copy, local, is 3 h old");
    assert_eq!(ready.rto.reason, "everything comes back in 1–2 h from local");
    assert_eq!(ready.copies[0].drill.reason, "200 files verified 1 d ago");
}

#[test]
fn what_is_missed_says_why() {
    let old = judged(&volume(vec![copy("local", 1_000, 1_000, 30)], 0));
    assert_eq!(old.rpo.verdict, Verdict::Missed);
    assert!(
        old.warnings[0].starts_with("RPO: the objective of 1 d is missed: the newest whole copy"),
        "{old:#?}"
    );
    let slow = CopyFacts { part: range(20_000.0, 30_000.0), ..copy("local", 1_000, 1_000, 1) };
    assert_eq!(judged(&volume(vec![slow], 0)).rto.verdict, Verdict::Missed);
    let lost = judged(&volume(vec![copy("local", 990, 990, 1)], 10));
    assert_eq!(
        (lost.rto.verdict, lost.rto.reason.as_str()),
        (Verdict::Missed, "10 files are in no copy and could not be restored")
    );
    assert!(lost.warnings.iter().any(|text| text == "local: 10 of 1,000 files are not in it."), "{lost:#?}");
    let failed = CopyFacts { last_drill: Some(drill(1, 2)), ..copy("local", 1_000, 1_000, 1) };
    let failed = judged(&volume(vec![failed], 0));
    assert!(
        failed.drill.verdict == Verdict::Missed && failed.drill.reason.contains("rose/a.jpg"),
        "{failed:#?}"
    );
    let undrilled = CopyFacts { last_drill: None, ..copy("local", 1_000, 1_000, 1) };
    assert_eq!(judged(&volume(vec![undrilled], 0)).drill.reason, "local: it was never drilled");
    assert_eq!(judged(&volume(vec![], 1_000)).verdict, Verdict::Missed);
}

#[test]
fn the_unknown_is_not_met() {
    let blind = cost::Estimate { range: None, basis: "not measured yet".into() };
    let blind = CopyFacts { part: blind.clone(), whole: blind, ..copy("local", 1_000, 1_000, 1) };
    let blind = judged(&volume(vec![blind], 0));
    assert_eq!((blind.rto.verdict, blind.verdict), (Verdict::Unknown, Verdict::Unknown));
    assert!(blind.rto.reason.contains("not measured yet: run a drill"), "{blind:#?}");
    let held = cost::Estimate { range: None, basis: "it is paused by its limit".into() };
    let held = CopyFacts { part: held.clone(), whole: held, ..copy("local", 1_000, 1_000, 1) };
    assert_eq!(judged(&volume(vec![held], 0)).rto.reason, "local: it is paused by its limit");
    let across = CopyFacts { part: range(10_000.0, 20_000.0), ..copy("local", 1_000, 1_000, 1) };
    assert_eq!(judged(&volume(vec![across], 0)).rto.verdict, Verdict::Unknown, "4 h lies within the range");
}

#[test]
fn partial_copies_together_are_as_old_as_the_oldest() {
    let ready = judged(&volume(vec![copy("local", 600, 600, 3), copy("offsite", 500, 400, 20)], 0));
    assert_eq!(ready.rpo.range, Some(exactly(72_000.0)));
    assert_eq!(ready.rto.reason, "everything comes back in 1–2 h from local and offsite");
    assert_eq!(ready.copies[0].rto.verdict, Verdict::Missed, "from it alone not everything comes back");
}

#[test]
fn without_objectives_nothing_is_missed_but_a_failed_drill_is_told() {
    let failed = CopyFacts { last_drill: Some(drill(1, 2)), faults: 2, ..copy("local", 1_000, 1_000, 900) };
    let ready = judge(Objectives::default(), &volume(vec![failed], 0), now());
    assert_eq!(ready.verdict, Verdict::Unset);
    assert_eq!(ready.warnings.len(), 2, "{ready:#?}");
}

#[test]
fn another_tools_copy_is_as_old_as_it_says_and_of_unknown_age_where_it_says_nothing() {
    let ago = |hours| Some(now() - TimeDelta::hours(hours));
    let adopted = CopyAge { adopted_at: ago(1), ..CopyAge::default() };
    let of = |age| judged(&volume(vec![CopyFacts { age, ..copy("vault", 1_000, 1_000, 0) }], 0));
    let dated = of(CopyAge { taken_at: ago(30), ..adopted });
    assert_eq!(dated.rpo.verdict, Verdict::Missed);
    assert_eq!(dated.copies[0].rpo.reason, "what it holds was taken 1 d 6 h ago");
    let undated = of(adopted);
    assert_eq!((undated.rpo.verdict, undated.copies[0].rpo.verdict), (Verdict::Unknown, Verdict::Unknown));
    assert_eq!(undated.rpo.reason, "vault: it was adopted 1 h ago; how old its files were then is not known");
    assert_eq!(of(CopyAge::default()).rpo.reason, "no protect has ever been completed");
}

#[test]
fn what_is_not_in_a_copy_is_told_beside_its_age() {
    let age = CopyAge { protected_at: Some(now()), except: 1, ..CopyAge::default() };
    let except = judged(&volume(vec![CopyFacts { age, ..copy("local", 1_000, 1_000, 0) }], 0));
    assert_eq!(except.rpo.verdict, Verdict::Met);
    assert_eq!(except.warnings, ["local: the last protect could not bring 1 file to it."]);
    let partial = judged(&volume(vec![copy("local", 999, 999, 1), copy("offsite", 1_000, 1, 1)], 0));
    assert_eq!(partial.copies[0].rpo.verdict, Verdict::Missed, "{partial:#?}");
    assert!(partial.copies[0].rpo.reason.ends_with("is in it; 1 file is not in it"), "{partial:#?}");
    assert!(partial.warnings.contains(&"local: 1 of 1,000 files is not in it.".to_owned()), "{partial:#?}");
    let empty = VolumeFacts { all: amount(0), ..volume(vec![copy("local", 0, 0, 1)], 0) };
    assert_eq!(judged(&empty).copies[0].rto.verdict, Verdict::Unknown, "nothing comes back from nothing");
}

proptest! {
    /// Older, slower or less covered is never judged better.
    #[test]
    fn worse_facts_are_not_judged_better(hours in 0i64..100, more in 0i64..100, low in 0.0f64..30_000.0, wide in 1.0f64..3.0, slower in 1.0f64..3.0) {
        let facts = |hours, factor: f64| {
            let part = range(low * factor, low * wide * factor);
            volume(vec![CopyFacts { part, ..copy("local", 1_000, 1_000, hours) }], 0)
        };
        let (good, bad) = (judged(&facts(hours, 1.0)), judged(&facts(hours + more, slower)));
        prop_assert!(bad.rpo.verdict >= good.rpo.verdict);
        prop_assert!(bad.rto.verdict >= good.rto.verdict);
        prop_assert_eq!(good.verdict == Verdict::Met, good.warnings.is_empty());
    }
}
