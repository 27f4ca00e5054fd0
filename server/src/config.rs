//! The configuration: a TOML file, `SALVOR_…` variables over it, and embedded defaults under it.
//!
//! Every error names the file, the key and what would be right. A [`Config`] that exists is valid: names are unique,
//! rates parsed, patterns understood. Whether folders exist is asked when they are opened ([`VolumeConfig::path`] may be
//! gone on the very day Salvor is for), but `check_folders` tells at start.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use salvor_domain::units::Bandwidth;
use salvor_domain::url_pattern::UrlPattern;
use salvor_domain::volume::{CopyKind, Placement};
use serde::Deserialize;

use crate::network::Network;

/// More copies than the catalogue has bits for.
pub const MAX_COPIES: usize = 62;
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1"];

#[derive(Debug, Clone)]
pub struct Config {
    pub server: ServerConfig,
    pub gateway: GatewayConfig,
    pub tickets: TicketsConfig,
    pub mail: Option<MailConfig>,
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
pub struct GatewayConfig {
    pub listen: SocketAddr,
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
    pub path: PathBuf,
    pub url_patterns: Vec<UrlPattern>,
    /// In order of preference.
    pub copies: Vec<CopyConfig>,
}

#[derive(Debug, Clone)]
pub struct CopyConfig {
    pub name: String,
    pub kind: CopyKind,
    pub placement: Placement,
    pub path: PathBuf,
    pub bandwidth: Option<Bandwidth>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{file}: {source}")]
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
        let table = with_variables(table, variables)?;
        let raw: raw::Config = toml::Value::Table(table).try_into().map_err(|error: toml::de::Error| {
            ConfigError::Toml { file: shown.clone(), message: error.to_string().trim().to_owned() }
        })?;
        raw.parse(&base).map_err(|error| match error {
            ConfigError::Value { key, message } => {
                ConfigError::Toml { file: shown, message: format!("{key}: {message}") }
            }
            other => other,
        })
    }

    pub fn volume(&self, name: &str) -> Option<&VolumeConfig> {
        self.volumes.iter().find(|volume| volume.name == name)
    }

    /// Folders that are named here and are not there: one sentence each.
    pub fn missing_folders(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for volume in &self.volumes {
            if !volume.path.is_dir() {
                missing.push(format!(
                    "volume \"{}\": path {} is not a folder",
                    volume.name,
                    volume.path.display()
                ));
            }
            for copy in &volume.copies {
                if !copy.path.is_dir() {
                    missing.push(format!(
                        "volume \"{}\", copy \"{}\": path {} is not a folder",
                        volume.name,
                        copy.name,
                        copy.path.display()
                    ));
                }
            }
        }
        missing
    }
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
fn with_variables(
    mut table: toml::Table,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<toml::Table, ConfigError> {
    const SECTIONS: [&str; 4] = ["server", "gateway", "mail", "tickets"];
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix("SALVOR_") else { continue };
        let rest = rest.to_lowercase();
        let Some((section, key)) = rest.split_once('_').filter(|(section, _)| SECTIONS.contains(section))
        else {
            // SALVOR_CONFIG and SALVOR_LOG belong to the command line.
            if !matches!(rest.as_str(), "config" | "log") && !rest.starts_with("test_") && rest != "bin" {
                let message = "is not a setting; write for example SALVOR_SERVER_LISTEN".to_owned();
                return Err(ConfigError::Value { key: name, message });
            }
            continue;
        };
        table
            .entry(section)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .ok_or_else(|| ConfigError::Value { key: section.to_owned(), message: "is a section".into() })?
            .insert(key.to_owned(), toml::Value::String(value));
    }
    Ok(table)
}

/// The file as it is written, before its values are understood.
mod raw {
    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Config {
        #[serde(default)]
        server: Server,
        #[serde(default)]
        gateway: Gateway,
        mail: Option<Mail>,
        #[serde(default)]
        tickets: Tickets,
        #[serde(default, rename = "volume")]
        volumes: Vec<Volume>,
    }

    #[derive(Deserialize, Default)]
    #[serde(deny_unknown_fields)]
    struct Server {
        listen: Option<String>,
        public_url: Option<String>,
        data_dir: Option<PathBuf>,
        database_url: Option<String>,
        trusted_proxies: Option<toml::Value>,
    }

    #[derive(Deserialize, Default)]
    #[serde(deny_unknown_fields)]
    struct Gateway {
        listen: Option<String>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Mail {
        url: String,
        from: String,
    }

    #[derive(Deserialize, Default)]
    #[serde(deny_unknown_fields)]
    struct Tickets {
        restore: Option<TicketRestore>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Volume {
        name: String,
        path: PathBuf,
        #[serde(default)]
        url_patterns: Vec<String>,
        #[serde(default, rename = "copy")]
        copies: Vec<Copy>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Copy {
        name: String,
        kind: String,
        placement: String,
        path: Option<PathBuf>,
        bandwidth: Option<String>,
    }

    fn wrong(key: impl Into<String>, message: impl std::fmt::Display) -> ConfigError {
        ConfigError::Value { key: key.into(), message: message.to_string() }
    }

    fn address(key: &str, text: Option<String>, default: &str) -> Result<SocketAddr, ConfigError> {
        let text = text.unwrap_or_else(|| default.to_owned());
        text.parse()
            .map_err(|_| wrong(key, format!("\"{text}\" is not an address; write for example \"{default}\"")))
    }

    /// A list, or in a variable its members with commas between them.
    fn networks(key: &str, value: Option<toml::Value>) -> Result<Vec<Network>, ConfigError> {
        let members = match value {
            None => LOOPBACK.map(str::to_owned).to_vec(),
            Some(toml::Value::String(text)) => text
                .split(',')
                .map(|member| member.trim().to_owned())
                .filter(|member| !member.is_empty())
                .collect(),
            Some(list) => {
                let rule = "is a list of networks; write for example [\"10.0.0.0/8\"]";
                list.try_into::<Vec<String>>().map_err(|_| wrong(key, rule))?
            }
        };
        members.iter().map(|member| member.parse().map_err(|why| wrong(key, why))).collect()
    }

    fn checked_name(key: &str, name: &str) -> Result<(), ConfigError> {
        let fits = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
            && !name.starts_with('.');
        let rule = "use 1 to 64 letters, digits, - _ or ., not starting with a dot";
        if fits { Ok(()) } else { Err(wrong(key, format!("\"{name}\" is not a name; {rule}"))) }
    }

    impl Config {
        /// `base` is the folder of the file: relative paths in it start there.
        pub fn parse(self, base: &Path) -> Result<super::Config, ConfigError> {
            let listen = address("server.listen", self.server.listen, "127.0.0.1:8080")?;
            let public_url = self.server.public_url.unwrap_or_else(|| format!("http://{listen}"));
            if !public_url.starts_with("http://") && !public_url.starts_with("https://") {
                return Err(wrong(
                    "server.public_url",
                    format!("\"{public_url}\" must start with http:// or https://"),
                ));
            }
            if let Some(url) = &self.server.database_url
                && !url.starts_with("postgres://")
                && !url.starts_with("postgresql://")
            {
                let message = "must start with postgres://; leave it out for the embedded SQLite in data_dir";
                return Err(wrong("server.database_url", message));
            }
            let server = ServerConfig {
                listen,
                public_url: public_url.trim_end_matches('/').to_owned(),
                data_dir: base.join(self.server.data_dir.unwrap_or_else(|| PathBuf::from("salvor-data"))),
                database_url: self.server.database_url,
                trusted_proxies: networks("server.trusted_proxies", self.server.trusted_proxies)?,
            };
            let gateway =
                GatewayConfig { listen: address("gateway.listen", self.gateway.listen, "127.0.0.1:8081")? };
            let tickets = TicketsConfig { restore: self.tickets.restore.unwrap_or(TicketRestore::Auto) };
            let mail = self.mail.map(|mail| MailConfig { url: mail.url, from: mail.from });
            let mut volumes: Vec<VolumeConfig> = Vec::new();
            for volume in self.volumes {
                let volume = volume.parse(base)?;
                if volumes.iter().any(|other| other.name == volume.name) {
                    return Err(wrong("volume.name", format!("\"{}\" is there twice", volume.name)));
                }
                volumes.push(volume);
            }
            Ok(super::Config { server, gateway, tickets, mail, volumes })
        }
    }

    impl Volume {
        fn parse(self, base: &Path) -> Result<VolumeConfig, ConfigError> {
            checked_name("volume.name", &self.name)?;
            let key = |rest: &str| format!("volume \"{}\", {rest}", self.name);
            let url_patterns = self
                .url_patterns
                .iter()
                .map(|pattern| UrlPattern::parse(pattern).map_err(|why| wrong(key("url_patterns"), why)))
                .collect::<Result<_, _>>()?;
            if self.copies.len() > MAX_COPIES {
                return Err(wrong(key("copy"), format!("a volume has at most {MAX_COPIES} copies")));
            }
            let path = base.join(&self.path);
            let mut copies: Vec<CopyConfig> = Vec::new();
            for copy in self.copies {
                let copy = copy.parse(base, &|rest| format!("volume \"{}\", copy.{rest}", self.name))?;
                if copies.iter().any(|other| other.name == copy.name) {
                    return Err(wrong(key("copy.name"), format!("\"{}\" is there twice", copy.name)));
                }
                if copy.path.starts_with(&path) || path.starts_with(&copy.path) {
                    let message = format!(
                        "{} must not lie within the volume, nor the volume within it",
                        copy.path.display()
                    );
                    return Err(wrong(key("copy.path"), message));
                }
                copies.push(copy);
            }
            Ok(VolumeConfig { name: self.name, path, url_patterns, copies })
        }
    }

    impl Copy {
        fn parse(self, base: &Path, key: &dyn Fn(&str) -> String) -> Result<CopyConfig, ConfigError> {
            checked_name(&key("name"), &self.name)?;
            let kind: CopyKind = self.kind.parse().map_err(|why| wrong(key("kind"), why))?;
            if kind != CopyKind::Fs {
                return Err(wrong(
                    key("kind"),
                    format!("\"{kind}\" copies are not supported by this version; use \"fs\""),
                ));
            }
            let path = self.path.ok_or_else(|| wrong(key("path"), "is missing: the folder of this copy"))?;
            Ok(CopyConfig {
                kind,
                placement: self.placement.parse().map_err(|why| wrong(key("placement"), why))?,
                path: base.join(path),
                bandwidth: match self.bandwidth {
                    Some(text) => Some(text.parse().map_err(|why| wrong(key("bandwidth"), why))?),
                    None => None,
                },
                name: self.name,
            })
        }
    }
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
             [[volume.copy]]\nname = \"local\"\nkind = \"fs\"\nplacement = \"onsite\"\npath = \"copy\"\nbandwidth = \"100 Mbit/s\"\n"
        ))
        .unwrap();
        assert_eq!(config.server.public_url, "http://127.0.0.1:9");
        assert_eq!(config.tickets.restore, TicketRestore::Ask);
        let copy = &config.volume("uploads").unwrap().copies[0];
        assert_eq!(copy.bandwidth.unwrap().bytes_per_second(), 12_500_000);
        assert!(copy.path.is_absolute() && copy.path.ends_with("copy"), "relative to the file");
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
            ("[[volume]]\nname = \"a b\"\npath = \"x\"\n", &["volume.name", "a b", "letters"]),
            (&format!("{VOLUME}url_patterns = [\"x\"]\n"), &["uploads", "url_patterns", "{path}"]),
            (&format!("{VOLUME}{VOLUME}"), &["uploads", "twice"]),
            (
                &format!("{VOLUME}[[volume.copy]]\nname = \"c\"\nkind = \"tape\"\nplacement = \"onsite\"\n"),
                &["copy.kind", "tape", "fs"],
            ),
            (
                &format!(
                    "{VOLUME}[[volume.copy]]\nname = \"c\"\nkind = \"fs\"\nplacement = \"onsite\"\npath = \"files/in\"\n"
                ),
                &["copy.path", "within"],
            ),
        ] {
            let message = load(text).unwrap_err().to_string();
            for word in words {
                assert!(message.contains(word), "\"{word}\" is not in: {message}");
            }
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
