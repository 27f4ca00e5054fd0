//! Reunite: nameless files go back where they belong, nothing else happens to anything, and what stays is named.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use salvor::error::Error;
use salvor::restore::service;
use salvor::volumes::service as volumes;
use salvor_app::restore::port::NewJob;
use salvor_domain::account::Actor;
use salvor_domain::finding::FindingKind;
use salvor_domain::ids::JobId;
use salvor_domain::job::{JobControl, JobReport, JobRequest};
use salvor_domain::path::FilePath;

use crate::support::TestApp;
use crate::support::jobs::{
    check, control, ended, fill, job, protect, restore, rot, run, start, tree, without_own,
};

fn reunite() -> JobRequest {
    JobRequest::Reunite { from: vec![] }
}

/// The usual files, but no two of them the same.
fn fill_apart(app: &TestApp) {
    fill(app);
    for number in 0..40 {
        let bytes = format!("Rose's picture {number}. ").repeat(100 + number);
        app.write(format!("files/rose/gallery {number}/p{number}.jpg"), bytes.as_bytes());
    }
}

/// Takes a file's name away, as a file system's check does.
fn lose(app: &TestApp, path: impl AsRef<Path>, name: &str) {
    let to = app.path("files/lost+found").join(name);
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::rename(app.path("files").join(path), to).unwrap();
}

/// What the job found, as path and detail.
async fn found(app: &TestApp, report: &JobReport, kind: FindingKind) -> Vec<(String, String)> {
    let all = service::found(&app.core, report.job.parse().unwrap(), 100).await.unwrap();
    all.into_iter().filter(|found| found.kind == kind).map(|found| (found.path, found.detail)).collect()
}

on_both_engines! {
    async fn lost_names_come_back(app: &TestApp) {
        fill_apart(app);
        for twin in ["anna/twin.bin", "rose/twin.bin", "rose/other twin.bin"] {
            app.write(Path::new("files").join(twin), b"the same in three places");
        }
        run(app, protect()).await;
        let before = tree(&app.path("files"));
        let inode = std::fs::metadata(app.path("files/anna/gallery 5/p5.jpg")).unwrap().ino();

        lose(app, "anna/gallery 5/p5.jpg", "#11");
        lose(app, OsStr::from_bytes(b"caf\xe9 \\ 100%.gif"), "#12");
        lose(app, "empty.txt", "#13");
        // Two folders that lost only their own names, one of them with folders in it; and one of three that have the same bytes.
        lose(app, "rose", "#14");
        lose(app, "anna/gallery 6", "#15");
        std::fs::remove_file(app.path("files/lost+found/#14/other twin.bin")).unwrap();
        app.write("files/lost+found/#20", b"\x89PNG\r\n\x1a\n of nobody");
        std::os::unix::fs::symlink("/etc/passwd", app.path("files/lost+found/#21")).unwrap();

        let dry = start(app, NewJob { dry_run: true, ..job(reunite()) }).await;
        let dry = ended(app, dry).await;
        assert_eq!((dry.exit_code(), dry.files.total, dry.plan.unwrap().total.files), (0, 46, 46));
        assert!(!app.path("files/rose").exists());

        let report = run(app, reunite()).await;
        assert_eq!((report.state.as_str(), report.exit_code()), ("finished", 1), "{report:#?}");
        assert_eq!((report.files.total, report.files.done, report.files.failed), (46, 46, 0), "{report:#?}");
        assert_eq!((report.sources["reunite"].files, report.findings.orphan), (46, 1), "{report:#?}");
        let orphans = found(app, &report, FindingKind::Orphan).await;
        assert_eq!(orphans.len(), 1, "{orphans:?}");
        assert_eq!(orphans[0].0, "lost+found/#20");
        assert!(orphans[0].1.starts_with("PNG image, 18 B"), "{orphans:?}");
        let mut after = tree(&app.path("files"));
        assert!(after.remove(Path::new("lost+found/#20")).is_some());
        assert_eq!(after, before);
        assert_eq!(std::fs::metadata(app.path("files/anna/gallery 5/p5.jpg")).unwrap().ino(), inode, "not a byte was copied");
        assert!(!app.path("files/lost+found/#14").exists() && app.path("files/lost+found").exists());

        // Somebody looked at it.
        std::fs::remove_file(app.path("files/lost+found/#20")).unwrap();
        let report = run(app, reunite()).await;
        assert_eq!((report.exit_code(), report.files.total, report.findings.total()), (0, 0, 0), "{report:#?}");
        assert_eq!(volumes::volume(&app.core, "uploads").await.unwrap().findings.total(), 0);
        let report = run(app, check(true)).await;
        assert_eq!((report.exit_code(), report.findings.total()), (0, 0), "{report:#?}");
    }

    async fn what_is_there_and_what_was_deleted_is_respected(app: &TestApp) {
        fill_apart(app);
        run(app, protect()).await;
        let copy = |from: &str, to: &str| {
            std::fs::create_dir_all(app.path("files/lost+found")).unwrap();
            std::fs::copy(app.path("files").join(from), app.path("files/lost+found").join(to)).unwrap();
        };
        for (number, name) in [(1, "#1"), (2, "#2"), (3, "#3"), (4, "#4")] {
            copy(&format!("rose/gallery {number}/p{number}.jpg"), name);
        }
        app.write("files/rose/gallery 1/p1.jpg", b"written again");
        std::fs::remove_file(app.path("files/rose/gallery 2/p2.jpg")).unwrap();
        let deleted = FilePath::new("rose/gallery 2/p2.jpg").unwrap();
        volumes::mark_deleted(&app.core, &Actor::salvor(), "uploads", &deleted).await.unwrap();
        rot(&app.path("files/rose/gallery 3/p3.jpg"));
        // A full check knows of the rot, and says of each nameless file what it is.
        let report = run(app, check(true)).await;
        assert_eq!((report.findings.corrupt, report.findings.changed, report.findings.orphan), (1, 1, 4), "{report:#?}");

        let report = run(app, reunite()).await;
        assert_eq!((report.files.total, report.files.done), (1, 1), "{report:#?}");
        assert_eq!((report.exit_code(), report.findings.changed, report.findings.orphan), (0, 1, 0), "{report:#?}");
        assert_eq!(std::fs::read(app.path("files/rose/gallery 1/p1.jpg")).unwrap(), b"written again");
        assert!(!app.path("files/rose/gallery 2/p2.jpg").exists(), "a deleted file never comes back");
        assert_eq!(tree(&app.path("files/rose/gallery 3")), tree(&app.path("copies/local/rose/gallery 3")));
        let quarantine = format!("files/.salvor/quarantine/{}/rose/gallery 3/p3.jpg", report.job);
        assert!(app.path(quarantine).exists(), "a corrupt file is kept");
        let left = found(app, &report, FindingKind::Orphan).await;
        let words = ["older version of rose/gallery 1/p1.jpg", "its owner deleted", "is in place"];
        assert_eq!(left.len(), 3, "{left:?}");
        assert!(left.iter().zip(words).all(|((_, detail), word)| detail.contains(word)), "{left:?}");
    }

    async fn a_folder_may_be_named(app: &TestApp) {
        fill_apart(app);
        run(app, protect()).await;
        std::fs::create_dir_all(app.path("recovered/deep")).unwrap();
        std::fs::rename(app.path("files/rose/gallery 1/p1.jpg"), app.path("recovered/deep/f0001.jpg")).unwrap();
        std::fs::create_dir_all(app.path("files/anna/found.000")).unwrap();
        std::fs::rename(app.path("files/rose/gallery 2/p2.jpg"), app.path("files/anna/found.000/FILE0000.CHK")).unwrap();
        app.write("recovered/f0002.txt", b"nobody's");
        let from = |folders: &[&Path]| {
            JobRequest::Reunite { from: folders.iter().map(|folder| folder.to_str().unwrap().to_owned()).collect() }
        };
        let report = run(app, from(&[&app.path("recovered"), Path::new("anna/found.000")])).await;
        assert_eq!((report.exit_code(), report.files.done, report.findings.orphan), (1, 2, 1), "{report:#?}");
        let left = found(app, &report, FindingKind::Orphan).await;
        assert!(left[0].0.ends_with("recovered/f0002.txt") && left[0].1.starts_with("text, 8 B"), "{left:?}");
        assert_eq!(tree(&app.path("files/rose")), tree(&app.path("copies/local/rose")));
        // A folder of the volume's own: what has a name there keeps it, also where another path should have the same bytes.
        std::fs::remove_file(app.path("files/rose/gallery 3/p3.jpg")).unwrap();
        let report = run(app, from(&[Path::new("rose")])).await;
        assert_eq!((report.exit_code(), report.files.total), (0, 0), "{report:#?}");

        for (folder, word) in [
            (app.path("nowhere"), "does not exist"),
            (app.path("files"), "the volume itself"),
            (app.path(""), "the volume itself"),
            (app.path("copies/local/rose"), "copy \"local\""),
            (app.path("copies"), "copy \"local\""),
            (app.path("files/.salvor"), "belongs to Salvor"),
            (app.path("files/empty.txt"), "not a folder"),
        ] {
            std::fs::create_dir_all(app.path("files/.salvor")).unwrap();
            let refused = service::start(&app.core, &Actor::salvor(), job(from(&[&folder])), None).await;
            let Err(Error::Invalid(message)) = refused else { panic!("{}: {refused:?}", folder.display()) };
            assert!(message.contains(word), "{message}");
        }
    }

    async fn a_restore_takes_nameless_files_first_and_falls_back_to_the_copies(app: &TestApp) {
        fill_apart(app);
        run(app, protect()).await;
        let before = tree(&app.path("files"));
        for number in 0..10 {
            lose(app, format!("anna/gallery {number}/p{number}.jpg"), &format!("#{number}"));
        }
        std::fs::remove_dir_all(app.path("files/rose")).unwrap();
        let held = start(app, NewJob { hold: true, ..job(restore()) }).await;
        let report = ended(app, held).await;
        let plan = report.plan.clone().unwrap();
        assert_eq!((plan.reunite.files, plan.total.files, report.files.total), (10, 40, 50), "{report:#?}");
        assert_eq!(plan.sources[0].amount.files, 40);
        let view = service::view(&app.core, held).await.unwrap();
        assert!(view.log.iter().any(|event| event.summary.contains("10 files") && event.summary.contains("nameless")), "{view:#?}");
        // Between plan and approval one of them is damaged, and one is gone.
        rot(&app.path("files/lost+found/#3"));
        std::fs::remove_file(app.path("files/lost+found/#4")).unwrap();
        control(app, held, JobControl::Approve).await.unwrap();
        let report = ended(app, held).await;
        assert_eq!((report.exit_code(), report.files.done, report.files.failed), (0, 50, 0), "{report:#?}");
        assert_eq!((report.sources["reunite"].files, report.sources["local"].files), (8, 42), "{report:#?}");
        let mut after = without_own(tree(&app.path("files")));
        assert!(after.remove(Path::new("lost+found/#3")).is_some());
        assert_eq!(after, before);
        // Where the copy was named, the volume is not asked.
        std::fs::remove_file(app.path("files/lost+found/#3")).unwrap();
        lose(app, "rose/gallery 1/p1.jpg", "#30");
        let from = JobRequest::Restore { from: vec!["offsite".into()], paths: vec![], files: vec![], to_folder: None };
        let report = run(app, from).await;
        assert_eq!((report.exit_code(), report.sources["offsite"].files, report.plan.unwrap().reunite.files), (0, 1, 0));
    }

    async fn one_file_is_restored_from_its_nameless_self(app: &TestApp) {
        fill_apart(app);
        run(app, protect()).await;
        lose(app, "rose", "#7");
        let path = FilePath::new("rose/gallery 9/p9.jpg").unwrap();
        let one = JobRequest::Restore { from: vec![], paths: vec![], files: vec![path.clone()], to_folder: None };
        let report = run(app, one).await;
        assert_eq!((report.exit_code(), report.files.done, report.sources["reunite"].files), (0, 1, 1), "{report:#?}");
        let id: JobId = report.job.parse().unwrap();
        let outcomes = service::outcomes(&app.core, id, &[path]).await.unwrap();
        assert_eq!(outcomes[0].1, service::Outcome::Restored);
        assert!(app.path("files/lost+found/#7/gallery 8/p8.jpg").exists(), "nobody asked for it");
    }

    async fn a_failed_one_is_retried(app: &TestApp) {
        fill_apart(app);
        run(app, protect()).await;
        lose(app, "rose/gallery 1/p1.jpg", "#1");
        std::fs::remove_dir(app.path("files/rose/gallery 1")).unwrap();
        app.write("files/rose/gallery 1", b"a file where the folder should be");
        let report = run(app, reunite()).await;
        assert_eq!((report.exit_code(), report.files.failed, report.failures.len()), (1, 1, 1), "{report:#?}");
        assert!(report.failures[0].reason.contains("in the way"), "{report:#?}");
        std::fs::remove_file(app.path("files/rose/gallery 1")).unwrap();
        let id: JobId = report.job.parse().unwrap();
        control(app, id, JobControl::Retry).await.unwrap();
        let report = ended(app, id).await;
        assert_eq!((report.exit_code(), report.files.done), (0, 1), "{report:#?}");
        assert_eq!(tree(&app.path("files/rose")), tree(&app.path("copies/local/rose")));
    }
}
