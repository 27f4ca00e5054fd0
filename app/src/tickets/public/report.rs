//! The form for missing files.

use leptos::prelude::*;
use salvor_domain::ticket::{MAX_LINE_BYTES, MAX_LINES, MAX_NOTE_BYTES};
use salvor_domain::units::count;

use super::ReportForm;
use crate::document::escape;

const FIELDS: [&str; 4] = ["email", "site", "lines", "note"];

pub(super) fn main(form: &ReportForm) -> AnyView {
    view! {
        <main id="main" class="wrap stack">
            <header class="stack">
                <h1>"Report missing files"</h1>
                <p class="lead">
                    "Tell us what is gone. We look for it in every backup, bring it back where we can, and answer you."
                </p>
            </header>
            {summary(form)}
            <form class="card stack" method="post" action="/report" novalidate="">
                <div class="field">
                    <label for="email">"Your e-mail address"</label>
                    <p class="hint" id="email-hint">"So that we know who asks. The answer is on the page that you get next."</p>
                    {error(form, "email")}
                    <input id="email" name="email" type="email" required="" autocomplete="email" inputmode="email"
                        autocapitalize="none" spellcheck="false" maxlength="254" value=form.email.clone()
                        aria-describedby=described(form, "email") aria-invalid=invalid(form, "email")/>
                </div>
                <div class="field">
                    <label for="site">"Your site "<span class="optional">"(optional)"</span></label>
                    <p class="hint" id="site-hint">"Its name or address, for example rose.example.com."</p>
                    {error(form, "site")}
                    <input id="site" name="site" type="text" autocapitalize="none" spellcheck="false" maxlength="253"
                        value=form.site.clone()
                        aria-describedby=described(form, "site") aria-invalid=invalid(form, "site")/>
                </div>
                <div class="field">
                    <label for="lines">"What is missing?"</label>
                    <p class="hint" id="lines-hint">{lines_hint()}</p>
                    {error(form, "lines")}
                    <textarea id="lines" name="lines" rows="6" autocapitalize="none" spellcheck="false"
                        aria-describedby=described(form, "lines") aria-invalid=invalid(form, "lines")
                        inner_html=contents(&form.lines)></textarea>
                </div>
                <div class="field">
                    <label for="note">"Anything else? "<span class="optional">"(optional)"</span></label>
                    <p class="hint" id="note-hint">
                        "If you do not know the addresses, say what is odd about your site: a person reads it."
                    </p>
                    {error(form, "note")}
                    <textarea id="note" name="note" rows="4" maxlength=MAX_NOTE_BYTES.to_string()
                        aria-describedby=described(form, "note") aria-invalid=invalid(form, "note")
                        inner_html=contents(&form.note)></textarea>
                </div>
                <div class="pot" aria-hidden="true">
                    <label for="website">"Leave this empty"</label>
                    <input id="website" name="website" type="text" tabindex="-1" autocomplete="off"/>
                </div>
                <div><button class="button" type="submit">"Send report"</button></div>
            </form>
            <section>
                <h2>"What happens next"</h2>
                <ol class="next stack">
                    <li>"You get a private link to a page that shows what became of each file. Keep it: it needs no password."</li>
                    <li>"We look up every line. What a backup holds is put back and checked before we call it back."</li>
                    <li>"You tell us whether it is all there again. If not, a person goes on."</li>
                </ol>
                <p class="muted small">
                    "This page never says whether a file exists: only the private link does. So nobody can use it to look into another customer's files."
                </p>
            </section>
        </main>
    }
    .into_any()
}

fn lines_hint() -> String {
    format!(
        "Web addresses of files or pages, or file names, one on each line. Up to {} lines of {} bytes each.",
        count(MAX_LINES as u64),
        count(MAX_LINE_BYTES as u64)
    )
}

/// All that is wrong, at the top, each with a link to its field.
fn summary(form: &ReportForm) -> AnyView {
    if form.errors.is_empty() {
        return ().into_any();
    }
    let errors = form.errors.iter().map(|(field, message)| {
        let message = message.clone();
        match FIELDS.contains(field) {
            true => view! { <li><a href=format!("#{field}")>{message}</a></li> }.into_any(),
            false => view! { <li>{message}</li> }.into_any(),
        }
    });
    view! {
        <div class="alert" data-tone="bad" role="alert" id="errors" tabindex="-1">
            <h2>"The report was not sent yet"</h2>
            <ul>{errors.collect_view()}</ul>
        </div>
    }
    .into_any()
}

fn errors_of<'a>(form: &'a ReportForm, field: &'a str) -> impl Iterator<Item = &'a String> {
    form.errors.iter().filter(move |(name, _)| *name == field).map(|(_, message)| message)
}

fn error(form: &ReportForm, field: &str) -> AnyView {
    let messages: Vec<_> = errors_of(form, field).cloned().collect();
    if messages.is_empty() {
        return ().into_any();
    }
    view! { <p class="error" id=format!("{field}-error")>{messages.join(" ")}</p> }.into_any()
}

fn described(form: &ReportForm, field: &str) -> String {
    match errors_of(form, field).next() {
        Some(_) => format!("{field}-hint {field}-error"),
        None => format!("{field}-hint"),
    }
}

fn invalid(form: &ReportForm, field: &str) -> Option<&'static str> {
    errors_of(form, field).next().map(|_| "true")
}

/// A text area's own text: leptos would write a space for nothing, and a browser drops the first line break.
fn contents(text: &str) -> String {
    match text.is_empty() {
        true => String::new(),
        false => format!("\n{}", escape(text)),
    }
}
