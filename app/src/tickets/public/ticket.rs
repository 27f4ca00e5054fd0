//! The ticket's own page, for whoever holds its link.

use leptos::prelude::*;
use salvor_domain::ticket::{MAX_NOTE_BYTES, TicketState};
use salvor_domain::units::{count, counted};

use super::line;
use crate::document::tone::Tone;
use crate::document::{said, when};
use crate::tickets::port::{MessageView, TicketView};

/// `writing`: the form is open, and nothing renews the page under it.
pub(super) fn main(ticket: &TicketView, secret: &str, writing: bool) -> AnyView {
    let poll = moving(ticket).then_some("5");
    view! {
        <main id="main" class="wrap stack" data-poll=poll>
            <div id="state" data-part="">{banner(ticket)}</div>
            {lines(ticket, secret)}
            <section id="messages" data-part="">{messages(ticket)}</section>
            <section id="note">{note(ticket, secret, writing)}</section>
            <section><h2>"Your report"</h2>{facts(ticket)}</section>
        </main>
    }
    .into_any()
}

/// Something changes by itself soon.
pub(super) fn moving(ticket: &TicketView) -> bool {
    matches!(ticket.state, TicketState::Open | TicketState::Restoring)
}

pub(super) fn headline(ticket: &TicketView) -> &'static str {
    state(ticket).1
}

fn state(ticket: &TicketView) -> (Tone, &'static str, &'static str) {
    match ticket.state {
        TicketState::Open => (
            Tone::Info,
            "We are looking for your files",
            "Every line is looked up in our catalogue and in all backups. This page shows the result by itself.",
        ),
        TicketState::Restoring => (
            Tone::Info,
            "Your files are on their way back",
            "Each one is checked before we call it back. This page shows it by itself, you need not wait here.",
        ),
        TicketState::NeedsOperator => (
            Tone::Warn,
            "A person is looking into it",
            "Some of this we cannot settle automatically. Our support team answers on this page.",
        ),
        TicketState::Answered if ticket.lines.is_empty() => {
            (Tone::Ok, "We have answered you", "If it is not settled with that, write below.")
        }
        // Nothing to confirm is no reason to cheer: green is for files that are there.
        TicketState::Answered if !ticket.lines.iter().any(line::is_open_question) => (
            if ticket.lines.iter().all(line::is_there) { Tone::Ok } else { Tone::Info },
            "We have an answer for you",
            "Below is what became of each line. If that does not settle it, write to us.",
        ),
        TicketState::Answered => (
            Tone::Ok,
            "We have an answer for you",
            "Please look at your files and tell us, line by line, whether they are back.",
        ),
        TicketState::Closed => {
            (Tone::Plain, "This report is closed", "If something is missing after all, write below.")
        }
    }
}

fn banner(ticket: &TicketView) -> AnyView {
    let (tone, words, next) = state(ticket);
    let back = ticket.lines.iter().filter(|line| line::is_there(line)).count() as u64;
    let far = (ticket.lines.len() > 1).then(|| {
        let total = ticket.lines.len() as u64;
        view! { <p><strong>{format!("{} of {} there", count(back), counted(total, "file is", "files are"))}</strong></p> }
    });
    view! {
        <div class="banner" data-tone=tone.as_str()>
            {tone.icon()}
            <div><h1>{words}</h1><p>{next}</p>{far}</div>
        </div>
    }
    .into_any()
}

fn lines(ticket: &TicketView, secret: &str) -> AnyView {
    let items = ticket.lines.iter().map(|line| line::item(line, secret)).collect_view();
    let list = (!ticket.lines.is_empty()).then(|| {
        view! { <h2>"Your files"</h2><ol class="lines card" role="list">{items}</ol> }
    });
    view! { <section id="files" data-part="">{list}</section> }.into_any()
}

fn messages(ticket: &TicketView) -> AnyView {
    let shown: Vec<_> = ticket.messages.iter().filter(|message| message.public).collect();
    let note = ticket.note.as_ref().filter(|note| !shown.iter().any(|message| message.body == **note));
    let first = note.map(|note| MessageView {
        at: ticket.created_at,
        author: "customer".into(),
        public: true,
        body: note.clone(),
    });
    let list: Vec<_> = first.iter().chain(shown).map(message).collect();
    if list.is_empty() {
        return ().into_any();
    }
    view! { <h2>"Messages"</h2><ol class="messages stack" role="list">{list}</ol> }.into_any()
}

/// Operators are a team to the customer: their addresses are not shown.
fn message(message: &MessageView) -> AnyView {
    let (class, author) = match message.author.as_str() {
        "customer" => ("stack", "You"),
        "salvor" => ("stack team", "Automatic message"),
        _ => ("stack team", "Support team"),
    };
    view! {
        <li class=class>
            <p class="cluster"><strong>{author}</strong><span class="muted small">{when(message.at)}</span></p>
            {said(&message.body)}
        </li>
    }
    .into_any()
}

fn note(ticket: &TicketView, secret: &str, writing: bool) -> AnyView {
    let peace = (moving(ticket) && !writing).then(|| {
        let to = format!("/tickets/{secret}?note#note");
        view! {
            <noscript>
                <p class="small">"This page reloads every 5 seconds. "<a href=to>"Write without being interrupted"</a></p>
            </noscript>
        }
    });
    view! {
        <details class="card" open=writing>
            <summary>"Add a note"</summary>
            {peace}
            <form class="stack" method="post" action=format!("/tickets/{secret}/note")>
                <div class="field">
                    <label for="body">"What should we know?"</label>
                    <p class="hint" id="body-hint">
                        {format!("Our support team reads it. Up to {} characters.", count(MAX_NOTE_BYTES as u64))}
                    </p>
                    <textarea id="body" name="body" rows="5" required="" maxlength=MAX_NOTE_BYTES.to_string()
                        aria-describedby="body-hint"></textarea>
                </div>
                <div><button class="button" type="submit">"Send note"</button></div>
            </form>
        </details>
    }
    .into_any()
}

fn facts(ticket: &TicketView) -> AnyView {
    let site = ticket.site.clone().map(|site| view! { <dt>"Site"</dt><dd>{site}</dd> });
    view! {
        <div class="card stack">
            <dl class="facts">
                <dt>"Ticket"</dt><dd>{ticket.number.to_string()}</dd>
                <dt>"Sent"</dt><dd>{when(ticket.created_at)}</dd>
                <dt>"Last change"</dt><dd>{when(ticket.updated_at)}</dd>
                <dt>"Sent by"</dt><dd>{ticket.email.clone()}</dd>
                {site}
            </dl>
            <p class="small">
                <strong>"Bookmark this page."</strong>
                " Its address is the key to your report: whoever has it can read this page, so keep it to yourself."
            </p>
        </div>
    }
    .into_any()
}
