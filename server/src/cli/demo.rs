//! `salvor demo`: a small volume of real files with two copies and a configuration, and the outage of 2007 replayed on it.
//!
//! Nothing here is staged: the files are protected by the same job that protects any volume, and broken as disks break
//! them. As in 2007 the onsite copy is partial and the offsite copy, behind 100 Mbit/s, is complete.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use salvor_app::incidents::port::{IncidentsPort, NewComponent};
use salvor_app::problem::Problem;
use salvor_app::restore::port::NewJob;
use salvor_domain::ids::JobId;
use salvor_domain::job::JobRequest;
use salvor_domain::path::FilePath;

use super::{CliError, actor, jobs};
use crate::clock::Clock;
use crate::config::{Config, environment};
use crate::core::Core;
use crate::demo;
use crate::incidents::Incidents;
use crate::restore::service as restore;
use crate::volumes::{catalogue, service as volumes, store};

const VOLUME: &str = "uploads";
const ONSITE: &str = "onsite";
/// Of a hundred sites, so many have their files in the onsite copy.
const ONSITE_PERCENT: usize = 60;
/// Files in one page of the catalogue.
const PAGE: u32 = 1_000;

const CONFIG: &str = r#"# The demonstration that `salvor demo` made. Relative paths start in this file's folder.

[server]
listen = "127.0.0.1:8080"
data_dir = "data"

[[volume]]
name = "uploads"
path = "volume"
url_patterns = ["https://{site}.example.com/files/{path}"]

  [[volume.copy]]
  name = "onsite"
  kind = "fs"
  placement = "onsite"
  path = "copies/onsite"

  [[volume.copy]]
  name = "offsite"
  kind = "fs"
  placement = "offsite"
  path = "copies/offsite"
  bandwidth = "100 Mbit/s"
"#;

const COMPONENTS: [(&str, &str); 3] = [
    ("Websites", "Customers' sites as their visitors see them"),
    ("Uploaded files", "Images, sounds and documents on the sites"),
    ("Uploads", "Adding and changing files"),
];

/// Make a small volume with two copies and a configuration in DIR, and protect it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A new or empty folder, or one that this command made
    dir: PathBuf,
    /// Replay the outage of 2007 on the volume: names lost, files gone, bytes flipped, a bad file in a copy
    #[arg(long = "break")]
    break_it: bool,
    /// Another number breaks other files
    #[arg(long, value_name = "N", default_value_t = 2007, requires = "break_it")]
    seed: u64,
}

impl Args {
    /// Makes the demonstration, unless it is there, and reads its configuration.
    pub fn config(&self) -> Result<Config, CliError> {
        if made(&self.dir)? {
            println!("The demonstration in {} is there already.", self.dir.display());
        } else {
            make(&self.dir)?;
        }
        Ok(Config::load(Some(&self.dir.join("salvor.toml")), environment())?)
    }
}

pub async fn run(core: Core, args: Args) -> Result<ExitCode, CliError> {
    let dir = &args.dir;
    add_components(&core).await?;
    if protect(&core).await? {
        thin_out_onsite(&core).await?;
        tell(&core).await?;
    }
    core.db.close().await;
    if args.break_it {
        replay_the_outage(dir, args.seed)?;
    } else {
        println!("Next: salvor --config {} serve", dir.join("salvor.toml").display());
        println!(" and: salvor demo {} --break", dir.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether `dir` holds a demonstration already; an error if it holds anything else.
fn made(dir: &Path) -> Result<bool, CliError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(CliError::Usage(format!("{}: {error}; name a folder", dir.display()))),
        Ok(entries) => entries,
    };
    match (dir.join("salvor.toml").is_file(), volume(dir).join(demo::MARKER).is_file()) {
        (true, true) => Ok(true),
        _ if entries.count() == 0 => Ok(false),
        (false, true) => Err(CliError::Usage(format!(
            "{} holds a demonstration that was not finished: remove the folder and run this again",
            dir.display()
        ))),
        _ => Err(CliError::Usage(format!(
            "{} is not empty, and what is in it is no demonstration: name a new or empty folder",
            dir.display()
        ))),
    }
}

fn make(dir: &Path) -> Result<(), CliError> {
    let failed = |error| CliError::Failed(format!("the demonstration in {}: {error}", dir.display()));
    let made = demo::make_volume(&volume(dir), Clock::system().now()).map_err(failed)?;
    for copy in ["copies/onsite", "copies/offsite"] {
        fs::create_dir_all(dir.join(copy)).map_err(failed)?;
    }
    // Last: with it the demonstration is complete.
    fs::write(dir.join("salvor.toml"), CONFIG).map_err(failed)?;
    let megabytes = made.bytes as f64 / 1e6;
    println!("Made {} files ({megabytes:.1} MB) in {}.", made.files, volume(dir).display());
    Ok(())
}

fn volume(dir: &Path) -> PathBuf {
    dir.join("volume")
}

async fn add_components(core: &Core) -> Result<(), CliError> {
    let incidents = Incidents::new(core.clone());
    let failed = |problem: Problem| CliError::Failed(format!("the components: {problem}"));
    if !incidents.components().await.map_err(failed)?.is_empty() {
        return Ok(());
    }
    for (name, description) in COMPONENTS {
        let component =
            NewComponent { name: name.to_owned(), group: None, description: Some(description.to_owned()) };
        incidents.add_component(&actor(), component).await.map_err(failed)?;
    }
    Ok(())
}

/// Protects the volume if it never was: afterwards it may be broken, and what is broken is not a thing to copy.
async fn protect(core: &Core) -> Result<bool, CliError> {
    let mut tx = core.db.read().await?;
    let row = store::volume(&mut tx, VOLUME).await?;
    drop(tx);
    if row.is_some_and(|row| row.protected_at.is_some()) {
        return Ok(false);
    }
    let request = JobRequest::Protect { to: Vec::new(), adopt: None };
    let id = restore::start(core, &actor(), NewJob::new(VOLUME, request), None).await?.job;
    let id: JobId = id.parse().map_err(|why| CliError::Failed(format!("{why}")))?;
    jobs::work(core, id).await?;
    let report = restore::job(core, id).await?;
    if report.exit_code() != 0 {
        let reason = report.reason.or_else(|| report.failures.into_iter().next().map(|first| first.reason));
        let reason = reason.unwrap_or_else(|| format!("its job is {}", report.state));
        return Err(CliError::Failed(format!("the volume could not be protected: {reason}")));
    }
    Ok(true)
}

/// Takes the last sites' files out of the onsite copy: first the catalogue forgets that they were there, then they go.
async fn thin_out_onsite(core: &Core) -> Result<(), CliError> {
    let mut tx = core.db.begin().await?;
    let Some(row) = store::volume(&mut tx, VOLUME).await? else { return Ok(()) };
    let copies = store::copies(&mut tx, row.id).await?;
    let Some(onsite) = copies.iter().find(|copy| copy.name == ONSITE) else { return Ok(()) };
    let mut paths: Vec<FilePath> = Vec::new();
    loop {
        let after = paths.last().map(FilePath::as_bytes);
        let page = catalogue::after(&mut tx, row.id, after, PAGE).await?;
        if page.is_empty() {
            break;
        }
        paths.extend(page.into_iter().map(|file| file.path));
    }
    let mut sites: Vec<_> = paths.iter().map(site).collect();
    sites.dedup();
    let kept = (sites.len() * ONSITE_PERCENT).div_ceil(100);
    let dropped: Vec<Vec<u8>> = sites.split_off(kept).into_iter().map(<[u8]>::to_vec).collect();
    paths.retain(|path| dropped.iter().any(|gone| gone == site(path)));
    catalogue::set_holder(&mut tx, row.id, onsite.bit, &paths, false).await?;
    tx.commit().await?;
    let Some(copy) =
        core.config.volume(VOLUME).and_then(|volume| volume.copies.iter().find(|copy| copy.name == ONSITE))
    else {
        return Ok(());
    };
    for site in dropped {
        use std::os::unix::ffi::OsStrExt;
        let Some(folder) = copy.place.folder() else { continue };
        let folder = folder.join(std::ffi::OsStr::from_bytes(&site));
        fs::remove_dir_all(&folder)
            .map_err(|error| CliError::Failed(format!("{}: {error}", folder.display())))?;
    }
    Ok(())
}

/// The folder at the top that a file is in.
fn site(path: &FilePath) -> &[u8] {
    path.as_bytes().split(|&byte| byte == b'/').next().unwrap_or_default()
}

async fn tell(core: &Core) -> Result<(), CliError> {
    let view = volumes::volume(core, VOLUME).await?;
    for copy in view.copies {
        println!("Protected: the copy {} holds {} of {} files.", copy.name, copy.files, view.files);
    }
    Ok(())
}

fn replay_the_outage(dir: &Path, seed: u64) -> Result<(), CliError> {
    let (onsite, offsite) = (dir.join("copies/onsite"), dir.join("copies/offsite"));
    let copies = [("onsite", onsite.as_path()), ("offsite", offsite.as_path())];
    let damage = demo::break_volume(&volume(dir), &copies, seed)
        .map_err(|error| CliError::Failed(format!("the outage could not be replayed: {error}")))?;
    println!("The outage of 2007, replayed on {}:", volume(dir).display());
    println!("  {:>4} files lost their names and lie in lost+found", damage.nameless.len());
    println!("  {:>4} files are gone", damage.gone.len());
    println!("  {:>4} files hold other bytes, with the same size and time", damage.flipped.len());
    if let Some((copy, path)) = &damage.bad_in_copy {
        println!("  and the copy {copy} holds {} wrongly, which is one of those gone", path.display());
    }
    println!("Next: salvor --config {} check {VOLUME} --full", dir.join("salvor.toml").display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_new_or_empty_folder_or_a_demonstration_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        assert!(!made(&dir.join("new")).unwrap() && !made(dir).unwrap());
        fs::write(dir.join("thesis.txt"), "precious").unwrap();
        let refused = made(dir).unwrap_err().to_string();
        assert!(refused.contains("no demonstration"), "{refused}");
        fs::create_dir_all(volume(dir).join(".salvor")).unwrap();
        fs::write(volume(dir).join(demo::MARKER), "").unwrap();
        assert!(made(dir).unwrap_err().to_string().contains("not finished"));
        fs::write(dir.join("salvor.toml"), CONFIG).unwrap();
        assert!(made(dir).unwrap());
    }

    #[test]
    fn the_configuration_that_is_written_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("salvor.toml");
        fs::write(&file, CONFIG).unwrap();
        let config = Config::load(Some(&file), std::iter::empty()).unwrap();
        let names: Vec<_> = config.volumes[0].copies.iter().map(|copy| copy.name.as_str()).collect();
        assert_eq!((config.volumes[0].name.as_str(), names), (VOLUME, vec![ONSITE, "offsite"]));
    }
}
