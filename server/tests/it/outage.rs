//! The whole day on a real ext4 under the running program: its metadata is destroyed while it serves; the volume trips, goes offline, its
//! disk is checked, nameless files are reunited, the rest comes from the copies, the gate opens. Takes root, for loop devices.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::disk::LoopDisk;
use crate::support::facts::until;
use crate::support::jobs::{Files, tree, without_own};
use crate::support::running::{Running, free_port};

/// What is promised of a trip.
const PROMISED: Duration = Duration::from_secs(15);
/// Files that the disk lost for good: of what lies nameless after its check, so many are taken away.
const GONE: usize = 4;

/// A volume on a disk of its own, its two copies, and the program that serves.
struct Place {
    /// Ends before its disk is taken away.
    server: Option<Running>,
    disk: LoopDisk,
    folder: tempfile::TempDir,
    port: u16,
}

impl Place {
    /// `None`, with a word to the reader, where a file system cannot be made and mounted.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["local", "offsite"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        // A time of access would bring what is about to be destroyed into the journal again.
        let disk = LoopDisk::ext4(&at("image"), &at("mnt"), 48, "errors=remount-ro,noatime")?;
        let port = free_port();
        let config = format!(
            "[server]\ndata_dir = \"data\"\nlisten = \"127.0.0.1:{port}\"\n[health]\nhost = \"store1\"\nevery = \"1s\"\n\
             [[volume]]\nname = \"uploads\"\npath = \"mnt\"\n\
             [[volume.copy]]\nname = \"local\"\nkind = \"fs\"\nplacement = \"onsite\"\npath = \"local\"\n\
             [[volume.copy]]\nname = \"offsite\"\nkind = \"fs\"\nplacement = \"offsite\"\npath = \"offsite\"\n\
             [volume.disk_check]\ntool = \"e2fsck\"\ndevice = \"{}\"\n",
            disk.device
        );
        std::fs::write(at("salvor.toml"), config).unwrap();
        Some(Self { server: None, folder, disk, port })
    }

    fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_salvor"));
        command.arg("--config").arg(self.at("salvor.toml")).args(args).env("SALVOR_LOG", "error");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What the program prints, and its exit code.
    fn says(&self, args: &[&str]) -> (String, i32) {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        (shown(&stdout) + &shown(&stderr), status.code().unwrap())
    }

    #[track_caller]
    fn done(&self, args: &[&str]) -> String {
        let (text, code) = self.says(args);
        assert_eq!(code, 0, "{args:?}: {text}");
        text
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        let output = self.command(args).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{args:?}: {error}: {} {}", shown(&output.stdout), shown(&output.stderr))
        })
    }

    fn mode(&self) -> Value {
        self.json(&["mode", "uploads", "--json"])
    }

    fn serve(&mut self) {
        let server = self.command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
        self.server = Some(Running(server));
        until("the server answers", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    /// One call of the API; gives the whole answer.
    fn call(&self, token: &str, request: &str, body: &Value) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let body = body.to_string();
        let head = format!(
            "{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn fill(&self) {
        for (seed, site) in ["anna", "rose", "iris"].into_iter().enumerate() {
            for number in 0..60_usize {
                let folder = self.at("mnt").join(site).join(format!("gallery {}", number % 3));
                std::fs::create_dir_all(&folder).unwrap();
                let bytes: Vec<u8> =
                    (0..1_500 + number * 13).map(|at| (at * (number + 61 * seed + 1) % 251) as u8).collect();
                std::fs::write(folder.join(format!("p{number}.jpg")), bytes).unwrap();
            }
        }
    }

    /// Destroys the names of one folder, beneath the mounted file system.
    fn destroy(&self) {
        rustix::fs::sync();
        // What the kernel still remembers of them would hide it.
        std::fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
        self.disk.forget("/anna/gallery 1");
    }

    /// Some files are gone for good, and one of them is in no copy either: that one's path.
    fn lose_some_for_good(&self, before: &Files) -> String {
        for nameless in std::fs::read_dir(self.at("mnt/lost+found")).unwrap().take(GONE) {
            std::fs::remove_file(nameless.unwrap().path()).unwrap();
        }
        let there: BTreeSet<Vec<u8>> = tree(&self.at("mnt")).into_values().map(|(bytes, ..)| bytes).collect();
        let (path, _) = before.iter().find(|(_, (bytes, ..))| !there.contains(bytes)).unwrap();
        for copy in ["local", "offsite"] {
            std::fs::remove_file(self.at(copy).join(path)).unwrap();
        }
        path.display().to_string()
    }

    fn files(&self) -> Files {
        let mut all = without_own(tree(&self.at("mnt")));
        all.retain(|path, _| !path.starts_with("lost+found"));
        all
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_whole_day_ends_with_every_file_that_any_copy_had() {
    let Some(mut place) = Place::new() else { return };
    place.fill();
    place.done(&["protect", "uploads"]);
    // Else the journal still has what is about to be destroyed, and e2fsck would put it back from there.
    place.disk.unmount();
    assert!(place.disk.mount("errors=remount-ro,noatime"));
    let mut before = place.files();
    place.serve();
    let token = place.done(&["token", "create", "story", "--role", "admin"]);
    let token = token.split_whitespace().find(|word| word.len() >= 32).unwrap().to_owned();
    until("the probes have looked", || {
        let hosts = place.json(&["health", "--json"]);
        if hosts.to_string().contains("ext4") { Ok(()) } else { Err(hosts) }
    });
    assert_eq!(place.mode()["mode"], "normal");

    place.destroy();
    let hit = Instant::now();
    // A customer's look is what the kernel notices it by.
    let _ = std::fs::read_dir(place.at("mnt/anna/gallery 1")).map(Iterator::count);
    let tripped = until("the volume has tripped", || {
        let mode = place.mode();
        if mode["mode"] == "read_only" { Ok(mode) } else { Err(mode) }
    });
    assert!(hit.elapsed() < PROMISED, "{:?}", hit.elapsed());
    assert!(!tripped["evidence"].as_array().unwrap().is_empty(), "{tripped}");
    let incidents = place.json(&["incident", "list", "--json"]);
    assert!(incidents.to_string().contains("\"draft\":true"), "{incidents}");

    place.done(&["mode", "uploads", "failover", "--reason", "its disk has to be checked"]);
    place.disk.unmount();
    let checked = place.json(&["disk-check", "uploads", "--json"]);
    assert_eq!(checked["disk_check"]["verdict"], "repaired", "{checked}");
    assert!(place.disk.mount("errors=remount-ro"));
    let hopeless = place.lose_some_for_good(&before);
    place.done(&["mode", "uploads", "read-only", "--reason", "the primary is back"]);
    let (refused, code) = place.says(&["mode", "uploads", "normal", "--reason", "it is well"]);
    assert!(code != 0 && refused.contains("full check"), "{refused}");

    let reunited = place.json(&["reunite", "uploads", "--json"]);
    let nameless = reunited["files"]["done"].as_u64().unwrap();
    assert!(nameless == 20 - GONE as u64 && reunited["files"]["failed"] == 0, "{reunited}");
    let restored = place.json(&["restore", "uploads", "--json"]);
    let failures = restored["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 1, "{restored}");
    assert_eq!(failures[0]["path"], hopeless, "what no copy had is listed by name");
    assert_eq!(restored["files"]["done"], GONE - 1, "{restored}");
    let (found, code) = place.says(&["check", "uploads", "--full"]);
    assert!(code == 1 && found.contains("1 missing"), "{found}");
    let (refused, _) = place.says(&["mode", "uploads", "normal", "--reason", "it is well"]);
    assert!(refused.contains("1 file is missing"), "{refused}");

    // Its owner is told, and lets it go.
    let answer = place.call(&token, "POST /api/v1/volumes/uploads/tombstones", &json!({ "path": hopeless }));
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    until("the gate is open", || {
        let (said, code) = place.says(&["mode", "uploads", "normal", "--reason", "everything is back"]);
        if code == 0 { Ok(()) } else { Err(said) }
    });
    assert!(before.remove(Path::new(&hopeless)).is_some());
    assert!(place.files() == before, "a file is not what it was");
    assert_eq!(place.mode()["mode"], "normal");
}
