//! `[gateway]`: how customers' files are given out.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderValue;
use salvor_domain::span::Span;
use serde::Deserialize;

use super::ConfigError;
use super::raw::wrong;

const DEFAULT_LISTEN: &str = "127.0.0.1:8081";
const DEFAULT_CACHE: u64 = 1_000_000_000;
const LONGEST_PATIENCE: u64 = 60;
const MOST_CONNECTIONS: u64 = 1_000_000;
const MOST_PER_SECOND: u64 = 1_000_000;

#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// `None`: no files are given out.
    pub listen: Option<SocketAddr>,
    /// Where nobody has said where to listen, an address that is taken is no reason not to start.
    pub is_default: bool,
    /// Connections that may be open at once; further ones wait.
    pub connections: usize,
    /// How long a folder is waited for before the next source is asked.
    pub patience: Duration,
    pub cors: Cors,
    pub access_log: AccessLog,
    /// Bytes that may be kept on this machine's disk of what slow copies gave; 0: none.
    pub cache_bytes: u64,
    /// Requests a second that one client may send for long; `None`: as many as it likes.
    pub rate: Option<u32>,
}

/// Which other sites' scripts may read files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cors {
    None,
    All,
    Origins(Vec<HeaderValue>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    Off,
    Stdout,
    File(PathBuf),
}

/// As it is written. A variable of the environment is always text.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    listen: Option<String>,
    connections: Option<toml::Value>,
    patience: Option<String>,
    cors: Option<toml::Value>,
    access_log: Option<String>,
    cache: Option<String>,
    rate: Option<toml::Value>,
}

impl Raw {
    /// `base` is the folder of the file: relative paths in it start there.
    pub fn parse(self, base: &Path) -> Result<GatewayConfig, ConfigError> {
        let patience = self.patience.map_or(Ok(1), |text| {
            text.parse::<Span>().map(Span::seconds).map_err(|why| wrong("gateway.patience", why))
        })?;
        if patience > LONGEST_PATIENCE {
            let rule = format!("is from 1s to 60s, as \"1s\"; this is {patience} s");
            return Err(wrong("gateway.patience", rule));
        }
        let connections = number("gateway.connections", self.connections, 1..=MOST_CONNECTIONS)?;
        let rate = number("gateway.rate", self.rate, 0..=MOST_PER_SECOND)?.unwrap_or(0);
        Ok(GatewayConfig {
            is_default: self.listen.is_none(),
            listen: listen(self.listen.as_deref().unwrap_or(DEFAULT_LISTEN))?,
            connections: usize::try_from(connections.unwrap_or(10_000)).unwrap_or(usize::MAX),
            patience: Duration::from_secs(patience),
            cors: cors(self.cors)?,
            access_log: match self.access_log.as_deref() {
                None | Some("off") => AccessLog::Off,
                Some("stdout") => AccessLog::Stdout,
                Some("") => {
                    return Err(wrong("gateway.access_log", "is \"off\", \"stdout\" or a file's path"));
                }
                Some(path) => AccessLog::File(base.join(path)),
            },
            cache_bytes: self.cache.map_or(Ok(DEFAULT_CACHE), |text| size("gateway.cache", &text))?,
            rate: u32::try_from(rate).ok().filter(|rate| *rate > 0),
        })
    }
}

fn listen(text: &str) -> Result<Option<SocketAddr>, ConfigError> {
    if text == "off" {
        return Ok(None);
    }
    let rule = || format!("\"{text}\" is not an address; write for example \"{DEFAULT_LISTEN}\", or \"off\"");
    text.parse().map(Some).map_err(|_| wrong("gateway.listen", rule()))
}

/// `10 GB`, or `off`.
fn size(key: &str, text: &str) -> Result<u64, ConfigError> {
    const UNITS: [(&str, u64); 3] = [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000)];
    if text == "off" {
        return Ok(0);
    }
    let size = UNITS.iter().find_map(|(unit, factor)| {
        let number: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        number.checked_mul(*factor)
    });
    let rule = || format!("\"{text}\" is not a size; write for example \"500 MB\", \"10 GB\" or \"off\"");
    size.filter(|size| *size > 0).ok_or_else(|| wrong(key, rule()))
}

fn number(
    key: &str,
    value: Option<toml::Value>,
    within: std::ops::RangeInclusive<u64>,
) -> Result<Option<u64>, ConfigError> {
    let Some(value) = value else { return Ok(None) };
    let number = match &value {
        toml::Value::Integer(number) => u64::try_from(*number).ok(),
        toml::Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let rule = || format!("is a whole number from {} to {}, not {value}", within.start(), within.end());
    number.filter(|number| within.contains(number)).map(Some).ok_or_else(|| wrong(key, rule()))
}

/// `"*"`, or a list of origins; in a variable its members have commas between them.
fn cors(value: Option<toml::Value>) -> Result<Cors, ConfigError> {
    const KEY: &str = "gateway.cors";
    let members: Vec<String> = match value {
        None => return Ok(Cors::None),
        Some(toml::Value::String(text)) => text.split(',').map(|member| member.trim().to_owned()).collect(),
        Some(list) => list.try_into().map_err(|_| {
            wrong(KEY, "is \"*\", or a list of origins; write for example [\"https://www.example.com\"]")
        })?,
    };
    let mut origins = Vec::new();
    for member in members.into_iter().filter(|member| !member.is_empty()) {
        if member == "*" {
            return Ok(Cors::All);
        }
        let host = member.strip_prefix("https://").or_else(|| member.strip_prefix("http://"));
        let is_origin = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', ' ']));
        let origin = HeaderValue::from_str(&member).ok().filter(|_| is_origin);
        origins.push(origin.ok_or_else(|| {
            wrong(
                KEY,
                format!("\"{member}\" is not an origin; write for example \"https://www.example.com\""),
            )
        })?);
    }
    Ok(if origins.is_empty() { Cors::None } else { Cors::Origins(origins) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<GatewayConfig, String> {
        let raw: Raw = toml::from_str(text).unwrap();
        raw.parse(Path::new("/etc/salvor")).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_said_is_a_gateway_for_this_machine() {
        let config = parse("").unwrap();
        assert_eq!(config.listen, Some(DEFAULT_LISTEN.parse().unwrap()));
        assert!(config.is_default && config.rate.is_none());
        assert_eq!((config.cors, config.access_log), (Cors::None, AccessLog::Off));
    }

    #[test]
    fn every_key_is_read_as_a_value_and_as_a_variable() {
        let config = parse(
            "listen = \"[::]:80\"\nconnections = \"20\"\npatience = \"2s\"\nrate = 50\naccess_log = \"access.log\"\ncache = \"20 GB\"\n\
             cors = [\"https://a.example\", \"http://b.example:8080\"]",
        )
        .unwrap();
        assert_eq!(
            (config.connections, config.patience, config.rate),
            (20, Duration::from_secs(2), Some(50))
        );
        assert_eq!(config.cache_bytes, 20_000_000_000);
        assert_eq!(config.access_log, AccessLog::File("/etc/salvor/access.log".into()));
        assert!(matches!(config.cors, Cors::Origins(origins) if origins.len() == 2));
        assert_eq!(parse("cors = \"*\"").unwrap().cors, Cors::All);
        assert_eq!(parse("listen = \"off\"\naccess_log = \"stdout\"").unwrap().listen, None);
    }

    #[test]
    fn a_wrong_value_is_named_with_what_would_be_right() {
        for (text, key, right) in [
            ("listen = \"8081\"", "gateway.listen", "127.0.0.1:8081"),
            ("connections = 0", "gateway.connections", "from 1 to"),
            ("cache = \"10\"", "gateway.cache", "10 GB"),
            ("rate = \"many\"", "gateway.rate", "whole number"),
            ("patience = \"5min\"", "gateway.patience", "from 1s to 60s"),
            ("cors = [\"example.com\"]", "gateway.cors", "https://www.example.com"),
            ("cors = \"https://a.example/path\"", "gateway.cors", "https://www.example.com"),
            ("access_log = \"\"", "gateway.access_log", "stdout"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.starts_with(key) && why.contains(right), "{why}");
        }
    }
}
