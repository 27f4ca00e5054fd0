//! What a probe read, for people: each fact under its name, with its unit; times as times, lists as lists.
//!
//! Facts come from tools and from other machines: whatever is not known here is shown as it was read, under the name that it has.

use chrono::{DateTime, Utc};
use leptos::prelude::*;
use salvor_domain::health::Facts;
use salvor_domain::units;
use serde_json::Value;

use crate::ui::When;

/// A fact's value, ready to be laid out.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    Text(String),
    Time(DateTime<Utc>),
    List(Vec<Self>),
    /// By name.
    Parts(Vec<(String, Self)>),
}

/// How a number of this name is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Count,
    Percent,
    /// Of one.
    Share,
    Celsius,
    Bytes,
    /// Kibibytes in a second, as md tells it.
    Speed,
    Seconds,
    Millis,
    Minutes,
    Hours,
    /// Seconds since 1970; 0 is never.
    Moment,
    /// A code or a number that names something.
    Code,
}

/// Names that say too little, or are a kernel's or a tool's own.
const NAMES: [(&str, &str, Unit); 24] = [
    ("avail_pct", "free", Unit::Percent),
    ("inode_free_pct", "inodes free", Unit::Percent),
    ("temp_c", "temperature", Unit::Celsius),
    ("pct", "done", Unit::Percent),
    ("percentage_used", "worn", Unit::Percent),
    ("available_spare", "spare left", Unit::Percent),
    ("available_spare_threshold", "spare needed", Unit::Percent),
    ("share", "share that is lost", Unit::Share),
    ("power_on_hours", "powered on for", Unit::Hours),
    ("udma_crc", "UDMA CRC errors", Unit::Count),
    ("f_frsize", "block size", Unit::Bytes),
    ("f_blocks", "blocks", Unit::Count),
    ("f_bfree", "free blocks", Unit::Count),
    ("f_bavail", "free blocks for everybody", Unit::Count),
    ("f_files", "inodes", Unit::Count),
    ("f_ffree", "free inodes", Unit::Count),
    ("rc", "exit code", Unit::Code),
    ("errno", "error number", Unit::Code),
    ("exit_status", "exit status", Unit::Code),
    ("first_error_time", "first error", Unit::Moment),
    ("last_error_time", "last error", Unit::Moment),
    ("first_error_ino", "first error at inode", Unit::Code),
    ("last_error_ino", "last error at inode", Unit::Code),
    ("occurrence", "this fault", Unit::Code),
];

/// How a name ends, and what that says of the number; the ending is no part of the name.
const ENDINGS: [(&str, Unit); 11] = [
    ("_percent", Unit::Percent),
    ("_pct", Unit::Percent),
    ("_c", Unit::Celsius),
    ("_bytes", Unit::Bytes),
    ("_kps", Unit::Speed),
    ("_seconds", Unit::Seconds),
    ("_s", Unit::Seconds),
    ("_ms", Unit::Millis),
    ("_min", Unit::Minutes),
    ("_hours", Unit::Hours),
    ("_at", Unit::Moment),
];

/// Longer times are told in larger units.
const LONGEST_IN_MILLIS: f64 = 10_000.0;

pub fn view(facts: &Facts) -> impl IntoView + use<> {
    let rows: Vec<_> = facts.iter().map(|(name, value)| row(named(name), shown(name, value))).collect();
    view! { <dl class="readings">{rows}</dl> }
}

fn row(name: String, shown: Shown) -> impl IntoView {
    view! {
        <div>
            <dt>{name}</dt>
            <dd>{laid_out(shown)}</dd>
        </div>
    }
}

fn laid_out(shown: Shown) -> AnyView {
    match shown {
        Shown::Text(text) => text.into_any(),
        Shown::Time(at) => view! { <When at exact=true /> }.into_any(),
        Shown::List(items) if items.is_empty() => "none".into_any(),
        Shown::List(items) => {
            let items: Vec<_> = items.into_iter().map(|item| view! { <li>{laid_out(item)}</li> }).collect();
            view! { <ul>{items}</ul> }.into_any()
        }
        Shown::Parts(parts) => {
            let parts: Vec<_> = parts.into_iter().map(|(name, part)| row(name, part).into_any()).collect();
            view! { <dl>{parts}</dl> }.into_any()
        }
    }
}

/// `temp_c` is `temperature`, `errors_count` is `errors count`.
pub fn named(fact: &str) -> String {
    let known = NAMES.iter().find(|(name, ..)| *name == fact).map(|(_, words, _)| *words);
    known.map_or_else(|| stem(fact).replace('_', " "), str::to_owned)
}

pub fn shown(fact: &str, value: &Value) -> Shown {
    match value {
        Value::Null => Shown::Text("not given".into()),
        Value::Bool(yes) => Shown::Text(if *yes { "yes" } else { "no" }.into()),
        Value::Number(number) => {
            number.as_f64().map_or_else(|| Shown::Text(number.to_string()), |n| measured(fact, n))
        }
        Value::String(text) if text.is_empty() => Shown::Text("not given".into()),
        Value::String(text) => match DateTime::parse_from_rfc3339(text) {
            Ok(at) => Shown::Time(at.to_utc()),
            Err(_) => Shown::Text(text.clone()),
        },
        Value::Array(items) => Shown::List(items.iter().map(|item| shown(fact, item)).collect()),
        Value::Object(parts) => {
            Shown::Parts(parts.iter().map(|(name, part)| (named(name), shown(name, part))).collect())
        }
    }
}

fn measured(fact: &str, number: f64) -> Shown {
    let text = match unit(fact) {
        Unit::Moment => match DateTime::from_timestamp(number as i64, 0) {
            Some(_) if number == 0.0 => "never".to_owned(),
            Some(at) => return Shown::Time(at),
            None => plain(number),
        },
        Unit::Percent => format!("{} %", plain(number)),
        Unit::Share => format!("{} %", plain(number * 100.0)),
        Unit::Celsius => format!("{} °C", plain(number)),
        // As much as a float holds is enough for people.
        Unit::Bytes if number >= 0.0 => units::bytes(number as u64),
        Unit::Speed if number >= 0.0 => format!("{}/s", units::bytes((number * 1_024.0) as u64)),
        Unit::Seconds => units::duration(number),
        Unit::Minutes => units::duration(number * 60.0),
        Unit::Millis if number < LONGEST_IN_MILLIS => format!("{} ms", plain(number)),
        Unit::Millis => units::duration(number / 1_000.0),
        Unit::Hours => format!("{} h", plain(number)),
        Unit::Code => number.to_string(),
        Unit::Count | Unit::Bytes | Unit::Speed => plain(number),
    };
    Shown::Text(text)
}

/// `12,345`, `0.25`, `-3`
fn plain(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 9e15 {
        let sign = if number < 0.0 { "-" } else { "" };
        return format!("{sign}{}", units::count(number.abs() as u64));
    }
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn unit(fact: &str) -> Unit {
    let known = NAMES.iter().find(|(name, ..)| *name == fact).map(|(.., unit)| *unit);
    known
        .or_else(|| ENDINGS.iter().find(|(end, _)| fact.ends_with(end)).map(|(_, unit)| *unit))
        .unwrap_or(Unit::Count)
}

fn stem(fact: &str) -> &str {
    ENDINGS.iter().find_map(|(end, _)| fact.strip_suffix(end)).filter(|stem| !stem.is_empty()).unwrap_or(fact)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;
    use serde_json::json;

    #[test]
    fn values_have_their_units_and_names_are_words() {
        for (fact, value, name, text) in [
            ("temp_c", json!(31), "temperature", "31 °C"),
            ("used_percent", json!(71.349), "used", "71.35 %"),
            ("inode_free_pct", json!(60), "inodes free", "60 %"),
            ("power_on_hours", json!(40_321), "powered on for", "40,321 h"),
            ("f_frsize", json!(4_096), "block size", "4.10 kB"),
            ("f_bavail", json!(1_234_567), "free blocks for everybody", "1,234,567"),
            ("speed_kps", json!(100_000), "speed", "102.4 MB/s"),
            ("finish_min", json!(90), "finish", "1 h 30 min"),
            ("took_ms", json!(12), "took", "12 ms"),
            ("waited_s", json!(75), "waited", "1 min 15 s"),
            ("share", json!(0.0125), "share that is lost", "1.25 %"),
            ("errno", json!(30), "error number", "30"),
            ("first_error_ino", json!(123_456), "first error at inode", "123456"),
            ("errors_count", json!(2), "errors count", "2"),
            ("passed", json!(true), "passed", "yes"),
            ("model", json!(""), "model", "not given"),
            ("grown", json!(-3), "grown", "-3"),
            ("first_error_time", json!(0), "first error", "never"),
        ] {
            assert_eq!(
                (named(fact).as_str(), shown(fact, &value)),
                (name, Shown::Text(text.into())),
                "{fact}"
            );
        }
    }

    #[test]
    fn times_are_times_and_lists_are_lists() {
        let at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        assert_eq!(shown("last_error_time", &json!(1_700_000_000)), Shown::Time(at));
        assert_eq!(shown("startsAt", &json!("2023-11-14T23:13:20+01:00")), Shown::Time(at));
        let facts = Facts::from([
            ("examples".to_owned(), json!(["site 1/a b.jpg", "site 2/<b>.jpg"])),
            ("last_error_time".to_owned(), json!(1_700_000_000)),
            ("members".to_owned(), json!([])),
            ("vdevs".to_owned(), json!([{"name": "sda", "temp_c": 31}])),
        ]);
        let html = rendered(|| view(&facts));
        assert_eq!(
            html,
            "<dl class=\"readings\">\
             <div><dt>examples</dt><dd><ul><li>site 1/a b.jpg</li><li>site 2/&lt;b&gt;.jpg</li></ul></dd></div>\
             <div><dt>last error</dt><dd><time datetime=\"2023-11-14T22:13:20+00:00\">2023-11-14 22:13:20 UTC</time></dd></div>\
             <div><dt>members</dt><dd>none</dd></div>\
             <div><dt>vdevs</dt><dd><ul><li><dl><div><dt>name</dt><dd>sda</dd></div>\
             <div><dt>temperature</dt><dd>31 °C</dd></div></dl></li></ul></dd></div></dl>"
        );
    }
}
