//! `[volume.readiness]`: what a volume is held to.

use salvor_domain::readiness::Objectives;
use salvor_domain::span::Span;
use serde::Deserialize;

use super::ConfigError;

/// As it is written.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    rpo: Option<String>,
    rto: Option<String>,
    drill_every: Option<String>,
}

impl Raw {
    /// `volume` is its name, for errors.
    pub fn parse(self, volume: &str) -> Result<Objectives, ConfigError> {
        let span = |key: &str, text: Option<String>| -> Result<Option<Span>, ConfigError> {
            let Some(text) = text else { return Ok(None) };
            text.parse().map(Some).map_err(|why: salvor_domain::span::InvalidSpan| ConfigError::Value {
                key: format!("volume \"{volume}\", readiness.{key}"),
                message: why.to_string(),
            })
        };
        Ok(Objectives {
            rpo: span("rpo", self.rpo)?,
            rto: span("rto", self.rto)?,
            drill_every: span("drill_every", self.drill_every)?,
        })
    }
}
