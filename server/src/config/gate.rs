//! `[volume.gate]`: what a volume's gate back to `normal` asks for.

use salvor_domain::span::{InvalidSpan, Span};
use serde::Deserialize;

use super::ConfigError;
use super::raw::wrong;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateConfig {
    /// How long a copy counts as verified.
    pub copies_verified_within: Span,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self { copies_verified_within: Span::THIRTY_DAYS }
    }
}

/// As it is written.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    copies_verified_within: Option<String>,
}

impl Raw {
    /// `volume` is its name, for errors.
    pub fn parse(self, volume: &str) -> Result<GateConfig, ConfigError> {
        let Some(text) = self.copies_verified_within else { return Ok(GateConfig::default()) };
        let key = || format!("volume \"{volume}\", gate.copies_verified_within");
        let copies_verified_within = text.parse().map_err(|why: InvalidSpan| wrong(key(), why))?;
        Ok(GateConfig { copies_verified_within })
    }
}
