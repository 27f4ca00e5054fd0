//! Each document, rendered from samples without a database.

use salvor_domain::ticket::{LineState, TicketState, Verdict};

use super::*;
use crate::document::probe::{LOOK, is_small, is_sound, text};
use crate::tickets::port::MessageView;

const HOSTILE: &str = "</textarea><script>alert(\"x\")</script><!-- & 'javascript:alert(1)'";

fn in_state(state: TicketState) -> TicketView {
    TicketView { state, ..TicketView::sample() }
}

#[test]
fn the_empty_form_asks_and_explains() {
    let html = report_document(&LOOK, &ReportForm::default());
    is_sound(&html);
    is_small(&html);
    for part in [
        "method=\"post\" action=\"/report\"",
        "name=\"email\" type=\"email\"",
        "autocomplete=\"email\"",
        "name=\"site\"",
        "name=\"lines\"",
        "name=\"note\"",
        "name=\"website\"",
        "></textarea>",
        "Up to 500 lines of 2,000 bytes each.",
        "never says whether a file exists",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains(" aria-invalid=") && !html.contains("role=\"alert\""));
}

#[test]
fn errors_are_summed_up_and_tied_to_their_fields() {
    let form = ReportForm {
        email: "rose".into(),
        lines: "\n/a.jpg".into(),
        errors: vec![
            ("email", "\"rose\" is not an e-mail address.".into()),
            ("form", "Try again in a minute.".into()),
        ],
        ..ReportForm::default()
    };
    let html = report_document(&LOOK, &form);
    is_sound(&html);
    assert!(html.contains("<title>Error: "));
    assert!(html.contains("<a href=\"#email\">\"rose\" is not an e-mail address.</a>"));
    assert!(html.contains("<li>Try again in a minute.</li>"));
    assert!(html.contains("aria-describedby=\"email-hint email-error\" aria-invalid=\"true\""));
    assert!(html.contains("aria-describedby=\"lines-hint\""));
    assert_eq!(html.matches(" aria-invalid=").count(), 1);
    assert!(html.contains("value=\"rose\""));
    assert!(html.contains(">\n\n/a.jpg</textarea>"), "a browser drops one line break, ours");
}

#[test]
fn a_ticket_tells_line_by_line() {
    let html = ticket_document(&LOOK, &TicketView::sample(), "s3cret");
    is_sound(&html);
    is_small(&html);
    let text = text(&html);
    for said in [
        "Your files are on their way back",
        "1 of 2 files are there",
        "https://rose.example.com/files/a.jpg Back It is back and verified. Open the file",
        "On its way back It is on its way back from a backup.",
        "You 1 Jan 1970, 00:00 UTC My gallery is empty.",
        "Ticket 1",
        "Bookmark this page.",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
    assert_eq!(html.matches("action=\"/tickets/s3cret/confirm\"").count(), 1, "only the restored line asks");
    assert!(html.contains("name=\"line\" value=\"1\"") && html.contains("name=\"fixed\" value=\"yes\""));
    assert!(html.contains("action=\"/tickets/s3cret/note\"") && html.contains("name=\"body\""));
    assert!(html.contains("<meta name=\"robots\" content=\"noindex\">"));
    assert!(html.contains("rel=\"noopener noreferrer\""), "the secret must not travel as a referrer");
    assert_eq!(text.matches("My gallery is empty.").count(), 1, "the note is its first message");
}

#[test]
fn only_a_ticket_on_the_move_renews_itself() {
    for state in TicketState::ALL {
        let moves = matches!(state, TicketState::Open | TicketState::Restoring);
        let html = ticket_document(&LOOK, &in_state(*state), "s");
        is_sound(&html);
        assert_eq!(html.contains("<noscript><meta http-equiv=\"refresh\" content=\"5\">"), moves, "{state}");
        assert_eq!(html.contains("data-poll"), moves, "{state}");
        let writing = ticket_note_document(&LOOK, &in_state(*state), "s");
        assert!(!writing.contains("http-equiv=\"refresh\"") && writing.contains("<details open"));
    }
}

#[test]
fn every_state_of_a_line_has_words_and_only_true_ones() {
    for state in LineState::ALL {
        for verdict in Verdict::ALL {
            let mut ticket = TicketView::sample();
            ticket.lines.truncate(1);
            ticket.lines[0].state = *state;
            ticket.lines[0].verdict = Some(*verdict);
            ticket.lines[0].detail = "What we found.".into();
            let html = ticket_document(&LOOK, &ticket, "s");
            let there = matches!(state, LineState::Restored | LineState::Confirmed)
                || (*state == LineState::Diagnosed && *verdict == Verdict::Present);
            assert_eq!(html.contains("Open the file"), there, "{state} {verdict}");
            // The domain refuses to confirm these.
            if matches!(state, LineState::New | LineState::Restoring) {
                assert!(!html.contains("/confirm"), "{state}");
            }
        }
    }
}

#[test]
fn operators_and_their_notes_stay_behind_the_counter() {
    let mut ticket = in_state(TicketState::Answered);
    let message = |author: &str, public, body: &str| MessageView {
        author: author.into(),
        public,
        body: body.into(),
        ..ticket.messages[0].clone()
    };
    ticket.messages.extend([
        message("ann@example.com", true, "We found it."),
        message("ben@example.com", false, "Strange customer."),
        message("salvor", true, "One file is back."),
    ]);
    let html = ticket_document(&LOOK, &ticket, "s");
    let text = text(&html);
    assert!(text.contains("Support team") && text.contains("We found it."));
    assert!(text.contains("Automatic message") && text.contains("One file is back."));
    for hidden in ["ann@", "ben@", "Strange customer"] {
        assert!(!html.contains(hidden), "{hidden}");
    }
}

#[test]
fn what_people_wrote_is_text() {
    let form = ReportForm {
        email: HOSTILE.into(),
        site: HOSTILE.into(),
        lines: HOSTILE.into(),
        note: HOSTILE.into(),
        errors: vec![("lines", HOSTILE.into())],
    };
    let mut ticket = TicketView::sample();
    ticket.site = Some(HOSTILE.into());
    ticket.email = HOSTILE.into();
    ticket.messages[0].body = HOSTILE.into();
    ticket.lines[0].input = HOSTILE.into();
    ticket.lines[0].detail = HOSTILE.into();
    ticket.lines[0].url = Some("javascript:alert(1)".into());
    let documents = [
        report_document(&LOOK, &form),
        ticket_document(&LOOK, &ticket, HOSTILE),
        message_document(&LOOK, HOSTILE, HOSTILE),
    ];
    for html in documents {
        is_sound(&html);
        assert!(text(&html).contains(HOSTILE));
        assert!(!html.contains("href=\"javascript"));
    }
}

#[test]
fn a_message_shows_a_way_on() {
    let html = message_document(&LOOK, "Not found", "There is nothing at this address.");
    is_sound(&html);
    assert!(text(&html).contains("Not found There is nothing at this address."));
    assert!(html.contains("href=\"/\"") && html.contains("href=\"/report\""));
}
