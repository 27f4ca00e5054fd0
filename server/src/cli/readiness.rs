//! `salvor readiness`: whether a restore would be good enough today.

use std::process::ExitCode;

use salvor_app::restore::port::ReadinessView;
use salvor_domain::readiness::{Judged, Readiness, Verdict};
use salvor_domain::units;

use super::{CliError, SOMETHING_WRONG};
use crate::core::Core;
use crate::restore::readiness::readiness;

/// Show how old the copies are and how long a restore would take, against the objectives
///
/// Exit 1 when an objective is missed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this volume
    volume: Option<String>,
    /// Print a list of JSON objects
    #[arg(long)]
    json: bool,
}

pub async fn run(core: Core, args: Args) -> Result<ExitCode, CliError> {
    let views = readiness(&core, args.volume.as_deref()).await?;
    if args.json {
        let text = serde_json::to_string(&views).map_err(|why| CliError::Failed(why.to_string()))?;
        println!("{text}");
    } else if views.is_empty() {
        println!("No volume is configured.");
    } else {
        views.iter().for_each(|view| print!("{}", text(&view.readiness)));
    }
    core.db.close().await;
    Ok(if is_missed(&views) { ExitCode::from(SOMETHING_WRONG) } else { ExitCode::SUCCESS })
}

fn is_missed(views: &[ReadinessView]) -> bool {
    views.iter().any(|view| view.readiness.verdict == Verdict::Missed)
}

fn text(ready: &Readiness) -> String {
    let mut text = format!(
        "{}: {} ({}, {})\n",
        ready.volume,
        word(ready.verdict),
        units::counted(ready.files, "file", "files"),
        units::bytes(ready.bytes)
    );
    for (name, judged) in [("RPO", &ready.rpo), ("RTO", &ready.rto), ("drills", &ready.drill)] {
        text.push_str(&format!("  {}\n", line(name, judged)));
    }
    for copy in &ready.copies {
        text.push_str(&format!("  {} ({}):\n", copy.name, copy.placement));
        for (name, judged) in [("RPO", &copy.rpo), ("RTO", &copy.rto), ("drill", &copy.drill)] {
            text.push_str(&format!("    {}\n", line(name, judged)));
        }
    }
    for warning in &ready.warnings {
        text.push_str(&format!("  ! {warning}\n"));
    }
    text
}

fn line(name: &str, judged: &Judged) -> String {
    let limit = judged.objective_seconds.map(|seconds| units::duration(seconds as f64));
    match limit {
        Some(limit) => format!("{name:<6} {} (objective {limit}): {}", word(judged.verdict), judged.reason),
        None => format!("{name:<6} {}", judged.reason),
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::Unset => "no objective",
        Verdict::Unknown => "not known",
        Verdict::Missed => "MISSED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_is_told_and_why() {
        let view = ReadinessView::sample();
        assert!(is_missed(std::slice::from_ref(&view)));
        let text = text(&view.readiness);
        for words in [
            "uploads: MISSED (320 files",
            "RPO    met (objective 1 d): the newest whole copy, offsite, is 3 h old",
            "RTO    not known (objective 4 h)",
            "drill  MISSED (objective 7 d): it was never drilled",
            "  ! Drills: the objective of 7 d is missed",
        ] {
            assert!(text.contains(words), "\"{words}\" is not in: {text}");
        }
    }
}
