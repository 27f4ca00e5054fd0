//! Messages to other services: what waits, and what was given up.

pub mod api;
mod page;
pub mod port;

pub use page::WebhooksPage;
