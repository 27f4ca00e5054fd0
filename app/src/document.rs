//! A public page as one complete HTML document: everything inline, nothing loaded, no wasm.
//!
//! What lives here: the frame around every public page (head, header, footer), the script and the policy that go with
//! it, and the small parts that the pages share. What does not: what a page says; that is in its slice's `public`
//! folder. What must always hold: a document works without JavaScript, names no other address to load from, and its
//! first view fits in 14 kB compressed, because the storage behind it may be down (promise I8).
//!
//! The views are ordinary leptos; they are rendered here under an owner of their own, without router, resources or
//! hydration, and the marks that leptos leaves for hydration are taken out again.

use base64::Engine as _;
use chrono::{DateTime, SecondsFormat, Utc};
use leptos::prelude::*;
use sha2::{Digest as _, Sha256};

pub mod tone;

#[cfg(test)]
mod contrast;
#[cfg(test)]
pub(crate) mod probe;

/// The script of every public page: local times, live progress, fresh contents. It never changes while the program runs,
/// so that a page can be kept in a cache and still be allowed by a policy that names the script's hash.
///
/// On the status page it listens to `GET /live/status`, an event stream whose unnamed events carry
/// [`LiveStatus`](crate::incidents::public::LiveStatus) as JSON.
pub const SCRIPT: &str = include_str!("document/script.js");

/// The lifebuoy, as a data URI: a favicon costs no request.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
    %3Ccircle cx='8' cy='8' r='5' fill='none' stroke='%230b5c8a' stroke-width='5'/%3E\
    %3Cpath d='M8 0v5M8 11v5M0 8h5M11 8h5' stroke='%23fff' stroke-width='2'/%3E%3C/svg%3E";

/// The name over the pages that are rendered without a status view.
pub const PAGE_NAME: &str = "Salvor";

/// How the documents look.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// The styles, inlined: `tokens.css`, `base.css` and `public.css`.
    pub css: &'a str,
}

/// What a document says about itself.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The service's name, in the header and at the end of the title.
    pub name: String,
    pub title: String,
    pub description: String,
    /// Where it is served: marks the current entry of the navigation.
    pub path: String,
    /// For browsers without JavaScript only; with it the script fetches what changed and leaves the reader alone.
    pub refresh_seconds: Option<u32>,
    pub noindex: bool,
}

/// The complete document. `body` makes `<main id="main">`, and is called under the owner it needs.
pub fn document<V: IntoView>(look: &Look, page: Page, body: impl FnOnce() -> V) -> String {
    let Page { name, title, description, path, refresh_seconds, noindex } = page;
    let rendered = Owner::new().with(|| (header(&name, &path), body(), footer()).into_view().to_html());
    let refresh = refresh_seconds.map_or(String::new(), |seconds| {
        format!("<noscript><meta http-equiv=\"refresh\" content=\"{seconds}\"></noscript>")
    });
    let robots = if noindex { "<meta name=\"robots\" content=\"noindex\">" } else { "" };
    let (title, name, description) = (escape(&title), escape(&name), escape(&description));
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title} · {name}</title><meta name=\"description\" content=\"{description}\">{robots}{refresh}\
         <meta name=\"referrer\" content=\"same-origin\"><link rel=\"icon\" href=\"{ICON}\">\
         <style>{}</style></head><body>{}<script>{SCRIPT}</script></body></html>",
        look.css,
        without_marks(&rendered),
    )
}

/// The `Content-Security-Policy` of a document: this script, these styles, no other; no nonce, so that one cached page
/// serves everybody.
pub fn content_security_policy(look: &Look) -> String {
    format!(
        "default-src 'none'; script-src {}; style-src {}; img-src 'self' data:; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        script_source(),
        hash_source(look.css),
    )
}

/// The script as a source in a policy: `'sha256-…'`.
pub fn script_source() -> String {
    hash_source(SCRIPT)
}

fn hash_source(text: &str) -> String {
    format!("'sha256-{}'", base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text)))
}

/// `24 Nov 2026, 09:57 UTC`
pub fn utc(at: DateTime<Utc>) -> String {
    at.format("%-d %b %Y, %H:%M UTC").to_string()
}

/// A point in time in UTC; the script adds the reader's own.
pub fn when(at: DateTime<Utc>) -> AnyView {
    let machine = at.to_rfc3339_opts(SecondsFormat::Secs, true);
    view! { <time datetime=machine data-local="">{utc(at)}</time> }.into_any()
}

/// Plain text as a person wrote it: paragraphs at empty lines, line breaks kept, nothing linked.
pub fn said(text: &str) -> AnyView {
    let text = text.replace("\r\n", "\n");
    text.split("\n\n")
        .map(|paragraph| paragraph.trim_matches('\n').to_owned())
        .filter(|paragraph| !paragraph.trim().is_empty())
        .map(|paragraph| view! { <p class="said">{paragraph}</p> })
        .collect_view()
        .into_any()
}

/// Text for where leptos does not write it for us: attributes in double quotes, and elements.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

/// Takes out `<!>` and `<!--…-->`, which leptos leaves between texts for hydration. Safe because every text and attribute
/// in a view is escaped: `<!` can come from nowhere else.
fn without_marks(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find("<!") {
        out.push_str(&rest[..at]);
        let mark = &rest[at..];
        let end = if mark.starts_with("<!--") {
            mark.find("-->").map(|end| end + 3)
        } else {
            mark.starts_with("<!>").then_some(3)
        };
        match end {
            Some(end) => rest = &mark[end..],
            None => {
                out.push_str("<!");
                rest = &mark[2..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn header(name: &str, path: &str) -> AnyView {
    let entry = |to: &'static str, text: &'static str| {
        let current = (path == to).then_some("page");
        view! { <a href=to aria-current=current>{text}</a> }
    };
    view! {
        <a class="skip" href="#main">"Skip to the content"</a>
        <header class="top">
            <div class="wrap">
                <a class="name" href="/">{tone::buoy()}{name.to_owned()}</a>
                <nav aria-label="Pages">
                    {entry("/", "Status")} {entry("/history", "History")} {entry("/report", "Report a file")}
                </nav>
            </div>
        </header>
    }
    .into_any()
}

fn footer() -> AnyView {
    view! {
        <footer>
            <div class="wrap">
                <p id="news" role="status" class="visually-hidden"></p>
                <p>"All times are UTC."</p>
                <p><a href="/report">"Report missing files"</a></p>
            </div>
        </footer>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look { css: "b{color:red}" };

    #[test]
    fn marks_go_and_nothing_else_does() {
        for (before, after) in [
            ("a<!>b", "ab"),
            ("<p><!--<() />-->x</p>", "<p>x</p>"),
            ("<!", "<!"),
            ("<!-- never closed", "<!-- never closed"),
            ("&lt;!--a--&gt;", "&lt;!--a--&gt;"),
            ("<!><!><i>é</i><!>", "<i>é</i>"),
        ] {
            assert_eq!(without_marks(before), after);
        }
    }

    #[test]
    fn what_a_person_wrote_stays_text() {
        let hostile = "</p><!-- --><script>alert(1)</script>\" onload=\"x";
        let page = Page { title: hostile.into(), description: hostile.into(), ..Page::default() };
        let html = document(&LOOK, page, || view! { <p title=hostile>{hostile} " " {said(hostile)}</p> });
        probe::is_sound(&html);
        assert_eq!(html.matches("<script>").count(), 1, "only our own");
        assert_eq!(html.matches("&lt;!-- --&gt;").count(), 5, "kept, and escaped: {html}");
    }

    #[test]
    fn paragraphs_and_line_breaks_are_kept() {
        let html = Owner::new().with(|| said("One\r\ntwo\n\n\n\nthree\n").to_html());
        assert_eq!(without_marks(&html), "<p class=\"said\">One\ntwo</p><p class=\"said\">three</p>");
    }

    #[test]
    fn the_policy_names_what_is_inline() {
        let policy = content_security_policy(&LOOK);
        assert!(policy.contains("script-src 'sha256-") && policy.contains("style-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe"));
        // The well-known hash of the empty text.
        assert_eq!(hash_source(""), "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='");
        assert!(!SCRIPT.contains("</") && !SCRIPT.contains("<!--"), "the script must not end itself");
    }
}
