//! A process that waits for one job: whether that can come to its end here, and until when.

use std::time::Duration;

use salvor_domain::ids::JobId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::core::Core;
use crate::error::{Error, Result};
use crate::restore::{held, store};
use crate::volumes::store as volumes;

/// Whether this process has the job's volume in its configuration: else it would wait for others for ever.
pub async fn is_at_home(core: &Core, job: JobId) -> Result<()> {
    let mut tx = core.db.read().await?;
    let job = store::job(&mut tx, job).await?.ok_or_else(|| Error::not_found("the job is gone"))?;
    let volume = volumes::volume_by_id(&mut tx, job.volume_id).await?;
    match volume.filter(|volume| core.config.volume(&volume.name).is_none()) {
        Some(volume) => Err(Error::conflict(format!(
            "The volume \"{}\" is not in the configuration of this Salvor: the job waits for one that has it.",
            volume.name
        ))),
        None => Ok(()),
    }
}

/// Waits until nothing more happens to the job by itself: it ended, was paused, or its plan waits for approval.
pub async fn for_nobody(core: &Core, job: JobId, ended: &Notify, cancel: &CancellationToken) -> Result<()> {
    loop {
        let mut tx = core.db.read().await?;
        let job = store::job(&mut tx, job).await?.ok_or_else(|| Error::not_found("the job is gone"))?;
        if !job.state.is_active() || cancel.is_cancelled() {
            return Ok(());
        }
        if let Some(waits) = held::by_agent(core, &mut tx, &job).await? {
            return Err(Error::conflict(format!(
                "The job {waits}; it goes on by itself when that is connected."
            )));
        }
        drop(tx);
        tokio::select! {
            () = cancel.cancelled() => {}
            () = ended.notified() => {}
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
    }
}
