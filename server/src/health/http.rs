//! The API of storage health: signals, hosts, agents' reports.

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use http::StatusCode;
use salvor_app::health::port::{HostView, SignalKey, SignalView, SignalsFilter, VolumeHealth};
use salvor_domain::health::Report;
use salvor_probes::alertmanager::Payload;

use super::service::{self, Via};
use crate::core::Core;
use crate::http::{Answer, AppState, Caller, Json, Path, Query};

pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/v1/signals", get(signals))
        .route("/api/v1/signals/mute", post(mute))
        .route("/api/v1/signals/unmute", post(unmute))
        .route("/api/v1/hosts", get(hosts))
        .route("/api/v1/volumes/{name}/health", get(volume))
        .route("/api/v1/agent/report", post(report))
        .route("/api/v1/hooks/alertmanager", post(alertmanager))
}

async fn signals(
    State(core): State<Core>,
    Query(filter): Query<SignalsFilter>,
) -> Answer<Json<Vec<SignalView>>> {
    Ok(Json(service::signals(&core, &filter).await?))
}

async fn hosts(State(core): State<Core>) -> Answer<Json<Vec<HostView>>> {
    Ok(Json(service::hosts(&core).await?))
}

async fn volume(State(core): State<Core>, Path(name): Path<String>) -> Answer<Json<VolumeHealth>> {
    Ok(Json(service::volume(&core, &name).await?))
}

#[derive(Debug, serde::Deserialize)]
struct NewMute {
    #[serde(flatten)]
    key: SignalKey,
    until: DateTime<Utc>,
    #[serde(default)]
    reason: String,
}

async fn mute(
    State(core): State<Core>,
    caller: Caller,
    Json(new): Json<NewMute>,
) -> Answer<Json<SignalView>> {
    Ok(Json(service::mute(&core, &caller.actor, &new.key, new.until, &new.reason).await?))
}

async fn unmute(
    State(core): State<Core>,
    caller: Caller,
    Json(key): Json<SignalKey>,
) -> Answer<Json<SignalView>> {
    Ok(Json(service::unmute(&core, &caller.actor, &key).await?))
}

/// From an agent: known by its token.
async fn report(State(core): State<Core>, caller: Caller, Json(report): Json<Report>) -> Answer<StatusCode> {
    let name = &caller.actor.name;
    let token = name.strip_prefix("token:").unwrap_or(name).to_owned();
    service::ingest(&core, report, Via::Agent { token }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn alertmanager(State(core): State<Core>, Json(payload): Json<Payload>) -> Answer<StatusCode> {
    service::notified(&core, payload).await?;
    Ok(StatusCode::NO_CONTENT)
}
