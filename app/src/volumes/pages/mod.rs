//! The overview of everything, and one volume.

mod overview;

pub use overview::OverviewPage;
