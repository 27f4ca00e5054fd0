//! What the public is told, read from the database in one go.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use salvor_app::document::PAGE_NAME;
use salvor_app::incidents::port::{PublicProgress, StatusView};
use salvor_domain::job::{JobReport, JobRequest};
use salvor_domain::progress::percent;

use super::store::{self, Choice};
use crate::core::Core;
use crate::error::Result;
use crate::restore::service as jobs;

/// The newest incidents, whatever their age, that have a page of their own.
const KEPT: i64 = 200;
/// A finished restore stays on the page for a while: readers want to see that it ended.
const FINISHED_FOR: TimeDelta = TimeDelta::minutes(30);
/// Jobs of a volume that are looked at, and bars that are shown.
const JOBS: u32 = 50;
const BARS: usize = 4;

pub async fn status(core: &Core, now: DateTime<Utc>) -> Result<StatusView> {
    let mut tx = core.db.read().await?;
    let components = store::components(&mut tx).await?;
    let published = Choice { id: None, open_only: false, drafts: false, limit: KEPT };
    let incidents = store::incidents(&mut tx, &published).await?;
    drop(tx);
    let (open, past): (Vec<_>, Vec<_>) =
        incidents.into_iter().partition(|incident| incident.status.is_open());
    let volumes: BTreeSet<_> = open.iter().filter_map(|incident| incident.volume.clone()).collect();
    let mut restores = Vec::new();
    for volume in volumes {
        // A volume that left the configuration has nothing to show.
        if core.config.volume(&volume).is_some() {
            let reports = jobs::jobs(core, Some(&volume), false, JOBS).await?;
            let shown = reports.iter().filter(|report| is_public(report, now));
            restores.extend(shown.take(BARS).map(|report| progress(report, now)));
        }
    }
    Ok(StatusView {
        page_name: PAGE_NAME.into(),
        public_url: core.config.server.public_url.clone(),
        components,
        open,
        past,
        restores,
        as_of: now,
    })
}

/// Restores into the volume that move, or ended a short while ago. Single customers' tickets are not public news.
fn is_public(report: &JobReport, now: DateTime<Utc>) -> bool {
    let into_volume = matches!(report.request, JobRequest::Restore { to_folder: None, .. });
    let lately = || report.finished_at.is_some_and(|at| now - at < FINISHED_FOR);
    into_volume
        && !report.dry_run
        && report.ticket.is_none()
        && match report.state.as_str() {
            "planning" | "running" | "paused" => true,
            "finished" => lately(),
            _ => false,
        }
}

fn progress(report: &JobReport, now: DateTime<Utc>) -> PublicProgress {
    PublicProgress {
        volume: report.volume.clone(),
        state: report.state.clone(),
        files_done: report.files.done,
        files_total: report.files.total,
        bytes_done: report.bytes.done,
        bytes_total: report.bytes.total,
        percent: percent(report.files.done, report.files.total),
        eta: report.eta,
        updated_at: report.finished_at.unwrap_or(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use salvor_app::restore::port::JobView;

    #[test]
    fn only_restores_into_the_volume_are_shown() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::hours(1);
        let running = JobView::sample().report;
        assert!(is_public(&running, now));
        let shown = progress(&running, now);
        assert_eq!((shown.files_done, shown.files_total, shown.percent), (40, 60, 66));
        let finished = |minutes| JobReport {
            state: "finished".into(),
            finished_at: Some(now - TimeDelta::minutes(minutes)),
            ..running.clone()
        };
        assert!(is_public(&finished(29), now) && !is_public(&finished(31), now));
        for hidden in [
            JobReport { state: "planned".into(), ..running.clone() },
            JobReport { dry_run: true, ..running.clone() },
            JobReport { ticket: Some(7), ..running.clone() },
            JobReport { request: JobRequest::Check { full: true, paths: vec![] }, ..running.clone() },
        ] {
            assert!(!is_public(&hidden, now), "{hidden:?}");
        }
    }
}
