//! One run of the tool, as it is kept: what is heard of it is counted and stored, until its end or the word that it is not wanted
//! any more.

use std::time::{Duration, Instant};

use salvor_domain::account::Actor;
use salvor_domain::disk_check::{Course as Far, DiskVerdict, Exit, Tally};
use salvor_domain::event::EventKind;
use salvor_domain::job::JobState;

use super::attend::{Course, Facts, Heard};
use super::bench::{Bench, Told};
use super::device::InTheWay;
use super::lines;
use super::process::Signs;
use crate::events;
use crate::restore::store;
use crate::restore::store::disk_checks::{self, DiskCheck, Line, Process, WorkDone};
use crate::restore::work::{Halt, Work};

/// How often it is looked whether there is anything to store, and how often what is new is stored.
const LOOK: Duration = Duration::from_millis(250);
const STORE: Duration = Duration::from_secs(1);
/// Lines that wait to be stored before no more are read.
const MOST_WAITING: usize = 5_000;

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
    bench: &'a Bench<'a>,
    facts: &'a Facts,
    check: DiskCheck,
    how: Course,
    /// Not stored yet.
    fresh: Vec<Line>,
    is_news: bool,
    stored: Instant,
    seen: Signs,
}

impl<'a> Run<'a> {
    pub fn new(
        work: &'a Work,
        bench: &'a Bench<'a>,
        facts: &'a Facts,
        check: DiskCheck,
        how: Course,
    ) -> Self {
        let (fresh, stored, seen) = (Vec::new(), Instant::now(), Signs::default());
        Self { work, bench, facts, check, how, fresh, is_news: false, stored, seen }
    }

    pub async fn finish(mut self) -> Result<Ended, Halt> {
        let mut told = self.bench.run(self.work, self.how)?;
        let ended = self.listen(&mut told).await;
        match ended {
            Ok((exit, was_told_to)) => self.after(exit, was_told_to).await,
            Err(halt) => {
                // Nobody keeps what it does: it must not go on by itself.
                told.end().await;
                Err(halt)
            }
        }
    }

    /// Until the run has ended: how, and whether it was told to.
    async fn listen(&mut self, told: &mut Told) -> Result<(Option<Exit>, bool), Halt> {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let may_hear = self.fresh.len() < MOST_WAITING;
            tokio::select! {
                heard = told.next(), if may_hear => match heard? {
                    Some(Heard::Refused(InTheWay::Person(words))) => return Err(Halt::Fail(words)),
                    Some(Heard::Refused(InTheWay::Held(words))) => return Err(Halt::Stuck(words)),
                    Some(Heard::Started { process, command }) => {
                        self.begin(process, &command);
                        match self.store().await {
                            Ok(()) | Err(Halt::Stopped) => {}
                            Err(halt) => return Err(halt),
                        }
                    }
                    Some(Heard::Output(lines)) => self.told(lines),
                    Some(Heard::Progress(lines)) => self.progressed(&lines),
                    Some(Heard::Signs(seen)) => self.seen(seen),
                    Some(Heard::Status(said)) => self.status(&said),
                    Some(Heard::Ended { exit, was_told_to }) => return Ok((Some(exit), was_told_to)),
                    Some(Heard::Lost { was_told_to }) => return Ok((None, was_told_to)),
                    None => return Err(Halt::Stuck("the process of the check was lost".into())),
                },
                _ = look.tick() => self.store_now_and_then().await,
            }
        }
    }

    fn begin(&mut self, process: Process, command: &str) {
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
        check.process = Some(process);
        let (last_io_at, last_work_at) = (Some(now), Some(now));
        check.work = WorkDone { last_io_at, last_work_at, ..WorkDone::default() };
        self.fresh.push(Line { at: now, text: format!("$ {command}") });
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

    /// Signs of life.
    fn seen(&mut self, seen: Signs) {
        let now = self.work.core.clock.now();
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

    /// The kernel's own work (a scrub) shows only in what its tool answers.
    fn status(&mut self, said: &str) {
        let (before, now) = (self.check.course, self.work.core.clock.now());
        let (mut ignored, course) = (Tally::default(), &mut self.check.course);
        said.lines().for_each(|line| lines::read(self.check.tool, line, &mut ignored, course));
        if self.check.course != before {
            (self.check.work.last_io_at, self.check.work.last_work_at) = (Some(now), Some(now));
            self.is_news = true;
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

    /// Stores how it ended; that it did so because it was told to is no end of the check.
    async fn after(mut self, exit: Option<Exit>, was_told_to: bool) -> Result<Ended, Halt> {
        self.check.exit_code = match exit {
            Some(Exit::Code(code)) => Some(code),
            _ => None,
        };
        if exit.is_some() {
            self.check.process = None;
        }
        match (was_told_to, exit) {
            (false, Some(exit)) => {
                self.store_at_last().await?;
                Ok(Ended { exit, check: self.check })
            }
            (false, None) => Err(Halt::Stuck("the process of the check was lost".into())),
            (true, _) => {
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
            return Ok(Some(format!("{name} could not be ended; it is still at {}", self.facts.device)));
        }
        Ok(match self.why().await? {
            Unwanted::Paused => Some(format!("{name} is paused and goes on where it was when it is resumed")),
            Unwanted::Cancelled => {
                let words = format!("{name} was cancelled: the file system is not checked now");
                (self.check.verdict, self.check.summary) =
                    (Some(DiskVerdict::Unfinished), Some(words.clone()));
                Some(words)
            }
            Unwanted::Here if self.facts.can_pause => None,
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
