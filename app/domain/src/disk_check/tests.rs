use super::*;
use proptest::prelude::*;

fn after(tool: DiskTool, code: i32, round: u32, tally: Tally) -> Next {
    next(tool, Exit::Code(code), round, &tally)
}

fn verdict(next: Next) -> Option<DiskVerdict> {
    match next {
        Next::Ended(verdict, _) => Some(verdict),
        Next::Again(_) | Next::Failed(_) => None,
    }
}

#[test]
fn every_bit_of_e2fsck_is_explained() {
    let of = |code| after(DiskTool::E2fsck, code, 1, Tally::default());
    assert_eq!(verdict(of(0)), Some(DiskVerdict::Clean));
    for code in [1, 2, 3] {
        assert!(matches!(of(code), Next::Again(words) if words.contains("run again")));
    }
    assert_eq!(verdict(of(4)), Some(DiskVerdict::Damaged));
    assert_eq!(verdict(of(5)), Some(DiskVerdict::Damaged));
    assert_eq!(verdict(of(9)), Some(DiskVerdict::Unfinished));
    assert_eq!(verdict(of(33)), Some(DiskVerdict::Unfinished));
    for code in [8, 16, 126, 127, 128] {
        assert!(matches!(of(code), Next::Failed(words) if words.contains(&code.to_string())), "{code}");
    }
}

#[test]
fn repaired_takes_a_further_run_that_finds_nothing() {
    let repaired = Tally { changed: true, cleared_entries: 16, reconnected_inodes: 25, ..Tally::default() };
    let Next::Ended(DiskVerdict::Repaired, words) = after(DiskTool::E2fsck, 0, 2, repaired) else { panic!() };
    assert!(words.contains("16 names") && words.contains("25 files") && words.contains("reunite"), "{words}");
    let endless = after(DiskTool::XfsRepair, 4, MOST_ROUNDS, repaired);
    assert_eq!(verdict(endless), Some(DiskVerdict::Damaged));
}

#[test]
fn a_scrub_that_broke_off_is_not_clean() {
    let finished = Tally { finished: true, ..Tally::default() };
    assert_eq!(verdict(after(DiskTool::BtrfsScrub, 0, 1, finished)), Some(DiskVerdict::Clean));
    for tally in [Tally::default(), Tally { aborted: true, ..finished }] {
        assert_eq!(verdict(after(DiskTool::BtrfsScrub, 0, 1, tally)), Some(DiskVerdict::Unfinished));
    }
    let corrected = Tally { corrected: 5_632, ..finished };
    assert_eq!(verdict(after(DiskTool::BtrfsScrub, 0, 1, corrected)), Some(DiskVerdict::Repaired));
    assert_eq!(verdict(after(DiskTool::BtrfsScrub, 3, 1, finished)), Some(DiskVerdict::Damaged));
    let lost = Tally { uncorrectable: 2, ..corrected };
    assert_eq!(verdict(after(DiskTool::ZpoolScrub, 0, 1, lost)), Some(DiskVerdict::Damaged));
}

proptest! {
    /// Whatever a tool tells, the pass is shown as it comes, and the percentage lies between 0 and 100 and never falls.
    #[test]
    fn the_percentage_never_falls(told in proptest::collection::vec((0u32..8, any::<f64>()), 1..60)) {
        let mut course = Course::default();
        for (pass, percent) in told {
            let before = course.percent.unwrap_or(0.0);
            course.reach_in(pass, percent);
            let after = course.percent.unwrap_or(0.0);
            prop_assert!(course.pass == Some(pass) && (before..=100.0).contains(&after), "{before} → {after}");
        }
    }

    /// No exit code at all makes an unfinished scrub clean, nor more than [`MOST_ROUNDS`] runs.
    #[test]
    fn no_check_goes_on_for_ever(code in any::<i32>(), which in 0usize..4) {
        let tool = DiskTool::ALL[which];
        let ended = after(tool, code, MOST_ROUNDS, Tally::default());
        prop_assert!(!matches!(ended, Next::Again(_)), "{ended:?}");
        if tool.is_scrub() {
            prop_assert!(verdict(ended).is_none_or(|verdict| !verdict.is_well()));
        }
    }
}
