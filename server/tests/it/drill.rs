//! Drills and readiness on real files: good copies, bad ones, and copies that are gone.

use std::path::Path;

use chrono::TimeDelta;
use salvor::restore::readiness::readiness;
use salvor::restore::service;
use salvor::volumes::service as volumes;
use salvor_app::restore::port::NewJob;
use salvor_domain::account::{Actor, Role};
use salvor_domain::job::{JobControl, JobRequest};
use salvor_domain::readiness::Verdict;

use crate::support::TestApp;
use crate::support::facts::until;
use crate::support::jobs::{control, ended, job, protect, restore, rot, run, run_new, tree};
use crate::support::running::program;

fn drill(from: &[&str], sample: Option<u64>) -> JobRequest {
    JobRequest::Drill { from: from.iter().map(|&name| name.into()).collect(), sample, seed: Some(7) }
}

/// Sixty small files and four large ones.
fn fill(app: &TestApp) {
    for number in 0..60_usize {
        let bytes: Vec<u8> = (0..2_000 + number * 31).map(|at| (at * number % 251) as u8).collect();
        app.write(format!("files/site {}/p{number}.jpg", number % 5), &bytes);
    }
    for number in 0..4_usize {
        let bytes: Vec<u8> = (0..600_000).map(|at| (at * (number + 3) % 253) as u8).collect();
        app.write(format!("files/video/{number}.mp4"), &bytes);
    }
}

fn scratch_is_empty(data_dir: &Path) -> bool {
    std::fs::read_dir(data_dir.join("scratch")).map_or(true, |mut entries| entries.next().is_none())
}

on_both_engines! {
    async fn a_good_copy_is_verified_and_measured(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        let before = [tree(&app.path("files")), tree(&app.path("copies"))];
        let report = run(app, drill(&[], None)).await;
        assert_eq!((report.state.as_str(), report.exit_code()), ("finished", 0), "{report:#?}");
        assert_eq!((report.files.total, report.files.done, report.files.skipped), (128, 128, 0));
        assert_eq!((report.sources["local"].files, report.sources["offsite"].files), (64, 64));
        assert_eq!([tree(&app.path("files")), tree(&app.path("copies"))], before, "nothing else was touched");
        assert!(scratch_is_empty(&app.core.config.server.data_dir));
        let view = readiness(&app.core, Some("uploads")).await.unwrap().remove(0);
        let ready = &view.readiness;
        assert_eq!((ready.verdict, ready.warnings.len()), (Verdict::Met, 0), "{ready:#?}");
        let last = ready.copies[0].last_drill.as_ref().unwrap();
        assert_eq!((last.verified, last.failed, last.job.as_str()), (64, 0, report.job.as_str()));
        assert!(view.rates.iter().all(|copy| copy.measured.len() == 2), "small and large ones apart: {view:#?}");
        // A sample is drawn, and the same seed draws it again.
        let some = run(app, drill(&["local"], Some(10))).await;
        assert_eq!((some.exit_code(), some.files.total, some.files.done), (0, 10, 10), "{some:#?}");
        assert!(some.sources["local"].bytes > 600_000, "all sizes are in it: {some:#?}");
        let again = run(app, drill(&["local"], Some(10))).await;
        assert_eq!(again.sources["local"].bytes, some.sources["local"].bytes);
        let dry = run_new(app, NewJob { dry_run: true, ..job(drill(&[], None)) }).await;
        assert_eq!((dry.exit_code(), dry.files.done, dry.plan.unwrap().total.files), (0, 0, 128));
    }

    async fn a_bad_copy_is_told_by_file(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        rot(&app.path("copies/local/site 1/p1.jpg"));
        std::fs::remove_file(app.path("copies/local/site 2/p2.jpg")).unwrap();
        std::fs::remove_file(app.path("copies/offsite/site 2/p2.jpg")).unwrap();
        let report = run(app, drill(&[], None)).await;
        assert_eq!((report.exit_code(), report.files.done, report.files.failed), (1, 125, 3), "{report:#?}");
        let reason = |path: &str| {
            report.failures.iter().find(|failure| failure.path == path).map(|failure| failure.reason.clone()).unwrap()
        };
        assert!(reason("site 1/p1.jpg").starts_with("local: ") && reason("site 1/p1.jpg").contains("checksum"));
        let both = reason("site 2/p2.jpg");
        assert!(both.contains("local: ") && both.contains("offsite: "), "each copy has its say: {both}");
        let view = volumes::volume(&app.core, "uploads").await.unwrap();
        assert_eq!((view.copies[0].faults, view.copies[1].faults), (2, 1));
        let ready = readiness(&app.core, None).await.unwrap().remove(0).readiness;
        assert_eq!(ready.drill.verdict, Verdict::Missed, "{ready:#?}");
        assert_eq!(ready.in_no_copy, 1);
        assert!(ready.rto.reason.contains("1 file is in no copy"), "{ready:#?}");
        assert!(scratch_is_empty(&app.core.config.server.data_dir));
        // Mended, and tried again.
        std::fs::copy(app.path("files/site 1/p1.jpg"), app.path("copies/local/site 1/p1.jpg")).unwrap();
        for copy in ["local", "offsite"] {
            std::fs::copy(app.path("files/site 2/p2.jpg"), app.path(format!("copies/{copy}/site 2/p2.jpg"))).unwrap();
        }
        let id = report.job.parse().unwrap();
        control(app, id, JobControl::Retry).await.unwrap();
        let report = ended(app, id).await;
        assert_eq!((report.exit_code(), report.files.done, report.files.failed), (0, 128, 0), "{report:#?}");
        let view = volumes::volume(&app.core, "uploads").await.unwrap();
        assert_eq!((view.copies[0].faults, view.copies[1].faults), (0, 0));
    }

    async fn a_copy_that_is_gone_fails_the_drill_and_the_others_are_tried(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        std::fs::rename(app.path("copies/offsite"), app.path("copies/away")).unwrap();
        // The volume itself is not needed.
        std::fs::rename(app.path("files"), app.path("unmounted")).unwrap();
        let report = run(app, drill(&[], None)).await;
        assert_eq!((report.exit_code(), report.files.done, report.files.failed), (1, 64, 1), "{report:#?}");
        assert!(report.failures[0].path == "offsite" && report.failures[0].reason.contains("out of reach"), "{report:#?}");
        let ready = readiness(&app.core, None).await.unwrap().remove(0).readiness;
        assert!(ready.copies[1].drill.reason.contains("verified nothing"), "{ready:#?}");
        let asked = service::start(&app.core, &Actor::salvor(), job(drill(&["offsite"], None)), None).await;
        assert!(asked.unwrap_err().to_string().contains("out of reach"));
        for (wrong, word) in [(drill(&["tape"], None), "no copy \"tape\""), (drill(&[], Some(0)), "1 to 10,000")] {
            let refused = service::start(&app.core, &Actor::salvor(), job(wrong), None).await;
            assert!(refused.unwrap_err().to_string().contains(word));
        }
    }

    async fn readiness_ages_and_says_so_everywhere(app: &TestApp) {
        fill(app);
        let token = app.token(Role::Operator).await;
        let empty = app.get_as(&token, "/api/v1/readiness").await.json();
        assert_eq!(empty[0]["verdict"], "missed", "never protected, never drilled: {empty}");
        run(app, protect()).await;
        let answer = app.post_as(&token, "/api/v1/jobs", serde_json::json!({"volume": "uploads", "kind": "drill"})).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let id = answer.json()["job"].as_str().unwrap().parse().unwrap();
        assert!(answer.json()["request"]["seed"].is_u64(), "what was drawn with is kept");
        ended(app, id).await;
        let ready = app.get_as(&token, "/api/v1/volumes/uploads/readiness").await.json();
        assert_eq!(ready["rpo"]["verdict"], "met", "{ready}");
        assert_eq!(ready["drill"]["verdict"], "met", "{ready}");
        app.advance(TimeDelta::days(8));
        let ready = app.get_as(&token, "/api/v1/volumes/uploads/readiness").await.json();
        assert_eq!((&ready["rpo"]["verdict"], &ready["drill"]["verdict"]), (&"missed".into(), &"missed".into()), "{ready}");
        assert_eq!(app.get_as(&token, "/api/v1/volumes/nowhere/readiness").await.status, 404);
        let metrics = app.get_as(&token, "/metrics").await.text();
        for line in [
            "salvor_readiness{volume=\"uploads\",objective=\"rpo\",salvor_readiness=\"missed\"} 1",
            "salvor_copy_age_seconds{volume=\"uploads\",copy=\"local\"} 69",
        ] {
            assert!(metrics.contains(line), "{line} in {metrics}");
        }
        let cookie = app.session(Role::Operator).await;
        let page = app.page(&cookie, "/console/readiness").await.text();
        assert!(page.contains("<h1>Readiness") && page.contains("Run a drill of uploads"), "{page}");
        let cookie = app.session(Role::Viewer).await;
        assert!(!app.page(&cookie, "/console/readiness").await.text().contains("Run a drill of"));
        let started = app.form(Some(&cookie), "/console/do/start_drill", "request[volume]=uploads").await;
        assert!(!started.header("location").contains("/console/jobs/"), "a viewer starts nothing");
    }

    async fn a_plan_says_what_it_rests_on(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        for number in 0..4 {
            std::fs::remove_file(app.path(format!("files/video/{number}.mp4"))).unwrap();
        }
        // Read before it runs: worth a moment's probe.
        let held = run_new(app, NewJob { hold: true, ..job(restore()) }).await;
        let plan = held.plan.unwrap();
        let basis = &plan.sources[0].basis;
        assert_eq!(basis, "a probe of 4 files just now", "{plan:#?}");
        assert!(plan.estimate.is_some_and(|whole| Some(whole) == plan.sources[0].estimate), "{plan:#?}");
        assert!(scratch_is_empty(&app.core.config.server.data_dir));
        let id = held.job.parse().unwrap();
        control(app, id, JobControl::Approve).await.unwrap();
        let report = ended(app, id).await;
        assert_eq!((report.exit_code(), report.files.done), (0, 4), "{report:#?}");
    }
}

/// A drill that is killed leaves scratch; the next process that works on jobs here leaves none, and ends the drill.
#[test]
fn a_killed_drill_leaves_no_scratch_after_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["files", "local"] {
        std::fs::create_dir(at(name)).unwrap();
    }
    // So slow that it cannot end before it is killed.
    let config = "[server]\ndata_dir = \"data\"\n[[volume]]\nname = \"uploads\"\npath = \"files\"\n[[volume.copy]]\n\
                  name = \"local\"\nkind = \"fs\"\nplacement = \"onsite\"\npath = \"local\"\nbandwidth = \"BANDWIDTH\"\n";
    let set =
        |bandwidth: &str| std::fs::write(at("salvor.toml"), config.replace("BANDWIDTH", bandwidth)).unwrap();
    set("1 GB/s");
    for number in 0..40 {
        std::fs::write(at("files").join(format!("{number}.jpg")), vec![number; 40_000]).unwrap();
    }
    let salvor = |args: &[&str]| program(&at("salvor.toml"), args);
    assert!(salvor(&["protect", "uploads"]).output().unwrap().status.success());
    set("100 kB/s");
    let mut child = salvor(&["drill", "uploads"]).spawn().unwrap();
    until("a file lies in scratch", || {
        assert!(child.try_wait().unwrap().is_none(), "the drill ended");
        tree(&at("data")).keys().any(|path| path.starts_with("scratch") && path.extension().is_some())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!scratch_is_empty(&at("data")), "the killed one could not clear away");
    set("1 GB/s");
    let next = salvor(&["drill", "uploads", "--json"]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&next.stdout).unwrap();
    assert_eq!((next.status.code(), &report["files"]["done"]), (Some(0), &40.into()), "{report}");
    assert!(scratch_is_empty(&at("data")), "{:?}", tree(&at("data")).keys());
}
