//! Tickets: customers' reports of missing files, from the form to the answer.
//!
//! `submit` says what a report must be, `diagnose` what its lines mean and what became of those files, `follow` brings
//! them back and notices when they are, `standing` moves a ticket and answers it. `service` is the port, `http` the API,
//! `pages` what customers see. The files themselves are the business of `volumes` and `restore`.

pub mod diagnose;
pub mod follow;
pub mod http;
mod limit;
pub mod pages;
pub mod service;
mod standing;
mod store;
pub mod submit;

pub use service::Tickets;
