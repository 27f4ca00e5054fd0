//! A request becomes an answer: what it names, what of that is asked for, and the headers that go with it.

use std::time::{Duration, UNIX_EPOCH};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, AGE, ALLOW, CACHE_CONTROL, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, LAST_MODIFIED, ORIGIN, RANGE, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use salvor_domain::gateway::condition::{Asked, Verdict, Version};
use salvor_domain::gateway::range::{self, Part, Wanted};
use salvor_domain::gateway::target::{self, NoTarget};

use super::find::{Content, Found, away, not_found};
use super::flow::{Flow, Layout};
use super::rows::Key;
use super::{Gateway, content};
use crate::clock::random_hex;
use crate::config::Cors;
use crate::http::ApiProblem;

const SOURCE: HeaderName = HeaderName::from_static("x-salvor-source");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
/// What other sites' scripts may read of an answer beside its bytes.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("accept-ranges, content-length, content-range, etag, x-salvor-source");
const MAY_ASK: HeaderValue = HeaderValue::from_static(
    "range, if-match, if-none-match, if-modified-since, if-unmodified-since, if-range",
);
const A_DAY: HeaderValue = HeaderValue::from_static("86400");

impl Gateway {
    pub async fn answer(&self, request: &Parts) -> Response {
        let mut response = match request.method {
            Method::GET | Method::HEAD => match self.give(request).await {
                Ok(response) => response,
                Err(problem) => told(problem),
            },
            Method::OPTIONS => (StatusCode::NO_CONTENT, [(ALLOW, METHODS)]).into_response(),
            _ => {
                let mut response = told(ApiProblem::method_not_allowed());
                response.headers_mut().insert(ALLOW, METHODS);
                response
            }
        };
        self.share(request, response.headers_mut());
        if request.method == Method::HEAD {
            if let Some(length) = response
                .body()
                .size_hint()
                .exact()
                .filter(|_| !response.headers().contains_key(CONTENT_LENGTH))
            {
                response.headers_mut().insert(CONTENT_LENGTH, length.into());
            }
            *response.body_mut() = Body::empty();
        }
        response
    }

    async fn give(&self, request: &Parts) -> Result<Response, ApiProblem> {
        let (volume, path) = target::parse(request.uri.path()).map_err(|why| match why {
            NoTarget::Escape => ApiProblem::new(StatusCode::BAD_REQUEST, "Not an address", why.to_string()),
            NoTarget::Path(_) | NoTarget::Hidden | NoTarget::NoFile => not_found(),
        })?;
        let volume = self.sites.iter().position(|site| site.name == volume).ok_or_else(not_found)?;
        let key = Key { volume, path };
        let asked = asked(&request.headers);
        let mut found = self.find(&key, !asked.is_any()).await?;
        if asked.is_any() {
            match asked.weigh(&found.version) {
                Verdict::NotModified => return Ok(self.unchanged(&key, &found)),
                Verdict::Failed => {
                    let detail = "The file is another version than the request asks for.";
                    return Err(ApiProblem::new(StatusCode::PRECONDITION_FAILED, "Another version", detail));
                }
                // It was only opened.
                Verdict::Go => found = self.find(&key, true).await?,
            }
        }
        let wanted = match text(&request.headers, RANGE) {
            Some(header) if request.method == Method::GET && asked.part_fits(&found.version) => {
                range::wanted(header, found.size)
            }
            _ => Wanted::Whole,
        };
        match wanted {
            Wanted::Nothing => Ok(nothing_there(found.size)),
            Wanted::Whole => self.send(request, key, found, None).await,
            Wanted::Parts(parts) => self.send(request, key, found, Some(parts)).await,
        }
    }

    fn unchanged(&self, key: &Key, found: &Found) -> Response {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        identify(response.headers_mut(), &found.version);
        response.headers_mut().insert(SOURCE, self.source_of(key, found.source));
        response
    }

    async fn send(
        &self,
        request: &Parts,
        key: Key,
        found: Found,
        parts: Option<Vec<Part>>,
    ) -> Result<Response, ApiProblem> {
        let size = found.size;
        let mut response = Response::new(Body::empty());
        identify(response.headers_mut(), &found.version);
        let name = key.path.file_name().to_owned();
        let first = match &found.content {
            Content::Whole(bytes) => bytes.clone(),
            Content::Open { .. } | Content::InCopies => Bytes::new(),
        };
        let mut kind = content::kind(&name, &first);
        let (status, layout, length) = laid_out(parts.as_deref(), size, kind, response.headers_mut());
        let is_head = request.method == Method::HEAD;
        let mut age = found.age;
        let (source, body) = match found.content {
            Content::Whole(bytes) => {
                if !is_head {
                    self.sites[key.volume].lane(found.source).gave(length);
                }
                (found.source, layout.of(&bytes))
            }
            Content::Open { .. } | Content::InCopies if is_head || size == 0 => (found.source, Body::empty()),
            Content::Open { .. } | Content::InCopies => {
                let (volume, is_from_start) = (key.volume, layout.parts.len() == 1);
                let begun = Flow::begin(self, key.clone(), found, layout).await;
                let begun = begun.map_err(|miss| {
                    tracing::debug!(?miss, volume, "no source gives a file");
                    away()
                })?;
                if is_from_start && parts.is_none() {
                    kind = content::kind(&name, &begun.chunk);
                }
                age = begun.age;
                (begun.source, begun.body)
            }
        };
        *response.status_mut() = status;
        *response.body_mut() = body;
        let headers = response.headers_mut();
        // Many parts have their own kind, and their kind's label.
        let multipart = headers.remove(CONTENT_TYPE);
        content::label(headers, kind);
        if let Some(multipart) = multipart {
            headers.insert(CONTENT_TYPE, multipart);
        }
        headers.insert(CONTENT_LENGTH, length.into());
        headers.insert(SOURCE, self.source_of(&key, source));
        if let Some(age) = age {
            headers.insert(AGE, age.into());
        }
        Ok(response)
    }

    fn source_of(&self, key: &Key, source: super::Source) -> HeaderValue {
        let lane = self.sites[key.volume].lane(source);
        HeaderValue::from_str(&lane.name).unwrap_or(HeaderValue::from_static("copy"))
    }

    /// Lets other sites' scripts read it, where the configuration says so.
    fn share(&self, request: &Parts, headers: &mut HeaderMap) {
        let allowed = match &self.core.config.gateway.cors {
            Cors::None => return,
            Cors::All => HeaderValue::from_static("*"),
            Cors::Origins(origins) => {
                headers.append(VARY, HeaderValue::from_static("origin"));
                match request.headers.get(ORIGIN).filter(|origin| origins.contains(origin)) {
                    Some(origin) => origin.clone(),
                    None => return,
                }
            }
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        if request.method == Method::OPTIONS {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, MAY_ASK);
            headers.insert(ACCESS_CONTROL_MAX_AGE, A_DAY);
        }
    }
}

/// The client has used up what it may send for now.
pub fn too_many() -> Response {
    let detail = "That is more requests than one client may send. Try again in a moment.";
    let problem = ApiProblem::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests", detail);
    told(problem.retry_after(Duration::from_secs(1)))
}

fn told(problem: ApiProblem) -> Response {
    let mut response = problem.into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn asked(headers: &HeaderMap) -> Asked<'_> {
    Asked {
        if_match: text(headers, IF_MATCH),
        if_none_match: text(headers, IF_NONE_MATCH),
        if_modified_since: text(headers, IF_MODIFIED_SINCE),
        if_unmodified_since: text(headers, IF_UNMODIFIED_SINCE),
        if_range: text(headers, IF_RANGE),
    }
}

/// Which version of a file it is.
fn identify(headers: &mut HeaderMap, version: &Version) {
    if let Ok(tag) = HeaderValue::try_from(version.tag.to_string()) {
        headers.insert(ETAG, tag);
    }
    if let Some(seconds) = version.modified {
        let at = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
        if let Ok(at) = HeaderValue::try_from(at) {
            headers.insert(LAST_MODIFIED, at);
        }
    }
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
}

fn nothing_there(size: u64) -> Response {
    let detail = format!("The file has {size} bytes, and none of those that were asked for.");
    let mut response = told(ApiProblem::new(StatusCode::RANGE_NOT_SATISFIABLE, "No such part", detail));
    if let Ok(range) = HeaderValue::try_from(format!("bytes */{size}")) {
        response.headers_mut().insert(CONTENT_RANGE, range);
    }
    response
}

/// Status, what goes out, and how long that is; with the headers that tell of parts.
fn laid_out(
    parts: Option<&[Part]>,
    size: u64,
    kind: &str,
    headers: &mut HeaderMap,
) -> (StatusCode, Layout, u64) {
    let insert = |headers: &mut HeaderMap, name, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    let none = Bytes::new;
    match parts {
        None => {
            let whole = size.checked_sub(1).map(|last| (none(), Part { first: 0, last }));
            (StatusCode::OK, Layout { parts: whole.into_iter().collect(), end: none() }, size)
        }
        Some([part]) => {
            insert(headers, CONTENT_RANGE, format!("bytes {}-{}/{size}", part.first, part.last));
            (StatusCode::PARTIAL_CONTENT, Layout { parts: vec![(none(), *part)], end: none() }, part.len())
        }
        Some(parts) => {
            let mark = random_hex::<12>();
            let head = |part: &Part| {
                let range = format!("bytes {}-{}/{size}", part.first, part.last);
                Bytes::from(format!("\r\n--{mark}\r\nContent-Type: {kind}\r\nContent-Range: {range}\r\n\r\n"))
            };
            let end = Bytes::from(format!("\r\n--{mark}--\r\n"));
            let parts: Vec<(Bytes, Part)> = parts.iter().map(|part| (head(part), *part)).collect();
            let length = parts.iter().map(|(head, part)| head.len() as u64 + part.len()).sum::<u64>()
                + end.len() as u64;
            insert(headers, CONTENT_TYPE, format!("multipart/byteranges; boundary={mark}"));
            (StatusCode::PARTIAL_CONTENT, Layout { parts, end }, length)
        }
    }
}

impl Layout {
    /// Of a file that is in memory.
    fn of(self, bytes: &Bytes) -> Body {
        let slice = |part: Part| {
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
            bytes.slice(place(part.first)..place(part.last.saturating_add(1)))
        };
        match self.parts.as_slice() {
            [] => Body::empty(),
            [(head, part)] if head.is_empty() => Body::from(slice(*part)),
            parts => {
                let mut all = Vec::new();
                for (head, part) in parts {
                    all.extend_from_slice(head);
                    all.extend_from_slice(&slice(*part));
                }
                all.extend_from_slice(&self.end);
                Body::from(all)
            }
        }
    }
}
