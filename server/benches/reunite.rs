//! Reunite beside the reading that it cannot do without: a volume whose files have all lost their names.
//!
//! `SALVOR_BENCH_FILES` (20000) files of `SALVOR_BENCH_BYTES` (30000) bytes in `SALVOR_BENCH_DIR` (a temporary folder),
//! `SALVOR_BENCH_ROUNDS` (3) rounds; `SALVOR_BIN` measures another program. `b3sum` reads the same nameless files; what a
//! reunite takes beyond that is its own.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Bench {
    folder: PathBuf,
    files: u64,
    program: String,
}

/// Seconds, and the most memory that it had at once in MiB.
type Run = (f64, f64);

fn main() -> ExitCode {
    // `cargo test --benches` only asks whether it builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("reunite: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let temporary = tempfile::tempdir()?;
    let variables: Vec<(String, String)> = salvor::config::environment().collect();
    let variable = |name: &str| variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let number = |name: &str, or: u64| variable(name).map_or(Ok(or), |text| text.parse());
    let (bytes, rounds) = (number("SALVOR_BENCH_BYTES", 30_000)?, number("SALVOR_BENCH_ROUNDS", 3)?.max(1));
    let bench = Bench {
        folder: variable("SALVOR_BENCH_DIR")
            .map_or(temporary.path().to_owned(), PathBuf::from)
            .join("reunite"),
        files: number("SALVOR_BENCH_FILES", 20_000)?.max(1),
        program: variable("SALVOR_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_salvor").to_owned()),
    };
    bench.prepare(usize::try_from(bytes)?)?;
    let (mut ours, mut reading) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        eprintln!("round {round}");
        bench.lose_names()?;
        let lost = bench.at("volume/lost+found");
        reading.push(
            bench.time(&format!("find '{}' -type f -print0 | xargs -0 b3sum --no-names", lost.display()))?,
        );
        ours.push(bench.time(&bench.salvor("reunite bench"))?);
    }
    let (total, hashing) = (median(&ours), median(&reading));
    let beyond = (total - hashing).max(f64::EPSILON);
    let peak = ours.iter().map(|(_, peak)| *peak).fold(0.0, f64::max);
    let rate = |seconds: f64| bench.files as f64 / seconds;
    println!("{} nameless files of {bytes} bytes, median of {rounds} rounds\n", bench.files);
    println!("| | seconds | files/s | peak MiB |\n|---|---:|---:|---:|");
    println!("| salvor reunite | {total:.3} | {:.0} | {peak:.0} |", rate(total));
    println!("| b3sum of the same files | {hashing:.3} | {:.0} | |", rate(hashing));
    println!("| reunite beyond the hashing | {beyond:.3} | {:.0} | |", rate(beyond));
    std::fs::remove_dir_all(&bench.folder)?;
    Ok(())
}

fn median(runs: &[Run]) -> f64 {
    let mut seconds: Vec<f64> = runs.iter().map(|(seconds, _)| *seconds).collect();
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Bench {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn salvor(&self, what: &str) -> String {
        format!("'{}' --config '{}' {what} >/dev/null", self.program, self.at("salvor.toml").display())
    }

    /// A volume and a catalogue that knows it.
    fn prepare(&self, bytes: usize) -> Outcome<()> {
        let _ = std::fs::remove_dir_all(&self.folder);
        for name in ["volume/lost+found", "copy"] {
            std::fs::create_dir_all(self.at(name))?;
        }
        std::fs::write(
            self.at("salvor.toml"),
            "[server]\ndata_dir = \"data\"\n[[volume]]\nname = \"bench\"\npath = \"volume\"\n\
             [[volume.copy]]\nname = \"local\"\nkind = \"fs\"\nplacement = \"onsite\"\npath = \"copy\"\n",
        )?;
        let mut content = blake3::Hasher::new().finalize_xof();
        let mut room = vec![0; bytes];
        for number in 0..self.files {
            let folder = self.at("volume").join(format!("site{:05}/pictures", number / 250));
            if number % 250 == 0 {
                std::fs::create_dir_all(&folder)?;
            }
            content.fill(&mut room);
            std::fs::write(folder.join(format!("image-{number:011}.jpg")), &room)?;
        }
        self.time(&self.salvor("protect bench")).map(drop)
    }

    /// As after a file system's check: every file lies in lost+found under a number.
    fn lose_names(&self) -> Outcome<()> {
        let lost = self.at("volume/lost+found");
        for number in 0..self.files {
            let name = format!("volume/site{:05}/pictures/image-{number:011}.jpg", number / 250);
            std::fs::rename(self.at(&name), lost.join(format!("#{}", 1_000_000 + number)))?;
        }
        self.time(&format!("sync -f '{}'", lost.display())).map(drop)
    }

    fn time(&self, command: &str) -> Outcome<Run> {
        let started = Instant::now();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("all() {{ {command}; }}; all")]).env("SALVOR_LOG", "error");
        for name in ["DIR", "FILES", "BYTES", "ROUNDS"] {
            shell.env_remove(format!("SALVOR_BENCH_{name}"));
        }
        let mut child = shell.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let mut peak_mib: f64 = 0.0;
        loop {
            if let Some(status) = child.try_wait()? {
                let seconds = started.elapsed().as_secs_f64();
                return if status.success() {
                    Ok((seconds, peak_mib))
                } else {
                    Err(format!("{status}: {command}").into())
                };
            }
            peak_mib = peak_mib.max(peak_of_children(child.id()));
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

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
