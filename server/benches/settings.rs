//! What is measured and how often: from the environment, with defaults that take some minutes in all.

use std::path::PathBuf;
use std::process::Command;

use crate::Outcome;

pub struct Settings {
    /// Files of the volume, and bytes in each.
    pub files: u64,
    pub bytes: u64,
    /// The tables show medians of so many rounds.
    pub rounds: usize,
    /// Sizes of volume in the benchmark of growth.
    pub growth: Vec<u64>,
    /// Instead of a file system in memory.
    pub folder: Option<PathBuf>,
    /// The Salvor that is measured.
    pub program: String,
    /// Keep the figures in README.md and figures.svg.
    pub write: bool,
    /// How the benchmarks were called.
    called: String,
}

impl Settings {
    pub fn read() -> Outcome<Self> {
        let mut set: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("SALVOR_B"))
            .collect();
        set.sort();
        let get = |name: &str| set.iter().find(|(set, _)| set == name).map(|(_, value)| value.clone());
        let number = |name: &str, or: u64| match get(name) {
            Some(text) => {
                text.parse().map_err(|_| format!("{name} is \"{text}\" and must be a whole number"))
            }
            None => Ok(or),
        };
        let long = get("SALVOR_BENCH_GROWTH").is_some_and(|value| value != "0");
        let shown = set.iter().filter(|(name, _)| name != "SALVOR_BENCH_WRITE" && name != "SALVOR_BIN");
        let shown: String = shown.map(|(name, value)| format!("{name}={value} ")).collect();
        Ok(Self {
            files: number("SALVOR_BENCH_FILES", 20_000)?.max(1),
            bytes: number("SALVOR_BENCH_BYTES", 30_000)?,
            rounds: usize::try_from(number("SALVOR_BENCH_ROUNDS", 3)?)?.max(1),
            growth: if long { vec![10_000, 100_000, 1_000_000] } else { vec![10_000, 50_000, 100_000] },
            folder: get("SALVOR_BENCH_DIR").map(PathBuf::from),
            program: get("SALVOR_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_salvor").to_owned()),
            write: get("SALVOR_BENCH_WRITE").is_some_and(|value| value != "0"),
            called: format!("{shown}make bench"),
        })
    }

    /// One line on where and how the figures came about.
    pub fn machine(&self) -> String {
        let said = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().ok()?;
            Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once([':', '='])?.1.trim().trim_matches('"').to_owned())
        };
        let unknown = || "unknown".to_owned();
        let processor = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(unknown);
        let memory = field(&read("/proc/meminfo"), "MemTotal")
            .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
            .map_or_else(unknown, |kib| format!("{} GiB", kib >> 20));
        let system = field(&read("/etc/os-release"), "PRETTY_NAME").unwrap_or_else(unknown);
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        format!(
            "`{}`: {processors} processors ({processor}), {memory} of memory, {system}, Linux {}, {}.",
            self.called,
            said("uname", &["-r"]).unwrap_or_else(unknown),
            match &self.folder {
                Some(folder) => format!("in {}", folder.display()),
                None => crate::place::kind().to_owned(),
            },
        )
    }
}
