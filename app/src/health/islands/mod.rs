//! The live parts: every volume at a glance, and the banner of one.

mod live_banner;
mod live_glances;

pub use live_banner::LiveBanner;
pub use live_glances::LiveGlances;
