//! The worker: leases the segments that are needed most, lane by lane, has their drivers do them, and records how that ended.
//!
//! It takes no input: what to do is in the database, so that it may die at any moment and another one goes on. It wakes on a
//! timer, for work of other processes, and on a nudge. While it holds a segment it renews the lease and looks whether the
//! job is still wanted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use salvor_domain::account::Actor;
use salvor_domain::event::EventKind;
use salvor_domain::ids::JobId;
use salvor_domain::job::{JobKind, JobState, Phase};
use salvor_domain::segment::{LEASE, SegmentState};
use salvor_domain::units;
use salvor_engine::{Control, Progress};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::core::Core;
use crate::database::Tx;
use crate::error::Result;
use crate::events;
use crate::restore::drivers::{self, Outcome, Planned};
use crate::restore::help::{Tried, help};
use crate::restore::lanes::{Lane, Slot, Slots};
use crate::restore::moving::Told;
use crate::restore::places;
use crate::restore::report;
use crate::restore::revival;
use crate::restore::scratch;
use crate::restore::store::segments::{self, Search, Segment};
use crate::restore::store::{self, Job, prune};
use crate::restore::waiting;
use crate::restore::work::{Copy, Halt, Place, Shared, Work, listed};
use crate::volumes::store::{self as volumes, VolumeRow};

/// How often a worker looks for work of other processes.
const WAKE: Duration = Duration::from_millis(500);
/// How often the holder of a segment looks whether the job is still wanted.
const WATCH: Duration = Duration::from_millis(300);
/// Pause after the database failed.
const RECOVER: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub struct Worker {
    core: Core,
    only: Option<JobId>,
    shared: Arc<Shared>,
    processors: usize,
    /// Names this process in the leases that it holds.
    process: String,
    /// Something came to its end here: whoever waits for a job looks at once.
    ended: Arc<Notify>,
}

impl Worker {
    fn new(core: Core, only: Option<JobId>) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let process = core.new_worker_id().to_string();
        Self { core, only, shared: Arc::default(), processors, process, ended: Arc::default() }
    }

    /// Works on every job until `cancel`; what is in hand then is released at its next batch.
    pub async fn run(core: Core, cancel: CancellationToken) {
        Self::new(core, None).until(&cancel).await;
    }

    /// Works on one job alone, beside any other worker, until it ended or cannot go on without a person's word.
    ///
    /// # Errors
    /// When the job's volume is not in the configuration: then it is for other processes.
    pub async fn run_until_ended(core: Core, job: JobId, cancel: CancellationToken) -> Result<()> {
        waiting::is_at_home(&core, job).await?;
        let worker = Self::new(core.clone(), Some(job));
        let done = cancel.child_token();
        let working = worker.until(&done);
        let watching = async {
            let waits = waiting::for_nobody(&core, job, &worker.ended, &cancel).await;
            done.cancel();
            waits
        };
        let ((), ended) = tokio::join!(working, watching);
        ended
    }

    async fn until(&self, cancel: &CancellationToken) {
        self.sweep_scratch();
        let mut slots = Slots::new(self.processors);
        let mut tried = Tried::new();
        let mut running = JoinSet::new();
        let mut held = HashMap::new();
        while !cancel.is_cancelled() {
            match self.next(&slots, &mut tried, cancel).await {
                Ok(Some((slot, work))) => {
                    slots.take(slot);
                    let worker = self.clone();
                    held.insert(running.spawn(async move { worker.hold(work).await }).id(), slot);
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    self.shared.grace.failed(self.core.clock.now());
                    // That the database is away was said once.
                    if !self.core.db.is_away() {
                        tracing::error!(%error, "looking for work failed");
                    }
                    tokio::time::sleep(RECOVER).await;
                }
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                Some(ended) = running.join_next_with_id() => {
                    let id = ended.map_or_else(|broken| broken.id(), |(id, ())| id);
                    if let Some(slot) = held.remove(&id) {
                        slots.give_back(slot);
                    }
                }
                () = self.core.nudge.notified() => {}
                () = tokio::time::sleep(WAKE) => {}
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// What a killed process left of its drills. Nobody waits for it.
    fn sweep_scratch(&self) {
        let data_dir = self.core.config.server.data_dir.clone();
        tokio::task::spawn_blocking(move || match scratch::sweep(&data_dir) {
            0 => {}
            swept => tracing::info!(swept, "scratch that a killed process had left was removed"),
        });
    }

    /// The next segment, for the slot that is to be served first; nothing when no lane with a free slot has work.
    async fn next(
        &self,
        slots: &Slots,
        tried: &mut Tried,
        cancel: &CancellationToken,
    ) -> sqlx::Result<Option<(Slot, (Work, CancellationToken))>> {
        revival::revive(&self.core, self.only).await?;
        let mut tx = self.core.db.read().await?;
        let volumes = self.volumes(&mut tx).await?;
        let waiting = segments::waiting(&mut tx, self.search(&volumes)).await?;
        drop(tx);
        if let Some(slot) = slots.choose(&waiting) {
            let leased = self.lease(slot.lane(), &volumes, cancel).await?;
            return Ok(leased.map(|work| (slot, work)));
        }
        // The lanes that have work are full: one that has none may take some over, and is served next.
        if help(&self.core, slots, &waiting, tried).await? {
            self.core.nudge.notify_one();
        }
        Ok(None)
    }

    /// The volumes that this process can work on: itself, or by an agent that is connected to it. What belongs to others is left to
    /// the processes that know them.
    async fn volumes(&self, tx: &mut Tx) -> sqlx::Result<Vec<i64>> {
        let all = volumes::volumes(tx).await?;
        let agents = &self.core.agents;
        let is_within_reach = |volume: &VolumeRow| {
            let config = self.core.config.volume(&volume.name);
            config.is_some_and(|config| config.host.as_ref().is_none_or(|host| agents.is_connected(host)))
        };
        Ok(all.into_iter().filter(is_within_reach).map(|volume| volume.id).collect())
    }

    fn search<'a>(&self, volumes: &'a [i64]) -> Search<'a> {
        Search { now: self.core.clock.now(), only: self.only, volumes }
    }

    /// Takes the segment of a lane that is needed most.
    async fn lease(
        &self,
        lane: Lane,
        volumes: &[i64],
        cancel: &CancellationToken,
    ) -> sqlx::Result<Option<(Work, CancellationToken)>> {
        let mut tx = self.core.db.begin().await?;
        let search = self.search(volumes);
        let Some(first) = segments::candidate(&mut tx, search, lane).await? else { return Ok(None) };
        // The job's row is held before the segment's, as everywhere; meanwhile another worker may have taken it.
        let Some(mut job) = store::lock(&mut tx, first.job).await? else { return Ok(None) };
        let search = Search { only: Some(job.id), ..self.search(volumes) };
        let Some(segment) = segments::candidate(&mut tx, search, lane).await? else { return Ok(None) };
        let Some(place) = self.place(&mut tx, &job).await? else { return Ok(None) };
        // A name for each lease: two drivers of one process must not pass for each other.
        let holder = self.core.new_worker_id();
        let now = search.now;
        let Some(leased) = self.shared.grace.lease(segment.state, holder, now) else { return Ok(None) };
        job.start_clock(segments::held_until(&mut tx, job.id).await?, now);
        segments::save_state(&mut tx, segment.id, leased).await?;
        segments::set_process(&mut tx, segment.id, &self.process).await?;
        store::save(&mut tx, &job).await?;
        tx.commit().await?;
        // Before the first byte moves; a database that fails now is noticed by the next look.
        if let Err(error) = self.shared.paces.refresh(&self.core, &place, job.id).await {
            tracing::warn!(%error, job = %job.id, "the limits of a job could not be read");
        }
        let returns = self.shared.returns(job.id);
        // A gentle job does one thing at a time.
        let threads = if job.limits.gentle { 1 } else { self.processors };
        let work = Work {
            core: self.core.clone(),
            worker: holder,
            segment: Segment { state: leased, ..segment },
            job,
            place,
            control: Control::new(),
            progress: Progress::new(),
            shared: self.shared.clone(),
            since: now,
            returns,
            threads,
        };
        Ok(Some((work, cancel.clone())))
    }

    /// The volume of a job, as it is configured here.
    async fn place(&self, tx: &mut Tx, job: &Job) -> sqlx::Result<Option<Place>> {
        let Some(volume) = volumes::volume_by_id(tx, job.volume_id).await? else { return Ok(None) };
        let Some(config) = self.core.config.volume(&volume.name) else { return Ok(None) };
        let rows = volumes::copies(tx, volume.id).await?;
        let row_of = |name: &str| rows.iter().find(|row| row.name == name).cloned();
        let copies = config
            .copies
            .iter()
            .filter_map(|copy| Some(Copy { row: row_of(&copy.name)?, config: copy.clone() }))
            .collect();
        Ok(Some(Place { volume, config: config.clone(), copies }))
    }

    /// Has the driver do a segment while its lease is kept, and records the end.
    async fn hold(&self, (work, cancel): (Work, CancellationToken)) {
        let _left_behind = LeftBehind(work.control.clone());
        let driven = {
            let driving = drivers::drive(&work);
            let watching = watch(&work, &cancel);
            let silence = places::silence(&work);
            tokio::pin!(driving, watching, silence);
            let mut is_watched = true;
            loop {
                tokio::select! {
                    driven = &mut driving => break driven,
                    // The driver ends at its next batch; what it has done by then is recorded.
                    () = &mut watching, if is_watched => is_watched = false,
                    // Its threads are left behind: they record nothing, and stop when they come back.
                    why = &mut silence => {
                        work.control.cancel();
                        break Err(Halt::Stuck(why));
                    }
                }
            }
        };
        let ended = match driven {
            Ok(Outcome::Planned(planned)) => end_plan(&work, *planned).await,
            Ok(Outcome::Worked) => end_work(&work).await,
            Err(halt) => Err(halt),
        };
        if let Err(halt) = ended {
            let halt = patient(&work, halt).await;
            if let Err(error) = give_back(&work, halt).await {
                tracing::error!(%error, job = %work.job.id, "a segment could not be given back; its lease will run out");
            }
        }
        self.core.nudge.notify_one();
        self.ended.notify_one();
    }
}

/// Threads of a driver that nobody waits for any more, in whatever way it ended. Those that keep within a limit of nothing would
/// stay for ever.
struct LeftBehind(Control);

impl Drop for LeftBehind {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Keeps the lease, and returns when the job is to go no further: after telling the engine.
async fn watch(work: &Work, cancel: &CancellationToken) {
    let mut renewed_at = work.core.clock.now();
    let mut told = Told::new();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return work.control.pause(),
            () = tokio::time::sleep(WATCH) => {}
        }
        let now = work.core.clock.now();
        let looked = if now - renewed_at >= LEASE / 3 {
            renewed_at = now;
            renew(work).await
        } else {
            is_wanted(work).await
        };
        if let Err(error) = told.tell(work).await {
            tracing::warn!(%error, job = %work.job.id, "what has moved could not be told");
        }
        match looked {
            Ok(true) => {}
            Ok(false) => return work.control.cancel(),
            // The lease outlasts a hiccup of the database; if it does not, the driver's next commit says so.
            Err(error) => tracing::warn!(%error, job = %work.job.id, "a lease could not be looked at"),
        }
    }
}

/// Whether the job is still wanted; and how fast, which may have changed.
async fn is_wanted(work: &Work) -> sqlx::Result<bool> {
    work.shared.paces.refresh(&work.core, &work.place, work.job.id).await
}

async fn renew(work: &Work) -> sqlx::Result<bool> {
    let mut tx = work.core.db.begin().await?;
    let Some(segment) = segments::lock(&mut tx, work.segment.id).await? else { return Ok(false) };
    let Ok(renewed) = segment.state.renew(work.worker, work.core.clock.now()) else { return Ok(false) };
    segments::save_state(&mut tx, segment.id, renewed).await?;
    tx.commit().await?;
    is_wanted(work).await
}

async fn end_plan(work: &Work, planned: Planned) -> Result<(), Halt> {
    let now = work.core.clock.now();
    let (mut tx, mut job) = work.begin_end().await?;
    complete(work, &mut tx, &job).await?;
    (job.files, job.bytes, job.plan) = (planned.files, planned.bytes, Some(planned.plan));
    // A plan that came to its end just as the job was paused is kept: the job resumes with its work.
    let state = match job.state.clone() {
        JobState::Paused { since, by, reason, during: Phase::Planning, tries_again_at } if job.approved => {
            JobState::Paused { since, by, reason, during: Phase::Running, tries_again_at }
        }
        planning @ JobState::Planning { .. } => planning
            .plan_ready(job.approved || job.dry_run, now)
            .map_err(|why| Halt::Fail(why.to_string()))?,
        JobState::Paused { .. } => {
            segments::reopen_plan(&mut tx, job.id).await?;
            job.state.clone()
        }
        other => other,
    };
    let job = revival::settle(&mut tx, job.moved(state, now), true, now).await?;
    let salvor = Actor::salvor();
    events::record(&mut tx, now, &salvor, EventKind::JobPlanned, job.id, &planned.summary).await?;
    let job = finish_if_done(&work.core, &mut tx, job, now).await?;
    let committed = work.commit(tx, &job).await;
    work.core.nudge.notify_one();
    match committed {
        // The segment is done; that the job goes no further is nobody's business here.
        Ok(()) | Err(Halt::Stopped) => Ok(()),
        Err(halt) => Err(halt),
    }
}

async fn end_work(work: &Work) -> Result<(), Halt> {
    let (mut tx, job) = work.begin_end().await?;
    complete(work, &mut tx, &job).await?;
    let job = revival::settle(&mut tx, job, true, work.core.clock.now()).await?;
    let job = finish_if_done(&work.core, &mut tx, job, work.core.clock.now()).await?;
    let job = revival::hold_up(&mut tx, job, work.core.clock.now()).await?;
    match work.commit(tx, &job).await {
        Ok(()) | Err(Halt::Stopped) => Ok(()),
        Err(halt) => Err(halt),
    }
}

async fn complete(work: &Work, tx: &mut Tx, job: &Job) -> Result<(), Halt> {
    let segment = segments::lock(tx, work.segment.id).await?.ok_or(Halt::Lost)?;
    let done: SegmentState =
        segment.state.complete(work.worker, work.core.clock.now()).map_err(|_| Halt::Lost)?;
    segments::save_state(tx, segment.id, done).await?;
    Ok(prune::segment_done(tx, job, segment.id).await?)
}

/// A running job without open segments has come to its end: whoever sets one running asks this, since no worker will.
pub async fn finish_if_done(
    core: &Core,
    tx: &mut Tx,
    job: Job,
    now: chrono::DateTime<chrono::Utc>,
) -> sqlx::Result<Job> {
    let Ok(finished) = job.state.clone().finish(now) else { return Ok(job) };
    if !job.dry_run && segments::open_count(tx, job.id).await? > 0 {
        return Ok(job);
    }
    match job.kind() {
        JobKind::Check => drivers::check::finish(tx, &job, now).await?,
        JobKind::Protect => drivers::protect::finish(core, tx, &job).await?,
        JobKind::Restore => drivers::restore::finish(tx, &job, now).await?,
        JobKind::Reunite => drivers::reunite::finish(tx, &job, now).await?,
        JobKind::Drill => drivers::drill::finish(tx, &job, now).await?,
        JobKind::DiskCheck => drivers::disk_check::finish(tx, &job, now).await?,
    }
    let job = job.moved(finished, now);
    let summary = report::sentence(&report::at_end(tx, job.clone(), now).await?);
    events::record(tx, now, &Actor::salvor(), EventKind::JobFinished, job.id, &summary).await?;
    Ok(job)
}

/// A database that fails is given time; where it fails again and again, the job says so.
async fn patient(work: &Work, halt: Halt) -> Halt {
    const ATTEMPTS: usize = 10;
    let Halt::Database(error) = &halt else { return halt };
    tracing::error!(%error, job = %work.job.id, "the database failed under a segment");
    tokio::time::sleep(RECOVER).await;
    if work.shared.may_note(work.job.id, "database", ATTEMPTS) {
        return halt;
    }
    Halt::Stuck("the database does not keep what comes of it; the details are in Salvor's log".into())
}

/// A segment that was not done: for whom it is now, and what that means for the job.
async fn give_back(work: &Work, halt: Halt) -> sqlx::Result<()> {
    if matches!(halt, Halt::Lost) {
        return Ok(());
    }
    let now = work.core.clock.now();
    let mut tx = work.core.db.begin().await?;
    let Some(job) = store::lock(&mut tx, work.job.id).await? else { return Ok(()) };
    let Some(segment) = segments::lock(&mut tx, work.segment.id).await? else { return Ok(()) };
    // Another one has it now: what stands against the job, if anything does, is for that one to meet.
    let Ok(released) = segment.state.release(work.worker) else { return Ok(()) };
    segments::save_state(&mut tx, segment.id, released).await?;
    match halt {
        Halt::Stuck(reason) => {
            let job = revival::stick(&mut tx, job, &reason, now).await?;
            store::save(&mut tx, &job).await?;
        }
        // Its next try asks anew, at once.
        Halt::Away(_) if work.is_overtaken() => {}
        Halt::Away(absent) => {
            for copy in &absent {
                work.note_absent(&mut tx, copy).await?;
            }
            revival::rest(&mut tx, &segment, listed(&absent), work.since, now).await?;
            let job = revival::hold_up(&mut tx, job, now).await?;
            store::save(&mut tx, &job).await?;
        }
        Halt::Pause(reason) => pause(&mut tx, job, &reason, now).await?,
        Halt::Fail(reason) => fail(&mut tx, job, &reason, now).await?,
        Halt::Stopped | Halt::Lost | Halt::Database(_) => {}
    }
    tx.commit().await
}

/// Salvor itself pauses the job, which then waits for a person.
pub async fn pause(
    tx: &mut Tx,
    job: Job,
    reason: &str,
    now: chrono::DateTime<chrono::Utc>,
) -> sqlx::Result<()> {
    let salvor = Actor::salvor();
    let Ok(state) = job.state.clone().pause(salvor.name.clone(), reason.to_owned(), now) else {
        return Ok(());
    };
    let job = job.moved(state, now);
    store::save(tx, &job).await?;
    events::record(tx, now, &salvor, EventKind::JobPaused, job.id, &format!("Paused: {reason}.")).await
}

async fn fail(tx: &mut Tx, job: Job, reason: &str, now: chrono::DateTime<chrono::Utc>) -> sqlx::Result<()> {
    let Ok(state) = job.state.clone().fail(reason.to_owned(), now) else { return Ok(()) };
    let job = job.moved(state, now);
    store::save(tx, &job).await?;
    let after = units::duration(job.active_seconds_at(now));
    let sentence = format!("The {} could not go on after {after}: {reason}.", job.kind().in_words());
    events::record(tx, now, &Actor::salvor(), EventKind::JobFailed, job.id, &sentence).await
}
