//! Problems on the wire: RFC 9457 documents, safe to show to whoever asked.

use std::time::Duration;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use salvor_app::problem::Problem;
use salvor_domain::ids::InvalidId;

use crate::error::Error;

/// When a caller that was told "too many" may come back, unless the limit knows better.
const PAUSE: Duration = Duration::from_secs(60);
/// When a caller may ask again while the database is away.
const SOON: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub struct ApiProblem {
    status: StatusCode,
    title: &'static str,
    detail: String,
    /// What would have to change first.
    points: Vec<String>,
    retry_after: Option<Duration>,
}

#[derive(serde::Serialize)]
struct Document<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    points: &'a [String],
}

impl ApiProblem {
    pub fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, title, detail: detail.into(), points: Vec::new(), retry_after: None }
    }

    pub fn not_found() -> Self {
        Problem::NotFound("There is nothing at this address.".into()).into()
    }

    pub fn method_not_allowed() -> Self {
        let detail = "This address is there, but does not take this method.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Not this method", detail)
    }

    pub fn invalid(detail: impl Into<String>) -> Self {
        Problem::Invalid(detail.into()).into()
    }

    pub fn retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = Some(pause);
        self
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn title(&self) -> &'static str {
        self.title
    }

    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<Problem> for ApiProblem {
    fn from(problem: Problem) -> Self {
        let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let made = Self::new(status, problem.title(), problem.to_string());
        match problem {
            Problem::Conflict { points, .. } => Self { points, ..made },
            Problem::TooMany(_) => made.retry_after(PAUSE),
            Problem::DatabaseAway => made.retry_after(SOON),
            _ => made,
        }
    }
}

impl From<Error> for ApiProblem {
    fn from(error: Error) -> Self {
        Problem::from(error).into()
    }
}

impl From<sqlx::Error> for ApiProblem {
    fn from(error: sqlx::Error) -> Self {
        Error::from(error).into()
    }
}

/// An id in a path that cannot be one of ours.
impl From<InvalidId> for ApiProblem {
    fn from(invalid: InvalidId) -> Self {
        Problem::NotFound(invalid.to_string()).into()
    }
}

/// A body that is JSON but not what was asked for is named by its field; the text comes from the reader of the JSON.
impl From<JsonRejection> for ApiProblem {
    fn from(rejection: JsonRejection) -> Self {
        let detail = match &rejection {
            JsonRejection::MissingJsonContentType(_) => {
                "Send the body as JSON, with the header Content-Type: application/json.".to_owned()
            }
            other => {
                let text = other.body_text();
                text.strip_prefix("Failed to deserialize the JSON body into the target type: ")
                    .map_or_else(|| text.clone(), |field| format!("In the body: {field}."))
            }
        };
        Self::of_rejection(rejection.status(), detail)
    }
}

impl From<QueryRejection> for ApiProblem {
    fn from(rejection: QueryRejection) -> Self {
        let text = rejection.body_text();
        let field = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
        Self::of_rejection(StatusCode::UNPROCESSABLE_ENTITY, format!("In the query: {field}."))
    }
}

/// A part of the path that is not what it should be names nothing that exists.
impl From<PathRejection> for ApiProblem {
    fn from(rejection: PathRejection) -> Self {
        let text = rejection.body_text();
        let part = text.strip_prefix("Invalid URL: ").unwrap_or(&text);
        Problem::NotFound(format!("In the address: {part}.")).into()
    }
}

impl ApiProblem {
    fn of_rejection(status: StatusCode, detail: String) -> Self {
        let title = match status {
            StatusCode::UNPROCESSABLE_ENTITY => "Something in the request is not right",
            StatusCode::PAYLOAD_TOO_LARGE => "The request is too large",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "Not a type that is understood here",
            _ => "The request could not be read",
        };
        Self::new(status, title, detail)
    }
}

impl IntoResponse for ApiProblem {
    fn into_response(self) -> Response {
        let document = Document {
            r#type: "about:blank",
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            points: &self.points,
        };
        let mut response = (self.status, axum::Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(pause) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(pause.as_secs().max(1)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // Whoever renders pages turns this into one for browsers.
        response.extensions_mut().insert(self);
        response
    }
}
