//! A copy that is away for a while: what only it holds waits for it, and nothing else does.

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use salvor::events;
use salvor::restore::store::resting;
use salvor::restore::{need, service};
use salvor::volumes::service as volumes;
use salvor_domain::account::Actor;
use salvor_domain::event::EventKind;
use salvor_domain::ids::JobId;
use salvor_domain::job::{JobControl, JobRequest};
use salvor_domain::path::Glob;

use super::{goes_on, in_vain, lose, noise, stuck, told_once};
use crate::need::limit;
use crate::support::TestApp;
use crate::support::facts::{PATIENCE, until_async};
use crate::support::jobs::{
    Files, control, ended, job, protect, restore, run, start, tree, until, until_state, with_worker,
    without_own,
};

/// Files that only the copy `local` holds, and only `offsite`: there more than its lane has in hand at once.
const NEAR: usize = 300;
const FAR: usize = 2_300;
const ALL: u64 = (NEAR + FAR) as u64;

fn from(copy: &str) -> JobRequest {
    JobRequest::Restore { from: vec![copy.into()], paths: vec![], files: vec![], to_folder: None }
}

/// Fills the volume, each half of it protected to one copy alone, and loses all of it. Gives what has to be there in the end.
async fn halves(app: &TestApp) -> Files {
    let mut all = Files::new();
    for (copy, count, seed) in [("local", NEAR, 0), ("offsite", FAR, 17)] {
        for number in 0..count {
            app.write(
                format!("files/{copy}/{}/{number}.jpg", number % 7),
                &noise(number + seed, 500 + number),
            );
        }
        run(app, JobRequest::Protect { to: vec![copy.into()], adopt: None }).await;
        all.extend(without_own(tree(&app.path("files"))));
        std::fs::remove_dir_all(app.path("files").join(copy)).unwrap();
    }
    all
}

/// Takes a copy away under its readers: whatever they have open, they find no further file.
fn take_away(app: &TestApp, copy: &str) {
    std::fs::rename(app.path("copies").join(copy), app.path("away")).unwrap();
    let files: Vec<PathBuf> = tree(&app.path("away")).into_keys().collect();
    for (number, file) in files.iter().enumerate() {
        std::fs::rename(app.path("away").join(file), app.path(format!("stash {number}"))).unwrap();
    }
    let names: Vec<_> = files.iter().map(|file| file.to_str().unwrap()).collect();
    std::fs::write(app.path("stash"), names.join("\n")).unwrap();
}

fn bring_back(app: &TestApp, copy: &str) {
    let names = std::fs::read_to_string(app.path("stash")).unwrap();
    for (number, file) in names.lines().enumerate() {
        std::fs::rename(app.path(format!("stash {number}")), app.path("away").join(file)).unwrap();
    }
    std::fs::rename(app.path("away"), app.path("copies").join(copy)).unwrap();
}

/// The notes of the job's log.
async fn notes(app: &TestApp, id: JobId) -> Vec<String> {
    let mut tx = app.core.db.read().await.unwrap();
    let log = events::about(&mut tx, &id.to_string(), 200).await.unwrap();
    log.into_iter().filter(|event| event.kind == EventKind::JobNote).map(|event| event.summary).collect()
}

/// The job's log says that the copy was away and that it is back, each once, however often it was tried.
async fn away_told_once(app: &TestApp, id: JobId) {
    let notes = notes(app, id).await;
    let count = |what: &str| notes.iter().filter(|note| note.contains(what)).count();
    assert_eq!((count("out of reach"), count("is back after")), (1, 1), "{notes:#?}");
}

/// When the lane of `offsite` is tried next.
async fn next_try(app: &TestApp, id: JobId) -> Option<DateTime<Utc>> {
    let mut tx = app.core.db.read().await.unwrap();
    resting::of_lane(&mut tx, id, Some(1)).await.unwrap().map(|(_, due)| due)
}

async fn until_noted(app: &TestApp, id: JobId, what: &str) {
    until_async(PATIENCE, &format!("the log says {what}"), async || {
        notes(app, id).await.iter().any(|note| note.contains(what))
    })
    .await;
}

on_both_engines! {
    async fn what_only_it_holds_waits_while_the_other_gives_its_half(app: &TestApp) {
        let before = halves(app).await;
        limit(app, "local", r#"{"files_per_second":0}"#).await;
        limit(app, "offsite", r#"{"files_per_second":400}"#).await;
        let id = start(app, job(restore())).await;
        with_worker(&app.core, async {
            until(app, id, "offsite gives", |report| report.sources.contains_key("offsite")).await;
            take_away(app, "offsite");
            limit(app, "offsite", "{}").await;
            until_noted(app, id, "offsite").await;
            let report = service::job(&app.core, id).await.unwrap();
            assert_eq!((report.state.as_str(), report.files.failed), ("running", 0), "{report:#?}");
            // What is asked for now cannot be had sooner either.
            let wanted = [Glob::new("offsite/*/22*")];
            assert!(need::raise(&app.core, &Actor::salvor(), id, &wanted).await.unwrap().moved > 0);

            limit(app, "local", "{}").await;
            let report = stuck(app, id).await;
            let reason = report.reason.clone().unwrap();
            assert!(reason.contains("\"offsite\" is out of reach") && !reason.contains("local"), "{report:#?}");
            assert_eq!((report.sources["local"].files, report.files.failed), (NEAR as u64, 0), "{report:#?}");
            assert!(report.files.done < ALL, "{report:#?}");
            in_vain(app, id, 2).await;
            bring_back(app, "offsite");
            let report = goes_on(app, id).await;
            assert_eq!((report.exit_code(), report.files.done, report.failures.len()), (0, ALL, 0), "{report:#?}");
            assert_eq!(report.bytes.done, report.bytes.total);
        })
        .await;
        told_once(app, id).await;
        away_told_once(app, id).await;
        assert!(without_own(tree(&app.path("files"))) == before);
        let view = volumes::volume(&app.core, "uploads").await.unwrap();
        assert!(view.copies.iter().all(|copy| copy.faults == 0), "a copy that is away has lost nothing");
    }

    async fn it_is_back_before_the_others_are_done_and_nobody_was_stuck(app: &TestApp) {
        let before = halves(app).await;
        limit(app, "local", r#"{"files_per_second":0}"#).await;
        std::fs::rename(app.path("copies/offsite"), app.path("away")).unwrap();
        let id = start(app, job(restore())).await;
        with_worker(&app.core, async {
            until_async(PATIENCE, "its lane rests", async || {
                let mut tx = app.core.db.read().await.unwrap();
                resting::is_away(&mut tx, 1, 1).await.unwrap()
            })
            .await;
            // Tried again and again, at growing distances.
            for _ in 0..3 {
                let due = next_try(app, id).await;
                app.advance(TimeDelta::seconds(61));
                until_async(PATIENCE, "it was tried in vain", async || next_try(app, id).await > due).await;
                assert_eq!(service::job(&app.core, id).await.unwrap().state, "running");
            }
            std::fs::rename(app.path("away"), app.path("copies/offsite")).unwrap();
            app.advance(TimeDelta::seconds(61));
            let report = until(app, id, "its half is back", |report| report.files.done == FAR as u64).await;
            assert_eq!((report.state.as_str(), report.sources["offsite"].files), ("running", FAR as u64));
            limit(app, "local", "{}").await;
            let report = until_state(app, id, "finished").await;
            assert_eq!((report.exit_code(), report.files.done), (0, ALL), "{report:#?}");
        })
        .await;
        away_told_once(app, id).await;
        assert!(without_own(tree(&app.path("files"))) == before);
    }

    async fn what_another_copy_holds_as_well_is_taken_from_there_at_once(app: &TestApp) {
        // All of it is in `local`'s lane; the last third is in no other copy.
        let (all, both) = (2_400, 1_600);
        let write = |numbers: std::ops::Range<usize>| {
            numbers.for_each(|number| app.write(format!("files/{}/{number:04}.jpg", number % 7), &noise(number, 900)));
        };
        write(0..both);
        run(app, protect()).await;
        write(both..all);
        run(app, JobRequest::Protect { to: vec!["local".into()], adopt: None }).await;
        let before = without_own(tree(&app.path("files")));
        lose(app);
        let held = start(app, salvor_app::restore::port::NewJob { hold: true, ..job(restore()) }).await;
        let plan = ended(app, held).await.plan.unwrap();
        assert_eq!((plan.sources.len(), plan.sources[0].amount.files), (1, all as u64), "{plan:#?}");
        std::fs::rename(app.path("copies/local"), app.path("away")).unwrap();
        control(app, held, JobControl::Approve).await.unwrap();

        // Whoever waits for its job at the command line is told, when all that can be done now is done.
        let report = ended(app, held).await;
        assert_eq!((report.state.as_str(), report.exit_code()), ("paused", 3), "{report:#?}");
        assert!(report.reason.as_ref().unwrap().contains("\"local\" is out of reach"), "{report:#?}");
        assert_eq!((report.files.done, report.sources["offsite"].files), (both as u64, both as u64), "{report:#?}");
        assert_eq!(report.files.failed, 0);
        // A word is enough to try at once.
        std::fs::rename(app.path("away"), app.path("copies/local")).unwrap();
        control(app, held, JobControl::Resume).await.unwrap();
        let report = ended(app, held).await;
        assert_eq!((report.exit_code(), report.files.done), (0, all as u64), "{report:#?}");
        assert!(without_own(tree(&app.path("files"))) == before);
    }

    async fn a_copy_that_never_comes_back_can_be_left_out(app: &TestApp) {
        halves(app).await;
        std::fs::rename(app.path("copies/offsite"), app.path("away")).unwrap();
        let id = start(app, job(restore())).await;
        // Two at once, as two processes are: both come to the same end.
        let (one, two) = tokio::join!(ended(app, id), ended(app, id));
        for report in [one, two] {
            assert_eq!((report.state.as_str(), report.exit_code()), ("paused", 3), "{report:#?}");
            assert_eq!((report.files.done, report.files.failed), (NEAR as u64, 0), "{report:#?}");
            let part = &report.plan.as_ref().unwrap().sources[1];
            assert_eq!((part.amount.files, part.estimate), (FAR as u64, None), "nobody knows how long: {report:#?}");
        }
        let report = control(app, id, JobControl::Cancel).await.unwrap();
        assert_eq!(report.state, "cancelled");
        std::fs::remove_dir_all(app.path("files/local")).unwrap();
        let report = run(app, from("local")).await;
        let lost = (report.files.done, report.files.failed, report.plan.as_ref().unwrap().in_no_copy);
        assert_eq!((report.state.as_str(), lost), ("finished", (NEAR as u64, FAR as u64, FAR as u64)), "{report:#?}");
        // What was given up may be asked for again when it is back after all.
        std::fs::rename(app.path("away"), app.path("copies/offsite")).unwrap();
        control(app, id, JobControl::Retry).await.unwrap();
        assert_eq!(ended(app, id).await.files.done, ALL);
    }

    async fn while_all_copies_are_away_the_volume_gives_what_is_nameless(app: &TestApp) {
        let before = halves(app).await;
        std::fs::create_dir_all(app.path("files/lost+found")).unwrap();
        for number in 0..40 {
            let copied = app.path(format!("copies/local/local/{}/{number}.jpg", number % 7));
            std::fs::copy(copied, app.path(format!("files/lost+found/#{number}"))).unwrap();
        }
        std::fs::rename(app.path("copies"), app.path("away")).unwrap();
        let id = start(app, job(restore())).await;
        with_worker(&app.core, async {
            let report = stuck(app, id).await;
            assert_eq!((report.files.done, report.sources["reunite"].files), (40, 40), "{report:#?}");
            assert_eq!((report.files.total, report.files.failed), (ALL, 0), "{report:#?}");
            let reason = report.reason.clone().unwrap();
            assert!(reason.contains("local") && reason.contains("offsite"), "{report:#?}");
            in_vain(app, id, 1).await;
            std::fs::rename(app.path("away"), app.path("copies")).unwrap();
            assert_eq!(goes_on(app, id).await.files.done, ALL);
        })
        .await;
        told_once(app, id).await;
        std::fs::remove_dir(app.path("files/lost+found")).unwrap();
        assert!(without_own(tree(&app.path("files"))) == before);
    }
}
