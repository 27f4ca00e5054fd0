//! `salvor inspect`: what Salvor makes of a tool's output. It needs no configuration and no database.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use salvor_domain::health::Level;
use salvor_probes::inspect::{Inspection, KINDS, inspect};

use super::{CliError, SOMETHING_WRONG};

/// More than any of these tools writes.
const MAX_BYTES: u64 = 64 << 20;

/// Show what Salvor makes of the output of a tool
///
/// Exit 1 when anything in it is not well, or cannot be told.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(value_parser = PossibleValuesParser::new(KINDS))]
    kind: String,
    /// The tool's output; - reads it from stdin
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<ExitCode, CliError> {
    let text = read(&args.file)
        .map_err(|error| CliError::Failed(format!("{} could not be read: {error}", args.file.display())))?;
    let inspection =
        inspect(&args.kind, &args.file, &text).map_err(|error| CliError::Usage(error.to_string()))?;
    if args.json {
        println!("{}", inspection.to_json());
    } else {
        print!("{}", lines(&inspection));
    }
    let is_well = inspection.verdict() == Level::Ok;
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::from(SOMETHING_WRONG) })
}

/// Tools write labels and file names as they find them, in whatever encoding.
fn read(file: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let limit = MAX_BYTES + 1;
    if file == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        File::open(file)?.take(limit).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("it has more than {} MiB", MAX_BYTES >> 20)));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The worst first.
fn lines(inspection: &Inspection) -> String {
    let mut subjects: Vec<_> = inspection.subjects.iter().collect();
    subjects.sort_by_key(|subject| std::cmp::Reverse(subject.level));
    let width = subjects.iter().map(|subject| subject.name.chars().count()).max().unwrap_or(0);
    subjects
        .iter()
        .map(|subject| format!("{:8}  {:width$}  {}\n", subject.level, subject.name, subject.reason))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_the_worst_first() {
        let text = "Personalities : [raid1]\n\
            md1 : active raid1 sda2[0] sdb2[1]\n      248896 blocks [2/2] [UU]\n\n\
            md10 : active raid1 sda1[0]\n      248896 blocks [2/1] [U_]\n\n\
            unused devices: <none>\n";
        let inspection = inspect("mdstat", Path::new("-"), text).unwrap();
        assert_eq!(
            lines(&inspection),
            "critical  *     1 of 2 arrays are well\n\
             critical  md10  degraded, 1 of 2 members down and no rebuild is running: add a disk\n\
             ok        md1   all 2 members work\n"
        );
    }
}
