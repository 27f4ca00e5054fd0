//! The port of this slice.

use async_trait::async_trait;
use salvor_app::problem::Problem;
use salvor_app::webhooks::port::{DeliveryView, WebhooksPort};
use salvor_domain::account::Actor;
use salvor_domain::delivery::DeliveryState;

use crate::core::Core;

pub struct Webhooks(pub Core);

#[async_trait]
impl WebhooksPort for Webhooks {
    async fn deliveries(
        &self,
        state: Option<DeliveryState>,
        limit: u32,
    ) -> Result<Vec<DeliveryView>, Problem> {
        Ok(super::deliveries(&self.0, state, limit).await?)
    }

    async fn send_again(&self, actor: &Actor, id: &str) -> Result<(), Problem> {
        Ok(super::send_again(&self.0, actor, id).await?)
    }
}
