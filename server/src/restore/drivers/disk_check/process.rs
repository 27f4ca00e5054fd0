//! The tool's process: how it is started, read, watched and ended. It is given nothing of Salvor's environment.
//!
//! Invariant: it leads a process group of its own, so that what it starts ends with it, and it never reads from a terminal.

use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, kill_process_group};
use salvor_domain::disk_check::Exit;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::{Receiver, pipe};
use tokio::process::{Child, Command};

use crate::config::environment;
use crate::restore::store::disk_checks::{LONGEST_LINE, Process};

/// Where e2fsck tells its progress.
const PROGRESS: i32 = 3;
/// Where such tools lie, beside PATH: users' services often lack it.
const SYSTEM_PATHS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

pub struct Running {
    pub child: Child,
    pub process: Process,
    pub output: Lines,
    pub progress: Lines,
}

/// Starts it. The error says what could not be done.
pub fn start(argv: &[String]) -> Result<Running, String> {
    let (program, arguments) = argv.split_first().ok_or("the command is empty")?;
    let file = find(program)?;
    let broken = |error: std::io::Error| format!("{program} could not be started: {error}");
    let (told, output) = pipe().map_err(broken)?;
    let told = told.into_blocking_fd().map_err(broken)?;
    let (progressed, progress) = pipe().map_err(broken)?;
    let progressed = progressed.into_blocking_fd().map_err(broken)?;
    let mut command = Command::new(file);
    command.args(arguments).env_clear().env("PATH", path().join(":")).env("LC_ALL", "C");
    // Both in one pipe, so that the lines keep their order.
    command.stdin(Stdio::null()).stdout(told.try_clone().map_err(broken)?).stderr(told);
    command.process_group(0).kill_on_drop(true);
    let mapping = FdMapping { parent_fd: progressed, child_fd: PROGRESS };
    command.fd_mappings(vec![mapping]).map_err(|why| why.to_string())?;
    let child = command.spawn().map_err(broken)?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
    // One that has ended already waits to be asked how: its entry is there until then.
    let ticks = Stat::of(pid).map_or(0, |stat| stat.started);
    Ok(Running {
        child,
        process: Process { pid, ticks },
        output: Lines::of(output),
        progress: Lines::of(progress),
    })
}

/// Waits for its end; may be dropped and called again.
pub async fn ended(child: &mut Child) -> Result<Exit, String> {
    let status = child.wait().await;
    status.map(exit).map_err(|error| format!("how the process ended could not be learnt: {error}"))
}

/// To all of its group.
pub fn signal(process: Process, signal: Signal) {
    if let Some(group) = Pid::from_raw(process.pid)
        && let Err(error) = kill_process_group(group, signal)
    {
        tracing::warn!(%error, pid = process.pid, "a process could not be told to end");
    }
}

fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}

/// Runs a short command that belongs to a check (its state, its pause), and gives what it says.
pub async fn ask(argv: &[&str], patience: Duration) -> Result<String, String> {
    let (program, arguments) = argv.split_first().ok_or("the command is empty")?;
    let mut command = Command::new(find(program)?);
    command.args(arguments).env_clear().env("PATH", path().join(":")).env("LC_ALL", "C");
    command.stdin(Stdio::null()).kill_on_drop(true);
    let shown = argv.join(" ");
    let answer = tokio::time::timeout(patience, command.output()).await;
    let answer = answer.map_err(|_| format!("{shown} has not answered"))?;
    let answer = answer.map_err(|error| format!("{shown}: {error}"))?;
    let said = String::from_utf8_lossy(&answer.stdout).into_owned();
    match answer.status.success() {
        true => Ok(said),
        false => Err(format!("{shown}: {}", String::from_utf8_lossy(&answer.stderr).trim())),
    }
}

/// The program's file: as it is named, or in the folders where such lie.
pub fn find(program: &str) -> Result<PathBuf, String> {
    let is_there = |file: &Path| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        let file = PathBuf::from(program);
        return if is_there(&file) { Ok(file) } else { Err(format!("{program} is not a program")) };
    }
    let found = path().iter().map(|folder| Path::new(folder).join(program)).find(|file| is_there(file));
    found.ok_or_else(|| {
        let package = match program {
            "e2fsck" => ": install e2fsprogs",
            "xfs_repair" => ": install xfsprogs",
            "btrfs" => ": install btrfs-progs",
            "zpool" => ": install zfsutils-linux",
            _ => "",
        };
        format!("the program {program} is not installed{package}")
    })
}

fn path() -> Vec<String> {
    let own = environment().find_map(|(name, value)| (name == "PATH").then_some(value)).unwrap_or_default();
    let own = own.split(':').filter(|folder| folder.starts_with('/')).map(str::to_owned);
    own.chain(SYSTEM_PATHS.map(str::to_owned)).collect()
}

/// What comes through a pipe, line by line and bounded; a carriage return ends a line as well.
pub struct Lines {
    pipe: Option<Receiver>,
    line: Vec<u8>,
}

impl Lines {
    fn of(pipe: Receiver) -> Self {
        Self { pipe: Some(pipe), line: Vec::new() }
    }

    pub fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// The lines that came; none at the end. May be dropped and called again.
    pub async fn next(&mut self) -> Vec<String> {
        let Some(pipe) = &mut self.pipe else { return std::future::pending().await };
        let mut buffer = [0; 16 << 10];
        match pipe.read(&mut buffer).await {
            Ok(count) if count > 0 => self.cut(&buffer[..count]),
            _ => {
                self.pipe = None;
                if self.line.is_empty() { Vec::new() } else { vec![self.end_line()] }
            }
        }
    }

    fn cut(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            match byte {
                b'\n' => lines.push(self.end_line()),
                // A bar is drawn over and over: what it drew last is a line, an empty one is none.
                b'\r' if self.line.is_empty() => {}
                b'\r' => lines.push(self.end_line()),
                _ if self.line.len() < LONGEST_LINE => self.line.push(byte),
                _ => {}
            }
        }
        lines
    }

    /// Without what a terminal would act on, nor what a database refuses.
    fn end_line(&mut self) -> String {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        let shown: String = text.chars().filter(|&c| c == '\t' || !c.is_control()).collect();
        super::shown::shortened(shown.trim_end().to_owned(), LONGEST_LINE - '…'.len_utf8())
    }
}

/// What a process group has read and written, and how much of the processor it used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Signs {
    pub read_bytes: u64,
    pub written_bytes: u64,
    pub ticks: u64,
}

/// Of all processes of the group; those that have ended are no longer counted.
pub fn signs(group: i32) -> Signs {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut all = Signs::default();
    for pid in pids {
        let Some(stat) = Stat::of(pid).filter(|stat| stat.group == group) else { continue };
        let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        let figure = |name: &str| {
            let line = io.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.and_then(|figure| figure.parse::<u64>().ok()).unwrap_or(0)
        };
        // From the disk and from the page cache: either is work.
        all.read_bytes += figure("read_bytes").max(figure("rchar"));
        all.written_bytes += figure("write_bytes");
        all.ticks += stat.ticks;
    }
    all
}

/// Whether this very process is still there and at work.
pub fn is_alive(process: Process) -> bool {
    Stat::of(process.pid).is_some_and(|stat| stat.started == process.ticks && stat.is_running)
}

/// Of `/proc/PID/stat`.
struct Stat {
    is_running: bool,
    group: i32,
    /// Of the processor.
    ticks: u64,
    /// Since the machine was started.
    started: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        Self::parsed(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name of the program, in parentheses, may hold anything; behind it come the figures from the third on.
    fn parsed(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let words: Vec<&str> = rest.split_ascii_whitespace().collect();
        let figure = |number: usize| words.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            is_running: !matches!(words.first(), Some(&"Z" | &"X")),
            group: words.get(2)?.parse().ok()?,
            ticks: figure(14)? + figure(15)?,
            started: figure(22)?,
        })
    }
}

/// A command as a person would type it.
pub fn typed(argv: &[String]) -> String {
    let quoted = |word: &String| {
        let is_plain = !word.is_empty()
            && OsStr::new(word)
                .as_encoded_bytes()
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(b));
        if is_plain { word.clone() } else { format!("'{}'", word.replace('\'', "'\\''")) }
    };
    argv.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).into()
    }

    async fn said(script: &str) -> (Vec<String>, Vec<String>, Exit) {
        let mut running = start(&command(script)).unwrap();
        let (mut output, mut progress) = (Vec::new(), Vec::new());
        while running.output.is_open() || running.progress.is_open() {
            tokio::select! {
                lines = running.output.next() => output.extend(lines),
                lines = running.progress.next() => progress.extend(lines),
            }
        }
        (output, progress, ended(&mut running.child).await.unwrap())
    }

    #[tokio::test]
    async fn output_and_progress_come_line_by_line() {
        let (output, progress, exit) =
            said("echo one; echo two >&2; printf 'bar\\rbar 2\\r\\n\\001three'; echo '1 2 3 x' >&3; exit 5")
                .await;
        assert_eq!(output, ["one", "two", "bar", "bar 2", "", "three"]);
        assert_eq!(progress, ["1 2 3 x"]);
        assert_eq!(exit, Exit::Code(5));
    }

    #[tokio::test]
    async fn nothing_of_the_environment_is_passed_on_and_a_line_is_bounded() {
        let (output, _, _) =
            said("env | cut -d= -f1 | sort | tr '\\n' ' '; echo; yes x | head -c 5000 | tr -d '\\n'").await;
        // What a shell sets itself.
        let own = ["LC_ALL", "PATH", "PWD", "OLDPWD", "SHLVL", "_"];
        assert!(output[0].split_whitespace().all(|name| own.contains(&name)), "{output:?}");
        assert!(output[1].len() <= LONGEST_LINE && output[1].len() > 900, "{}", output[1].len());
    }

    #[tokio::test]
    async fn its_whole_group_is_watched_and_ended() {
        let mut running =
            start(&command("(head -c 3000000 /dev/zero >/dev/null; exec sleep 1000) & echo up; wait"))
                .unwrap();
        assert_eq!(running.output.next().await, ["up"]);
        let process = running.process;
        assert!(is_alive(process) && !is_alive(Process { ticks: process.ticks + 1, ..process }));
        while signs(process.pid).read_bytes < 3_000_000 {
            tokio::task::yield_now().await;
        }
        signal(process, Signal::TERM);
        assert_eq!(ended(&mut running.child).await, Ok(Exit::Signal(15)));
        // The pipe is closed: nobody of the group holds it any more.
        assert_eq!(running.output.next().await, [""; 0]);
        assert!(!is_alive(process));
    }

    #[test]
    fn a_program_that_is_missing_is_named_with_its_package() {
        assert!(find("salvor-has-none").unwrap_err().contains("not installed"));
        assert!(find("/etc/passwd").unwrap_err().contains("is not a program"));
        assert!(find("sh").unwrap().is_absolute());
    }

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let argv = ["e2fsck", "-f", "/dev/a b", "it's"].map(str::to_owned);
        assert_eq!(typed(&argv), r"e2fsck -f '/dev/a b' 'it'\''s'");
    }

    #[test]
    fn the_name_of_a_program_may_hold_anything() {
        let text = format!("12 (a) S (b) R 1 77 {}", (6..=24).map(|n| format!("{n} ")).collect::<String>());
        let stat = Stat::parsed(&text);
        assert!(stat.is_some_and(|stat| stat.group == 77 && stat.is_running));
    }
}
