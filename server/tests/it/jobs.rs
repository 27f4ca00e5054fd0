//! Jobs on real files: the main story, and what may go wrong in it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use salvor::error::Error;
use salvor::restore::{Worker, service};
use salvor::volumes::service as volumes;
use salvor_app::restore::port::NewJob;
use salvor_domain::account::{Actor, Role};
use salvor_domain::ids::JobId;
use salvor_domain::job::{JobControl, JobRequest};
use salvor_domain::path::{FilePath, Glob};
use salvor_domain::volume::Mode;
use tokio_util::sync::CancellationToken;

use crate::support::TestApp;
use crate::support::jobs::{
    check, control, ended, fill, job, protect, restore, rot, run, start, tree, until, until_state,
    with_worker, without_own,
};

async fn set_mode(app: &TestApp, to: Mode) {
    volumes::set_mode(&app.core, &Actor::salvor(), "uploads", to, "a test", true).await.unwrap();
}

on_both_engines! {
    async fn the_story(app: &TestApp) {
        fill(app);
        let before = tree(&app.path("files"));
        let report = run(app, protect()).await;
        assert_eq!((report.state.as_str(), report.exit_code()), ("finished", 0), "{report:#?}");
        assert_eq!((report.files.total, report.files.done), (82, 82));
        assert_eq!(report.sources["local"].files, 82);
        assert_eq!(tree(&app.path("copies/local")), before);
        assert_eq!(tree(&app.path("copies/offsite")), before);
        let report = run(app, check(true)).await;
        assert_eq!((report.exit_code(), report.files.done, report.findings.total()), (0, 82, 0), "{report:#?}");

        // The outage: a folder gone, files gone, one damaged without a trace, one cut short, one that lost its name.
        std::fs::remove_dir_all(app.path("files/anna/gallery 3")).unwrap();
        std::fs::remove_file(app.path("files/rose/gallery 7/p7.jpg")).unwrap();
        std::fs::remove_file(app.path("files/empty.txt")).unwrap();
        std::fs::remove_file(app.path("files").join(OsStr::from_bytes(b"caf\xe9 \\ 100%.gif"))).unwrap();
        rot(&app.path("files/rose/gallery 8/p8.jpg"));
        let modified = std::fs::metadata(app.path("files/rose/gallery 9/p9.jpg")).unwrap().modified().unwrap();
        let cut = std::fs::File::options().write(true).open(app.path("files/rose/gallery 9/p9.jpg")).unwrap();
        cut.set_len(100).unwrap();
        cut.set_modified(modified).unwrap();
        std::fs::create_dir(app.path("files/lost+found")).unwrap();
        std::fs::rename(app.path("files/anna/gallery 5/p5.jpg"), app.path("files/lost+found/#123")).unwrap();

        let quick = run(app, check(false)).await;
        assert_eq!((quick.exit_code(), quick.findings.missing, quick.findings.corrupt), (1, 5, 1), "{quick:#?}");
        let full = run(app, check(true)).await;
        assert_eq!((full.exit_code(), full.files.total, full.files.done), (1, 82, 82));
        let found = full.findings;
        assert_eq!((found.missing, found.corrupt, found.orphan, found.extra), (5, 2, 1, 0), "{full:#?}");
        let named = service::found(&app.core, full.job.parse().unwrap(), 100).await.unwrap();
        let orphan = named.iter().find(|finding| finding.path == "lost+found/#123").unwrap();
        assert!(orphan.detail.contains("anna/gallery 5/p5.jpg"), "{orphan:?}");
        assert!(named.iter().any(|finding| finding.path == "caf\\xE9 \\ 100%.gif"), "{named:#?}");

        let report = run(app, restore()).await;
        assert_eq!((report.exit_code(), report.files.total, report.files.done), (0, 7, 7), "{report:#?}");
        assert_eq!((report.sources["reunite"].files, report.sources["local"].files), (1, 6));
        assert_eq!(report.plan.unwrap().reunite.files, 1);
        std::fs::remove_dir(app.path("files/lost+found")).unwrap();
        let after = tree(&app.path("files"));
        let quarantine: Vec<_> = after.keys().filter(|path| path.starts_with(".salvor/quarantine")).collect();
        assert_eq!(quarantine.len(), 2, "both corrupt files are kept: {quarantine:?}");
        assert_eq!(without_own(after), before);
        let report = run(app, check(true)).await;
        assert_eq!((report.exit_code(), report.findings.total()), (0, 0), "{report:#?}");
        let view = volumes::volume(&app.core, "uploads").await.unwrap();
        assert_eq!(view.findings.total(), 0);
        assert!(view.fully_checked_at.is_some() && view.protected_at.is_some());
        assert!(view.copies[0].bytes_per_second.is_none() || view.copies[0].bytes_per_second.unwrap() > 0.0);
        // Whatever was there already is not moved again.
        assert_eq!(run(app, restore()).await.files.total, 0);
        assert_eq!(run(app, protect()).await.files.total, 0);
    }

    async fn newer_files_stay_and_deleted_ones_stay_deleted(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        app.write("files/rose/gallery 1/p1.jpg", b"written again");
        std::fs::remove_file(app.path("files/rose/gallery 2/p2.jpg")).unwrap();
        let deleted = FilePath::new("rose/gallery 2/p2.jpg").unwrap();
        volumes::mark_deleted(&app.core, &Actor::salvor(), "uploads", &deleted).await.unwrap();
        std::fs::remove_file(app.path("files/rose/gallery 3/p3.jpg")).unwrap();
        let report = run(app, restore()).await;
        let plan = report.plan.clone().unwrap();
        assert_eq!((plan.newer, plan.tombstoned, plan.total.files), (1, 1, 1), "{report:#?}");
        assert_eq!((report.exit_code(), report.files.done, report.findings.changed), (0, 1, 1));
        assert_eq!(std::fs::read(app.path("files/rose/gallery 1/p1.jpg")).unwrap(), b"written again");
        assert!(!app.path("files/rose/gallery 2/p2.jpg").exists());
        let asked: Vec<_> =
            ["rose/gallery 1/p1.jpg", "rose/gallery 2/p2.jpg", "rose/gallery 3/p3.jpg", "rose/gallery 4/p4.jpg", "x"]
                .map(|path| FilePath::new(path).unwrap())
                .into();
        let outcomes = service::outcomes(&app.core, report.job.parse().unwrap(), &asked).await.unwrap();
        let outcomes: Vec<_> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
        assert!(matches!(&outcomes[0], service::Outcome::Kept(_)), "{outcomes:?}");
        assert!(matches!(&outcomes[1], service::Outcome::Kept(_)), "{outcomes:?}");
        assert_eq!(outcomes[2..], [service::Outcome::Restored, service::Outcome::InPlace, service::Outcome::NotPlanned]);
        // Protect takes the new version, and forgets nothing of the one that vanished.
        let report = run(app, protect()).await;
        assert_eq!((report.exit_code(), report.files.done), (0, 1), "{report:#?}");
        assert!(app.path("copies/local/rose/gallery 2/p2.jpg").exists());
        assert_eq!(run(app, check(true)).await.exit_code(), 0);
    }

    async fn damage_is_not_spread(app: &TestApp) {
        fill(app);
        run(app, JobRequest::Protect { to: vec!["local".into()], adopt: None }).await;
        rot(&app.path("files/rose/gallery 8/p8.jpg"));
        let report = run(app, protect()).await;
        assert_eq!((report.exit_code(), report.files.failed, report.findings.corrupt), (1, 1, 1), "{report:#?}");
        assert_eq!(report.failures[0].path, "rose/gallery 8/p8.jpg");
        assert!(report.failures[0].reason.contains("time did not"), "{report:#?}");
        assert!(!app.path("copies/offsite/rose/gallery 8/p8.jpg").exists());
        assert_eq!(run(app, restore()).await.exit_code(), 0);
        assert_eq!(run(app, protect()).await.exit_code(), 0);
        assert_eq!(tree(&app.path("copies/offsite")), without_own(tree(&app.path("files"))));
    }

    async fn a_bad_copy_is_refused_and_the_next_one_asked(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        for number in 0..4 {
            rot(&app.path(format!("copies/local/rose/gallery {number}/p{number}.jpg")));
        }
        std::fs::remove_file(app.path("copies/local/rose/gallery 4/p4.jpg")).unwrap();
        std::fs::remove_dir_all(app.path("copies/offsite/rose/gallery 3")).unwrap();
        std::fs::remove_dir_all(app.path("files/rose")).unwrap();
        let report = run(app, restore()).await;
        assert_eq!((report.exit_code(), report.files.done, report.files.failed), (1, 39, 1), "{report:#?}");
        assert_eq!((report.sources["local"].files, report.sources["offsite"].files), (35, 4));
        assert_eq!(report.failures[0].path, "rose/gallery 3/p3.jpg");
        assert!(!app.path("files/rose/gallery 3/p3.jpg").exists(), "bad bytes never become visible");
        let view = volumes::volume(&app.core, "uploads").await.unwrap();
        assert_eq!((view.copies[0].faults, view.copies[1].faults), (5, 1));
        // Asked again, it says so again; with the file back on a copy, the retry brings it.
        let id: JobId = report.job.parse().unwrap();
        control(app, id, JobControl::Retry).await.unwrap();
        assert_eq!(ended(app, id).await.files.failed, 1);
        rot(&app.path("copies/local/rose/gallery 3/p3.jpg"));
        control(app, id, JobControl::Retry).await.unwrap();
        let report = ended(app, id).await;
        assert_eq!((report.exit_code(), report.files.done, report.failures.len()), (0, 40, 0), "{report:#?}");
        assert!(matches!(control(app, id, JobControl::Retry).await, Err(Error::Conflict { .. })));
    }

    async fn what_is_in_no_copy_is_said_before_it_is_tried(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        std::fs::rename(app.path("copies/offsite/anna"), app.path("shelf")).unwrap();
        for folder in ["files", "copies/local"] {
            std::fs::remove_dir_all(app.path(folder).join("anna")).unwrap();
        }
        // The catalogue still believes in the copies; the first restore finds out.
        assert_eq!(run(app, restore()).await.files.failed, 40);
        let missing = async || volumes::volume(&app.core, "uploads").await.unwrap().findings.missing;
        assert_eq!(missing().await, 40, "what stays lost is known without a check");
        let other = app.path("files/rose/gallery 1/p1.jpg");
        std::fs::remove_file(&other).unwrap();
        let report = run(app, restore()).await;
        let plan = report.plan.clone().unwrap();
        assert_eq!((plan.in_no_copy, plan.in_no_copy_paths.len(), plan.total.files), (40, 40, 1), "{report:#?}");
        assert_eq!((report.exit_code(), report.files.failed, report.failures.len()), (1, 40, 40));
        assert_eq!((report.bytes.done, report.bytes.total), (plan.total.bytes, plan.total.bytes));
        // Somebody finds them on a shelf: a retry asks again, and they count as all others do.
        std::fs::rename(app.path("shelf"), app.path("copies/offsite/anna")).unwrap();
        let id = report.job.parse().unwrap();
        control(app, id, JobControl::Retry).await.unwrap();
        let report = ended(app, id).await;
        assert_eq!((report.exit_code(), report.files.done, report.failures.len()), (0, 41, 0), "{report:#?}");
        assert_eq!(report.bytes.total, plan.total.bytes + plan.in_no_copy_bytes, "{report:#?}");
        assert_eq!(report.bytes.done, report.bytes.total, "{report:#?}");
        assert_eq!(missing().await, 0);
    }

    async fn a_plan_is_read_before_it_is_approved(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        std::fs::remove_dir_all(app.path("files/rose")).unwrap();
        let dry = start(app, NewJob { dry_run: true, ..job(restore()) }).await;
        let report = ended(app, dry).await;
        assert_eq!((report.state.as_str(), report.exit_code()), ("finished", 0), "{report:#?}");
        assert_eq!(report.plan.unwrap().sources[0].amount.files, 40);
        assert!(!app.path("files/rose").exists());

        let held = start(app, NewJob { hold: true, ..job(restore()) }).await;
        let report = ended(app, held).await;
        assert_eq!(report.state, "planned");
        assert_eq!(report.plan.unwrap().total.files, 40);
        assert!(!app.path("files/rose").exists());
        control(app, held, JobControl::Approve).await.unwrap();
        assert_eq!(ended(app, held).await.exit_code(), 0);
        assert!(app.path("files/rose/gallery 3/p3.jpg").exists());
        // A plan with nothing to do ends with its approval.
        let held = start(app, NewJob { hold: true, ..job(restore()) }).await;
        assert_eq!(ended(app, held).await.state, "planned");
        let report = control(app, held, JobControl::Approve).await.unwrap();
        assert_eq!((report.state.as_str(), report.exit_code()), ("finished", 0), "{report:#?}");
    }

    async fn a_restore_may_go_elsewhere_and_be_partial(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        std::fs::remove_dir_all(app.path("files/rose")).unwrap();
        std::fs::create_dir(app.path("elsewhere")).unwrap();
        let to = |folder: PathBuf, glob: &str| JobRequest::Restore {
            from: vec!["offsite".into()],
            paths: vec![Glob::new(glob)],
            files: vec![],
            to_folder: Some(folder.display().to_string()),
        };
        let report = run(app, to(app.path("elsewhere"), "rose/gallery 1*/**")).await;
        assert_eq!((report.exit_code(), report.files.done, report.sources["offsite"].files), (0, 11, 11), "{report:#?}");
        assert!(app.path("elsewhere/rose/gallery 12/p12.jpg").exists() && !app.path("files/rose").exists());
        // What the catalogue does not have is not passed over.
        let report = run(app, to(app.path("elsewhere"), "rsoe/**")).await;
        assert_eq!((report.exit_code(), report.files.failed, report.files.total), (1, 1, 1), "{report:#?}");
        assert_eq!(report.failures[0].path, "rsoe/**");
        assert!(report.failures[0].reason.contains("no such file"), "{report:#?}");
        let named = vec![FilePath::new("rose/gallery 3/p3.jpg").unwrap(), FilePath::new("nothing").unwrap()];
        let files = JobRequest::Restore { from: vec![], paths: vec![], files: named, to_folder: None };
        let report = run(app, files).await;
        assert_eq!((report.exit_code(), report.files.done, report.files.failed), (1, 1, 1), "{report:#?}");
        let unknown = JobRequest::Check { full: true, paths: vec![Glob::new("anna/**"), Glob::new("nothing")] };
        let report = run(app, unknown).await;
        assert_eq!((report.exit_code(), report.files.done, report.files.failed), (1, 40, 1), "{report:#?}");
        std::fs::remove_dir_all(app.path("files/rose")).unwrap();
        let refused = |request| service::start(&app.core, &ACTOR, job(request), None);
        static ACTOR: std::sync::LazyLock<Actor> = std::sync::LazyLock::new(Actor::salvor);
        for (folder, word) in [
            (app.path("files"), "apart from"),
            (app.path("copies/local/x"), "does not exist"),
            (PathBuf::from("relative"), "absolute"),
        ] {
            let Err(Error::Invalid(message)) = refused(to(folder, "**")).await else { panic!("{word}") };
            assert!(message.contains(word), "{message}");
        }
    }

    async fn what_cannot_be_right_is_refused_in_words(app: &TestApp) {
        fill(app);
        let start = |new: NewJob| service::start(&app.core, &SALVOR, new, None);
        static SALVOR: std::sync::LazyLock<Actor> = std::sync::LazyLock::new(Actor::salvor);
        let Err(Error::NotFound(message)) = start(NewJob { volume: "up".into(), ..job(protect()) }).await else { panic!() };
        assert!(message.contains("uploads"), "{message}");
        let Err(Error::Invalid(message)) = start(job(JobRequest::Protect { to: vec!["tape".into()], adopt: None })).await else { panic!() };
        assert!(message.contains("local, offsite"), "{message}");
        let escaping = JobRequest::Check { full: false, paths: vec![Glob::new("../x")] };
        assert!(matches!(start(job(escaping)).await, Err(Error::Invalid(_))));
        let viewer = Actor { name: "ann".into(), role: Role::Viewer };
        let refused = service::start(&app.core, &viewer, job(check(false)), None).await;
        assert!(matches!(refused, Err(Error::Forbidden(_))));

        let first = start(job(protect())).await.unwrap();
        let Err(Error::Conflict { message, .. }) = start(job(protect())).await else { panic!() };
        assert!(message.contains(&first.job), "{message}");
        control(app, first.job.parse().unwrap(), JobControl::Cancel).await.unwrap();

        std::fs::rename(app.path("files"), app.path("away")).unwrap();
        let Err(Error::Conflict { message, .. }) = start(job(check(false))).await else { panic!() };
        assert!(message.contains("out of reach") && message.contains("does not exist"), "{message}");
    }

    async fn a_volume_that_went_away_is_not_a_volume_of_missing_files(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        let id = start(app, job(check(false))).await;
        std::fs::rename(app.path("files"), app.path("away")).unwrap();
        let report = ended(app, id).await;
        assert_eq!((report.state.as_str(), report.exit_code(), report.findings.missing), ("paused", 3, 0), "{report:#?}");
        std::fs::rename(app.path("away"), app.path("files")).unwrap();
        control(app, id, JobControl::Resume).await.unwrap();
        assert_eq!(ended(app, id).await.exit_code(), 0);
    }

    async fn protect_stands_still_while_the_volume_is_not_normal(app: &TestApp) {
        fill(app);
        let id = start(app, job(protect())).await;
        set_mode(app, Mode::ReadOnly).await;
        let report = service::job(&app.core, id).await.unwrap();
        assert_eq!(report.state, "paused", "{report:#?}");
        assert!(matches!(control(app, id, JobControl::Resume).await, Err(Error::Conflict { .. })));
        let Err(Error::Conflict { message, .. }) =
            service::start(&app.core, &Actor::salvor(), job(protect()), None).await else { panic!() };
        assert!(message.contains("read_only"), "{message}");
        set_mode(app, Mode::Normal).await;
        control(app, id, JobControl::Resume).await.unwrap();
        assert_eq!(ended(app, id).await.exit_code(), 0);
        // A plan that waits for approval is not approved either.
        app.write("files/new.txt", b"new");
        let held = start(app, NewJob { hold: true, ..job(protect()) }).await;
        assert_eq!(ended(app, held).await.state, "planned");
        // A restore goes on in read_only.
        set_mode(app, Mode::ReadOnly).await;
        assert!(matches!(control(app, held, JobControl::Approve).await, Err(Error::Conflict { .. })));
        std::fs::remove_dir_all(app.path("files/rose")).unwrap();
        assert_eq!(run(app, restore()).await.files.done, 40);
    }

    async fn two_restores_at_once_restore_each_file_once(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        std::fs::remove_dir_all(app.path("files/rose")).unwrap();
        let (one, two) = (start(app, job(restore())).await, start(app, job(restore())).await);
        let (one, two) = tokio::join!(ended(app, one), ended(app, two));
        assert_eq!((one.exit_code(), two.exit_code()), (0, 0), "{one:#?} {two:#?}");
        assert_eq!(tree(&app.path("files/rose")).len(), 40);
        assert!(!app.path("files/.salvor/quarantine").exists(), "nothing was corrupt");
    }

    async fn a_job_is_paused_resumed_and_cancelled(app: &TestApp) {
        for number in 0..3_000 {
            app.write(format!("files/many/{number}"), &[7; 500]);
        }
        run(app, protect()).await;
        std::fs::remove_dir_all(app.path("files/many")).unwrap();
        let id = start(app, job(restore())).await;
        with_worker(&app.core, async {
            until(app, id, "a file is done", |report| report.files.done > 0).await;
            if control(app, id, JobControl::Pause).await.is_ok() {
                let paused = until_state(app, id, "paused").await;
                let done = tree(&app.path("files")).len() as u64;
                assert!(paused.files.done <= done && paused.eta.is_none(), "{paused:#?}");
                control(app, id, JobControl::Resume).await.unwrap();
            }
            let report = until_state(app, id, "finished").await;
            assert_eq!((report.files.done, report.sources["local"].files), (3_000, 3_000), "{report:#?}");

            std::fs::remove_dir_all(app.path("files/many")).unwrap();
            let second = start(app, job(restore())).await;
            control(app, second, JobControl::Cancel).await.unwrap();
            let report = until_state(app, second, "cancelled").await;
            assert_eq!(report.exit_code(), 1);
            control(app, second, JobControl::Retry).await.unwrap();
            let report = until_state(app, second, "finished").await;
            assert_eq!(report.files.done, 3_000, "{report:#?}");
        })
        .await;
    }

    async fn a_copy_that_vanishes_in_mid_restore_is_replaced_by_the_next(app: &TestApp) {
        for number in 0..2_500 {
            app.write(format!("files/many/{number}"), &[7; 500]);
        }
        run(app, protect()).await;
        std::fs::remove_dir_all(app.path("files/many")).unwrap();
        let id = start(app, job(restore())).await;
        let vanish = async {
            until(app, id, "a file is done", |report| report.files.done > 0).await;
            std::fs::rename(app.path("copies/local"), app.path("copies/away")).unwrap();
        };
        let (report, ()) = tokio::join!(ended(app, id), vanish);
        assert_eq!((report.exit_code(), report.files.done), (0, 2_500), "{report:#?}");
        let view = volumes::volume(&app.core, "uploads").await.unwrap();
        assert_eq!(view.copies[0].faults, 0, "a copy that is away has not lost its files");
    }

    async fn what_a_dead_worker_held_is_taken_over(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        std::fs::remove_dir_all(app.path("files/rose")).unwrap();
        let id = start(app, job(restore())).await;
        // A worker that is dropped in the midst of its work is as dead as a killed one: its lease stays.
        let mut died = Box::pin(Worker::run_until_ended(app.core.clone(), id, CancellationToken::new()));
        let _ = tokio::time::timeout(Duration::from_millis(3), &mut died).await;
        drop(died);
        app.advance(chrono::TimeDelta::seconds(11));
        let report = ended(app, id).await;
        assert_eq!((report.exit_code(), report.files.done), (0, 40), "{report:#?}");
        assert!(report.seconds < 11.0, "the time while nobody worked does not count: {}", report.seconds);
    }

    async fn the_api_starts_watches_and_controls_jobs(app: &TestApp) {
        fill(app);
        let token = app.token(Role::Operator).await;
        let body = serde_json::json!({ "kind": "protect", "volume": "uploads" });
        let started = app.post_as(&token, "/api/v1/jobs", body.clone()).await;
        assert_eq!(started.status, 201, "{}", started.text());
        let id: JobId = started.json()["job"].as_str().unwrap().parse().unwrap();
        app.post_as(&token, "/api/v1/jobs", body.clone()).await.problem(409);
        let viewer = app.token(Role::Viewer).await;
        app.post_as(&viewer, "/api/v1/jobs", body).await.problem(403);
        let wrong = serde_json::json!({ "kind": "protect", "volume": "nope" });
        app.post_as(&token, "/api/v1/jobs", wrong).await.problem(404);
        app.get_as(&token, "/api/v1/jobs/17").await.problem(404);
        let path = format!("/api/v1/jobs/{id}");
        assert_eq!(app.get_as(&viewer, &path).await.json()["state"], "planning");
        assert_eq!(app.get_as(&viewer, "/api/v1/jobs?volume=uploads&active=true").await.json()[0]["job"], id.to_string());
        app.post_as(&token, &format!("{path}/dance"), serde_json::json!({})).await.problem(404);
        let paused = app.post_as(&token, &format!("{path}/pause"), serde_json::json!({})).await.json();
        assert_eq!((&paused["state"], &paused["kind"]), (&"paused".into(), &"protect".into()));
        app.post_as(&token, &format!("{path}/approve"), serde_json::json!({})).await.problem(409);
        app.post_as(&token, &format!("{path}/resume"), serde_json::json!({})).await;
        // The stream tells the progress, and ends with the job.
        let progress = |last: &str| {
            Request::get(format!("{path}/progress"))
                .header("authorization", format!("Bearer {viewer}"))
                .header("last-event-id", last)
                .body(Body::empty())
                .unwrap()
        };
        let stream = app.stream(progress("")).await;
        let (text, _) = tokio::join!(stream.rest(), ended(app, id));
        let last = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().unwrap();
        let last: serde_json::Value = serde_json::from_str(last).unwrap();
        assert_eq!((&last["state"], &last["files"]["done"]), (&"finished".into(), &82.into()), "{text}");
        // Who comes too late still hears how it ended; who has heard it need not ask again.
        assert!(app.stream(progress("")).await.rest().await.contains("\"finished\""));
        assert_eq!(app.send(progress("ended")).await.status, 204);
    }
}
