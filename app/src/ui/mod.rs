//! What the console's pages are made of: the frame around them, and the small parts that every slice uses.
//!
//! Decisions (which tone, which words) are plain functions beside the components that lay them out.

pub mod address;
pub mod api;
pub mod badge;
pub mod chart;
pub mod figure;
pub mod form;
pub mod layout;
pub mod live;
pub mod page;
pub mod span_chart;
pub mod table;
pub mod time;

pub use address::Address;
pub use badge::{Badge, Tone};
pub use figure::{Bar, Figure};
pub use form::{Confirm, Field, Hidden, PostForm, Submit, TextArea};
pub use page::{Empty, Heading, loaded};
pub use table::{Column, Table};
pub use time::{RenderedAt, When, age};

/// A view's HTML without the marks that leptos leaves between texts.
#[cfg(test)]
pub fn rendered<V: leptos::prelude::IntoView>(view: impl FnOnce() -> V) -> String {
    use leptos::prelude::{Owner, RenderHtml};
    Owner::new().with(|| view().into_view().to_html()).replace("<!>", "")
}
