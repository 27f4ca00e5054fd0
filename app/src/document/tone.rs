//! Tones: a colour with a meaning, and the icon that carries the same meaning without the colour.

use leptos::prelude::*;

/// As in `style/base.css`: `data-tone`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Ok,
    Info,
    Warn,
    Serious,
    Bad,
    /// Nothing to say about good or bad.
    Plain,
}

impl Tone {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Serious => "serious",
            Self::Bad => "bad",
            Self::Plain => "plain",
        }
    }

    /// Each tone has a shape of its own.
    pub fn icon(self) -> AnyView {
        let path = match self {
            Self::Ok => {
                "M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20zm5.2 7.6-6.2 6.8-4.2-4 1.6-1.7 2.5 2.4 4.6-5.1z"
            }
            Self::Info => "M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20zm1.3 15.5h-2.6v-7h2.6zm0-9h-2.6V6h2.6z",
            Self::Warn => "M12 2 1 21.5h22zm1.3 16h-2.6v-2.5h2.6zm0-4.2h-2.6V8.5h2.6z",
            Self::Serious => {
                "M7.9 2h8.2L22 7.9v8.2L16.1 22H7.9L2 16.1V7.9zm5.4 15.3v-2.6h-2.6v2.6zm0-4.4V6.5h-2.6v6.4z"
            }
            Self::Bad => {
                "M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20zm4.9 13.1-1.8 1.8-3.1-3.1-3.1 3.1-1.8-1.8 3.1-3.1-3.1-3.1 1.8-1.8 3.1 3.1 3.1-3.1 1.8 1.8-3.1 3.1z"
            }
            Self::Plain => {
                "M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20zm0 2.6a7.4 7.4 0 1 1 0 14.8 7.4 7.4 0 0 1 0-14.8z"
            }
        };
        view! { <svg viewBox="0 0 24 24" width="20" height="20" fill="currentColor" aria-hidden="true"><path d=path/></svg> }
            .into_any()
    }
}

/// An icon and a word in a pill.
pub fn badge(tone: Tone, words: &str) -> AnyView {
    view! { <span class="badge" data-tone=tone.as_str()>{tone.icon()}{words.to_owned()}</span> }.into_any()
}

/// The lifebuoy of the header.
pub(super) fn buoy() -> AnyView {
    view! {
        <svg viewBox="0 0 16 16" width="22" height="22" aria-hidden="true" fill="none" stroke="var(--accent)">
            <circle cx="8" cy="8" r="5" stroke-width="5"/>
            <path d="M8 0v5M8 11v5M0 8h5M11 8h5" stroke="var(--surface)" stroke-width="2"/>
        </svg>
    }
    .into_any()
}
