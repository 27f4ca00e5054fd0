//! `[health]`: what storage health is held to, and how this host is probed.

use std::cmp::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use salvor_domain::health::thresholds::Thresholds;
use salvor_domain::span::Span;
use salvor_probes::machine::PATIENCE;
use serde::Deserialize;

use super::ConfigError;
use super::raw::wrong;

const SHORTEST_EVERY: u64 = 1;
const LONGEST_EVERY: u64 = 300;
const LONGEST_PATIENCE: u64 = 60;
const LEAST_SILENCE: u64 = 30;

#[derive(Debug, Clone)]
pub struct HealthConfig {
    /// The name that this machine reports under; its own where nothing is said.
    pub host: Option<String>,
    /// From one report of this machine to the next.
    pub every: Duration,
    /// A host that has not reported for so long is silent: nothing that it said counts any more.
    pub silent_after: TimeDelta,
    /// A folder that has not answered for so long hangs: that takes its volume out of `normal`. After a sixth of it it is slow.
    pub patience: Duration,
    /// Whether a small file is written to volumes, to see whether they take it.
    pub canary: bool,
    /// The share of sampled files, between 0 and 1, that may be lost before writes are stopped.
    pub sentinel_loss: f64,
    /// Names of alerts that take the volume which they name out of `normal`.
    pub trip_on: Vec<String>,
    pub thresholds: Thresholds,
}

impl HealthConfig {
    /// The name that this machine reports under.
    pub fn host(&self) -> String {
        let kernels = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        self.host.clone().unwrap_or_else(kernels)
    }
}

/// As it is written.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    host: Option<String>,
    every: Option<String>,
    silent_after: Option<String>,
    patience: Option<String>,
    canary: Option<toml::Value>,
    sentinel_loss: Option<String>,
    trip_on: Option<toml::Value>,
    #[serde(default)]
    thresholds: Thresholds,
}

impl Raw {
    pub fn parse(self) -> Result<HealthConfig, ConfigError> {
        let every = seconds("health.every", self.every)?.unwrap_or(5);
        if !(SHORTEST_EVERY..=LONGEST_EVERY).contains(&every) {
            return Err(wrong("health.every", format!("is from 1s to 5min, as \"5s\"; this is {every} s")));
        }
        let patience = seconds("health.patience", self.patience)?.unwrap_or(PATIENCE.as_secs());
        if patience > LONGEST_PATIENCE {
            return Err(wrong(
                "health.patience",
                format!("is from 1s to 60s, as \"30s\"; this is {patience} s"),
            ));
        }
        let silence = seconds("health.silent_after", self.silent_after)?;
        let silence = silence.unwrap_or(u64::max(3 * every, LEAST_SILENCE));
        if silence < 2 * every {
            let rule = format!("is at least two times health.every, here {} s", 2 * every);
            return Err(wrong("health.silent_after", rule));
        }
        let silent_after = i64::try_from(silence).ok().and_then(TimeDelta::try_seconds);
        let trip_on = match self.trip_on {
            None => Vec::new(),
            // In a variable its members have commas between them.
            Some(toml::Value::String(text)) => text.split(',').map(|name| name.trim().to_owned()).collect(),
            Some(list) => {
                let rule = "is a list of alerts' names; write for example [\"NodeFilesystemReadOnly\"]";
                list.try_into().map_err(|_| wrong("health.trip_on", rule))?
            }
        };
        Ok(HealthConfig {
            host: self.host.map(host).transpose()?,
            every: Duration::from_secs(every),
            silent_after: silent_after.ok_or_else(|| wrong("health.silent_after", "is too long"))?,
            patience: Duration::from_secs(patience),
            canary: yes_or_no("health.canary", self.canary)?.unwrap_or(true),
            sentinel_loss: self
                .sentinel_loss
                .map_or(Ok(0.01), |text| share("health.sentinel_loss", &text))?,
            trip_on,
            thresholds: checked(self.thresholds)?,
        })
    }
}

fn seconds(key: &str, text: Option<String>) -> Result<Option<u64>, ConfigError> {
    let span = |text: String| text.parse::<Span>().map(Span::seconds).map_err(|why| wrong(key, why));
    text.map(span).transpose()
}

fn host(name: String) -> Result<String, ConfigError> {
    let is_one = !name.is_empty() && name.len() <= 253 && name.bytes().all(|byte| byte.is_ascii_graphic());
    let rule = || format!("\"{name}\" is not a host's name; write for example \"store1\"");
    if is_one { Ok(name) } else { Err(wrong("health.host", rule())) }
}

/// A variable of the environment is always text.
fn yes_or_no(key: &str, value: Option<toml::Value>) -> Result<Option<bool>, ConfigError> {
    match value {
        None => Ok(None),
        Some(toml::Value::Boolean(value)) => Ok(Some(value)),
        Some(toml::Value::String(text)) if text == "true" || text == "false" => Ok(Some(text == "true")),
        Some(other) => Err(wrong(key, format!("is true or false, not {other}"))),
    }
}

/// `1 %`
fn share(key: &str, text: &str) -> Result<f64, ConfigError> {
    let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let percent = percent.filter(|percent| *percent > 0.0 && *percent <= 100.0);
    let rule = || {
        wrong(key, format!("\"{text}\" is not a share; write for example \"1 %\", more than 0 and up to 100"))
    };
    percent.map(|percent| percent / 100.0).ok_or_else(rule)
}

/// What is a warning comes before what is critical.
fn checked(thresholds: Thresholds) -> Result<Thresholds, ConfigError> {
    let (space, smart) = (&thresholds.space, &thresholds.smart);
    let percent = 0.0..=100.0;
    for (key, value) in [
        ("space.warning_free_percent", space.warning_free_percent),
        ("space.critical_free_percent", space.critical_free_percent),
    ] {
        if !percent.contains(&value) {
            return Err(wrong(format!("health.thresholds.{key}"), format!("is from 0 to 100, not {value}")));
        }
    }
    let rising = [
        ("space.warning_free_percent", space.critical_free_percent, space.warning_free_percent),
        ("smart.critical_temperature", smart.warning_temperature, smart.critical_temperature),
        ("smart.critical_nvme_temperature", smart.warning_nvme_temperature, smart.critical_nvme_temperature),
    ];
    for (key, least, value) in rising {
        // What is not a number is refused too.
        if value.partial_cmp(&least).is_none_or(Ordering::is_lt) {
            let rule = format!("is at least {least}, as the other of the two thresholds is; this is {value}");
            return Err(wrong(format!("health.thresholds.{key}"), rule));
        }
    }
    Ok(thresholds)
}
