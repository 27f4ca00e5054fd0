//! Restore, full check and quick check beside what one would use otherwise: the same files, in turns, in one run.
//!
//! `SALVOR_BENCH_FILES` (20000) files of `SALVOR_BENCH_BYTES` (30000) bytes in `SALVOR_BENCH_DIR` (a temporary folder),
//! `SALVOR_BENCH_ROUNDS` (3) rounds; `SALVOR_BIN` measures another program. See README.md beside this file.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What one run of a program took.
#[derive(Clone, Copy)]
struct Run {
    seconds: f64,
    /// The most memory that it had at once.
    peak_mib: f64,
}

/// One contestant in one discipline.
struct Contestant {
    discipline: &'static str,
    name: &'static str,
    command: String,
    /// The target is emptied before each run.
    writes: bool,
}

struct Bench {
    folder: PathBuf,
    files: u64,
    bytes: u64,
    rounds: usize,
    program: String,
}

fn main() -> ExitCode {
    // `cargo test --benches` only asks whether it builds.
    if !std::env::args().any(|arg| arg == "--bench") {
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("main_job: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let temporary = tempfile::tempdir()?;
    let variables: Vec<(String, String)> = salvor::config::environment().collect();
    let variable = |name: &str| variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let number = |name: &str, or: u64| variable(name).map_or(Ok(or), |text| text.parse());
    let bench = Bench {
        folder: variable("SALVOR_BENCH_DIR")
            .map_or(temporary.path().to_path_buf(), PathBuf::from)
            .join("main_job"),
        files: number("SALVOR_BENCH_FILES", 20_000)?,
        bytes: number("SALVOR_BENCH_BYTES", 30_000)?,
        rounds: usize::try_from(number("SALVOR_BENCH_ROUNDS", 3)?)?.max(1),
        program: variable("SALVOR_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_salvor").to_owned()),
    };
    bench.prepare()?;
    let contestants = bench.contestants();
    let mut runs: Vec<Vec<Run>> = contestants.iter().map(|_| Vec::new()).collect();
    for round in 1..=bench.rounds {
        for (contestant, runs) in contestants.iter().zip(&mut runs) {
            eprintln!("round {round}: {} {}", contestant.discipline, contestant.name);
            if contestant.writes {
                bench.empty_target()?;
            }
            runs.push(bench.time(&contestant.command)?);
        }
    }
    bench.show(&contestants, &runs)?;
    std::fs::remove_dir_all(&bench.folder)?;
    Ok(())
}

impl Bench {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The volume, its copy, and a catalogue that knows them.
    fn prepare(&self) -> Outcome<()> {
        let _ = std::fs::remove_dir_all(&self.folder);
        for name in ["volume", "copy"] {
            std::fs::create_dir_all(self.at(name))?;
        }
        std::fs::write(
            self.at("salvor.toml"),
            "[server]\ndata_dir = \"data\"\n[[volume]]\nname = \"bench\"\npath = \"volume\"\n\
             [[volume.copy]]\nname = \"local\"\nkind = \"fs\"\nplacement = \"onsite\"\npath = \"copy\"\n",
        )?;
        eprintln!("writing {} files of {} bytes below {}", self.files, self.bytes, self.folder.display());
        let mut content = blake3::Hasher::new().finalize_xof();
        let mut bytes = vec![0; usize::try_from(self.bytes)?];
        for number in 0..self.files {
            let folder = self.at("volume").join(format!("site{:04}", number / 250));
            if number % 250 == 0 {
                std::fs::create_dir_all(&folder)?;
            }
            content.fill(&mut bytes);
            std::fs::write(folder.join(format!("{number}.jpg")), &bytes)?;
        }
        let protect = self.time(&self.salvor("protect bench"))?;
        eprintln!("protect: {:.2} s, {:.0} MiB", protect.seconds, protect.peak_mib);
        Ok(())
    }

    fn salvor(&self, what: &str) -> String {
        format!("'{}' --config '{}' {what} >/dev/null", self.program, self.at("salvor.toml").display())
    }

    fn contestants(&self) -> Vec<Contestant> {
        let (volume, copy) = (self.at("volume"), self.at("copy"));
        let (volume, copy) = (volume.display(), copy.display());
        let one = |discipline, name, command, writes| Contestant { discipline, name, command, writes };
        let listed = format!("find '{volume}' -type f -print0");
        vec![
            one("restore", "salvor restore", self.salvor("restore bench"), true),
            one(
                "restore",
                "cp -a, sync",
                format!("cp -a '{copy}/.' '{volume}/' && sync -f '{volume}'"),
                true,
            ),
            one(
                "restore",
                "rsync -a, sync",
                format!("rsync -a '{copy}/' '{volume}/' && sync -f '{volume}'"),
                true,
            ),
            one("full check", "salvor check --full", self.salvor("check bench --full"), false),
            one("full check", "b3sum", format!("{listed} | xargs -0 b3sum --no-names >/dev/null"), false),
            one("quick check", "salvor check", self.salvor("check bench"), false),
            one(
                "quick check",
                "find -printf",
                format!("find '{volume}' -printf '%P %s %T@\\n' >/dev/null"),
                false,
            ),
            one("quick check", "rsync -an", format!("rsync -an '{copy}/' '{volume}/'"), false),
        ]
    }

    fn empty_target(&self) -> Outcome<()> {
        // As `rm -rf *`, which leaves the mark by which Salvor knows the volume.
        for entry in std::fs::read_dir(self.at("volume"))? {
            let entry = entry?;
            if entry.file_name() != ".salvor" {
                match entry.file_type()?.is_dir() {
                    true => std::fs::remove_dir_all(entry.path())?,
                    false => std::fs::remove_file(entry.path())?,
                }
            }
        }
        self.time(&format!("sync -f '{}'", self.folder.display())).map(drop)
    }

    fn time(&self, command: &str) -> Outcome<Run> {
        let started = Instant::now();
        let mut child = Command::new("sh")
            .args(["-c", &format!("exec_() {{ {command}; }}; exec_")])
            .env("SALVOR_LOG", "error")
            .env_remove("SALVOR_BENCH_DIR")
            .env_remove("SALVOR_BENCH_FILES")
            .env_remove("SALVOR_BENCH_BYTES")
            .env_remove("SALVOR_BENCH_ROUNDS")
            .stdin(Stdio::null())
            .spawn()?;
        let mut peak_mib: f64 = 0.0;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            peak_mib = peak_mib.max(peak_of_children(child.id()));
            std::thread::sleep(Duration::from_millis(2));
        };
        let seconds = started.elapsed().as_secs_f64();
        if status.success() {
            Ok(Run { seconds, peak_mib })
        } else {
            Err(format!("{status}: {command}").into())
        }
    }

    fn show(&self, contestants: &[Contestant], runs: &[Vec<Run>]) -> Outcome<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{} files of {} bytes, median of {} rounds\n", self.files, self.bytes, self.rounds)?;
        writeln!(out, "| | program | seconds | files/s | peak MiB | Salvor's speed to its |")?;
        writeln!(out, "|---|---|---:|---:|---:|---:|")?;
        let mut ours = f64::NAN;
        for (contestant, runs) in contestants.iter().zip(runs) {
            let seconds = median(runs.iter().map(|run| run.seconds));
            let peak = runs.iter().map(|run| run.peak_mib).fold(0.0, f64::max);
            let is_ours = contestant.name.starts_with("salvor");
            if is_ours {
                ours = seconds;
            }
            let ratio = if is_ours { String::new() } else { format!("{:.2} ×", seconds / ours) };
            let rate = self.files as f64 / seconds;
            let Contestant { discipline, name, .. } = contestant;
            writeln!(out, "| {discipline} | {name} | {seconds:.3} | {rate:.0} | {peak:.0} | {ratio} |")?;
        }
        Ok(())
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Of the shell's children: the program, and what stands beside it in a pipe.
fn peak_of_children(shell: u32) -> f64 {
    let children =
        std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap_or_default();
    let peak = |process: &str| {
        let status = std::fs::read_to_string(Path::new("/proc").join(process).join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()
    };
    children.split_whitespace().filter_map(peak).fold(0.0, f64::max) / 1024.0
}
