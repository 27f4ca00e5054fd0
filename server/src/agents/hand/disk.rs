//! The disk of a volume of this host, checked with what this host's own configuration names: the volume itself is not mounted meanwhile.
//!
//! Invariant: no word of what a server says becomes part of a command; it says that the check is to run, and how it begins.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Telling;
use crate::agents::Duty;
use crate::agents::wire::{DiskAsk, DiskPart, Part};
use crate::config::{DiskCheckConfig, VolumeConfig};
use crate::restore::drivers::disk_check::attend::{self, Course, Facts, Heard};
use crate::restore::drivers::disk_check::bench::{WAITING, configured};
use crate::restore::drivers::disk_check::process;
use crate::volumes::reach::Away;

pub async fn go(
    volume: &VolumeConfig,
    patience: Duration,
    ask: DiskAsk,
    duty: Duty,
    telling: &mut impl Telling,
) -> Result<(), Away> {
    let config = configured(volume).map_err(Away::Gone)?;
    let part = match ask {
        DiskAsk::Facts => DiskPart::Facts(Facts::of(config)),
        DiskAsk::Look => DiskPart::Looked(attend::look(config, &volume.name, patience).await.err()),
        DiskAsk::IsAlive(process) => DiskPart::IsAlive(process::is_alive(process)),
        DiskAsk::Pause => attend::pause(config).await.map(|()| DiskPart::Done).map_err(Away::Gone)?,
        DiskAsk::Run(how) => return run(volume, config, patience, how, duty, telling).await,
    };
    telling.tell(Part::Disk(part), true).await;
    Ok(())
}

async fn run(
    volume: &VolumeConfig,
    config: &DiskCheckConfig,
    patience: Duration,
    how: Course,
    duty: Duty,
    telling: &mut impl Telling,
) -> Result<(), Away> {
    // The server has looked as well; but whoever started anything since did not ask it.
    if let Err(way) = attend::look(config, &volume.name, patience).await {
        telling.tell(Part::Disk(DiskPart::Heard(vec![Heard::Refused(way)])), true).await;
        return Ok(());
    }
    let (sender, mut heard) = mpsc::channel(WAITING);
    let mut run = JoinSet::new();
    run.spawn(attend::run(config.clone(), how, duty.control.clone(), sender));
    let mut all = Vec::new();
    while heard.recv_many(&mut all, WAITING).await > 0 {
        if !telling.tell(Part::Disk(DiskPart::Heard(std::mem::take(&mut all))), false).await {
            // It is ended, and waited for: nothing is left at the device.
            heard.close();
            while heard.recv().await.is_some() {}
        }
    }
    while run.join_next().await.is_some() {}
    telling.tell(Part::Disk(DiskPart::Done), true).await;
    Ok(())
}
