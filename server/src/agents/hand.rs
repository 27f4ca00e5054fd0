//! An agent's side of a call: what is done in the folder of a volume of this host, with this host's own configuration.
//!
//! Invariant: nothing is done for a volume that is not configured here, or that lies elsewhere; nor in a folder that is not the one that
//! the server has seen.

mod disk;

use std::sync::Arc;
use std::time::Duration;

use salvor_domain::path::FilePath;
use salvor_engine::{CheckOptions, CheckOutcome, Expected, MarkKind, Root, WalkEvent, check_batch};

use super::Duty;
use super::wire::{Ask, Call, Part, portions};
use crate::config::{Config, VolumeConfig};
use crate::restore::planner::{Scope, Seen, Walking};
use crate::volumes::reach::{self, Away, Patience};

/// Where what comes of a call goes, part by part. False: nobody waits for it any more.
pub trait Telling: Send {
    fn tell(&mut self, part: Part, is_last: bool) -> impl Future<Output = bool> + Send;
}

/// Carries a call out, and tells what came of it.
pub async fn carry_out(config: &Config, call: Call, duty: Duty, telling: &mut impl Telling) {
    let told = begin(config, call, duty, telling).await;
    let failed = match told {
        Ok(()) => return,
        Err(Away::Gone(why)) => Part::Failed(why),
        Err(Away::Silent(why)) => Part::Silent(why),
    };
    telling.tell(failed, true).await;
}

async fn begin(config: &Config, call: Call, duty: Duty, telling: &mut impl Telling) -> Result<(), Away> {
    let own = config.volume(&call.volume).filter(|volume| volume.host.is_none());
    let volume = own.ok_or_else(|| {
        Away::Gone(format!(
            "the configuration of this agent has no volume \"{}\" that lies there",
            call.volume
        ))
    })?;
    let patience = Patience::default().job;
    if let Ask::Disk(ask) = call.ask {
        return disk::go(volume, patience, ask, duty, telling).await;
    }
    let root = reach::open(&volume.path, patience).await?;
    if call.folder.is_some_and(|folder| folder != root.id()) {
        let shown = volume.path.display();
        return Err(Away::Gone(format!(
            "{shown} is not the folder it was: it has been unmounted or replaced"
        )));
    }
    Hand { volume, root, duty, patience }.go(call.ask, telling).await
}

struct Hand<'a> {
    volume: &'a VolumeConfig,
    root: Arc<Root>,
    duty: Duty,
    patience: Duration,
}

impl Hand<'_> {
    async fn go(self, ask: Ask, telling: &mut impl Telling) -> Result<(), Away> {
        let root = self.root.clone();
        let part = match ask {
            Ask::Sight => {
                let look = move |root: &Root| reach::look_at(root, MarkKind::Volume);
                let sight = self.asked(look).await?;
                Part::Sight { path: self.volume.path.display().to_string(), folder: root.id(), sight }
            }
            Ask::Mark(kind, mark) => {
                let set = move |root: &Root| root.set_mark(kind, &mark).map_err(|fault| fault.to_string());
                self.asked(set).await?;
                Part::Done
            }
            Ask::StillThere => {
                self.asked(Root::reachable).await?;
                Part::Done
            }
            Ask::Look(paths) => {
                let look = move || paths.iter().map(|path| Seen::at(&root, path)).collect();
                let seen = blocking(look).await?;
                return all(portions(seen, weight_of_seen), Part::Seen, telling).await;
            }
            Ask::Disk(_) => Part::Done,
            Ask::Walk { folder, scope } => return self.walk(folder, scope, telling).await,
            Ask::Check { files, threads } => {
                let checked = self.check(files, threads).await?;
                return all(portions(checked, weight_of_outcome), Part::Checked, telling).await;
            }
        };
        telling.tell(part, true).await;
        Ok(())
    }

    async fn asked<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Root) -> Result<T, String> + Send + 'static,
    ) -> Result<T, Away> {
        let asked = self.root.clone();
        reach::ask(self.root.path(), self.patience, move || question(&asked)).await?.map_err(Away::Gone)
    }

    async fn walk(
        self,
        folder: Option<FilePath>,
        scope: Scope,
        telling: &mut impl Telling,
    ) -> Result<(), Away> {
        let control = self.duty.control.clone();
        let mut walking = Walking::begin(self.root, folder, scope, control.clone());
        let broken = |halt: crate::restore::work::Halt| Away::Gone(halt.to_string());
        while let Some(events) = walking.next().await.map_err(broken)? {
            for part in portions(events, weight_of_event) {
                if !telling.tell(Part::Found(part), false).await {
                    return Ok(());
                }
            }
        }
        // One that was stopped has not come to its end, and nobody is to take it for that.
        if control.stop().is_some() {
            return Err(Away::Gone("the walk was stopped".into()));
        }
        telling.tell(Part::Found(Vec::new()), true).await;
        Ok(())
    }

    async fn check(self, files: Vec<Expected>, threads: Option<usize>) -> Result<Vec<CheckOutcome>, Away> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let Duty { control, progress, limit } = self.duty;
        let options =
            CheckOptions { threads: threads.map_or(processors, |threads| threads.min(processors)), limit };
        blocking(move || check_batch(&self.root, &files, &options, &control, &progress)).await
    }
}

/// Tells all parts, the last one as such.
async fn all<T>(
    mut parts: Vec<Vec<T>>,
    part: impl Fn(Vec<T>) -> Part,
    telling: &mut impl Telling,
) -> Result<(), Away> {
    let last = parts.pop().unwrap_or_default();
    for portion in parts {
        if !telling.tell(part(portion), false).await {
            return Ok(());
        }
    }
    telling.tell(part(last), true).await;
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Away> {
    tokio::task::spawn_blocking(work).await.map_err(|broken| {
        tracing::error!(%broken, "a call broke down");
        Away::Gone("Salvor's agent itself broke down at it; the details are in its log".into())
    })
}

/// Of what has no path, as JSON.
const REST: usize = 150;

fn weight_of_event(event: &WalkEvent) -> usize {
    REST + match event {
        WalkEvent::File(entry) => 2 * entry.path.as_bytes().len(),
        WalkEvent::Other { path, .. } => 2 * path.len(),
        WalkEvent::Unreadable { path, reason, .. } => 2 * path.len() + reason.len(),
    }
}

fn weight_of_seen(seen: &Seen) -> usize {
    REST + match seen {
        Seen::File(entry) => 2 * entry.path.as_bytes().len(),
        Seen::Absent => 0,
        Seen::Unknown(reason) => reason.len(),
    }
}

fn weight_of_outcome(outcome: &CheckOutcome) -> usize {
    REST + match outcome {
        CheckOutcome::Unreadable { reason } => reason.len(),
        _ => 0,
    }
}
