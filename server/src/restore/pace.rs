//! How fast this process may go: the limits in force for each copy and each job, and how gently.
//!
//! The rate limits that the engine draws on live here, one for each copy and each job of the process, and are shared by all
//! its segments. Whoever holds a segment [`Paces::refresh`]es them a few times a second, so a change by anybody, in any
//! process, takes effect within a second. Where several processes read one copy each takes its part of the rate.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use salvor_domain::account::Actor;
use salvor_domain::event::EventKind;
use salvor_domain::gentle::Gentle;
use salvor_domain::ids::JobId;
use salvor_domain::job::JobReport;
use salvor_domain::limits::{JobLimits, Limits, LimitsChange};
use salvor_domain::timetable::InForce;
use salvor_engine::{LatencyProbe, RateLimit, Root};

use crate::core::Core;
use crate::error::{Error, Result};
use crate::events;
use crate::restore::report::report;
use crate::restore::service::{allowed, no_such_job};
use crate::restore::store::{self, Job, segments};
use crate::restore::work::Place;
use crate::volumes::store as volumes;

/// How often a volume's answer is timed while a gentle job is at it.
const TIMED_EVERY: Duration = Duration::from_millis(500);
/// No answer within this is none.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);
/// A volume that could not be timed is asked again after this long.
const PROBED_AGAIN: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub struct Paces {
    /// By volume and bit.
    copies: Mutex<HashMap<(i64, u8), RateLimit>>,
    jobs: Mutex<HashMap<JobId, RateLimit>>,
    volumes: Mutex<HashMap<i64, Timed>>,
}

/// A volume whose answers are timed.
#[derive(Debug, Default)]
struct Timed {
    gentle: Gentle,
    probe: Option<LatencyProbe>,
    /// Not before then is it timed again.
    next: Option<Instant>,
}

/// Changes what a job keeps within, also while it runs.
pub async fn set_limits(
    core: &Core,
    actor: &Actor,
    id: JobId,
    change: LimitsChange,
    gentle: bool,
) -> Result<JobReport> {
    allowed(actor)?;
    let now = core.clock.now();
    let mut tx = core.db.begin().await?;
    let job = store::lock(&mut tx, id).await?.ok_or_else(|| no_such_job(id))?;
    if job.state.has_ended() {
        let message = format!("The job is {}; a limit would change nothing.", job.state.word());
        return Err(Error::conflict(message));
    }
    let Limits { bandwidth, files_per_second } = change.of(job.limits.limits());
    let limits = JobLimits { bandwidth, files_per_second, gentle };
    if job.limits != limits {
        store::set_limits(&mut tx, id, &limits).await?;
        let summary = format!("{} set the job's limit: {limits}.", actor.name);
        events::record(&mut tx, now, actor, EventKind::LimitChanged, id, &summary).await?;
    }
    let report = report(core, &mut tx, Job { limits, ..job }, now).await?;
    tx.commit().await?;
    Ok(report)
}

impl Paces {
    /// What every reader of this copy draws on.
    pub fn of_copy(&self, volume_id: i64, bit: u8) -> RateLimit {
        locked(&self.copies).entry((volume_id, bit)).or_default().clone()
    }

    /// What every worker on this job draws on.
    pub fn of_job(&self, job: JobId) -> RateLimit {
        locked(&self.jobs).entry(job).or_default().clone()
    }

    /// Brings the limits of a job and of its volume's copies up to date. False when the job is no longer wanted.
    pub async fn refresh(&self, core: &Core, place: &Place, job: JobId) -> sqlx::Result<bool> {
        let (now, volume) = (core.clock.now(), place.volume.id);
        let mut tx = core.db.read().await?;
        let Some(stored) = store::job(&mut tx, job).await?.filter(|job| job.state.is_active()) else {
            return Ok(false);
        };
        let rows = volumes::copies(&mut tx, volume).await?;
        let readers = segments::readers(&mut tx, now, volume).await?;
        let processes = segments::processes(&mut tx, now, job).await?;
        drop(tx);
        let local = core.clock.local();
        for copy in &place.copies {
            let bit = copy.row.bit;
            let said = rows.iter().find(|row| row.bit == bit).and_then(|row| row.limits);
            let in_force = InForce::at(said, copy.config.limits(), &copy.config.timetable, local);
            let beside = readers.iter().find(|(other, _)| *other == bit).map_or(1, |(_, count)| *count);
            set(&self.of_copy(volume, bit), in_force.limits.shared_by(beside));
        }
        let limit = self.of_job(job);
        set(&limit, stored.limits.limits().shared_by(processes));
        if stored.limits.gentle {
            limit.set_share(self.share(place).await);
        } else {
            limit.set_share(1.0);
        }
        Ok(true)
    }

    /// The part of its time that a gentle job may take of a volume, by how fast that answers.
    async fn share(&self, place: &Place) -> f64 {
        let volume = place.volume.id;
        // Taken out while it is read: a disk that hangs holds up nobody else.
        let (gentle, probe) = {
            let mut all = locked(&self.volumes);
            let timed = all.entry(volume).or_default();
            let is_due = timed.next.is_none_or(|next| next <= Instant::now());
            if !is_due {
                return timed.gentle.share();
            }
            timed.next = Some(Instant::now() + PROBED_AGAIN);
            (timed.gentle, timed.probe.take())
        };
        if place.config.host.is_some() {
            // Nobody times what lies elsewhere: unknown is not quiet.
            return gentle.after(None).share();
        }
        let path = place.config.path.clone();
        let read = move || {
            let mut probe = match probe {
                Some(probe) => probe,
                None => LatencyProbe::open(&Root::open(&path).ok()?).ok()?,
            };
            let took = probe.read().ok()?;
            Some((probe, took))
        };
        // Whoever asks also keeps leases: it must not wait for a disk that does not answer.
        let reading = tokio::time::timeout(PROBE_PATIENCE, tokio::task::spawn_blocking(read));
        let read = reading.await.ok().and_then(Result::ok).flatten();
        let gentle = gentle.after(read.as_ref().map(|(_, took)| took.as_secs_f64() * 1e3));
        let next = Instant::now() + if read.is_some() { TIMED_EVERY } else { PROBED_AGAIN };
        let probe = read.map(|(probe, _)| probe);
        locked(&self.volumes).insert(volume, Timed { gentle, probe, next: Some(next) });
        gentle.share()
    }
}

fn set(limit: &RateLimit, limits: Limits) {
    limit.set_bytes(limits.bandwidth.map(|rate| rate.bytes_per_second()));
    limit.set_files(limits.files_per_second);
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
