//! A folder that rclone serves to others, for the tests of this crate and of the program.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Ended when dropped.
pub struct Served {
    process: Child,
    pub port: u16,
    /// `http://127.0.0.1:…`
    pub endpoint: String,
    folder: tempfile::TempDir,
}

impl Served {
    /// `rclone serve KIND`; `None` where there is no rclone.
    pub fn start(kind: &str, flags: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("files")).unwrap();
        // A port that was free a moment ago; on the rare day that it is taken, the next.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let address = format!("127.0.0.1:{port}");
            let started = Command::new("rclone")
                .args(["serve", kind, "--addr", &address, "--vfs-cache-mode", "off"])
                .args(flags)
                .arg(folder.path().join("files"))
                .env("RCLONE_CONFIG", folder.path().join("rclone.conf"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let Ok(mut process) = started else {
                eprintln!("skipped: there is no rclone on the PATH (.ci/setup test installs it)");
                return None;
            };
            let deadline = Instant::now() + Duration::from_secs(20);
            while Instant::now() < deadline && process.try_wait().unwrap().is_none() {
                if TcpStream::connect(&address).is_ok() {
                    let endpoint = format!("http://{address}");
                    return Some(Self { process, port, endpoint, folder });
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = process.kill();
            let _ = process.wait();
        }
        panic!("rclone does not serve");
    }

    /// Where what is served under that name lies on the disk.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("files").join(name)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
