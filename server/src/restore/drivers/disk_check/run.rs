//! One run of the tool, from its start to its end or to the word that it is not wanted any more.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use salvor_domain::account::Actor;
use salvor_domain::disk_check::{Course as Far, DEVICE, DiskTool, DiskVerdict, Exit, Tally};
use salvor_domain::event::EventKind;
use salvor_domain::job::JobState;

use super::lines;
use super::process::{self, Running, Signs, signs};
use crate::config::DiskCheckConfig;
use crate::events;
use crate::restore::store;
use crate::restore::store::disk_checks::{self, DiskCheck, Line, Process, WorkDone};
use crate::restore::work::{Halt, Work};

/// How often it is looked whether the run is still wanted, and how it is.
const LOOK: Duration = Duration::from_millis(250);
/// How often it is looked what its processes do, how often what is new is stored, and how often a scrub is asked how far it is.
const STORE: Duration = Duration::from_secs(1);
const ASK: Duration = Duration::from_secs(5);
/// From the word to end to the signal that nothing withstands, and from there to giving up.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is read after the process has ended: others may hold its pipes for ever.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Lines that wait to be stored before no more are read.
const MOST_WAITING: usize = 5_000;

/// How a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    First,
    /// After one that repaired something.
    Anew,
    /// Where it was (scrubs).
    Resumed,
}

pub struct Ended {
    pub exit: Exit,
    pub check: DiskCheck,
}

/// Why it is to end before its end.
enum Unwanted {
    Paused,
    Cancelled,
    /// This process ends, or another one holds the segment.
    Here,
}

pub struct Run<'a> {
    work: &'a Work,
    config: &'a DiskCheckConfig,
    check: DiskCheck,
    how: Course,
    /// Not stored yet.
    fresh: Vec<Line>,
    is_news: bool,
    stored: Instant,
    asked: Instant,
    looked: Instant,
    seen: Signs,
    /// The word to end was given, then.
    told_to_end: Option<Instant>,
    killed: bool,
}

impl<'a> Run<'a> {
    pub fn new(work: &'a Work, config: &'a DiskCheckConfig, check: DiskCheck, how: Course) -> Self {
        let now = Instant::now();
        Self {
            work,
            config,
            check,
            how,
            fresh: Vec::new(),
            is_news: false,
            stored: now,
            asked: now,
            looked: now,
            seen: Signs::default(),
            told_to_end: None,
            killed: false,
        }
    }

    pub async fn finish(mut self) -> Result<Ended, Halt> {
        let mut running = process::start(&self.argv()).map_err(Halt::Fail)?;
        self.begin(&running);
        match self.store().await {
            Ok(()) | Err(Halt::Stopped) => {}
            Err(halt) => {
                // Nothing is known of it in the database: it must not go on by itself.
                process::signal(running.process, Signal::KILL);
                let _ = process::ended(&mut running.child).await;
                return Err(halt);
            }
        }
        let exit = self.attend(&mut running).await;
        self.last_words(&mut running).await;
        self.after(exit).await
    }

    fn argv(&self) -> Vec<String> {
        match (self.how, resume_command(self.config.tool)) {
            (Course::Resumed, Some(command)) => named(command, &self.config.device),
            _ => self.config.argv(),
        }
    }

    fn begin(&mut self, running: &Running) {
        let now = self.work.core.clock.now();
        let check = &mut self.check;
        if self.how == Course::First {
            (check.began_at, check.tally.changed) = (Some(now), false);
        }
        if self.how != Course::Resumed {
            check.round += 1;
            check.course = Far::default();
        }
        // A scrub says at its end what all of it found.
        if check.tool.is_scrub() {
            check.tally = Tally::default();
        }
        (check.exit_code, check.verdict, check.summary) = (None, None, None);
        check.process = Some(running.process);
        let (last_io_at, last_work_at) = (Some(now), Some(now));
        check.work = WorkDone { last_io_at, last_work_at, ..WorkDone::default() };
        let command = process::typed(&self.argv());
        self.fresh.push(Line { at: now, text: format!("$ {command}") });
    }

    /// Reads, watches and stores until the process has ended; `None` when it cannot be made to.
    async fn attend(&mut self, running: &mut Running) -> Option<Exit> {
        let Running { child, process, output, progress } = running;
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let may_read = self.fresh.len() < MOST_WAITING;
            tokio::select! {
                lines = progress.next() => self.progressed(&lines),
                lines = output.next(), if may_read => self.told(lines),
                ended = process::ended(child) => match ended {
                    Ok(exit) => return Some(exit),
                    Err(error) => {
                        tracing::error!(error, job = %self.work.job.id, "a disk check was lost");
                        return None;
                    }
                },
                _ = look.tick() => {
                    self.look(*process).await;
                    self.store_now_and_then().await;
                    if self.is_to_end(*process).await {
                        return None;
                    }
                }
            }
        }
    }

    fn progressed(&mut self, told: &[String]) {
        let before = self.check.course;
        told.iter().for_each(|line| lines::progress(line, &mut self.check.course));
        self.is_news |= self.check.course != before;
    }

    fn told(&mut self, told: Vec<String>) {
        let at = self.work.core.clock.now();
        for text in told {
            lines::read(self.check.tool, &text, &mut self.check.tally, &mut self.check.course);
            self.fresh.push(Line { at, text });
        }
    }

    /// Signs of life; the kernel's own work (a scrub) shows only in what its tool answers.
    async fn look(&mut self, process: Process) {
        if self.looked.elapsed() < STORE {
            return;
        }
        self.looked = Instant::now();
        let now = self.work.core.clock.now();
        let group = process.pid;
        if let Ok(seen) = tokio::task::spawn_blocking(move || signs(group)).await {
            let work = &mut self.check.work;
            let has_moved =
                seen.read_bytes > self.seen.read_bytes || seen.written_bytes > self.seen.written_bytes;
            if has_moved || seen.ticks > self.seen.ticks {
                work.last_work_at = Some(now);
            }
            if has_moved {
                work.last_io_at = Some(now);
                // What a process that has ended moved is not in the sum any more.
                work.read_bytes = work.read_bytes.max(seen.read_bytes);
                work.written_bytes = work.written_bytes.max(seen.written_bytes);
                self.is_news = true;
            }
            self.seen = seen;
        }
        if let Some(command) = status_command(self.check.tool).filter(|_| self.asked.elapsed() >= ASK) {
            self.asked = Instant::now();
            let before = self.check.course;
            if let Ok(said) = said(command, self.config).await {
                let mut ignored = Tally::default();
                let course = &mut self.check.course;
                said.lines().for_each(|line| lines::read(self.check.tool, line, &mut ignored, course));
            }
            if self.check.course != before {
                (self.check.work.last_io_at, self.check.work.last_work_at) = (Some(now), Some(now));
                self.is_news = true;
            }
        }
    }

    /// A database that is away for a moment does not end a check that takes all night.
    async fn store_now_and_then(&mut self) {
        let is_due = self.stored.elapsed() >= STORE || self.fresh.len() >= MOST_WAITING;
        if !is_due || (self.fresh.is_empty() && !self.is_news) {
            return;
        }
        match self.store().await {
            Ok(()) | Err(Halt::Stopped) => {}
            Err(Halt::Lost) => self.work.control.cancel(),
            Err(error) => {
                self.stored = Instant::now();
                tracing::warn!(%error, job = %self.work.job.id, "what a disk check said could not be stored yet");
            }
        }
    }

    async fn store(&mut self) -> Result<(), Halt> {
        let (mut tx, job) = self.work.begin().await?;
        let mut check = self.check.clone();
        disk_checks::add_lines(&mut tx, job.id, check.lines, &self.fresh).await?;
        check.lines += self.fresh.len() as u64;
        disk_checks::save(&mut tx, job.id, &check).await?;
        let kept = self.work.commit(tx, &job).await;
        if matches!(kept, Ok(()) | Err(Halt::Stopped)) {
            self.check = check;
            self.fresh.clear();
            (self.is_news, self.stored) = (false, Instant::now());
        }
        kept
    }

    /// Ends a run that is not wanted any more; true when the process withstands everything.
    async fn is_to_end(&mut self, process: Process) -> bool {
        match self.told_to_end {
            None if self.work.control.stop().is_some() => {
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
        while running.output.is_open() {
            let Ok(lines) = tokio::time::timeout_at(deadline, running.output.next()).await else { break };
            self.told(lines);
        }
        while running.progress.is_open() {
            let Ok(lines) = tokio::time::timeout_at(deadline, running.progress.next()).await else { break };
            self.progressed(&lines);
        }
        if self.told_to_end.is_none() && self.check.tool == DiskTool::ZpoolScrub {
            // `zpool scrub -w` itself says nothing.
            let said = said(&["zpool", "status", DEVICE], self.config).await;
            self.told(said.unwrap_or_else(|why| why).lines().map(str::to_owned).collect());
        }
    }

    /// Stores how it ended; that it did so because it was told to is no end of the check.
    async fn after(mut self, exit: Option<Exit>) -> Result<Ended, Halt> {
        self.check.exit_code = match exit {
            Some(Exit::Code(code)) => Some(code),
            _ => None,
        };
        if exit.is_some() {
            self.check.process = None;
        }
        match (self.told_to_end, exit) {
            (None, Some(exit)) => {
                self.store_at_last().await?;
                Ok(Ended { exit, check: self.check })
            }
            (None, None) => Err(Halt::Stuck("the process of the check was lost".into())),
            (Some(_), _) => {
                let note = self.stopped_words(exit.is_some()).await?;
                let stored = self.store_at_last().await;
                if let Some(note) = note {
                    self.note(&note).await?;
                }
                stored.and(Err(Halt::Stopped))
            }
        }
    }

    /// The end must be known: a database that is away is waited for.
    async fn store_at_last(&mut self) -> Result<(), Halt> {
        const TRIES: usize = 60;
        for _ in 0..TRIES {
            match self.store().await {
                Err(Halt::Database(error)) => {
                    tracing::warn!(%error, job = %self.work.job.id, "the end of a disk check could not be stored yet");
                    tokio::time::sleep(STORE).await;
                }
                other => return other,
            }
        }
        self.store().await
    }

    /// What the job's log says of a run that was stopped.
    async fn stopped_words(&mut self, has_ended: bool) -> Result<Option<String>, Halt> {
        let name = self.check.tool.name();
        if !has_ended {
            return Ok(Some(format!("{name} could not be ended; it is still at {}", self.config.device)));
        }
        Ok(match self.why().await? {
            Unwanted::Paused => Some(format!("{name} is paused and goes on where it was when it is resumed")),
            Unwanted::Cancelled => {
                let words = format!("{name} was cancelled: the file system is not checked now");
                (self.check.verdict, self.check.summary) =
                    (Some(DiskVerdict::Unfinished), Some(words.clone()));
                Some(words)
            }
            Unwanted::Here if self.config.can_pause() => None,
            Unwanted::Here => {
                Some(format!("{name} was stopped with Salvor; the file system is not checked now"))
            }
        })
    }

    async fn why(&self) -> Result<Unwanted, Halt> {
        let mut tx = self.work.core.db.read().await?;
        let job = store::job(&mut tx, self.work.job.id).await?;
        Ok(match job.map(|job| job.state) {
            Some(JobState::Paused { .. }) => Unwanted::Paused,
            Some(JobState::Cancelled { .. }) => Unwanted::Cancelled,
            _ => Unwanted::Here,
        })
    }

    async fn note(&self, words: &str) -> Result<(), Halt> {
        let (mut tx, job) = self.work.begin().await?;
        let (now, salvor) = (self.work.core.clock.now(), Actor::salvor());
        events::record(&mut tx, now, &salvor, EventKind::JobNote, job.id, &format!("{words}.")).await?;
        Ok(tx.commit().await?)
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
