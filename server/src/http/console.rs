//! The console: leptos' pages and server functions, behind the same guards as every other route.
//!
//! What a page needs comes through its context: the ports, who looks at it, where the browser's half lies, the nonce of
//! this answer and the time. The permission table has been asked before any of this runs.

use std::sync::Arc;

use axum::Router;
use http::request::Parts;
use leptos::config::LeptosOptions;
use leptos::context::{provide_context, use_context};
use leptos::nonce::Nonce;
use leptos_axum::{LeptosRoutes, generate_route_list};
use salvor_app::ports::Ports;
use salvor_app::shell::{App, Assets, shell};
use salvor_app::ui::time::RenderedAt;

use super::guard::PageNonce;
use crate::accounts::Accounts;
use crate::http::{AppState, Caller};
use crate::restore::Jobs;
use crate::volumes::Volumes;

pub fn routes(state: &AppState) -> Router<AppState> {
    let options = LeptosOptions::builder().output_name("salvor").build();
    let context = {
        let (state, ports) = (state.clone(), ports(state));
        move || provide(&state, ports.clone())
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
    use http::Method;

    use super::*;
    use crate::http::permissions::{TABLE, access};

    /// Pages and server functions come from `app`: none may be forgotten in the table, none may linger there.
    #[test]
    fn the_permission_table_names_every_page_and_server_function() {
        let pages = generate_route_list(App);
        let pages = pages.iter().map(|page| (Method::GET, page.path().to_owned()));
        let functions = leptos::server_fn::axum::server_fn_paths();
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
