//! From a [`StatusView`] to the public documents, by the path under which each is served. Pure.

use salvor_app::document::Look;
use salvor_app::incidents::port::{IncidentView, StatusView};
use salvor_app::incidents::public;

use super::page::Kind;
use super::{feed, statuspage};

pub struct Document {
    pub path: String,
    pub kind: Kind,
    pub content: Vec<u8>,
}

/// Every public document.
pub fn all(look: &Look, view: &StatusView, stale: bool) -> Vec<Document> {
    let mut documents = vec![
        status(look, view, stale),
        html("/history", public::history_document(look, view, stale)),
        Document { path: "/history.atom".into(), kind: Kind::Atom, content: feed::atom(view).into_bytes() },
    ];
    documents
        .extend(view.open.iter().chain(&view.past).map(|incident| of_incident(look, view, incident, stale)));
    documents.extend(statuspage::documents(view).into_iter().map(|(path, value)| Document {
        path: path.to_owned(),
        kind: Kind::Json,
        content: value.to_string().into_bytes(),
    }));
    documents
}

/// Those that change with the progress of a restore, and with the time of the facts.
pub fn moving(look: &Look, view: &StatusView, stale: bool) -> Vec<Document> {
    let open = view.open.iter().map(|incident| of_incident(look, view, incident, stale));
    std::iter::once(status(look, view, stale)).chain(open).collect()
}

fn status(look: &Look, view: &StatusView, stale: bool) -> Document {
    html("/", public::status_document(look, view, stale))
}

fn of_incident(look: &Look, view: &StatusView, incident: &IncidentView, stale: bool) -> Document {
    html(format!("/incidents/{}", incident.id), public::incident_document(look, view, incident, stale))
}

fn html(path: impl Into<String>, content: String) -> Document {
    Document { path: path.into(), kind: Kind::Html, content: content.into_bytes() }
}
