//! Each document, rendered from samples without a database.

use chrono::{DateTime, TimeDelta};
use salvor_domain::ids::IncidentId;
use salvor_domain::incident::{ComponentStatus, Impact, IncidentStatus};

use super::*;
use crate::document::probe::{LOOK, is_small, is_sound, text};
use crate::incidents::port::ComponentView;

const HOSTILE: &str = "<script>alert(\"x\")</script><!-- & 'https://evil.example.com/x.png'";

fn quiet() -> StatusView {
    let components = vec![ComponentView::sample("Websites", ComponentStatus::Operational)];
    StatusView { components, open: vec![], restores: vec![], ..StatusView::sample() }
}

fn resolved(days_ago: i64) -> IncidentView {
    let at = DateTime::UNIX_EPOCH - TimeDelta::days(days_ago);
    IncidentView {
        id: IncidentId::new(DateTime::UNIX_EPOCH, [u8::try_from(days_ago).unwrap(); 10]),
        name: format!("It was {days_ago} days ago"),
        status: IncidentStatus::Resolved,
        started_at: at - TimeDelta::minutes(125),
        resolved_at: Some(at),
        ..IncidentView::sample()
    }
}

#[test]
fn the_status_page_says_what_is() {
    let html = status_document(&LOOK, &StatusView::sample(), false);
    is_sound(&html);
    is_small(&html);
    let text = text(&html);
    for said in [
        "Minor Service Outage",
        "As of 1 Jan 1970, 00:00 UTC",
        "Open incident Some uploaded files are missing Identified Major impact",
        "Files on their way back 40 of 60 files are back (66 %), 1.20 of 1.80 MB; about 12–25 s to go.",
        "We know which files are missing and are bringing them back from our backups.",
        "Uploaded files: Operational → Partial outage",
        "Websites Operational",
        "None in the last 7 days.",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
    for part in [
        "<time datetime=\"1970-01-01T00:00:00Z\" data-local",
        "href=\"/report\"",
        "<progress max=\"100\" value=\"66\"",
        "http-equiv=\"refresh\" content=\"60\"",
        "<title>Minor Service Outage · Salvor</title>",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("ann@example.com"), "people are not named");
}

#[test]
fn a_quiet_day_is_green() {
    let html = status_document(&LOOK, &quiet(), false);
    is_sound(&html);
    let text = text(&html);
    assert!(text.contains("All Systems Operational"));
    assert!(!text.contains("ncident in Progress") && !text.contains("Open incident"));
    assert!(!html.contains("<progress") && !html.contains("http-equiv=\"refresh\""));
    let bare = status_document(&LOOK, &StatusView { components: vec![], ..quiet() }, false);
    assert!(bare.contains("No components are listed yet."));
}

#[test]
fn an_open_incident_is_never_green() {
    for impact in Impact::ALL {
        let open = vec![IncidentView { impact: *impact, ..IncidentView::sample() }];
        let view = StatusView { open, ..quiet() };
        assert_ne!(standing(&view).0, Tone::Ok, "{impact}");
        assert!(!status_document(&LOOK, &view, false).contains("All Systems Operational"));
    }
}

#[test]
fn groups_stand_together_and_restores_without_incident_apart() {
    let member = |name: &str, group: Option<&str>| ComponentView {
        group: group.map(Into::into),
        ..ComponentView::sample(name, ComponentStatus::Operational)
    };
    let components =
        vec![member("One", Some("Storage")), member("Two", None), member("Three", Some("Storage"))];
    let view = StatusView { components, open: vec![], ..StatusView::sample() };
    let text = text(&status_document(&LOOK, &view, false));
    assert!(text.contains("Storage One Operational Three Operational Two Operational"), "{text}");
    assert!(text.contains("Files on their way back uploads 40 of 60 files"), "{text}");
}

#[test]
fn past_incidents_are_those_of_the_last_days() {
    let view = StatusView { past: vec![resolved(2), resolved(9), resolved(40)], ..quiet() };
    let status = text(&status_document(&LOOK, &view, false));
    assert!(
        status.contains("It was 2 days ago Resolved") && status.contains("resolved after 2 h 5 min"),
        "{status}"
    );
    assert!(!status.contains("9 days ago"));

    let html = history_document(&LOOK, &view, false);
    is_sound(&html);
    let history = text(&html);
    assert!(history.contains("December 1969 It was 2 days ago"), "{history}");
    assert!(history.contains("November 1969 It was 40 days ago"), "{history}");
    assert!(history_document(&LOOK, &quiet(), false).contains("There has been no incident so far."));
}

#[test]
fn an_incident_has_its_page() {
    let view = StatusView::sample();
    let html = incident_document(&LOOK, &view, &view.open[0], false);
    is_sound(&html);
    is_small(&html);
    let text = text(&html);
    assert!(text.contains("Some uploaded files are missing Identified Major impact"), "{text}");
    assert!(text.contains("40 of 60 files are back"), "{text}");
    let over = resolved(1);
    let over = super::incident_document(&LOOK, &view, &over, false);
    assert!(!over.contains("<progress"), "a resolved incident shows no running restore");
}

#[test]
fn what_people_wrote_is_text() {
    let mut view = StatusView::sample();
    view.page_name = HOSTILE.into();
    view.open[0].name = HOSTILE.into();
    view.open[0].updates[0].body = HOSTILE.into();
    view.components[0].name = HOSTILE.into();
    view.components[0].group = Some(HOSTILE.into());
    view.components[1].description = Some(HOSTILE.into());
    view.restores[0].volume = HOSTILE.into();
    for html in [
        status_document(&LOOK, &view, false),
        incident_document(&LOOK, &view, &view.open[0], false),
        history_document(&LOOK, &view, false),
    ] {
        is_sound(&html);
        assert!(text(&html).contains(HOSTILE));
    }
}

#[test]
fn a_long_day_still_fits() {
    let mut view = StatusView::sample();
    let update = view.open[0].updates[0].clone();
    let bodies = [
        "We are looking into reports of missing images.",
        "The file system's check is at half.",
        "All copies are at work.",
    ];
    view.open[0].updates = (0..30)
        .map(|n| {
            let body = format!("{} This is report number {n}, written in haste.", bodies[n % 3]);
            IncidentUpdate { body, ..update.clone() }
        })
        .collect();
    is_small(&status_document(&LOOK, &view, false));
}

type IncidentUpdate = crate::incidents::port::UpdateView;

#[test]
fn a_version_changes_with_the_words_and_not_with_the_figures() {
    let view = StatusView::sample();
    let mut later = view.clone();
    later.as_of += TimeDelta::seconds(5);
    later.restores[0].files_done += 1;
    assert_eq!(version(&view), version(&later));
    later.open[0].updates[0].body.push('!');
    assert_ne!(version(&view), version(&later));
    assert_ne!(version(&view), version(&StatusView { restores: vec![], ..view.clone() }));

    let live = serde_json::to_value(LiveStatus::of(&view)).unwrap();
    assert_eq!(live["version"], version(&view));
    assert_eq!(live["restores"][0]["files_done"], 40);
    assert!(status_document(&LOOK, &view, false).contains(&format!("data-version=\"{}\"", version(&view))));
}

#[test]
fn every_page_says_when_its_facts_are_old() {
    let view = StatusView { past: vec![resolved(1)], ..StatusView::sample() };
    let pages = |stale| {
        [
            status_document(&LOOK, &view, stale),
            incident_document(&LOOK, &view, &view.open[0], stale),
            incident_document(&LOOK, &view, &view.past[0], stale),
            history_document(&LOOK, &view, stale),
        ]
    };
    for html in pages(true) {
        is_sound(&html);
        assert!(html.contains("more than a minute old") && !html.contains("role=\"status\" hidden"));
        assert!(text(&html).contains("As of 1 Jan 1970, 00:00 UTC"));
    }
    for html in pages(false) {
        is_sound(&html);
        assert!(!html.contains("more than a minute old") || html.contains("role=\"status\" hidden"));
    }
}
