//! `salvor health`: how the storage beneath the volumes is.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use salvor_app::health::port::{HostView, SignalView, VolumeHealth};
use salvor_domain::health::Level;
use salvor_domain::units;

use super::{CliError, SOMETHING_WRONG};
use crate::core::Core;
use crate::health::service;

/// Show what the hosts report of the storage beneath the volumes
///
/// Exit 1 when anything that a volume or a copy lies on is not well, or not known.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this volume
    volume: Option<String>,
    /// Print a JSON object: hosts and volumes
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Health {
    hosts: Vec<HostView>,
    volumes: Vec<VolumeHealth>,
}

pub async fn run(core: Core, args: Args) -> Result<ExitCode, CliError> {
    let volumes = match &args.volume {
        Some(name) => vec![service::volume(&core, name).await?],
        None => service::volumes(&core).await?,
    };
    let health = Health { hosts: service::hosts(&core).await?, volumes };
    if args.json {
        let text = serde_json::to_string(&health).map_err(|why| CliError::Failed(why.to_string()))?;
        println!("{text}");
    } else {
        print!("{}", text(&health, core.clock.now()));
    }
    core.db.close().await;
    Ok(if health.volumes.iter().all(is_well) { ExitCode::SUCCESS } else { ExitCode::from(SOMETHING_WRONG) })
}

fn is_well(volume: &VolumeHealth) -> bool {
    volume.level == Level::Ok && volume.signals.iter().all(|signal| signal.level == Level::Ok)
}

fn text(health: &Health, now: DateTime<Utc>) -> String {
    let mut text = String::new();
    if health.hosts.is_empty() {
        text.push_str(
            "No host has reported yet: run `salvor serve` here, or `salvor agent` on the storage hosts.\n",
        );
    }
    for host in &health.hosts {
        let is = match (host.revoked, host.silent) {
            (true, _) => "REVOKED".to_owned(),
            (false, true) => "SILENT".to_owned(),
            (false, false) => word(host.level).to_owned(),
        };
        let age = ago(host.reported_at, now);
        let told = match host.alerts_only {
            true => format!("alerts only, no agent; the last came {age} ago"),
            false => format!("reported {age} ago (Salvor {})", host.version),
        };
        text.push_str(&format!("host {}: {is}, {told}\n", host.name));
    }
    for volume in &health.volumes {
        let since = volume.since.map_or(String::new(), |since| format!(" since {}", time(since)));
        text.push_str(&format!("{}: {}{since}\n", volume.volume, word(volume.level)));
        if volume.signals.is_empty() {
            text.push_str("  nothing is known of what it lies on\n");
        }
        let bad = volume.signals.iter().filter(|signal| signal.level != Level::Ok);
        bad.for_each(|signal| text.push_str(&line(signal, now)));
        if let Some(full) = volume.full_at {
            text.push_str(&format!("  full by {} if it goes on like that\n", time(full)));
        }
    }
    text
}

fn line(signal: &SignalView, now: DateTime<Utc>) -> String {
    let mut line = format!(
        "  {} {} on {}, since {} (read {} ago): {}",
        word(signal.level),
        signal.subject,
        signal.host,
        time(signal.since),
        ago(signal.read_at, now),
        signal.reason
    );
    if signal.flapping {
        line.push_str(" [back and forth]");
    }
    if let Some(mute) = &signal.muted {
        line.push_str(&format!(" [muted until {} by {}: {}]", time(mute.until), mute.by, mute.reason));
    }
    line + "\n"
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    units::duration((now - at).num_seconds().max(0) as f64)
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Unknown => "NOT KNOWN",
        Level::Warning => "WARNING",
        Level::Critical => "CRITICAL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn what_is_bad_is_told_with_its_age_and_reason() {
        let health = Health { hosts: vec![HostView::sample()], volumes: vec![VolumeHealth::sample()] };
        assert!(!is_well(&health.volumes[0]));
        let text = text(&health, DateTime::UNIX_EPOCH + TimeDelta::seconds(30));
        for words in [
            "host store1: CRITICAL, reported 30 s ago (Salvor 0.1.0)",
            "uploads: CRITICAL since 1970-01-01 00:00 UTC",
            "  CRITICAL fs:/srv/uploads on store1, since 1970-01-01 00:00 UTC (read 30 s ago): ext4 counts 1 error",
        ] {
            assert!(text.contains(words), "\"{words}\" is not in: {text}");
        }
    }
}
