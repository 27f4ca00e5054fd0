//! A volume with two copies, the real program on it, and the hand that kills it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use chrono::DateTime;
use salvor::clock::random;
use salvor::config::environment;
use salvor::database::Db;
use serde_json::Value;
use sqlx::sqlite::SqlitePool;

use crate::support::facts::within;
use crate::support::jobs::tree;
use crate::support::running::program;

/// Files of the volume: enough for several segments.
const FILES: usize = 2_500;

pub struct House {
    folder: tempfile::TempDir,
    seed: u64,
    kills_left: u64,
    /// By the kind of job: kills, and runs that came to their end first.
    tally: std::collections::BTreeMap<String, (u64, u64)>,
    /// A run is killed within this time, which follows how long one takes.
    most: Duration,
}

impl House {
    pub fn new(kills: u64) -> Self {
        let seed = variable("SALVOR_TEST_SEED").unwrap_or_else(|| u64::from_le_bytes(random()));
        eprintln!("to repeat this run: SALVOR_TEST_SEED={seed} SALVOR_TEST_KILLS={kills}");
        let folder = tempfile::tempdir().unwrap();
        let most = Duration::from_millis(400);
        let house = Self { folder, seed, kills_left: kills, tally: Default::default(), most };
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
        house
    }

    /// The first time all files, later a few new ones.
    pub fn write_files(&self, round: usize) {
        let numbers = if round == 1 { 0..FILES } else { FILES + round * 30..FILES + (round + 1) * 30 };
        for number in numbers {
            let folder = self.at("files").join(format!("site {}", number % 50));
            std::fs::create_dir_all(&folder).unwrap();
            let bytes: Vec<u8> = (0..2_000 + number % 977).map(|at| (at * number % 251) as u8).collect();
            std::fs::write(folder.join(format!("{number}.jpg")), bytes).unwrap();
        }
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn kills_left(&self) -> u64 {
        self.kills_left
    }

    pub fn tally(&self) -> String {
        let told =
            self.tally.iter().map(|(kind, (kills, ends))| format!("{kind}: {kills} kills, {ends} ends"));
        told.collect::<Vec<_>>().join("; ")
    }

    pub fn salvor(&self, args: &[&str]) -> Command {
        program(&self.at("salvor.toml"), args)
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.salvor(args).output().unwrap()
    }

    pub fn report(&self, args: &[&str]) -> Value {
        let output = self.run(args);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {} {}", shown(&output.stdout), shown(&output.stderr)))
    }

    /// Starts a job and kills whoever works on it, again and again, with a look at what must hold after each; then lets it
    /// come to its end. About a third of the kills that are left go to one job.
    pub fn through_kills(&mut self, job: &[&str], holds: impl Fn(&Self, &str)) -> Value {
        let started = self.report(&[job, &["--detach", "--json"]].concat());
        let id = started["job"].as_str().unwrap().to_owned();
        let share = self.kills_left.min((self.kills_left / 3).clamp(2, 12));
        for _ in 0..share {
            let is_killed = self.killed(&["job", "work", &id]);
            let (kills, ends) = self.tally.entry(job[0].to_owned()).or_default();
            if !is_killed {
                *ends += 1;
                break;
            }
            *kills += 1;
            self.kills_left -= 1;
            holds(self, &id);
        }
        let output = self.run(&["job", "work", &id, "--json"]);
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 1)), "{code:?} {} {}", shown(&output.stdout), shown(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Runs and kills it after a random while; true if it had not ended by then.
    fn killed(&mut self, args: &[&str]) -> bool {
        let mut child = self.salvor(args).spawn().unwrap();
        let while_it_lives = self.most.mul_f64(self.chance());
        let before = self.progress();
        if within(while_it_lives, || child.try_wait().unwrap().is_some()).is_ok() {
            self.most = self.most.mul_f64(0.8).max(Duration::from_millis(50));
            return false;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        self.let_leases_run_out();
        // A machine that is busy starts slowly: kills before anything happened try little.
        if self.progress() == before {
            self.most = self.most.mul_f64(1.3).min(Duration::from_secs(4));
        }
        true
    }

    fn progress(&self) -> Vec<i64> {
        self.query(async |pool| {
            sqlx::query_scalar("SELECT files_done + files_failed + files_total FROM jobs ORDER BY id")
                .fetch_all(pool)
                .await
        })
    }

    /// What ten seconds of waiting would do.
    fn let_leases_run_out(&self) {
        self.query(async |pool| {
            let expire = "UPDATE segments SET lease_until = $1 WHERE state = 'leased'";
            sqlx::query(expire).bind(DateTime::UNIX_EPOCH).execute(pool).await.map(drop)
        });
    }

    /// Another program has the right to write for a while, on a thread of its own; it has it when this returns.
    pub fn hold_database(&self, time: Duration) -> std::thread::JoinHandle<()> {
        let file = self.at("data/salvor.db");
        let (has_it, wait) = std::sync::mpsc::channel();
        let held = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let Db::Sqlite(pool) = Db::open_sqlite(&file).await.unwrap() else { panic!() };
                let held = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
                has_it.send(()).unwrap();
                tokio::time::sleep(time).await;
                held.rollback().await.unwrap();
                pool.close().await;
            });
        });
        wait.recv().unwrap();
        held
    }

    pub fn mark_deleted(&self, path: &Path) {
        let bytes = path.as_os_str().as_bytes();
        self.query(async |pool| {
            sqlx::query("UPDATE files SET state = 3 WHERE path = $1")
                .bind(bytes)
                .execute(pool)
                .await
                .map(drop)
        });
    }

    /// What the database calls restored.
    pub fn recorded_as_done(&self, job: &str) -> Vec<PathBuf> {
        let sql = "SELECT path FROM items WHERE state = 1 AND segment_id IN (SELECT id FROM segments WHERE job_id = $1)";
        let paths: Vec<Vec<u8>> =
            self.query(async |pool| sqlx::query_scalar(sql).bind(job).fetch_all(pool).await);
        paths.iter().map(|path| PathBuf::from(OsStr::from_bytes(path))).collect()
    }

    fn query<T>(&self, ask: impl AsyncFnOnce(&SqlitePool) -> sqlx::Result<T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let Db::Sqlite(pool) = Db::open_sqlite(&self.at("data/salvor.db")).await.unwrap() else {
                panic!()
            };
            let answer = ask(&pool).await.unwrap();
            pool.close().await;
            answer
        })
    }

    /// The next number between 0 and 1 (splitmix64).
    pub fn chance(&mut self) -> f64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as f64 / u64::MAX as f64
    }

    pub fn no_litter(&self) {
        for root in ["files", "local", "offsite"] {
            for path in tree(&self.at(root)).keys().filter(|path| !path.starts_with(".salvor")) {
                let name = path.file_name().unwrap().to_string_lossy();
                assert!(!name.contains(".salvor"), "litter: {}", path.display());
            }
        }
    }
}

pub fn variable(name: &str) -> Option<u64> {
    environment().find_map(|(key, value)| (key == name).then(|| value.parse().unwrap()))
}

pub fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
