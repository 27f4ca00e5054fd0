//! Components, incidents and the public status page.

pub mod port;
pub mod public;
