//! The same work on ever more files: what a file costs in time and in the database, and how much memory it all takes.

use std::path::Path;

use crate::Outcome;
use crate::harness::{Run, Tree};
use crate::place::{Place, Room};
use crate::settings::Settings;
use crate::table::{Figure, Report};

/// What a file has in it: growth is about their number.
const BYTES: u64 = 400;
const STEPS: [(&str, &str); 4] = [
    ("protect", "protect bench"),
    ("quick check", "check bench"),
    ("full check", "check bench --full"),
    ("restore", "restore bench"),
];

struct Size {
    files: u64,
    runs: Vec<Run>,
    database_bytes: u64,
}

impl Size {
    fn microseconds(&self, step: usize) -> f64 {
        self.runs.get(step).map_or(f64::NAN, |run| run.seconds * 1e6 / self.files as f64)
    }
}

pub fn run(settings: &Settings) -> Outcome<Report> {
    let sizes = settings.growth.iter().map(|&files| measure(settings, files)).collect::<Outcome<Vec<_>>>()?;
    let mut report = Report::new("Growth");
    report.say(format!(
        "Files of {BYTES} bytes under paths of 40 bytes: one after the other protected, checked, checked in full, all lost and \
         all restored; microseconds a file. The database is SQLite's file after all of it."
    ));
    let mut head = vec!["files"];
    head.extend(STEPS.iter().map(|(name, _)| *name));
    head.extend(["peak MiB", "database bytes a file"]);
    let rows: Vec<_> = sizes.iter().map(row).collect();
    report.add_table(&head, &rows);
    let (Some(first), Some(last)) = (sizes.first(), sizes.last()) else { return Ok(report) };
    for (step, (name, _)) in STEPS.iter().enumerate() {
        let ratio = last.microseconds(step) / first.microseconds(step);
        let what = format!("{name}: cost a file, {} files to {}", last.files, first.files);
        report.figures.push(Figure::at_most(what, ratio, "×", 1.2));
    }
    let peak = sizes.iter().flat_map(|size| &size.runs).map(|run| run.peak_mib).fold(0.0, f64::max);
    report.figures.push(Figure::at_most("peak memory of any job", peak, "MiB", 256.0));
    let bytes = last.database_bytes as f64 / last.files as f64;
    report.figures.push(Figure::at_most(format!("database a file, {} files", last.files), bytes, "B", 250.0));
    Ok(report)
}

fn measure(settings: &Settings, files: u64) -> Outcome<Size> {
    let room = Room { bytes: files * 1_024 * 2 + files * 512, files: files * 2, block: 1_024 };
    let place = Place::find(settings.folder.as_deref(), &room)?;
    let tree = Tree::with_folder(settings, &place.folder().join("growth"))?;
    tree.fill(files, BYTES)?;
    let mut runs = Vec::new();
    for (name, command) in STEPS {
        if name == "restore" {
            tree.empty_volume()?;
        }
        eprintln!("  {name}, {files} files");
        runs.push(tree.run(&tree.salvor(command))?);
    }
    Ok(Size { files, runs, database_bytes: database_bytes(&tree.at("data"))? })
}

/// What SQLite keeps, its log included.
fn database_bytes(data: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(data)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("salvor.db") {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

fn row(size: &Size) -> Vec<String> {
    let mut row = vec![size.files.to_string()];
    row.extend((0..STEPS.len()).map(|step| format!("{:.1}", size.microseconds(step))));
    let peak = size.runs.iter().map(|run| run.peak_mib).fold(0.0, f64::max);
    row.push(format!("{peak:.0}"));
    row.push(format!("{:.0}", size.database_bytes as f64 / size.files as f64));
    row
}
