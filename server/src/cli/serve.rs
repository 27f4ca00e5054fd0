//! `salvor serve`: everything in one process.

use std::process::ExitCode;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::CliError;
use crate::accounts::service as accounts;
use crate::core::Core;
use crate::http::AppState;
use crate::routes;

/// Run the console, the status page, the API and the worker in one process
#[derive(Debug, clap::Args)]
pub struct Args {}

pub async fn run(core: Core, _: Args) -> Result<ExitCode, CliError> {
    let listener = bind(&core).await?;
    for missing in core.config.missing_folders() {
        tracing::warn!("{missing}");
    }
    if core.config.mail.is_some() {
        tracing::warn!("[mail] is configured, but this version of Salvor does not send mail yet");
    }
    let link = accounts::first_link(&core).await?;
    greet(&core, link.as_deref());

    let stop = CancellationToken::new();
    let app = routes::router(AppState::new(core.clone()));
    // Small answers go out at once; axum leaves this to us.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
    });
    let served = axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
    served.await.map_err(|error| CliError::Failed(format!("the server stopped: {error}")))?;
    core.db.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn bind(core: &Core) -> Result<TcpListener, CliError> {
    let address = core.config.server.listen;
    TcpListener::bind(address).await.map_err(|error| {
        let advice = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another program has it; stop that one, or set server.listen to another address"
            }
            _ => "set server.listen to an address of this machine",
        };
        CliError::Failed(format!("server.listen {address}: {error}; {advice}"))
    })
}

fn greet(core: &Core, link: Option<&str>) {
    let url = &core.config.server.public_url;
    println!("Salvor is running.");
    println!("  Console      {url}/console");
    println!("  Status page  {url}/");
    println!("  Report       {url}/report");
    println!("  Data         {}", core.config.server.data_dir.display());
    if let Some(link) = link {
        println!("  Sign in      {link}");
        println!("               (once, within 24 hours, as the first admin)");
    }
}
