//! The API of volumes: `/api/v1/volumes…`.

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post, put};
use http::StatusCode;
use salvor_app::volumes::port::{CopyLimits, FindingsFilter, FindingsPage, VolumeView};
use salvor_domain::gate;
use salvor_domain::limits::Limits;
use salvor_domain::path::FilePath;
use salvor_domain::volume::{GatePoint, Mode, ModeState};

use super::{answers, limits, service};
use crate::core::Core;
use crate::http::{Answer, ApiProblem, AppState, Caller, Json, Path, Query};

pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/v1/volumes", get(list))
        .route("/api/v1/volumes/{name}", get(show))
        .route("/api/v1/volumes/{name}/mode", get(mode).put(set_mode))
        .route("/api/v1/volumes/{name}/mode/events", get(answers::mode_events))
        .route("/api/v1/volumes/{name}/findings", get(findings))
        .route("/api/v1/volumes/{name}/tombstones", post(set_tombstone))
        .route("/api/v1/volumes/{name}/copies/{copy}/limits", put(set_limits))
}

/// Asked before each upload: with as few guards around it as it can do with.
pub fn quick_routes() -> Router<AppState> {
    Router::new().route("/api/v1/volumes/{name}/writable", get(answers::writable))
}

async fn list(State(core): State<Core>) -> Answer<Json<Vec<VolumeView>>> {
    Ok(Json(service::volumes(&core).await?))
}

async fn show(State(core): State<Core>, Path(name): Path<String>) -> Answer<Json<VolumeView>> {
    Ok(Json(service::volume(&core, &name).await?))
}

/// What whoever runs other upload services asks for.
#[derive(Debug, serde::Serialize)]
struct ModeAnswer {
    #[serde(flatten)]
    mode: ModeState,
    /// What the gate still waits for.
    gate: Vec<String>,
    /// All that it asks for, what is met as well.
    gate_points: Vec<GatePoint>,
}

async fn mode(State(core): State<Core>, Path(name): Path<String>) -> Answer<Json<ModeAnswer>> {
    let (mode, gate_points) = service::mode(&core, &name).await?;
    Ok(Json(ModeAnswer { mode, gate: gate::open(&gate_points), gate_points }))
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NewMode {
    mode: Mode,
    #[serde(default)]
    reason: String,
    #[serde(default, rename = "override")]
    override_gate: bool,
}

async fn set_mode(
    State(core): State<Core>,
    caller: Caller,
    Path(name): Path<String>,
    Json(new): Json<NewMode>,
) -> Answer<Json<ModeAnswer>> {
    let actor = &caller.actor;
    let view = service::set_mode(&core, actor, &name, new.mode, &new.reason, new.override_gate).await?;
    Ok(Json(ModeAnswer { mode: view.mode, gate: view.gate, gate_points: view.gate_points }))
}

async fn findings(
    State(core): State<Core>,
    Path(name): Path<String>,
    Query(filter): Query<FindingsFilter>,
) -> Answer<Json<FindingsPage>> {
    Ok(Json(service::findings(&core, &name, &filter).await?))
}

/// `null` takes the operator's word back: the configuration and its timetable hold again.
async fn set_limits(
    State(core): State<Core>,
    caller: Caller,
    Path((volume, copy)): Path<(String, String)>,
    Json(limits): Json<Option<Limits>>,
) -> Answer<Json<CopyLimits>> {
    let change = limits.map(Into::into);
    Ok(Json(limits::set_copy_limits(&core, &caller.actor, &volume, &copy, change).await?))
}

/// A file by its path, or, where its name is not text, by the path's bytes in hexadecimal.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTombstone {
    path: Option<String>,
    path_hex: Option<String>,
}

async fn set_tombstone(
    State(core): State<Core>,
    caller: Caller,
    Path(name): Path<String>,
    Json(new): Json<NewTombstone>,
) -> Answer<StatusCode> {
    let path = match (new.path, new.path_hex) {
        (Some(path), None) => FilePath::new(path),
        (None, Some(hex)) => FilePath::from_hex(&hex),
        _ => {
            return Err(ApiProblem::invalid(
                "Give one of \"path\" and \"path_hex\": the file that was deleted.",
            ));
        }
    }
    .map_err(|why| ApiProblem::invalid(format!("The path is not one of a file: {why}.")))?;
    service::mark_deleted(&core, &caller.actor, &name, &path).await?;
    Ok(StatusCode::NO_CONTENT)
}
