//! All routes in one router, with what guards them.
//!
//! Each slice has its routes in its own `http.rs`; here they are merged and wrapped once, so that no route can be
//! forgotten by a guard (but for the one that is asked too often: [`quick`]). From the outside in: a line in the log, headers, pages for problems, panics, limits, other
//! sites' requests refused, the permission table, repeated calls, the handler.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::get;
use axum::{Extension, Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;

use crate::core::Core;
use crate::http::client::TrustedProxies;
use crate::http::{
    Answer, ApiProblem, AppState, access, console, feed, guard, idempotency, metrics, openapi, origin,
};
use crate::{accounts, agents, assets, health, incidents, restore, tickets, volumes, webhooks};

pub fn router(state: AppState) -> Router {
    let core = state.core.clone();
    let css: Arc<str> = Arc::from(&*state.site.public_css_inline);
    let desk = state.tickets.clone();
    let proxies = TrustedProxies(core.config.server.trusted_proxies.as_slice().into());
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics::metrics))
        .route("/api/v1/openapi.json", get(openapi::document))
        .route("/api/v1/events", get(feed::events))
        .merge(assets::routes())
        .merge(console::routes(&state))
        .merge(accounts::http::routes())
        .merge(volumes::http::routes())
        .merge(restore::http::routes())
        .merge(health::http::routes())
        .merge(agents::http::routes())
        .merge(webhooks::http::routes())
        .merge(incidents::http::public_routes(state.board.clone()))
        .merge(incidents::http::api_routes(state.incidents.clone()))
        .merge(tickets::pages::routes(desk.clone(), &css))
        .merge(tickets::http::routes(desk))
        .fallback(async || ApiProblem::not_found())
        .method_not_allowed_fallback(async || ApiProblem::method_not_allowed())
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(guard::LARGEST_BODY))
        .layer(middleware::from_fn_with_state(state.clone(), idempotency::replay))
        .layer(middleware::from_fn_with_state(state.clone(), access::check))
        .layer(middleware::from_fn_with_state(core, origin::check))
        .layer(middleware::from_fn(guard::limit))
        .layer(middleware::from_fn_with_state(state.stop.clone(), guard::end_streams))
        .layer(CatchPanicLayer::custom(guard::panicked))
        .layer(middleware::from_fn_with_state(css, guard::show_problems))
        .layer(middleware::from_fn(guard::protect))
        .layer(middleware::from_fn(guard::observe))
        .layer(Extension(proxies))
        .merge(quick(&state))
        .with_state(state)
}

/// What is asked thousands of times a second. The permission table is asked as everywhere; but there is no body, no form and no page,
/// and nothing is waited for, so that limits, other sites, repeated calls and a line in the log have no part in it. Each guard that is
/// left out is half a microsecond to five.
fn quick(state: &AppState) -> Router<AppState> {
    volumes::http::quick_routes()
        .method_not_allowed_fallback(async || ApiProblem::method_not_allowed())
        .layer(middleware::from_fn_with_state(state.clone(), access::check))
        .layer(CatchPanicLayer::custom(guard::panicked))
        .layer(middleware::from_fn(guard::protect))
}

/// Ready means that the database answers.
async fn ready(State(core): State<Core>) -> Answer<&'static str> {
    let mut tx = core.db.read().await?;
    crate::events::newest_id(&mut tx).await?;
    Ok("ready\n")
}
