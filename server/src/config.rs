//! The configuration: a TOML file, `SALVOR_…` variables over it, and embedded defaults under it.
//!
//! Every error names the file, the key and what would be right. A [`Config`] that exists is valid: names are unique,
//! rates parsed, patterns understood. Whether folders exist and secrets are to be had is asked when copies are opened
//! ([`VolumeConfig::path`] may be gone on the very day Salvor is for), but [`Config::warnings`] tell at start.
//! Secrets never stand in the file: it names variables or files that hold them.

mod copy;
mod disk_check;
mod gate;
mod gateway;
mod health;
mod raw;
mod readiness;
mod webhook;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use salvor_copies::place::{CopyPlace, WebdavPlace};
use salvor_domain::limits::{ByteRate, Limits};
use salvor_domain::readiness::Objectives;
use salvor_domain::timetable::Timetable;
use salvor_domain::units::Bandwidth;
use salvor_domain::url_pattern::UrlPattern;
use salvor_domain::volume::Placement;
use serde::Deserialize;

use crate::network::Network;

pub use disk_check::DiskCheckConfig;
pub use gate::GateConfig;
pub use gateway::{AccessLog, Cors, GatewayConfig};
pub use health::HealthConfig;
pub use webhook::WebhookConfig;

/// More copies than the catalogue has bits for.
pub const MAX_COPIES: usize = 62;
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1"];

#[derive(Debug, Clone)]
pub struct Config {
    pub server: ServerConfig,
    pub gateway: GatewayConfig,
    pub tickets: TicketsConfig,
    pub mail: Option<MailConfig>,
    pub health: HealthConfig,
    pub webhooks: Vec<WebhookConfig>,
    pub volumes: Vec<VolumeConfig>,
}

#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub listen: SocketAddr,
    /// Without a trailing `/`.
    pub public_url: String,
    pub data_dir: PathBuf,
    pub database_url: Option<String>,
    /// Proxies that are believed about whom they speak for; those on this machine, if nothing else is said.
    pub trusted_proxies: Vec<Network>,
}

#[derive(Debug, Clone)]
pub struct MailConfig {
    pub url: String,
    pub from: String,
}

/// What happens to a restorable line of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketRestore {
    Auto,
    Ask,
}

#[derive(Debug, Clone)]
pub struct TicketsConfig {
    pub restore: TicketRestore,
}

#[derive(Debug, Clone)]
pub struct VolumeConfig {
    pub name: String,
    /// Another machine, on which the volume lies: its agent does there what has to be done. None: it lies here.
    pub host: Option<String>,
    pub path: PathBuf,
    pub url_patterns: Vec<UrlPattern>,
    /// In order of preference.
    pub copies: Vec<CopyConfig>,
    pub readiness: Objectives,
    pub disk_check: Option<DiskCheckConfig>,
    pub gate: GateConfig,
}

#[derive(Debug, Clone)]
pub struct CopyConfig {
    pub name: String,
    pub placement: Placement,
    pub place: CopyPlace,
    pub bandwidth: Option<Bandwidth>,
    pub files_per_second: Option<u64>,
    /// Goes before `bandwidth` where one of its windows fits.
    pub timetable: Timetable,
}

impl CopyConfig {
    /// What it is read within outside of its timetable.
    pub fn limits(&self) -> Limits {
        Limits { bandwidth: self.bandwidth.map(ByteRate::from), files_per_second: self.files_per_second }
    }
}

/// The environment: for settings, and for secrets that the file names.
type Variables = HashMap<String, String>;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{file}: {source}; name another file with --config, or leave it out for the embedded defaults")]
    Read { file: String, source: std::io::Error },
    #[error("{file}: {message}")]
    Toml { file: String, message: String },
    #[error("{key}: {message}")]
    Value { key: String, message: String },
}

impl Config {
    /// Reads `file`; without one, `salvor.toml` if it is there, else the defaults alone. `variables` is the environment.
    pub fn load(
        file: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let (table, base) = match file {
            Some(file) => (read_table(file)?, folder_of(file)),
            None if Path::new("salvor.toml").exists() => {
                (read_table(Path::new("salvor.toml"))?, PathBuf::new())
            }
            None => (toml::Table::new(), PathBuf::new()),
        };
        let shown = file.map_or_else(|| "salvor.toml".to_owned(), |file| file.display().to_string());
        let variables: Variables = variables.collect();
        let table = with_variables(table, &variables)?;
        let raw: raw::Config = toml::Value::Table(table).try_into().map_err(|error: toml::de::Error| {
            ConfigError::Toml { file: shown.clone(), message: error.to_string().trim().to_owned() }
        })?;
        raw.parse(&base, &variables).map_err(|error| match error {
            ConfigError::Value { key, message } => {
                ConfigError::Toml { file: shown, message: format!("{key}: {message}") }
            }
            other => other,
        })
    }

    pub fn volume(&self, name: &str) -> Option<&VolumeConfig> {
        self.volumes.iter().find(|volume| volume.name == name)
    }

    /// Folders and secrets that are named here and are not there, and passwords that anybody on the way can read: one
    /// sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for webhook in &self.webhooks {
            if let Err(why) = webhook.secret.read() {
                warnings.push(format!("webhook \"{}\": {why}", webhook.url));
            }
        }
        for volume in &self.volumes {
            let name = &volume.name;
            if volume.host.is_none() && !volume.path.is_dir() {
                warnings.push(format!("volume \"{name}\": path {} is not a folder", volume.path.display()));
            }
            for copy in &volume.copies {
                let copy_name = format!("volume \"{name}\", copy \"{}\"", copy.name);
                if volume.host.is_none()
                    && let Some(folder) = copy.place.folder().filter(|folder| !folder.is_dir())
                {
                    warnings.push(format!("{copy_name}: path {} is not a folder", folder.display()));
                }
                if let CopyPlace::Webdav(place) = &copy.place
                    && sends_its_password_openly(place)
                {
                    warnings.push(format!(
                        "{copy_name}: the password for {} goes over the network for anybody to read: use https://",
                        place.endpoint
                    ));
                }
                for (key, secret) in copy.place.secrets() {
                    if let Err(why) = secret.read() {
                        warnings.push(format!("{copy_name}: {key}: {why}"));
                    }
                }
            }
        }
        warnings
    }
}

/// Without encryption, and not to this machine alone.
fn sends_its_password_openly(place: &WebdavPlace) -> bool {
    place.endpoint.starts_with("http://") && place.login.is_some() && !is_here(&place.endpoint)
}

/// Whether a URL is one of this machine alone: nobody on the way can read what is sent to it.
pub fn is_here(url: &str) -> bool {
    let Some((_, address)) = url.split_once("://") else { return false };
    let server = address.split(['/', '?', '#']).next().unwrap_or_default();
    let host = server.rsplit('@').next().unwrap_or_default();
    let host = host.strip_prefix('[').map_or_else(|| host.split(':').next(), |v6| v6.split(']').next());
    host.is_some_and(|host| {
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

/// The environment of this process.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn folder_of(file: &Path) -> PathBuf {
    file.parent().map(Path::to_path_buf).unwrap_or_default()
}

fn read_table(file: &Path) -> Result<toml::Table, ConfigError> {
    let shown = file.display().to_string();
    let text =
        std::fs::read_to_string(file).map_err(|source| ConfigError::Read { file: shown.clone(), source })?;
    text.parse().map_err(|error: toml::de::Error| ConfigError::Toml {
        file: shown,
        message: error.to_string().trim().to_owned(),
    })
}

/// `SALVOR_SERVER_LISTEN` sets `server.listen`. Volumes are too deep for variables and stay in the file.
fn with_variables(mut table: toml::Table, variables: &Variables) -> Result<toml::Table, ConfigError> {
    const SECTIONS: [&str; 5] = ["server", "gateway", "mail", "tickets", "health"];
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix("SALVOR_") else { continue };
        let rest = rest.to_lowercase();
        let Some((section, key)) = rest.split_once('_').filter(|(section, _)| SECTIONS.contains(section))
        else {
            // SALVOR_CONFIG and SALVOR_LOG belong to the command line.
            if !matches!(rest.as_str(), "config" | "log") && !rest.starts_with("test_") && rest != "bin" {
                let message = "is not a setting; write for example SALVOR_SERVER_LISTEN".to_owned();
                return Err(ConfigError::Value { key: name.clone(), message });
            }
            continue;
        };
        table
            .entry(section)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .ok_or_else(|| ConfigError::Value { key: section.to_owned(), message: "is a section".into() })?
            .insert(key.to_owned(), toml::Value::String(value.clone()));
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("salvor.toml");
        std::fs::write(&file, text).unwrap();
        Config::load(Some(&file), std::iter::empty())
    }

    const VOLUME: &str = "[[volume]]\nname = \"uploads\"\npath = \"files\"\n";

    #[test]
    fn the_documented_file_is_read() {
        let config = load(&format!(
            "[server]\nlisten = \"127.0.0.1:9\"\n[tickets]\nrestore = \"ask\"\n{VOLUME}\
             url_patterns = [\"https://{{site}}.example.com/files/{{path}}\"]\n\
             [[volume.copy]]\nname = \"local\"\nkind = \"fs\"\nplacement = \"onsite\"\npath = \"copy\"\nbandwidth = \"100 Mbit/s\"\n\
             [volume.readiness]\nrpo = \"24h\"\ndrill_every = \"7d\"\n"
        ))
        .unwrap();
        assert_eq!(config.server.public_url, "http://127.0.0.1:9");
        assert_eq!(config.tickets.restore, TicketRestore::Ask);
        let copy = &config.volume("uploads").unwrap().copies[0];
        assert_eq!(copy.bandwidth.unwrap().bytes_per_second(), 12_500_000);
        let folder = copy.place.folder().unwrap();
        assert!(folder.is_absolute() && folder.ends_with("copy"), "relative to the file");
        let gate = config.volume("uploads").unwrap().gate;
        assert_eq!(gate.copies_verified_within.seconds(), 30 * 86_400);
        let readiness = config.volume("uploads").unwrap().readiness;
        assert_eq!(
            (readiness.rpo.unwrap().seconds(), readiness.rto, readiness.drill_every.unwrap().seconds()),
            (86_400, None, 604_800)
        );
    }

    #[test]
    fn a_host_is_silent_after_three_reports_that_did_not_come() {
        let health = |text: &str| load(&format!("[health]\n{text}")).unwrap().health;
        let (often, seldom) = (health(""), health("every = \"20s\"\nsentinel_loss = \"2.5 %\"\n"));
        assert_eq!((often.every.as_secs(), often.silent_after.num_seconds()), (5, 30));
        assert_eq!((seldom.every.as_secs(), seldom.silent_after.num_seconds()), (20, 60));
        assert_eq!((often.canary, often.sentinel_loss, seldom.sentinel_loss), (true, 0.01, 0.025));
    }

    #[test]
    fn every_error_names_the_key_and_what_would_be_right() {
        for (text, words) in [
            ("[server]\nlisten = \"here\"\n", &["salvor.toml", "server.listen", "127.0.0.1:8080"][..]),
            ("[server]\nport = 1\n", &["salvor.toml", "port", "listen"]),
            (
                "[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"proxy\"]\n",
                &["server.trusted_proxies", "\"proxy\"", "10.0.0.0/8"],
            ),
            ("[server]\ntrusted_proxies = 1\n", &["server.trusted_proxies", "list"]),
            ("[tickets]\nrestore = \"never\"\n", &["restore", "never", "auto"]),
            (
                "[health]\nsilent_after = \"soon\"\n",
                &["salvor.toml", "health.silent_after", "soon", "90 min"],
            ),
            ("[health]\ntrip_on = 1\n", &["health.trip_on", "list"]),
            ("[health]\nevery = \"10min\"\n", &["salvor.toml", "health.every", "5min", "600 s"]),
            ("[health]\nevery = \"20s\"\nsilent_after = \"30s\"\n", &["health.silent_after", "40 s"]),
            ("[health]\npatience = \"2min\"\n", &["health.patience", "60s", "120 s"]),
            ("[health]\nhost = \"two words\"\n", &["health.host", "two words", "store1"]),
            ("[health]\ncanary = \"maybe\"\n", &["health.canary", "true or false", "maybe"]),
            ("[health]\nsentinel_loss = \"a lot\"\n", &["health.sentinel_loss", "a lot", "1 %"]),
            ("[health]\ncanery = true\n", &["salvor.toml", "canery", "canary"]),
            (
                "[health.thresholds.space]\nwarning_free_percent = 2.0\n",
                &["health.thresholds.space.warning_free_percent", "at least 3"],
            ),
            (
                "[health.thresholds.space]\ncritical_free_percent = -1.0\n",
                &["space.critical_free_percent", "0 to 100"],
            ),
            ("[health.thresholds.space]\nwarning = 1\n", &["warning", "warning_free_percent"]),
            ("[[volume]]\nname = \"a b\"\npath = \"x\"\n", &["volume.name", "a b", "letters"]),
            (&format!("{VOLUME}url_patterns = [\"x\"]\n"), &["uploads", "url_patterns", "{path}"]),
            (&format!("{VOLUME}{VOLUME}"), &["uploads", "twice"]),
            (
                &format!("{VOLUME}[volume.readiness]\nrpo = \"a day\"\n"),
                &["salvor.toml", "uploads", "readiness.rpo", "a day", "24h"],
            ),
            (
                &format!("{VOLUME}[volume.gate]\ncopies_verified_within = \"a month\"\n"),
                &["salvor.toml", "uploads", "gate.copies_verified_within", "a month", "7d"],
            ),
            (
                "[[webhook]]\nurl = \"http://hooks.example.com\"\nsecret_env = \"HUSH\"\n",
                &["salvor.toml", "webhook.url", "https://"],
            ),
            (
                "[[webhook]]\nurl = \"http://127.0.0.1:9@example.com\"\nsecret_env = \"HUSH\"\n",
                &["webhook.url"],
            ),
            ("[[webhook]]\nurl = \"https://hooks.example.com\"\n", &["secret_env", "secret_file", "openssl"]),
            (
                "[[webhook]]\nurl = \"https://h.example.com\"\nsecret_env = \"HUSH\"\nevents = [\"job.failed\"]\n",
                &["events", "job.failed", "volume.mode_changed"],
            ),
            (&format!("{VOLUME}[volume.readiness]\nrpa = \"1d\"\n"), &["rpa", "rpo"]),
            (
                &format!("{VOLUME}[[volume.copy]]\nname = \"c\"\nkind = \"tape\"\nplacement = \"onsite\"\n"),
                &["copy \"c\", kind", "tape", "fs"],
            ),
            (
                &format!(
                    "{VOLUME}[[volume.copy]]\nname = \"c\"\nkind = \"fs\"\nplacement = \"onsite\"\npath = \"files/in\"\n"
                ),
                &["copy \"c\", path", "within"],
            ),
        ] {
            let message = load(text).unwrap_err().to_string();
            for word in words {
                assert!(message.contains(word), "\"{word}\" is not in: {message}");
            }
        }
    }

    #[test]
    fn a_password_that_anybody_on_the_way_can_read_is_warned_of() {
        let warnings = |endpoint: &str, login: &str| {
            let config = load(&format!(
                "[[volume]]\nname = \"uploads\"\npath = \"/\"\n[[volume.copy]]\nname = \"dav\"\nkind = \"webdav\"\n\
                 placement = \"offsite\"\nendpoint = \"{endpoint}\"\n{login}"
            ));
            config.unwrap().warnings()
        };
        const LOGIN: &str = "user = \"ann\"\npassword_file = \"/etc/hostname\"\n";
        for endpoint in
            ["http://dav.example.com/files", "http://10.0.0.7:8080", "http://localhost.example.com"]
        {
            let told = warnings(endpoint, LOGIN);
            assert_eq!(told.len(), 1, "{told:?}");
            for word in ["copy \"dav\"", endpoint, "anybody", "https://"] {
                assert!(told[0].contains(word), "\"{word}\" is not in: {told:?}");
            }
            assert_eq!(warnings(endpoint, ""), [""; 0], "it has no password");
        }
        for endpoint in
            ["https://dav.example.com", "http://127.0.0.1:8080/x", "http://localhost", "http://[::1]:80"]
        {
            assert_eq!(warnings(endpoint, LOGIN), [""; 0], "{endpoint}");
        }
    }

    #[test]
    fn variables_override_the_file_and_wrong_ones_are_named() {
        let with =
            |name: &str, value: &str| Config::load(None, [(name.to_owned(), value.to_owned())].into_iter());
        assert_eq!(with("SALVOR_SERVER_LISTEN", "0.0.0.0:80").unwrap().server.listen.port(), 80);
        let proxies =
            with("SALVOR_SERVER_TRUSTED_PROXIES", "10.0.0.0/8, ::1").unwrap().server.trusted_proxies;
        assert!(proxies.len() == 2 && proxies[0].contains("10.1.2.3".parse().unwrap()));
        assert!(with("SALVOR_LISTEN", "x").unwrap_err().to_string().contains("SALVOR_SERVER_LISTEN"));
    }
}
