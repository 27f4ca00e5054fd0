//! The demonstration: a small volume of real, openable files, and the outage of 2007 replayed on it.
//!
//! What lives here: making the files ([`make_volume`]) and breaking them ([`break_volume`]). What does not: the
//! configuration around them and the jobs that protect and restore. What must always hold: the same arguments make the
//! same bytes, names, times and damage, and nothing but a volume that was made here is ever damaged: it carries
//! [`MARKER`].

mod breakage;
mod dice;
mod media;
mod paint;
mod paper;
mod sound;

pub use breakage::{Damage, break_volume};
pub use media::{Made, make_volume};

/// Relative to the volume's root, in Salvor's own folder, which no job walks.
pub const MARKER: &str = ".salvor/demo";
