//! Volumes: mode, copies, catalogue figures, findings.

pub mod port;
