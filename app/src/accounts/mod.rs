//! Signing in and out.

pub mod port;
