//! Jobs on a volume of another host, in the real programs: `serve` is the head, and `agent` the hands.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::facts::until;
use crate::support::running::{Running, free_port, program};

/// A server, and a storage host with a volume and its copy: two folders with a configuration each.
struct Two {
    folder: tempfile::TempDir,
    port: u16,
    token: String,
}

impl Two {
    /// The catalogue knows the files, and the server does not reach them.
    fn with_files(count: usize, more: &str) -> Self {
        let mut two = Self { folder: tempfile::tempdir().unwrap(), port: free_port(), token: String::new() };
        for name in ["server", "storage/files", "storage/copy"] {
            std::fs::create_dir_all(two.at(name)).unwrap();
        }
        for number in 0..count {
            let folder = two.file(&format!("site {}", number % 7));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(format!("{number}.jpg")), bytes_of(number)).unwrap();
        }
        two.configure("server", "store1", "", &two.at("storage/files"), more);
        two.run("server", &["protect", "uploads"]);
        two.configure("server", "store1", "host = \"store2\"\n", Path::new("/nowhere/at all"), more);
        two.configure("storage", "store2", "", Path::new("files"), more);
        two.token = two.run("server", &["token", "create", "store2", "--role", "agent"]);
        std::fs::write(two.at("storage/token"), &two.token).unwrap();
        two
    }

    fn configure(&self, house: &str, name: &str, host: &str, path: &Path, more: &str) {
        let copy = self.at("storage/copy");
        let config = format!(
            "[server]\ndata_dir = \"data\"\nlisten = \"127.0.0.1:{}\"\n[health]\nhost = \"{name}\"\nevery = \"1s\"\n\
             [[volume]]\nname = \"uploads\"\n{host}path = {path:?}\n\
             [[volume.copy]]\nname = \"copy\"\nkind = \"fs\"\nplacement = \"onsite\"\npath = {copy:?}\n{more}",
            self.port
        );
        std::fs::write(self.at(house).join("salvor.toml"), config).unwrap();
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.at("storage/files").join(name)
    }

    fn command(&self, house: &str, args: &[&str]) -> Command {
        program(&self.at(house).join("salvor.toml"), args)
    }

    #[track_caller]
    fn run(&self, house: &str, args: &[&str]) -> String {
        let output = self.command(house, args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the server's command line says, and its exit code.
    fn says(&self, args: &[&str]) -> (String, i32) {
        let ended = self.command("server", args).output().unwrap();
        let text = String::from_utf8(ended.stdout).unwrap() + &String::from_utf8(ended.stderr).unwrap();
        (text, ended.status.code().unwrap())
    }

    /// A job's end, as JSON.
    fn job(&self, args: &[&str]) -> Value {
        let (said, _) = self.says(&[args, &["--json"]].concat());
        serde_json::from_str(&said).unwrap_or_else(|why| panic!("{why}: {said}"))
    }

    fn shown(&self, id: &str) -> Value {
        self.job(&["job", "show", id])
    }

    fn start(&self, args: &[&str]) -> String {
        self.run("server", &[args, &["--detach"]].concat()).trim().to_owned()
    }

    fn until(&self, id: &str, fact: &str, is: impl Fn(&Value) -> bool) -> Value {
        until(fact, || {
            let job = self.shown(id);
            if is(&job) { Ok(job) } else { Err(job) }
        })
    }

    fn serve(&self) -> Running {
        let mut serve = self.command("server", &["serve"]);
        Running(serve.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap())
    }

    fn agent(&self) -> Running {
        let (url, file) =
            (format!("http://127.0.0.1:{}", self.port), self.at("storage/token").display().to_string());
        let mut agent = self.command("storage", &["agent", "--server", &url, "--token-file", &file]);
        Running(agent.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap())
    }

    fn until_connected(&self) {
        let id = self.start(&["check", "uploads", "--dry-run"]);
        self.until(&id, "the agent is connected", |job| job["state"] == "finished");
        until("it is told of its host", || {
            let health = self.job(&["health"]);
            let works = |host: &Value| host["name"] == "store2" && host["works"] == true;
            if health["hosts"].as_array().is_some_and(|hosts| hosts.iter().any(works)) {
                Ok(())
            } else {
                Err(health)
            }
        });
    }
}

fn bytes_of(number: usize) -> Vec<u8> {
    format!("the bytes of {number}, ").repeat(200).into_bytes()
}

fn waits(job: &Value) -> bool {
    job["held"] == "waits for the agent of store2"
}

#[test]
fn a_check_is_done_where_the_volume_lies() {
    let two = Two::with_files(60, "");
    let _server = two.serve();
    let id = two.start(&["check", "uploads", "--full"]);
    two.until(&id, "the job says whom it waits for", waits);
    let (said, code) = two.says(&["check", "uploads"]);
    assert!(code == 3 && said.contains("waits for the agent of store2"), "{code}: {said}");
    let _agent = two.agent();
    let job = two.until(&id, "the agent has checked everything", |job| job["state"] == "finished");
    assert_eq!((&job["files"]["done"], &job["findings"]["missing"]), (&60.into(), &0.into()), "{job}");

    std::fs::remove_file(two.file("site 1/1.jpg")).unwrap();
    crate::support::jobs::rot(&two.file("site 2/2.jpg"));
    std::fs::write(two.file("site 3/new.jpg"), "new").unwrap();
    let quick = two.job(&["check", "uploads"]);
    assert_eq!(quick["findings"]["missing"], 1, "{quick}");
    assert_eq!(
        (&quick["findings"]["extra"], &quick["findings"]["corrupt"]),
        (&1.into(), &0.into()),
        "{quick}"
    );
    let full = two.job(&["check", "uploads", "--full"]);
    assert_eq!(
        (&full["findings"]["missing"], &full["findings"]["corrupt"]),
        (&1.into(), &1.into()),
        "{full}"
    );
    let some = two.job(&["check", "uploads", "--path", "site 1/*"]);
    assert_eq!(
        (&some["findings"]["missing"], some["files"]["total"].as_u64() < Some(20)),
        (&1.into(), true),
        "{some}"
    );

    // What an agent does not do is refused at once.
    let (said, code) = two.says(&["protect", "uploads"]);
    assert!(code == 2 && said.contains("lies on store2, whose agent"), "{code}: {said}");
}

#[test]
fn an_agent_that_is_killed_holds_a_job_up_and_the_next_one_goes_on() {
    let two = Two::with_files(80, "");
    let _server = two.serve();
    let mut agent = two.agent();
    two.until_connected();
    let id = two.start(&["check", "uploads", "--full", "--files-per-second", "8"]);
    two.until(&id, "it is under way", |job| job["state"] == "running" && job["seconds"].as_f64() > Some(1.0));
    agent.0.kill().unwrap();
    agent.0.wait().unwrap();
    let held = two.until(&id, "it says that the agent is gone", |job| {
        job["reason"] == "the agent of store2 is not connected" || waits(job)
    });
    assert_ne!(held["state"], "finished", "{held}");
    let _next = two.agent();
    two.run("server", &["job", "limit", &id, "--unlimited"]);
    let job = two.until(&id, "the next agent has done the rest", |job| job["state"] == "finished");
    assert_eq!((&job["files"]["done"], &job["files"]["total"]), (&80.into(), &80.into()), "{job}");
    let of = ["missing", "corrupt", "unreadable"].map(|kind| job["findings"][kind].as_u64());
    assert_eq!(of, [Some(0); 3], "{job}");
}

#[test]
fn a_folder_that_is_gone_there_is_no_missing_file() {
    let two = Two::with_files(20, "");
    let _server = two.serve();
    let _agent = two.agent();
    two.until_connected();
    std::fs::rename(two.at("storage/files"), two.at("storage/away")).unwrap();
    let (said, code) = two.says(&["check", "uploads"]);
    assert!(
        code == 3 && said.contains("store2: the folder") && said.contains("does not exist"),
        "{code}: {said}"
    );
    std::fs::create_dir(two.at("storage/files")).unwrap();
    let job = two.job(&["check", "uploads"]);
    assert_eq!((&job["state"], &job["findings"]["missing"]), (&"paused".into(), &0.into()), "{job}");
    assert!(
        job["reason"].as_str().is_some_and(|why| why.contains("store2:") && why.contains("mount it")),
        "{job}"
    );
}

#[test]
fn an_agent_works_for_its_own_host_only() {
    let two = Two::with_files(1, "");
    let other = two.run("server", &["token", "create", "other", "--role", "agent"]);
    let _server = two.serve();
    let _agent = two.agent();
    two.until_connected();
    let poll = |token: &str, host: &str| {
        let body = format!(
            "{{\"host\":\"{host}\",\"version\":\"1\",\"connection\":\"x\",\"volumes\":[],\"heard\":0,\"at_work\":[]}}"
        );
        let url = format!("http://127.0.0.1:{}/api/v1/agent/work", two.port);
        let token = format!("Authorization: Bearer {}", token.trim());
        let json = "content-type: application/json";
        let asked = Command::new("curl")
            .args(["-s", "-w", "%{http_code}", "-H", &token, "-H", json, "-d", &body, &url])
            .output();
        String::from_utf8(asked.unwrap().stdout).unwrap()
    };
    let told = poll(&other, "store2");
    assert!(told.ends_with("403") && told.contains("Another token reports for store2"), "{told}");
    let told = poll(&two.token, "store1");
    assert!(told.ends_with("409") && told.contains("the host of a server"), "{told}");
    let told = poll(&two.token, "store2");
    assert!(told.ends_with("409") && told.contains("Another agent works for store2"), "{told}");
    let told = poll(&other, "store3");
    assert!(told.ends_with("409") && told.contains("has not reported yet"), "{told}");
}

#[test]
fn a_disk_is_checked_by_the_configuration_of_its_own_host() {
    let two = Two::with_files(3, "");
    // A tool of the test's own, and what a server might wish to have run instead.
    let tool = two.at("storage/tool");
    let script = "#!/bin/sh\necho \"checking $1\"; echo '1 1 2 image' >&3\n\
                  until [ -e \"$1.go\" -o ! -e \"$0\" ]; do sleep 0.05; done\necho done; exit 0\n";
    std::fs::write(&tool, script).unwrap();
    std::fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(two.at("storage/image"), "an image that nothing shows").unwrap();
    let (image, never) = (two.at("storage/image"), two.at("server/never"));
    let of = |device: &Path, command: &str| {
        format!(
            "[volume.disk_check]\ntool = \"e2fsck\"\ndevice = {device:?}\ncommand = [{command}, \"{{device}}\"]\n"
        )
    };
    two.configure("storage", "store2", "", Path::new("files"), &of(&image, &format!("{tool:?}")));
    two.configure("server", "store1", "host = \"store2\"\n", Path::new("/nowhere"), &of(&never, "\"touch\""));
    let _server = two.serve();
    let (said, code) = two.says(&["disk-check", "uploads"]);
    assert!(code == 3 && said.contains("the agent of store2 is not connected"), "{code}: {said}");
    let mut agent = two.agent();
    two.until_connected();
    let (said, code) = two.says(&["disk-check", "uploads"]);
    assert!(code == 3 && said.contains("in service"), "a repair has the disk alone, {code}: {said}");
    two.run("server", &["mode", "uploads", "read-only", "--reason", "it fails"]);
    two.run("server", &["mode", "uploads", "failover", "--reason", "it is to be checked"]);
    let id = two.start(&["disk-check", "uploads"]);
    let job = two.until(&id, "the tool is at it", |job| job["disk_check"]["percent"].as_f64() > Some(1.0));
    let command = job["disk_check"]["command"].as_str().unwrap();
    assert_eq!(command, format!("{} {}", tool.display(), image.display()));

    // The agent dies under it; the tool lives on, and no second one is started beside it.
    agent.0.kill().unwrap();
    agent.0.wait().unwrap();
    let mut agent = two.agent();
    two.until(&id, "it waits for the first to end", |job| {
        job["reason"].as_str().is_some_and(|why| why.contains("of an earlier run"))
    });
    std::fs::write(two.at("storage/image.go"), "").unwrap();
    two.run("server", &["job", "resume", &id]);
    let job = two.until(&id, "it ran again and came to its end", |job| job["state"] == "finished");
    assert_eq!(
        (&job["disk_check"]["verdict"], &job["disk_check"]["exit_code"]),
        (&"clean".into(), &0.into()),
        "{job}"
    );
    assert!(
        job["disk_check"]["tail"].to_string().contains(&format!("checking {}", image.display())),
        "{job}"
    );
    assert!(!never.exists(), "nothing of the server's configuration was run");

    // Cut off from its server, an agent ends what it has begun.
    std::fs::remove_file(two.at("storage/image.go")).unwrap();
    let id = two.start(&["disk-check", "uploads"]);
    two.until(&id, "the tool is at it again", |job| job["disk_check"]["percent"].as_f64() > Some(1.0));
    two.run("server", &["job", "cancel", &id]);
    two.until(&id, "it is cancelled and ended", |job| job["disk_check"]["verdict"] == "unfinished");
    agent.0.kill().unwrap();
    agent.0.wait().unwrap();
}
