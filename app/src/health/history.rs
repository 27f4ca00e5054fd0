//! How a volume's ground was over time, from the changes that are kept: plain functions, and their drawings.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use leptos::prelude::*;
use salvor_domain::health::Level;
use salvor_domain::units;

use crate::health::port::{Point, VolumeHealth};
use crate::ui::badge;

/// The drawings' own units.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 24.0;
const SPACE_HEIGHT: f64 = 100.0;

/// The volume was as bad as this for so long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub level: Level,
}

/// The worst level at each time from `from` to `to`. What no reading tells of is unknown.
pub fn stretches(health: &VolumeHealth, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Stretch> {
    let key = |host: &str, probe, subject: &str| (host.to_owned(), probe, subject.to_owned());
    let mut turns: Vec<_> = health
        .changes
        .iter()
        .map(|change| (change.at, key(&change.host, change.probe, &change.subject), change.to))
        .collect();
    let mut levels: BTreeMap<_, Option<Level>> = BTreeMap::new();
    // Newest first: the last one that is put in is the oldest, which says what was before.
    for change in &health.changes {
        levels.insert(key(&change.host, change.probe, &change.subject), change.from);
    }
    for signal in &health.signals {
        let key = key(&signal.host, signal.probe, &signal.subject);
        if !levels.contains_key(&key) {
            levels.insert(key.clone(), None);
            turns.push((signal.since, key, signal.level));
        }
    }
    turns.sort_by_key(|(at, ..)| *at);
    let mut found: Vec<Stretch> = Vec::new();
    let mut at = from;
    let worst = |levels: &BTreeMap<_, Option<Level>>| {
        levels.values().flatten().max().copied().unwrap_or(Level::Unknown)
    };
    let mut say = |until: DateTime<Utc>, at: &mut DateTime<Utc>, level| {
        if until > *at {
            match found.last_mut().filter(|last| last.level == level) {
                Some(last) => last.to = until,
                None => found.push(Stretch { from: *at, to: until, level }),
            }
            *at = until;
        }
    };
    for (turned, key, level) in turns {
        say(turned.min(to), &mut at, worst(&levels));
        levels.insert(key, Some(level));
    }
    say(to, &mut at, worst(&levels));
    found
}

/// `critical for 2 h 10 min, warning for 5 min, otherwise ok`
pub fn in_words(stretches: &[Stretch]) -> String {
    let lasted = |level| {
        let of = stretches.iter().filter(|stretch| stretch.level == level);
        of.map(|stretch| (stretch.to - stretch.from).num_seconds()).sum::<i64>()
    };
    let mut parts: Vec<String> = [Level::Critical, Level::Warning, Level::Unknown]
        .into_iter()
        .map(|level| (level, lasted(level)))
        .filter(|(_, seconds)| *seconds > 0)
        .map(|(level, seconds)| format!("{level} for {}", units::duration(seconds as f64)))
        .collect();
    match (lasted(Level::Ok), parts.is_empty()) {
        (_, true) => return "ok throughout".to_owned(),
        (0, false) => {}
        (_, false) => parts.push("otherwise ok".to_owned()),
    }
    parts.join(", ")
}

/// The worse, the higher: the bar can be read without its colours.
fn height(level: Level) -> f64 {
    HEIGHT
        * match level {
            Level::Ok => 0.25,
            Level::Unknown => 0.5,
            Level::Warning => 0.75,
            Level::Critical => 1.0,
        }
}

/// The last stretch of time, as a bar and in words.
#[component]
pub fn LevelStrip(health: VolumeHealth, now: DateTime<Utc>, hours: i64, name: &'static str) -> impl IntoView {
    let from = now - TimeDelta::hours(hours);
    let stretches = stretches(&health, from, now);
    let words = in_words(&stretches);
    let whole = (now - from).num_seconds() as f64;
    let x = move |at: DateTime<Utc>| (at - from).num_seconds() as f64 / whole * WIDTH;
    let bars: Vec<_> = stretches
        .iter()
        .map(|stretch| {
            let (from, height) = (x(stretch.from), height(stretch.level));
            // What was short is seen all the same.
            let width = (x(stretch.to) - from).max(3.0);
            view! {
                <rect
                    data-tone=badge::level(stretch.level).0.as_str()
                    x=format!("{from:.1}")
                    y=format!("{:.1}", HEIGHT - height)
                    width=format!("{width:.1}")
                    height=format!("{height:.1}")
                />
            }
        })
        .collect();
    view! {
        <figure class="chart strip">
            <figcaption>
                <span>{name}</span>
                <span class="muted">{words.clone()}</span>
            </figcaption>
            <svg viewBox=format!("0 0 {WIDTH} {HEIGHT}") preserveAspectRatio="none" role="img" aria-label=format!("{name}: {words}")>
                {bars}
            </svg>
        </figure>
    }
}

/// `71 % used; full in about 12 days if it goes on like that`
pub fn space_in_words(space: &[Point], full_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<String> {
    let used = space.last()?.mean;
    let full = match full_at {
        Some(at) if at <= now => "; full by now if it went on like that".to_owned(),
        Some(at) => format!("; full in about {} if it goes on like that", about(at - now)),
        None => "; not filling up in sight".to_owned(),
    };
    Some(format!("{used:.0} % used{full}"))
}

/// One unit: a forecast is no better than that.
fn about(span: TimeDelta) -> String {
    let days = span.num_days();
    if days >= 2 {
        format!("{days} days")
    } else {
        let hours = u64::try_from(span.num_hours().max(1)).unwrap_or(1);
        units::counted(hours, "hour", "hours")
    }
}

/// Where used space was, as a line from empty (below) to full (above).
#[component]
pub fn SpaceChart(space: Vec<Point>, full_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> impl IntoView {
    let words = space_in_words(&space, full_at, now)?;
    let line = line(&space);
    let drawing = line.map(|line| {
        let area = format!("0,{SPACE_HEIGHT} {line} {WIDTH},{SPACE_HEIGHT}");
        let label = format!("Used space: {words}");
        view! {
            <svg viewBox=format!("0 0 {WIDTH} {SPACE_HEIGHT}") preserveAspectRatio="none" role="img" aria-label=label>
                <polygon class="area" points=area />
                <polyline class="line" points=line />
            </svg>
        }
    });
    let day = |point: Option<&Point>| point.map(|point| point.at.format("%Y-%m-%d %H:%M UTC").to_string());
    let since = day(space.first()).filter(|_| drawing.is_some()).map(|first| format!(" (from {first})"));
    Some(view! {
        <figure class="chart">
            <figcaption>
                <span>"Used space" {since}</span>
                <span class="muted">{words}</span>
            </figcaption>
            {drawing}
        </figure>
    })
}

/// Corners from the oldest to the newest; `None` before there are two times to draw between.
fn line(space: &[Point]) -> Option<String> {
    let (first, last) = (space.first()?.at, space.last()?.at);
    let span = (last - first).num_seconds() as f64;
    if span <= 0.0 {
        return None;
    }
    let corners = space.iter().map(|point| {
        let x = (point.at - first).num_seconds() as f64 / span * WIDTH;
        let y = SPACE_HEIGHT - point.mean.clamp(0.0, 100.0);
        format!("{x:.1},{y:.1}")
    });
    Some(corners.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::port::Change;
    use crate::ui::rendered;

    fn at(hour: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hour)
    }

    fn change(hour: i64, subject: &str, from: Option<Level>, to: Level) -> Change {
        let sample = VolumeHealth::sample().changes.remove(0);
        Change { at: at(hour), subject: subject.into(), from, to, ..sample }
    }

    fn health(changes: Vec<Change>) -> VolumeHealth {
        VolumeHealth { changes, signals: vec![], ..VolumeHealth::sample() }
    }

    #[test]
    fn the_worst_of_all_signals_counts_at_each_time() {
        use Level::{Critical, Ok, Unknown, Warning};
        let health = health(vec![
            change(20, "b", Some(Critical), Ok),
            change(16, "a", Some(Ok), Warning),
            change(12, "b", Some(Ok), Critical),
            change(4, "a", None, Ok),
            change(4, "b", None, Ok),
        ]);
        let found = stretches(&health, at(0), at(24));
        let found: Vec<_> = found.iter().map(|s| ((s.to - s.from).num_hours(), s.level)).collect();
        assert_eq!(found, [(4, Unknown), (8, Ok), (8, Critical), (4, Warning)]);
        let later = stretches(&health, at(18), at(24));
        assert_eq!((later[0].level, later.len()), (Critical, 2), "what was before the window counts in it");
        let whole = in_words(&stretches(&health, at(0), at(24)));
        assert_eq!(whole, "critical for 8 h, warning for 4 h, unknown for 4 h, otherwise ok");
    }

    #[test]
    fn a_signal_without_changes_counts_from_its_own_time() {
        let mut health = VolumeHealth { changes: vec![], ..VolumeHealth::sample() };
        health.signals[0].since = at(6);
        let found = stretches(&health, at(0), at(12));
        assert_eq!(found.iter().map(|s| s.level).collect::<Vec<_>>(), [Level::Unknown, Level::Critical]);
        health.signals[0].level = Level::Ok;
        assert_eq!(in_words(&stretches(&health, at(7), at(12))), "ok throughout");
    }

    #[test]
    fn the_strip_says_in_words_what_it_draws() {
        let health = health(vec![change(12, "a", Some(Level::Ok), Level::Critical)]);
        let html = rendered(|| view! { <LevelStrip health now=at(24) hours=24 name="Last 24 hours" /> });
        assert!(html.contains("aria-label=\"Last 24 hours: critical for 12 h, otherwise ok\""), "{html}");
        assert_eq!(html.matches("<rect").count(), 2);
    }

    #[test]
    fn a_forecast_has_one_unit_and_none_is_said_as_none() {
        let point = |hour, mean| Point { at: at(hour), low: mean, mean, high: mean };
        let space = [point(0, 70.0), point(24, 71.4)];
        let words = |full_at| space_in_words(&space, full_at, at(24)).unwrap();
        assert_eq!(words(Some(at(24 + 24 * 12))), "71 % used; full in about 12 days if it goes on like that");
        assert_eq!(words(Some(at(29))), "71 % used; full in about 5 hours if it goes on like that");
        assert_eq!(words(None), "71 % used; not filling up in sight");
        assert_eq!(space_in_words(&[], None, at(0)), None, "nothing is drawn of what is not known");
        assert_eq!(line(&space).as_deref(), Some("0.0,30.0 1000.0,28.6"));
        assert_eq!(line(&space[..1]), None);
    }
}
