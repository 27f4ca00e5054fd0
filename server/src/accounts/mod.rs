//! Accounts: users, passwords, one-time links, sessions and API tokens.
//!
//! What must always hold: only hashes of secrets are stored; a disabled user has no session from that moment on; whether
//! an address has an account cannot be told from the answer to a sign-in, nor from the time it takes.

pub mod http;
pub mod limits;
pub mod password;
mod port;
pub mod remembered;
pub mod service;
mod store;

pub use port::Accounts;
