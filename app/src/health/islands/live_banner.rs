//! What is wrong with one volume and what to do next, above everything else on its page; the gate as a list.

use leptos::prelude::*;
use salvor_domain::health::Level;
use salvor_domain::volume::{GatePoint, GatePointKind, Mode};

use super::live_strip::next;
use crate::health::glance::{Glance, Glances, Step};
use crate::ui::live::{LIVE_WITH_VOLUMES, Line, VOLUMES, listen_for};
use crate::ui::{Address, Tone, badge};

#[island]
pub fn LiveBanner(glance: Glance) -> impl IntoView {
    let (name, as_loaded) = (glance.volume.clone(), glance.mode.mode());
    let (glance, set_glance) = signal(glance);
    let (line, set_line) = signal(Line::Page);
    listen_for(LIVE_WITH_VOLUMES, VOLUMES, set_line, move |fresh: Glances| {
        if let Some(fresh) = fresh.volumes.into_iter().find(|fresh| fresh.volume == name) {
            set_glance.set(fresh);
        }
    });
    // Drawn again only when what it says changes: its links can hold the focus.
    let said = Memo::new(move |_| glance.with(Said::new));
    let is_stale =
        move || said.with(|said| said.as_ref().map_or(Mode::Normal, |said| said.mode)) != as_loaded;
    let is_lost = move || line.get() == Line::Lost;
    view! {
        {move || said.with(|said| said.as_ref().map(banner))}
        {move || is_stale().then(|| view! {
            <p class="live-mark" role="status">
                "The mode has changed since this page was loaded. " <a href="">"Load it again"</a>
            </p>
        })}
        {move || is_lost().then(|| view! {
            <p class="live-mark" role="status">"The connection is lost; what stands here is old. Trying again …"</p>
        })}
    }
}

/// What the banner says; nothing for a volume that needs nobody.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    volume: String,
    tone: Tone,
    what: String,
    next: Step,
    mode: Mode,
    /// Since when and by whom, for a volume that is not normal.
    by: Option<String>,
    evidence: Vec<String>,
    gate: Vec<GatePoint>,
    met: (u64, u64),
}

impl Said {
    fn new(glance: &Glance) -> Option<Self> {
        let mode = glance.mode.mode();
        if mode == Mode::Normal && glance.urgency <= Level::Unknown {
            return None;
        }
        let since = glance.mode.since().format("%Y-%m-%d %H:%M:%S UTC");
        Some(Self {
            volume: glance.volume.clone(),
            tone: badge::level(glance.urgency).0,
            what: format!("{}.", glance.what.trim_end_matches('.')),
            next: glance.next.clone(),
            mode,
            by: (mode != Mode::Normal).then(|| format!("Since {since}, by {}.", glance.mode.by())),
            evidence: glance.mode.evidence().to_vec(),
            gate: glance.gate.clone(),
            met: glance.met(),
        })
    }
}

fn banner(said: &Said) -> impl IntoView + use<> {
    let evidence: Vec<_> = said.evidence.iter().map(|seen| view! { <li>{seen.clone()}</li> }).collect();
    let evidence = (!evidence.is_empty()).then(|| {
        view! {
            <h3>"What was seen"</h3>
            <ul class="points">{evidence}</ul>
        }
    });
    let by = said.by.clone().map(|by| view! { <p class="muted">{by}</p> });
    let gate = (!said.gate.is_empty()).then(|| gate(said));
    view! {
        <section class="alert said-first" role="status" data-tone=said.tone.as_str() aria-label="How it stands">
            {said.tone.icon()}
            <div>
                <p class="worst">{said.what.clone()}</p>
                {next(&said.next)}
                {by}
                {evidence}
            </div>
        </section>
        {gate}
    }
}

/// Every point with a word, an icon, and the way to what closes it.
fn gate(said: &Said) -> impl IntoView + use<> {
    let points: Vec<_> = said
        .gate
        .iter()
        .map(|point| {
            let (tone, word) = if point.met { (Tone::Ok, "Met") } else { (Tone::Warn, "Open") };
            let words = point.sentence();
            let way = (!point.met).then(|| closes(point, &said.volume)).map(|(words, href)| {
                view! { <a href=href>{words}</a> }
            });
            view! {
                <li data-tone=tone.as_str()>
                    {tone.icon()}
                    <strong>{word}</strong>
                    <span>{words} " " {way}</span>
                </li>
            }
        })
        .collect();
    let (met, all) = said.met;
    let words = match met == all {
        true => "The gate is open: the volume may return to normal".to_owned(),
        false => format!("Before it may return to normal: {met} of {all} met"),
    };
    view! {
        <section class="card" aria-labelledby="gate">
            <h2 id="gate">{words}</h2>
            <ul class="gate" role="list">
                {points}
            </ul>
        </section>
    }
}

/// What closes a point, and where.
fn closes(point: &GatePoint, volume: &str) -> (&'static str, String) {
    let page = |section: &str| format!("{}#{section}", Address::console(&["volumes", volume]));
    match point.kind {
        GatePointKind::PrimaryBack => ("Bring it back", page("mode")),
        GatePointKind::DiskCheck => ("Check its disk", page("start")),
        GatePointKind::NoErrors => ("See its health", page("health")),
        GatePointKind::FullCheck => ("Start a full check", page("start")),
        GatePointKind::NothingMissing | GatePointKind::NothingCorrupt | GatePointKind::NothingUnreadable => {
            ("Plan a restore", page("start"))
        }
        GatePointKind::CopiesVerified => ("Run a drill", "/console/readiness".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;

    fn point(kind: GatePointKind, met: bool, detail: &str) -> GatePoint {
        GatePoint { kind, what: "What is asked for".into(), met, detail: detail.into() }
    }

    #[test]
    fn the_gate_says_met_and_open_in_words_and_leads_on() {
        let mut glance = Glance::sample();
        glance.gate = vec![
            point(GatePointKind::NoErrors, true, "no errors are counted"),
            point(GatePointKind::NothingMissing, false, "12 files are missing"),
        ];
        let html = rendered(|| view! { <LiveBanner glance=glance.clone() /> });
        for needed in [
            "1 of 2 met",
            "<strong>Met</strong>",
            "<strong>Open</strong>",
            "12 files are missing",
            "#start\">Plan a restore</a>",
            "errors_count is 1",
            "by ann@example.com",
            "Next: ",
        ] {
            assert!(html.contains(needed), "{needed} in {html}");
        }
        assert!(!html.contains("Load it again"), "nothing has changed yet");
    }

    #[test]
    fn a_volume_that_needs_nobody_has_no_banner() {
        let mut glance = Glance::sample();
        glance.mode = salvor_domain::volume::ModeState::Normal {
            since: glance.at,
            reason: "first seen".into(),
            by: "salvor".into(),
        };
        glance.urgency = Level::Ok;
        assert!(!rendered(|| view! { <LiveBanner glance=glance.clone() /> }).contains("How it stands"));
        glance.urgency = Level::Warning;
        assert!(rendered(|| view! { <LiveBanner glance /> }).contains("How it stands"));
    }
}
