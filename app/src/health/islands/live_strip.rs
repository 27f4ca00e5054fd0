//! The head line: what is wrong, since when, what is being done, what to do next. On the overview it comes first; on every other page
//! it is a strip at the foot of the window, there only while something must not wait.
//!
//! At the foot nothing that is being read moves when it comes or goes. In the document it stands before the page, so that whoever
//! uses a keyboard or listens meets it first.

use leptos::prelude::*;

use crate::health::glance::{Glances, HeadLine, Step};
use crate::ui::badge;
use crate::ui::live::{LIVE_WITH_VOLUMES, Line, VOLUMES, listen_for};

/// `but`: the volume whose own page this is, and says how it stands.
#[island]
pub fn LiveStrip(strip: Option<HeadLine>, but: Option<String>) -> impl IntoView {
    let (strip, set_strip) = signal(strip);
    let (line, set_line) = signal(Line::Page);
    listen_for(LIVE_WITH_VOLUMES, VOLUMES, set_line, move |fresh: Glances| {
        set_strip.set(fresh.pressing(but.as_deref()));
    });
    // Drawn again, and read out, only when its words change.
    let said = Memo::new(move |_| strip.get());
    let is_lost = move || line.get() == Line::Lost;
    view! {
        <aside class="strip-place" aria-label="What must not wait">
            <div role="status">
            {move || said.with(|said| said.as_ref().map(|said| view! {
                <div class="pressing" data-tone=badge::level(said.level).0.as_str()>
                    {badge::level(said.level).0.icon()}
                    <div>
                        {head_line(said)}
                        {move || is_lost().then_some(view! { <p class="muted">"The connection is lost; this is old. Trying again …"</p> })}
                    </div>
                </div>
            }))}
            </div>
        </aside>
    }
}

/// As a panel of its own.
pub fn panel(said: &HeadLine) -> impl IntoView + use<> {
    let tone = badge::level(said.level).0;
    view! {
        <div class="alert said-first" role="status" data-tone=tone.as_str()>
            {tone.icon()}
            <div>{head_line(said)}</div>
        </div>
    }
}

fn head_line(said: &HeadLine) -> impl IntoView + use<> {
    let also = said.draft.as_ref().map(|step| led("Also: ", step));
    view! {
        <p class="worst">{format!("{}.", said.what.trim_end_matches('.'))}</p>
        {said.doing.as_ref().map(|step| led("Being done: ", step))}
        {said.next.as_ref().map(next)}
        {also}
    }
}

/// `Next: take it offline and check its disk.`
pub fn next(step: &Step) -> impl IntoView + use<> {
    led("Next: ", step)
}

fn led(lead: &'static str, step: &Step) -> impl IntoView + use<> {
    let words = step.words.clone();
    let words = match &step.href {
        Some(href) => view! { <a href=href.clone()>{words}</a> }.into_any(),
        None => words.into_any(),
    };
    view! { <p class="next">{lead} {words} "."</p> }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::glance::Draft;
    use crate::health::port::VolumeHealth;
    use crate::restore::port::JobView;
    use crate::ui::rendered;
    use crate::volumes::port::VolumeView;
    use chrono::DateTime;

    fn glances() -> Glances {
        let draft = Draft { id: "I1".into(), name: "Uploads are stopped".into() };
        let job = JobView::sample().report;
        let (volume, health) = (VolumeView::sample(), VolumeHealth::sample());
        let glances = Glances::new(&[volume], &[health], &[], &[job], &[], DateTime::UNIX_EPOCH);
        Glances { drafts: vec![draft], ..glances }
    }

    #[test]
    fn it_says_what_since_when_what_is_done_and_what_is_next() {
        let html = rendered(|| view! { <LiveStrip strip=glances().pressing(None) but=None /> });
        for needed in [
            "uploads is read-only since 00:00 UTC: ext4 reported 1 error",
            "Next: ",
            "wait for",
            "Also: <a href=\"/console/incidents/I1\">publish or discard the draft",
            "role=\"status\"",
        ] {
            assert!(html.contains(needed), "{needed} in {html}");
        }
        let html = rendered(|| view! { <LiveStrip strip=glances().pressing(Some("uploads")) but=None /> });
        assert!(!html.contains("read-only") && html.contains("Customers have not been told yet"), "{html}");
    }

    #[test]
    fn while_nothing_presses_there_is_room_for_it_and_no_word() {
        let html = rendered(|| view! { <LiveStrip strip=None but=None /> });
        assert!(html.contains("strip-place") && !html.contains("pressing\""), "{html}");
    }
}
