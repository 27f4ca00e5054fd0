//! Whether a job may begin, or go on: its request, the places that it needs, the mode of its volume, and who is at it already.
//!
//! Invariant: a refusal names what was wrong and what would be right, and nothing is stored before it.

use std::path::Path;

use salvor_domain::job::{JobKind, JobRequest};
use salvor_domain::path::Glob;
use salvor_domain::sample::MOST_FILES;
use salvor_domain::volume::{Mode, ModeState};

use crate::config::{CopyConfig, VolumeConfig};
use crate::core::Core;
use crate::database::Tx;
use crate::error::{Error, Result};
use crate::restore::drivers::reunite;
use crate::restore::store::{self, Job};
use crate::volumes::store::VolumeRow;
use crate::volumes::{reach, store as volumes};

/// Longest pattern that is accepted; matching is linear in it.
const LONGEST_PATTERN: usize = 4_096;
const MOST_PATTERNS: usize = 1_000;
/// Folders that one reunite looks in.
const MOST_FOLDERS: usize = 50;

/// Whether this can be asked for now: the request itself, then the places that it needs. One that hangs holds up nobody else.
pub(super) async fn check(core: &Core, config: &VolumeConfig, request: &JobRequest) -> Result<()> {
    let asked = (config.clone(), request.clone());
    let checked = tokio::task::spawn_blocking(move || check_request(&asked.0, &asked.1));
    checked.await.map_err(|broken| Error::Internal(broken.to_string()))??;
    check_places(core, config, request).await
}

/// What is wrong with a request whatever the state of the volume.
fn check_request(config: &VolumeConfig, request: &JobRequest) -> Result<()> {
    let (copies, globs): (&[String], &[Glob]) = match request {
        JobRequest::Check { paths, .. } => (&[], paths),
        JobRequest::Protect { adopt: Some(copy), .. } => (std::slice::from_ref(copy), &[]),
        JobRequest::Protect { to, adopt: None } => (to, &[]),
        JobRequest::Restore { from, paths, .. } => (from, paths),
        JobRequest::Drill { from, .. } => (from, &[]),
        JobRequest::Reunite { .. } => (&[], &[]),
    };
    for name in copies {
        if !config.copies.iter().any(|copy| copy.name == *name) {
            let names: Vec<&str> = config.copies.iter().map(|copy| copy.name.as_str()).collect();
            let known =
                if names.is_empty() { "it has none".into() } else { format!("it has: {}", names.join(", ")) };
            return Err(Error::invalid(format!(
                "The volume \"{}\" has no copy \"{name}\"; {known}.",
                config.name
            )));
        }
    }
    if config.copies.is_empty() && !matches!(request.kind(), JobKind::Check | JobKind::Reunite) {
        return Err(Error::invalid(format!(
            "The volume \"{}\" has no copies; add a [[volume.copy]] to the configuration.",
            config.name
        )));
    }
    if globs.len() > MOST_PATTERNS {
        return Err(Error::invalid(format!("At most {MOST_PATTERNS} patterns are accepted at once.")));
    }
    globs.iter().try_for_each(check_glob)?;
    match request {
        JobRequest::Reunite { from } => check_lost_folders(config, from),
        JobRequest::Restore { to_folder: Some(folder), .. } => check_target(config, Path::new(folder)),
        JobRequest::Drill { sample: Some(files), .. } if !(1..=MOST_FILES).contains(files) => {
            Err(Error::invalid(format!(
                "A sample has 1 to {} files of each copy, not {files}.",
                salvor_domain::units::count(MOST_FILES)
            )))
        }
        _ => Ok(()),
    }
}

fn check_lost_folders(config: &VolumeConfig, from: &[String]) -> Result<()> {
    if from.len() > MOST_FOLDERS {
        return Err(Error::invalid(format!("At most {MOST_FOLDERS} folders are accepted at once.")));
    }
    let check = |folder: &String| reunite::folders::check(config, folder);
    from.iter().try_for_each(check).map_err(|why| Error::invalid(format!("from: {why}.")))
}

pub(super) fn check_glob(glob: &Glob) -> Result<()> {
    let pattern = glob.as_str();
    let why = if pattern.is_empty() {
        "it is empty; leave it out to mean every file"
    } else if pattern.len() > LONGEST_PATTERN {
        "it is longer than any path"
    } else if pattern.starts_with('/') {
        "paths are relative to the volume: leave out the / at its beginning"
    } else if pattern.split('/').any(|part| matches!(part, "." | "..")) {
        "it must not contain . or .. as a component"
    } else if pattern.split('/').any(str::is_empty) {
        "it must not end with / nor contain //; a folder's files are FOLDER/**"
    } else {
        return Ok(());
    };
    Err(Error::invalid(format!("The pattern \"{pattern}\" matches nothing: {why}.")))
}

fn check_target(config: &VolumeConfig, folder: &Path) -> Result<()> {
    let shown = folder.display();
    if !folder.is_absolute() {
        return Err(Error::invalid(format!("The folder {shown} must be an absolute path.")));
    }
    let real = folder
        .canonicalize()
        .ok()
        .filter(|real| real.is_dir())
        .ok_or_else(|| Error::invalid(format!("The folder {shown} does not exist; make it first.")))?;
    let folders = config.copies.iter().filter_map(|copy| copy.place.folder());
    for root in std::iter::once(config.path.as_path()).chain(folders) {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        if real.starts_with(&root) || root.starts_with(&real) {
            return Err(Error::invalid(format!(
                "The folder {shown} must be apart from the volume and its copies, and {} is not.",
                root.display()
            )));
        }
    }
    Ok(())
}

/// The folder and the copies that a job cannot do without.
async fn check_places(core: &Core, config: &VolumeConfig, request: &JobRequest) -> Result<()> {
    // A drill reads copies and writes to scratch: it works without the volume.
    let elsewhere =
        matches!(request, JobRequest::Restore { to_folder: Some(_), .. } | JobRequest::Drill { .. });
    if !elsewhere && !reach::is_there(&config.path).await {
        return Err(Error::conflict(format!(
            "The volume \"{}\" is out of reach: the folder {} is not there.",
            config.name,
            config.path.display()
        )));
    }
    let needed: &(dyn Fn(&CopyConfig) -> bool + Sync) = match request {
        JobRequest::Check { .. } | JobRequest::Reunite { .. } => return Ok(()),
        JobRequest::Protect { adopt: Some(adopted), .. } => &|copy| *adopted == copy.name,
        JobRequest::Protect { to, adopt: None } if to.is_empty() => &|copy| copy.place.takes_files(),
        JobRequest::Protect { to, adopt: None } => &|copy| to.contains(&copy.name),
        JobRequest::Restore { from, .. } | JobRequest::Drill { from, .. } => {
            &|copy| from.contains(&copy.name)
        }
    };
    let needed: Vec<&CopyConfig> = config.copies.iter().filter(|copy| needed(copy)).collect();
    if let JobRequest::Protect { adopt: None, .. } = request
        && let Some(copy) = needed.iter().find(|copy| !copy.place.takes_files())
    {
        return Err(Error::invalid(format!(
            "The copy \"{}\" is of kind {}: Salvor reads it and does not write to it.",
            copy.name,
            copy.place.kind()
        )));
    }
    let looks = needed.iter().map(|copy| reach::copy(core, &config.name, copy));
    for (copy, look) in needed.iter().zip(futures_util::future::join_all(looks).await) {
        match look {
            // It may only be slow; whether it is there is the plan's to find out.
            Err(why) if why == reach::SILENT && copy.place.folder().is_none() => {}
            Err(why) => {
                return Err(Error::conflict(format!("The copy \"{}\" is out of reach: {why}.", copy.name)));
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

pub(super) async fn check_mode(tx: &mut Tx, volume: &VolumeRow, request: &JobRequest) -> Result<()> {
    let Some(message) = forbidden_by_mode(&volume.name, &volume.mode, request) else {
        return match request.kind() {
            JobKind::Protect => check_alone(tx, volume, request).await,
            JobKind::Check | JobKind::Restore | JobKind::Reunite | JobKind::Drill => Ok(()),
        };
    };
    Err(Error::conflict(message))
}

/// Why the mode of a volume stands against a job, if it does.
fn forbidden_by_mode(name: &str, mode: &ModeState, request: &JobRequest) -> Option<String> {
    let reason = mode.reason();
    match (request, mode.mode()) {
        (_, Mode::Normal)
        | (JobRequest::Restore { to_folder: Some(_), .. } | JobRequest::Drill { .. }, _) => None,
        // It reads the copy, and writes to no disk.
        (JobRequest::Protect { adopt: Some(_), .. }, Mode::ReadOnly) => None,
        (JobRequest::Protect { adopt: None, .. }, mode) => Some(format!(
            "The volume \"{name}\" is {mode} ({reason}): protect would copy its damage, so it waits until the volume is normal."
        )),
        (
            JobRequest::Restore { .. }
            | JobRequest::Check { .. }
            | JobRequest::Reunite { .. }
            | JobRequest::Protect { adopt: Some(_), .. },
            Mode::Failover,
        ) => Some(format!(
            "The volume \"{name}\" is offline (failover: {reason}); bring it back to read_only first."
        )),
        (
            JobRequest::Restore { .. } | JobRequest::Check { .. } | JobRequest::Reunite { .. },
            Mode::ReadOnly,
        ) => None,
    }
}

/// Two protect jobs would do the same work twice, and so would two that adopt.
pub(super) async fn check_alone(tx: &mut Tx, volume: &VolumeRow, request: &JobRequest) -> Result<()> {
    let jobs = store::unended(tx, volume.id, JobKind::Protect).await?;
    match jobs.iter().find(|job| job.request.adopts() == request.adopts()) {
        Some(first) => Err(Error::conflict(format!(
            "{} already, by job {} ({}).",
            match request.adopts() {
                true => format!("A copy of the volume \"{}\" is being adopted", volume.name),
                false => format!("The volume \"{}\" is being protected", volume.name),
            },
            first.id,
            first.state.word()
        ))),
        None => Ok(()),
    }
}

/// Before a job goes on: the mode may have changed meanwhile.
pub(super) async fn check_goes_on(tx: &mut Tx, job: &Job) -> Result<()> {
    let Some(volume) = volumes::volume_by_id(tx, job.volume_id).await? else { return Ok(()) };
    match forbidden_by_mode(&volume.name, &volume.mode, &job.request) {
        Some(message) => Err(Error::conflict(message)),
        None => Ok(()),
    }
}
