//! How the level of a signal holds over time.
//!
//! ```text
//!                     better reading                 better for a while
//!   steady ─────────────────────────────▶ recovering ─────────────────▶ steady, at the better level
//!    ▲  ▲ ◀── as bad again, or worse ────────┘  │
//!    │  └─ worse: at once, from everywhere      │ too many changes of what is read
//!    │                                          ▼
//!    └────────── quiet for long enough ────── flapping, held at its worst
//! ```
//!
//! Invariants: a level is never better than what was read last; only what was known to be better before, or a new occurrence, is
//! *news* ([`Standing::worse_at`]): a probe that could not read for a while, and then reads the same fault, tells nothing new.

use chrono::{DateTime, TimeDelta, Utc};

use super::Level;

/// How long a better reading has to hold, and what counts as flapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damping {
    pub better_after: TimeDelta,
    /// So many changes of what is read...
    pub changes: usize,
    /// ...within this time; and it is over when none has come for as long.
    pub within: TimeDelta,
}

impl Damping {
    /// Of probes that read again and again.
    pub const PROBES: Self =
        Self { better_after: TimeDelta::seconds(60), changes: 5, within: TimeDelta::minutes(10) };
    /// Of what is told once, and damped where it comes from.
    pub const NONE: Self =
        Self { better_after: TimeDelta::zero(), changes: usize::MAX, within: TimeDelta::zero() };
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Standing {
    /// As it counts.
    pub level: Level,
    pub since: DateTime<Utc>,
    /// When it last got worse than it was known to be, or a new occurrence came; absent while it never was bad.
    pub worse_at: Option<DateTime<Utc>>,
    /// What tells one fault from the next, as the last reading that had one gave it.
    pub occurrence: Option<String>,
    pub course: Course,
    /// What was read last.
    read: Level,
    /// What was read last and was not unknown.
    known: Level,
    /// When what is read changed, newest last, no older than [`Damping::within`].
    turns: Vec<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    Steady,
    /// Better readings have come since then; `to` is the worst of them.
    Recovering {
        since: DateTime<Utc>,
        to: Level,
    },
    Flapping,
}

impl Standing {
    /// After the first reading.
    pub fn new(level: Level, occurrence: Option<&str>, at: DateTime<Utc>) -> Self {
        let known = if level == Level::Unknown { Level::Ok } else { level };
        Self {
            level,
            since: at,
            worse_at: (known > Level::Ok).then_some(at),
            occurrence: occurrence.map(str::to_owned),
            course: Course::Steady,
            read: level,
            known,
            turns: Vec::new(),
        }
    }

    /// After one more reading.
    #[must_use]
    pub fn read(
        mut self,
        level: Level,
        occurrence: Option<&str>,
        at: DateTime<Utc>,
        damping: &Damping,
    ) -> Self {
        if self.is_news(level, occurrence) {
            self.worse_at = Some(at);
        }
        if let Some(occurrence) = occurrence {
            self.occurrence = Some(occurrence.to_owned());
        }
        self.turn(level, at, damping);
        if level != Level::Unknown {
            self.known = level;
        }
        let is_wild = self.turns.len() >= damping.changes;
        match self.course {
            _ if level > self.level => {
                let course = if is_wild { Course::Flapping } else { Course::Steady };
                self.becomes(level, at, course)
            }
            Course::Flapping if !self.turns.is_empty() => self,
            Course::Flapping => self.becomes(level, at, Course::Steady),
            _ if is_wild => Self { course: Course::Flapping, ..self },
            _ if level == self.level => Self { course: Course::Steady, ..self },
            Course::Recovering { since, to } => self.recovers(since, to.max(level), at, damping),
            Course::Steady => self.recovers(at, level, at, damping),
        }
    }

    pub fn is_flapping(&self) -> bool {
        self.course == Course::Flapping
    }

    /// What was read last, without damping.
    pub fn last_read(&self) -> Level {
        self.read
    }

    fn is_news(&self, level: Level, occurrence: Option<&str>) -> bool {
        let is_bad = level > Level::Unknown;
        is_bad && (level > self.known || occurrence.is_some() && occurrence != self.occurrence.as_deref())
    }

    fn turn(&mut self, level: Level, at: DateTime<Utc>, damping: &Damping) {
        if level != self.read {
            self.turns.push(at);
        }
        self.read = level;
        self.turns.retain(|turn| at - *turn < damping.within);
        let too_many = self.turns.len().saturating_sub(damping.changes);
        self.turns.drain(..too_many);
    }

    /// Nothing worse than `to` has been read since `since`.
    fn recovers(self, since: DateTime<Utc>, to: Level, at: DateTime<Utc>, damping: &Damping) -> Self {
        if at - since < damping.better_after {
            return Self { course: Course::Recovering { since, to }, ..self };
        }
        let read = self.read;
        let course = if read < to { Course::Recovering { since: at, to: read } } else { Course::Steady };
        self.becomes(to, at, course)
    }

    fn becomes(self, level: Level, at: DateTime<Utc>, course: Course) -> Self {
        let since = if level == self.level { self.since } else { at };
        Self { level, since, course, ..self }
    }
}

/// An operator knows of a signal: it calls nobody until then, unless it gets worse than it was.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Muted {
    pub reason: String,
    pub by: String,
    pub until: DateTime<Utc>,
    /// How it was when it was muted.
    pub level: Level,
    pub occurrence: Option<String>,
}

impl Muted {
    /// Why it holds no more, in words; nothing while it holds.
    pub fn is_over(&self, standing: &Standing, now: DateTime<Utc>) -> Option<&'static str> {
        if standing.level > self.level {
            Some("it got worse")
        } else if standing.level > Level::Ok && standing.occurrence != self.occurrence {
            Some("it happened again")
        } else {
            (now >= self.until).then_some("its time is over")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn at(seconds: i64) -> DateTime<Utc> {
        START + TimeDelta::seconds(seconds)
    }

    /// The levels after each reading of (second, level).
    fn course(readings: &[(i64, Level)]) -> (Standing, Vec<Level>) {
        let (&(first, level), rest) = readings.split_first().unwrap();
        let mut standing = Standing::new(level, None, at(first));
        let mut levels = vec![standing.level];
        for &(second, level) in rest {
            standing = standing.read(level, None, at(second), &Damping::PROBES);
            levels.push(standing.level);
        }
        (standing, levels)
    }

    #[test]
    fn worse_counts_at_once_and_better_after_a_minute() {
        use Level::{Critical, Ok, Warning};
        let (standing, levels) = course(&[(0, Ok), (10, Critical), (20, Ok), (79, Ok), (80, Ok)]);
        assert_eq!(levels, [Ok, Critical, Critical, Critical, Ok]);
        assert_eq!((standing.since, standing.worse_at), (at(80), Some(at(10))));
        let (_, levels) = course(&[(0, Critical), (30, Ok), (60, Warning), (90, Ok), (149, Ok), (150, Ok)]);
        assert_eq!(levels, [Critical, Critical, Critical, Warning, Warning, Ok], "step by step");
    }

    #[test]
    fn what_goes_back_and_forth_is_held_at_its_worst_until_it_is_quiet() {
        use Level::{Ok, Warning};
        let flaps: Vec<_> = (0..6).map(|n| (n * 100, if n % 2 == 0 { Ok } else { Warning })).collect();
        let (standing, _) = course(&flaps);
        assert!(standing.is_flapping() && standing.level == Warning);
        let quiet = standing.read(Ok, None, at(510), &Damping::PROBES);
        let still = quiet.clone().read(Ok, None, at(1109), &Damping::PROBES);
        assert!(still.is_flapping() && still.level == Warning, "{still:?}");
        let over = still.read(Ok, None, at(1110), &Damping::PROBES);
        assert!(!over.is_flapping() && over.level == Ok);
    }

    #[test]
    fn a_fault_that_could_not_be_read_for_a_while_is_old_news() {
        use Level::{Critical, Unknown};
        let read = |standing: Standing, level, occurrence, second| {
            standing.read(level, occurrence, at(second), &Damping::PROBES)
        };
        let standing = Standing::new(Critical, Some("1"), at(0));
        let away = [10, 50, 90].into_iter().fold(standing, |s, second| read(s, Unknown, None, second));
        assert_eq!(away.level, Unknown);
        let same = read(away, Critical, Some("1"), 100);
        assert_eq!((same.level, same.since, same.worse_at), (Critical, at(100), Some(at(0))));
        let again = read(same, Critical, Some("2"), 110);
        assert_eq!((again.since, again.worse_at), (at(100), Some(at(110))));
    }

    #[test]
    fn a_mute_ends_in_time_or_when_it_gets_worse() {
        let standing = Standing::new(Level::Warning, Some("1"), at(0));
        let muted = Muted {
            reason: "known".into(),
            by: "ann".into(),
            until: at(100),
            level: Level::Warning,
            occurrence: Some("1".into()),
        };
        let over = |level, occurrence, second| {
            let next = standing.clone().read(level, Some(occurrence), at(second), &Damping::PROBES);
            muted.is_over(&next, at(second))
        };
        assert_eq!(over(Level::Warning, "1", 99), None);
        assert_eq!(over(Level::Warning, "1", 100), Some("its time is over"));
        assert_eq!(over(Level::Critical, "1", 1), Some("it got worse"));
        assert_eq!(over(Level::Warning, "2", 1), Some("it happened again"));
    }

    proptest! {
        /// Whatever is read whenever: never better than the last reading; better only after a minute of nothing worse; never better
        /// while it flaps; and news only when the fault is worse than it was known to be.
        #[test]
        fn it_holds(readings in proptest::collection::vec((0usize..4, 1i64..90), 2..120)) {
            let mut now = 0;
            let mut seen: Vec<(i64, Level)> = Vec::new();
            let mut known = Level::Ok;
            let mut standing: Option<Standing> = None;
            for (level, step) in readings {
                now += step;
                let level = Level::ALL[level];
                let before = standing.take();
                let next = match before.clone() {
                    None => Standing::new(level, None, at(now)),
                    Some(before) => before.read(level, None, at(now), &Damping::PROBES),
                };
                seen.push((now, level));
                prop_assert!(next.level >= level);
                prop_assert!(next.since <= at(now) && next.turns.len() <= Damping::PROBES.changes);
                if let Some(before) = before {
                    prop_assert_eq!(next.since != before.since, next.level != before.level);
                    prop_assert_eq!(next.worse_at != before.worse_at, level > Level::Unknown && level > known);
                    if next.level < before.level {
                        let lately = seen.iter().filter(|(second, _)| *second > now - 60);
                        prop_assert!(lately.clone().all(|(_, level)| *level <= next.level));
                        prop_assert!(!next.is_flapping());
                        if before.is_flapping() {
                            let quiet = seen.iter().filter(|(second, _)| *second > now - 600);
                            prop_assert!(quiet.clone().all(|(_, other)| *other == level));
                        }
                    }
                }
                if level != Level::Unknown {
                    known = level;
                }
                let stored = serde_json::to_string(&next).unwrap();
                standing = Some(serde_json::from_str(&stored).unwrap());
                prop_assert_eq!(standing.as_ref(), Some(&next));
            }
        }
    }
}
