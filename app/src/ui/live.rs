//! Server-sent events in islands: each message is one JSON document that replaces the one before.
//!
//! `EventSource` reconnects by itself, and stops for good when the server answers 204.

use leptos::prelude::*;

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
#[cfg(feature = "hydrate")]
pub fn listen<T: serde::de::DeserializeOwned + 'static>(
    url: String,
    line: WriteSignal<Line>,
    on_data: impl Fn(T) + 'static,
) {
    use wasm_bindgen::JsCast;
    use wasm_bindgen::closure::Closure;
    use web_sys::{EventSource, MessageEvent};

    let Ok(source) = EventSource::new(&url) else { return };
    let heard = Closure::<dyn Fn(MessageEvent)>::new(move |message: MessageEvent| {
        let text = message.data().as_string().unwrap_or_default();
        if let Ok(data) = serde_json::from_str(&text) {
            line.set(Line::Live);
            on_data(data);
        }
    });
    source.set_onmessage(Some(heard.as_ref().unchecked_ref()));
    let failed = Closure::<dyn Fn()>::new(move || line.set(Line::Lost));
    source.set_onerror(Some(failed.as_ref().unchecked_ref()));
    // The page owns them: there is no navigation that would outlive it.
    heard.forget();
    failed.forget();
}

#[cfg(not(feature = "hydrate"))]
pub fn listen<T: serde::de::DeserializeOwned + 'static>(
    _url: String,
    _line: WriteSignal<Line>,
    _on_data: impl Fn(T) + 'static,
) {
}
