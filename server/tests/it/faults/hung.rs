//! A file system that does not answer, as a file server that is gone leaves one: nobody waits for it without end, and what it did not
//! say is not known.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use salvor::core::Core;
use salvor::error::Error;
use salvor::restore::{Worker, service};
use salvor::volumes::reach::Patience;
use salvor::volumes::service as volumes;
use salvor_app::volumes::port::Reach;
use salvor_domain::account::Actor;
use salvor_domain::job::{JobReport, JobRequest};
use tokio_util::sync::CancellationToken;

use super::{FILES, fill, goes_on, lose, stuck, told_once};
use crate::support::TestApp;
use crate::support::jobs::{check, job, protect, restore, run, start, tree, until, with_worker, without_own};

/// A file system over a folder whose server never says a word.
pub struct Hung {
    at: PathBuf,
    server: Option<File>,
}

impl Hung {
    /// `None` where the privilege is missing.
    pub fn mount(at: PathBuf) -> Option<Self> {
        let mounted = || -> std::io::Result<File> {
            let server = File::options().read(true).write(true).open("/dev/fuse")?;
            let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
            mount("hung", &at, "fuse", MountFlags::empty(), Some(CString::new(options)?.as_c_str()))?;
            Ok(server)
        };
        match mounted() {
            Ok(server) => Some(Self { at, server: Some(server) }),
            Err(why) => {
                eprintln!("skipped: a file system of its own kind cannot be mounted here: {why}");
                None
            }
        }
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        // First its server goes, so that those who wait are told.
        self.server = None;
        let _ = unmount(&self.at, UnmountFlags::DETACH);
    }
}

/// As the program, and less patient.
fn impatient(app: &TestApp) -> Core {
    let patience = Patience { page: Duration::from_secs(1), job: Duration::from_secs(1) };
    Core { patience, ..app.core.clone() }
}

fn is_silent(reach: &Reach) -> bool {
    matches!(reach, Reach::NotKnownYet(why) if why.contains("has not answered for 1 s"))
}

async fn refused(core: &Core, request: JobRequest) -> String {
    match service::start(core, &Actor::salvor(), job(request), None).await {
        Err(Error::Conflict { message, .. } | Error::Invalid(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn restore_to(folder: &Path) -> JobRequest {
    let to_folder = Some(folder.to_str().unwrap().to_owned());
    JobRequest::Restore { from: vec![], paths: vec![], files: vec![], to_folder }
}

fn is_stuck_in_silence(report: &JobReport) -> bool {
    report.reason.as_ref().is_some_and(|why| why.contains("has not answered for 1 s"))
}

on_both_engines! {
    async fn a_page_and_a_request_do_not_wait_for_it(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        let core = impatient(app);
        for folder in ["elsewhere", "hangs"] {
            std::fs::create_dir(app.path(folder)).unwrap();
        }
        let hung: Option<Vec<Hung>> =
            ["files", "copies/local", "hangs"].iter().map(|folder| Hung::mount(app.path(folder))).collect();
        let Some(hung) = hung else { return };

        let begun = Instant::now();
        let views = join_all((0..6).map(|_| volumes::volumes(&core))).await;
        assert!(begun.elapsed() < Duration::from_secs(2), "in one patience: {:?}", begun.elapsed());
        for view in views {
            let view = view.unwrap().pop().unwrap();
            assert!(is_silent(&view.reach) && is_silent(&view.copies[0].reach), "{view:#?}");
            assert_eq!(view.copies[1].reach, Reach::Reached);
        }
        assert!(refused(&core, check(true)).await.contains("has not answered"));
        assert!(refused(&core, restore_to(&app.path("hangs"))).await.contains("has not answered"));
        let reunite = JobRequest::Reunite { from: vec![app.path("hangs").to_str().unwrap().to_owned()] };
        assert!(refused(&core, reunite).await.contains("has not answered"));
        // What hangs is not in the way of what does not need it.
        let elsewhere = job(restore_to(&app.path("elsewhere")));
        let id = service::start(&core, &Actor::salvor(), elsewhere, None).await.unwrap().job.parse().unwrap();
        Worker::run_until_ended(core.clone(), id, CancellationToken::new()).await.unwrap();
        let report = service::job(&core, id).await.unwrap();
        assert_eq!((report.exit_code(), report.sources["offsite"].files), (0, FILES as u64), "{report:#?}");

        drop(hung);
        let view = volumes::volume(&core, "uploads").await.unwrap();
        assert_eq!((view.reach, &view.copies[0].reach), (Reach::Reached, &Reach::Reached));
    }

    async fn a_plan_does_not_wait_for_it_and_goes_on_when_it_answers(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        let id = start(app, job(check(true))).await;
        let Some(hung) = Hung::mount(app.path("files")) else { return };
        with_worker(&impatient(app), async {
            let report = stuck(app, id).await;
            assert!(is_stuck_in_silence(&report), "{report:#?}");
            drop(hung);
            let report = goes_on(app, id).await;
            assert_eq!((report.exit_code(), report.findings.total()), (0, 0), "{report:#?}");
        })
        .await;
        told_once(app, id).await;
    }

    async fn a_worker_in_the_midst_of_it_is_free_again_and_the_job_goes_on(app: &TestApp) {
        fill(app);
        app.write("files/site 0/big.bin", &vec![7; 8_000_000]);
        run(app, protect()).await;
        let before = without_own(tree(&app.path("files")));
        lose(app);
        let mut slow = impatient(app);
        let mut config = (*slow.config).clone();
        for copy in &mut config.volumes[0].copies {
            copy.bandwidth = Some("8 Mbit/s".parse().unwrap());
        }
        slow.config = Arc::new(config);
        let id = start(app, job(restore())).await;
        let hung = with_worker(&slow, async {
            until(app, id, "bytes move", |report| report.bytes.done > 0).await;
            let hung = Hung::mount(app.path("files"))?;
            let report = stuck(app, id).await;
            assert!(is_stuck_in_silence(&report), "{report:#?}");
            Some(hung)
        })
        .await;
        let Some(hung) = hung else { return };
        drop(hung);
        with_worker(&impatient(app), async {
            assert_eq!(goes_on(app, id).await.exit_code(), 0);
        })
        .await;
        assert!(without_own(tree(&app.path("files"))) == before);
    }
}
