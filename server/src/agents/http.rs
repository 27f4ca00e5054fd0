//! Where agents ask for work, and tell what came of it.

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use tokio_util::task::TaskTracker;

use super::wire::{Orders, Own, Poll, TOLD, Taken, Told, WORK};
use super::{SecondAgent, store};
use crate::core::Core;
use crate::error::{Error, Result};
use crate::health::service as health;
use crate::http::{Answer, AppState, Caller, Json};

pub fn routes() -> Router<AppState> {
    Router::new().route(WORK, post(work)).route(TOLD, post(told))
}

async fn work(
    State(core): State<Core>,
    State(tasks): State<TaskTracker>,
    caller: Caller,
    Json(poll): Json<Poll>,
) -> Answer<Json<Orders>> {
    let token = &caller.actor.name;
    if !core.agents.knows(&poll, token) {
        confirm(&core, &poll, token).await?;
    }
    let host = poll.host.clone();
    if core.agents.is_to_be_noted(&host) {
        // Beside it: whoever holds the database may wait for this very agent.
        tasks.spawn(note(core.clone(), host.clone(), poll.volumes.clone()));
    }
    let orders = core.agents.poll(poll, token, &core.nudge).await;
    Ok(Json(orders.map_err(|SecondAgent| {
        Error::conflict(format!(
            "Another agent works for {host} just now: each host has one, with a name of its own."
        ))
    })?))
}

async fn told(State(core): State<Core>, caller: Caller, Json(told): Json<Told>) -> Json<Taken> {
    Json(core.agents.told(told, &caller.actor.name).await)
}

/// An agent works for the host that its token reports for.
async fn confirm(core: &Core, poll: &Poll, token: &str) -> Result<()> {
    let host = &poll.host;
    match health::reported_by(core, host).await? {
        Some(Some(known)) if token == format!("token:{known}") => Ok(()),
        Some(Some(_)) => {
            Err(Error::Forbidden(format!("Another token reports for {host}: this one cannot work for it.")))
        }
        Some(None) => Err(Error::conflict(format!("{host} is the host of a server: no agent works for it."))),
        None => {
            Err(Error::conflict(format!("{host} has not reported yet: jobs come after its first report.")))
        }
    }
}

/// For other processes on this database, and for people.
async fn note(core: Core, host: String, volumes: Vec<Own>) {
    let noted = async {
        let mut tx = core.db.begin().await?;
        store::note(&mut tx, &host, &volumes, core.clock.now()).await?;
        tx.commit().await
    };
    if let Err(error) = noted.await {
        tracing::debug!(%error, host, "that an agent is connected could not be noted");
    }
}
