//! The routes of components and incidents: the public pages off the [`Board`], and the API behind the port.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream::{self, Stream};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, RETRY_AFTER};
use http::{HeaderMap, StatusCode, Uri};
use salvor_app::incidents::port::{
    ComponentView, IncidentView, IncidentsPort, NewComponent, NewIncident, NewUpdate, Publication,
};
use salvor_app::tickets::public::message_document;
use tokio::sync::OwnedSemaphorePermit;

use super::{Board, Incidents};
use crate::http::{Answer, Caller, Json, Path, Query};

/// Proxies close connections that are silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
const LISTED: u32 = 50;

/// Whole paths, so that the permission table names each.
const STATUSPAGE: [&str; 8] = [
    "/api/v2/summary.json",
    "/api/v2/status.json",
    "/api/v2/components.json",
    "/api/v2/incidents.json",
    "/api/v2/incidents/unresolved.json",
    "/api/v2/scheduled-maintenances.json",
    "/api/v2/scheduled-maintenances/upcoming.json",
    "/api/v2/scheduled-maintenances/active.json",
];

/// What the public reads: nothing here touches the database.
pub fn public_routes<S>(board: Board) -> Router<S> {
    let pages = Router::new()
        .route("/", get(page))
        .route("/history", get(page))
        .route("/history.atom", get(page))
        .route("/incidents/{id}", get(page))
        .route("/live/status", get(live));
    STATUSPAGE.into_iter().fold(pages, |router, path| router.route(path, get(page))).with_state(board)
}

pub fn api_routes<S>(incidents: Incidents) -> Router<S> {
    Router::new()
        .route("/api/v1/components", get(components).post(add_component))
        .route("/api/v1/incidents", get(list).post(open))
        .route("/api/v1/incidents/{id}", get(show))
        .route("/api/v1/incidents/{id}/discard", post(discard))
        .route("/api/v1/incidents/{id}/publish", post(publish))
        .route("/api/v1/incidents/{id}/timeline", get(timeline))
        .route("/api/v1/incidents/{id}/updates", post(update))
        .with_state(incidents)
}

async fn page(State(board): State<Board>, uri: Uri, headers: HeaderMap) -> Response {
    match board.page(uri.path()) {
        Some(page) => page.respond(&headers, board.policy()),
        None if board.is_empty() => {
            let text = "This page is being put together. It tries again by itself in a few seconds.";
            let retry = [(RETRY_AFTER, "2"), (http::header::REFRESH, "3")];
            (StatusCode::SERVICE_UNAVAILABLE, retry, message(&board, "One moment", text)).into_response()
        }
        None => {
            let text = "There is no such page. The current state and all incidents are on the status page.";
            (StatusCode::NOT_FOUND, message(&board, "Not found", text)).into_response()
        }
    }
}

fn message(board: &Board, title: &str, text: &str) -> Response {
    let headers = [(CACHE_CONTROL, "no-store"), (CONTENT_SECURITY_POLICY, board.policy())];
    (headers, Html(message_document(&board.look(), title, text))).into_response()
}

/// What changes while one looks. Where too many listen already, the page asks now and then instead.
async fn live(State(board): State<Board>) -> Response {
    match board.readers().try_acquire_owned() {
        Ok(place) => {
            let events = Sse::new(live_events(board, place)).keep_alive(KeepAlive::new().interval(HEARTBEAT));
            (
                [(CACHE_CONTROL, "no-store"), (http::HeaderName::from_static("x-accel-buffering"), "no")],
                events,
            )
                .into_response()
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "60")]).into_response(),
    }
}

/// The present state at once, then each change, until the reader leaves or the program stops.
fn live_events(
    board: Board,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
    let mut snapshots = board.watch();
    snapshots.mark_changed();
    stream::unfold((board, snapshots, place), async |(board, mut snapshots, place)| {
        tokio::select! {
            () = board.stop().cancelled() => return None,
            changed = snapshots.changed() => changed.ok()?,
        }
        let live = snapshots.borrow_and_update().live.clone();
        Some((Ok(Event::default().data(&*live)), (board, snapshots, place)))
    })
}

async fn components(State(incidents): State<Incidents>) -> Answer<Json<Vec<ComponentView>>> {
    Ok(Json(incidents.components().await?))
}

async fn add_component(
    State(incidents): State<Incidents>,
    caller: Caller,
    Json(component): Json<NewComponent>,
) -> Answer<(StatusCode, Json<ComponentView>)> {
    Ok((StatusCode::CREATED, Json(incidents.add_component(&caller.actor, component).await?)))
}

#[derive(serde::Deserialize)]
struct ListQuery {
    #[serde(default)]
    open: bool,
    limit: Option<u32>,
}

async fn list(
    State(incidents): State<Incidents>,
    Query(query): Query<ListQuery>,
) -> Answer<Json<Vec<IncidentView>>> {
    Ok(Json(incidents.incidents(query.open, query.limit.unwrap_or(LISTED)).await?))
}

async fn open(
    State(incidents): State<Incidents>,
    caller: Caller,
    Json(incident): Json<NewIncident>,
) -> Answer<(StatusCode, Json<IncidentView>)> {
    Ok((StatusCode::CREATED, Json(incidents.open(&caller.actor, incident).await?)))
}

async fn show(State(incidents): State<Incidents>, Path(id): Path<String>) -> Answer<Json<IncidentView>> {
    Ok(Json(incidents.incident(id.parse()?).await?))
}

async fn update(
    State(incidents): State<Incidents>,
    Path(id): Path<String>,
    caller: Caller,
    Json(update): Json<NewUpdate>,
) -> Answer<(StatusCode, Json<IncidentView>)> {
    Ok((StatusCode::CREATED, Json(incidents.update(&caller.actor, id.parse()?, update).await?)))
}

async fn publish(
    State(incidents): State<Incidents>,
    Path(id): Path<String>,
    caller: Caller,
    Json(publication): Json<Publication>,
) -> Answer<Json<IncidentView>> {
    Ok(Json(incidents.publish(&caller.actor, id.parse()?, publication).await?))
}

async fn discard(
    State(incidents): State<Incidents>,
    Path(id): Path<String>,
    caller: Caller,
) -> Answer<StatusCode> {
    incidents.discard(&caller.actor, id.parse()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn timeline(
    State(incidents): State<Incidents>,
    Path(id): Path<String>,
) -> Answer<Json<Vec<salvor_domain::event::Event>>> {
    Ok(Json(incidents.timeline(id.parse()?).await?))
}
