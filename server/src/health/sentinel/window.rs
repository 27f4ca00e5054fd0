//! What was sampled lately, and what that means.

use std::collections::{BTreeSet, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use salvor_domain::health::{Level, Probe, Reading};
use salvor_domain::path::FilePath;
use salvor_domain::units;

const LONG: TimeDelta = TimeDelta::minutes(10);
/// A loss that has just begun must not drown in what was well before.
const SHORT: TimeDelta = TimeDelta::minutes(1);
/// So many different files have to be lost before writes are stopped for it.
const FEW: usize = 5;
/// Lost files that are kept, and that are named.
const MOST_KEPT: usize = 1_000;
const NAMED: usize = 5;

#[derive(Debug, Default)]
pub struct Window {
    looks: VecDeque<Look>,
    /// The latest, newest last.
    lost: VecDeque<(DateTime<Utc>, FilePath)>,
}

#[derive(Debug)]
struct Look {
    at: DateTime<Utc>,
    sampled: u64,
    lost: u64,
}

/// The last ten minutes.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub sampled: u64,
    pub lost: u64,
    /// The greater one of the last minute and of all.
    pub share: f64,
    level: Level,
    examples: Vec<String>,
}

impl Window {
    pub fn add(&mut self, at: DateTime<Utc>, sampled: u64, lost: Vec<FilePath>) {
        self.looks.push_back(Look { at, sampled, lost: lost.len() as u64 });
        self.lost.extend(lost.into_iter().map(|path| (at, path)));
        let is_old = |then: DateTime<Utc>| at - then >= LONG;
        while self.looks.front().is_some_and(|look| is_old(look.at)) {
            self.looks.pop_front();
        }
        while self.lost.len() > MOST_KEPT || self.lost.front().is_some_and(|(then, _)| is_old(*then)) {
            self.lost.pop_front();
        }
    }

    /// `bound`: the share of lost files, between 0 and 1, from which on writes are stopped.
    pub fn told(&self, now: DateTime<Utc>, bound: f64) -> Told {
        let since = |span| {
            let looks = self.looks.iter().filter(move |look| now - look.at < span);
            looks.fold((0, 0), |(sampled, lost), look| (sampled + look.sampled, lost + look.lost))
        };
        let share =
            |(sampled, lost): (u64, u64)| if sampled == 0 { 0.0 } else { lost as f64 / sampled as f64 };
        let (all, lately) = (since(LONG), since(SHORT));
        let share = f64::max(share(all), share(lately));
        let different: BTreeSet<&FilePath> = self.lost.iter().map(|(_, path)| path).collect();
        let level = match all.1 {
            0 => Level::Ok,
            _ if share >= bound && different.len() >= FEW => Level::Critical,
            _ => Level::Warning,
        };
        let mut examples: Vec<String> = Vec::new();
        for (_, path) in self.lost.iter().rev() {
            let path = path.to_string();
            if examples.len() < NAMED && !examples.contains(&path) {
                examples.push(path);
            }
        }
        Told { sampled: all.0, lost: all.1, share, level, examples }
    }
}

impl Told {
    pub fn reading(&self, subject: &str) -> Reading {
        let sampled = units::count(self.sampled);
        let why = match self.lost {
            0 => format!("all of {sampled} sampled files are there"),
            lost => format!(
                "{} of {sampled} sampled files are missing or wrong ({:.1} %), such as {}: run a check",
                units::count(lost),
                self.share * 100.0,
                self.examples.first().map_or("one", String::as_str)
            ),
        };
        let reading = Reading::new(Probe::Sentinel, subject, self.level, why)
            .with("sampled", self.sampled)
            .with("lost", self.lost)
            .with("share", (self.share * 1e4).round() / 1e4)
            .with("examples", self.examples.clone());
        if self.level == Level::Critical { reading.stopping_writes() } else { reading }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(number: u64) -> FilePath {
        FilePath::new(format!("site/{number}.jpg")).unwrap()
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    /// After `well` seconds without a loss, a share of 1 in `of` is lost for `bad` seconds.
    fn level(well: i64, bad: i64, of: u64, different: u64) -> Level {
        let mut window = Window::default();
        let mut drawn = 0;
        for second in 0..well + bad {
            let mut lost = Vec::new();
            for _ in 0..17 {
                drawn += 1;
                if second >= well && drawn % of == 0 {
                    lost.push(path(drawn % (different * of)));
                }
            }
            window.add(at(second), 17, lost);
        }
        window.told(at(well + bad), 0.01).level
    }

    #[test]
    fn a_great_loss_is_critical_within_seconds_whatever_was_before() {
        assert_eq!(level(600, 0, 1, 100), Level::Ok);
        assert_eq!(level(600, 3, 2, 100), Level::Critical);
        assert_eq!(level(0, 1, 2, 100), Level::Critical);
    }

    #[test]
    fn one_in_a_hundred_is_seen_within_a_minute_and_less_is_a_warning() {
        assert_eq!(level(600, 60, 90, 1_000), Level::Critical);
        assert_eq!(level(600, 60, 200, 1_000), Level::Warning);
    }

    #[test]
    fn the_same_few_files_again_and_again_stop_nothing() {
        assert_eq!(level(0, 60, 10, 4), Level::Warning);
        assert_eq!(level(0, 60, 10, 5), Level::Critical);
    }

    #[test]
    fn what_is_old_does_not_count_and_what_is_kept_is_bounded() {
        let mut window = Window::default();
        for second in 0..100 {
            window.add(at(second), 17, (0..17).map(|number| path(second as u64 * 17 + number)).collect());
        }
        let told = window.told(at(100), 0.01);
        assert_eq!((told.lost, told.examples.len(), window.lost.len()), (1_700, 5, MOST_KEPT));
        assert!(told.reading("volume:a").stops_writes);
        window.add(at(700), 17, vec![]);
        assert_eq!(window.told(at(700), 0.01).level, Level::Ok);
    }
}
