//! Faults of the disk that is restored to.

use salvor::restore::service;
use salvor_domain::job::JobControl;

use super::{Disk, FILES, goes_on, in_vain, lost, noise, stuck, told_once};
use crate::support::jobs::{control, job, restore, start, tree, until_state, with_worker, without_own};

on_both_engines! {
    async fn a_full_disk_holds_a_restore_up_until_there_is_room(app: &TestApp) {
        let Some(disk) = Disk::mount(app.path("files"), 8) else { return };
        let before = lost(app).await;
        // Somebody's backup of their own takes nearly everything.
        let ballast = disk.path().join("ballast");
        std::fs::write(&ballast, noise(1, 6 << 20)).unwrap();
        let id = start(app, job(restore())).await;
        with_worker(&app.core, async {
            let report = stuck(app, id).await;
            assert!(report.reason.as_ref().unwrap().contains("is full"), "{report:#?}");
            assert_eq!((report.files.failed, report.exit_code()), (0, 3), "{report:#?}");
            in_vain(app, id, 3).await;
            std::fs::remove_file(&ballast).unwrap();
            let report = goes_on(app, id).await;
            assert_eq!((report.exit_code(), report.files.done), (0, FILES as u64), "{report:#?}");
        })
        .await;
        told_once(app, id).await;
        assert!(without_own(tree(disk.path())) == before);
    }

    async fn a_file_system_that_turned_read_only_holds_a_restore_up(app: &TestApp) {
        let Some(disk) = Disk::mount(app.path("files"), 16) else { return };
        let before = lost(app).await;
        disk.remount("ro");
        let id = start(app, job(restore())).await;
        with_worker(&app.core, async {
            let report = stuck(app, id).await;
            assert!(report.reason.as_ref().unwrap().contains("read-only"), "{report:#?}");
            assert_eq!(report.files.failed, 0);
            in_vain(app, id, 1).await;
            disk.remount("rw");
            let report = goes_on(app, id).await;
            assert_eq!((report.exit_code(), report.files.done), (0, FILES as u64), "{report:#?}");
        })
        .await;
        told_once(app, id).await;
        assert!(without_own(tree(disk.path())) == before);
    }

    async fn who_does_not_want_a_stuck_job_to_go_on_says_so(app: &TestApp) {
        lost(app).await;
        let id = start(app, job(restore())).await;
        std::fs::rename(app.path("files"), app.path("away")).unwrap();
        with_worker(&app.core, async {
            stuck(app, id).await;
            let paused = control(app, id, JobControl::Pause).await.unwrap();
            assert_eq!((paused.state.as_str(), paused.tries_again_at), ("paused", None), "{paused:#?}");
            std::fs::rename(app.path("away"), app.path("files")).unwrap();
            app.advance(chrono::TimeDelta::hours(1));
            // Another job, started later, comes to its end: the worker has looked, and this one still waits.
            let other = start(app, job(restore())).await;
            until_state(app, other, "finished").await;
            assert_eq!(service::job(&app.core, id).await.unwrap().state, "paused");
            control(app, id, JobControl::Resume).await.unwrap();
            let report = until_state(app, id, "finished").await;
            assert_eq!((report.exit_code(), report.files.failed), (0, 0), "{report:#?}");
        })
        .await;
    }

    async fn a_clock_that_goes_backwards_keeps_no_job_waiting(app: &TestApp) {
        lost(app).await;
        let id = start(app, job(restore())).await;
        std::fs::rename(app.path("files"), app.path("away")).unwrap();
        with_worker(&app.core, async {
            stuck(app, id).await;
            std::fs::rename(app.path("away"), app.path("files")).unwrap();
            app.advance(-chrono::TimeDelta::hours(5));
            let report = until_state(app, id, "finished").await;
            assert_eq!((report.exit_code(), report.files.done), (0, FILES as u64), "{report:#?}");
            assert!(report.seconds >= 0.0, "{report:#?}");
        })
        .await;
    }

    async fn what_a_dead_worker_held_is_free_although_the_clock_went_backwards(app: &TestApp) {
        lost(app).await;
        let id = start(app, job(restore())).await;
        let cancel = tokio_util::sync::CancellationToken::new();
        let mut died = Box::pin(salvor::restore::Worker::run_until_ended(app.core.clone(), id, cancel));
        let _ = tokio::time::timeout(std::time::Duration::from_millis(30), &mut died).await;
        drop(died);
        app.advance(-chrono::TimeDelta::hours(5));
        with_worker(&app.core, async {
            let report = until_state(app, id, "finished").await;
            assert_eq!((report.exit_code(), report.files.failed), (0, 0), "{report:#?}");
        })
        .await;
    }
}
