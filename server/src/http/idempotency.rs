//! `Idempotency-Key`: a call that is sent again gets the answer of the first time, and nothing is done twice.
//!
//! A key is taken before the call is handled and its answer kept right after it (not in the handler's transaction: a
//! middleware does not know it). If Salvor dies in between, the key stays taken without an answer: calls with it are
//! refused for [`ABANDONED`], and then handled anew. Answers are kept for [`KEPT`].
//!
//! A call with a key is handled to its end also when the caller hangs up: that caller is the one who sends it again.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use tracing::Instrument;

use super::access::Caller;
use super::client::ClientAddress;
use super::guard::{LARGEST_BODY, too_large};
use crate::core::Core;
use crate::database::{Tx, execute, fetch_optional};
use crate::error::Error;
use crate::http::{ApiProblem, AppState};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const ABANDONED: TimeDelta = TimeDelta::minutes(2);
const KEPT: TimeDelta = TimeDelta::hours(24);
/// Of a key that is taken and has no answer yet.
const UNANSWERED: i64 = 0;

/// What is kept of a call: what it was, to tell another one with the same key, and its answer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Kept {
    call: String,
    content_type: String,
    text: String,
}

pub async fn replay(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let applies = request.method() == Method::POST && request.uri().path().starts_with("/api/v1/");
    let Some(key) = request.headers().get(KEY).cloned().filter(|_| applies) else {
        return next.run(request).await;
    };
    handle(&state, key, request, next).await.unwrap_or_else(IntoResponse::into_response)
}

async fn handle(
    state: &AppState,
    key: HeaderValue,
    request: Request,
    next: Next,
) -> Result<Response, ApiProblem> {
    let core = state.core.clone();
    let key = key.to_str().ok().filter(|key| (1..=255).contains(&key.len()));
    let key = key
        .ok_or_else(|| ApiProblem::invalid("Idempotency-Key: use 1 to 255 visible characters."))?
        .to_owned();
    let (mut parts, body) = request.into_parts();
    let caller = match parts.extensions.get::<Caller>() {
        Some(caller) => caller.actor.name.clone(),
        None => format!("address {}", ClientAddress::of(&parts).0),
    };
    let body = to_bytes(body, LARGEST_BODY).await.map_err(|_| too_large())?;
    let call = fingerprint(&parts.method, parts.uri.path(), &body);
    if let Some(answer) = take(&core, &caller, &key, &call).await? {
        return Ok(answer);
    }
    parts.headers.remove(&KEY);
    let request = Request::from_parts(parts, Body::from(body));
    let handled = async move {
        let response = next.run(request).await;
        keep(&core, &caller, &key, call, response).await
    };
    match state.tasks.spawn(handled.in_current_span()).await {
        Ok(answer) => answer,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Error::Internal(format!("a call was not handled to its end: {error}")).into()),
        },
    }
}

/// Takes the key, or gives the answer that is kept under it.
async fn take(core: &Core, caller: &str, key: &str, call: &str) -> Result<Option<Response>, ApiProblem> {
    let now = core.clock.now();
    let mut tx = core.db.begin().await?;
    forget(&mut tx, now).await?;
    let kept = Kept { call: call.to_owned(), content_type: String::new(), text: String::new() };
    if insert(&mut tx, caller, key, &kept, now).await? {
        tx.commit().await?;
        return Ok(None);
    }
    let Some((status, kept)) = find(&mut tx, caller, key).await? else { return Err(in_progress()) };
    if kept.call != call {
        return Err(ApiProblem::invalid(
            "Idempotency-Key: this key was used for another call. Use a new key for each call.",
        ));
    }
    let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    let Some(status) = status else { return Err(in_progress()) };
    let mut response = (status, kept.text).into_response();
    if let Ok(content_type) = HeaderValue::from_str(&kept.content_type) {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(Some(response))
}

/// Keeps the answer. A fault of ours is not kept: the call may be tried again.
async fn keep(
    core: &Core,
    caller: &str,
    key: &str,
    call: String,
    response: Response,
) -> Result<Response, ApiProblem> {
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, LARGEST_BODY).await.map_err(|_| too_large())?;
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kept = Kept {
        call,
        content_type: content_type.unwrap_or_default().to_owned(),
        text: String::from_utf8_lossy(&bytes).into_owned(),
    };
    let mut tx = core.db.begin().await?;
    if parts.status.is_server_error() || parts.status == StatusCode::TOO_MANY_REQUESTS {
        remove(&mut tx, caller, key).await?;
    } else {
        answer(&mut tx, caller, key, parts.status, &kept).await?;
    }
    tx.commit().await?;
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

fn fingerprint(method: &Method, path: &str, body: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(method.as_str().as_bytes()).update(b" ").update(path.as_bytes()).update(b"\n").update(body);
    hasher.finalize().to_hex().to_string()
}

fn in_progress() -> ApiProblem {
    ApiProblem::new(
        StatusCode::CONFLICT,
        "Not possible in the present state",
        "A call with this Idempotency-Key is still being handled. Ask again in a moment.",
    )
    .retry_after(std::time::Duration::from_secs(1))
}

async fn insert(tx: &mut Tx, caller: &str, key: &str, kept: &Kept, now: DateTime<Utc>) -> sqlx::Result<bool> {
    let sql = "INSERT INTO idempotent_answers (caller, key, status, body, created_at) \
               VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    Ok(execute!(tx, sql, caller, key, UNANSWERED, body_text(kept)?, now)? == 1)
}

async fn find(tx: &mut Tx, caller: &str, key: &str) -> sqlx::Result<Option<(i64, Kept)>> {
    let sql = "SELECT status, body FROM idempotent_answers WHERE caller = $1 AND key = $2";
    let row = fetch_optional!(tx, (i64, String), sql, caller, key)?;
    row.map(|(status, text)| {
        let kept = serde_json::from_str(&text)
            .map_err(|why| crate::database::bad_row("idempotent_answers", "body", key, why))?;
        Ok((status, kept))
    })
    .transpose()
}

async fn answer(tx: &mut Tx, caller: &str, key: &str, status: StatusCode, kept: &Kept) -> sqlx::Result<()> {
    let sql = "UPDATE idempotent_answers SET status = $1, body = $2 WHERE caller = $3 AND key = $4";
    execute!(tx, sql, i64::from(status.as_u16()), body_text(kept)?, caller, key).map(drop)
}

async fn remove(tx: &mut Tx, caller: &str, key: &str) -> sqlx::Result<()> {
    execute!(tx, "DELETE FROM idempotent_answers WHERE caller = $1 AND key = $2", caller, key).map(drop)
}

async fn forget(tx: &mut Tx, now: DateTime<Utc>) -> sqlx::Result<()> {
    let sql = "DELETE FROM idempotent_answers WHERE created_at < $1 OR (status = $2 AND created_at < $3)";
    execute!(tx, sql, now - KEPT, UNANSWERED, now - ABANDONED).map(drop)
}

fn body_text(kept: &Kept) -> sqlx::Result<String> {
    serde_json::to_string(kept).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}
