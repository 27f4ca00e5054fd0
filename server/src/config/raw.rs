//! The file as it is written, before its values are understood.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use salvor_domain::url_pattern::UrlPattern;
use serde::Deserialize;

use super::{
    ConfigError, CopyConfig, LOOPBACK, MAX_COPIES, MailConfig, ServerConfig, TicketRestore, TicketsConfig,
    Variables, VolumeConfig, copy, disk_check, gate, gateway, health, readiness, webhook,
};
use crate::network::Network;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    server: Server,
    #[serde(default)]
    gateway: gateway::Raw,
    mail: Option<Mail>,
    #[serde(default)]
    tickets: Tickets,
    #[serde(default)]
    health: health::Raw,
    #[serde(default, rename = "webhook")]
    webhooks: Vec<webhook::Raw>,
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
    host: Option<String>,
    path: PathBuf,
    #[serde(default)]
    url_patterns: Vec<String>,
    #[serde(default, rename = "copy")]
    copies: Vec<toml::Table>,
    #[serde(default)]
    readiness: readiness::Raw,
    disk_check: Option<disk_check::Raw>,
    #[serde(default)]
    gate: gate::Raw,
}

pub(super) fn wrong(key: impl Into<String>, message: impl std::fmt::Display) -> ConfigError {
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

pub(super) fn checked_name(key: &str, name: &str) -> Result<(), ConfigError> {
    let fits = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !name.starts_with('.');
    let rule = "use 1 to 64 letters, digits, - _ or ., not starting with a dot";
    if fits { Ok(()) } else { Err(wrong(key, format!("\"{name}\" is not a name; {rule}"))) }
}

impl Config {
    /// `base` is the folder of the file: relative paths in it start there.
    pub fn parse(self, base: &Path, variables: &Variables) -> Result<super::Config, ConfigError> {
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
        let gateway = self.gateway.parse(base)?;
        let tickets = TicketsConfig { restore: self.tickets.restore.unwrap_or(TicketRestore::Auto) };
        let mail = self.mail.map(|mail| MailConfig { url: mail.url, from: mail.from });
        let health = self.health.parse()?;
        let this_host = health.host();
        let mut volumes: Vec<VolumeConfig> = Vec::new();
        for volume in self.volumes {
            let volume = volume.parse(base, variables, &this_host)?;
            if volumes.iter().any(|other| other.name == volume.name) {
                return Err(wrong("volume.name", format!("\"{}\" is there twice", volume.name)));
            }
            volumes.push(volume);
        }
        let mut webhooks: Vec<super::WebhookConfig> = Vec::new();
        for webhook in self.webhooks {
            let webhook = webhook.parse(base, variables)?;
            if webhooks.iter().any(|other| other.url == webhook.url) {
                return Err(wrong("webhook.url", format!("\"{}\" is there twice", webhook.url)));
            }
            webhooks.push(webhook);
        }
        Ok(super::Config { server, gateway, tickets, mail, health, webhooks, volumes })
    }
}

impl Volume {
    fn parse(self, base: &Path, variables: &Variables, this_host: &str) -> Result<VolumeConfig, ConfigError> {
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
            let copy = copy::parse(copy, &format!("volume \"{}\", copy", self.name), base, variables)?;
            if copies.iter().any(|other| other.name == copy.name) {
                return Err(wrong(key("copy.name"), format!("\"{}\" is there twice", copy.name)));
            }
            if copies.iter().any(|other| other.place == copy.place) {
                let message = format!("{} is another copy already", copy.place);
                return Err(wrong(key(&format!("copy \"{}\"", copy.name)), message));
            }
            if let Some(folder) = copy.place.folder()
                && (folder.starts_with(&path) || path.starts_with(folder))
            {
                let message =
                    format!("{} must not lie within the volume, nor the volume within it", folder.display());
                return Err(wrong(key(&format!("copy \"{}\", path", copy.name)), message));
            }
            copies.push(copy);
        }
        let readiness = self.readiness.parse(&self.name)?;
        let disk_check = self.disk_check.map(|raw| raw.parse(&self.name)).transpose()?;
        let gate = self.gate.parse(&self.name)?;
        if self.host.as_deref().is_some_and(|host| host.trim().is_empty()) {
            return Err(wrong(
                key("host"),
                "it is empty; name the host as its agent reports itself, or leave it out",
            ));
        }
        let host = self.host.filter(|host| host != this_host);
        Ok(VolumeConfig { name: self.name, host, path, url_patterns, copies, readiness, disk_check, gate })
    }
}
