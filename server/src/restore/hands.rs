//! The folder that a job works in, and what is done there: by the engine of this process, or by the agent of the host on which the
//! volume lies ([`crate::agents`]). A driver has one body for both; here nothing is ever put into words for the wire.
//!
//! Invariant: an agent that is gone, or whose folder is not the one that was opened, is [`Halt::Stuck`]: never "not there".

use std::sync::Arc;
use std::time::Duration;

use salvor_domain::identity::Sight;
use salvor_domain::path::FilePath;
use salvor_engine::{
    CheckOptions, CheckOutcome, Control, Expected, FolderId, MarkKind, Root, WalkEvent, check_batch,
};

use crate::agents::wire::{Ask, Part};
use crate::agents::{Agents, Duty, Talk};
use crate::restore::planner::{Scope, Seen, Walking};
use crate::restore::work::{Halt, Work};
use crate::volumes::reach::{self, Away};

#[derive(Clone)]
pub enum Hands {
    Here(Arc<Root>),
    There(There),
}

/// A volume's folder on another host.
#[derive(Clone)]
pub struct There {
    agents: Agents,
    host: String,
    volume: String,
    /// For people: `storage-1:/srv/uploads`.
    shown: String,
    folder: FolderId,
}

impl Hands {
    /// For people.
    pub fn shown(&self) -> String {
        match self {
            Self::Here(root) => root.path().display().to_string(),
            Self::There(there) => there.shown.clone(),
        }
    }

    /// What tells this place from another.
    pub async fn sight(&self, kind: MarkKind, patience: Duration) -> Result<Sight, String> {
        match self {
            Self::Here(root) => asked(root, patience, move |root| reach::look_at(root, kind)).await,
            Self::There(there) => {
                let seen = see(&there.agents, &there.host, &there.volume, patience).await;
                seen.map(|(_, sight)| sight).map_err(|away| away.to_string())
            }
        }
    }

    pub async fn set_mark(&self, kind: MarkKind, mark: &str, patience: Duration) -> Result<(), String> {
        let mark = mark.to_owned();
        match self {
            Self::Here(root) => {
                let set = move |root: &Root| root.set_mark(kind, &mark).map_err(|fault| fault.to_string());
                asked(root, patience, set).await
            }
            Self::There(there) => there.answered(Ask::Mark(kind, mark), patience).await.map(drop),
        }
    }

    /// Whether the folder is still the one that was opened.
    pub async fn still_there(&self, patience: Duration) -> Result<(), String> {
        match self {
            Self::Here(root) => reach::still_there(root, patience).await.map_err(|away| away.to_string()),
            Self::There(there) => there.answered(Ask::StillThere, patience).await.map(drop),
        }
    }

    /// What is at each of these paths.
    pub async fn look(&self, paths: Vec<FilePath>) -> Result<Vec<Seen>, Halt> {
        match self {
            Self::Here(root) => {
                let root = root.clone();
                let look = move || paths.iter().map(|path| Seen::at(&root, path)).collect();
                tokio::task::spawn_blocking(look).await.map_err(Halt::panicked)
            }
            Self::There(there) => {
                let count = paths.len();
                let talk = there.ask(Ask::Look(paths), Duty::default())?;
                collected(talk, count, |part| match part {
                    Part::Seen(seen) => Some(seen),
                    _ => None,
                })
                .await
            }
        }
    }

    pub fn walk(&self, folder: Option<FilePath>, scope: &Scope, control: &Control) -> Result<Walked, Halt> {
        let scope = scope.clone();
        Ok(match self {
            Self::Here(root) => Walked::Here(Walking::begin(root.clone(), folder, scope, control.clone())),
            Self::There(there) => {
                let duty = Duty { control: control.clone(), ..Duty::default() };
                Walked::There(there.ask(Ask::Walk { folder, scope }, duty)?)
            }
        })
    }

    /// Compares the bytes of files, and gives the seconds that it took.
    pub async fn check(&self, work: &Work, files: Vec<Expected>) -> Result<(Vec<CheckOutcome>, f64), Halt> {
        match self {
            Self::Here(root) => {
                let options = CheckOptions { threads: work.threads, limit: work.job_limit() };
                let (root, control, progress) = (root.clone(), work.control.clone(), work.progress.clone());
                work.blocking(move || check_batch(&root, &files, &options, &control, &progress)).await
            }
            Self::There(there) => {
                let (count, threads) = (files.len(), work.job.limits.gentle.then_some(1));
                let talk = there.ask(Ask::Check { files, threads }, work.duty())?;
                let checked = collected(talk, count, |part| match part {
                    Part::Checked(outcomes) => Some(outcomes),
                    _ => None,
                });
                let (checked, seconds) = work.timed(checked).await;
                Ok((checked?, seconds))
            }
        }
    }
}

impl There {
    pub async fn open(agents: &Agents, host: &str, volume: &str, patience: Duration) -> Result<Self, String> {
        let seen = see(agents, host, volume, patience).await;
        let ((path, folder), _) = seen.map_err(|away| away.to_string())?;
        let (host, volume, shown) = (host.to_owned(), volume.to_owned(), format!("{host}:{path}"));
        Ok(Self { agents: agents.clone(), host, volume, shown, folder })
    }

    fn ask(&self, ask: Ask, duty: Duty) -> Result<Talk, Halt> {
        let talk = self.agents.call(&self.host, &self.volume, Some(self.folder), ask, duty);
        talk.map_err(stuck)
    }

    async fn answered(&self, ask: Ask, patience: Duration) -> Result<Part, String> {
        let talk = self.agents.call(&self.host, &self.volume, Some(self.folder), ask, Duty::default());
        let answer = async { in_time(talk?, &self.host, patience).await };
        answer.await.map_err(|away| away.to_string())
    }
}

/// Where a volume lies on another host, as its agent says.
pub async fn see(
    agents: &Agents,
    host: &str,
    volume: &str,
    patience: Duration,
) -> Result<((String, FolderId), Sight), Away> {
    let talk = agents.call(host, volume, None, Ask::Sight, Duty::default())?;
    match in_time(talk, host, patience).await? {
        Part::Sight { path, folder, sight } => Ok(((path, folder), sight)),
        _ => Err(crate::agents::strange(host)),
    }
}

/// The agent has a patience of its own, and words for what is silent there; it goes first.
pub async fn in_time(talk: Talk, host: &str, patience: Duration) -> Result<Part, Away> {
    const LONGER: Duration = Duration::from_secs(5);
    let answer = tokio::time::timeout(patience + LONGER, talk.only()).await;
    answer.unwrap_or_else(|_| Err(Away::Silent(format!("the agent of {host} has not answered"))))
}

async fn asked<T: Send + 'static>(
    root: &Arc<Root>,
    patience: Duration,
    question: impl FnOnce(&Root) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let asked = root.clone();
    let answer = reach::ask(root.path(), patience, move || question(&asked)).await;
    answer.map_err(|away| away.to_string())?
}

fn stuck(away: Away) -> Halt {
    Halt::Stuck(away.to_string())
}

/// All of `count` answers, however they were cut.
async fn collected<T>(
    mut talk: Talk,
    count: usize,
    take: impl Fn(Part) -> Option<Vec<T>>,
) -> Result<Vec<T>, Halt> {
    let mut all = Vec::with_capacity(count);
    while let Some(part) = talk.next().await.map_err(stuck)? {
        all.extend(take(part).ok_or_else(|| stuck(talk.strange()))?);
    }
    if all.len() == count { Ok(all) } else { Err(stuck(talk.strange())) }
}

/// A walk, here or there.
pub enum Walked {
    Here(Walking),
    There(Talk),
}

impl Walked {
    /// The next events; none at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<WalkEvent>>, Halt> {
        let talk = match self {
            Self::Here(walking) => return walking.next().await,
            Self::There(talk) => talk,
        };
        match talk.next().await.map_err(stuck)? {
            Some(Part::Found(events)) => Ok(Some(events)),
            Some(_) => Err(stuck(talk.strange())),
            None => Ok(None),
        }
    }
}
