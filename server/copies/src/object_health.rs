//! Leaves a store alone for a while when it keeps failing.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(crate) struct Health {
    most: u32,
    rest: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Failures since something last went well.
    failures: u32,
    last: Option<(Instant, String)>,
}

impl Health {
    pub(crate) fn new(most: u32, rest: Duration) -> Self {
        Self { most: most.max(1), rest, state: Mutex::default() }
    }

    /// Whether to ask at all; if not, why. Once its rest is over, the store has one try before it is left alone again.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failures < self.most {
            return Ok(());
        }
        match &state.last {
            Some((when, why)) if when.elapsed() < self.rest => Err(format!(
                "it failed {} times in a row and is left alone for a while: {why}",
                state.failures
            )),
            _ => {
                state.failures = self.most - 1;
                Ok(())
            }
        }
    }

    pub(crate) fn good(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    pub(crate) fn bad(&self, why: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = state.failures.saturating_add(1);
        state.last = Some((Instant::now(), why.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_keeps_failing_rests_and_has_another_try() {
        let health = Health::new(2, Duration::from_secs(3600));
        health.bad("slow");
        health.check().unwrap();
        health.bad("slow");
        assert!(health.check().unwrap_err().contains("2 times in a row"));
        health.good();
        health.check().unwrap();

        let rested = Health::new(2, Duration::ZERO);
        rested.bad("slow");
        rested.bad("slow");
        rested.check().unwrap();
        rested.check().unwrap();
    }
}
