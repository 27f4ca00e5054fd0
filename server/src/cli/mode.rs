//! `salvor mode`: see and change whether a volume takes writes.

use std::process::ExitCode;

use clap::ValueEnum;
use salvor_app::volumes::port::{Reach, VolumeView};
use salvor_domain::volume::{Mode, ModeState};

use super::{CliError, actor};
use crate::core::Core;
use crate::volumes::service;

/// Show the mode of a volume and what of it is out of reach, or change the mode
///
/// Back to normal goes through the gate: a full check that started after the volume left normal has finished, nothing is
/// missing, corrupt or unreadable, nothing beneath it counts errors, and the copies were verified lately.
#[derive(Debug, clap::Args)]
pub struct Args {
    volume: String,
    /// The mode to change to; without one, the present mode is shown
    #[arg(requires = "reason")]
    mode: Option<ModeWord>,
    /// Why: shown to operators and kept in the audit log
    #[arg(long, value_name = "TEXT", requires = "mode")]
    reason: Option<String>,
    /// Return to normal although the gate is not open
    #[arg(long = "override", requires = "mode")]
    override_gate: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ModeWord {
    Normal,
    #[value(alias = "read_only")]
    ReadOnly,
    Failover,
}

impl From<ModeWord> for Mode {
    fn from(word: ModeWord) -> Self {
        match word {
            ModeWord::Normal => Self::Normal,
            ModeWord::ReadOnly => Self::ReadOnly,
            ModeWord::Failover => Self::Failover,
        }
    }
}

pub async fn run(core: Core, args: Args) -> Result<ExitCode, CliError> {
    let view = match args.mode {
        None => service::volume(&core, &args.volume).await?,
        Some(word) => {
            let reason = args.reason.unwrap_or_default();
            let (to, actor) = (word.into(), actor());
            service::set_mode(&core, &actor, &args.volume, to, &reason, args.override_gate).await?
        }
    };
    if args.json {
        println!("{}", json(&view));
    } else {
        print!("{}", text(&view));
    }
    Ok(ExitCode::SUCCESS)
}

fn json(view: &VolumeView) -> serde_json::Value {
    let mut object = serde_json::json!(view.mode);
    object["volume"] = serde_json::json!(view.name);
    object["gate"] = serde_json::json!(view.gate);
    object["reach"] = serde_json::json!(view.reach);
    let copies = view.copies.iter().map(|copy| (copy.name.clone(), serde_json::json!(copy.reach)));
    object["copies"] = copies.collect::<serde_json::Map<_, _>>().into();
    object
}

fn text(view: &VolumeView) -> String {
    let mode = &view.mode;
    let since = mode.since().format("%Y-%m-%d %H:%M:%S UTC");
    let mut text =
        format!("{} is {} since {since}, by {}: {}\n", view.name, mode.mode(), mode.by(), mode.reason());
    for seen in mode.evidence() {
        text.push_str(&format!("  seen: {seen}\n"));
    }
    match mode {
        ModeState::Normal { .. } => {}
        _ if view.gate.is_empty() => text.push_str("The gate back to normal is open.\n"),
        _ => {
            text.push_str("The gate back to normal waits for:\n");
            for point in &view.gate {
                text.push_str(&format!("  - {point}\n"));
            }
        }
    }
    let copies = view.copies.iter().map(|copy| (format!("The copy {}", copy.name), &copy.reach));
    for (place, reach) in std::iter::once(("The volume".to_owned(), &view.reach)).chain(copies) {
        match reach {
            Reach::Reached => {}
            Reach::Unreachable(why) => text.push_str(&format!("{place} is out of reach: {why}\n")),
            Reach::NotKnownYet(why) => text.push_str(&format!("{place}: not known yet, {why}\n")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_told_with_its_evidence_and_what_the_gate_waits_for() {
        let mut view = VolumeView::sample();
        view.copies[0].reach = Reach::Unreachable("the folder /backup/local does not exist".into());
        view.copies[1].reach = Reach::NotKnownYet("it has not answered for 2 s".into());
        let text = text(&view);
        for words in [
            "uploads is read_only since 1970-01-01 00:00:00 UTC",
            "seen: errors_count is 1",
            "- 12 files are missing",
            "The copy local is out of reach: the folder /backup/local does not exist",
            "The copy offsite: not known yet, it has not answered for 2 s",
        ] {
            assert!(text.contains(words), "\"{words}\" is not in: {text}");
        }
        assert_eq!(json(&view)["mode"], "read_only");
        assert_eq!(json(&view)["gate"][0], "12 files are missing");
        assert_eq!(json(&view)["reach"]["unreachable"], false);
        assert_eq!(json(&view)["copies"]["offsite"]["not_known_yet"], true);
    }
}
