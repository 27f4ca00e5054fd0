//! What is said of jobs is true: of what holds them up, of plans that would fail, of limits.

use salvor::restore::{Worker, service};
use salvor::volumes::service as volumes;
use salvor_app::restore::port::NewJob;
use salvor_domain::account::Actor;
use salvor_domain::ids::JobId;
use salvor_domain::job::{JobControl, JobRequest};
use salvor_domain::limits::JobLimits;
use salvor_domain::path::{FilePath, Glob};
use tokio_util::sync::CancellationToken;

use crate::support::TestApp;
use crate::support::jobs::{
    control, ended, fill, job, protect, restore, run, run_new, start, until, until_state,
};

/// What the program prints, and its exit code.
async fn says(app: &TestApp, args: &[&str]) -> (String, i32) {
    let ended = app.program(args).output().await.unwrap();
    let text = String::from_utf8(ended.stdout).unwrap() + &String::from_utf8(ended.stderr).unwrap();
    (text, ended.status.code().unwrap())
}

/// A worker beside the test.
fn working(app: &TestApp, id: JobId) -> tokio::task::JoinSet<()> {
    let core = app.core.clone();
    let mut working = tokio::task::JoinSet::new();
    working.spawn(async move { Worker::run_until_ended(core, id, CancellationToken::new()).await.unwrap() });
    working
}

fn limits(json: &str) -> JobLimits {
    serde_json::from_str(json).unwrap()
}

on_both_engines! {
    async fn a_job_that_had_nothing_to_do_says_why(app: &TestApp) {
        app.write("files/new.jpg", b"not in the catalogue");
        let (text, code) = says(app, &["check", "uploads", "--full"]).await;
        let nothing = "there was nothing to do: the catalogue holds no file yet";
        let needed = format!("uploads: {nothing}, and 1 file is not in it; protect the volume first.");
        assert_eq!((text.lines().next().unwrap(), code), (needed.as_str(), 1));
        let (text, code) = says(app, &["restore", "uploads"]).await;
        assert_eq!((text.trim(), code), (format!("uploads: {nothing}; protect the volume first.").as_str(), 0));
        run(app, protect()).await;
        let (text, code) = says(app, &["restore", "uploads"]).await;
        assert_eq!((text.trim(), code), ("uploads: nothing was missing: 1 file is in place.", 0));
        let only = FilePath::new("new.jpg").unwrap();
        volumes::mark_deleted(&app.core, &Actor::salvor(), "uploads", &only).await.unwrap();
        std::fs::remove_file(app.path("files/new.jpg")).unwrap();
        let (text, code) = says(app, &["restore", "uploads"]).await;
        let deleted = "uploads: there was nothing to do: every file of the catalogue was deleted by its owner.";
        assert_eq!((text.trim(), code), (deleted, 0));
    }

    async fn a_copy_that_its_limit_holds_is_named_and_the_end_is_not_known(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        for number in [100, 101] {
            app.write(format!("files/anna/{number}.jpg"), &vec![number; 30_000]);
        }
        run(app, JobRequest::Protect { to: vec!["offsite".into()], adopt: None }).await;
        std::fs::remove_dir_all(app.path("files/anna")).unwrap();
        let (text, code) = says(app, &["limit", "uploads", "offsite"]).await;
        assert_eq!((text.trim(), code), ("uploads, offsite: no limit (as configured).", 0));
        let id = start(app, NewJob { hold: true, ..job(restore()) }).await;
        assert_eq!(ended(app, id).await.plan.unwrap().sources.len(), 2);
        let (_, code) = says(app, &["limit", "uploads", "offsite", "--bandwidth", "0"]).await;
        assert_eq!(code, 0);
        control(app, id, JobControl::Approve).await.unwrap();
        let working = working(app, id);
        let report = until(app, id, "all but two files are done", |report| report.files.done == 40).await;
        assert_eq!((report.eta, report.held.as_deref()), (None, Some("offsite is paused by its limit")), "{report:#?}");

        let id_text = id.to_string();
        let (text, _) = says(app, &["job", "show", &id_text]).await;
        for needed in [
            "Restore of uploads: running for",
            "done: 40 of 42 files",
            "rate: ",
            "time left not known: offsite is paused by its limit",
            "limit: no limit",
            "from local: 40 of 40 files",
            "from offsite: 0 of 2 files",
            "paused by its limit (set by hand)",
        ] {
            assert!(text.contains(needed), "{needed} in {text}");
        }
        let (text, _) = says(app, &["job", "list", "--active"]).await;
        assert!(text.contains("running") && text.contains("Waiting: offsite is paused by its limit."), "{text}");
        let page = app.page(&app.session(salvor_domain::account::Role::Operator).await, &format!("/console/jobs/{id}")).await.text();
        assert!(page.contains("offsite is paused by its limit") && page.contains("not known yet"), "{page}");

        // A question changes nothing.
        let (text, _) = says(app, &["limit", "uploads", "offsite", "--json"]).await;
        assert!(text.contains(r#""bandwidth":"0""#) && text.contains(r#""by_hand":true"#), "{text}");
        for args in [&["job", "limit", &id_text, "--bandwidth", "8 Mbit/s"][..], &["job", "limit", &id_text], &["job", "limit", &id_text, "--gentle"]] {
            let (text, code) = says(app, args).await;
            assert!(code == 0 && text.contains("at most 8 Mbit/s"), "{text}");
        }
        let (text, _) = says(app, &["job", "limit", &id_text, "--unlimited"]).await;
        assert!(text.contains("no limit") && !text.contains("gently"), "{text}");
        assert_eq!(service::job(&app.core, id).await.unwrap().files.done, 40, "offsite is still held");
        says(app, &["limit", "uploads", "offsite", "--clear"]).await;
        let report = until_state(app, id, "finished").await;
        assert_eq!((report.exit_code(), report.held), (0, None));
        working.join_all().await;
    }

    async fn a_plan_keeps_within_its_jobs_limit(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        let lose = || std::fs::remove_dir_all(app.path("files/rose")).unwrap();
        lose();
        run(app, restore()).await;
        lose();
        let plan = async |text: &str| {
            let new = NewJob { dry_run: true, limits: limits(text), ..job(restore()) };
            run_new(app, new).await.plan.unwrap()
        };
        let bytes = plan("{}").await.total.bytes as f64;
        let slow = plan(r#"{"bandwidth":"1 kB/s"}"#).await;
        let least = slow.estimate.unwrap().low_seconds;
        assert!((bytes / 1_000.0 - 1.0..bytes / 1_000.0 + 1.0).contains(&least), "{slow:#?}");
        assert!(slow.sources[0].basis.contains("the job's limit"), "{slow:#?}");
        let shut = plan(r#"{"bandwidth":"0"}"#).await;
        assert_eq!((shut.estimate, shut.sources[0].basis.as_str()), (None, "the job is paused by its limit"));
        let (text, code) = says(app, &["restore", "uploads", "--bandwidth", "1 kB/s", "--dry-run"]).await;
        assert!(code == 0 && text.contains("the job's limit") && !text.contains(" 0 s ("), "{text}");
    }

    async fn a_plan_alone_tells_what_would_fail(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        let request = || JobRequest::Restore { from: vec![], paths: vec![Glob::new("typo/**")], files: vec![], to_folder: None };
        let dry = run_new(app, NewJob { dry_run: true, ..job(request()) }).await;
        let real = run(app, request()).await;
        assert_eq!((dry.exit_code(), real.exit_code()), (1, 1), "{dry:#?}");
        assert_eq!((dry.files.failed, &dry.failures), (1, &real.failures), "{dry:#?}");
        let (text, code) = says(app, &["restore", "uploads", "--path", "typo/**", "--dry-run"]).await;
        assert!(code == 1 && text.contains("1 file would fail") && text.contains("typo/**: the catalogue has no such file"), "{text}");
        let check = JobRequest::Check { full: true, paths: vec![Glob::new("typo/**")] };
        assert_eq!(run_new(app, NewJob { dry_run: true, ..job(check) }).await.exit_code(), 1);

        // Files in no copy as well.
        for copy in ["local", "offsite"] {
            std::fs::remove_dir_all(app.path("copies").join(copy).join("rose")).unwrap();
        }
        std::fs::remove_dir_all(app.path("files/rose")).unwrap();
        run(app, restore()).await;
        let dry = run_new(app, NewJob { dry_run: true, ..job(restore()) }).await;
        assert_eq!((dry.exit_code(), dry.files.failed, dry.failures.len()), (1, 40, 40), "{dry:#?}");
    }

    async fn a_reunite_keeps_within_its_limit(app: &TestApp) {
        for number in 0..40 {
            app.write(format!("files/rose/{number}.jpg"), format!("Rose's picture {number}").as_bytes());
        }
        run(app, protect()).await;
        std::fs::create_dir(app.path("files/lost+found")).unwrap();
        std::fs::rename(app.path("files/rose"), app.path("files/lost+found/#12")).unwrap();
        for request in [JobRequest::Reunite { from: vec![] }, restore()] {
            let id = start(app, NewJob { limits: limits(r#"{"bandwidth":"0"}"#), ..job(request) }).await;
            let working = working(app, id);
            let held = until(app, id, "it has had a second", |report| report.seconds > 1.0).await;
            assert_eq!((held.state.as_str(), held.held.as_deref()), ("planning", Some("the job is paused by its limit")));
            let (text, _) = says(app, &["job", "show", &id.to_string()]).await;
            assert!(text.contains("waiting: the job is paused by its limit"), "{text}");
            assert!(app.path("files/lost+found/#12").exists() && !app.path("files/rose").exists());
            control(app, id, JobControl::Cancel).await.unwrap();
            working.join_all().await;
        }
        let new = NewJob { limits: limits(r#"{"files_per_second":0}"#), ..job(JobRequest::Reunite { from: vec![] }) };
        let id = start(app, new).await;
        let working = working(app, id);
        until(app, id, "it has had a second", |report| report.seconds > 1.0).await;
        let (text, _) = says(app, &["job", "limit", &id.to_string(), "--files-per-second", "100"]).await;
        assert!(text.contains("at most 100 files/s"), "{text}");
        let report = until_state(app, id, "finished").await;
        assert_eq!((report.exit_code(), report.files.done), (0, 40), "{report:#?}");
        working.join_all().await;
    }
}
