//! Components, incidents and the public status page.

pub mod api;
pub mod pages;
pub mod port;
pub mod public;
