//! Counters that are for life: what has grown is told for a while, not only by the reading that saw it.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

/// Changes of the counters that are remembered.
const MOST_CHANGES: usize = 1_000;

/// The counters of several subjects as they were before.
#[derive(Debug)]
pub(super) struct History<T> {
    /// What was added within this time grew lately.
    lately: TimeDelta,
    courses: BTreeMap<String, Course<T>>,
}

#[derive(Debug)]
struct Course<T> {
    /// The oldest that counts.
    base: T,
    changes: VecDeque<(DateTime<Utc>, T)>,
}

impl<T: Clone + PartialEq> History<T> {
    pub fn of(lately: TimeDelta) -> Self {
        Self { lately, courses: BTreeMap::new() }
    }

    /// Takes the counters in, and gives what they were a while ago; `None` the first time.
    pub fn before(&mut self, id: &str, now_are: &T, now: DateTime<Utc>) -> Option<T> {
        let Some(course) = self.courses.get_mut(id) else {
            let course = Course { base: now_are.clone(), changes: VecDeque::new() };
            self.courses.insert(id.to_owned(), course);
            return None;
        };
        let last = course.changes.back().map_or(&course.base, |(_, counters)| counters);
        if last != now_are {
            course.changes.push_back((now, now_are.clone()));
        }
        while course.changes.front().is_some_and(|(at, _)| now - *at >= self.lately)
            || course.changes.len() > MOST_CHANGES
        {
            let Some((_, old)) = course.changes.pop_front() else { break };
            course.base = old;
        }
        Some(course.base.clone())
    }

    pub fn forget(&mut self, is_there: impl Fn(&str) -> bool) {
        self.courses.retain(|id, _| is_there(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_counts_as_grown_for_a_while() {
        let mut history = History::of(TimeDelta::hours(1));
        let mut before = |minutes: i64, count: u64| {
            history.before("a", &count, DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes))
        };
        assert_eq!(before(0, 5), None, "since when is not known");
        assert_eq!(before(1, 5), Some(5));
        assert_eq!(before(2, 7), Some(5));
        assert_eq!(before(50, 8), Some(5));
        assert_eq!(before(62, 8), Some(7), "the first two are an hour old");
        assert_eq!(before(110, 8), Some(8));
    }
}
