//! `salvor limit`: how fast a copy is read, over its configuration; without options, what holds now.

use std::process::ExitCode;

use salvor_domain::limits::{Limits, LimitsChange};

use super::jobs::rate;
use super::{CliError, actor};
use crate::core::Core;
use crate::volumes::limits;

/// Limit how fast a copy is read, over its configuration and timetable; without options, show what holds now
///
/// Running jobs follow within a second. A limit that is not named stays as it is.
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
    let to = Limits { bandwidth, files_per_second: args.files_per_second }.named();
    let (actor, volume, copy) = (actor(), &args.volume, &args.copy);
    let now = match (args.clear, args.unlimited) {
        (true, _) => limits::set_copy_limits(&core, &actor, volume, copy, None).await?,
        (_, true) => {
            limits::set_copy_limits(&core, &actor, volume, copy, Some(Limits::default().into())).await?
        }
        _ if to == LimitsChange::default() => limits::copy_limits(&core, volume, copy).await?,
        _ => limits::set_copy_limits(&core, &actor, volume, copy, Some(to)).await?,
    };
    if args.json {
        let text = serde_json::to_string(&now).map_err(|why| CliError::Failed(why.to_string()))?;
        println!("{text}");
    } else {
        println!("{}, {}: {} ({}).", args.volume, args.copy, now.limits, now.basis);
    }
    Ok(ExitCode::SUCCESS)
}
