//! Whole stories on real file systems under the running program. Each takes root, for loop devices, and passes over without it.

mod btrfs;
mod day;
mod gate;
mod hang;
mod space;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::disk::LoopDisk;
use crate::support::facts::until;
use crate::support::jobs::{Files, tree, without_own};
use crate::support::running::{Running, free_port, program};

/// The largest of a volume's files.
const LARGE: &str = "iris/film.mp4";
/// What is promised of a trip.
const PROMISED: Duration = Duration::from_secs(15);

/// Of the configuration.
enum Section {
    Health,
    DiskCheck,
}

/// A volume on a disk of its own, mounted on `mnt`; its two copies; and the program that serves.
struct Place {
    /// Ends before its disks are taken away.
    server: Option<Running>,
    disks: Vec<LoopDisk>,
    folder: tempfile::TempDir,
    port: u16,
    /// Of an admin, once the program serves.
    token: String,
}

impl Place {
    /// On an ext4 whose block of the journal is small: see [`LoopDisk::ext4`].
    fn on_ext4(options: &str) -> Option<Self> {
        // A time of access would bring what is about to be destroyed into the journal again.
        let options = format!("{options},noatime");
        let disk = |at: &Path| LoopDisk::ext4(&at.join("image"), &at.join("mnt"), 48, &options);
        Self::new("e2fsck", |at| Some(vec![disk(at)?]))
    }

    fn on_xfs() -> Option<Self> {
        Self::new("xfs_repair", |at| {
            let disk = LoopDisk::new(&at.join("image"), &at.join("mnt"), 320)?;
            (disk.made("mkfs.xfs", &["-q", "-f"]) && disk.mount("defaults")).then(|| vec![disk])
        })
    }

    /// `disks` makes the volume's disks in a folder, and mounts the first; `None`, with a word to the reader, where that cannot be
    /// done.
    fn new(tool: &str, disks: impl FnOnce(&Path) -> Option<Vec<LoopDisk>>) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        for name in ["local", "offsite"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let disks = disks(folder.path())?;
        let port = free_port();
        let is_scrub = tool.ends_with("scrub");
        let device = if is_scrub { disks[0].point.display().to_string() } else { disks[0].device.clone() };
        let config = format!(
            "[server]\ndata_dir = \"data\"\nlisten = \"127.0.0.1:{port}\"\n[health]\nhost = \"store1\"\nevery = \"1s\"\n\
             [[volume]]\nname = \"uploads\"\npath = \"mnt\"\n\
             [[volume.copy]]\nname = \"local\"\nkind = \"fs\"\nplacement = \"onsite\"\npath = \"local\"\n\
             [[volume.copy]]\nname = \"offsite\"\nkind = \"fs\"\nplacement = \"offsite\"\npath = \"offsite\"\n\
             [volume.disk_check]\ntool = \"{tool}\"\ndevice = \"{device}\"\n"
        );
        std::fs::write(folder.path().join("salvor.toml"), config).unwrap();
        Some(Self { server: None, folder, disks, port, token: String::new() })
    }

    /// More lines of the configuration, at the end of a section.
    fn configure(&self, section: Section, lines: &str) {
        let file = self.at("salvor.toml");
        let config = std::fs::read_to_string(&file).unwrap();
        let config = match section {
            Section::Health => config.replacen("[[volume]]", &format!("{lines}\n[[volume]]"), 1),
            Section::DiskCheck => format!("{config}{lines}\n"),
        };
        std::fs::write(file, config).unwrap();
    }

    fn disk(&self) -> &LoopDisk {
        &self.disks[0]
    }

    fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        program(&self.at("salvor.toml"), args)
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

    /// Starts a job that the running server does; gives its id.
    #[track_caller]
    fn start(&self, args: &[&str]) -> String {
        self.done(&[args, &["--detach"]].concat()).lines().next().unwrap().to_owned()
    }

    fn mode(&self) -> Value {
        self.json(&["mode", "uploads", "--json"])
    }

    #[track_caller]
    fn set_mode(&self, mode: &str) {
        self.done(&["mode", "uploads", mode, "--reason", "the story has it so"]);
    }

    /// Files for customers, in the copies as well; the program serves, and has looked at the volume once.
    fn in_service(&mut self) -> Files {
        self.fill();
        self.done(&["protect", "uploads"]);
        // What is not on the disk yet goes with a file system that stops at once.
        rustix::fs::syncfs(std::fs::File::open(self.at("mnt")).unwrap()).unwrap();
        let before = self.files();
        self.serve();
        before
    }

    fn serve(&mut self) {
        let server = self.command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
        self.server = Some(Running(server));
        until("the server answers", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
        if self.token.is_empty() {
            let token = self.done(&["token", "create", "story", "--role", "admin"]);
            self.token = token.split_whitespace().find(|word| word.len() >= 32).unwrap().to_owned();
        }
        self.until_signal("the volume is well", "canary", |signal| signal["level"] == "ok");
        assert_eq!(self.mode()["mode"], "normal");
    }

    /// What a probe says of the volume's own folder or its file system, once it is as it has to be.
    #[track_caller]
    fn until_signal(&self, fact: &str, probe: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let subjects = ["volume:uploads".to_owned(), format!("fs:{}", self.disk().point.display())];
        until(fact, || {
            let health = self.json(&["health", "--json"]);
            let signals = health["volumes"][0]["signals"].as_array().unwrap().iter();
            let mut its = signals.filter(|signal| {
                signal["probe"] == probe && subjects.iter().any(|subject| signal["subject"] == **subject)
            });
            its.find(|signal| is_so(signal)).cloned().ok_or(health)
        })
    }

    /// The volume becomes read-only by itself in the promised time, and says why; gives its mode.
    #[track_caller]
    fn trips_after(&self, hit: Instant) -> Value {
        let tripped = until("the volume has tripped", || {
            let mode = self.mode();
            if mode["mode"] == "read_only" { Ok(mode) } else { Err(mode) }
        });
        assert!(hit.elapsed() < PROMISED, "{:?}", hit.elapsed());
        assert!(!tripped["evidence"].as_array().unwrap().is_empty(), "{tripped}");
        let refused = until("uploads are refused", || {
            let answer = self.call("GET /api/v1/volumes/uploads/writable", None);
            if answer.starts_with("HTTP/1.1 403") { Ok(answer) } else { Err(answer) }
        });
        assert!(refused.contains("x-salvor-mode: read_only"), "{refused}");
        let (said, code) = self.says(&["protect", "uploads"]);
        assert!(code == 3 && (said.contains("read_only") || said.contains("out of reach")), "{said}");
        tripped
    }

    /// What still stands before `normal`, as the command line and the API refuse it.
    #[track_caller]
    fn refused(&self) -> String {
        let wish = json!({ "mode": "normal", "reason": "it is well" });
        // What is read meanwhile may add to it.
        until("both refuse it for the same", || {
            let (said, code) = self.says(&["mode", "uploads", "normal", "--reason", "it is well"]);
            assert_eq!(code, 3, "{said}");
            let answer = self.call("PUT /api/v1/volumes/uploads/mode", Some(&wish));
            assert!(answer.starts_with("HTTP/1.1 409"), "{answer}");
            let body: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
            let points = body["points"].as_array().unwrap();
            assert!(!points.is_empty(), "{answer}");
            let is_same = points.iter().all(|point| said.contains(point.as_str().unwrap()));
            if is_same { Ok(said) } else { Err((said, answer)) }
        })
    }

    /// Through the gate, without an override.
    #[track_caller]
    fn back_to_normal(&self) {
        until("the gate is open", || {
            let (said, code) = self.says(&["mode", "uploads", "normal", "--reason", "everything is back"]);
            if code == 0 { Ok(()) } else { Err(said) }
        });
        assert_eq!(self.mode()["mode"], "normal");
    }

    /// One call of the API; gives the whole answer.
    fn call(&self, request: &str, body: Option<&Value>) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let body = body.map(Value::to_string).unwrap_or_default();
        let head = format!(
            "{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.token,
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
        // Small files lie in the metadata of btrfs.
        let large: Vec<u8> = (0..200_000_usize).map(|at| (at * (at >> 7) % 253) as u8).collect();
        std::fs::write(self.at("mnt").join(LARGE), large).unwrap();
    }

    /// Those of customers.
    fn files(&self) -> Files {
        let mut all = without_own(tree(&self.at("mnt")));
        all.retain(|path, _| !path.starts_with("lost+found"));
        all
    }
}

/// What the kernel still remembers would hide what is destroyed.
fn forget_caches() {
    rustix::fs::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
