//! Jobs as tests ask for them, and what is on the disks before and after.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use salvor::core::Core;
use salvor::error::Error;
use salvor::restore::{Worker, service};
use salvor_app::restore::port::NewJob;
use salvor_domain::account::Actor;
use salvor_domain::ids::JobId;
use salvor_domain::job::{JobControl, JobReport, JobRequest};
use tokio_util::sync::CancellationToken;

use super::TestApp;
use super::facts::{PATIENCE, until_async};

pub fn check(full: bool) -> JobRequest {
    JobRequest::Check { full, paths: vec![] }
}

pub fn protect() -> JobRequest {
    JobRequest::Protect { to: vec![], adopt: None }
}

pub fn restore() -> JobRequest {
    JobRequest::Restore { from: vec![], paths: vec![], files: vec![], to_folder: None }
}

pub fn job(request: JobRequest) -> NewJob {
    NewJob::new("uploads", request)
}

pub async fn start(app: &TestApp, new: NewJob) -> JobId {
    service::start(&app.core, &Actor::salvor(), new, None).await.unwrap().job.parse().unwrap()
}

pub async fn control(app: &TestApp, id: JobId, control: JobControl) -> Result<JobReport, Error> {
    service::control(&app.core, &Actor::salvor(), id, control).await
}

/// Works on a job until it ended, or waits for a person.
pub async fn ended(app: &TestApp, id: JobId) -> JobReport {
    ended_on(&app.core, id).await
}

async fn ended_on(core: &Core, id: JobId) -> JobReport {
    Worker::run_until_ended(core.clone(), id, CancellationToken::new()).await.unwrap();
    service::job(core, id).await.unwrap()
}

pub async fn run(app: &TestApp, request: JobRequest) -> JobReport {
    run_new(app, job(request)).await
}

/// As [`run`], by another process than the test's own.
pub async fn run_on(core: &Core, request: JobRequest) -> JobReport {
    run_new_on(core, job(request)).await
}

pub async fn run_new_on(core: &Core, new: NewJob) -> JobReport {
    let started = service::start(core, &Actor::salvor(), new, None).await.unwrap();
    ended_on(core, started.job.parse().unwrap()).await
}

pub async fn run_new(app: &TestApp, new: NewJob) -> JobReport {
    let id = start(app, new).await;
    ended(app, id).await
}

/// A worker as `salvor serve` has it, while `story` runs.
pub async fn with_worker<T>(core: &Core, story: impl Future<Output = T>) -> T {
    let cancel = CancellationToken::new();
    let story = async {
        let told = story.await;
        cancel.cancel();
        told
    };
    tokio::join!(Worker::run(core.clone(), cancel.clone()), story).1
}

/// Waits for a fact about a job.
pub async fn until(app: &TestApp, id: JobId, fact: &str, is_so: impl Fn(&JobReport) -> bool) -> JobReport {
    until_async(PATIENCE, fact, async || {
        let report = service::job(&app.core, id).await.unwrap();
        if is_so(&report) { Ok(report) } else { Err(report) }
    })
    .await
}

/// Waits until the job has come to this state.
pub async fn until_state(app: &TestApp, id: JobId, state: &str) -> JobReport {
    until(app, id, &format!("the job is {state}"), |report| report.state == state).await
}

/// Bytes, time in seconds and nanoseconds, and mode, by path.
pub type Files = BTreeMap<PathBuf, (Vec<u8>, i64, i64, u32)>;

/// All files below a folder, with all that a restore has to bring back; the mark of the place is not one of them.
pub fn tree(root: &Path) -> Files {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let meta = std::fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                folders.push(path);
            } else if meta.is_file()
                && !path.ends_with(".salvor/volume-id")
                && !path.ends_with(".salvor/copy-id")
            {
                let bytes = std::fs::read(&path).unwrap();
                let name = path.strip_prefix(root).unwrap().to_path_buf();
                found.insert(name, (bytes, meta.mtime(), meta.mtime_nsec(), meta.permissions().mode()));
            }
        }
    }
    found
}

/// What Salvor keeps on a volume beside the customers' files, and what an interrupted write would leave.
pub fn without_own(mut tree: Files) -> Files {
    tree.retain(|path, _| !path.starts_with(".salvor"));
    tree
}

/// Overwrites bytes in place without a trace in size and time.
pub fn rot(path: &Path) {
    let meta = std::fs::metadata(path).unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(path, bytes).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(meta.modified().unwrap()).unwrap();
}

pub fn fill(app: &TestApp) {
    for site in ["anna", "rose"] {
        for number in 0..40 {
            let bytes: Vec<u8> = (0..3_000 + number * 7).map(|at| (at * number % 251) as u8).collect();
            app.write(format!("files/{site}/gallery {number}/p{number}.jpg"), &bytes);
        }
    }
    app.write("files/empty.txt", b"");
    app.write(Path::new("files").join(OsStr::from_bytes(b"caf\xe9 \\ 100%.gif")), b"not utf-8");
    std::fs::set_permissions(app.path("files/empty.txt"), PermissionsExt::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", app.path("files/outside")).unwrap();
}
