//! The API of jobs: `/api/v1/jobs…`, and the two live streams.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Router};
use futures_util::{Stream, StreamExt, stream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use salvor_app::restore::port::{NewJob, ReadinessView};
use salvor_domain::ids::JobId;
use salvor_domain::job::{JobControl, JobReport};
use salvor_domain::limits::JobLimits;
use salvor_domain::path::Glob;
use tokio_util::sync::CancellationToken;

use super::live::Live;
use super::need::Raised;
use super::{need, pace, readiness, service};
use crate::core::Core;
use crate::http::glances::Looks;
use crate::http::{Answer, ApiProblem, AppState, Caller, Json, Path, Query};

/// Progress is told at most twice a second.
const PAUSE: Duration = Duration::from_millis(500);
const LIMIT: u32 = 100;

pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/v1/jobs", get(list).post(start))
        .route("/api/v1/jobs/{id}", get(show))
        .route("/api/v1/jobs/{id}/progress", get(progress))
        .route("/api/v1/jobs/{id}/output", get(output))
        .route("/api/v1/jobs/{id}/raise", post(raise))
        .route("/api/v1/jobs/{id}/limits", put(set_limits))
        .route("/api/v1/jobs/{id}/{control}", post(control))
        .route("/api/v1/live", get(live))
        .route("/api/v1/readiness", get(all_readiness))
        .route("/api/v1/volumes/{name}/readiness", get(one_readiness))
        .layer(Extension(Live::default()))
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    volume: Option<String>,
    /// Only those that have not ended.
    #[serde(default)]
    active: bool,
    limit: Option<u32>,
}

async fn list(State(core): State<Core>, Query(filter): Query<Filter>) -> Answer<Json<Vec<JobReport>>> {
    let limit = filter.limit.unwrap_or(LIMIT);
    Ok(Json(service::jobs(&core, filter.volume.as_deref(), filter.active, limit).await?))
}

async fn start(
    State(core): State<Core>,
    caller: Caller,
    Json(job): Json<NewJob>,
) -> Answer<(StatusCode, Json<JobReport>)> {
    Ok((StatusCode::CREATED, Json(service::start(&core, &caller.actor, job, None).await?)))
}

async fn show(State(core): State<Core>, Path(id): Path<String>) -> Answer<Json<JobReport>> {
    Ok(Json(service::job(&core, parsed(&id)?).await?))
}

/// What the tool of a disk check said, as far as it is kept.
async fn output(State(core): State<Core>, Path(id): Path<String>) -> Answer<Response> {
    let output = service::output(&core, parsed(&id)?).await?;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], output).into_response())
}

async fn control(
    State(core): State<Core>,
    caller: Caller,
    Path((id, control)): Path<(String, String)>,
) -> Answer<Json<JobReport>> {
    let control: JobControl = control.parse().map_err(|_| ApiProblem::not_found())?;
    Ok(Json(service::control(&core, &caller.actor, parsed(&id)?, control).await?))
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NewNeed {
    /// Paths, or patterns such as `anna/**`.
    paths: Vec<Glob>,
}

async fn raise(
    State(core): State<Core>,
    caller: Caller,
    Path(id): Path<String>,
    Json(new): Json<NewNeed>,
) -> Answer<Json<Raised>> {
    Ok(Json(need::raise(&core, &caller.actor, parsed(&id)?, &new.paths).await?))
}

async fn set_limits(
    State(core): State<Core>,
    caller: Caller,
    Path(id): Path<String>,
    Json(limits): Json<JobLimits>,
) -> Answer<Json<JobReport>> {
    let (id, change) = (parsed(&id)?, limits.limits().into());
    Ok(Json(pace::set_limits(&core, &caller.actor, id, change, limits.gentle).await?))
}

async fn all_readiness(State(core): State<Core>) -> Answer<Json<Vec<ReadinessView>>> {
    Ok(Json(readiness::readiness(&core, None).await?))
}

async fn one_readiness(State(core): State<Core>, Path(name): Path<String>) -> Answer<Json<ReadinessView>> {
    let view = readiness::readiness(&core, Some(&name)).await?.pop();
    Ok(Json(view.ok_or_else(ApiProblem::not_found)?))
}

fn parsed(id: &str) -> Result<JobId, ApiProblem> {
    Ok(id.parse()?)
}

/// The id of the message that tells how a job ended.
const ENDED: &str = "ended";

/// One job's report, whenever it changes, to its end. Whoever has read how it ended (and comes back with that message's
/// id) gets 204, after which a browser does not ask again.
async fn progress(
    State(core): State<Core>,
    State(stop): State<CancellationToken>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer<Response> {
    let id = parsed(&id)?;
    let has_read = headers.get("last-event-id").is_some_and(|last| last == ENDED);
    // A job that ended may have been retried since.
    if ended(&service::job(&core, id).await?) && has_read {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(sse(stop, stream::unfold(Told::default(), move |told| next_report(core.clone(), id, told))))
}

/// What a listener has been told.
#[derive(Default)]
struct Told {
    json: String,
    at_end: bool,
}

async fn next_report(core: Core, id: JobId, told: Told) -> Option<(Result<Event, Infallible>, Told)> {
    if told.at_end {
        return None;
    }
    loop {
        // A database that is away for a moment is waited for; the stream's comments keep the connection.
        if let Ok(report) = service::job(&core, id).await
            && let Ok(json) = serde_json::to_string(&report)
            && json != told.json
        {
            if !told.json.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
            let at_end = ended(&report);
            let message = Event::default().data(&json);
            let message = if at_end { message.id(ENDED) } else { message };
            return Some((Ok(message), Told { json, at_end }));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn ended(report: &JobReport) -> bool {
    matches!(report.state.as_str(), "finished" | "failed" | "cancelled")
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// All volumes at a glance as well, in messages of that name.
    #[serde(default)]
    volumes: bool,
}

/// The jobs that have not ended, whenever one changes. All listeners share one look at the database.
async fn live(
    State(core): State<Core>,
    State(stop): State<CancellationToken>,
    Extension(live): Extension<Live>,
    State(looks): State<Looks>,
    Query(wanted): Query<Wanted>,
) -> Response {
    let volumes = looks.stream(core.clone());
    let jobs = stream::unfold(None, move |told| next_list(core.clone(), live.clone(), told));
    if wanted.volumes { sse(stop, stream::select(jobs, volumes)) } else { sse(stop, jobs) }
}

type List = std::sync::Arc<str>;

async fn next_list(
    core: Core,
    live: Live,
    told: Option<List>,
) -> Option<(Result<Event, Infallible>, Option<List>)> {
    loop {
        if told.is_some() {
            tokio::time::sleep(PAUSE).await;
        }
        match live.jobs(&core).await {
            Ok(list) if told.as_ref() != Some(&list) => {
                return Some((Ok(Event::default().data(&*list)), Some(list)));
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "the live list of jobs could not be read");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Ends with the server, which would wait for it otherwise.
fn sse(
    stop: CancellationToken,
    events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static,
) -> Response {
    Sse::new(events.take_until(stop.cancelled_owned())).keep_alive(KeepAlive::default()).into_response()
}
