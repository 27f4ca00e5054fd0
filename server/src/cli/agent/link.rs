//! The way to the server: where it is, with what token it is called, and what its answers mean.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{StatusCode, Uri};
use reqwest::{Client, header};
use serde::Serialize;

use super::{Args, CliError};
use crate::clock::random;
use crate::config::is_here;
use crate::outgoing;

const TIME_TO_ANSWER: Duration = Duration::from_secs(20);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Of an answer that is shown.
const LONGEST_ANSWER: usize = 300;

/// Cheap to clone.
#[derive(Clone)]
pub struct Link {
    client: Client,
    pub url: String,
    token_file: PathBuf,
}

/// What became of a call.
pub enum Sent {
    Taken(Vec<u8>),
    /// It would be refused again.
    Useless(String),
    /// The server, or the way to it, is at fault.
    NotNow(String),
    /// The token is.
    Refused(String),
}

impl Link {
    pub fn new(args: &Args) -> Result<Self, CliError> {
        let url = checked_url(&args.server, args.insecure)?;
        read_token(&args.token_file)?;
        let client = outgoing::client(TIME_TO_ANSWER)
            .map_err(|why| CliError::Failed(format!("no connection can be made: {why}")))?;
        Ok(Self { client, url, token_file: args.token_file.clone() })
    }

    pub async fn post(&self, route: &str, body: &impl Serialize) -> Sent {
        // Read anew each time, so that a token can be changed without a restart.
        let token = match read_token(&self.token_file) {
            Ok(token) => token,
            Err(why) => return Sent::NotNow(why.to_string()),
        };
        let body = match serde_json::to_vec(body) {
            Ok(body) => body,
            Err(why) => return Sent::Useless(why.to_string()),
        };
        let request = self.client.post(format!("{}{route}", self.url)).bearer_auth(token);
        let answer = match request.header(header::CONTENT_TYPE, "application/json").body(body).send().await {
            Ok(answer) => answer,
            Err(why) => return Sent::NotNow(outgoing::told(why)),
        };
        let status = answer.status();
        match answer.bytes().await {
            Ok(said) => self.judge(status, said.into()),
            Err(why) => Sent::NotNow(outgoing::told(why)),
        }
    }

    fn judge(&self, status: StatusCode, said: Vec<u8>) -> Sent {
        if status.is_success() {
            return Sent::Taken(said);
        }
        let (url, said) = (&self.url, detail(&String::from_utf8_lossy(&said)));
        match status {
            StatusCode::UNAUTHORIZED => Sent::Refused(format!(
                "{url} refuses the token in {} ({said}): it was revoked, has expired or is another server's; \
                 `salvor token create NAME --role agent` on the server prints a new one",
                self.token_file.display()
            )),
            StatusCode::FORBIDDEN => Sent::Refused(format!(
                "the token in {} may not report this host to {url} ({said}): each host takes one of the role agent for \
                 itself; `salvor token create NAME --role agent` on the server prints it",
                self.token_file.display()
            )),
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                Sent::Useless(format!("{status}: {said}"))
            }
            StatusCode::NOT_FOUND => {
                Sent::NotNow(format!("{status}: there is no Salvor, or one that is too old"))
            }
            _ => Sent::NotNow(format!("{status}: {said}")),
        }
    }
}

/// How long to wait before a server that is away is tried again: longer each time.
#[derive(Debug, Clone, Copy)]
pub struct Pause(Duration);

impl Pause {
    pub fn after(before: Option<Self>) -> Self {
        Self(before.map_or(FIRST_PAUSE, |Self(pause)| (pause * 2).min(LONGEST_PAUSE)))
    }

    /// Half to one and a half: many agents are not to come back at the same moment.
    pub fn length(self) -> Duration {
        let jitter = 0.5 + f64::from(u16::from_le_bytes(random())) / f64::from(u16::MAX);
        self.0.mul_f64(jitter)
    }
}

/// Without a trailing `/`. A token goes only where nobody on the way can read it.
fn checked_url(url: &str, insecure: bool) -> Result<String, CliError> {
    let wrong = |why: &str| {
        Err(CliError::Usage(format!("--server {url}: {why}; write for example https://salvor.example.com")))
    };
    let Ok(parsed) = url.parse::<Uri>() else { return wrong("this is no URL") };
    if parsed.host().is_none_or(str::is_empty) {
        return wrong("it names no host");
    }
    match parsed.scheme_str() {
        Some("https") => {}
        Some("http") if is_here(url) || insecure => {}
        Some("http") => {
            return wrong("anybody on the way could read the token: use https:// (or --insecure)");
        }
        _ => return wrong("it begins with https://"),
    }
    if parsed.query().is_some()
        || parsed.authority().is_some_and(|authority| authority.as_str().contains('@'))
    {
        return wrong("it is an address and nothing else");
    }
    Ok(url.trim_end_matches('/').to_owned())
}

fn read_token(file: &Path) -> Result<String, CliError> {
    let usage = |why: String| CliError::Usage(format!("--token-file {}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|why| usage(why.to_string()))?;
    let token = text.trim();
    if token.is_empty() || token.len() > 1_000 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(usage(
            "it holds no token; `salvor token create NAME --role agent` on the server prints one".into(),
        ));
    }
    Ok(token.to_owned())
}

/// What a problem document says, or the text as it is.
fn detail(said: &str) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_str(said).ok();
    let detail =
        problem.as_ref().and_then(|problem| problem.get("detail").or(problem.get("title"))?.as_str());
    let text = detail.unwrap_or(said).trim();
    if text.is_empty() { "it gives no reason".into() } else { text.chars().take(LONGEST_ANSWER).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_only_where_nobody_can_read_it() {
        for url in
            ["https://salvor.example.com", "http://127.0.0.1:8080/", "http://localhost", "http://[::1]:80"]
        {
            assert_eq!(checked_url(url, false).unwrap(), url.trim_end_matches('/'));
        }
        for (url, word) in [
            ("http://salvor.example.com", "https://"),
            ("http://localhost.example.com", "https://"),
            ("http://10.0.0.1", "--insecure"),
            ("ftp://salvor.example.com", "https://"),
            ("salvor.example.com", "https://"),
            ("https://ann:x@salvor.example.com", "nothing else"),
            ("", "URL"),
        ] {
            let why = checked_url(url, false).unwrap_err().to_string();
            assert!(why.contains(word), "{url}: {why}");
        }
        assert!(checked_url("http://10.0.0.1", true).is_ok());
    }

    #[test]
    fn a_file_without_a_token_is_named_with_what_would_be_right() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in ["", "\n", "two words\n"] {
            std::fs::write(file.path(), text).unwrap();
            let why = read_token(file.path()).unwrap_err().to_string();
            assert!(
                why.contains(&file.path().display().to_string()) && why.contains("--role agent"),
                "{why}"
            );
        }
        std::fs::write(file.path(), "abc123\n").unwrap();
        assert_eq!(read_token(file.path()).unwrap(), "abc123");
    }
}
