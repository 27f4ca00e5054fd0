//! Whether a job may begin, or go on: its request, the places that it needs, the mode of its volume, and who is at it already.
//!
//! Invariant: a refusal names what was wrong and what would be right, and nothing is stored before it.

use std::path::Path;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use salvor_app::restore::port::NewJob;
use salvor_domain::disk_check::DiskTool;
use salvor_domain::ids::JobId;
use salvor_domain::job::{JobKind, JobRequest};
use salvor_domain::path::Glob;
use salvor_domain::sample::MOST_FILES;
use salvor_domain::volume::{Mode, ModeState};

use crate::agents;
use crate::config::{CopyConfig, VolumeConfig};
use crate::core::Core;
use crate::database::Tx;
use crate::error::{Error, Result};
use crate::restore::drivers::reunite;
use crate::restore::store::{self, Job};
use crate::volumes::reach::{self, Away};
use crate::volumes::store as volumes;
use crate::volumes::store::VolumeRow;

/// Longest pattern that is accepted; matching is linear in it.
const LONGEST_PATTERN: usize = 4_096;
const MOST_PATTERNS: usize = 1_000;
/// Folders that one reunite looks in.
const MOST_FOLDERS: usize = 50;

/// Whether this can be asked for now: the request itself, what is said of disks, then the places that it needs.
pub(super) async fn check(core: &Core, config: &VolumeConfig, new: &NewJob) -> Result<()> {
    if config.host.is_some() && !is_done_there(&new.request) {
        return Err(Error::invalid(not_there(config, new.request.kind())));
    }
    check_request(core, config, &new.request).await?;
    check_replaced(config, new)?;
    check_places(core, config, &new.request).await
}

/// What an agent can be asked for.
fn is_done_there(request: &JobRequest) -> bool {
    matches!(request, JobRequest::Check { .. } | JobRequest::DiskCheck {})
}

/// Why a job is not done on a volume of another host, and what is possible.
pub fn not_there(config: &VolumeConfig, kind: JobKind) -> String {
    let host = config.host.as_deref().unwrap_or_default();
    format!(
        "The volume \"{}\" lies on {host}, whose agent does checks and disk checks: for a {} run Salvor's commands on {host} itself, with this \
         server's database.",
        config.name,
        kind.in_words()
    )
}

/// What is wrong with a request whatever the state of the volume.
async fn check_request(core: &Core, config: &VolumeConfig, request: &JobRequest) -> Result<()> {
    let patience = core.patience.page;
    let (copies, globs): (&[String], &[Glob]) = match request {
        JobRequest::Check { paths, .. } => (&[], paths),
        JobRequest::Protect { adopt: Some(copy), .. } => (std::slice::from_ref(copy), &[]),
        JobRequest::Protect { to, adopt: None } => (to, &[]),
        JobRequest::Restore { from, paths, .. } => (from, paths),
        JobRequest::Drill { from, .. } => (from, &[]),
        JobRequest::Reunite { .. } | JobRequest::DiskCheck {} => (&[], &[]),
    };
    for name in copies {
        find_copy(config, name)?;
    }
    if config.copies.is_empty()
        && !matches!(request.kind(), JobKind::Check | JobKind::Reunite | JobKind::DiskCheck)
    {
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
        JobRequest::Reunite { from } => check_lost_folders(config, from, patience).await,
        JobRequest::DiskCheck {} => disk_tool(core, &mut core.db.read().await?, config).await.map(drop),
        JobRequest::Restore { to_folder: Some(folder), .. } => {
            check_target(config, Path::new(folder), patience).await
        }
        JobRequest::Drill { sample: Some(files), .. } if !(1..=MOST_FILES).contains(files) => {
            Err(Error::invalid(format!(
                "A sample has 1 to {} files of each copy, not {files}.",
                salvor_domain::units::count(MOST_FILES)
            )))
        }
        _ => Ok(()),
    }
}

async fn check_lost_folders(config: &VolumeConfig, from: &[String], patience: Duration) -> Result<()> {
    if from.len() > MOST_FOLDERS {
        return Err(Error::invalid(format!("At most {MOST_FOLDERS} folders are accepted at once.")));
    }
    let checks = from.iter().map(|folder| reunite::folders::check(config, folder, patience));
    try_join_all(checks).await.map_err(|why| Error::invalid(format!("from: {why}.")))?;
    Ok(())
}

/// That a disk is a new one can be said only to a job that then takes its folder as it is.
fn check_replaced(config: &VolumeConfig, new: &NewJob) -> Result<()> {
    let NewJob { request, replaced, replaced_copies, dry_run, .. } = new;
    if *dry_run && (*replaced || !replaced_copies.is_empty()) {
        return Err(Error::invalid(
            "A dry run takes no disk for a new one: leave out that it is replaced, or the dry run.",
        ));
    }
    match request {
        JobRequest::Restore { to_folder: None, .. } => {}
        JobRequest::Restore { to_folder: Some(folder), .. } if *replaced => {
            return Err(Error::invalid(format!(
                "A restore into {folder} does not touch the volume's disk: that it is a new one can be said to a restore of the volume itself."
            )));
        }
        other if *replaced => {
            return Err(Error::invalid(format!(
                "That the volume's disk is a new, empty one can be said to a restore only, not to a {}.",
                other.kind()
            )));
        }
        _ => {}
    }
    let takes = |name: &String| match request {
        JobRequest::Protect { adopt: Some(copy), .. } => name == copy,
        JobRequest::Protect { to, adopt: None } => to.is_empty() || to.contains(name),
        _ => false,
    };
    for name in replaced_copies {
        find_copy(config, name)?;
        if !takes(name) {
            return Err(Error::invalid(format!(
                "That the disk of the copy \"{name}\" is a new one can be said only to a protect that writes to it."
            )));
        }
    }
    Ok(())
}

fn find_copy<'c>(config: &'c VolumeConfig, name: &str) -> Result<&'c CopyConfig> {
    config.copies.iter().find(|copy| copy.name == name).ok_or_else(|| {
        let names: Vec<&str> = config.copies.iter().map(|copy| copy.name.as_str()).collect();
        let known =
            if names.is_empty() { "it has none".into() } else { format!("it has: {}", names.join(", ")) };
        Error::invalid(format!("The volume \"{}\" has no copy \"{name}\"; {known}.", config.name))
    })
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

async fn check_target(config: &VolumeConfig, folder: &Path, patience: Duration) -> Result<()> {
    let shown = folder.display();
    if !folder.is_absolute() {
        return Err(Error::invalid(format!("The folder {shown} must be an absolute path.")));
    }
    let real = reach::real(folder, patience).await.map_err(|away| match away {
        Away::Gone(why) => {
            Error::invalid(format!("The folder cannot be restored into: {why}; make it first."))
        }
        Away::Silent(why) => Error::conflict(format!("The folder cannot be restored into: {why}.")),
    })?;
    let folders = config.copies.iter().filter_map(|copy| copy.place.folder());
    let roots = std::iter::once(config.path.as_path()).chain(folders);
    for root in join_all(roots.map(|root| reach::real_or_named(root, patience))).await {
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
    // A drill reads copies and writes to scratch, and a disk check wants the volume unmounted: they work without it.
    let elsewhere = matches!(
        request,
        JobRequest::Restore { to_folder: Some(_), .. } | JobRequest::Drill { .. } | JobRequest::DiskCheck {}
    );
    // A job waits for an agent that is away.
    let waits = config.host.as_ref().is_some_and(|host| !core.agents.is_connected(host));
    if !elsewhere && !waits {
        reach::volume(core, config, core.patience.page).await.map_err(|away| {
            Error::conflict(format!("The volume \"{}\" is out of reach: {away}.", config.name))
        })?;
    }
    let needed: &(dyn Fn(&CopyConfig) -> bool + Sync) = match request {
        JobRequest::Check { .. } | JobRequest::Reunite { .. } | JobRequest::DiskCheck {} => return Ok(()),
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
    if let (JobRequest::Protect { adopt: None, .. }, [], [first, ..]) =
        (request, needed.as_slice(), config.copies.as_slice())
    {
        let (name, first) = (&config.name, &first.name);
        return Err(Error::invalid(format!(
            "No copy of the volume \"{name}\" takes files: Salvor only reads what another tool keeps there. To fill the catalogue \
             from one: salvor protect {name} --adopt {first}."
        )));
    }
    let looks = needed.iter().map(|copy| reach::copy(core, &config.name, copy));
    for (copy, look) in needed.iter().zip(join_all(looks).await) {
        match look {
            // It may only be slow; whether it is there is the plan's to find out.
            Err(Away::Silent(_)) if copy.place.folder().is_none() => {}
            Err(away) => {
                let way_out = match request {
                    JobRequest::Protect { to, adopt: None } if to.is_empty() && needed.len() > 1 => {
                        let others = needed.iter().map(|copy| copy.name.as_str());
                        let others: Vec<_> = others.filter(|name| *name != copy.name).collect();
                        format!(" Without it: --to {}.", others.join(" --to "))
                    }
                    _ => String::new(),
                };
                let name = &copy.name;
                return Err(Error::conflict(format!(
                    "The copy \"{name}\" is out of reach: {away}.{way_out}"
                )));
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

pub(super) async fn check_mode(tx: &mut Tx, core: &Core, volume: &VolumeRow, new: &NewJob) -> Result<()> {
    let request = &new.request;
    if new.dry_run && request.kind() == JobKind::DiskCheck {
        return Ok(());
    }
    if request.kind() == JobKind::DiskCheck {
        let tool = match core.config.volume(&volume.name) {
            Some(config) => Some(disk_tool(core, tx, config).await?),
            None => None,
        };
        return check_disk_is_free(tx, volume, tool, None).await;
    }
    let Some(message) = forbidden_by_mode(&volume.name, &volume.mode, request) else {
        return match request.kind() {
            JobKind::Protect => check_alone(tx, volume, request).await,
            JobKind::Check | JobKind::Restore | JobKind::Reunite | JobKind::Drill | JobKind::DiskCheck => {
                Ok(())
            }
        };
    };
    Err(Error::conflict(message))
}

/// Why the mode of a volume stands against a job, if it does.
fn forbidden_by_mode(name: &str, mode: &ModeState, request: &JobRequest) -> Option<String> {
    let reason = mode.reason();
    match (request, mode.mode()) {
        (_, Mode::Normal)
        | (
            JobRequest::Restore { to_folder: Some(_), .. }
            | JobRequest::Drill { .. }
            | JobRequest::DiskCheck {},
            _,
        ) => None,
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

/// What checks a volume's disk; of one on another host its agent knows.
async fn disk_tool(core: &Core, tx: &mut Tx, config: &VolumeConfig) -> Result<DiskTool> {
    let name = &config.name;
    let (tool, whose) = match &config.host {
        None => (config.disk_check.as_ref().map(|check| check.tool), String::new()),
        Some(host) => {
            let known = agents::store::volumes(tx, host, core.clock.now()).await?;
            let known = known.ok_or_else(|| {
                let why = agents::gone(host);
                Error::conflict(format!(
                    "How the disk of \"{name}\" is checked is configured on {host}, and {why}."
                ))
            })?;
            let own = known.into_iter().find(|own| own.name == *name);
            (own.and_then(|own| own.disk_tool), format!(" of {host}"))
        }
    };
    tool.ok_or_else(|| {
        Error::invalid(format!(
            "It is not configured how the disk of the volume \"{name}\" is checked; add [volume.disk_check] with tool and device to \
             the configuration{whose}."
        ))
    })
}

/// A repair has the file system to itself: nobody is served from it, and no other job is at it. `own` is the job that asks, where
/// there is one already.
async fn check_disk_is_free(
    tx: &mut Tx,
    volume: &VolumeRow,
    tool: Option<DiskTool>,
    own: Option<JobId>,
) -> Result<()> {
    let name = &volume.name;
    let alone = tool.filter(|tool| !tool.is_scrub());
    if let Some(tool) = alone.filter(|_| volume.mode.mode() == Mode::Normal) {
        return Err(Error::conflict(format!(
            "The volume \"{name}\" is in service (normal), and {} needs its disk alone. Take it out of service first: \
             salvor mode {name} read-only --reason …, then salvor mode {name} failover --reason …; unmount it, and start the disk check.",
            tool.name()
        )));
    }
    for job in store::active(tx, volume.id).await? {
        let is_in_the_way = match job.kind() {
            _ if Some(job.id) == own => false,
            JobKind::DiskCheck => true,
            // It does not touch the volume.
            JobKind::Drill => false,
            _ => alone.is_some() && job.state.is_active(),
        };
        if is_in_the_way {
            return Err(Error::conflict(format!(
                "The {} {} of the volume \"{name}\" is {}: wait for its end, or cancel it, before its disk is checked.",
                job.kind().in_words(),
                job.id,
                job.state.word()
            )));
        }
    }
    Ok(())
}

/// Before a job goes on: the mode may have changed meanwhile.
pub(super) async fn check_goes_on(tx: &mut Tx, core: &Core, job: &Job) -> Result<()> {
    let Some(volume) = volumes::volume_by_id(tx, job.volume_id).await? else { return Ok(()) };
    if job.kind() == JobKind::DiskCheck {
        let tool = match core.config.volume(&volume.name) {
            Some(config) => Some(disk_tool(core, tx, config).await?),
            None => None,
        };
        return check_disk_is_free(tx, &volume, tool, Some(job.id)).await;
    }
    match forbidden_by_mode(&volume.name, &volume.mode, &job.request) {
        Some(message) => Err(Error::conflict(message)),
        None => Ok(()),
    }
}
