//! All routes in one router, with what guards them.
//!
//! Each slice has its routes in its own `http.rs`; here they are merged and wrapped once, so that no route can be
//! forgotten by a guard.

use axum::extract::State;
use axum::routing::get;
use axum::{Router, middleware};

use crate::core::Core;
use crate::http::{Answer, ApiProblem, AppState, access};
use crate::volumes;

pub fn router(state: AppState) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .merge(volumes::http::routes())
        .fallback(async || ApiProblem::not_found())
        .layer(middleware::from_fn_with_state(state.core.clone(), access::check))
        .with_state(state)
}

/// Ready means that the database answers.
async fn ready(State(core): State<Core>) -> Answer<&'static str> {
    let mut tx = core.db.read().await?;
    crate::events::newest_id(&mut tx).await?;
    Ok("ready\n")
}
