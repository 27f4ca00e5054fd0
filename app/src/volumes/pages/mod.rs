//! The overview of everything, and one volume.

mod findings;
mod limits;
mod mode;
mod overview;
mod start;
mod volume;

pub use overview::OverviewPage;
pub use volume::VolumePage;
