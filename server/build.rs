//! Lets the server compile before the browser's half was ever built, and again whenever that half or a migration changes.

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Always beneath the workspace, wherever cargo keeps the rest: `assets.rs` embeds it by this path.
const SITE: &str = "../target/site";
const MIGRATIONS: &str = "../migrations";

fn main() -> Result<(), Box<dyn Error>> {
    let hashes = Path::new(SITE).join("hash.txt");
    if !hashes.exists() {
        fs::create_dir_all(SITE)?;
        // Dated long ago: cargo would take a file written by this script for a change and build everything twice.
        File::create(&hashes)?.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(86_400))?;
    }
    // Of all embedded files only this one is watched: the bundle replaces it whenever any of them changes.
    println!("cargo::rerun-if-changed={}", hashes.display());
    let stamp = fs::read_to_string(&hashes)?;
    let stamp = stamp.lines().find_map(|line| line.strip_prefix("inputs: ")).unwrap_or_default();
    println!("cargo::rustc-env=SITE_STAMP={stamp}");

    // Migrations are embedded too. Cargo takes a watched path that is missing for one that changes all the time.
    if Path::new(MIGRATIONS).exists() {
        println!("cargo::rerun-if-changed={MIGRATIONS}");
    }
    Ok(())
}
