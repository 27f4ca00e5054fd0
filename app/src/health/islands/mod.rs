//! The live parts: the head line, every volume at a glance, the banner of one, and parts that the server draws again.

mod live_banner;
mod live_glances;
mod live_part;
mod live_strip;

pub use live_banner::LiveBanner;
pub use live_glances::LiveGlances;
pub use live_part::LivePart;
pub use live_strip::LiveStrip;
