//! Requests that another site's page made the browser send (CSRF).
//!
//! Browsers say from where: `Sec-Fetch-Site`, or at least `Origin`. What changes something is refused unless the browser
//! says that it comes from a page of ours, or the request is no browser's: it carries a bearer token, or no session.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{HOST, HeaderMap, ORIGIN};
use salvor_app::problem::Problem;

use super::access::{bearer_token, session_secret};
use crate::core::Core;
use crate::http::ApiProblem;

pub async fn check(State(core): State<Core>, request: Request, next: Next) -> Response {
    if request.method().is_safe() || may_change(request.headers(), &core.config.server.public_url) {
        return next.run(request).await;
    }
    let detail = "This was sent from another site's page. Open Salvor's own page and try again there.";
    ApiProblem::from(Problem::Forbidden(detail.into())).into_response()
}

fn may_change(headers: &HeaderMap, public_url: &str) -> bool {
    if bearer_token(headers).is_some() {
        return true;
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("sec-fetch-site") {
        Some(site) => matches!(site, "same-origin" | "none"),
        None => match text(ORIGIN.as_str()) {
            // Pages behind a secret link send no referrer, and older browsers no origin with it then: the secret in the
            // address is what counts there, and without a session there is nothing to misuse.
            Some("null") | None => session_secret(headers).is_none(),
            Some(origin) => is_ours(origin, text(HOST.as_str()), public_url),
        },
    }
}

/// An origin of the address that people know, or of the one that this request was sent to.
fn is_ours(origin: &str, host: Option<&str>, public_url: &str) -> bool {
    let origin_host = origin.split_once("://").map(|(_, host)| host);
    let is_public =
        public_url.strip_prefix(origin).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    is_public || (host.is_some() && origin_host == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "https://status.example.com";

    fn allowed(headers: &[(&'static str, &str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_str(value).unwrap())
        });
        may_change(&headers.collect(), PUBLIC)
    }

    #[test]
    fn the_browser_says_where_a_request_comes_from() {
        let session = ("cookie", "salvor_session=x");
        assert!(allowed(&[session, ("sec-fetch-site", "same-origin")]));
        assert!(allowed(&[session, ("sec-fetch-site", "none")]));
        assert!(!allowed(&[session, ("sec-fetch-site", "same-site")]));
        assert!(!allowed(&[("sec-fetch-site", "cross-site")]), "a public form as well");
        assert!(!allowed(&[session, ("sec-fetch-site", "cross-site"), ("origin", PUBLIC)]));
    }

    #[test]
    fn an_older_browser_says_its_origin() {
        let session = ("cookie", "salvor_session=x");
        assert!(allowed(&[session, ("origin", PUBLIC)]));
        assert!(allowed(&[session, ("origin", "http://localhost:8080"), ("host", "localhost:8080")]));
        assert!(!allowed(&[session, ("origin", "https://status.example.com.evil.example"), ("host", "x")]));
        assert!(!allowed(&[session, ("origin", "null")]) && allowed(&[("origin", "null")]));
        assert!(!allowed(&[session]));
    }

    #[test]
    fn scripts_have_no_session_to_steal() {
        assert!(allowed(&[("authorization", "Bearer x"), ("sec-fetch-site", "cross-site")]));
        assert!(allowed(&[]));
    }
}
