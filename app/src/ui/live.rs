//! Server-sent events in islands: each message is one JSON document that replaces the one before.
//!
//! `EventSource` reconnects by itself, and stops for good when the server answers 204. A tab that nobody sees listens to nothing: every
//! page has a connection, and a browser has six to one server for all its tabs.

use leptos::prelude::*;

/// Jobs that have not ended, and all volumes at a glance in messages named [`VOLUMES`].
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

/// The same for the messages of one name. Islands that listen to one address share its connection.
#[cfg(feature = "hydrate")]
pub fn listen_for<T: serde::de::DeserializeOwned + 'static>(
    url: &str,
    name: &str,
    line: WriteSignal<Line>,
    on_data: impl Fn(T) + 'static,
) {
    use wasm_bindgen::closure::Closure;
    use web_sys::MessageEvent;

    let heard = Closure::<dyn Fn(MessageEvent)>::new(move |message: MessageEvent| {
        let text = message.data().as_string().unwrap_or_default();
        if let Ok(data) = serde_json::from_str(&text) {
            line.set(Line::Live);
            on_data(data);
        }
    });
    let failed = Closure::<dyn Fn()>::new(move || line.set(Line::Lost));
    // The page owns them: there is no navigation that would outlive it.
    sources::add(url, [(name, heard.into_js_value()), ("error", failed.into_js_value())]);
}

#[cfg(feature = "hydrate")]
mod sources {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use wasm_bindgen::closure::Closure;
    use wasm_bindgen::{JsCast, JsValue};
    use web_sys::{Document, EventSource};

    /// Who listens to one address, and the connection while the page is seen.
    #[derive(Default)]
    struct Source {
        now: Option<EventSource>,
        listeners: Vec<(String, JsValue)>,
    }

    thread_local! {
        static ALL: RefCell<BTreeMap<String, Source>> = const { RefCell::new(BTreeMap::new()) };
    }

    pub fn add<const N: usize>(url: &str, listeners: [(&str, JsValue); N]) {
        ALL.with_borrow_mut(|all| {
            if all.is_empty() {
                follow_the_page();
            }
            let source = all.entry(url.to_owned()).or_default();
            for (name, listener) in listeners {
                source.now.iter().for_each(|now| hear(now, name, &listener));
                source.listeners.push((name.to_owned(), listener));
            }
            if source.now.is_none() && !is_hidden() {
                source.open(url);
            }
        });
    }

    impl Source {
        fn open(&mut self, url: &str) {
            self.now = EventSource::new(url).ok();
            for (now, (name, listener)) in
                self.now.iter().flat_map(|now| self.listeners.iter().map(move |one| (now, one)))
            {
                hear(now, name, listener);
            }
        }
    }

    fn hear(source: &EventSource, name: &str, listener: &JsValue) {
        // It refuses nothing but a name that is no text.
        let _ = source.add_event_listener_with_callback(name, listener.unchecked_ref());
    }

    fn follow_the_page() {
        let turned = Closure::<dyn Fn()>::new(|| {
            ALL.with_borrow_mut(|all| {
                for (url, source) in all {
                    match (is_hidden(), source.now.take()) {
                        (true, Some(now)) => now.close(),
                        (true, None) => {}
                        (false, Some(now)) => source.now = Some(now),
                        (false, None) => source.open(url),
                    }
                }
            });
        });
        if let Some(document) = document() {
            let turned = turned.into_js_value();
            let _ = document.add_event_listener_with_callback("visibilitychange", turned.unchecked_ref());
        }
    }

    fn is_hidden() -> bool {
        document().is_some_and(|document| document.hidden())
    }

    fn document() -> Option<Document> {
        web_sys::window()?.document()
    }
}

#[cfg(not(feature = "hydrate"))]
pub fn listen_for<T: serde::de::DeserializeOwned + 'static>(
    _url: &str,
    _name: &str,
    _line: WriteSignal<Line>,
    _on_data: impl Fn(T) + 'static,
) {
}

/// Draws the element `id` of this page anew, as the server has it now. What was folded or unfolded stays so, and the focus stays where it
/// is: on a line that unfolds it is given back; on anything else nothing is drawn this time. One at a time.
#[cfg(feature = "hydrate")]
pub fn redraw(id: String) {
    use std::cell::Cell;

    thread_local! {
        static UNDER_WAY: Cell<bool> = const { Cell::new(false) };
    }
    if UNDER_WAY.replace(true) {
        return;
    }
    leptos::task::spawn_local(async move {
        // What could not be read now is read with the next message.
        let _ = redrawn(&id).await;
        UNDER_WAY.set(false);
    });
}

#[cfg(feature = "hydrate")]
async fn redrawn(id: &str) -> Option<()> {
    use wasm_bindgen::JsCast;
    use wasm_bindgen_futures::JsFuture;
    use web_sys::{HtmlElement, HtmlTemplateElement, Response};

    let window = web_sys::window()?;
    let document = window.document()?;
    let address = window.location().href().ok()?;
    let answer: Response = JsFuture::from(window.fetch_with_str(&address)).await.ok()?.dyn_into().ok()?;
    if !answer.ok() || answer.redirected() {
        return None;
    }
    let text = JsFuture::from(answer.text().ok()?).await.ok()?.as_string()?;
    // Nothing in a template runs, and nothing of it is loaded.
    let page: HtmlTemplateElement = document.create_element("template").ok()?.dyn_into().ok()?;
    page.set_inner_html(&text);
    let (fresh, old) = (page.content().get_element_by_id(id)?, document.get_element_by_id(id)?);
    let folds = fresh.get_elements_by_tag_name("details");
    for fold in (0..folds.length()).filter_map(|at| folds.item(at)) {
        let place = fold.parent_element().and_then(|place| document.get_element_by_id(&place.id()));
        let before = place.and_then(|place| place.query_selector(":scope > details").ok().flatten());
        if let Some(before) = before {
            fold.toggle_attribute_with_force("open", before.has_attribute("open")).ok()?;
        }
    }
    let focused = document.active_element().filter(|focused| old.contains(Some(focused)));
    let place = match focused {
        Some(focused) => Some(focused.closest("summary").ok()??.closest("li[id]").ok()??.id()),
        None => None,
    };
    old.replace_with_with_node_1(&fresh).ok()?;
    if let Some(place) = place {
        let line =
            document.get_element_by_id(&place)?.query_selector(":scope > details > summary").ok()??;
        line.dyn_into::<HtmlElement>().ok()?.focus().ok()?;
    }
    Some(())
}

#[cfg(not(feature = "hydrate"))]
pub fn redraw(_id: String) {}
