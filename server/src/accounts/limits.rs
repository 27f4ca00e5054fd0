//! How often a sign-in may fail: per account and per address, in this process's memory.

use std::collections::HashMap;
use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};

const ALLOWED: usize = 10;
const WINDOW: TimeDelta = TimeDelta::minutes(5);
/// Beyond this the oldest entries are forgotten: memory stays bounded whoever knocks.
const REMEMBERED: usize = 10_000;

/// The times of failed attempts, by what they are counted for.
#[derive(Default)]
pub struct Attempts(Mutex<HashMap<String, Vec<DateTime<Utc>>>>);

impl Attempts {
    /// How long `who` has to wait; nothing when it need not.
    pub fn wait(&self, who: &str, now: DateTime<Utc>) -> Option<TimeDelta> {
        let all = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let failed = all.get(who)?;
        let recent: Vec<_> = failed.iter().filter(|at| now - **at < WINDOW).collect();
        let oldest_that_counts = recent.len().checked_sub(ALLOWED).and_then(|index| recent.get(index))?;
        Some(**oldest_that_counts + WINDOW - now)
    }

    pub fn failed(&self, who: &str, now: DateTime<Utc>) {
        let mut all = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if all.len() >= REMEMBERED && !all.contains_key(who) {
            all.retain(|_, failed| failed.last().is_some_and(|at| now - *at < WINDOW));
            if all.len() >= REMEMBERED {
                all.clear();
            }
        }
        let failed = all.entry(who.to_owned()).or_default();
        failed.retain(|at| now - *at < WINDOW);
        failed.push(now);
    }

    pub fn succeeded(&self, who: &str) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(who);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_waits_until_the_first_is_old() {
        let attempts = Attempts::default();
        let start = DateTime::UNIX_EPOCH;
        for i in 0..10 {
            let now = start + TimeDelta::seconds(i);
            assert_eq!(attempts.wait("ann", now), None);
            attempts.failed("ann", now);
        }
        let now = start + TimeDelta::seconds(10);
        assert_eq!(attempts.wait("ann", now), Some(TimeDelta::seconds(290)));
        assert_eq!(attempts.wait("bob", now), None);
        assert_eq!(attempts.wait("ann", start + WINDOW), None);
        attempts.succeeded("ann");
        assert_eq!(attempts.wait("ann", now), None);
    }
}
