//! What holds for every answer, whatever the route: headers that keep browsers safe, a limit on time, a line in the log,
//! and a page instead of a problem document for those who read pages.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use futures_util::StreamExt;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use salvor_app::document::{self, Look};
use salvor_app::tickets::public::message_document;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::clock::random_hex;
use crate::http::ApiProblem;

/// For an answer to begin. Streams then go on for as long as they like.
const TIME: Duration = Duration::from_secs(30);
const LONGEST_STREAM: Duration = Duration::from_secs(15 * 60);
/// The longest report fits: five hundred long addresses, percent-encoded, and a text.
pub const LARGEST_BODY: usize = 4 << 20;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What scripts and styles of one page prove their origin with.
#[derive(Debug, Clone)]
pub struct PageNonce(pub Arc<str>);

/// One line a request, with an id that the answer carries too. The address itself stays out of the log: it may hold the
/// secret of a link.
pub async fn observe(mut request: Request, next: Next) -> Response {
    let id = random_hex::<8>();
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", id, method = %request.method(), route);
    request.extensions_mut().insert(PageNonce(random_hex::<16>().into()));
    let begun = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    span.in_scope(|| {
        let millis = begun.elapsed().as_millis();
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), millis, "answered");
        } else {
            tracing::debug!(status = status.as_u16(), millis, "answered");
        }
    });
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Headers that keep a browser from doing what no page of ours asks for. A handler's own are left as they are: the
/// public pages bring a policy that fits their very script.
pub async fn protect(request: Request, next: Next) -> Response {
    let nonce = request.extensions().get::<PageNonce>().cloned();
    let is_ticket = request.uri().path().starts_with("/tickets/");
    let is_private =
        request.uri().path().starts_with("/console") || request.uri().path().starts_with("/api/v1");
    let mut response = next.run(request).await;
    let is_html =
        response.headers().get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The address of a secret link must not travel on to wherever a link in the page leads. `same-origin` is enough for a
    // sign-in link, which is used up by then; with `no-referrer` the browser would call its form's origin "null".
    let referrer = if is_ticket { "no-referrer" } else { "same-origin" };
    headers.insert(REFERRER_POLICY, HeaderValue::from_static(referrer));
    if is_private || is_ticket {
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        let policy = match nonce.filter(|_| is_html) {
            Some(PageNonce(nonce)) => page_policy(&nonce),
            None => "default-src 'none'; frame-ancestors 'none'".to_owned(),
        };
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
    }
    response
}

fn page_policy(nonce: &str) -> String {
    format!(
        "default-src 'self'; script-src 'self' 'nonce-{nonce}' 'wasm-unsafe-eval'; \
         style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'"
    )
}

/// Event streams end when Salvor stops, and before they are so old that nobody knows any more who listens: browsers come
/// back by themselves, and are asked anew.
pub async fn end_streams(State(stop): State<CancellationToken>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.headers().get(CONTENT_TYPE).is_none_or(|value| value != "text/event-stream") {
        return response;
    }
    let ends = async move {
        stop.run_until_cancelled(tokio::time::sleep(LONGEST_STREAM)).await;
    };
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(ends))))
}

/// On time and size. A body that does not say its length is cut off while it is read.
pub async fn limit(request: Request, next: Next) -> Response {
    let length =
        request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > LARGEST_BODY) {
        return too_large().into_response();
    }
    match tokio::time::timeout(TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!(seconds = TIME.as_secs(), "no answer in time");
            ApiProblem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Temporarily unavailable",
                "Salvor had no answer in time. Try again in a minute.",
            )
            .retry_after(Duration::from_secs(60))
            .into_response()
        }
    }
}

pub fn too_large() -> ApiProblem {
    ApiProblem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "The request is too large",
        format!("A body may have {} MiB.", LARGEST_BODY >> 20),
    )
}

/// The panic itself was logged where it happened.
pub fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    ApiProblem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "A fault in Salvor",
        "Something went wrong inside Salvor. The details are in the server's log.",
    )
    .into_response()
}

/// A problem as a page, for a browser that asked for one.
pub async fn show_problems(State(css): State<Arc<str>>, request: Request, next: Next) -> Response {
    let reads_pages = wants_html(request.headers()) && !request.uri().path().starts_with("/api/");
    let response = next.run(request).await;
    let Some(problem) = response.extensions().get::<ApiProblem>().filter(|_| reads_pages).cloned() else {
        return response;
    };
    let look = Look { css: &css };
    let page = Html(message_document(&look, problem.title(), problem.detail()));
    let (mut parts, _) = response.into_parts();
    // Retry-After and the like are kept; what described the document is not.
    parts.headers.remove(CONTENT_LENGTH);
    let (page_parts, body) = page.into_response().into_parts();
    parts.headers.extend(page_parts.headers);
    if let Ok(policy) = HeaderValue::from_str(&document::content_security_policy(&look)) {
        parts.headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    Response::from_parts(parts, body)
}

pub fn wants_html(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}
