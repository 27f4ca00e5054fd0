//! `salvor limit`: how fast a copy is read, over its configuration.

use std::process::ExitCode;

use salvor_domain::limits::{Change, Limits, LimitsChange};

use super::jobs::rate;
use super::{CliError, actor};
use crate::core::Core;
use crate::volumes::limits;

/// Limit how fast a copy is read, over its configuration and timetable; running jobs follow within a second
///
/// A limit that is not named stays as it is.
#[derive(Debug, clap::Args)]
pub struct Args {
    volume: String,
    copy: String,
    /// At most this much, such as '20 Mbit/s'; 0 lets nothing through until it is changed
    #[arg(long, value_name = "RATE")]
    bandwidth: Option<String>,
    /// At most so many files a second
    #[arg(long, value_name = "N")]
    files_per_second: Option<u64>,
    /// Without a limit, whatever the configuration says
    #[arg(long, conflicts_with_all = ["bandwidth", "files_per_second"])]
    unlimited: bool,
    /// Back to the configuration and its timetable
    #[arg(long, conflicts_with_all = ["bandwidth", "files_per_second", "unlimited"])]
    clear: bool,
    /// Print what holds now as one JSON object
    #[arg(long)]
    json: bool,
}

pub async fn run(core: Core, args: Args) -> Result<ExitCode, CliError> {
    let bandwidth = args.bandwidth.as_deref().map(rate).transpose()?;
    let to = LimitsChange {
        bandwidth: bandwidth.map_or(Change::Keep, |rate| Change::To(Some(rate))),
        files_per_second: args.files_per_second.map_or(Change::Keep, |files| Change::To(Some(files))),
    };
    let said = match (args.clear, args.unlimited) {
        (true, _) => None,
        (_, true) => Some(Limits::default().into()),
        _ if to == LimitsChange::default() => {
            return Err(CliError::Usage(
                "say --bandwidth, --files-per-second, --unlimited or --clear".into(),
            ));
        }
        _ => Some(to),
    };
    let now = limits::set_copy_limits(&core, &actor(), &args.volume, &args.copy, said).await?;
    if args.json {
        let text = serde_json::to_string(&now).map_err(|why| CliError::Failed(why.to_string()))?;
        println!("{text}");
    } else {
        println!("{}, {}: {} ({}).", args.volume, args.copy, now.limits, now.basis);
    }
    Ok(ExitCode::SUCCESS)
}
