//! `salvor agent`: the probes of a storage host, reporting to a server elsewhere, and the hands of that server's jobs on the volumes
//! that lie here.
//!
//! It needs no database: volumes and copies are those of the same salvor.toml. While the server is away, reports wait here, bounded,
//! of equal ones only the newest; a token that the server refuses ends it, since waiting would not help. Jobs are worked on by
//! [`work`], once the server knows this host by a report.

mod backlog;
mod link;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::backlog::Backlog;
use self::link::{Link, Pause, Sent};
use super::CliError;
use crate::clock::Clock;
use crate::config::Config;
use crate::health::sampler::Sampler;

const ROUTE: &str = "/api/v1/agent/report";

/// Report this storage host's health to a Salvor server, and work on its volumes for that server's jobs
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
    let link = Link::new(&args)?;
    if config.volumes.is_empty() {
        let message =
            "the configuration names no volume: give this host the salvor.toml of its volumes, with --config";
        return Err(CliError::Usage(message.into()));
    }
    let stop = CancellationToken::new();
    let mut sampler = Sampler::start(&config, &stop);
    let (backlog, fresh) = (Mutex::new(Backlog::default()), Notify::new());
    let every = config.health.every.as_secs();
    eprintln!("salvor agent: {} reports to {} every {every} s", sampler.host(), link.url);
    let known = Arc::new(Notify::new());
    let host = sampler.host().to_owned();
    let working = work::run(link.clone(), Arc::new(config), host, known.clone());
    let mut reports = Reports { link, known, away: None };
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
            reports.deliver(&backlog).await?;
            if args.once && held(&backlog).is_empty() {
                return Ok(());
            }
        }
    };
    let ended = tokio::select! {
        ended = deliver => ended,
        () = sample => Ok(()),
        refused = working, if !args.once => Err(CliError::Usage(refused)),
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

/// Reports on their way to the server.
struct Reports {
    link: Link,
    /// The server has taken one.
    known: Arc<Notify>,
    /// Since when it has been away, and when to try again.
    away: Option<Away>,
}

#[derive(Debug, Clone, Copy)]
struct Away {
    next_try: Instant,
    pause: Pause,
}

impl Reports {
    /// Sends what waits, oldest first, unless it is too early for another try.
    async fn deliver(&mut self, backlog: &Mutex<Backlog>) -> Result<(), CliError> {
        if self.away.is_some_and(|away| Instant::now() < away.next_try) {
            return Ok(());
        }
        let mut delivered = 0;
        loop {
            // It stays in its place until the server has it.
            let Some(report) = held(backlog).oldest().cloned() else { break };
            match self.link.post(ROUTE, &report).await {
                Sent::Taken(_) => {
                    delivered += 1;
                    self.known.notify_one();
                }
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
            eprintln!("salvor agent: {} is back, and has the {delivered} reports that waited", self.link.url);
        }
        Ok(())
    }

    fn is_away(&mut self, why: &str, waiting: usize) {
        if self.away.is_none() {
            let url = &self.link.url;
            eprintln!("salvor agent: {url} is away ({why}); reports wait here, {waiting} so far");
        }
        let pause = Pause::after(self.away.map(|away| away.pause));
        self.away = Some(Away { next_try: Instant::now() + pause.length(), pause });
    }
}
