//! Probes in the real program: `serve` that notices what happens to its volumes, and agents that report to a server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::disk::LoopDisk;
use crate::support::facts::{until, within};
use crate::support::running::{Running, free_port, program};

/// What is promised of a trip.
const PROMISED: Duration = Duration::from_secs(15);

/// A folder with a configuration, whose volume may be a file system of its own.
struct House {
    disk: Option<LoopDisk>,
    folder: tempfile::TempDir,
}

impl House {
    fn new(health: &str) -> Self {
        let house = Self { disk: None, folder: tempfile::tempdir().unwrap() };
        for name in ["files", "copy"] {
            std::fs::create_dir(house.at(name)).unwrap();
        }
        let port = free_port();
        let config = format!(
            "[server]\ndata_dir = \"data\"\nlisten = \"127.0.0.1:{port}\"\n[health]\nhost = \"store1\"\nevery = \"1s\"\n{health}\
             [[volume]]\nname = \"uploads\"\npath = \"files/uploads\"\n\
             [[volume.copy]]\nname = \"copy\"\nkind = \"fs\"\nplacement = \"onsite\"\npath = \"copy\"\n"
        );
        std::fs::write(house.at("salvor.toml"), config).unwrap();
        house
    }

    /// `None`, with a word to the reader, where an ext4 cannot be made and mounted.
    fn on_ext4(options: &str) -> Option<Self> {
        let mut house = Self::new("");
        house.disk = Some(LoopDisk::ext4(&house.at("image"), &house.at("files"), 48, options)?);
        Some(house)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        program(&self.at("salvor.toml"), args)
    }

    fn run(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn serve(&self) -> Running {
        Running(self.command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap())
    }

    fn write_files(&self, count: usize) {
        for number in 0..count {
            let folder = self.at("files/uploads").join(format!("site {}", number % 7));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(format!("{number}.jpg")), format!("the bytes of {number}")).unwrap();
        }
        self.run(&["protect", "uploads"]);
    }

    fn mode(&self) -> Value {
        serde_json::from_str(&self.run(&["mode", "uploads", "--json"])).unwrap()
    }

    /// Waits until the volume is read-only, and gives why.
    fn until_tripped(&self) -> String {
        let mode = until("the volume is read-only", || {
            let mode = self.mode();
            if mode["mode"] == "read_only" { Ok(mode) } else { Err(mode) }
        });
        mode["reason"].as_str().unwrap().to_owned()
    }
}

#[test]
fn an_ext4_error_trips_its_volume_in_the_promised_time() {
    let Some(house) = House::on_ext4("errors=continue") else { return };
    house.write_files(20);
    let _server = house.serve();
    let device = house.disk.as_ref().unwrap().device.trim_start_matches("/dev/");
    // The server has looked at it once: what was there before the first look would be no news of this moment.
    let canary = house.at("files/uploads/.salvor");
    until("the probes have looked", || canary.exists());
    assert_eq!(house.mode()["mode"], "normal");
    std::fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").unwrap();
    let hit = Instant::now();
    let why = house.until_tripped();
    assert!(hit.elapsed() < PROMISED, "{:?}", hit.elapsed());
    assert!(why.contains("ext4 counts") || why.contains("EXT4-fs error"), "{why}");
}

#[test]
fn the_sentinel_sees_that_many_files_are_gone() {
    let house = House::new("");
    house.write_files(400);
    let _server = house.serve();
    until("the probes have looked", || house.at("data/status/view.json").exists());
    for site in 0..3 {
        std::fs::remove_dir_all(house.at(&format!("files/uploads/site {site}"))).unwrap();
    }
    let why = house.until_tripped();
    assert!(why.contains("sampled files are missing or wrong") && why.contains("site "), "{why}");
}

/// A server that answers each report with the next status, and tells what it was sent.
fn stub(statuses: &'static [u16]) -> (String, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (give, told) = channel();
    std::thread::spawn(move || {
        let mut statuses = statuses.iter();
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let Some((request, body)) = request(&stream) else { continue };
            let Some(status) = statuses.next() else { return };
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = (&stream).write_all(answer.as_bytes());
            if give.send((request, body)).is_err() {
                return;
            }
        }
    });
    (url, told)
}

/// Head and body.
fn request(stream: &TcpStream) -> Option<(String, Value)> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        (reader.read_line(&mut head).ok()? > 0).then_some(())?;
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, serde_json::from_slice(&body).ok()?))
}

impl House {
    fn agent(&self, server: &str, token: &str, more: &[&str]) -> Command {
        let file = self.at("token");
        std::fs::write(&file, token).unwrap();
        let file = file.display().to_string();
        let args = [&["agent", "--server", server, "--token-file", &file], more].concat();
        self.command(&args)
    }
}

#[test]
fn an_agent_reports_what_lies_beneath_its_volumes() {
    let house = House::new("");
    std::fs::create_dir(house.at("files/uploads")).unwrap();
    let (url, told) = stub(&[204]);
    let output = house.agent(&url, "the-token\n", &["--once"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (head, report) = told.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(head.starts_with("POST /api/v1/agent/report ") && head.contains("Bearer the-token"), "{head}");
    assert_eq!(report["host"], "store1");
    let nodes: Vec<&str> =
        report["nodes"].as_array().unwrap().iter().filter_map(|node| node["id"].as_str()).collect();
    assert!(nodes.contains(&"volume:uploads") && nodes.contains(&"copy:uploads/copy"), "{nodes:?}");
    assert!(!house.at("data").exists(), "it needs no database");
}

#[test]
fn what_an_agent_reports_is_known_to_its_server() {
    let (server, host) = (House::new(""), House::new(""));
    std::fs::create_dir(host.at("files/uploads")).unwrap();
    let config = std::fs::read_to_string(host.at("salvor.toml")).unwrap();
    std::fs::write(host.at("salvor.toml"), config.replace("store1", "store2")).unwrap();
    let token = server.run(&["token", "create", "store2", "--role", "agent"]);
    let _server = server.serve();
    let url = std::fs::read_to_string(server.at("salvor.toml")).unwrap();
    let url = format!("http://{}", url.split("listen = \"").nth(1).unwrap().split('"').next().unwrap());
    let output = host.agent(&url, &token, &["--once"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let store2 = until("both hosts are known", || {
        let health = server.command(&["health", "--json"]).output().unwrap();
        let health: Value = serde_json::from_slice(&health.stdout).unwrap();
        let host = |name: &str| health["hosts"].as_array()?.iter().find(|host| host["name"] == name).cloned();
        host("store1").and(host("store2")).ok_or(health)
    });
    assert!(
        store2["is_agent"] == true && store2["silent"] == false && store2["nodes"].is_array(),
        "{store2}"
    );
    let config = std::fs::read_to_string(host.at("salvor.toml")).unwrap();
    std::fs::write(host.at("salvor.toml"), config.replace("store2", "store3")).unwrap();
    let output = host.agent(&url, &token, &["--once"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("for the host store2") && said.contains("--role agent --host store3"), "{said}");
    server.run(&["token", "revoke", "store2"]);
    let output = host.agent(&url, &token, &["--once"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_agent_keeps_its_reports_while_the_server_is_away() {
    let house = House::new("");
    std::fs::create_dir(house.at("files/uploads")).unwrap();
    let (url, told) = stub(&[503, 503, 204, 204, 204, 204]);
    let mut agent = house.agent(&url, "the-token", &[]).spawn().unwrap();
    let mut said = BufReader::new(agent.stderr.take().unwrap()).lines();
    let _agent = Running(agent);
    let reports: Vec<Value> = (0..4).map(|_| told.recv_timeout(Duration::from_secs(60)).unwrap().1).collect();
    assert_eq!(reports[0]["taken_at"], reports[1]["taken_at"], "the oldest is sent first, again and again");
    assert_eq!(reports[1]["taken_at"], reports[2]["taken_at"]);
    assert!(reports[2]["taken_at"].as_str() < reports[3]["taken_at"].as_str());
    let mut line =
        |word: &str| said.find(|line| line.as_ref().is_ok_and(|line| line.contains(word))).unwrap().unwrap();
    assert!(line("is away").contains("503"));
    assert!(line("is back").contains("reports that waited"));
}

#[test]
fn an_agent_looks_on_while_its_server_hangs() {
    let house = House::new("");
    std::fs::create_dir(house.at("files/uploads")).unwrap();
    std::fs::write(
        house.at("files/uploads/a.jpg"),
        "what keeps the folder from being taken for an empty disk",
    )
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let _agent = Running(house.agent(&url, "the-token", &[]).spawn().unwrap());
    // Taken, and never answered.
    let (held, _) = listener.accept().unwrap();
    assert!(request(&held).is_some());
    let looked = || std::fs::metadata(house.at("files/uploads/.salvor")).unwrap().modified().unwrap();
    let before = looked();
    // Sooner than it gives its server up: each look has a canary.
    within(PROMISED, || looked() > before).unwrap();
}

#[test]
fn an_agent_whose_token_is_refused_says_so_and_ends() {
    let house = House::new("");
    for (statuses, word) in [(&[401][..], "revoked"), (&[403], "role agent")] {
        let (url, _told) = stub(statuses);
        let output = house.agent(&url, "old-token", &[]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(word) && said.contains("salvor token create"), "{said}");
        assert!(!said.contains("old-token"), "a secret is not shown: {said}");
    }
    let open = house.agent("http://salvor.example.com", "x", &[]).output().unwrap();
    assert_eq!(open.status.code(), Some(2), "anybody on the way could read the token");
}
