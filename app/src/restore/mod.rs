//! Jobs: check, protect, restore; plans, progress, controls.

pub mod api;
pub mod disk_words;
pub mod islands;
pub mod pages;
pub mod port;
pub mod words;
