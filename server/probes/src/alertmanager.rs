//! The webhook of Alertmanager, version 4, and what others send in its form.
//!
//! Only `alerts` must be there: relays and older versions leave out fingerprints, statuses and counts. An alert that does not say what
//! it is about still counts, as bad as it says.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use salvor_domain::health::Level;
use serde::{Deserialize, Deserializer};

use crate::inspect::Subject;

pub type Labels = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    pub version: Option<String>,
    /// `firing` while one of the alerts is.
    pub status: Option<String>,
    pub receiver: Option<String>,
    pub group_key: Option<String>,
    /// How many alerts of the group were left out, because the receiver is set to a limit.
    pub truncated_alerts: Option<u64>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub common_labels: Labels,
    pub alerts: Vec<Alert>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    status: Option<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub labels: Labels,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub annotations: Labels,
    starts_at: Option<String>,
    ends_at: Option<String>,
    #[serde(rename = "generatorURL")]
    pub generator_url: Option<String>,
    fingerprint: Option<String>,
}

fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Payload {
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// An alert without a status of its own has the group's; without either it fires.
    pub fn is_firing(&self, alert: &Alert) -> bool {
        alert.status.as_deref().or(self.status.as_deref()) != Some("resolved")
    }

    fn level(&self) -> Level {
        let firing = self.alerts.iter().filter(|alert| self.is_firing(alert));
        // One that was left out may fire.
        let left_out =
            if self.truncated_alerts.is_some_and(|count| count > 0) { Level::Unknown } else { Level::Ok };
        firing.map(Alert::level).max().unwrap_or(Level::Ok).max(left_out)
    }
}

impl Alert {
    pub fn name(&self) -> &str {
        self.label("alertname").unwrap_or("an alert without a name")
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The same for every message about the same alert: its fingerprint, or its labels where it has none.
    pub fn key(&self) -> String {
        match &self.fingerprint {
            Some(fingerprint) if !fingerprint.is_empty() => fingerprint.clone(),
            _ => self
                .labels
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
                .join(","),
        }
    }

    /// How bad it is while it fires, by its label `severity`. One that does not say is a warning.
    pub fn level(&self) -> Level {
        match self.label("severity").map(str::to_lowercase).as_deref() {
            Some("critical" | "page" | "emergency" | "fatal" | "error" | "high") => Level::Critical,
            Some("info" | "information" | "none" | "debug" | "low") => Level::Ok,
            _ => Level::Warning,
        }
    }

    /// The host that it is about, without a port.
    pub fn host(&self) -> Option<&str> {
        if let Some(host) = ["host", "hostname", "nodename"].iter().find_map(|&name| self.label(name)) {
            return Some(host);
        }
        let instance = self.label("instance")?;
        let port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        Some(instance.rsplit_once(':').filter(|(_, end)| port(end)).map_or(instance, |(host, _)| host))
    }

    /// The id of the node that it is about, where its labels name one.
    pub fn node(&self) -> Option<String> {
        let pool = || self.label("zpool").or_else(|| self.label("pool")).map(|pool| format!("pool:{pool}"));
        let device = || self.label("device").map(|device| device.trim_start_matches("/dev/").to_owned());
        self.label("mountpoint").map(|path| format!("fs:{path}")).or_else(pool).or_else(device)
    }

    /// One sentence, as whoever wrote the rule put it.
    pub fn summary(&self) -> &str {
        let said =
            |name: &str| self.annotations.get(name).map(String::as_str).filter(|text| !text.is_empty());
        said("description").or_else(|| said("message")).or_else(|| said("summary")).unwrap_or(self.name())
    }

    pub fn starts_at(&self) -> Option<DateTime<Utc>> {
        time(self.starts_at.as_deref()?)
    }

    /// Alertmanager writes the year 1 for an alert that has not ended.
    pub fn ends_at(&self) -> Option<DateTime<Utc>> {
        time(self.ends_at.as_deref()?)
    }
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    let at = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    (at > DateTime::UNIX_EPOCH).then_some(at)
}

pub fn inspect(text: &str) -> Vec<Subject> {
    let payload = match Payload::parse(text) {
        Ok(payload) => payload,
        Err(error) => {
            let reason = format!("it is not a message of Alertmanager: {error}");
            return vec![Subject::unknown("payload", reason)];
        }
    };
    let (firing, resolved): (Vec<&Alert>, Vec<&Alert>) =
        payload.alerts.iter().partition(|alert| payload.is_firing(alert));
    let list = |alerts: &[&Alert]| {
        let each: Vec<String> = alerts.iter().map(|alert| label(alert)).collect();
        if each.is_empty() { "none".to_owned() } else { each.join(", ") }
    };
    let mut reason = format!("alerts: {} firing, {} resolved", firing.len(), resolved.len());
    if let Some(count) = payload.truncated_alerts.filter(|&count| count > 0) {
        reason += &format!("; {count} left out");
    }
    if let Some(alert) = firing.first() {
        reason += &format!(": {}", alert.summary());
    }
    let first = payload.alerts.first();
    let missing = missing(&payload);
    vec![
        Subject::new("payload", payload.level(), reason)
            .with("status", payload.status.clone())
            .with("alerts", payload.alerts.len())
            .with("truncated", payload.truncated_alerts)
            .with("groupKey", payload.group_key.clone())
            .with("startsAt", first.and_then(|alert| alert.starts_at.clone()))
            .with("endsAt", first.and_then(|alert| alert.ends_at.clone()))
            .with("firing", list(&firing))
            .with("resolved", list(&resolved))
            .with(
                "note",
                if missing.is_empty() { "none".into() } else { format!("no {}", missing.join(", no ")) },
            ),
    ]
}

/// `97fdec0cf487e7a0 (md0)`.
fn label(alert: &Alert) -> String {
    let about =
        alert.label("device").or_else(|| alert.label("mountpoint")).or_else(|| alert.label("instance"));
    format!("{} ({})", alert.key(), about.unwrap_or(alert.name()))
}

/// What Alertmanager of today sends and this message does not have.
fn missing(payload: &Payload) -> Vec<&'static str> {
    let lacks = |has: fn(&Alert) -> bool| payload.alerts.iter().any(|alert| !has(alert));
    [
        ("fingerprint", lacks(|alert| alert.fingerprint.is_some())),
        ("truncatedAlerts", payload.truncated_alerts.is_none()),
        ("per-alert status", lacks(|alert| alert.status.is_some())),
        ("generatorURL", lacks(|alert| alert.generator_url.is_some())),
    ]
    .into_iter()
    .filter_map(|(name, is_missing)| is_missing.then_some(name))
    .collect()
}
