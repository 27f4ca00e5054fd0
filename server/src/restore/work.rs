//! One segment in the hands of one worker: what the drivers work with, and how they record what came of it.
//!
//! Invariant: everything that a driver records goes through [`Work::begin`] and [`Work::commit`], which hold the job's and the
//! segment's rows: only the holder of the lease records, so that nothing is counted twice, and a job that was paused or
//! cancelled is noticed at the end of each batch.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use salvor_domain::account::Actor;
use salvor_domain::event::EventKind;
use salvor_domain::ids::{JobId, WorkerId};
use salvor_domain::progress::Sample;
use salvor_domain::units;
use salvor_engine::{
    Control, CopyTarget, Gate, Label, Progress, RateLimit, Root, Sink, Source, SourceFault, SourceHandle,
    TargetPlace,
};

use crate::agents::Duty;
use crate::config::{CopyConfig, VolumeConfig};
use crate::core::Core;
use crate::database::Tx;
use crate::events;
use crate::restore::grace::Grace;
use crate::restore::hands::{Hands, There};
use crate::restore::lanes::Lane;
use crate::restore::need::Rank;
use crate::restore::pace::Paces;
use crate::restore::store::{self, Job, figures, moving, resting, segments};
use crate::restore::{admission, places, revival};
use crate::volumes::reach;
use crate::volumes::store::{self as volumes, CopyRow, VolumeRow};

/// Why a driver ended before its segment was done.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// The job was paused or cancelled, or this process is to end.
    #[error("stopped")]
    Stopped,
    /// Another worker has the segment now.
    #[error("another worker holds the segment")]
    Lost,
    /// Every further file would meet the same, and it may pass: the job is tried again by itself.
    #[error("{0}")]
    Stuck(String),
    /// Files of this segment wait for copies that are away; others of the job may go on.
    #[error("{}", listed(.0))]
    Away(Vec<Absent>),
    /// It takes a person's word to go on.
    #[error("{0}")]
    Pause(String),
    /// The job cannot run.
    #[error("{0}")]
    Fail(String),
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
}

impl Halt {
    pub fn panicked(error: tokio::task::JoinError) -> Self {
        tracing::error!(%error, "a worker's thread broke down");
        Self::Fail("Salvor itself broke down at it; the details are in its log".into())
    }
}

/// A copy that is out of reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// Its place among [`Place::copies`].
    pub copy: usize,
    pub name: String,
    pub why: String,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the copy \"{}\" is out of reach: {}", self.name, self.why)
    }
}

/// `the copy "local" is out of reach: the folder /backup does not exist; the copy "offsite" is …`
pub fn listed(absent: &[Absent]) -> String {
    absent.iter().map(Absent::to_string).collect::<Vec<_>>().join("; ")
}

/// A copy that is configured, with its row.
#[derive(Debug, Clone)]
pub struct Copy {
    pub config: CopyConfig,
    pub row: CopyRow,
}

/// The volume of a job as this process has it configured.
#[derive(Debug, Clone)]
pub struct Place {
    pub volume: VolumeRow,
    pub config: VolumeConfig,
    /// In order of preference.
    pub copies: Vec<Copy>,
}

/// A batch that is being moved just now, until nobody waits for it any more.
struct Busy(Arc<AtomicUsize>);

impl Busy {
    /// With how many there are in the lane, itself included.
    fn in_lane(shared: &Shared, lane: Lane) -> (Self, usize) {
        let busy = shared.busy(lane);
        let side_by_side = busy.fetch_add(1, Ordering::Relaxed) + 1;
        (Self(busy), side_by_side)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the segments that one process works on have in common.
#[derive(Debug, Default)]
pub struct Shared {
    /// The limits of copies and jobs, which all of this process keep within together.
    pub paces: Paces,
    pub grace: Grace,
    /// One for each copy, which bears so many readers of this process and no more.
    gates: Mutex<HashMap<(String, String), Gate>>,
    /// How often something of a kind was noted in a job's log.
    noted: Mutex<HashMap<(JobId, String), usize>>,
    /// How often copies that were away came back, for each job.
    returns: Mutex<HashMap<JobId, usize>>,
    /// Batches of files that are being moved just now, by lane: lanes do not take time from each other.
    busy: Mutex<HashMap<Lane, Arc<AtomicUsize>>>,
}

impl Shared {
    fn busy(&self, lane: Lane) -> Arc<AtomicUsize> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.entry(lane).or_default().clone()
    }

    fn gate(&self, volume: &str, copy: &CopyConfig, source: &dyn Source) -> Gate {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = gates.entry((volume.to_owned(), copy.name.clone()));
        gate.or_insert_with(|| Gate::new(source.parallel())).clone()
    }

    /// Whether this may be noted once more: `most` times for each job and kind of note.
    pub fn may_note(&self, job: JobId, what: &str, most: usize) -> bool {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let count = noted.entry((job, what.to_owned())).or_default();
        *count += 1;
        *count <= most
    }

    /// What was noted is over: should it come again, that is news.
    fn forget_note(&self, job: JobId, what: &str) {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).remove(&(job, what.to_owned()));
    }

    pub fn returns(&self, job: JobId) -> usize {
        let returns = self.returns.lock().unwrap_or_else(PoisonError::into_inner);
        returns.get(&job).copied().unwrap_or_default()
    }

    fn count_return(&self, job: JobId) {
        *self.returns.lock().unwrap_or_else(PoisonError::into_inner).entry(job).or_default() += 1;
    }
}

/// What notes of a copy that is away are counted under.
fn absent_note(copy: &str) -> String {
    format!("away {copy}")
}

pub struct Work {
    pub core: Core,
    pub worker: WorkerId,
    pub segment: segments::Segment,
    /// As it was when the segment was leased.
    pub job: Job,
    pub place: Place,
    pub control: Control,
    pub progress: Progress,
    pub shared: Arc<Shared>,
    /// When the segment was leased.
    pub since: DateTime<Utc>,
    /// As they were counted then.
    pub returns: usize,
    /// For each batch.
    pub threads: usize,
}

impl Work {
    /// Begins the transaction that records a part of this segment, and holds the job.
    pub async fn begin(&self) -> Result<(Tx, Job), Halt> {
        let tx = self.core.db.begin().await?;
        self.begun(tx).await
    }

    /// As [`Work::begin`], for a transaction in which the job may end: that writes to its volume, whose row is held before
    /// the job's, as whoever changes the mode holds them.
    pub async fn begin_end(&self) -> Result<(Tx, Job), Halt> {
        let mut tx = self.core.db.begin().await?;
        volumes::hold(&mut tx, self.place.volume.id).await?;
        self.begun(tx).await
    }

    async fn begun(&self, mut tx: Tx) -> Result<(Tx, Job), Halt> {
        let job = store::lock(&mut tx, self.job.id).await?.ok_or(Halt::Lost)?;
        let segment = segments::lock(&mut tx, self.segment.id).await?.ok_or(Halt::Lost)?;
        let renewed = segment.state.renew(self.worker, self.core.clock.now()).map_err(|_| Halt::Lost)?;
        segments::save_state(&mut tx, self.segment.id, renewed).await?;
        Ok((tx, job))
    }

    /// Ends it. `Halt::Stopped` when the job is to go no further: what was recorded is.
    pub async fn commit(&self, mut tx: Tx, job: &Job) -> Result<(), Halt> {
        self.keep_sample(&mut tx, job).await?;
        let job = revival::settle(&mut tx, job.clone(), false, self.core.clock.now()).await?;
        store::save(&mut tx, &job).await?;
        tx.commit().await?;
        let stopped = !job.state.is_active() || self.control.stop().is_some();
        if stopped { Err(Halt::Stopped) } else { Ok(()) }
    }

    /// Keeps how far the job is just now, with what is on its way.
    pub async fn keep_sample(&self, tx: &mut Tx, job: &Job) -> sqlx::Result<()> {
        let now = self.core.clock.now();
        let moving = moving::of_job(tx, job.id, now).await?;
        let copies =
            self.place.copies.iter().map(|copy| (copy.row.name.clone(), moving.of_copy(copy.row.bit)));
        let by_copy = copies.filter(|(_, bytes)| *bytes > 0).collect();
        let sample = Sample {
            active_seconds: job.active_seconds_at(now),
            files: job.files.done,
            bytes: job.bytes.done + moving.bytes,
        };
        figures::add_sample(tx, job.id, now, sample, &by_copy).await
    }

    /// Writes into the job's log, at most `most` notes of a kind.
    pub async fn note(&self, tx: &mut Tx, what: &str, most: usize, note: &str) -> sqlx::Result<()> {
        if !self.shared.may_note(self.job.id, what, most) {
            return Ok(());
        }
        let now = self.core.clock.now();
        events::record(tx, now, &Actor::salvor(), EventKind::JobNote, self.job.id, note).await
    }

    /// A copy did not give what it should: into the log, for the first twenty of each copy.
    pub async fn refuse_copy(&self, tx: &mut Tx, copy: &str, sentence: &str) -> sqlx::Result<()> {
        const MOST: usize = 20;
        if !self.shared.may_note(self.job.id, copy, MOST) {
            return Ok(());
        }
        let now = self.core.clock.now();
        events::record(tx, now, &Actor::salvor(), EventKind::CopyRefused, self.job.id, sentence).await
    }

    /// Opens a folder. One that hangs holds up nobody else, and the job not for ever.
    pub async fn open_folder(&self, path: &Path) -> Result<Arc<Root>, String> {
        reach::open(path, self.core.patience.job).await.map_err(|away| away.to_string())
    }

    /// Asks about a folder that is open, with the same patience.
    pub async fn ask_folder<T: Send + 'static>(
        &self,
        root: &Arc<Root>,
        question: impl FnOnce(&Root) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let asked = root.clone();
        let answer = reach::ask(root.path(), self.core.patience.job, move || question(&asked)).await;
        answer.map_err(|away| away.to_string())?
    }

    /// Whether a folder is still the one that was opened.
    pub async fn still_there(&self, root: &Arc<Root>) -> Result<(), Halt> {
        self.ask_folder(root, Root::reachable).await.map_err(Halt::Stuck)
    }

    /// Whether a copy of this job came back since the segment was leased: then what was found away here may have been so before.
    pub fn is_overtaken(&self) -> bool {
        self.shared.returns(self.job.id) != self.returns
    }

    /// A copy is away: into the log, once until it is back.
    pub async fn note_absent(&self, tx: &mut Tx, absent: &Absent) -> sqlx::Result<()> {
        if self.is_overtaken() {
            return Ok(());
        }
        self.note(tx, &absent_note(&absent.name), 1, &absent.to_string()).await
    }

    /// The copy of this segment's lane has answered. Where files rested because it was away, that goes into the log, and all of
    /// them are due.
    pub async fn lane_is_back(&self, tx: &mut Tx) -> sqlx::Result<()> {
        let Some(copy) = self.place.copies.iter().find(|copy| Some(copy.row.bit) == self.segment.source_bit)
        else {
            return Ok(());
        };
        let Some(stuck) = resting::wake(tx, self.job.id, self.segment.source_bit).await? else {
            return Ok(());
        };
        let (name, now) = (&copy.config.name, self.core.clock.now());
        self.shared.forget_note(self.job.id, &absent_note(name));
        self.shared.count_return(self.job.id);
        let seconds = (now - stuck.since).num_milliseconds() as f64 / 1000.0;
        let note = format!("the copy \"{name}\" is back after {}", units::duration(seconds.max(0.0)));
        events::record(tx, now, &Actor::salvor(), EventKind::JobNote, self.job.id, &note).await
    }

    /// The volume's folder, wherever it lies.
    pub async fn volume(&self) -> Result<Hands, String> {
        let config = &self.place.config;
        let hands = match &config.host {
            None => Hands::Here(self.open_folder(&config.path).await?),
            Some(host) => {
                let patience = self.core.patience.job;
                Hands::There(There::open(&self.core.agents, host, &config.name, patience).await?)
            }
        };
        places::confirm_volume(self, &hands).await?;
        Ok(hands)
    }

    /// The volume's folder, for jobs that are done only where it can be opened.
    pub async fn volume_root(&self) -> Result<Arc<Root>, String> {
        match self.volume().await? {
            Hands::Here(root) => Ok(root),
            Hands::There(_) => Err(admission::not_there(&self.place.config, self.job.kind())),
        }
    }

    /// What an agent shares with whoever waits here.
    pub fn duty(&self) -> Duty {
        Duty { control: self.control.clone(), progress: self.progress.clone(), limit: self.job_limit() }
    }

    /// The copies that can be read now, with their place in [`Place::copies`]; and those that cannot.
    pub async fn open_sources(
        &self,
        wanted: impl Fn(&Copy) -> bool + Send,
    ) -> (Vec<(usize, SourceHandle)>, Vec<Absent>) {
        let patience = self.core.patience.job;
        let copies = self.place.copies.iter().enumerate().filter(|(_, copy)| wanted(copy));
        // All at once, so that one that hangs is waited for beside the others and not before them.
        let openings = copies.map(|(index, copy)| async move {
            let opened = tokio::time::timeout(patience, self.open_source(copy)).await;
            let silent =
                || Err(format!("it has not answered for {}", units::duration(patience.as_secs_f64())));
            (index, copy, opened.unwrap_or_else(|_| silent()))
        });
        let mut sources = Vec::new();
        let mut away = Vec::new();
        for (index, copy, opened) in join_all(openings.collect::<Vec<_>>()).await {
            match opened {
                Ok(source) => sources.push((index, self.handle(&copy.config, source))),
                Err(why) => away.push(Absent { copy: index, name: copy.config.name.clone(), why }),
            }
        }
        (sources, away)
    }

    async fn open_source(&self, copy: &Copy) -> Result<Arc<dyn Source>, String> {
        self.confirmed(copy).await?;
        let opened = self.core.copies.open(&self.place.config.name, &copy.config).await;
        opened.map_err(|fault| match fault {
            SourceFault::Gone(why) => why,
            other => other.to_string(),
        })
    }

    /// The copy with what all who read it in this process share.
    fn handle(&self, copy: &CopyConfig, source: Arc<dyn Source>) -> SourceHandle {
        let gate = self.shared.gate(&self.place.config.name, copy, &*source);
        SourceHandle { source, limit: self.limit(copy), gate }
    }

    /// A copy in a folder must be there and the one that it was; others look after that themselves.
    async fn confirmed(&self, copy: &Copy) -> Result<(), String> {
        let Some(folder) = copy.config.place.folder() else { return Ok(()) };
        let root = self.open_folder(folder).await?;
        places::confirm_copy(self, &Hands::Here(root), copy, false).await
    }

    /// A copy to be written to.
    pub async fn open_target(&self, copy: &Copy) -> Result<CopyTarget, String> {
        let config = &copy.config;
        let place = match config.place.folder() {
            Some(folder) => {
                let root = self.open_folder(folder).await?;
                places::confirm_copy(self, &Hands::Here(root.clone()), copy, true).await?;
                Sink::new(root).into()
            }
            None => {
                let opened = self.core.copies.open(&self.place.config.name, config).await;
                let store = opened.map_err(|why| why.to_string())?.store();
                let no_store = || format!("a copy of kind {} takes no files", config.place.kind());
                TargetPlace::Store(store.ok_or_else(no_store)?)
            }
        };
        Ok(CopyTarget { name: config.name.clone(), place, limit: self.limit(config) })
    }

    /// Clears away what writes that were interrupted long ago left in a folder. Nobody waits for it.
    pub fn sweep(&self, folder: Arc<Root>) {
        const LONG_AGO: TimeDelta = TimeDelta::days(1);
        let Some(before) = (self.core.clock.now() - LONG_AGO).timestamp_nanos_opt() else { return };
        let control = self.control.clone();
        tokio::task::spawn_blocking(move || match Sink::new(folder).sweep_litter(before, &control) {
            Ok(0) => {}
            Ok(swept) => tracing::info!(swept, "what interrupted writes had left was removed"),
            Err(error) => tracing::warn!(%error, "what interrupted writes had left could not be removed"),
        });
    }

    /// What reading this copy (or, for protect, writing it) keeps within.
    pub fn limit(&self, copy: &CopyConfig) -> RateLimit {
        let row = self.place.copies.iter().find(|known| known.config.name == copy.name);
        let limit = row.map_or_else(RateLimit::unlimited, |known| {
            self.shared.paces.of_copy(self.place.volume.id, known.row.bit)
        });
        self.hurried(limit)
    }

    /// What this job keeps within, whatever it reads.
    pub fn job_limit(&self) -> RateLimit {
        self.hurried(self.shared.paces.of_job(self.job.id))
    }

    /// What is urgent does not queue behind what is not.
    fn hurried(&self, limit: RateLimit) -> RateLimit {
        if Rank::is_urgent(self.segment.rank) { limit.urgent() } else { limit }
    }

    /// The quarantine's folder of this job.
    pub fn label(&self) -> Result<Label, Halt> {
        Label::new(self.job.id.to_string()).map_err(|why| Halt::Fail(why.to_string()))
    }

    fn lane(&self) -> Lane {
        Lane::of(self.place.volume.id, self.segment.source_bit)
    }

    /// The part of a second that counts as this segment's, where several batches of one lane run side by side.
    pub fn share(&self) -> f64 {
        1.0 / self.shared.busy(self.lane()).load(Ordering::Relaxed).max(1) as f64
    }

    /// Runs the engine on a thread for blocking work. Gives the seconds that it took of its own: where several batches of
    /// one lane run side by side, each has its share.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, f64), Halt> {
        let (done, seconds) = self.timed(tokio::task::spawn_blocking(work)).await;
        done.map(|done| (done, seconds)).map_err(Halt::panicked)
    }

    /// As [`Work::blocking`], for what others do.
    pub async fn timed<T>(&self, work: impl Future<Output = T>) -> (T, f64) {
        let (_busy, side_by_side) = Busy::in_lane(&self.shared, self.lane());
        let started = std::time::Instant::now();
        let done = work.await;
        (done, started.elapsed().as_secs_f64() / side_by_side as f64)
    }
}
