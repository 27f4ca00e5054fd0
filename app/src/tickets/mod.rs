//! Customers' reports of missing files: the public form, the tracking page, the operators' desk.

pub mod api;
pub mod pages;
pub mod port;
pub mod public;
