//! Volumes: mode, copies, catalogue figures, findings.

pub mod api;
pub mod pages;
pub mod port;
