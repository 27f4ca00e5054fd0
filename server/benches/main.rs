//! Salvor beside what one would use otherwise: the same files, in turns, in one run.
//!
//! One program for all benchmarks, so that `cargo bench` links once. Each module is one discipline and gives its table and
//! what it comes to beside the targets; `main` prints them as Markdown and draws them. See README.md beside this file.

mod check;
mod gateway;
mod growth;
mod harness;
mod link;
mod place;
mod plot;
mod proxy;
mod raw;
mod restore;
mod reunite;
mod settings;
mod table;
mod writable;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use settings::Settings;
use table::{Figure, Report};

/// What may go wrong is for a person to read.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

type Bench = fn(&Settings) -> Outcome<Report>;
const BENCHES: [(&str, Bench); 7] = [
    ("restore", restore::run),
    ("reunite", reunite::run),
    ("check", check::run),
    ("link", link::run),
    ("growth", growth::run),
    ("gateway", gateway::run),
    ("writable", writable::run),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` only asks whether it builds.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let done = match arguments.as_slice() {
        [raw, from, to, _] if raw == "raw" => raw::run(Path::new(from), Path::new(to)),
        _ => run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Outcome<()> {
    let settings = Settings::read()?;
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    if let Some(unknown) = wanted.iter().find(|name| BENCHES.iter().all(|(known, _)| known != *name)) {
        let known: Vec<_> = BENCHES.iter().map(|(name, _)| *name).collect();
        return Err(format!("there is no benchmark \"{unknown}\"; there is: {}", known.join(", ")).into());
    }
    let mut reports = Vec::new();
    for (name, bench) in BENCHES {
        if wanted.is_empty() || wanted.iter().any(|wanted| *wanted == name) {
            eprintln!("bench: {name}");
            reports.push(bench(&settings)?);
        }
    }
    let text = markdown(&settings, &reports);
    std::io::stdout().lock().write_all(text.as_bytes())?;
    if settings.write {
        keep(&text, &reports)?;
    }
    Ok(())
}

fn markdown(settings: &Settings, reports: &[Report]) -> String {
    let figures: Vec<&Figure> = reports.iter().flat_map(|report| &report.figures).collect();
    let mut text = format!("{}\n\n", settings.machine());
    text.push_str(&table::of_targets(&figures));
    for report in reports {
        text.push_str(&report.markdown());
    }
    text
}

/// Puts the figures into README.md, between its marks, and the picture beside it.
fn keep(text: &str, reports: &[Report]) -> Outcome<()> {
    const MARKS: (&str, &str) = ("<!-- figures: make bench-figures -->\n", "<!-- /figures -->");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
    let readme = folder.join("README.md");
    let old = std::fs::read_to_string(&readme)?;
    let marked = old.split_once(MARKS.0).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(MARKS.1)?;
        Some(format!("{before}{}\n{text}\n{}{after}", MARKS.0, MARKS.1))
    });
    std::fs::write(&readme, marked.ok_or("README.md has lost the marks around its figures")?)?;
    let figures: Vec<&Figure> = reports.iter().flat_map(|report| &report.figures).collect();
    std::fs::write(folder.join("figures.svg"), plot::svg(&figures))?;
    eprintln!("bench: wrote {} and figures.svg beside it", readme.display());
    Ok(())
}
