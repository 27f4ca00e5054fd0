//! One run of the tool where its device is: started, read, watched and ended. What it says and does is told to whoever keeps it, on this
//! host or (through an agent) on another one.
//!
//! Invariants: nothing is started on a device that is not free for it; a run that nobody listens to any more is ended.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use salvor_domain::disk_check::{DEVICE, DiskTool, Exit};
use salvor_engine::Control;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::device::{self, InTheWay};
use super::process::{self, Running, Signs, signs};
use crate::config::DiskCheckConfig;
use crate::restore::store::disk_checks::Process;
use crate::volumes::reach;

/// How often it is looked whether the run is still wanted.
const LOOK: Duration = Duration::from_millis(250);
/// How often it is looked what its processes do, and how often a scrub is asked how far it is.
const SIGNS: Duration = Duration::from_secs(1);
const ASK: Duration = Duration::from_secs(5);
/// From the word to end to the signal that nothing withstands, and from there to giving up.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is read after the process has ended: others may hold its pipes for ever.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Course {
    First,
    /// After one that repaired something.
    Anew,
    /// Where it was (scrubs).
    Resumed,
}

/// What is heard of a run: that it was not started, or its start, what it says, and its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Heard {
    Refused(InTheWay),
    Started {
        process: Process,
        command: String,
    },
    Output(Vec<String>),
    Progress(Vec<String>),
    Signs(Signs),
    /// What a scrub's tool answers when it is asked how far it is.
    Status(String),
    Ended {
        #[serde(with = "ExitAsTold")]
        exit: Exit,
        was_told_to: bool,
    },
    /// The process cannot be made to end, or nobody knows how it did.
    Lost {
        was_told_to: bool,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Exit")]
enum ExitAsTold {
    Code(i32),
    Signal(i32),
}

/// What is configured of a disk's check, for those who keep it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub tool: DiskTool,
    pub device: String,
    /// As it is typed.
    pub command: String,
    pub can_pause: bool,
}

impl Facts {
    pub fn of(config: &DiskCheckConfig) -> Self {
        let command = process::typed(&config.argv());
        Self { tool: config.tool, device: config.device.clone(), command, can_pause: config.can_pause() }
    }
}

/// Whether the program is there, and its device free for it. `volume` is its name, for advice.
pub async fn look(config: &DiskCheckConfig, volume: &str, patience: Duration) -> Result<(), InTheWay> {
    let argv = config.argv();
    process::find(argv.first().map(String::as_str).unwrap_or_default()).map_err(InTheWay::Person)?;
    let (tool, device, volume) = (config.tool, config.device.clone(), volume.to_owned());
    let looked = move || device::look(tool, &device, &volume);
    let answer = reach::ask(&config.device_path(), patience, looked).await;
    answer.unwrap_or_else(|away| Err(InTheWay::Held(away.to_string())))
}

/// Runs it to its end, or until `control` says stop or nobody listens to `told` any more.
pub async fn run(config: DiskCheckConfig, how: Course, control: Control, told: mpsc::Sender<Heard>) {
    let argv = argv(&config, how);
    let mut running = match process::start(&argv) {
        Ok(running) => running,
        Err(why) => return drop(told.send(Heard::Refused(InTheWay::Person(why))).await),
    };
    let started = Heard::Started { process: running.process, command: process::typed(&argv) };
    let now = Instant::now();
    let mut run = Run {
        config: &config,
        control,
        told,
        waiting: vec![started],
        asked: now,
        looked: now,
        told_to_end: None,
        killed: false,
    };
    let exit = run.attend(&mut running).await;
    run.last_words(&mut running).await;
    let was_told_to = run.told_to_end.is_some();
    run.waiting.push(match exit {
        Some(exit) => Heard::Ended { exit, was_told_to },
        None => Heard::Lost { was_told_to },
    });
    run.tell_all().await;
}

struct Run<'a> {
    config: &'a DiskCheckConfig,
    control: Control,
    told: mpsc::Sender<Heard>,
    /// Not told yet; no more is read while there is anything.
    waiting: Vec<Heard>,
    asked: Instant,
    looked: Instant,
    /// The word to end was given, then.
    told_to_end: Option<Instant>,
    killed: bool,
}

impl Run<'_> {
    /// Until the process has ended; `None` when it cannot be made to.
    async fn attend(&mut self, running: &mut Running) -> Option<Exit> {
        let Running { child, process, output, progress } = running;
        let told = self.told.clone();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let may_read = self.waiting.is_empty();
            tokio::select! {
                place = told.reserve(), if !may_read => match place {
                    Ok(place) => place.send(self.waiting.remove(0)),
                    // Nobody keeps what it says.
                    Err(_) => self.waiting.clear(),
                },
                lines = progress.next(), if may_read => self.waiting.push(Heard::Progress(lines)),
                lines = output.next(), if may_read => self.waiting.push(Heard::Output(lines)),
                ended = process::ended(child) => match ended {
                    Ok(exit) => return Some(exit),
                    Err(error) => {
                        tracing::error!(error, "a disk check was lost");
                        return None;
                    }
                },
                _ = look.tick() => {
                    if may_read {
                        self.look(*process).await;
                    }
                    if self.is_to_end(*process).await {
                        return None;
                    }
                }
            }
        }
    }

    /// Signs of life; the kernel's own work (a scrub) shows only in what its tool answers.
    async fn look(&mut self, process: Process) {
        if self.looked.elapsed() < SIGNS {
            return;
        }
        self.looked = Instant::now();
        let group = process.pid;
        if let Ok(seen) = tokio::task::spawn_blocking(move || signs(group)).await {
            self.waiting.push(Heard::Signs(seen));
        }
        if let Some(command) = status_command(self.config.tool).filter(|_| self.asked.elapsed() >= ASK) {
            self.asked = Instant::now();
            if let Ok(said) = said(command, self.config).await {
                self.waiting.push(Heard::Status(said));
            }
        }
    }

    /// Ends a run that is not wanted any more; true when the process withstands everything.
    async fn is_to_end(&mut self, process: Process) -> bool {
        match self.told_to_end {
            None if self.control.stop().is_some() || self.told.is_closed() => {
                self.told_to_end = Some(Instant::now());
                // Its tool knows how a scrub is ended so that it goes on where it was.
                let is_paused = self.config.can_pause() && pause(self.config).await.is_ok();
                if !is_paused {
                    process::signal(process, Signal::TERM);
                }
            }
            Some(since) if since.elapsed() >= PATIENCE && !self.killed => {
                self.killed = true;
                process::signal(process, Signal::KILL);
            }
            Some(since) => return since.elapsed() >= 2 * PATIENCE,
            None => {}
        }
        false
    }

    async fn last_words(&mut self, running: &mut Running) {
        let deadline = tokio::time::Instant::now() + LAST_WORDS;
        self.tell_all().await;
        while running.output.is_open() {
            let Ok(lines) = tokio::time::timeout_at(deadline, running.output.next()).await else { break };
            self.waiting.push(Heard::Output(lines));
            self.tell_all().await;
        }
        while running.progress.is_open() {
            let Ok(lines) = tokio::time::timeout_at(deadline, running.progress.next()).await else { break };
            self.waiting.push(Heard::Progress(lines));
            self.tell_all().await;
        }
        if self.told_to_end.is_none() && self.config.tool == DiskTool::ZpoolScrub {
            // `zpool scrub -w` itself says nothing.
            let said = said(&["zpool", "status", DEVICE], self.config).await.unwrap_or_else(|why| why);
            self.waiting.push(Heard::Output(said.lines().map(str::to_owned).collect()));
        }
    }

    async fn tell_all(&mut self) {
        for heard in std::mem::take(&mut self.waiting) {
            // Nobody may listen any more.
            let _ = self.told.send(heard).await;
        }
    }
}

fn argv(config: &DiskCheckConfig, how: Course) -> Vec<String> {
    match (how, resume_command(config.tool)) {
        (Course::Resumed, Some(command)) => named(command, &config.device),
        _ => config.argv(),
    }
}

/// Has a scrub stop where it is.
pub async fn pause(config: &DiskCheckConfig) -> Result<(), String> {
    let command: &[&str] = match config.tool {
        DiskTool::BtrfsScrub => &["btrfs", "scrub", "cancel", DEVICE],
        DiskTool::ZpoolScrub => &["zpool", "scrub", "-p", DEVICE],
        DiskTool::E2fsck | DiskTool::XfsRepair => {
            return Err(format!("{} cannot be paused", config.tool.name()));
        }
    };
    said(command, config).await.map(drop)
}

async fn said(command: &[&str], config: &DiskCheckConfig) -> Result<String, String> {
    let argv = named(command, &config.device);
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    process::ask(&argv, PATIENCE).await
}

fn named(command: &[&str], device: &str) -> Vec<String> {
    command.iter().map(|word| word.replace(DEVICE, device)).collect()
}

fn resume_command(tool: DiskTool) -> Option<&'static [&'static str]> {
    match tool {
        DiskTool::BtrfsScrub => Some(&["btrfs", "scrub", "resume", "-B", "-d", DEVICE]),
        // The usual command resumes.
        DiskTool::ZpoolScrub | DiskTool::E2fsck | DiskTool::XfsRepair => None,
    }
}

fn status_command(tool: DiskTool) -> Option<&'static [&'static str]> {
    match tool {
        DiskTool::BtrfsScrub => Some(&["btrfs", "scrub", "status", DEVICE]),
        DiskTool::ZpoolScrub => Some(&["zpool", "status", DEVICE]),
        DiskTool::E2fsck | DiskTool::XfsRepair => None,
    }
}
