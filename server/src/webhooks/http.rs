//! `GET /api/v1/deliveries`: what webhooks were told, what waits, and what was given up.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use salvor_app::webhooks::port::DeliveryView;
use salvor_domain::delivery::DeliveryState;

use super::store::Delivery;
use crate::core::Core;
use crate::http::{Answer, AppState, Json, Query};

const LISTED: u32 = 100;
const MOST: u32 = 500;

pub fn routes() -> Router<AppState> {
    Router::new().route("/api/v1/deliveries", get(deliveries))
}

#[derive(Debug, serde::Deserialize)]
struct Wanted {
    state: Option<DeliveryState>,
    limit: Option<u32>,
}

async fn deliveries(
    State(core): State<Core>,
    Query(wanted): Query<Wanted>,
) -> Answer<Json<Vec<DeliveryView>>> {
    let limit = wanted.limit.unwrap_or(LISTED).clamp(1, MOST);
    Ok(Json(super::deliveries(&core, wanted.state, limit).await?))
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.message_id,
            to: server_of(&delivery.url),
            kind: delivery.kind,
            subject: delivery.subject,
            due_at: (delivery.state == DeliveryState::Waiting).then_some(delivery.due_at),
            state: delivery.state,
            attempts: delivery.attempts,
            created_at: delivery.created_at,
            settled_at: delivery.settled_at,
            last_error: delivery.last_error,
        }
    }
}

fn server_of(url: &str) -> String {
    match url.parse::<http::Uri>() {
        Ok(uri) => {
            let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{}{port}", uri.scheme_str().unwrap_or("http"), uri.host().unwrap_or("…"))
        }
        Err(_) => "…".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn of_an_address_only_the_server_is_shown() {
        for (url, shown) in [
            ("https://ann:hush@hooks.example.com/T0/hush?key=hush", "https://hooks.example.com"),
            ("http://127.0.0.1:9/x", "http://127.0.0.1:9"),
            ("no address", "…"),
        ] {
            assert_eq!(super::server_of(url), shown);
        }
    }
}
