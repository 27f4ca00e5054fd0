//! The plan of a drill: from each copy a random sample of what the catalogue says that it holds, of all sizes.

use salvor_domain::job::{JobRequest, Plan};
use salvor_domain::path::FilePath;
use salvor_domain::progress::Amount;
use salvor_domain::readiness::DrillResult;
use salvor_domain::sample::{Budget, Picked, Sampler};
use salvor_domain::units;
use salvor_domain::volume::FileState;

use crate::restore::drivers::{Planned, counts};
use crate::restore::estimate;
use crate::restore::scratch::Scratch;
use crate::restore::store::segments::{self, Item};
use crate::restore::store::{drills, figures};
use crate::restore::work::{Copy, Halt, Work, listed};
use crate::volumes::{catalogue, rates_store};

/// Rows of the catalogue at a time.
const PAGE: u32 = 2_000;

/// What a drill was asked for.
pub struct Asked<'a> {
    from: &'a [String],
    pub budget: Budget,
    seed: u32,
}

impl<'a> Asked<'a> {
    pub fn of(request: &'a JobRequest) -> Result<Self, Halt> {
        match request {
            JobRequest::Drill { from, sample, seed } => {
                Ok(Self { from, budget: Budget::of(*sample), seed: seed.unwrap_or(0) })
            }
            _ => Err(Halt::Fail("its request is not a drill".into())),
        }
    }

    pub fn wants(&self, copy: &Copy) -> bool {
        self.from.is_empty() || self.from.contains(&copy.config.name)
    }
}

pub async fn plan(work: &Work) -> Result<Planned, Halt> {
    let asked = Asked::of(&work.job.request)?;
    let (sources, away) = work.open_sources(|copy| asked.wants(copy)).await;
    if sources.is_empty() {
        return Err(Halt::Fail(format!("there is no copy to try: {}", listed(&away))));
    }
    let places: Vec<usize> = sources.iter().map(|(place, _)| *place).collect();
    let samples = choose(work, &asked, &places).await?;
    if samples.iter().all(|(_, picked)| picked.is_empty()) {
        let why = "the catalogue knows of no file that these copies hold; run protect first";
        return Err(Halt::Fail(why.into()));
    }
    has_room(work, &samples).await?;
    let missing: Vec<(&Copy, String)> =
        away.iter().map(|absent| (&work.place.copies[absent.copy], absent.to_string())).collect();
    record(work, &samples, &missing).await?;
    planned(work, &samples, &missing).await
}

/// A sample of each copy, with the copy's place.
async fn choose(work: &Work, asked: &Asked<'_>, places: &[usize]) -> Result<Vec<(usize, Vec<Picked>)>, Halt> {
    let copies = &work.place.copies;
    let mut samplers: Vec<(usize, Sampler)> = places
        .iter()
        .map(|&place| {
            // Each copy has its own draw: together they try more files.
            let seed = u64::from(asked.seed) << 8 | u64::from(copies[place].row.bit);
            (place, Sampler::new(seed, asked.budget))
        })
        .collect();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let mut tx = work.core.db.read().await?;
        let rows = catalogue::after(&mut tx, work.place.volume.id, after.as_deref(), PAGE).await?;
        drop(tx);
        if work.control.stop().is_some() {
            return Err(Halt::Stopped);
        }
        for row in rows.iter().filter(|row| row.state != FileState::Tombstone) {
            for (place, sampler) in &mut samplers {
                if copies[*place].row.holds(row.holders) {
                    sampler.offer(&row.path, row.size);
                }
            }
        }
        match rows.last() {
            Some(last) if rows.len() == PAGE as usize => after = Some(last.path.as_bytes().to_vec()),
            _ => break,
        }
    }
    Ok(samplers.into_iter().map(|(place, sampler)| (place, sampler.picked())).collect())
}

/// Whether scratch has room for what lies there at a time: one batch, or the largest file.
async fn has_room(work: &Work, samples: &[(usize, Vec<Picked>)]) -> Result<(), Halt> {
    let largest = samples.iter().flat_map(|(_, picked)| picked).map(|file| file.size).max().unwrap_or(0);
    let copies = samples.len() as u64;
    let needed = largest.max(super::drill::BATCH_BYTES).saturating_mul(copies);
    let (data_dir, name) = (work.core.config.server.data_dir.clone(), work.worker.to_string());
    let looked = tokio::task::spawn_blocking(move || Scratch::make(&data_dir, &name)?.has_room(needed));
    looked.await.map_err(Halt::panicked)?.map_err(Halt::Fail)
}

async fn record(
    work: &Work,
    samples: &[(usize, Vec<Picked>)],
    missing: &[(&Copy, String)],
) -> Result<(), Halt> {
    let now = work.core.clock.now();
    let (mut tx, job) = work.begin().await?;
    for (copy, why) in missing {
        // A copy that is out of reach gave nothing: that is a result as well.
        let failure = FilePath::new(copy.config.name.as_str()).map(|name| (name, why.clone()));
        let failures: Vec<_> = failure.into_iter().collect();
        figures::add_failures(&mut tx, job.id, &failures, now).await?;
    }
    if job.dry_run {
        return work.commit(tx, &job).await;
    }
    drills::clear(&mut tx, job.id).await?;
    for (rank, (place, picked)) in samples.iter().enumerate() {
        let copy = &work.place.copies[*place];
        if picked.is_empty() {
            let note =
                format!("The catalogue knows of no file that {} holds: it is not tried.", copy.config.name);
            work.note(&mut tx, &note, 1, &note).await?;
            continue;
        }
        let items: Vec<Item> = picked
            .iter()
            .map(|file| Item { path: file.path.clone(), size: file.size, corrupt: false })
            .collect();
        let id = segments::insert_work(&mut tx, job.id, &items, rank as i64, Some(copy.row.bit)).await?;
        drills::add(&mut tx, job.id, id, copy.row.bit).await?;
    }
    for (copy, why) in missing {
        let found = DrillResult {
            job: job.id.to_string(),
            at: now,
            verified: 0,
            failed: 0,
            skipped: 0,
            bytes: 0,
            seconds: 0.0,
            reason: Some(why.clone()),
        };
        rates_store::record_drill(&mut tx, job.volume_id, copy.row.bit, job.id, &found).await?;
    }
    work.commit(tx, &job).await
}

async fn planned(
    work: &Work,
    samples: &[(usize, Vec<Picked>)],
    missing: &[(&Copy, String)],
) -> Result<Planned, Halt> {
    let mut tx = work.core.db.read().await?;
    let measured = rates_store::measurements(&mut tx, work.place.volume.id).await?;
    drop(tx);
    let mut plan = Plan::default();
    for (place, picked) in samples.iter().filter(|(_, picked)| !picked.is_empty()) {
        let copy = &work.place.copies[*place];
        let part = amount(picked);
        let measured = measured.get(&copy.row.bit).map_or(&[][..], Vec::as_slice);
        plan.sources.push(estimate::planned(&work.core, work.job.limits, copy, part, measured));
        plan.total += part;
    }
    plan.estimate = estimate::whole(work.job.limits, &plan.sources);
    let parts: Vec<String> = plan
        .sources
        .iter()
        .map(|part| {
            let files = units::counted(part.amount.files, "file", "files");
            format!("{files} ({}) from {}", units::bytes(part.amount.bytes), part.name)
        })
        .collect();
    let (files, bytes) = counts(plan.total, missing.len() as u64);
    Ok(Planned { files, bytes, summary: format!("a sample of {}", parts.join(", ")), plan })
}

fn amount(picked: &[Picked]) -> Amount {
    picked.iter().map(|file| Amount::file(file.size)).sum()
}
