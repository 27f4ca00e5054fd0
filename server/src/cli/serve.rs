//! `salvor serve`: everything in one process.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::CliError;
use crate::accounts::service as accounts;
use crate::core::{Core, StartError};
use crate::health::sampler;
use crate::health::sentinel::Sentinel;
use crate::health::service as health;
use crate::http::AppState;
use crate::restore::Worker;
use crate::routes;

/// What is under way when Salvor is told to stop has this long; jobs go on where they were after the next start.
const TIME_TO_STOP: Duration = Duration::from_secs(10);
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// Run the console, the status page, the API and the worker in one process
#[derive(Debug, clap::Args)]
pub struct Args {}

pub async fn run(core: Core, _: Args) -> Result<ExitCode, CliError> {
    let listener = bind("server.listen", core.config.server.listen).await?;
    let gateway = bind_gateway(&core).await?;
    // A folder that hangs must not keep the status page from its readers.
    let config = core.config.clone();
    drop(tokio::task::spawn_blocking(move || {
        config.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    }));
    if core.config.mail.is_some() {
        tracing::warn!("[mail] is configured, but this version of Salvor does not send mail yet");
    }
    let stop = CancellationToken::new();
    let state = AppState::open(core.clone(), stop.clone()).await?;
    let tasks = state.tasks.clone();
    if let Some(notice) = state.site.notice() {
        tracing::warn!("{notice}");
    }
    tasks.spawn(state.feed.clone().run(core.clone(), stop.clone()));
    tasks.spawn(state.board.clone().run(core.clone()));
    tasks.spawn(state.tickets.clone().run(stop.clone()));
    tasks.spawn(health::watch(core.clone(), stop.clone()));
    let sentinel = Sentinel::default();
    tasks.spawn(sentinel.clone().run(core.clone(), stop.clone()));
    tasks.spawn(sampler::run(core.clone(), sentinel, stop.clone()));
    tasks.spawn(state.modes.clone().run(core.clone(), stop.clone()));
    let files = gateway.as_ref().and_then(|listener| listener.local_addr().ok());
    if let Some(listener) = gateway {
        tasks.spawn(state.gateway.clone().run(listener, stop.clone()));
    }
    tasks.spawn(crate::webhooks::run(core.clone(), stop.clone()));
    tasks.spawn(forget(core.clone(), stop.clone()));
    tasks.spawn(Worker::run(core.clone(), stop.clone()));
    tasks.spawn(stop_on_signal(stop.clone()));
    let app = routes::router(state).into_make_service_with_connect_info::<SocketAddr>();

    let link = if core.db.is_away() { None } else { accounts::first_link(&core).await? };
    greet(&core, files, link.as_deref());
    // Small answers go out at once; axum leaves this to us.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
    });
    let served = axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
    tasks.close();
    let database = keep_database(core.clone(), stop.clone());
    let all_done = async { tokio::join!(served.into_future(), tasks.wait(), database).0 };
    let outcome = tokio::select! {
        outcome = all_done => outcome,
        () = too_late(&stop) => {
            tracing::warn!("stopped although not everything had come to its end");
            Ok(())
        }
    };
    core.db.close().await;
    outcome.map_err(|error| CliError::Failed(format!("the server stopped: {error}")))?;
    Ok(ExitCode::SUCCESS)
}

/// Stops everything when the system or the user says so; a second signal is not waited for.
async fn stop_on_signal(stop: CancellationToken) {
    let (mut term, mut int) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(term), Ok(int)) => (term, int),
        (Err(error), _) | (_, Err(error)) => {
            return tracing::error!(%error, "signals cannot be heard: Salvor can only be killed");
        }
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
        () = stop.cancelled() => {}
    }
    tracing::info!("stopping");
    stop.cancel();
}

/// Some time after the order to stop.
async fn too_late(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(TIME_TO_STOP).await;
}

/// Notices that the database went away, or was never there, and goes on with it when it comes back.
async fn keep_database(core: Core, stop: CancellationToken) {
    let mut was_there = !core.db.is_away();
    loop {
        if was_there {
            let db = core.db.clone();
            let why = tokio::select! {
                why = db.lost() => why,
                () = stop.cancelled() => return,
            };
            tracing::error!(why, "the database is away; the status page shows the last facts, jobs wait");
        }
        tokio::select! {
            () = bring_back(core.clone()) => {}
            () = stop.cancelled() => return,
        }
        tracing::info!("the database is back");
        if !was_there {
            tell_first_link(core.clone()).await;
        }
        was_there = true;
        core.nudge.notify_one();
    }
}

/// Tries until the database is there and up to date.
async fn bring_back(core: Core) {
    const FIRST_WAIT: Duration = Duration::from_millis(500);
    const LONGEST_WAIT: Duration = Duration::from_secs(8);
    let mut wait = FIRST_WAIT;
    while let Err(error) = core.bring_up().await {
        // It is not there: that was said. Anything else is for a person to mend.
        match &error {
            StartError::Open(why) if why.may_pass() => tracing::debug!(%error, "the database is still away"),
            _ => tracing::error!(%error, "the database is there and cannot be used"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// The database was away when Salvor greeted.
async fn tell_first_link(core: Core) {
    match accounts::first_link(&core).await {
        Ok(Some(link)) => println!("  Sign in      {link}"),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "whether there is an admin could not be looked up"),
    }
}

/// Clears away sessions and links that have ended, and what checks and jobs of long ago left.
async fn forget(core: Core, stop: CancellationToken) {
    loop {
        if let Err(error) = accounts::forget(&core).await {
            tracing::warn!(%error, "sessions that have ended stay for now");
        }
        if let Err(error) = crate::volumes::service::forget(&core).await {
            tracing::warn!(%error, "findings that are over stay for now");
        }
        if let Err(error) = crate::webhooks::forget(&core).await {
            tracing::warn!(%error, "what webhooks were told long ago stays for now");
        }
        if let Err(error) = crate::restore::forget::forget(&core).await {
            tracing::warn!(%error, "what old jobs left stays for now");
        }
        if let Err(error) = health::forget(&core).await {
            tracing::warn!(%error, "signals that are long gone stay for now");
        }
        if stop.run_until_cancelled(tokio::time::sleep(FORGET_EVERY)).await.is_none() {
            return;
        }
    }
}

async fn bind(key: &str, address: SocketAddr) -> Result<TcpListener, CliError> {
    TcpListener::bind(address).await.map_err(|error| {
        let advice = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("another program has it; stop that one, or set {key} to another address")
            }
            _ => format!("set {key} to an address of this machine"),
        };
        CliError::Failed(format!("{key} {address}: {error}; {advice}"))
    })
}

/// An address that nobody has chosen may be taken: then Salvor starts without giving files out, and says so.
async fn bind_gateway(core: &Core) -> Result<Option<TcpListener>, CliError> {
    let config = &core.config.gateway;
    let Some(address) = config.listen else { return Ok(None) };
    match bind("gateway.listen", address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(why) if config.is_default => {
            tracing::warn!("{why}; until then no files are given out");
            Ok(None)
        }
        Err(why) => Err(why),
    }
}

fn greet(core: &Core, files: Option<SocketAddr>, link: Option<&str>) {
    let url = &core.config.server.public_url;
    println!("Salvor is running.");
    println!("  Console      {url}/console");
    println!("  Status page  {url}/");
    println!("  Report       {url}/report");
    if let Some(address) = files {
        println!("  Files        http://{address}/VOLUME/PATH");
    }
    println!("  Data         {}", core.config.server.data_dir.display());
    if let Some(link) = link {
        println!("  Sign in      {link}");
        println!("               (once, within 24 hours, as the first admin)");
    }
}
