//! What customers see of tickets: the form at `/report`, the ticket's own page behind its secret link, and short messages.
//!
//! What lives here: how a form and a [`TicketView`] become words and HTML. What does not: looking anything up, limits,
//! taking the posts. What must always hold: the report page says the same whatever files exist, internal notes and
//! operators' addresses are never shown (promise I7), and "back" is said only of a line that is (I9).

use crate::document::{Look, PAGE_NAME, Page, document};
use crate::tickets::port::TicketView;

mod line;
mod message;
mod report;
#[cfg(test)]
mod tests;
mod ticket;

/// The form at `/report` as it was filled in, with what was wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportForm {
    pub email: String,
    pub site: String,
    /// One address or name a line.
    pub lines: String,
    pub note: String,
    /// A field's name and what would be right: `email`, `site`, `lines` or `note`; any other name stands for the whole form.
    pub errors: Vec<(&'static str, String)>,
}

/// `/report`. Posts to itself, urlencoded: `email`, `site`, `lines`, `note`, and `website`, which people do not see and
/// only programs fill in.
pub fn report_document(look: &Look, form: &ReportForm) -> String {
    let title = if form.errors.is_empty() { "Report missing files" } else { "Error: report missing files" };
    let page = Page {
        name: PAGE_NAME.into(),
        title: title.into(),
        description: "Tell us which of your files are missing: we look for them in every backup.".into(),
        path: "/report".into(),
        refresh_seconds: None,
        noindex: false,
    };
    document(look, page, || report::main(form))
}

/// `/tickets/{secret}`. Posts to `/tickets/{secret}/confirm` (`line`, `fixed` = `yes` or `no`) and
/// `/tickets/{secret}/note` (`body`). While something is on its way it renews itself: by its script, or without
/// JavaScript by reloading; [`ticket_note_document`] is for writing in peace then.
pub fn ticket_document(look: &Look, ticket: &TicketView, secret: &str) -> String {
    let refresh_seconds = ticket::moving(ticket).then_some(5);
    let page = Page { refresh_seconds, ..ticket_page(ticket, secret) };
    document(look, page, || ticket::main(ticket, secret, false))
}

/// `/tickets/{secret}?note`: the same page with the form open, and without reloading under the writer's hands.
pub fn ticket_note_document(look: &Look, ticket: &TicketView, secret: &str) -> String {
    document(look, ticket_page(ticket, secret), || ticket::main(ticket, secret, true))
}

/// A few words and a way on: not found, too many requests, out of order.
pub fn message_document(look: &Look, title: &str, text: &str) -> String {
    let page = Page {
        name: PAGE_NAME.into(),
        title: title.into(),
        description: text.into(),
        noindex: true,
        ..Page::default()
    };
    document(look, page, || message::main(title, text))
}

fn ticket_page(ticket: &TicketView, secret: &str) -> Page {
    Page {
        name: PAGE_NAME.into(),
        title: format!("{} · Ticket {}", ticket::headline(ticket), ticket.number),
        description: "What became of the files that you reported missing.".into(),
        path: format!("/tickets/{secret}"),
        refresh_seconds: None,
        noindex: true,
    }
}
