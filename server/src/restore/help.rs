//! A copy that has run dry takes over what another would only come to later: of the files that wait for a slower copy,
//! those that the faster one holds as well. What only the slow one holds stays with it.

use std::collections::HashSet;

use salvor_domain::job::{JobRequest, JobState};
use salvor_domain::path::FilePath;
use salvor_domain::progress::{Amount, Rate};
use salvor_domain::segment::SegmentState;

use crate::config::CopyConfig;
use crate::core::Core;
use crate::database::Tx;
use crate::restore::estimate;
use crate::restore::lanes::{Lane, Slots, Waiting, helps};
use crate::restore::store::segments::{self, Segment};
use crate::restore::store::{self, Job, figures, moves, resting};
use crate::volumes::store::{self as volumes, CopyRow};
use crate::volumes::{catalogue, service};

/// Segments of a lane that are looked at in one go: the last ones, which its own copy comes to last.
const LOOKED_AT: i64 = 8;
/// Remembered segments that no other copy can help with.
const MOST_TRIED: usize = 10_000;

/// The segments, with the helper's bit, of which is known that nothing can be taken over.
pub type Tried = HashSet<(i64, u8)>;

/// Whether something was taken over: then a lane that was dry has work.
pub async fn help(core: &Core, slots: &Slots, waiting: &[Waiting], tried: &mut Tried) -> sqlx::Result<bool> {
    if tried.len() > MOST_TRIED {
        tried.clear();
    }
    for lane in waiting.iter().map(|waiting| waiting.lane) {
        let Lane::Copy { volume_id, bit } = lane else { continue };
        let mut tx = core.db.read().await?;
        let Some(volume) = volumes::volume_by_id(&mut tx, volume_id).await? else { continue };
        let Some(config) = core.config.volume(&volume.name) else { continue };
        let copies = service::configured_copies(config, volumes::copies(&mut tx, volume_id).await?);
        let Some(helped) = copies.iter().find(|copy| copy.bit == bit) else { continue };
        let last = moves::last_in_lane(&mut tx, volume_id, bit, LOOKED_AT).await?;
        let mut away = Vec::new();
        for copy in &copies {
            if resting::is_away(&mut tx, volume_id, copy.bit).await? {
                away.push(copy.bit);
            }
        }
        drop(tx);
        for helper in copies.iter().filter(|copy| !away.contains(&copy.bit)) {
            let own = Lane::Copy { volume_id, bit: helper.bit };
            let is_dry = slots.taken(own) == 0 && waiting.iter().all(|waiting| waiting.lane != own);
            if helper.bit == bit || !is_dry {
                continue;
            }
            for segment in &last {
                if tried.contains(&(segment.id, helper.bit))
                    || !is_worth_it(core, &config.copies, segment, helper, helped).await?
                {
                    continue;
                }
                if take_over(core, segment, helper).await? {
                    return Ok(true);
                }
                tried.insert((segment.id, helper.bit));
            }
        }
    }
    Ok(false)
}

async fn is_worth_it(
    core: &Core,
    configs: &[CopyConfig],
    segment: &Segment,
    helper: &CopyRow,
    helped: &CopyRow,
) -> sqlx::Result<bool> {
    let mut tx = core.db.read().await?;
    let Some(job) = store::job(&mut tx, segment.job).await? else { return Ok(false) };
    if !matches!(&job.request, JobRequest::Restore { from, .. } if from.is_empty() || from.contains(&helper.name))
    {
        return Ok(false);
    }
    let amount = Amount { files: segment.files, bytes: segment.bytes };
    let fast = rate(core, &mut tx, &job, configs, helper).await?;
    Ok(helps(amount, fast, rate(core, &mut tx, &job, configs, helped).await?))
}

/// Moves the files of a waiting segment that the helper holds into a segment of the helper's; false when there are none.
async fn take_over(core: &Core, segment: &Segment, helper: &CopyRow) -> sqlx::Result<bool> {
    let mut tx = core.db.begin().await?;
    let Some(job) = store::lock(&mut tx, segment.job).await? else { return Ok(false) };
    let Some(segment) = segments::lock(&mut tx, segment.id).await? else { return Ok(false) };
    if !matches!(job.state, JobState::Running { .. }) || segment.state != SegmentState::Waiting {
        return Ok(false);
    }
    let items = segments::waiting_items(&mut tx, segment.id).await?;
    let paths: Vec<FilePath> = items.into_iter().map(|item| item.path).collect();
    let rows = catalogue::get(&mut tx, job.volume_id, &paths).await?;
    let held: Vec<FilePath> =
        rows.into_iter().filter(|row| helper.holds(row.holders)).map(|row| row.path).collect();
    if held.is_empty() {
        return Ok(false);
    }
    let taken = moves::take_out(&mut tx, segment.id, &held).await?;
    segments::insert_work(&mut tx, job.id, &taken, segment.rank, Some(helper.bit)).await?;
    tx.commit().await?;
    tracing::debug!(job = %job.id, files = taken.len(), by = helper.name, "files were taken over");
    Ok(true)
}

/// How fast a copy is: in this job if it gave anything, else as it was measured before; never faster than its limit.
async fn rate(
    core: &Core,
    tx: &mut Tx,
    job: &Job,
    configs: &[CopyConfig],
    copy: &CopyRow,
) -> sqlx::Result<Option<Rate>> {
    let given = figures::sources(tx, job.id).await?.remove(&copy.name);
    let here = given.filter(|given| given.busy_seconds > 0.0 && given.amount.files > 0).map(|given| Rate {
        files_per_second: given.amount.files as f64 / given.busy_seconds,
        bytes_per_second: given.amount.bytes as f64 / given.busy_seconds,
    });
    let before = copy.files_per_second.zip(copy.bytes_per_second);
    let before =
        before.map(|(files_per_second, bytes_per_second)| Rate { files_per_second, bytes_per_second });
    let Some(config) = configs.iter().find(|config| config.name == copy.name) else { return Ok(None) };
    Ok(estimate::held_back(core, config, copy, here.or(before)))
}
