//! What stands between a volume and `normal` by health: the gate asks here.
//!
//! Whatever lay beneath the volume when it was last seen is its ground, also when it has been unmounted: an unmount takes no fault
//! away, and what is not there is not well.

use chrono::{DateTime, Utc};
use salvor_app::health::port::SignalView;
use salvor_domain::gate::FileSystemFault;
use salvor_domain::health::{Level, Probe};
use salvor_domain::volume::ModeState;

use super::store::{self, Signal};
use super::views::{CHANGES, Look};
use crate::core::Core;
use crate::database::Tx;
use crate::error::Result;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub probe: Probe,
    pub subject: String,
    pub host: String,
    pub level: Level,
    pub reason: String,
}

/// On the volume's ground: what is so bad that writing on may do damage; and what is not known any more and was, at some time since
/// the volume left `normal`, where writes depend on it.
pub async fn troubles(core: &Core, tx: &mut Tx, volume: &str) -> Result<Vec<Trouble>> {
    let tripped_at = match crate::volumes::store::volume(tx, volume).await?.map(|row| row.mode) {
        Some(ModeState::ReadOnly { tripped_at, .. } | ModeState::Failover { tripped_at, .. }) => {
            Some(tripped_at)
        }
        Some(ModeState::Normal { .. }) | None => None,
    };
    let look = Look::at(core, tx).await?;
    let trouble = |signal: &Signal| {
        let view = look.view(signal);
        let was_known = tripped_at.is_some_and(|at| signal.first_at <= at && view.since > at);
        let is_one = match view.level {
            Level::Critical => signal.stops_writes,
            Level::Unknown => was_known && (signal.stops_writes || is_lost(&look, signal)),
            Level::Ok | Level::Warning => false,
        };
        let SignalView { probe, subject, host, level, reason, .. } = view;
        is_one.then_some(Trouble { probe, subject, host, level, reason })
    };
    let its = look.signals.iter().filter(|signal| lies_on(signal, volume));
    let mut troubles: Vec<Trouble> = its.filter_map(trouble).collect();
    // A canary that does not write gives the fault that keeps it from it for its reason.
    let known: Vec<String> = troubles.iter().filter(is_critical).map(|bad| bad.reason.clone()).collect();
    troubles.retain(|one| is_critical(&one) || !known.iter().any(|known| one.reason.ends_with(known)));
    Ok(troubles)
}

/// The newest fault that a file system beneath the volume told of itself. A mount makes XFS and btrfs forget theirs; ext4 counts its own
/// until e2fsck has cleared them, so there a count of zero is proof enough.
pub async fn file_system_fault(tx: &mut Tx, volume: &str) -> Result<Option<FileSystemFault>> {
    let signals = store::signals(tx).await?;
    let of_file_system = |signal: &&Signal| lies_on(signal, volume) && signal.subject.starts_with("fs:");
    let its: Vec<&Signal> = signals.iter().filter(of_file_system).collect();
    let is_cleared = |fault: &Signal| {
        let counted =
            its.iter().filter(|other| other.probe == Probe::Ext4 && other.standing.worse_at.is_some());
        let mut zero = counted.filter(|other| other.standing.last_read() == Level::Ok);
        zero.any(|other| other.host == fault.host && other.subject == fault.subject)
    };
    let mut newest: Option<FileSystemFault> = None;
    for signal in its.iter().filter(|signal| !is_cleared(signal)) {
        let at = match signal.probe {
            Probe::Ext4 | Probe::Xfs => signal.standing.worse_at,
            // A block that a mirror had right is in the log as well.
            Probe::KernelLog => last_critical(tx, signal).await?,
            _ => None,
        };
        if let Some(at) = at.filter(|at| newest.as_ref().is_none_or(|newest| newest.at < *at)) {
            let what = format!("{} on {}", signal.subject.trim_start_matches("fs:"), signal.host);
            newest = Some(FileSystemFault { at, what });
        }
    }
    Ok(newest)
}

async fn last_critical(tx: &mut Tx, signal: &Signal) -> Result<Option<DateTime<Utc>>> {
    let changes = store::changes(tx, &[signal.id], CHANGES).await?;
    Ok(changes.iter().find(|change| change.to == Level::Critical).map(|change| change.at))
}

fn lies_on(signal: &Signal, volume: &str) -> bool {
    signal.volumes.iter().any(|other| other == volume)
}

/// Where the volume is, and whether it takes writes, has to be read again: as it is read now, without the time that a better level has
/// to hold for.
fn is_lost(look: &Look, signal: &Signal) -> bool {
    let host = look.hosts.iter().find(|host| host.name == signal.host);
    let is_unread = signal.standing.last_read() == Level::Unknown;
    matches!(signal.probe, Probe::Mount | Probe::Canary)
        && (is_unread || host.is_none_or(|host| look.is_silent(host)))
}

fn is_critical(trouble: &&Trouble) -> bool {
    trouble.level == Level::Critical
}
