//! A part of a page that follows what happens: it is drawn by the server alone, and again whenever something changed.

use leptos::prelude::*;

use crate::health::glance::Glances;
use crate::ui::live::{LIVE_WITH_VOLUMES, Line, LiveMark, VOLUMES, listen_for, redraw};

/// Stands beside the element `id`, which has no form and no island in it.
#[island]
pub fn LivePart(id: String) -> impl IntoView {
    let (line, set_line) = signal(Line::Page);
    let loaded = StoredValue::new(true);
    listen_for(LIVE_WITH_VOLUMES, VOLUMES, set_line, move |_: Glances| {
        // The page that was loaded just now shows what the first message tells of.
        if !loaded.get_value() {
            redraw(id.clone());
        }
        loaded.set_value(false);
    });
    view! { <LiveMark line=line.into() /> }
}
