//! Signing in and out.

pub mod pages;
pub mod port;
