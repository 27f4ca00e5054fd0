//! What operators can do with tickets: one server function each, one typed request, one call of the port.

use leptos::prelude::*;

use crate::problem::Problem;

#[cfg(feature = "ssr")]
use {
    crate::tickets::port::TicketView,
    crate::ui::Address,
    crate::ui::api::{actor_who_may, ports, settle},
    salvor_domain::account::Permission,
};

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TicketRequest {
    pub number: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ReplyRequest {
    pub number: i64,
    pub body: String,
    /// To the customer; else a note that only operators see.
    pub public: bool,
}

/// Restores every line that can be restored.
#[server(prefix = "/console/do", endpoint = "restore_ticket")]
pub async fn restore_ticket(request: TicketRequest) -> Result<(), Problem> {
    let page = ticket_page(request.number);
    settle(restore(request.number).await, page.clone(), |_| page)
}

/// Writes to the customer, or a note for operators.
#[server(prefix = "/console/do", endpoint = "reply_ticket")]
pub async fn reply_ticket(request: ReplyRequest) -> Result<(), Problem> {
    let page = ticket_page(request.number);
    let back = page.clone().with_draft(&request.body);
    settle(reply(request).await, back, |_| page)
}

/// Nothing more is to be done.
#[server(prefix = "/console/do", endpoint = "close_ticket")]
pub async fn close_ticket(request: TicketRequest) -> Result<(), Problem> {
    let page = ticket_page(request.number);
    settle(close(request.number).await, page.clone(), |_| page)
}

#[cfg(feature = "ssr")]
async fn restore(number: i64) -> Result<TicketView, Problem> {
    let actor = actor_who_may(Permission::AnswerTickets)?;
    ports()?.tickets.restore(&actor, number).await
}

#[cfg(feature = "ssr")]
async fn reply(request: ReplyRequest) -> Result<TicketView, Problem> {
    let actor = actor_who_may(Permission::AnswerTickets)?;
    ports()?.tickets.reply(&actor, request.number, request.body.trim(), request.public).await
}

#[cfg(feature = "ssr")]
async fn close(number: i64) -> Result<TicketView, Problem> {
    let actor = actor_who_may(Permission::AnswerTickets)?;
    ports()?.tickets.close(&actor, number).await
}

#[cfg(feature = "ssr")]
fn ticket_page(number: i64) -> Address {
    Address::console(&["tickets", &number.to_string()])
}
