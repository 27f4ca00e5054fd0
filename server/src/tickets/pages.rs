//! What customers see and send without a script: the report form, the ticket's page behind its secret.
//!
//! Invariants: nothing that was typed is lost to an error; no page of a ticket is kept by a cache, found by a search
//! engine, or named to another server.

use std::sync::Arc;

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, RawQuery, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use http::{HeaderName, HeaderValue, StatusCode};
use salvor_app::document::{Look, content_security_policy};
use salvor_app::problem::Problem;
use salvor_app::tickets::port::{NewTicket, TicketView, TicketsPort};
use salvor_app::tickets::public::{
    ReportForm, message_document, report_document, ticket_document, ticket_note_document,
};

use super::Tickets;
use super::service::NotTaken;
use crate::http::client::ClientAddress;

/// What the pages are made with.
#[derive(Clone)]
struct Desk {
    tickets: Tickets,
    look: Arc<(String, HeaderValue)>,
}

impl Desk {
    fn look(&self) -> Look<'_> {
        Look { css: &self.look.0 }
    }
}

/// `css` is the public pages' style sheet.
pub fn routes<S>(tickets: Tickets, css: &str) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let policy = content_security_policy(&Look { css });
    let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    let desk = Desk { tickets, look: Arc::new((css.to_owned(), policy)) };
    Router::new()
        .route("/report", get(form).post(report))
        .route("/tickets/{secret}", get(ticket))
        .route("/tickets/{secret}/confirm", post(confirm))
        .route("/tickets/{secret}/note", post(note))
        .layer(middleware::map_response_with_state(desk.clone(), discreet))
        .with_state(desk)
}

async fn discreet(State(desk): State<Desk>, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CONTENT_SECURITY_POLICY, desk.look.1.clone());
    response
}

async fn form(State(desk): State<Desk>) -> Html<String> {
    Html(report_document(&desk.look(), &ReportForm::default()))
}

#[derive(serde::Deserialize, Default)]
struct ReportFields {
    #[serde(default)]
    email: String,
    #[serde(default)]
    site: String,
    #[serde(default)]
    lines: String,
    #[serde(default)]
    note: String,
    /// People do not see this field.
    #[serde(default)]
    website: String,
}

async fn report(
    State(desk): State<Desk>,
    ClientAddress(address): ClientAddress,
    fields: Result<Form<ReportFields>, FormRejection>,
) -> Response {
    let fields = match fields {
        Ok(Form(fields)) => fields,
        Err(rejection) => return refused_form(&desk, &rejection),
    };
    let new = NewTicket {
        email: fields.email.clone(),
        site: Some(fields.site.clone()),
        lines: fields.lines.lines().map(str::to_owned).collect(),
        note: Some(fields.note.clone()),
    };
    if !fields.website.is_empty() {
        let errors = vec![("website", "Leave the field \"website\" empty, then send again.".to_owned())];
        return again(&desk, StatusCode::UNPROCESSABLE_ENTITY, fields, errors);
    }
    match desk.tickets.take(&address, &new).await {
        // Relative, so that it works under whatever name the page was reached.
        Ok(submitted) => match submitted.url.rsplit_once("/tickets/") {
            Some((_, secret)) => Redirect::to(&format!("/tickets/{secret}")).into_response(),
            None => Redirect::to(&submitted.url).into_response(),
        },
        Err(NotTaken::Fields(errors)) => again(&desk, StatusCode::UNPROCESSABLE_ENTITY, fields, errors),
        Err(NotTaken::Other(error)) => {
            let problem = Problem::from(error);
            again(&desk, status(&problem), fields, vec![("form", problem.to_string())])
        }
    }
}

/// The form as it was filled in, with what was wrong.
fn again(
    desk: &Desk,
    status: StatusCode,
    fields: ReportFields,
    errors: Vec<(&'static str, String)>,
) -> Response {
    let ReportFields { email, site, lines, note, .. } = fields;
    let form = ReportForm { email, site, lines, note, errors };
    (status, Html(report_document(&desk.look(), &form))).into_response()
}

fn refused_form(desk: &Desk, rejection: &FormRejection) -> Response {
    let text = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => "That was more than one report can hold. Send it in several.",
        _ => "The form could not be read. Go back, and send it again.",
    };
    message(desk, rejection.status(), "This did not arrive", text)
}

async fn ticket(State(desk): State<Desk>, Path(secret): Path<String>, RawQuery(query): RawQuery) -> Response {
    match desk.tickets.by_secret(&secret).await {
        Ok(ticket) => shown(&desk, StatusCode::OK, &ticket, &secret, query.as_deref() == Some("note")),
        Err(problem) => told(&desk, &problem),
    }
}

fn shown(desk: &Desk, status: StatusCode, ticket: &TicketView, secret: &str, writes: bool) -> Response {
    let document = if writes { ticket_note_document } else { ticket_document };
    (status, Html(document(&desk.look(), ticket, secret))).into_response()
}

#[derive(serde::Deserialize)]
struct ConfirmFields {
    line: i64,
    /// `yes` or `no`.
    fixed: String,
}

async fn confirm(
    State(desk): State<Desk>,
    Path(secret): Path<String>,
    fields: Result<Form<ConfirmFields>, FormRejection>,
) -> Response {
    let Form(fields) = match fields {
        Ok(fields) => fields,
        Err(rejection) => return refused_form(&desk, &rejection),
    };
    match desk.tickets.confirm(&secret, fields.line, matches!(fields.fixed.as_str(), "yes" | "true")).await {
        Ok(_) => Redirect::to(&format!("/tickets/{secret}")).into_response(),
        Err(problem) => told(&desk, &problem),
    }
}

#[derive(serde::Deserialize)]
struct NoteFields {
    body: String,
}

async fn note(
    State(desk): State<Desk>,
    Path(secret): Path<String>,
    fields: Result<Form<NoteFields>, FormRejection>,
) -> Response {
    let Form(fields) = match fields {
        Ok(fields) => fields,
        Err(rejection) => return refused_form(&desk, &rejection),
    };
    match desk.tickets.add_note(&secret, &fields.body).await {
        Ok(_) => Redirect::to(&format!("/tickets/{secret}")).into_response(),
        Err(problem) => told(&desk, &problem),
    }
}

fn told(desk: &Desk, problem: &Problem) -> Response {
    message(desk, status(problem), problem.title(), &problem.to_string())
}

fn message(desk: &Desk, status: StatusCode, title: &str, text: &str) -> Response {
    (status, Html(message_document(&desk.look(), title, text))).into_response()
}

fn status(problem: &Problem) -> StatusCode {
    StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
