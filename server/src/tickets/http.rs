//! The API of tickets: the public one to report, the operators' queue.

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use http::StatusCode;
use salvor_app::tickets::port::{NewTicket, Submitted, TicketView, TicketsFilter, TicketsPort};

use super::Tickets;
use crate::http::client::ClientAddress;
use crate::http::{Answer, Caller, Json, Path, Query};

pub fn routes<S>(tickets: Tickets) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    Router::new()
        .route("/api/v1/tickets", get(list).post(submit))
        .route("/api/v1/tickets/{number}", get(show))
        .route("/api/v1/tickets/{number}/restore", post(restore))
        .route("/api/v1/tickets/{number}/reply", post(reply))
        .route("/api/v1/tickets/{number}/close", post(close))
        .with_state(tickets)
}

async fn submit(
    State(tickets): State<Tickets>,
    ClientAddress(address): ClientAddress,
    Json(ticket): Json<NewTicket>,
) -> Answer<(StatusCode, Json<Submitted>)> {
    Ok((StatusCode::CREATED, Json(tickets.submit(&address, ticket).await?)))
}

async fn list(
    State(tickets): State<Tickets>,
    Query(filter): Query<TicketsFilter>,
) -> Answer<Json<Vec<TicketView>>> {
    Ok(Json(tickets.tickets(filter).await?))
}

async fn show(State(tickets): State<Tickets>, Path(number): Path<i64>) -> Answer<Json<TicketView>> {
    Ok(Json(tickets.ticket(number).await?))
}

async fn restore(
    State(tickets): State<Tickets>,
    Path(number): Path<i64>,
    caller: Caller,
) -> Answer<Json<TicketView>> {
    Ok(Json(tickets.restore(&caller.actor, number).await?))
}

#[derive(serde::Deserialize)]
struct NewReply {
    body: String,
    /// Absent: the customer sees it.
    public: Option<bool>,
}

async fn reply(
    State(tickets): State<Tickets>,
    Path(number): Path<i64>,
    caller: Caller,
    Json(reply): Json<NewReply>,
) -> Answer<Json<TicketView>> {
    let public = reply.public.unwrap_or(true);
    Ok(Json(tickets.reply(&caller.actor, number, &reply.body, public).await?))
}

async fn close(
    State(tickets): State<Tickets>,
    Path(number): Path<i64>,
    caller: Caller,
) -> Answer<Json<TicketView>> {
    Ok(Json(tickets.close(&caller.actor, number).await?))
}
