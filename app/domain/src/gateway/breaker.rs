//! When a source is left alone: after some faults in a row nobody asks it for a while, then one request tries it, and what comes
//! of that decides. A source that hangs is left alone sooner than one that answers with errors.
//!
//! ```text
//!            faults in a row                    the wait is over
//!  closed ───────────────────▶ open ──────────────────────────────▶ half open
//!    ▲                          ▲                                     │  │
//!    │                          └──── fault: twice as long a wait ────┘  │
//!    └────────────────────────────────── an answer ──────────────────────┘
//! ```

/// Milliseconds of a clock that never goes back.
pub type Millis = u64;

/// Faults in a row that open it, counted as [`Fault::weight`] says.
const MOST: u32 = 6;
const FIRST_WAIT: Millis = 1_000;
const LONGEST_WAIT: Millis = 30_000;
/// A trial whose end nobody heard of is over by then.
const LONGEST_TRIAL: Millis = 30_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    Closed { faults: u32 },
    Open { until: Millis, wait: Millis },
    HalfOpen { since: Millis, wait: Millis },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It answered with an error.
    Error,
    /// It did not answer in time.
    Silence,
}

impl Fault {
    fn weight(self) -> u32 {
        match self {
            Self::Error => 1,
            Self::Silence => MOST / 2,
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { faults: 0 }
    }
}

impl Breaker {
    /// Whether it may be asked now; with it, the state after that.
    pub fn ask(self, now: Millis) -> (Self, bool) {
        match self {
            Self::Closed { .. } => (self, true),
            Self::Open { until, wait } if until <= now => (Self::HalfOpen { since: now, wait }, true),
            Self::HalfOpen { since, wait } if since + LONGEST_TRIAL <= now => {
                (Self::HalfOpen { since: now, wait }, true)
            }
            Self::Open { .. } | Self::HalfOpen { .. } => (self, false),
        }
    }

    /// It answered, if only that it does not have the file.
    pub fn answered(self) -> Self {
        match self {
            Self::Closed { .. } | Self::HalfOpen { .. } => Self::default(),
            // Of a request from before: it may be the last that got through.
            Self::Open { .. } => self,
        }
    }

    pub fn failed(self, fault: Fault, now: Millis) -> Self {
        match self {
            Self::Closed { faults } if faults + fault.weight() < MOST => {
                Self::Closed { faults: faults + fault.weight() }
            }
            Self::Closed { .. } => Self::Open { until: now + FIRST_WAIT, wait: FIRST_WAIT },
            Self::HalfOpen { wait, .. } => {
                let wait = (wait * 2).min(LONGEST_WAIT);
                Self::Open { until: now + wait, wait }
            }
            Self::Open { .. } => self,
        }
    }

    pub fn is_closed(self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_silences_or_six_errors_in_a_row_open_it_and_one_answer_closes_it() {
        let silent = Breaker::default().failed(Fault::Silence, 0);
        assert!(silent.is_closed() && !silent.failed(Fault::Silence, 0).is_closed());
        assert!(silent.answered().failed(Fault::Silence, 0).is_closed(), "not in a row");
        let failed = (0..5).fold(Breaker::default(), |state, _| state.failed(Fault::Error, 0));
        assert!(failed.is_closed());
        let open = failed.failed(Fault::Error, 100);
        assert_eq!(open.ask(1_099), (open, false));
        let (trial, may) = open.ask(1_100);
        assert!(may && !trial.ask(1_101).1, "one at a time");
        assert_eq!(trial.answered(), Breaker::default());
        assert_eq!(trial.failed(Fault::Error, 1_200), Breaker::Open { until: 3_200, wait: 2_000 });
        assert!(trial.ask(40_000).1, "a trial that nobody heard of again is no reason to wait for ever");
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Ask,
        Answer,
        Fail(bool),
        Wait(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            Just(Step::Ask),
            Just(Step::Answer),
            any::<bool>().prop_map(Step::Fail),
            (1_u64..20_000).prop_map(Step::Wait)
        ];
        proptest::collection::vec(step, 0..80)
    }

    proptest! {
        #[test]
        fn it_never_stays_shut_and_lets_one_at_a_time_through_while_it_is_not_closed(steps in steps()) {
            let (mut state, mut now) = (Breaker::default(), 0);
            let mut last_trial: Option<u64> = None;
            for step in steps {
                match step {
                    Step::Ask => {
                        let was_closed = state.is_closed();
                        let (next, may) = state.ask(now);
                        if may && !was_closed {
                            prop_assert!(last_trial.is_none_or(|at| now >= at + FIRST_WAIT), "{state:?} at {now}");
                            last_trial = Some(now);
                        }
                        prop_assert!(may || !was_closed);
                        state = next;
                    }
                    Step::Answer => state = state.answered(),
                    Step::Fail(hangs) => {
                        state = state.failed(if hangs { Fault::Silence } else { Fault::Error }, now);
                    }
                    Step::Wait(more) => now += more,
                }
                // Whatever came before, the longest wait lets somebody through, and an answer then closes it.
                let (trial, may) = state.ask(now + LONGEST_WAIT.max(LONGEST_TRIAL));
                prop_assert!(may && trial.answered().is_closed());
            }
        }
    }
}
