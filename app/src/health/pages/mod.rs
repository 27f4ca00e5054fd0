//! Every host as a tree, one signal with its history, and the health of a volume on its own page.

mod hosts;
mod signal;
mod tree;
mod volume;

pub use hosts::HostsPage;
pub use signal::SignalPage;
pub use volume::section as volume_section;
