//! The console: leptos' pages and server functions, behind the same guards as every other route.
//!
//! What a page needs comes through its context: the ports, who looks at it, where the browser's half lies, the nonce of
//! this answer and the time. The permission table has been asked before any of this runs.

use axum::Router;
use http::request::Parts;
use leptos::config::LeptosOptions;
use leptos::context::{provide_context, use_context};
use leptos::nonce::Nonce;
use leptos_axum::{LeptosRoutes, generate_route_list};
use salvor_app::shell::{App, Assets, shell};
use salvor_app::ui::RenderedAt;

use super::guard::PageNonce;
use crate::http::{AppState, Caller};

pub fn routes(state: &AppState) -> Router<AppState> {
    let options = LeptosOptions::builder().output_name("salvor").build();
    let context = {
        let state = state.clone();
        move || provide(&state)
    };
    let document = {
        let options = options.clone();
        move || shell(options.clone())
    };
    Router::<LeptosOptions>::new()
        .leptos_routes_with_context(&options, generate_route_list(App), context, document)
        .with_state(options)
}

/// Called once for each page and server function.
fn provide(state: &AppState) {
    let extensions = use_context::<Parts>().map(|parts| parts.extensions).unwrap_or_default();
    provide_context(extensions.get::<Caller>().and_then(|caller| caller.viewer.clone()));
    provide_context(state.ports.clone());
    provide_context(assets(state));
    provide_context(RenderedAt(state.core.clock.now()));
    if let Some(PageNonce(nonce)) = extensions.get::<PageNonce>() {
        provide_context(Nonce::from_value(nonce.clone()));
    }
}

fn assets(state: &AppState) -> Assets {
    let (js, wasm) = state.site.scripts.as_ref().map(|scripts| (scripts.js.clone(), scripts.wasm.clone())).unwrap_or_default();
    Assets { js, wasm, css: state.site.console_css.clone().unwrap_or_default() }
}
