//! Live progress, and several workers in one job or on one copy.

use std::sync::Arc;
use std::time::Instant;

use salvor::core::Core;
use salvor::restore::store::figures;
use salvor::restore::{Worker, service};
use salvor_domain::ids::JobId;
use salvor_domain::job::{JobReport, JobRequest};
use tokio_util::sync::CancellationToken;

use crate::support::TestApp;
use crate::support::facts::{PATIENCE, until_async};
use crate::support::jobs::{job, protect, restore, run, start, tree, until};

const BIG: usize = 16_000_000;

/// Another process on the same database, whose copies give so much.
fn other_process(app: &TestApp, bandwidth: Option<&str>) -> Core {
    let mut config = (*app.core.config).clone();
    for copy in &mut config.volumes[0].copies {
        copy.bandwidth = bandwidth.map(|text| text.parse().unwrap());
    }
    Core { config: Arc::new(config), ..app.core.clone() }
}

/// A worker beside the test; dropped, it is gone.
fn work(core: Core, id: JobId, cancel: &CancellationToken) -> tokio::task::JoinSet<()> {
    let cancel = cancel.clone();
    let mut working = tokio::task::JoinSet::new();
    working.spawn(async move { Worker::run_until_ended(core, id, cancel).await.unwrap() });
    working
}

/// Waits for a fact; nothing that is seen on the way is more than there is.
async fn watch(app: &TestApp, id: JobId, fact: &str, is_so: impl Fn(&JobReport) -> bool) -> JobReport {
    until(app, id, fact, |report| {
        assert!(report.bytes.done <= report.bytes.total, "{report:#?}");
        is_so(report)
    })
    .await
}

on_both_engines! {
    async fn bytes_move_within_one_large_file_and_are_taken_back_when_nobody_holds_it(app: &TestApp) {
        app.write("files/big.bin", &vec![7; BIG]);
        run(app, protect()).await;
        let before = tree(&app.path("files"));
        std::fs::remove_file(app.path("files/big.bin")).unwrap();
        let id = start(app, job(restore())).await;

        let cancel = CancellationToken::new();
        let working = work(other_process(app, Some("16 Mbit/s")), id, &cancel);
        let first = watch(app, id, "bytes move", |report| report.bytes.done > 0).await;
        assert_eq!(first.files.done, 0, "a file is done when it is durable: {first:#?}");
        let later = watch(app, id, "more bytes move", |report| report.bytes.done > first.bytes.done).await;
        assert!(later.bytes.done < BIG as u64 && later.files.done == 0, "{later:#?}");
        let rated = watch(app, id, "it has a rate", |report| report.bytes_per_second.is_some()).await;
        assert!(rated.bytes_per_second.unwrap() < 4e6, "{rated:#?}");
        watch(app, id, "still more move", |report| report.bytes.done > rated.bytes.done + 5_000_000).await;
        // The copy's own part moves as well, before it has given a whole file: its end is foreseen by it.
        let mut tx = app.core.db.read().await.unwrap();
        let parts = figures::source_samples(&mut tx, id).await.unwrap();
        let moved: Vec<u64> = parts["local"].iter().map(|sample| sample.bytes).collect();
        assert!(moved.windows(2).any(|two| two[0] < two[1]), "{parts:?}");
        assert!(parts["local"].iter().all(|sample| sample.files == 0), "{parts:?}");
        drop(tx);
        cancel.cancel();
        working.join_all().await;
        let stopped = service::job(&app.core, id).await.unwrap();
        assert_eq!((stopped.state.as_str(), stopped.bytes.done), ("running", 0), "{stopped:#?}");

        work(other_process(app, None), id, &CancellationToken::new()).join_all().await;
        let ended = service::job(&app.core, id).await.unwrap();
        assert_eq!((ended.exit_code(), ended.files.done, ended.bytes.done), (0, 1, BIG as u64), "{ended:#?}");
        assert_eq!(tree(&app.path("files")), before);
    }

    async fn two_processes_in_one_job_restore_each_file_once(app: &TestApp) {
        const FILES: usize = 2_300;
        for number in 0..FILES {
            app.write(format!("files/site {}/{number}", number % 9), format!("file {number}").as_bytes());
        }
        run(app, protect()).await;
        let before = tree(&app.path("files"));
        // What Salvor knows the volume by stays: an empty folder would be a disk that is not mounted.
        for site in 0..9 {
            std::fs::remove_dir_all(app.path(format!("files/site {site}"))).unwrap();
        }
        let id = start(app, job(restore())).await;
        let cancel = CancellationToken::new();
        let both = [work(other_process(app, None), id, &cancel), work(other_process(app, None), id, &cancel)];
        for working in both {
            working.join_all().await;
        }
        let ended = service::job(&app.core, id).await.unwrap();
        assert_eq!((ended.exit_code(), ended.files.done), (0, FILES as u64), "{ended:#?}");
        let given: u64 = ended.sources.values().map(|amount| amount.files).sum();
        assert_eq!((given, ended.bytes.done), (FILES as u64, ended.bytes.total), "{ended:#?}");
        assert_eq!(tree(&app.path("files")), before);
    }

    /// Each reads for a job of its own, into a folder of its own. Together they keep within the rate, and neither waits for the
    /// other's end.
    async fn two_programs_that_read_one_copy_share_its_rate(app: &TestApp) {
        const RATE: f64 = 2e6;
        const FILES: usize = 70;
        for number in 0..FILES {
            app.write(format!("files/{number}.jpg"), &vec![number as u8; 100_000]);
        }
        run(app, protect()).await;
        let limited = app.program(&["limit", "uploads", "offsite", "--bandwidth", "16 Mbit/s"]).output().await.unwrap();
        assert!(limited.status.success(), "{limited:?}");
        let mut jobs = Vec::new();
        for folder in ["one", "two"] {
            std::fs::create_dir(app.path(folder)).unwrap();
            let to_folder = Some(app.path(folder).display().to_string());
            let request = JobRequest::Restore { from: vec!["offsite".into()], paths: vec![], files: vec![], to_folder };
            jobs.push(start(app, job(request)).await);
        }
        let began = Instant::now();
        let work = |id: &JobId| app.program(&["job", "work", &id.to_string()]).kill_on_drop(true).spawn().unwrap();
        let programs: Vec<_> = jobs.iter().map(work).collect();
        let mut side_by_side = false;
        until_async(PATIENCE, "both jobs are done", async || {
            let mut reports = Vec::new();
            for id in &jobs {
                reports.push(service::job(&app.core, *id).await.unwrap());
            }
            let moved: u64 = reports.iter().map(|report| report.bytes.done).sum();
            // Until the second one is known to the first, that one goes at the full rate.
            let most = RATE * (began.elapsed().as_secs_f64() + 1.5);
            assert!((moved as f64) < most, "{moved} bytes moved where {most} may: {reports:#?}");
            side_by_side |= reports.iter().all(|report| (1..report.bytes.total).contains(&report.bytes.done));
            reports.iter().all(|report| report.state == "finished").then_some(()).ok_or(reports)
        })
        .await;
        assert!(side_by_side, "one waited until the other had all");
        for program in programs {
            let ended = program.wait_with_output().await.unwrap();
            assert!(ended.status.success(), "{ended:?}");
        }
    }
}
