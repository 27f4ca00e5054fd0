//! Components, incidents and what the public is shown of them.
//!
//! `service` is the port: components, incidents and their updates, in transactions that record their events; `drafts` are those
//! that Salvor writes itself and an operator publishes. `board`
//! keeps the public documents ready as bytes, so that no public request touches the database (promise I8): `view` reads
//! the facts, `render` makes the documents (`statuspage` and `feed` are two of them), `page` packs and answers them.
//! Nothing here sends anything to anybody.

pub mod board;
pub mod drafts;
mod feed;
pub mod http;
pub mod page;
pub mod render;
pub mod service;
mod statuspage;
mod store;
pub mod view;

pub use board::Board;
pub use service::Incidents;
