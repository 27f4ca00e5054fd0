//! axum's extractors, with problem documents for what does not fit.

use axum::extract::{FromRequest, FromRequestParts};
use axum::response::{IntoResponse, Response};

use crate::http::ApiProblem;

/// A JSON body, and a JSON answer.
#[derive(Debug, Clone, FromRequest)]
#[from_request(via(axum::Json), rejection(ApiProblem))]
pub struct Json<T>(pub T);

#[derive(Debug, Clone, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiProblem))]
pub struct Query<T>(pub T);

#[derive(Debug, Clone, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiProblem))]
pub struct Path<T>(pub T);

impl<T: serde::Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}
