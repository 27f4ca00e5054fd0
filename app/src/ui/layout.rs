//! The frame of every page: skip link, navigation, what must not wait, what went wrong just now, and the page itself.

use leptos::prelude::*;
use leptos::server_fn::error::ServerFnUrlError;
use leptos_router::hooks::{use_location, use_query_map};
use leptos_router::params::ParamsMap;

use crate::accounts::port::Viewer;
use crate::health::islands::LiveStrip;
use crate::ports::Ports;
use crate::problem::Problem;
use crate::ui::address::PROBLEM;

/// The pages that the navigation leads to, by address and name.
const PLACES: [(&str, &str); 8] = [
    ("/console", "Overview"),
    ("/console/health", "Health"),
    ("/console/jobs", "Jobs"),
    ("/console/readiness", "Readiness"),
    ("/console/incidents", "Incidents"),
    ("/console/tickets", "Tickets"),
    ("/console/components", "Components"),
    ("/console/webhooks", "Webhooks"),
];

#[component]
pub fn Layout(children: Children) -> impl IntoView {
    let viewer = use_context::<Option<Viewer>>().flatten();
    let path = use_location().pathname.get_untracked();
    let problem = use_query_map().with_untracked(problem);
    view! {
        <a class="skip" href="#main">
            "Skip to the page"
        </a>
        {viewer.map(|viewer| {
            let strip = strip(&path);
            view! {
                <Navigation viewer path />
                {strip}
            }
        })}
        <main id="main" tabindex="-1">
            {problem.map(|text| view! { <Alert text /> })}
            {children()}
        </main>
    }
}

/// What must not wait, on every page that does not say it itself.
fn strip(path: &str) -> Option<impl IntoView + use<>> {
    let Place::Elsewhere { volume } = Place::of(path) else { return None };
    let ports = use_context::<Ports>();
    let load = async move { ports.ok_or(Problem::Unavailable)?.health.glances().await };
    // Where it cannot be read the page says so itself.
    Some(Suspend::new(async move {
        load.await.ok().map(|glances| {
            let strip = glances.pressing(volume.as_deref());
            view! { <LiveStrip strip but=volume /> }
        })
    }))
}

/// Which page it is, for the strip.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// Its head line says all.
    Overview,
    /// The page of a volume, whose banner speaks for that one; or any other.
    Elsewhere { volume: Option<String> },
}

impl Place {
    fn of(path: &str) -> Self {
        let path = path.trim_end_matches('/');
        match path.strip_prefix("/console/volumes/") {
            // Names of volumes are written as they are in an address.
            Some(name) => Self::Elsewhere { volume: Some(name.to_owned()) },
            None if path == "/console" => Self::Overview,
            None => Self::Elsewhere { volume: None },
        }
    }
}

/// What a server function sent back; or leptos itself, when it could not even read the form.
fn problem(query: &ParamsMap) -> Option<String> {
    let unread = |text: String| ServerFnUrlError::<Problem>::decode_err(&text).to_string();
    query.get(PROBLEM).or_else(|| query.get("__err").map(unread))
}

#[component]
fn Navigation(viewer: Viewer, path: String) -> impl IntoView {
    let links: Vec<_> = PLACES
        .into_iter()
        .map(|(address, name)| {
            let current = is_within(&path, address).then_some("page");
            view! {
                <li>
                    <a href=address aria-current=current>
                        {name}
                    </a>
                </li>
            }
        })
        .collect();
    view! {
        <header class="top">
            <a class="brand" href="/console">
                "Salvor"
            </a>
            <nav aria-label="Console">
                <ul>{links}</ul>
            </nav>
            <div class="who">
                <a href="/console/account" aria-current=is_within(&path, "/console/account").then_some("page")>
                    {viewer.email}
                </a>
                <span class="muted">{viewer.role.as_str()}</span>
                <form method="post" action="/console/do/sign_out">
                    <button type="submit" class="button quiet">
                        "Sign out"
                    </button>
                </form>
            </div>
        </header>
    }
}

/// Why the form that was just sent did nothing: first the message, then the points.
#[component]
fn Alert(text: String) -> impl IntoView {
    let mut lines = text.lines().map(str::to_owned);
    let message = lines.next().unwrap_or_default();
    let points: Vec<_> = lines.map(|point| view! { <li>{point}</li> }).collect();
    view! {
        <div class="alert" role="alert">
            <p>{message}</p>
            {(!points.is_empty()).then(|| view! { <ul>{points}</ul> })}
        </div>
    }
}

/// Whether the page at `path` belongs to the place at `address`; the overview is only itself and its volumes.
fn is_within(path: &str, address: &str) -> bool {
    let path = path.trim_end_matches('/');
    match address {
        "/console" => path == address || path.starts_with("/console/volumes"),
        _ => path == address || path.strip_prefix(address).is_some_and(|rest| rest.starts_with('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;

    #[test]
    fn one_place_is_current() {
        for (path, place) in [
            ("/console", "/console"),
            ("/console/volumes/uploads", "/console"),
            ("/console/jobs/1", "/console/jobs"),
            ("/console/health/signal", "/console/health"),
            ("/console/tickets/", "/console/tickets"),
        ] {
            let current: Vec<_> = PLACES.iter().filter(|(address, _)| is_within(path, address)).collect();
            assert_eq!(current.len(), 1, "{path}");
            assert_eq!(current[0].0, place);
        }
        assert!(!is_within("/console/jobsite", "/console/jobs"));
    }

    #[test]
    fn only_a_page_that_says_it_itself_has_no_strip() {
        let elsewhere = |volume: Option<&str>| Place::Elsewhere { volume: volume.map(str::to_owned) };
        assert_eq!(Place::of("/console/"), Place::Overview);
        assert_eq!(Place::of("/console/jobs"), elsewhere(None));
        assert_eq!(Place::of("/console/volumes/uploads"), elsewhere(Some("uploads")));
    }

    #[test]
    fn a_form_that_could_not_be_read_says_so_too() {
        let address = ServerFnUrlError::new("/console/do/x", Problem::Invalid("no such mode".into()))
            .to_url("http://localhost/console")
            .unwrap();
        let sent = address.query_pairs().find(|(name, _)| name == "__err").unwrap().1.into_owned();
        let mut query = ParamsMap::new();
        query.insert("__err", sent);
        assert_eq!(problem(&query).as_deref(), Some("no such mode"));
    }

    #[test]
    fn an_alert_lists_its_points() {
        let html = rendered(|| view! { <Alert text="the gate is closed\n1 file is missing".to_owned() /> });
        assert!(html.contains("role=\"alert\"") && html.contains("<li>1 file is missing</li>"), "{html}");
    }
}
