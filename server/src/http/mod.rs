//! What every route stands on: the state, who calls, what they may do, and how a problem looks on the wire.
//!
//! The routes themselves are in each slice's `http.rs`; [`crate::routes`] puts them together. Invariant: a route is
//! served only if the permission table names it, and the table is asked before any handler runs.

pub mod access;
pub mod client;
pub mod console;
pub mod extract;
pub mod feed;
pub mod glances;
pub mod guard;
pub mod idempotency;
pub mod metrics;
pub mod openapi;
pub mod origin;
pub mod permissions;
pub mod problem;
pub mod state;

pub use access::Caller;
pub use client::ClientAddress;
pub use extract::{Json, Path, Query};
pub use problem::ApiProblem;
pub use state::AppState;

/// What a handler answers.
pub type Answer<T> = Result<T, ApiProblem>;
