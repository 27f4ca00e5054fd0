//! One reported file: what was found, what happens next, and whether the customer agrees.

use leptos::prelude::*;
use salvor_domain::ticket::{LineState, Verdict};

use crate::document::tone::{Tone, badge};
use crate::tickets::port::LineView;

pub(super) fn item(line: &LineView, secret: &str) -> AnyView {
    let (tone, words) = standing(line);
    view! {
        <li class="stack">
            <p class="input">{line.input.clone()}</p>
            <p>{badge(tone, words)}</p>
            <p>{line.detail.clone()}</p>
            {link(line)}
            {ask(line, secret)}
        </li>
    }
    .into_any()
}

/// The file is on the volume, as far as Salvor knows.
pub(super) fn is_there(line: &LineView) -> bool {
    match line.state {
        LineState::Restored | LineState::Confirmed => true,
        LineState::Diagnosed => line.verdict == Some(Verdict::Present),
        LineState::New | LineState::Restoring | LineState::Failed | LineState::StillMissing => false,
    }
}

fn standing(line: &LineView) -> (Tone, &'static str) {
    match (line.state, line.verdict) {
        (LineState::New, _) => (Tone::Info, "Being looked up"),
        (LineState::Restoring, _) => (Tone::Info, "On its way back"),
        (LineState::Restored, _) => (Tone::Ok, "Back"),
        (LineState::Confirmed, _) => (Tone::Ok, "Back, confirmed by you"),
        (LineState::StillMissing, _) => (Tone::Serious, "You said: still missing"),
        (LineState::Failed, _) => (Tone::Warn, "Not back yet"),
        (LineState::Diagnosed, None) => (Tone::Plain, "Looked up"),
        (LineState::Diagnosed, Some(verdict)) => match verdict {
            Verdict::Present => (Tone::Ok, "The file is there"),
            Verdict::BeingRestored => (Tone::Info, "On its way back"),
            Verdict::Restorable => (Tone::Info, "Found in a backup"),
            Verdict::Overwritten => (Tone::Warn, "Replaced by a newer file"),
            Verdict::Deleted => (Tone::Plain, "Deleted by its owner"),
            Verdict::InNoCopy => (Tone::Bad, "In none of our backups"),
            Verdict::NotOurs => (Tone::Warn, "Not recognised"),
        },
    }
}

fn link(line: &LineView) -> Option<AnyView> {
    let url = line.url.clone().filter(|url| url.starts_with("https://") || url.starts_with("http://"))?;
    // No referrer: this page's own address is a secret.
    is_there(line).then(|| {
        view! { <p><a href=url rel="noopener noreferrer" target="_blank">"Open the file"<span class="visually-hidden">" in a new tab"</span></a></p> }
            .into_any()
    })
}

/// The customer has not said yet whether this file is back, and could.
pub(super) fn is_open_question(line: &LineView) -> bool {
    match line.state {
        LineState::Restored => true,
        LineState::Diagnosed => matches!(line.verdict, Some(Verdict::Present | Verdict::Overwritten)),
        _ => false,
    }
}

/// The two buttons, where the answer would tell us something new.
fn ask(line: &LineView, secret: &str) -> Option<AnyView> {
    let (back, missing) = match line.state {
        LineState::Confirmed => (false, true),
        LineState::StillMissing => (true, false),
        _ if is_open_question(line) => (true, true),
        _ => return None,
    };
    let button = |value: &'static str, class: &'static str, words: &'static str| {
        let which = line.input.clone();
        view! {
            <button class=class name="fixed" value=value>{words}<span class="visually-hidden">": " {which}</span></button>
        }
    };
    let view = view! {
        <form class="cluster" method="post" action=format!("/tickets/{secret}/confirm")>
            <input type="hidden" name="line" value=line.line.to_string()/>
            {back.then(|| button("yes", if missing { "button" } else { "button quiet" }, "It is back"))}
            {missing.then(|| button("no", "button quiet", "Still missing"))}
        </form>
    };
    Some(view.into_any())
}
