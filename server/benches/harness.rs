//! Programs that run in turns on the same files, and what each run took.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::settings::Settings;

/// What one run of a program took.
#[derive(Clone, Copy)]
pub struct Run {
    pub seconds: f64,
    /// The most memory that it had at once.
    pub peak_mib: f64,
}

/// One program in one discipline.
pub struct Contestant {
    pub name: &'static str,
    /// For a shell.
    command: String,
    /// How much faster than it Salvor is to be.
    pub target: Option<f64>,
    runs: Vec<Run>,
}

impl Contestant {
    pub fn new(name: &'static str, command: String) -> Self {
        Self { name, command, target: None, runs: Vec::new() }
    }

    pub fn peer(name: &'static str, target: f64, command: String) -> Self {
        Self { target: Some(target), ..Self::new(name, command) }
    }

    pub fn seconds(&self) -> impl Iterator<Item = f64> {
        self.runs.iter().map(|run| run.seconds)
    }

    pub fn peak_mib(&self) -> f64 {
        self.runs.iter().map(|run| run.peak_mib).fold(0.0, f64::max)
    }
}

/// Programs that do the same, ours first.
pub struct Contest {
    pub title: &'static str,
    pub files: u64,
    pub contestants: Vec<Contestant>,
}

impl Contest {
    /// All in turns, `rounds` times; `prepare` comes before each run.
    pub fn hold(&mut self, tree: &Tree, rounds: usize, prepare: impl Fn() -> Outcome<()>) -> Outcome<()> {
        for round in 1..=rounds {
            for contestant in &mut self.contestants {
                prepare()?;
                eprintln!("  round {round}: {}, {}", self.title, contestant.name);
                contestant.runs.push(tree.run(&contestant.command)?);
            }
        }
        Ok(())
    }
}

/// A volume with its copy, and a Salvor that is configured for them.
pub struct Tree {
    folder: PathBuf,
    program: String,
}

impl Tree {
    /// An empty volume "bench" in `folder`; `copy` are the lines of the configuration that say what its copy is.
    pub fn new(settings: &Settings, folder: &Path, copy: &str) -> Outcome<Self> {
        let tree = Self { folder: folder.to_owned(), program: settings.program.clone() };
        let _ = std::fs::remove_dir_all(folder);
        for name in ["volume", "copy"] {
            std::fs::create_dir_all(tree.at(name))?;
        }
        let config = format!(
            "[server]\ndata_dir = \"data\"\n[[volume]]\nname = \"bench\"\npath = \"volume\"\n[[volume.copy]]\n{copy}"
        );
        std::fs::write(tree.at("salvor.toml"), config)?;
        Ok(tree)
    }

    /// A copy in the folder `copy`.
    pub fn with_folder(settings: &Settings, folder: &Path) -> Outcome<Self> {
        Self::new(
            settings,
            folder,
            "name = \"local\"\nkind = \"fs\"\nplacement = \"onsite\"\npath = \"copy\"\n",
        )
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes files below `volume` whose bytes repeat nowhere, under [`name_of`] their numbers.
    pub fn fill(&self, files: u64, bytes: u64) -> Outcome<()> {
        eprintln!("  writing {files} files of {bytes} bytes below {}", self.folder.display());
        let mut content = blake3::Hasher::new().finalize_xof();
        let mut room = vec![0; usize::try_from(bytes)?];
        for number in 0..files {
            let path = self.at("volume").join(name_of(number));
            if number % IN_A_FOLDER == 0
                && let Some(folder) = path.parent()
            {
                std::fs::create_dir_all(folder)?;
            }
            content.fill(&mut room);
            std::fs::write(path, &room)?;
        }
        Ok(())
    }

    /// `salvor WHAT`, for [`Tree::run`].
    pub fn salvor(&self, what: &str) -> String {
        format!("{} --config {} {what} >/dev/null", quoted(&self.program), self.shown("salvor.toml"))
    }

    /// A path below the tree's folder as a word for the shell.
    pub fn shown(&self, name: &str) -> String {
        quoted(&self.at(name).display().to_string())
    }

    /// An empty volume, and nothing left to be written. The mark by which Salvor knows the volume stays.
    pub fn empty_volume(&self) -> Outcome<()> {
        for entry in std::fs::read_dir(self.at("volume"))? {
            let entry = entry?;
            if entry.file_name() == ".salvor" {
                continue;
            }
            match entry.file_type()?.is_dir() {
                true => std::fs::remove_dir_all(entry.path())?,
                false => std::fs::remove_file(entry.path())?,
            }
        }
        self.sync()
    }

    /// Nothing is left to be written.
    pub fn sync(&self) -> Outcome<()> {
        self.run(&format!("sync -f {}", quoted(&self.folder.display().to_string()))).map(drop)
    }

    pub fn run(&self, command: &str) -> Outcome<Run> {
        let started = Instant::now();
        // In a function, so that the shell stays beside the program and shows whose memory is whose.
        let mut child = plain("sh").args(["-c", &format!("all() {{ {command}; }}; all")]).spawn()?;
        let (status, peak_mib) = watched(&mut child)?;
        let seconds = started.elapsed().as_secs_f64();
        if status.success() {
            Ok(Run { seconds, peak_mib })
        } else {
            Err(format!("{status}: {command}").into())
        }
    }
}

const IN_A_FOLDER: u64 = 250;

/// Where the volume's file of this number lies: 40 bytes.
pub fn name_of(number: u64) -> String {
    format!("site{:05}/pictures/image-{number:011}.jpg", number / IN_A_FOLDER)
}

/// A program without input whose environment has nothing of Salvor's but its silence.
pub fn plain(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SALVOR_") {
            command.env_remove(name);
        }
    }
    command
        .env("SALVOR_LOG", "error")
        .env("RCLONE_CONFIG", "/nonexistent/rclone.conf")
        .env("RESTIC_PASSWORD", "bench");
    command.env("AWS_ACCESS_KEY_ID", crate::link::KEY.0).env("AWS_SECRET_ACCESS_KEY", crate::link::KEY.1);
    command.stdin(Stdio::null());
    command
}

/// Whether this machine has a program; says so where it has not.
pub fn has(program: &str) -> bool {
    let found = plain("sh").args(["-c", &format!("command -v {program} >/dev/null")]).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        eprintln!("  {program} is not installed (.ci/setup bench does that) and is left out");
    }
    found
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// As one word for the shell.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn watched(child: &mut Child) -> Outcome<(ExitStatus, f64)> {
    let mut peak_mib: f64 = 0.0;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, peak_mib));
        }
        peak_mib = peak_mib.max(peak_of_children(child.id()));
        std::thread::sleep(Duration::from_millis(2));
    }
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
