//! Tools that are run: each with a time limit, killed when it is late, and no more read of it than is of use.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

/// Of one tool's output.
const MOST_BYTES: u64 = 4 << 20;
/// From its last word to its end.
const TIME_TO_END: Duration = Duration::from_secs(2);
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Where tools are looked for; the machine's own places where nothing is said.
#[derive(Debug, Clone, Default)]
pub(super) struct Tools(pub Option<PathBuf>);

/// Why a tool gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Silence {
    #[error("{0} is not installed")]
    NotInstalled(String),
    #[error("{0} has not answered for {1} s")]
    Late(String, u64),
    #[error("{0} could not be run: {1}")]
    Failed(String, String),
}

impl Tools {
    /// What a tool prints; how it exits is its own affair. Returns late only while a killed one does not die: what hangs in the kernel
    /// cannot be killed, and is not to be started again on top of itself.
    pub fn run(&self, tool: &str, args: &[&str], patience: Duration) -> Result<String, Silence> {
        let program = self.0.as_ref().map_or_else(|| tool.into(), |folder| folder.join(tool));
        let mut command = Command::new(program);
        command.args(args).env("LC_ALL", "C");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let failed = |why: std::io::Error| match why.kind() {
            std::io::ErrorKind::NotFound => Silence::NotInstalled(tool.to_owned()),
            _ => Silence::Failed(tool.to_owned(), why.to_string()),
        };
        let mut child = command.spawn().map_err(failed)?;
        let Some(output) = child.stdout.take() else {
            end(&mut child);
            return Err(Silence::Failed(tool.to_owned(), "it has no output".into()));
        };
        let (give, told) = sync_channel(1);
        let reader = std::thread::Builder::new().name("salvor-tool".into());
        let reading = reader.spawn(move || {
            let mut bytes = Vec::new();
            let read = output.take(MOST_BYTES).read_to_end(&mut bytes);
            let _ = give.send(read.map(|_| bytes));
        });
        let told = match reading {
            Ok(_) => {
                told.recv_timeout(patience).map_err(|_| Silence::Late(tool.to_owned(), patience.as_secs()))
            }
            Err(why) => Err(failed(why)),
        };
        let has_ended = told.is_ok() && ends_within(&mut child, TIME_TO_END);
        if !has_ended {
            end(&mut child);
        }
        Ok(String::from_utf8_lossy(&told?.map_err(failed)?).into_owned())
    }
}

fn ends_within(child: &mut Child, patience: Duration) -> bool {
    let began = Instant::now();
    loop {
        match child.try_wait() {
            Ok(None) if began.elapsed() < patience => std::thread::sleep(BETWEEN_LOOKS),
            Ok(None) => return false,
            Ok(Some(_)) | Err(_) => return true,
        }
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn tools(script: &str) -> (tempfile::TempDir, Tools) {
        let folder = tempfile::tempdir().unwrap();
        let tool = folder.path().join("tool");
        std::fs::write(&tool, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&tool, PermissionsExt::from_mode(0o755)).unwrap();
        let tools = Tools(Some(folder.path().to_owned()));
        (folder, tools)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_it_prints_counts_however_it_exits() {
        let (_folder, tools) = tools("echo \"$1 $LC_ALL\"; exit 4");
        assert_eq!(tools.run("tool", &["a"], LONG), Ok("a C\n".into()));
        assert_eq!(tools.run("other", &[], LONG), Err(Silence::NotInstalled("other".into())));
    }

    #[test]
    fn one_that_is_late_is_killed() {
        let (_folder, tools) = tools("exec sleep 1000");
        let late = tools.run("tool", &[], Duration::from_millis(50));
        assert_eq!(late, Err(Silence::Late("tool".into(), 0)));
    }

    #[test]
    fn one_that_never_stops_talking_is_cut_off() {
        let (_folder, tools) = tools("exec cat /dev/zero");
        assert_eq!(tools.run("tool", &[], LONG).unwrap().len() as u64, MOST_BYTES);
    }
}
