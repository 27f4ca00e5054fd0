//! Server-sent events in islands: each message is one JSON document that replaces the one before.
//!
//! `EventSource` reconnects by itself, and stops for good when the server answers 204.

use leptos::prelude::*;

/// Jobs that have not ended.
pub const LIVE: &str = "/api/v1/live";
/// The same, and all volumes at a glance in messages named [`VOLUMES`].
pub const LIVE_WITH_VOLUMES: &str = "/api/v1/live?volumes=true";
pub const VOLUMES: &str = "volumes";

/// Whether what an island shows is fresh; a stale figure must not look like a live one (promise I10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// As the page came; without scripts it stays so.
    Page,
    Live,
    Lost,
}

#[component]
pub fn LiveMark(line: Signal<Line>) -> impl IntoView {
    view! {
        <p class="live-mark" role="status">
            {move || match line.get() {
                Line::Page => "As of when the page was loaded.",
                Line::Live => "Live.",
                Line::Lost => "The connection is lost; these figures are old. Trying again …",
            }}
        </p>
    }
}

/// Calls `on_data` with each message that can be read, from when the island wakes until the page goes.
pub fn listen<T: serde::de::DeserializeOwned + 'static>(
    url: String,
    line: WriteSignal<Line>,
    on_data: impl Fn(T) + 'static,
) {
    listen_for(&url, "message", line, on_data);
}

/// The same for the messages of one name. Islands that listen to one address share its connection: a browser has six for
/// all its tabs.
#[cfg(feature = "hydrate")]
pub fn listen_for<T: serde::de::DeserializeOwned + 'static>(
    url: &str,
    name: &str,
    line: WriteSignal<Line>,
    on_data: impl Fn(T) + 'static,
) {
    use wasm_bindgen::JsCast;
    use wasm_bindgen::closure::Closure;
    use web_sys::MessageEvent;

    let Some(source) = source(url) else { return };
    let heard = Closure::<dyn Fn(MessageEvent)>::new(move |message: MessageEvent| {
        let text = message.data().as_string().unwrap_or_default();
        if let Ok(data) = serde_json::from_str(&text) {
            line.set(Line::Live);
            on_data(data);
        }
    });
    let failed = Closure::<dyn Fn()>::new(move || line.set(Line::Lost));
    // It refuses nothing but a name that is no text.
    let _ = source.add_event_listener_with_callback(name, heard.as_ref().unchecked_ref());
    let _ = source.add_event_listener_with_callback("error", failed.as_ref().unchecked_ref());
    // The page owns them: there is no navigation that would outlive it.
    heard.forget();
    failed.forget();
}

#[cfg(feature = "hydrate")]
fn source(url: &str) -> Option<web_sys::EventSource> {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use web_sys::EventSource;

    thread_local! {
        static OPEN: RefCell<BTreeMap<String, EventSource>> = const { RefCell::new(BTreeMap::new()) };
    }
    OPEN.with_borrow_mut(|open| match open.get(url) {
        Some(source) => Some(source.clone()),
        None => {
            let source = EventSource::new(url).ok()?;
            open.insert(url.to_owned(), source.clone());
            Some(source)
        }
    })
}

#[cfg(not(feature = "hydrate"))]
pub fn listen_for<T: serde::de::DeserializeOwned + 'static>(
    _url: &str,
    _name: &str,
    _line: WriteSignal<Line>,
    _on_data: impl Fn(T) + 'static,
) {
}
