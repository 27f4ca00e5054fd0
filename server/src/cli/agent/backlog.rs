//! Reports that the server does not have yet: bounded, and of a time in which nothing changed only the newest.

use std::collections::VecDeque;

use salvor_domain::health::{Level, Probe, Report};

/// An hour of changes, one every five seconds.
const MOST: usize = 720;

#[derive(Debug, Default)]
pub struct Backlog(VecDeque<Report>);

impl Backlog {
    /// A report that says the same as the one before takes its place; when there are too many the oldest goes, except for the very first:
    /// it says how things were when the server went away.
    pub fn push(&mut self, report: Report) {
        let same = |other: &Report| essence(other) == essence(&report);
        // The last one is replaced only where the one before it says the same too: the first of equal ones tells since when.
        let len = self.0.len();
        if len >= 2 && self.0.iter().skip(len - 2).all(same) {
            self.0.pop_back();
        }
        if self.0.len() >= MOST {
            self.0.remove(1);
        }
        self.0.push_back(report);
    }

    pub fn oldest(&self) -> Option<&Report> {
        self.0.front()
    }

    pub fn drop_oldest(&mut self) {
        self.0.pop_front();
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a change is one of.
fn essence(report: &Report) -> Vec<(Probe, &str, Level, bool, Option<&serde_json::Value>)> {
    let readings = report.readings.iter();
    let essence = readings.map(|one| {
        (one.probe, one.subject.as_str(), one.level, one.stops_writes, one.facts.get("occurrence"))
    });
    essence.collect()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use salvor_domain::health::Reading;

    use super::*;

    fn report(second: i64, level: Level) -> Report {
        Report {
            host: "store1".into(),
            version: "1".into(),
            taken_at: DateTime::UNIX_EPOCH + TimeDelta::seconds(second),
            nodes: vec![],
            readings: vec![Reading::new(Probe::Space, "fs:/", level, format!("at {second}"))],
        }
    }

    fn kept(levels: impl IntoIterator<Item = Level>) -> Vec<i64> {
        let mut backlog = Backlog::default();
        for (second, level) in (0..).zip(levels) {
            backlog.push(report(second, level));
        }
        backlog.0.iter().map(|report| report.taken_at.timestamp()).collect()
    }

    #[test]
    fn changes_are_kept_and_of_what_stays_the_same_its_ends() {
        use Level::{Critical, Ok};
        assert_eq!(kept([Ok, Ok, Ok, Ok]), [0, 3]);
        assert_eq!(kept([Ok, Ok, Ok, Critical, Critical, Critical, Ok]), [0, 2, 3, 5, 6]);
        assert_eq!(kept([Ok, Critical, Ok]), [0, 1, 2]);
    }

    #[test]
    fn it_is_bounded_and_the_newest_stays() {
        let both = [Level::Ok, Level::Warning].into_iter().cycle().take(MOST + 10);
        let kept = kept(both);
        assert_eq!((kept.len(), kept[0], kept[1], kept[MOST - 1]), (MOST, 0, 11, MOST as i64 + 9));
    }
}
