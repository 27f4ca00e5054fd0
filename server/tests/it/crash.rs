//! Kill -9 at random moments, in the midst of protect and restore: the real program, real files. Afterwards the job ends
//! well, nothing is lost, nothing is done twice that was recorded as done, and no litter stays.
//!
//! `SALVOR_TEST_KILLS` sets how often each job is killed (`make soak` sets many); `SALVOR_TEST_SEED` repeats a run.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use chrono::DateTime;
use salvor::clock::random;
use salvor::config::environment;
use salvor::database::Db;
use serde_json::Value;

use crate::jobs::{rot, tree};

/// Files of the volume: enough for several segments.
const FILES: usize = 2_500;

struct House {
    folder: tempfile::TempDir,
    seed: u64,
}

impl House {
    fn new() -> Self {
        let seed = variable("SALVOR_TEST_SEED").unwrap_or_else(|| u64::from_le_bytes(random()));
        eprintln!("to repeat this run: SALVOR_TEST_SEED={seed}");
        let folder = tempfile::tempdir().unwrap();
        let house = Self { folder, seed };
        for name in ["files", "local", "offsite"] {
            std::fs::create_dir(house.at(name)).unwrap();
        }
        let copy = |name: &str, placement: &str| {
            format!(
                "[[volume.copy]]\nname = \"{name}\"\nkind = \"fs\"\nplacement = \"{placement}\"\npath = \"{name}\"\n"
            )
        };
        let config = format!(
            "[server]\ndata_dir = \"data\"\n[[volume]]\nname = \"uploads\"\npath = \"files\"\n{}{}",
            copy("local", "onsite"),
            copy("offsite", "offsite")
        );
        std::fs::write(house.at("salvor.toml"), config).unwrap();
        for number in 0..FILES {
            let folder = house.at("files").join(format!("site {}", number % 50));
            std::fs::create_dir_all(&folder).unwrap();
            let bytes: Vec<u8> = (0..2_000 + number % 977).map(|at| (at * number % 251) as u8).collect();
            std::fs::write(folder.join(format!("{number}.jpg")), bytes).unwrap();
        }
        house
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn salvor(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_salvor"));
        command.arg("--config").arg(self.at("salvor.toml")).args(args);
        command.env("SALVOR_LOG", "error").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.salvor(args).output().unwrap()
    }

    fn report(&self, args: &[&str]) -> Value {
        let output = self.run(args);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {} {}", shown(&output.stdout), shown(&output.stderr)))
    }

    /// Runs and kills it after a random while; true if it had not ended by then.
    fn killed(&mut self, args: &[&str], most: Duration) -> bool {
        let mut child = self.salvor(args).spawn().unwrap();
        let until = Instant::now() + most.mul_f64(self.chance());
        while Instant::now() < until {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        self.let_leases_run_out();
        true
    }

    /// What ten seconds of waiting would do.
    fn let_leases_run_out(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let Db::Sqlite(pool) = Db::open_sqlite(&self.at("data/salvor.db")).await.unwrap() else {
                panic!()
            };
            let expire = "UPDATE segments SET lease_until = $1 WHERE state = 'leased'";
            sqlx::query(expire).bind(DateTime::UNIX_EPOCH).execute(&pool).await.unwrap();
            pool.close().await;
        });
    }

    /// The next number between 0 and 1 (splitmix64).
    fn chance(&mut self) -> f64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as f64 / u64::MAX as f64
    }

    /// Kills a job again and again, then lets it come to its end.
    fn through_kills(&mut self, id: &str, kills: u64, most: Duration) -> Value {
        for kill in 0..kills {
            if !self.killed(&["job", "work", id], most) {
                eprintln!("it came to its end after {kill} kills");
                break;
            }
            let report = self.report(&["job", "show", id, "--json"]);
            let (done, moved) = (&report["files"]["done"], &report["sources"]);
            assert!(done.as_u64().unwrap() <= report["files"]["total"].as_u64().unwrap(), "{done} {moved}");
        }
        let output = self.run(&["job", "work", id, "--json"]);
        assert!(output.status.success(), "{} {}", shown(&output.stdout), shown(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn no_litter(&self) {
        for root in ["files", "local", "offsite"] {
            for path in tree(&self.at(root)).keys().filter(|path| !path.starts_with(".salvor")) {
                let name = path.file_name().unwrap().to_string_lossy();
                assert!(!name.contains(".salvor"), "litter: {}", path.display());
            }
        }
    }
}

#[test]
fn a_killed_job_goes_on_and_loses_nothing() {
    let kills = variable("SALVOR_TEST_KILLS").unwrap_or(4);
    let mut house = House::new();
    let before = tree(&house.at("files"));
    let most = Duration::from_millis(350);

    let id = house.report(&["protect", "uploads", "--detach", "--json"])["job"].as_str().unwrap().to_owned();
    let report = house.through_kills(&id, kills, most);
    assert_eq!(report["files"]["done"], FILES, "{report}");
    // What was recorded as done was not done again: files that lay on the copy already are not counted as written.
    assert!(report["sources"]["local"]["files"].as_u64().unwrap() <= FILES as u64, "{report}");
    assert_eq!(tree(&house.at("local")), before);
    assert_eq!(tree(&house.at("offsite")), before);

    let lost: Vec<_> = before.keys().filter(|path| !path.starts_with("site 7")).collect();
    for path in &lost {
        std::fs::remove_file(house.at("files").join(path)).unwrap();
    }
    for path in before.keys().filter(|path| path.starts_with("site 7")).take(3) {
        rot(&house.at("files").join(path));
    }
    assert_eq!(house.run(&["check", "uploads", "--full"]).status.code(), Some(1));
    let id = house.report(&["restore", "uploads", "--detach", "--json"])["job"].as_str().unwrap().to_owned();
    let report = house.through_kills(&id, kills, most);
    assert_eq!(report["files"]["done"], lost.len() + 3, "{report}");
    assert!(report["sources"]["local"]["files"].as_u64().unwrap() <= lost.len() as u64 + 3, "{report}");
    let mut after = tree(&house.at("files"));
    let kept = after.keys().filter(|path| path.starts_with(".salvor")).count();
    assert_eq!(kept, 3, "each corrupt file is kept once");
    after.retain(|path, _| !path.starts_with(".salvor"));
    assert_eq!(after.len(), before.len());
    assert!(after == before, "a file is not what it was");
    house.no_litter();
    let full = house.run(&["check", "uploads", "--full"]);
    assert_eq!(full.status.code(), Some(0), "{}", shown(&full.stdout));
}

fn variable(name: &str) -> Option<u64> {
    environment().find_map(|(key, value)| (key == name).then(|| value.parse().unwrap()))
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
