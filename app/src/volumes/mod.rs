//! Volumes: mode, copies, catalogue figures, findings.

pub mod pages;
pub mod port;
