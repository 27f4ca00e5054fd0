//! Where a volume's disk is checked: on this host, with what its configuration names, or on another one by its agent, with what that
//! agent's own configuration names.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::attend::{self, Course, Facts, Heard};
use super::device::InTheWay;
use super::process;
use crate::agents::wire::{Ask, DiskAsk, DiskPart, Part};
use crate::agents::{Agents, Duty, Talk, strange};
use crate::config::{DiskCheckConfig, VolumeConfig};
use crate::restore::hands::in_time;
use crate::restore::store::disk_checks::Process;
use crate::restore::work::{Halt, Work};
use crate::volumes::reach::Away;

/// What a run says that nobody has taken yet.
pub const WAITING: usize = 16;

pub enum Bench<'a> {
    Here { config: &'a DiskCheckConfig, volume: &'a str, patience: Duration },
    There { agents: &'a Agents, host: &'a str, volume: &'a str, patience: Duration },
}

impl<'a> Bench<'a> {
    pub fn of(work: &'a Work) -> Result<Self, Halt> {
        let (config, patience) = (&work.place.config, work.core.patience.job);
        let volume = &config.name;
        match &config.host {
            Some(host) => Ok(Self::There { agents: &work.core.agents, host, volume, patience }),
            None => Ok(Self::Here { config: configured(config).map_err(Halt::Fail)?, volume, patience }),
        }
    }

    pub async fn facts(&self) -> Result<Facts, Halt> {
        match self {
            Self::Here { config, .. } => Ok(Facts::of(config)),
            Self::There { host, .. } => match self.asked(DiskAsk::Facts).await.map_err(stuck)? {
                DiskPart::Facts(facts) => Ok(facts),
                _ => Err(stuck(strange(host))),
            },
        }
    }

    /// What keeps the tool from its device, if anything does.
    pub async fn look(&self) -> Result<Option<InTheWay>, Halt> {
        match self {
            Self::Here { config, volume, patience } => {
                Ok(attend::look(config, volume, *patience).await.err())
            }
            Self::There { host, .. } => match self.asked(DiskAsk::Look).await.map_err(stuck)? {
                DiskPart::Looked(way) => Ok(way),
                _ => Err(stuck(strange(host))),
            },
        }
    }

    /// Whether this very process is still there and at work.
    pub async fn is_alive(&self, process: Process) -> Result<bool, Halt> {
        match self {
            Self::Here { .. } => Ok(process::is_alive(process)),
            Self::There { host, .. } => match self.asked(DiskAsk::IsAlive(process)).await.map_err(stuck)? {
                DiskPart::IsAlive(is_alive) => Ok(is_alive),
                _ => Err(stuck(strange(host))),
            },
        }
    }

    pub async fn pause(&self) -> Result<(), String> {
        match self {
            Self::Here { config, .. } => attend::pause(config).await,
            Self::There { .. } => self.asked(DiskAsk::Pause).await.map(drop).map_err(|away| away.to_string()),
        }
    }

    /// Runs the tool.
    pub fn run(&self, work: &Work, how: Course) -> Result<Told, Halt> {
        match self {
            Self::Here { config, .. } => {
                let (sender, heard) = mpsc::channel(WAITING);
                let mut run = JoinSet::new();
                run.spawn(attend::run((*config).clone(), how, work.control.clone(), sender));
                Ok(Told::Here { heard, run })
            }
            Self::There { agents, host, volume, .. } => {
                let duty = Duty { control: work.control.clone(), ..Duty::default() };
                let talk =
                    agents.call(host, volume, None, Ask::Disk(DiskAsk::Run(how)), duty).map_err(stuck)?;
                Ok(Told::There { talk, heard: VecDeque::new() })
            }
        }
    }

    /// Of the agent; nothing here asks itself.
    async fn asked(&self, ask: DiskAsk) -> Result<DiskPart, Away> {
        let Self::There { agents, host, volume, patience } = self else {
            return Err(Away::Gone("its disk is here".into()));
        };
        let talk = agents.call(host, volume, None, Ask::Disk(ask), Duty::default())?;
        match in_time(talk, host, *patience).await? {
            Part::Disk(part) => Ok(part),
            _ => Err(strange(host)),
        }
    }
}

/// How a volume's disk is checked, where that is configured.
pub fn configured(volume: &VolumeConfig) -> Result<&DiskCheckConfig, String> {
    volume.disk_check.as_ref().ok_or_else(|| {
        format!(
            "it is not configured how the disk of the volume \"{}\" is checked: add [volume.disk_check] with tool and device to the \
             configuration",
            volume.name
        )
    })
}

fn stuck(away: Away) -> Halt {
    Halt::Stuck(away.to_string())
}

/// What is heard of a run under way. Dropped, the run is ended.
pub enum Told {
    Here { heard: mpsc::Receiver<Heard>, run: JoinSet<()> },
    There { talk: Talk, heard: VecDeque<Heard> },
}

impl Told {
    /// None at the end. May be dropped and called again.
    pub async fn next(&mut self) -> Result<Option<Heard>, Halt> {
        match self {
            Self::Here { heard, .. } => Ok(heard.recv().await),
            Self::There { talk, heard } => loop {
                if let Some(heard) = heard.pop_front() {
                    return Ok(Some(heard));
                }
                match talk.next().await.map_err(stuck)? {
                    Some(Part::Disk(DiskPart::Heard(several))) => heard.extend(several),
                    Some(Part::Disk(DiskPart::Done)) | None => return Ok(None),
                    Some(_) => return Err(stuck(talk.strange())),
                }
            },
        }
    }

    /// Has the run end, and (on this host) waits until it has: nobody keeps what it says.
    pub async fn end(self) {
        if let Self::Here { heard, mut run } = self {
            drop(heard);
            while run.join_next().await.is_some() {}
        }
    }
}
