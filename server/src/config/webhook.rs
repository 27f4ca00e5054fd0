//! `[[webhook]]`: who is told of what, and how they know that it is Salvor who says so.

use std::path::{Path, PathBuf};

use salvor_copies::secret::Secret;
use salvor_domain::event::EventKind;
use serde::Deserialize;

use super::raw::wrong;
use super::{ConfigError, Variables, is_here};

/// What webhooks can be told of.
const EVENTS: &[EventKind] = &[EventKind::ModeChanged];

#[derive(Debug, Clone)]
pub struct WebhookConfig {
    pub url: String,
    pub secret: Secret,
    pub events: Vec<EventKind>,
}

/// As it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    url: String,
    secret_env: Option<String>,
    secret_file: Option<PathBuf>,
    events: Option<Vec<String>>,
}

impl Raw {
    pub fn parse(self, base: &Path, variables: &Variables) -> Result<WebhookConfig, ConfigError> {
        let Self { url, secret_env, secret_file, events } = self;
        let is_open = url.starts_with("http://") && !is_here(&url);
        if is_open || !(url.starts_with("http://") || url.starts_with("https://")) {
            let right = "must start with https://, or with http:// to an address of this machine";
            return Err(wrong("webhook.url", format!("\"{url}\" {right}")));
        }
        let key = |key: &str| format!("webhook \"{url}\", {key}");
        let secret = match (secret_env, secret_file) {
            (Some(name), None) => Secret::Variable { value: variables.get(&name).cloned(), name },
            (None, Some(file)) => Secret::File(base.join(file)),
            _ => {
                let right = "give one of secret_env and secret_file: what holds the secret that messages are signed with, \
                             \"whsec_\" and the output of `openssl rand -base64 32`";
                return Err(wrong(key("secret_env"), right));
            }
        };
        let words = events.unwrap_or_else(|| EVENTS.iter().map(ToString::to_string).collect());
        let event = |word: &String| {
            EVENTS.iter().find(|kind| kind.as_str() == word).copied().ok_or_else(|| {
                let all: Vec<_> = EVENTS.iter().map(|kind| kind.as_str()).collect();
                wrong(key("events"), format!("webhooks are not told of \"{word}\"; use {}", all.join(", ")))
            })
        };
        let events = words.iter().map(event).collect::<Result<_, _>>()?;
        Ok(WebhookConfig { url, secret, events })
    }
}
