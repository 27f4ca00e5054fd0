//! Jobs: check, protect, restore; plans, progress, controls.

pub mod port;
