//! Components, incidents and what the public is shown of them.
//!
//! `service` is the port: components, incidents and their updates, in transactions that record their events. `board`
//! keeps the public pages ready as bytes, so that no public request touches the database (promise I8). `statuspage`
//! says the same in the Statuspage v2 contract. Nothing here sends anything to anybody.

pub mod service;
mod store;

pub use service::Incidents;
