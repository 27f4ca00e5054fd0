//! A program that ends with its test: asked to, and killed when it does not.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::facts::within;

const PATIENCE: Duration = Duration::from_secs(20);

pub struct Running(pub Child);

/// The real program with this configuration; it says what goes wrong, and what it prints is kept.
pub fn program(config: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_salvor"));
    command.arg("--config").arg(config).args(args).env("SALVOR_LOG", "error");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A port that nobody has just now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = within(PATIENCE, || self.0.try_wait().is_ok_and(|ended| ended.is_some()));
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
