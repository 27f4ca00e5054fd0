//! Timetables: a limit that follows the hours of a week, such as `Mon–Fri 08:00–18:00 20 Mbit/s`.
//!
//! A window is days, hours and a rate. Days: `daily`, a day, a range such as `Mon–Fri`, or several with commas. Hours end
//! on the next day when the end is before the beginning: `22:00–06:00`. The rate is a bandwidth, `unlimited` (or `off`: the
//! limit is), or `0` (or `pause`: nothing is read). The first window that fits wins; outside of all the copy's own limit
//! holds. Times are the local time of the machine that reads.

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, NaiveDateTime, Timelike};

use crate::limits::{ByteRate, Limits};

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const LONG_DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MINUTES: u16 = 24 * 60;
/// More than a week needs.
const MOST_WINDOWS: usize = 50;

/// Hours of some days, and what holds in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Monday first.
    days: [bool; 7],
    /// Minutes since midnight.
    from: u16,
    /// May be before `from`: then it is on the day after.
    to: u16,
    /// `None`: without a limit.
    rate: Option<ByteRate>,
    text: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timetable(Vec<Window>);

/// Why a text is no window: names the word that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{window}\" is not a time window: {why}; write for example \"Mon–Fri 08:00–18:00 20 Mbit/s\"")]
pub struct InvalidWindow {
    window: String,
    why: String,
}

impl Timetable {
    pub fn parse<T: AsRef<str>>(windows: &[T]) -> Result<Self, InvalidWindow> {
        if let Some(one_more) = windows.get(MOST_WINDOWS) {
            let why = format!("at most {MOST_WINDOWS} are accepted");
            return Err(InvalidWindow { window: one_more.as_ref().to_owned(), why });
        }
        windows.iter().map(|window| window.as_ref().parse()).collect::<Result<_, _>>().map(Self)
    }

    /// The window that holds at this local time.
    pub fn at(&self, local: NaiveDateTime) -> Option<&Window> {
        self.0.iter().find(|window| window.holds(local))
    }
}

impl Window {
    fn holds(&self, local: NaiveDateTime) -> bool {
        let minute = (local.hour() * 60 + local.minute()) as u16;
        let today = local.weekday().num_days_from_monday() as usize;
        let yesterday = (today + 6) % 7;
        if self.from < self.to {
            self.days[today] && (self.from..self.to).contains(&minute)
        } else {
            (self.days[today] && minute >= self.from) || (self.days[yesterday] && minute < self.to)
        }
    }
}

/// As it was written.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl FromStr for Window {
    type Err = InvalidWindow;

    fn from_str(text: &str) -> Result<Self, InvalidWindow> {
        parse(text).map_err(|why| InvalidWindow { window: text.to_owned(), why })
    }
}

fn parse(text: &str) -> Result<Window, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [days, hours, rate @ ..] = words.as_slice() else {
        return Err("it needs days, hours and a rate".to_owned());
    };
    let days = parse_days(days)?;
    let (from, to) = parse_hours(hours)?;
    if rate.is_empty() {
        return Err("the rate is missing after the hours".to_owned());
    }
    Ok(Window { days, from, to, rate: parse_rate(&rate.join(" "))?, text: words.join(" ") })
}

fn parse_days(text: &str) -> Result<[bool; 7], String> {
    let mut days = [false; 7];
    if text.eq_ignore_ascii_case("daily") {
        return Ok([true; 7]);
    }
    for part in text.split(',') {
        match part.split_once(['-', '–']) {
            None => days[day(part)?] = true,
            Some((first, last)) => {
                let (first, last) = (day(first)?, day(last)?);
                // Fri–Mon goes over the end of the week.
                (0..=(last + 7 - first) % 7).for_each(|step| days[(first + step) % 7] = true);
            }
        }
    }
    Ok(days)
}

fn day(word: &str) -> Result<usize, String> {
    let is = |name: &&str| name.eq_ignore_ascii_case(word);
    DAYS.iter()
        .position(&is)
        .or_else(|| LONG_DAYS.iter().position(&is))
        .ok_or_else(|| format!("\"{word}\" is not a day; write daily, Mon–Fri or Sat,Sun"))
}

fn parse_hours(text: &str) -> Result<(u16, u16), String> {
    let (from, to) =
        text.split_once(['-', '–']).ok_or_else(|| format!("\"{text}\" are not hours; write 08:00–18:00"))?;
    let (from, to) = (minutes(from)?, minutes(to)?);
    if from == MINUTES {
        return Err("a window cannot begin at 24:00; write 00:00".to_owned());
    }
    if from == to {
        return Err(format!("\"{text}\" is no time at all; the whole day is 00:00–24:00"));
    }
    Ok((from, to))
}

fn minutes(text: &str) -> Result<u16, String> {
    let wrong = || format!("\"{text}\" is not a time; write 08:00");
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let number = |digits: &str| match digits.len() {
        1..=2 if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse::<u16>().ok(),
        _ => None,
    };
    match (number(hour), number(minute).filter(|_| minute.len() == 2)) {
        (Some(hour @ 0..24), Some(minute @ 0..60)) => Ok(hour * 60 + minute),
        (Some(24), Some(0)) => Ok(MINUTES),
        _ => Err(wrong()),
    }
}

fn parse_rate(text: &str) -> Result<Option<ByteRate>, String> {
    match text.to_ascii_lowercase().as_str() {
        "unlimited" | "off" => Ok(None),
        "pause" => Ok(Some(ByteRate::NOTHING)),
        _ => text
            .parse()
            .map(Some)
            .map_err(|_| format!("\"{text}\" is not a rate; write 20 Mbit/s, unlimited, or 0 to pause")),
    }
}

/// What a copy keeps within just now, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    pub limits: Limits,
    pub basis: Basis,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Basis {
    Configuration,
    /// The window as it was written.
    Timetable(String),
    /// Somebody's word, until it is taken back.
    Operator,
}

impl InForce {
    /// An operator's word goes before the timetable, and that before the copy's own limit.
    pub fn at(said: Option<Limits>, own: Limits, timetable: &Timetable, local: NaiveDateTime) -> Self {
        match (said, timetable.at(local)) {
            (Some(limits), _) => Self { limits, basis: Basis::Operator },
            (None, Some(window)) => Self {
                limits: Limits { bandwidth: window.rate, ..own },
                basis: Basis::Timetable(window.to_string()),
            },
            (None, None) => Self { limits: own, basis: Basis::Configuration },
        }
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration => write!(f, "as configured"),
            Self::Timetable(window) => write!(f, "by its timetable: {window}"),
            Self::Operator => write!(f, "set by hand"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{NaiveDate, TimeDelta};
    use proptest::prelude::*;

    /// A Monday.
    fn at(day: i64, hour: u32, minute: u32) -> NaiveDateTime {
        NaiveDate::from_ymd_opt(2026, 11, 23).unwrap().and_hms_opt(hour, minute, 0).unwrap()
            + TimeDelta::days(day)
    }

    fn rate(windows: &[&str], local: NaiveDateTime) -> Option<Option<u64>> {
        let timetable = Timetable::parse(windows).unwrap();
        timetable.at(local).map(|window| window.rate.map(ByteRate::bytes_per_second))
    }

    #[test]
    fn the_first_window_that_fits_wins() {
        let week =
            ["Mon–Fri 08:00–18:00 20 Mbit/s", "Sat,Sun 00:00-24:00 unlimited", "daily 22:00–06:00 pause"];
        assert_eq!(rate(&week, at(0, 8, 0)), Some(Some(2_500_000)));
        assert_eq!(rate(&week, at(4, 17, 59)), Some(Some(2_500_000)));
        assert_eq!(rate(&week, at(0, 18, 0)), None, "its own limit holds");
        assert_eq!(rate(&week, at(5, 23, 0)), Some(None), "Saturday is before the night");
        assert_eq!(rate(&week, at(1, 22, 0)), Some(Some(0)));
        assert_eq!(rate(&week, at(7, 5, 59)), Some(Some(0)), "Sunday's night ends on Monday");
        assert_eq!(rate(&["Fri–Mon 00:00–24:00 off"], at(6, 12, 0)), Some(None));
        assert_eq!(rate(&["Fri–Mon 00:00–24:00 off"], at(2, 12, 0)), None);
    }

    #[test]
    fn a_wrong_word_is_named() {
        for (window, word) in [
            ("Mon–Fry 08:00–18:00 20 Mbit/s", "\"Fry\""),
            ("08:00–18:00 20 Mbit/s", "\"08:00\" is not a day"),
            ("Mon 8–18 20 Mbit/s", "\"8\" is not a time"),
            ("Mon 08:00–25:00 20 Mbit/s", "\"25:00\""),
            ("Mon 08:00 20 Mbit/s", "\"08:00\" are not hours"),
            ("Mon 08:00–18:00 20", "\"20\" is not a rate"),
            ("Mon 08:00–18:00", "the rate is missing"),
            ("Mon 08:00–08:00 0", "no time at all"),
            ("daily", "days, hours and a rate"),
        ] {
            let why = window.parse::<Window>().unwrap_err().to_string();
            assert!(why.contains(word) && why.contains(window), "{why}");
        }
    }

    #[test]
    fn an_operators_word_goes_before_the_timetable() {
        let own = Limits { bandwidth: Some("1 MB/s".parse().unwrap()), files_per_second: Some(5) };
        let timetable = Timetable::parse(&["daily 00:00–12:00 8 Mbit/s"]).unwrap();
        let morning = InForce::at(None, own, &timetable, at(0, 9, 0));
        assert_eq!(morning.limits.to_string(), "at most 8 Mbit/s and 5 files/s");
        assert_eq!(morning.basis.to_string(), "by its timetable: daily 00:00–12:00 8 Mbit/s");
        assert_eq!(InForce::at(None, own, &timetable, at(0, 13, 0)).limits, own);
        let said = InForce::at(Some(Limits::default()), own, &timetable, at(0, 9, 0));
        assert_eq!((said.limits, said.basis), (Limits::default(), Basis::Operator));
    }

    proptest! {
        /// Every minute of the week lies in a window or not, as counting from its beginning says.
        #[test]
        fn a_window_covers_its_minutes_and_no_others(
            first in 0usize..7, from in 0u16..MINUTES, length in 1u16..MINUTES, minute in 0i64..7 * 1_440,
            dash in prop_oneof![Just("-"), Just("–")],
        ) {
            let to = (from + length) % MINUTES;
            let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
            let text = format!("{} {}{dash}{} 1 MB/s", DAYS[first], clock(from), clock(to));
            let window: Window = text.parse().unwrap();
            let local = at(0, 0, 0) + TimeDelta::minutes(minute);
            let begin = first as i64 * 1_440 + i64::from(from);
            let since = (minute - begin).rem_euclid(7 * 1_440);
            prop_assert_eq!(window.holds(local), since < i64::from(length), "{} at {}", text, local);
            prop_assert_eq!(window.to_string(), text);
        }
    }
}
