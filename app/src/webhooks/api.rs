//! What can be asked of messages to webhooks.

use leptos::prelude::*;

use crate::problem::Problem;

#[cfg(feature = "ssr")]
use {
    crate::ui::Address,
    crate::ui::api::{actor_who_may, ports, settle},
    salvor_domain::account::Permission,
};

/// Sends a message again that was given up.
#[server(prefix = "/console/do", endpoint = "send_again")]
pub async fn send_again(id: String) -> Result<(), Problem> {
    let page = Address::console(&["webhooks"]);
    settle(again(id).await, page.clone(), |()| page)
}

#[cfg(feature = "ssr")]
async fn again(id: String) -> Result<(), Problem> {
    let actor = actor_who_may(Permission::RunJobs)?;
    ports()?.webhooks.send_again(&actor, &id).await
}
