//! The console: leptos' pages and server functions, behind the same guards as every other route.
//!
//! What a page needs comes through its context: the ports, who looks at it, where the browser's half lies, the nonce of
//! this answer and the time. The permission table has been asked before any of this runs.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::{MethodFilter, get, on};
use http::Method;
use http::request::Parts;
use leptos::config::LeptosOptions;
use leptos::context::{provide_context, use_context};
use leptos::nonce::Nonce;
use leptos::server_fn::axum::server_fn_paths;
use leptos_axum::{handle_server_fns_with_context, render_app_async_with_context};
use salvor_app::ports::Ports;
use salvor_app::shell::{Assets, shell};
use salvor_app::ui::time::RenderedAt;

use super::guard::PageNonce;
use super::permissions::TABLE;
use crate::accounts::Accounts;
use crate::health::Health;
use crate::http::{AppState, Caller};
use crate::restore::Jobs;
use crate::volumes::Volumes;
use crate::webhooks::Webhooks;

/// The pages that the permission table names, each answered by the console's own router, and the server functions.
///
/// Mounted by hand: leptos_axum's `leptos_routes` wants its default features, which bring WebSockets and files from disk.
pub fn routes(state: &AppState) -> Router<AppState> {
    // An error says that another router of this process was first.
    let _ = any_spawner::Executor::init_tokio();
    let context = {
        let (state, ports) = (state.clone(), ports(state));
        move || provide(&state, ports.clone())
    };
    let options = LeptosOptions::builder().output_name("salvor").build();
    let page = get(render_app_async_with_context(context.clone(), move || shell(options.clone())));
    let pages =
        TABLE.iter().filter(|(method, path, _)| *method == Method::GET && path.starts_with("/console"));
    let router = pages.fold(Router::new(), |router, (_, path, _)| router.route(path, page.clone()));
    server_fn_paths().fold(router, |router, (path, method)| {
        let context = context.clone();
        let call = async move |request: Request| handle_server_fns_with_context(context, request).await;
        match MethodFilter::try_from(method) {
            Ok(method) => router.route(path, on(method, call)),
            Err(_) => router,
        }
    })
}

/// Called once for each page and server function.
fn provide(state: &AppState, ports: Ports) {
    let extensions = use_context::<Parts>().map(|parts| parts.extensions).unwrap_or_default();
    provide_context(extensions.get::<Caller>().and_then(|caller| caller.viewer.clone()));
    provide_context(ports);
    provide_context(assets(state));
    provide_context(RenderedAt(state.core.clock.now()));
    if let Some(PageNonce(nonce)) = extensions.get::<PageNonce>() {
        provide_context(Nonce::from_value(nonce.clone()));
    }
}

fn ports(state: &AppState) -> Ports {
    let core = || state.core.clone();
    Ports {
        accounts: Arc::new(Accounts(core())),
        volumes: Arc::new(Volumes(core())),
        jobs: Arc::new(Jobs(core())),
        incidents: Arc::new(state.incidents.clone()),
        tickets: Arc::new(state.tickets.clone()),
        health: Arc::new(Health(core(), state.looks.clone())),
        webhooks: Arc::new(Webhooks(core())),
    }
}

fn assets(state: &AppState) -> Assets {
    let (js, wasm) = state
        .site
        .scripts
        .as_ref()
        .map(|scripts| (scripts.js.clone(), scripts.wasm.clone()))
        .unwrap_or_default();
    Assets { js, wasm, css: state.site.console_css.clone().unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use leptos_axum::generate_route_list;
    use salvor_app::shell::App;

    use super::*;
    use crate::http::permissions::access;

    /// Pages and server functions come from `app`: none may be forgotten in the table, none may linger there.
    #[test]
    fn the_permission_table_names_every_page_and_server_function() {
        let pages = generate_route_list(App);
        let pages = pages.iter().map(|page| (Method::GET, page.path().to_owned()));
        let functions = server_fn_paths();
        let functions = functions.map(|(path, method)| (method, path.to_owned()));
        let mounted: Vec<_> = pages.chain(functions).collect();
        for (method, path) in &mounted {
            assert!(access(method, path).is_some(), "{method} {path} is not in the permission table");
        }
        let forms = [
            "/console/do/sign_in",
            "/console/do/sign_out",
            "/console/do/set_password",
            "/console/link/{secret}",
        ];
        for (method, path, _) in TABLE.iter().filter(|(_, path, _)| path.starts_with("/console")) {
            let is_form = *method == Method::POST && forms.contains(path);
            let is_mounted = mounted.iter().any(|(m, p)| m == method && p == path);
            assert!(is_form || is_mounted, "{method} {path} is in the permission table alone");
        }
    }
}
