//! The document around every page of the console, and which page answers which address.
//!
//! Pages are rendered on the server and are complete without a script. A signed-in viewer's document also loads the
//! islands: the few parts that are live. Sign-in pages carry no script of ours at all.

use leptos::config::LeptosOptions;
use leptos::nonce::use_nonce;
use leptos::prelude::*;
use leptos_meta::{MetaTags, provide_meta_context};
use leptos_router::components::{FlatRoutes, Route, Router};
use leptos_router::{SsrMode, path};

use crate::accounts::pages::{AccountPage, LinkPage, SignInPage};
use crate::accounts::port::Viewer;
use crate::health::pages::{HostsPage, SignalPage};
use crate::incidents::pages::{ComponentsPage, IncidentPage, IncidentsPage, OpenIncidentPage};
use crate::restore::pages::{JobPage, JobsPage, ReadinessPage};
use crate::tickets::pages::{QueuePage, TicketPage};
use crate::ui::layout::Layout;
use crate::ui::page::NotFound;
use crate::volumes::pages::{OverviewPage, VolumePage};
use crate::webhooks::WebhooksPage;

/// Where the browser's half lies on this server. An empty `js` means that it was not built: pages work, none is live.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assets {
    pub js: String,
    pub wasm: String,
    pub css: String,
}

/// The whole document. The options are leptos' own; what is served where says [`Assets`].
pub fn shell(_options: LeptosOptions) -> impl IntoView {
    let assets = use_context::<Assets>().unwrap_or_default();
    let is_signed_in = use_context::<Option<Viewer>>().flatten().is_some();
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <meta charset="utf-8" />
                <meta name="viewport" content="width=device-width, initial-scale=1" />
                <meta name="color-scheme" content="light dark" />
                <meta name="robots" content="noindex" />
                <link rel="stylesheet" href=assets.css.clone() />
                <link rel="icon" href="/favicon.svg" type="image/svg+xml" />
                {(is_signed_in && !assets.js.is_empty()).then(|| view! { <Islands assets /> })}
                <MetaTags />
            </head>
            <body>
                <App />
            </body>
        </html>
    }
}

/// Every page of the console.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    view! {
        <Router>
            <Layout>
                <FlatRoutes fallback=NotFound>
                    <Route path=path!("/console") view=OverviewPage ssr=SsrMode::Async />
                    <Route path=path!("/console/sign-in") view=SignInPage ssr=SsrMode::Async />
                    <Route path=path!("/console/link/:secret") view=LinkPage ssr=SsrMode::Async />
                    <Route path=path!("/console/account") view=AccountPage ssr=SsrMode::Async />
                    <Route path=path!("/console/jobs") view=JobsPage ssr=SsrMode::Async />
                    <Route path=path!("/console/jobs/:id") view=JobPage ssr=SsrMode::Async />
                    <Route path=path!("/console/readiness") view=ReadinessPage ssr=SsrMode::Async />
                    <Route path=path!("/console/health") view=HostsPage ssr=SsrMode::Async />
                    <Route path=path!("/console/health/signal") view=SignalPage ssr=SsrMode::Async />
                    <Route path=path!("/console/volumes/:name") view=VolumePage ssr=SsrMode::Async />
                    <Route path=path!("/console/incidents") view=IncidentsPage ssr=SsrMode::Async />
                    <Route path=path!("/console/incidents/open") view=OpenIncidentPage ssr=SsrMode::Async />
                    <Route path=path!("/console/incidents/:id") view=IncidentPage ssr=SsrMode::Async />
                    <Route path=path!("/console/components") view=ComponentsPage ssr=SsrMode::Async />
                    <Route path=path!("/console/tickets") view=QueuePage ssr=SsrMode::Async />
                    <Route path=path!("/console/tickets/:number") view=TicketPage ssr=SsrMode::Async />
                    <Route path=path!("/console/webhooks") view=WebhooksPage ssr=SsrMode::Async />
                    <Route path=path!("/console/*any") view=NotFound ssr=SsrMode::Async />
                </FlatRoutes>
            </Layout>
        </Router>
    }
}

/// Loads the islands once the browser has nothing better to do. Leptos' own script also serves islands within islands
/// and file names from disk; we have neither.
#[component]
fn Islands(assets: Assets) -> impl IntoView {
    let nonce = use_nonce();
    // Nothing that a page waited for is sent along with it: its HTML has it all.
    if let Some(shared) = Owner::current_shared_context() {
        shared.set_is_hydrating(false);
    }
    let script = loader(&assets);
    view! {
        <link rel="modulepreload" href=assets.js />
        <link rel="preload" href=assets.wasm r#as="fetch" r#type="application/wasm" crossorigin="anonymous" />
        <script type="module" nonce=nonce inner_html=script></script>
    }
}

fn loader(assets: &Assets) -> String {
    let Assets { js, wasm, .. } = assets;
    format!(
        "import start,* as islands from {js:?};\
         await start({{module_or_path:{wasm:?}}});\
         islands.hydrate();\
         for(const island of document.querySelectorAll('leptos-island'))\
         islands[island.dataset.component]?.(island);"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(viewer: Option<Viewer>, js: &str) -> String {
        Owner::new().with(|| {
            provide_context(viewer);
            provide_context(Assets { js: js.into(), wasm: "/pkg/a.wasm".into(), css: "/pkg/a.css".into() });
            view! { <head>{}</head> }.to_html();
            let assets = use_context::<Assets>().unwrap_or_default();
            view! { <Islands assets /> }.to_html()
        })
    }

    #[test]
    fn the_loader_names_both_files_and_wakes_each_island() {
        let html = document(Some(Viewer::sample()), "/pkg/a.js");
        assert!(
            html.contains("from \"/pkg/a.js\"") && html.contains("module_or_path:\"/pkg/a.wasm\""),
            "{html}"
        );
        assert!(html.contains("leptos-island"));
    }
}
