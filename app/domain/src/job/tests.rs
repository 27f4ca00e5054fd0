use super::*;
use proptest::prelude::*;

fn step(state: JobState, call: u8, flag: bool) -> Result<JobState, Refused> {
    let now = DateTime::UNIX_EPOCH;
    match call {
        0 => state.plan_ready(flag, now),
        1 => state.approve(now),
        2 => state.pause("ann".into(), "lunch".into(), now),
        3 => state.resume(now),
        4 => state.cancel("ann".into(), now),
        5 => state.finish(now),
        6 => state.fail("gone".into(), now),
        7 => state.retry(flag, now),
        8 => state.stick("salvor".into(), "full".into(), now, now),
        _ => state.try_again(now),
    }
}

proptest! {
    #[test]
    fn nothing_runs_unapproved_and_the_ended_stay_ended(steps in proptest::collection::vec((0u8..10, any::<bool>()), 1..60)) {
        let mut state = JobState::Planning { since: DateTime::UNIX_EPOCH };
        let mut approved = false;
        for (call, flag) in steps {
            let before = state.clone();
            let Ok(next) = step(state.clone(), call, flag) else { continue };
            approved |= call == 1 || (call == 0 && flag) || (call == 7 && flag);
            if matches!(next, JobState::Running { .. } | JobState::Finished { .. }) {
                prop_assert!(approved, "{before:?} → {next:?}");
            }
            if before.has_ended() {
                prop_assert_eq!(call, 7, "only retry leaves an end");
            }
            if call == 7 && !flag { approved = false; }
            if call == 9 {
                let by_a_person = matches!(before, JobState::Paused { tries_again_at: None, .. });
                prop_assert!(!by_a_person, "a person's pause is not undone: {before:?}");
            }
            state = next;
        }
    }

    /// A pause and a resume come back to the same phase.
    #[test]
    fn resume_undoes_pause(running in any::<bool>()) {
        let since = DateTime::UNIX_EPOCH;
        let state = if running { JobState::Running { since } } else { JobState::Planning { since } };
        let back = state.clone().pause("a".into(), "b".into(), since).and_then(|paused| paused.resume(since));
        prop_assert_eq!(back, Ok(state));
    }
}

#[test]
fn a_request_is_read_from_what_others_send() {
    let request: JobRequest = serde_json::from_str(r#"{"kind":"restore","paths":["anna/**"]}"#).unwrap();
    assert_eq!(request.kind(), JobKind::Restore);
    assert_eq!(
        serde_json::to_value(JobState::Planned { since: DateTime::UNIX_EPOCH }).unwrap()["state"],
        "planned"
    );
}
