//! `[health]`: what storage health is held to.

use chrono::TimeDelta;
use salvor_domain::health::thresholds::Thresholds;
use salvor_domain::span::Span;
use serde::Deserialize;

use super::ConfigError;
use super::raw::wrong;

#[derive(Debug, Clone)]
pub struct HealthConfig {
    /// A host that has not reported for so long is silent: nothing that it said counts any more.
    pub silent_after: TimeDelta,
    /// Names of alerts that take the volume which they name out of `normal`.
    pub trip_on: Vec<String>,
    pub thresholds: Thresholds,
}

/// As it is written.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    silent_after: Option<String>,
    trip_on: Option<toml::Value>,
    #[serde(default)]
    thresholds: Thresholds,
}

impl Raw {
    pub fn parse(self) -> Result<HealthConfig, ConfigError> {
        let key = "health.silent_after";
        let text = self.silent_after.unwrap_or_else(|| "60s".to_owned());
        let span: Span = text.parse().map_err(|why| wrong(key, why))?;
        let silent_after = i64::try_from(span.seconds()).ok().and_then(TimeDelta::try_seconds);
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
            silent_after: silent_after.ok_or_else(|| wrong(key, "is too long"))?,
            trip_on,
            thresholds: self.thresholds,
        })
    }
}
