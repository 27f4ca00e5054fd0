//! What a report may be: bounded, and fit for both databases.

use chrono::{DateTime, Utc};
use salvor_domain::health::{Facts, Node, Reading, Report};
use serde_json::Value;

use crate::error::{Error, Result};

/// Nodes, and readings, of one report.
pub const MOST: usize = 2_000;
const LONGEST_NAME: usize = 300;
const LONGEST_TEXT: usize = 600;
const MOST_FACTS: usize = 100;
/// Of a fact that is a list or an object, as text.
const LONGEST_FACT: usize = 4_000;

/// The report with its texts cut to what is kept, never from the future; refused when it has too much in it.
pub fn checked(report: Report, now: DateTime<Utc>) -> Result<Report> {
    let host = name(&report.host);
    if host.is_empty() || host != report.host {
        return Err(Error::invalid(format!("\"host\" is a name of 1 to {LONGEST_NAME} characters.")));
    }
    for (count, what) in [(report.nodes.len(), "nodes"), (report.readings.len(), "readings")] {
        if count > MOST {
            return Err(Error::invalid(format!("A report has at most {MOST} {what}; this one has {count}.")));
        }
    }
    Ok(Report {
        host,
        version: name(&report.version),
        taken_at: report.taken_at.min(now),
        nodes: report.nodes.into_iter().map(node).collect(),
        readings: report.readings.into_iter().map(reading).collect(),
    })
}

pub fn name(text: &str) -> String {
    cut(text, LONGEST_NAME)
}

pub fn text(text: &str) -> String {
    cut(text, LONGEST_TEXT)
}

fn node(node: Node) -> Node {
    let on = node.on.iter().take(MOST).map(|on| name(on)).collect();
    Node { id: name(&node.id), label: name(&node.label), on, ..node }
}

fn reading(reading: Reading) -> Reading {
    Reading {
        subject: name(&reading.subject),
        reason: text(&reading.reason),
        facts: facts(reading.facts),
        ..reading
    }
}

pub fn facts(facts: Facts) -> Facts {
    facts.into_iter().take(MOST_FACTS).map(|(fact, value)| (name(&fact), value_cut(value))).collect()
}

fn value_cut(value: Value) -> Value {
    match value {
        Value::String(value) => Value::String(text(&value)),
        Value::Array(_) | Value::Object(_) => {
            let written = value.to_string();
            // PostgreSQL keeps no zero character, however it is written.
            let fits = written.len() <= LONGEST_FACT && !written.contains("\\u0000");
            if fits { value } else { Value::String(text(&written.replace("\\u0000", ""))) }
        }
        other => other,
    }
}

fn cut(text: &str, longest: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(longest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use salvor_domain::health::{Level, Probe};

    fn report(readings: usize) -> Report {
        let reading = Reading::new(Probe::Smart, "s\0da", Level::Ok, "ä".repeat(LONGEST_TEXT + 1))
            .with("list", vec!["x".repeat(LONGEST_FACT)])
            .with("zero", vec!["a\0b"]);
        Report {
            host: "store1".into(),
            version: "1".into(),
            taken_at: DateTime::<Utc>::MAX_UTC,
            nodes: vec![],
            readings: vec![reading; readings],
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let now = DateTime::UNIX_EPOCH;
        let checked_report = checked(report(1), now).unwrap();
        let reading = &checked_report.readings[0];
        assert_eq!((reading.subject.as_str(), reading.reason.chars().count()), ("sda", LONGEST_TEXT));
        assert!(reading.facts["list"].as_str().unwrap().chars().count() <= LONGEST_TEXT);
        assert_eq!(reading.facts["zero"], "[\"ab\"]");
        assert_eq!(checked_report.taken_at, now);
        let refused = checked(report(MOST + 1), now).unwrap_err().to_string();
        assert!(refused.contains("2000") && refused.contains("2001"), "{refused}");
        assert!(checked(Report { host: "a\0".into(), ..report(0) }, now).is_err());
    }
}
