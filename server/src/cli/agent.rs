//! `salvor agent`: the probes of a storage host, reporting to a server elsewhere.
//!
//! It needs no database: volumes and copies are those of the same salvor.toml. While the server is away, reports wait here, bounded,
//! of equal ones only the newest; a token that the server refuses ends it, since waiting would not help.

mod backlog;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{StatusCode, Uri};
use reqwest::{Client, header};
use salvor_domain::health::Report;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::backlog::Backlog;
use super::CliError;
use crate::clock::{Clock, random};
use crate::config::{Config, is_here};
use crate::health::sampler::Sampler;
use crate::outgoing;

const ROUTE: &str = "/api/v1/agent/report";
const TIME_TO_ANSWER: Duration = Duration::from_secs(20);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Of an answer that is shown.
const LONGEST_ANSWER: usize = 300;

/// Report this storage host's health to a Salvor server
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server, as https://salvor.example.com
    #[arg(long, value_name = "URL")]
    server: String,
    /// A file with a token of the role agent: `salvor token create NAME --role agent` on the server prints one
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// Send the token over http:// although anybody on the way can read it
    #[arg(long)]
    insecure: bool,
    /// Report once, and end when the server has it
    #[arg(long)]
    once: bool,
}

pub async fn run(config: Config, args: Args) -> Result<ExitCode, CliError> {
    let clock = Clock::system();
    let mut server = Server::new(&args)?;
    if config.volumes.is_empty() {
        let message =
            "the configuration names no volume: give this host the salvor.toml of its volumes, with --config";
        return Err(CliError::Usage(message.into()));
    }
    let stop = CancellationToken::new();
    let mut sampler = Sampler::start(&config, &stop);
    let (backlog, fresh) = (Mutex::new(Backlog::default()), Notify::new());
    let every = config.health.every.as_secs();
    eprintln!("salvor agent: {} reports to {} every {every} s", sampler.host(), server.url);
    let (mut term, mut int) = signals()?;
    // Side by side: a server that hangs keeps nobody from looking.
    let sample = async {
        loop {
            let report = sampler.next(|| clock.now()).await;
            held(&backlog).push(report);
            fresh.notify_one();
        }
    };
    let deliver = async {
        loop {
            fresh.notified().await;
            server.deliver(&backlog).await?;
            if args.once && held(&backlog).is_empty() {
                return Ok(());
            }
        }
    };
    let ended = tokio::select! {
        ended = deliver => ended,
        () = sample => Ok(()),
        _ = term.recv() => Ok(()),
        _ = int.recv() => Ok(()),
    };
    stop.cancel();
    ended.map(|()| ExitCode::SUCCESS)
}

fn held(backlog: &Mutex<Backlog>) -> MutexGuard<'_, Backlog> {
    backlog.lock().unwrap_or_else(PoisonError::into_inner)
}

fn signals() -> Result<(tokio::signal::unix::Signal, tokio::signal::unix::Signal), CliError> {
    let hear = |kind| signal(kind).map_err(|why| CliError::Failed(format!("signals cannot be heard: {why}")));
    Ok((hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?))
}

/// The server, and how it is to be reached just now.
struct Server {
    client: Client,
    url: String,
    token_file: PathBuf,
    /// Since when it has been away, and when to try again.
    away: Option<Away>,
}

#[derive(Debug, Clone, Copy)]
struct Away {
    next_try: Instant,
    pause: Duration,
}

/// What became of one report.
enum Sent {
    Taken,
    /// It would be refused again.
    Useless(String),
    /// The server, or the way to it, is at fault.
    NotNow(String),
    /// The token is.
    Refused(String),
}

impl Server {
    fn new(args: &Args) -> Result<Self, CliError> {
        let url = checked_url(&args.server, args.insecure)?;
        read_token(&args.token_file)?;
        let client = outgoing::client(TIME_TO_ANSWER)
            .map_err(|why| CliError::Failed(format!("no connection can be made: {why}")))?;
        Ok(Self { client, url, token_file: args.token_file.clone(), away: None })
    }

    /// Sends what waits, oldest first, unless it is too early for another try.
    async fn deliver(&mut self, backlog: &Mutex<Backlog>) -> Result<(), CliError> {
        if self.away.is_some_and(|away| Instant::now() < away.next_try) {
            return Ok(());
        }
        let mut delivered = 0;
        loop {
            // It stays in its place until the server has it.
            let Some(report) = held(backlog).oldest().cloned() else { break };
            match self.send(&report).await {
                Sent::Taken => delivered += 1,
                Sent::Useless(why) => eprintln!("salvor agent: the server does not take a report: {why}"),
                Sent::NotNow(why) => {
                    self.is_away(&why, held(backlog).len());
                    return Ok(());
                }
                Sent::Refused(why) => return Err(CliError::Usage(why)),
            }
            held(backlog).drop_oldest();
        }
        if self.away.take().is_some() {
            eprintln!("salvor agent: {} is back, and has the {delivered} reports that waited", self.url);
        }
        Ok(())
    }

    fn is_away(&mut self, why: &str, waiting: usize) {
        let pause = self.away.map_or(FIRST_PAUSE, |away| (away.pause * 2).min(LONGEST_PAUSE));
        if self.away.is_none() {
            eprintln!("salvor agent: {} is away ({why}); reports wait here, {waiting} so far", self.url);
        }
        // Half to one and a half: many agents are not to come back at the same moment.
        let jitter = 0.5 + f64::from(u16::from_le_bytes(random())) / f64::from(u16::MAX);
        self.away = Some(Away { next_try: Instant::now() + pause.mul_f64(jitter), pause });
    }

    async fn send(&self, report: &Report) -> Sent {
        // Read anew each time, so that a token can be changed without a restart.
        let token = match read_token(&self.token_file) {
            Ok(token) => token,
            Err(why) => return Sent::NotNow(why.to_string()),
        };
        let body = match serde_json::to_vec(report) {
            Ok(body) => body,
            Err(why) => return Sent::Useless(why.to_string()),
        };
        let request = self.client.post(format!("{}{ROUTE}", self.url)).bearer_auth(token);
        let answer = match request.header(header::CONTENT_TYPE, "application/json").body(body).send().await {
            Ok(answer) => answer,
            Err(why) => return Sent::NotNow(outgoing::told(why)),
        };
        let status = answer.status();
        let said = answer.text().await.unwrap_or_default();
        self.judge(status, &detail(&said))
    }

    fn judge(&self, status: StatusCode, said: &str) -> Sent {
        let url = &self.url;
        match status {
            _ if status.is_success() => Sent::Taken,
            StatusCode::UNAUTHORIZED => Sent::Refused(format!(
                "{url} refuses the token in {} ({said}): it was revoked, has expired or is another server's; \
                 `salvor token create NAME --role agent` on the server prints a new one",
                self.token_file.display()
            )),
            StatusCode::FORBIDDEN => Sent::Refused(format!(
                "the token in {} may not report to {url} ({said}): it takes one of the role agent; \
                 `salvor token create NAME --role agent` on the server prints it",
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
