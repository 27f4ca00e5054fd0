//! A job that is stuck: something outside of it holds it up (a full disk, a volume or a database that is away), and it goes on
//! by itself once that has passed.
//!
//! The first try comes soon, further ones at growing distances. A cause is told once, not with every try; and it counts as
//! passed only when something came of a try, so that a job which fails at once each time is not called well in between.

use chrono::{DateTime, TimeDelta, Utc};

use crate::units;

/// From getting stuck to the first try.
pub const FIRST_WAIT: TimeDelta = TimeDelta::seconds(5);
/// Between two later tries, at the most.
pub const LONGEST_WAIT: TimeDelta = TimeDelta::seconds(60);
/// A job that works this long again is not stuck any more, even if no segment of it was finished yet.
pub const SETTLED_AFTER: TimeDelta = TimeDelta::seconds(30);

/// What holds a job up; kept while it is tried again, until something comes of that.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stuck {
    pub reason: String,
    /// Since when it is stuck, whatever the reasons were meanwhile.
    pub since: DateTime<Utc>,
    /// How often it was tried again in vain.
    pub tries: u32,
}

impl Stuck {
    /// Stuck now, after `before` if a try was in vain. With it, whether that is news: another cause than the last one.
    pub fn now(before: Option<Self>, reason: &str, now: DateTime<Utc>) -> (Self, bool) {
        match before {
            None => (Self { reason: reason.to_owned(), since: now, tries: 0 }, true),
            Some(before) => {
                let is_news = !same_cause(&before.reason, reason);
                let stuck =
                    Self { reason: reason.to_owned(), tries: before.tries.saturating_add(1), ..before };
                (stuck, is_news)
            }
        }
    }

    /// When it is tried next.
    pub fn next_try(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now + wait(self.tries)
    }
}

/// The wait before the next try, after `tries` that were in vain: doubled each time, [`LONGEST_WAIT`] at the most.
pub fn wait(tries: u32) -> TimeDelta {
    // Six doublings are far beyond the longest wait.
    let doubled = FIRST_WAIT * (1 << tries.min(6));
    doubled.min(LONGEST_WAIT)
}

/// Whether a try is due. One that lies further ahead than any can was set by a clock that has gone backwards since.
pub fn is_due(tries_again_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    tries_again_at <= now || tries_again_at - now > LONGEST_WAIT
}

/// Reasons have figures in them (bytes free) which differ with every try, and so do their units.
fn same_cause(one: &str, other: &str) -> bool {
    let is_figure = |word: &str| word.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ',');
    let words = |text: &str| {
        let kept = text.split_whitespace().filter(|word| !is_figure(word) && !units::BYTES.contains(word));
        kept.map(str::to_owned).collect::<Vec<_>>()
    };
    words(one) == words(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tries_come_at_growing_distances() {
        let seconds: Vec<i64> = (0..7).map(|tries| wait(tries).num_seconds()).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 60, 60, 60]);
    }

    #[test]
    fn a_cause_is_news_once_whatever_its_figures() {
        let at = DateTime::UNIX_EPOCH;
        let (stuck, news) = Stuck::now(None, "/srv is full: 3 B free of 10.2 MB", at);
        assert!(news && stuck.tries == 0);
        let (stuck, news) = Stuck::now(Some(stuck), "/srv is full: 1.0 kB free of 10.2 MB", at + FIRST_WAIT);
        assert!(!news && stuck.tries == 1 && stuck.since == at);
        let (stuck, news) = Stuck::now(Some(stuck), "/srv is mounted read-only", at);
        assert!(news && stuck.tries == 2);
    }

    proptest! {
        /// However the clock moves, a job never waits longer than the longest wait from now.
        #[test]
        fn a_try_is_never_further_away_than_the_longest_wait(tries in any::<u32>(), jump in -100_000i64..100_000) {
            let at = DateTime::UNIX_EPOCH;
            let next = Stuck { reason: String::new(), since: at, tries }.next_try(at);
            let later = at + TimeDelta::seconds(jump);
            prop_assert!(is_due(next, later) || is_due(next, later + LONGEST_WAIT));
            prop_assert!(!is_due(next, next - TimeDelta::seconds(1)), "not before its time");
        }
    }
}
