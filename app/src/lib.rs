//! What people see of Salvor: the shell, shared components, and a folder for each slice with its port, its server
//! functions, its pages and its islands.
//!
//! Invariants: this crate never names the database or the server; a page gets its data through a port; `cfg` stands
//! only in `api.rs` files and in what they stand on. Every page has a `sample()` and is rendered in a unit test.

pub mod accounts;
pub mod document;
pub mod health;
pub mod incidents;
pub mod ports;
pub mod problem;
pub mod restore;
pub mod shell;
pub mod tickets;
pub mod ui;
pub mod volumes;
pub mod webhooks;
