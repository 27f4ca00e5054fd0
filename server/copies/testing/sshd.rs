//! An SFTP server that others wrote, of one folder, for the tests of this crate and of the program.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Serves `files/` of its folder; ended when dropped.
pub struct Server {
    pub child: Child,
    pub port: u16,
    pub folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: &[u8]) {
        let at = self.at("files").join(name);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, content).unwrap();
    }

    /// Waits until it takes connections.
    pub fn ready(self) -> Self {
        for _ in 0..400 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return self;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("the server did not start");
    }

    /// OpenSSH's, with two host keys and keys to sign in with; `None` where it is not installed.
    pub fn sshd() -> Option<Self> {
        let program = Path::new("/usr/sbin/sshd");
        if !program.exists() || Command::new("ssh-keygen").arg("-?").output().is_err() {
            skipped("it talks to OpenSSH's sshd, which is not installed here");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, kind, password) in [
            ("host_ed25519", "ed25519", ""),
            ("host_ecdsa", "ecdsa", ""),
            ("id_ed25519", "ed25519", ""),
            ("id_ecdsa", "ecdsa", ""),
            ("id_locked", "ed25519", "hush hush"),
        ] {
            key(&at(name), kind, password);
        }
        std::fs::create_dir(at("files")).unwrap();
        let ours = ["id_ed25519.pub", "id_ecdsa.pub", "id_locked.pub"];
        let keys: String = ours.iter().map(|name| std::fs::read_to_string(at(name)).unwrap()).collect();
        std::fs::write(at("authorized_keys"), keys).unwrap();
        let port = free_port();
        let shown = |name: &str| at(name).display().to_string();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nHostKey {}\nPidFile {}\nAuthorizedKeysFile {}\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n\
             LogLevel ERROR\nMaxStartups 100\n",
            shown("host_ed25519"),
            shown("host_ecdsa"),
            shown("pid"),
            shown("authorized_keys")
        );
        std::fs::write(at("sshd_config"), config).unwrap();
        // Where it drops its rights to; Debian makes it only when the service starts.
        let _ = std::fs::create_dir_all("/run/sshd");
        let child = Command::new(program)
            .args(["-D", "-e", "-f"])
            .arg(at("sshd_config"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { child, port, folder }.ready())
    }

    /// `SHA256:…` of a public key.
    pub fn fingerprint(&self, name: &str) -> String {
        let shown = Command::new("ssh-keygen").arg("-lf").arg(self.at(name)).output().unwrap();
        String::from_utf8(shown.stdout).unwrap().split(' ').nth(1).unwrap().to_owned()
    }
}

/// Whom the tests run as: sshd lets nobody else in.
pub fn user() -> String {
    let shown = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(shown.stdout).unwrap().trim().to_owned()
}

pub fn key(at: &Path, kind: &str, password: &str) {
    let bits: &[&str] = if kind == "rsa" { &["-b", "2048"] } else { &[] };
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", password, "-f"]).arg(at).args(bits).status();
    assert!(made.unwrap().success());
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Past the test harness, which would keep it to itself: a test that tested nothing should be seen.
pub fn skipped(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "skipped {name}: {why}");
}
