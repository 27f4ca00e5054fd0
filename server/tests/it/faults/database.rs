//! The database goes away, or was never there when `salvor serve` started: the real program beside a PostgreSQL of the test's own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use salvor_domain::segment::LEASE;

use super::{noise, run};
use crate::support::facts::until;
use crate::support::jobs::{Files, tree, without_own};
use crate::support::running::{Running, free_port};

#[test]
fn serve_starts_without_its_database_and_goes_on_with_it() {
    let Some(mut house) = House::new() else { return };
    house.database.start();
    let server = house.serve();
    house.until_status("/readyz", 200);
    // Facts that a restart can show.
    until("the page is kept on disk", || house.folder.path().join("data/status/view.json").exists());
    let (status, token, _) = house.salvor(&["token", "create", "test", "--role", "operator"]);
    assert_eq!(status, Some(0));
    drop(server);

    house.database.stop();
    let _server = house.serve();
    let page = house.until_status("/", 200);
    assert!(page.contains("As of"), "{page}");
    let (status, why) = house.get("/readyz", None);
    assert!(status == 503 && why.contains("database is away"), "{status} {why}");
    assert_eq!(house.get("/healthz", None).0, 200);
    let asked = Instant::now();
    let (status, why) = house.get("/api/v1/jobs", Some(token.trim()));
    assert!(status == 503 && why.contains("database is away"), "{status} {why}");
    assert!(asked.elapsed() < Duration::from_secs(5), "nobody waits for it");

    house.database.start();
    house.until_status("/readyz", 200);
    assert_eq!(house.get("/api/v1/jobs", Some(token.trim())).0, 200);
}

#[test]
fn a_restore_goes_on_after_its_database_was_away() {
    let Some(mut house) = House::new() else { return };
    house.database.start();
    for number in 0..4_000 {
        house.write(&format!("site {}/{number}.jpg", number % 20), &noise(number, 1_000 + number));
    }
    assert_eq!(house.salvor(&["protect", "uploads"]).0, Some(0));
    let before = house.files();
    for site in 0..20 {
        std::fs::remove_dir_all(house.folder.path().join(format!("files/site {site}"))).unwrap();
    }
    let _server = house.serve();
    house.until_status("/readyz", 200);
    let (_, id, said) = house.salvor(&["restore", "uploads", "--detach"]);
    let id = id.trim().to_owned();
    assert!(!id.is_empty(), "{said}");
    until("a file is back", || !house.files().is_empty());
    house.database.stop();
    house.until_status("/readyz", 503);
    house.database.start();
    until("the restore is finished", || {
        let (_, report, _) = house.salvor(&["job", "show", &id, "--json"]);
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["files"]["failed"], 0, "{report}");
        if report["state"] == "finished" { Ok(()) } else { Err(report) }
    });
    assert!(house.files() == before);
}

/// A repair cannot be paused and would have to begin anew: the one who runs it is given time to say that it still does.
#[test]
fn a_disk_check_is_not_begun_anew_because_its_database_was_away() {
    let Some(mut house) = House::new() else { return };
    let at = |name: &str| house.folder.path().join(name);
    let script = "#!/bin/sh\ncd \"$(dirname \"$0\")\"\necho $$ >> begun\nwhile [ -e tool -a ! -e go-on ]; do sleep 0.05; done\n";
    std::fs::write(at("tool"), script).unwrap();
    std::fs::set_permissions(at("tool"), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(at("image"), "").unwrap();
    let config = std::fs::read_to_string(at("salvor.toml")).unwrap();
    let (image, tool) = (at("image"), at("tool"));
    let check = format!(
        "[volume.disk_check]\ntool = \"e2fsck\"\ndevice = \"{}\"\ncommand = [\"{}\", \"{{device}}\"]\n",
        image.display(),
        tool.display()
    );
    std::fs::write(at("salvor.toml"), config + &check).unwrap();
    let (begun, go_on) = (at("begun"), at("go-on"));
    house.database.start();
    let _server = house.serve();
    house.until_status("/readyz", 200);
    let why = ["--reason", "its disk is checked"];
    assert_eq!(house.salvor(&[&["mode", "uploads", "read-only"][..], &why].concat()).0, Some(0));
    let (_, id, said) = house.salvor(&["disk-check", "uploads", "--detach"]);
    let id = id.trim().to_owned();
    assert!(!id.is_empty(), "{said}");
    until("the tool runs", || begun.exists());
    // Either of two may have it, and the other looks for work as well.
    let mut second = house.command(&["serve"]);
    second.env("SALVOR_SERVER_LISTEN", format!("127.0.0.1:{}", free_port())).env("SALVOR_LOG", "error");
    second.env("SALVOR_SERVER_DATA_DIR", at("second"));
    let _second = Running(second.stdout(Stdio::null()).spawn().unwrap());
    until("the second server runs", || at("second/status/view.json").exists());

    let away = Instant::now();
    house.database.stop();
    // Until its lease has run out.
    until("its lease has run out", || away.elapsed() > LEASE.to_std().unwrap() + Duration::from_secs(1));
    house.database.start();
    house.until_status("/readyz", 200);
    let report = || -> serde_json::Value {
        serde_json::from_str(&house.salvor(&["job", "show", &id, "--json"]).1).unwrap()
    };
    std::fs::write(&go_on, "").unwrap();
    let ended = until("the check is finished", || {
        let report = report();
        if report["state"] == "finished" { Ok(report) } else { Err(report) }
    });
    assert_eq!(
        (&ended["disk_check"]["verdict"], &ended["disk_check"]["round"]),
        (&"clean".into(), &1.into()),
        "{ended}"
    );
    assert_eq!(std::fs::read_to_string(&begun).unwrap().lines().count(), 1, "it was begun once");
}

/// A volume with a copy, a database server, and the program.
struct House {
    folder: tempfile::TempDir,
    database: Postgres,
    port: u16,
}

impl House {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let database = Postgres::new()?;
        for name in ["files", "copy"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let port = free_port();
        let config = format!(
            "[server]\ndata_dir = \"data\"\nlisten = \"127.0.0.1:{port}\"\ndatabase_url = \"{}\"\n\
             [[volume]]\nname = \"uploads\"\npath = \"files\"\n\
             [[volume.copy]]\nname = \"copy\"\nkind = \"fs\"\nplacement = \"onsite\"\npath = \"copy\"\n",
            database.url()
        );
        std::fs::write(folder.path().join("salvor.toml"), config).unwrap();
        Some(Self { folder, database, port })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_salvor"));
        command.arg("--config").arg(self.folder.path().join("salvor.toml")).args(args).stdin(Stdio::null());
        command
    }

    fn serve(&self) -> Running {
        Running(self.command(&["serve"]).env("SALVOR_LOG", "error").stdout(Stdio::null()).spawn().unwrap())
    }

    /// Exit code, stdout, stderr.
    fn salvor(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let output = self.command(args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.folder.path().join("files").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn files(&self) -> Files {
        without_own(tree(&self.folder.path().join("files")))
    }

    /// Status and text of an answer; 0 when nobody answers.
    fn get(&self, path: &str, token: Option<&str>) -> (u16, String) {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return (0, String::new()) };
        let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{token}\r\n");
        let mut answer = Vec::new();
        let read = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_end(&mut answer));
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
        (read.ok().and(status).unwrap_or(0), answer)
    }

    /// Waits until a path is answered with this status; gives what it says then.
    fn until_status(&self, path: &str, wanted: u16) -> String {
        until(&format!("{path} is answered with {wanted}"), || {
            let (status, text) = self.get(path, None);
            if status == wanted { Ok(text) } else { Err((status, text)) }
        })
    }
}

/// A server of the test's own, which it stops and starts. PostgreSQL refuses to run as root: it then runs as `postgres`.
struct Postgres {
    folder: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
    is_root: bool,
}

impl Postgres {
    fn new() -> Option<Self> {
        let Some(programs) = newest_programs() else {
            eprintln!("skipped: PostgreSQL's programs are not below /usr/lib/postgresql");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            assert!(run(Command::new("chown").arg("postgres").arg(folder.path())));
        }
        let server = Self { folder, programs, port: free_port(), is_root };
        let options = ["-U", "salvor", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"];
        assert!(run(server.owner("initdb").args(options).arg(server.data())));
        Some(server)
    }

    fn url(&self) -> String {
        format!("postgres://salvor@127.0.0.1:{}/postgres", self.port)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn owner(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = Command::new(if self.is_root { "runuser".into() } else { program.clone() });
        if self.is_root {
            command.args(["-u", "postgres", "--"]).arg(program);
        }
        command.current_dir(self.folder.path());
        command
    }

    fn start(&mut self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c fsync=off -c unix_socket_directories={}",
            self.port,
            self.folder.path().display()
        );
        let log = self.folder.path().join("log");
        let mut start = self.owner("pg_ctl");
        start
            .arg("-D")
            .arg(self.data())
            .arg("-l")
            .arg(&log)
            .args(["-o", &options, "-w", "-t", "30", "start"]);
        start.stdout(Stdio::null()).stderr(Stdio::null());
        assert!(start.status().unwrap().success(), "{}", std::fs::read_to_string(log).unwrap_or_default());
    }

    /// As a power cut would.
    fn stop(&mut self) {
        assert!(run(self.owner("pg_ctl").arg("-D").arg(self.data()).args(["-m", "immediate", "-w", "stop"])));
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Stopped already, perhaps.
        run(self.owner("pg_ctl").arg("-D").arg(self.data()).args(["-m", "immediate", "-w", "stop"]));
    }
}

fn newest_programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(Result::ok);
    let number = |name: &std::ffi::OsStr| name.to_str().and_then(|name| name.parse::<u32>().ok());
    let newest = versions.filter_map(|entry| Some((number(&entry.file_name())?, entry.path()))).max()?;
    Some(newest.1.join("bin"))
}
