//! Storage health: what hosts report, how it holds over time, and what follows from it.
//!
//! `ingest` takes reports in, `alerts` what Alertmanager sends; both feed a `batch`, which keeps each signal's standing and writes
//! everything in one transaction, down to the trips (`trips`). `views` makes of it what people and the API see, `silence` notices
//! hosts that report no more, `forget` clears away, `troubles` is what the gate asks for. The probes themselves are in the crate `salvor-probes`; a volume's mode and its
//! gate in `volumes`.
//!
//! Invariants: what is not known is never shown as well; what a host said counts no longer than it reports; one fault takes a volume
//! out of `normal` once, and again only when it is news.

mod alerts;
mod batch;
mod bounds;
mod forget;
pub mod http;
mod ingest;
pub mod metrics;
pub mod points_store;
mod port;
pub mod sampler;
pub mod sentinel;
pub mod service;
mod silence;
pub mod store;
mod trips;
mod troubles;
mod views;

pub use port::Health;
