//! An empty volume is not a lost volume, and an empty copy holds what it held: a disk that is not mounted is told from both.

use salvor::volumes::{lookup, service as volumes};
use salvor_app::restore::port::NewJob;
use salvor_domain::account::{Actor, Role};
use salvor_domain::event::EventKind;
use salvor_domain::path::FilePath;
use salvor_domain::volume::Mode;
use serde_json::json;

use super::{Disk, FILES, fill, goes_on, lose, lost, stuck, told_once};
use crate::support::TestApp;
use crate::support::jobs::{
    check, ended, job, protect, restore, run, run_new, start, tree, with_worker, without_own,
};

/// What an unmount leaves: an empty folder of the same name.
fn unmount(app: &TestApp, folder: &str) {
    std::fs::rename(app.path(folder), app.path("away")).unwrap();
    std::fs::create_dir(app.path(folder)).unwrap();
}

fn mount(app: &TestApp, folder: &str) {
    std::fs::remove_dir(app.path(folder)).unwrap();
    std::fs::rename(app.path("away"), app.path(folder)).unwrap();
}

on_both_engines! {
    async fn a_volume_that_is_not_mounted_is_neither_lost_nor_filled(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        let before = without_own(tree(&app.path("files")));
        unmount(app, "files");
        let ids = [start(app, job(check(false))).await, start(app, job(restore())).await];
        with_worker(&app.core, async {
            for id in ids {
                let report = stuck(app, id).await;
                let reason = report.reason.clone().unwrap();
                assert!(reason.contains("its disk is not mounted") && reason.contains("--replaced"), "{report:#?}");
                assert_eq!((report.findings.total(), report.files.failed, report.exit_code()), (0, 0, 3));
            }
            assert!(tree(&app.path("files")).is_empty(), "the mount point stays empty");
            let reach = volumes::volume(&app.core, "uploads").await.unwrap().reach;
            assert!(reach.because().unwrap().contains("its disk is not mounted"), "{reach:?}");
            let asked = [FilePath::new("site 1/1.jpg").unwrap()];
            let facts = lookup::look_up(&app.core, "uploads", &asked).await.unwrap();
            assert!(matches!(facts[0].on_disk, lookup::OnDisk::Unknown(_)), "{facts:?}");
            mount(app, "files");
            for id in ids {
                assert_eq!(goes_on(app, id).await.exit_code(), 0);
            }
        })
        .await;
        for id in ids {
            told_once(app, id).await;
        }
        assert!(without_own(tree(&app.path("files"))) == before);
    }

    async fn a_copy_that_is_not_mounted_is_not_blamed(app: &TestApp) {
        let before = lost(app).await;
        unmount(app, "copies/local");
        let report = run(app, restore()).await;
        assert_eq!((report.exit_code(), report.sources["offsite"].files), (0, FILES as u64), "{report:#?}");
        assert!(without_own(tree(&app.path("files"))) == before);
        let view = volumes::volume(&app.core, "uploads").await.unwrap();
        assert_eq!((view.copies[0].faults, view.copies[0].files), (0, FILES as u64), "it holds what it held");
        assert!(!view.copies[0].reach.is_reached() && view.copies[1].reach.is_reached());
        assert!(view.reach.is_reached());
        // Nor is its mount point filled.
        app.write("files/new.txt", b"new");
        let id = start(app, job(protect())).await;
        let report = ended(app, id).await;
        assert!(report.reason.as_ref().unwrap().contains("--replaced local"), "{report:#?}");
        assert!(tree(&app.path("copies/local")).is_empty());
        mount(app, "copies/local");
        with_worker(&app.core, async { assert_eq!(goes_on(app, id).await.exit_code(), 0) }).await;
    }

    async fn a_new_disk_is_filled_when_somebody_says_so(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        let before = without_own(tree(&app.path("files")));
        // What is deleted by hand needs no word: the place is still known.
        lose(app);
        assert_eq!(run(app, restore()).await.files.done, FILES as u64);
        let token = app.token(Role::Operator).await;
        let mark = || std::fs::read(app.path("files/.salvor/volume-id")).unwrap();
        let old = mark();
        std::fs::remove_dir_all(app.path("files")).unwrap();
        std::fs::create_dir(app.path("files")).unwrap();
        assert_eq!(run(app, restore()).await.state, "paused");
        let body = json!({ "kind": "restore", "volume": "uploads", "replaced": true });
        let reply = app.post_as(&token, "/api/v1/jobs", body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let report = ended(app, reply.json()["job"].as_str().unwrap().parse().unwrap()).await;
        assert_eq!((report.exit_code(), report.files.done), (0, FILES as u64), "{report:#?}");
        assert!(without_own(tree(&app.path("files"))) == before);
        // From now on the new disk is the one that has to be there, and the old one is another.
        assert_ne!(mark(), old);
        unmount(app, "files");
        assert_eq!(run(app, restore()).await.state, "paused");
        mount(app, "files");

        std::fs::remove_dir_all(app.path("copies/local")).unwrap();
        std::fs::create_dir(app.path("copies/local")).unwrap();
        app.write("files/new.txt", b"new");
        let body = json!({ "kind": "protect", "volume": "uploads", "replaced_copies": ["local"] });
        let reply = app.post_as(&token, "/api/v1/jobs", body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let report = ended(app, reply.json()["job"].as_str().unwrap().parse().unwrap()).await;
        assert_eq!(report.exit_code(), 0, "{report:#?}");
        assert!(app.path("copies/local/new.txt").exists() && app.path("copies/local/.salvor/copy-id").exists());
    }

    async fn what_is_said_of_a_disk_is_carried_out_with_its_job_or_not_at_all(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        let operator = app.token(Role::Operator).await;
        unmount(app, "files");
        let elsewhere = tempfile::tempdir().unwrap();
        let words = [
            (json!({ "kind": "check", "replaced": true }), "to a restore only, not to a check"),
            (json!({ "kind": "restore", "replaced": true, "dry_run": true }), "dry run"),
            (json!({ "kind": "restore", "replaced": true, "to_folder": elsewhere.path() }), "does not touch"),
            (json!({ "kind": "restore", "replaced": true, "from": ["tape"] }), "no copy \"tape\""),
            (json!({ "kind": "restore", "replaced_copies": ["local"] }), "only to a protect"),
            (json!({ "kind": "protect", "to": ["offsite"], "replaced_copies": ["local"] }), "only to a protect"),
            (json!({ "kind": "protect", "replaced_copies": ["tape"] }), "no copy \"tape\""),
        ];
        for (mut body, word) in words {
            body["volume"] = json!("uploads");
            let refused = app.post_as(&operator, "/api/v1/jobs", body).await.problem(422);
            assert!(refused["detail"].as_str().unwrap().contains(word), "{word}: {refused}");
        }
        volumes::set_mode(&app.core, &Actor::salvor(), "uploads", Mode::ReadOnly, "a test", true).await.unwrap();
        volumes::set_mode(&app.core, &Actor::salvor(), "uploads", Mode::Failover, "a test", true).await.unwrap();
        let body = json!({ "kind": "restore", "volume": "uploads", "replaced": true });
        app.post_as(&operator, "/api/v1/jobs", body).await.problem(409);
        volumes::set_mode(&app.core, &Actor::salvor(), "uploads", Mode::ReadOnly, "a test", true).await.unwrap();
        let mut tx = app.core.db.read().await.unwrap();
        let log = salvor::events::about(&mut tx, "uploads", 100).await.unwrap();
        assert!(log.iter().all(|event| event.kind != EventKind::DiskReplaced), "{log:#?}");
        drop(tx);
        assert_eq!(run(app, restore()).await.state, "paused", "the mount point is not taken for a new disk");
        assert!(tree(&app.path("files")).is_empty());

        // A look by somebody else does not use the word up.
        let said = start(app, NewJob { replaced: true, ..job(restore()) }).await;
        assert_eq!(run(app, check(false)).await.findings.missing, FILES as u64);
        assert_eq!(ended(app, said).await.files.done, FILES as u64);
    }

    async fn a_dry_run_marks_nothing(app: &TestApp) {
        fill(app);
        let report = run_new(app, NewJob { dry_run: true, ..job(protect()) }).await;
        assert_eq!((report.exit_code(), report.files.total), (0, FILES as u64), "{report:#?}");
        assert!(!app.path("files/.salvor").exists());
    }

    async fn a_volume_with_strangers_files_on_another_file_system_is_refused(app: &TestApp) {
        let Some(disk) = Disk::mount(app.path("files"), 16) else { return };
        fill(app);
        run(app, protect()).await;
        disk.unmount();
        // Somebody's program went on writing into the mount point.
        app.write("files/cache/x", b"x");
        let report = run(app, restore()).await;
        let reason = report.reason.clone().unwrap();
        assert!(reason.contains("another file system"), "{report:#?}");
        assert_eq!(tree(&app.path("files")).len(), 1);
    }
}
