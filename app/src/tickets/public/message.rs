//! A page that only says something.

use leptos::prelude::*;

use crate::document::said;

pub(super) fn main(title: &str, text: &str) -> AnyView {
    view! {
        <main id="main" class="wrap stack">
            <h1>{title.to_owned()}</h1>
            <div class="lead stack">{said(text)}</div>
            <p class="cluster">
                <a class="button" href="/">"Current status"</a>
                <a class="button quiet" href="/report">"Report missing files"</a>
            </p>
        </main>
    }
    .into_any()
}
