//! Storage health: hosts, what is on them, signals and their history.

pub mod port;
