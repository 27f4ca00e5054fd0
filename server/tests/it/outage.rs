//! The whole day on a real ext4 under the running program: its metadata is destroyed while it serves; the volume trips, goes offline, its
//! disk is checked, nameless files are reunited, the rest comes from the copies, the gate opens. Takes root, for loop devices.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::facts::{until, within};
use crate::support::jobs::{Files, tree, without_own};

/// What is promised of a trip.
const PROMISED: Duration = Duration::from_secs(15);
const BLOCK: u64 = 1024;
/// Files that the disk lost for good: of what lies nameless after its check, so many are taken away.
const GONE: usize = 4;

/// A volume on a disk of its own, its two copies, and the program that serves.
struct Place {
    folder: tempfile::TempDir,
    device: String,
    port: u16,
    server: Option<Child>,
}

impl Place {
    /// `None`, with a word to the reader, where a file system cannot be made and mounted.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["mnt", "local", "offsite"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        std::fs::File::create(at("image")).unwrap().set_len(48 << 20).unwrap();
        let made = Command::new("losetup").args(["-f", "--show"]).arg(at("image")).output();
        let Some(made) = made.ok().filter(|made| made.status.success()) else {
            eprintln!("skipped: a loop device cannot be set up here (it takes root)");
            return None;
        };
        let device = shown(&made.stdout).trim().to_owned();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "[server]\ndata_dir = \"data\"\nlisten = \"127.0.0.1:{port}\"\n[health]\nhost = \"store1\"\nevery = \"1s\"\n\
             [[volume]]\nname = \"uploads\"\npath = \"mnt\"\n\
             [[volume.copy]]\nname = \"local\"\nkind = \"fs\"\nplacement = \"onsite\"\npath = \"local\"\n\
             [[volume.copy]]\nname = \"offsite\"\nkind = \"fs\"\nplacement = \"offsite\"\npath = \"offsite\"\n\
             [volume.disk_check]\ntool = \"e2fsck\"\ndevice = \"{device}\"\n"
        );
        std::fs::write(at("salvor.toml"), config).unwrap();
        let place = Self { folder, device, port, server: None };
        let made = Command::new("mkfs.ext4").args(["-q", "-F", "-b", "1024", &place.device]).output();
        if !made.is_ok_and(|made| made.status.success()) || !place.mount() {
            eprintln!("skipped: an ext4 cannot be made and mounted here (it takes e2fsprogs and root)");
            return None;
        }
        Some(place)
    }

    fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    fn mount(&self) -> bool {
        let mut mount = Command::new("mount");
        // A time of access would bring what is about to be destroyed into the journal again.
        mount.args(["-o", "errors=remount-ro,noatime", &self.device]).arg(self.at("mnt"));
        mount.output().is_ok_and(|output| output.status.success())
    }

    fn unmount(&self) {
        until("nobody holds the file system any more", || {
            let done = Command::new("umount").arg(self.at("mnt")).output().unwrap();
            if done.status.success() { Ok(()) } else { Err(shown(&done.stderr)) }
        });
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
        self.server = Some(server);
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

    fn debugfs(&self, order: &str) -> String {
        let told = Command::new("debugfs").args(["-R", order, &self.device]).output().unwrap();
        shown(&told.stdout)
    }

    /// Destroys the names of one folder, beneath the mounted file system.
    fn destroy(&self) {
        rustix::fs::sync();
        let names = self.debugfs("blocks \"/anna/gallery 1\"");
        let blocks: Vec<u64> = names.split_whitespace().map(|block| block.parse().unwrap()).collect();
        assert!(!blocks.is_empty());
        // What the kernel still remembers of them would hide it.
        std::fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
        let disk = std::fs::File::options().write(true).open(&self.device).unwrap();
        for block in blocks {
            disk.write_all_at(&[0xAA; BLOCK as usize], block * BLOCK).unwrap();
        }
        disk.sync_all().unwrap();
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

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = Command::new("kill").arg(server.id().to_string()).status();
            let _ = within(Duration::from_secs(20), || server.try_wait().is_ok_and(|ended| ended.is_some()));
            let _ = server.kill();
            let _ = server.wait();
        }
        // A test that failed may still hold files open: detach.
        let _ = Command::new("umount").arg("-l").arg(self.at("mnt")).output();
        let _ = Command::new("losetup").args(["-d", &self.device]).output();
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
    place.unmount();
    assert!(place.mount());
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
    place.unmount();
    let checked = place.json(&["disk-check", "uploads", "--json"]);
    assert_eq!(checked["disk_check"]["verdict"], "repaired", "{checked}");
    assert!(place.mount());
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
