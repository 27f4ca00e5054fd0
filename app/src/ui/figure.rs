//! Figures: a number with its name, and a bar for how far.

use leptos::prelude::*;
use salvor_domain::progress;

use crate::ui::Tone;

/// A term and its value in a `<dl class="figures">`.
#[component]
pub fn Figure<V: IntoView + 'static>(
    #[prop(into)] name: String,
    value: V,
    #[prop(optional)] tone: Option<Tone>,
) -> impl IntoView {
    view! {
        <div class="figure" data-tone=tone.map(Tone::as_str)>
            <dt>{name}</dt>
            <dd>{value}</dd>
        </div>
    }
}

/// How far, for eyes and for screen readers. Nothing planned yet is an empty bar without a number.
#[component]
pub fn Bar(done: u64, total: u64, #[prop(into)] label: String) -> impl IntoView {
    let percent = (total > 0).then(|| progress::percent(done, total));
    view! {
        <progress class="bar" max="100" value=percent.map(|percent| percent.to_string()) aria-label=label>
            {percent.map(|percent| format!("{percent} %"))}
        </progress>
    }
}
