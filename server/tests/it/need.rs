//! Order of need, lanes and limits: what is needed first comes first, no copy waits for a slower one, and all of it can be
//! changed while it runs. Copies are made slow by their limits, so that order shows in facts and not in times.

use std::time::Duration;

use axum::body::Body;
use chrono::TimeDelta;
use http::Request;
use http::header::CONTENT_TYPE;
use salvor::config::Config;
use salvor::core::Core;
use salvor::restore::store::segments::{self, Item};
use salvor::restore::{Worker, need, service};
use salvor::tickets::follow;
use salvor::volumes::{limits, service as volumes};
use salvor_app::restore::port::NewJob;
use salvor_app::tickets::port::TicketsPort;
use salvor_domain::account::{Actor, Role};
use salvor_domain::ids::JobId;
use salvor_domain::job::{JobControl, JobRequest};
use salvor_domain::limits::Limits;
use salvor_domain::path::{FilePath, Glob};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::TestApp;
use crate::support::facts::until_async;
use crate::support::jobs::{control, ended, job, protect, restore, run, run_new, start, until, until_state};

/// More than the two segments that a copy's slots hold.
const MANY: usize = 2_300;

fn name(number: usize) -> String {
    format!("anna/p{number:04}.txt")
}

fn fill(app: &TestApp, numbers: std::ops::Range<usize>) {
    for number in numbers {
        app.write(format!("files/{}", name(number)), name(number).as_bytes());
    }
}

fn lose_all(app: &TestApp) {
    std::fs::remove_dir_all(app.path("files/anna")).unwrap();
}

fn is_back(app: &TestApp, number: usize) -> bool {
    std::fs::read(app.path(format!("files/{}", name(number))))
        .is_ok_and(|bytes| bytes == name(number).as_bytes())
}

pub async fn limit(app: &TestApp, copy: &str, limits: &str) {
    let limits: Limits = serde_json::from_str(limits).unwrap();
    limits::set_copy_limits(&app.core, &Actor::salvor(), "uploads", copy, Some(limits.into())).await.unwrap();
}

/// A worker beside the test, ended with it.
struct Working(CancellationToken, tokio::task::JoinSet<()>);

impl Working {
    fn begin(core: &Core) -> Self {
        let stop = CancellationToken::new();
        let mut working = tokio::task::JoinSet::new();
        working.spawn(Worker::run(core.clone(), stop.clone()));
        Self(stop, working)
    }

    async fn end(self) {
        self.0.cancel();
        self.1.join_all().await;
    }
}

/// A restore of all files that has begun and keeps within a limit.
async fn under_way(app: &TestApp, files: usize, limits: &str) -> (JobId, Working) {
    fill(app, 0..files);
    run(app, protect()).await;
    lose_all(app);
    limit(app, "local", limits).await;
    let id = start(app, job(restore())).await;
    let working = Working::begin(&app.core);
    until(app, id, "a file is done", |report| report.files.done > 0).await;
    (id, working)
}

/// Within ten seconds: what is needed more overtakes within seconds.
async fn until_back(app: &TestApp, number: usize) {
    let fact = format!("{} is back", name(number));
    until_async(Duration::from_secs(10), &fact, async || is_back(app, number)).await;
}

on_both_engines! {
    async fn a_file_deleted_while_a_restore_has_it_in_hand_stays_deleted(app: &TestApp) {
        // All of them lie in one segment, whose rows were read before the first was back.
        let (id, working) = under_way(app, 60, r#"{"files_per_second":20}"#).await;
        let last = (0..60).rev().find(|&number| !is_back(app, number)).unwrap();
        let deleted = FilePath::new(name(last)).unwrap();
        volumes::mark_deleted(&app.core, &Actor::salvor(), "uploads", &deleted).await.unwrap();
        limit(app, "local", "{}").await;
        let report = until_state(app, id, "finished").await;
        working.end().await;
        assert_eq!((report.files.done, report.files.skipped, report.files.failed), (59, 1, 0), "{report:#?}");
        assert!(!app.path(format!("files/{}", name(last))).exists(), "it stays deleted");
        let kept = app.path(format!("files/.salvor/quarantine/{id}/{}", name(last)));
        assert_eq!(std::fs::read(kept).unwrap(), name(last).as_bytes(), "and an operator finds it");
    }

    async fn what_is_raised_overtakes_thousands_and_is_counted_once(app: &TestApp) {
        let (id, working) = under_way(app, MANY, r#"{"files_per_second":100}"#).await;

        // The last of all; and some that a worker has in hand at this moment.
        let token = app.token(Role::Operator).await;
        let raise = |paths: serde_json::Value| {
            let (token, path) = (token.clone(), format!("/api/v1/jobs/{id}/raise"));
            async move { app.post_as(&token, &path, json!({ "paths": paths })).await }
        };
        let last = MANY - 1;
        let raised = raise(json!([name(last), "anna/p020*.txt"])).await.json();
        assert!((1..=11).contains(&raised["moved"].as_u64().unwrap()), "{raised}");
        until_back(app, last).await;
        let report = service::job(&app.core, id).await.unwrap();
        assert!(report.files.done < MANY as u64 / 2, "most still wait: {report:#?}");
        assert_eq!(raise(json!([name(last)])).await.json()["moved"], 0);
        let view = service::view(&app.core, id).await.unwrap();
        assert!(view.log.iter().any(|event| event.summary.contains("sooner: anna/p2299.txt, anna/p020*.txt.")));

        let reply = raise(json!(["/anna"])).await;
        assert!(reply.problem(422)["detail"].as_str().unwrap().contains("leave out the /"));
        assert!(raise(json!(["nothing/**"])).await.json()["moved"] == 0);

        limit(app, "local", "{}").await;
        let report = until_state(app, id, "finished").await;
        assert_eq!((report.exit_code(), report.files.done, report.files.total), (0, MANY as u64, MANY as u64));
        assert_eq!(report.bytes.done, report.bytes.total, "counted once: {report:#?}");
        assert!((0..MANY).all(|number| is_back(app, number)));
        let refused = need::raise(&app.core, &Actor::salvor(), id, &[Glob::new("**")]).await.unwrap_err();
        assert!(refused.to_string().contains("finished"), "{refused}");
        working.end().await;
    }

    async fn what_is_urgent_is_little(app: &TestApp) {
        fill(app, 0..3);
        run(app, protect()).await;
        lose_all(app);
        let id = start(app, NewJob { hold: true, ..job(restore()) }).await;
        assert_eq!(ended(app, id).await.state, "planned");
        let item = |number| Item { path: FilePath::new(format!("rose/{number}")).unwrap(), size: 1, corrupt: false };
        let items: Vec<Item> = (0..=need::MOST_RAISED).map(item).collect();
        let mut tx = app.core.db.begin().await.unwrap();
        segments::insert_work(&mut tx, id, &items, 7, None).await.unwrap();
        tx.commit().await.unwrap();
        let raise = async |paths: &str| need::raise(&app.core, &Actor::salvor(), id, &[Glob::new(paths)]).await;
        let refused = raise("rose/**").await.unwrap_err();
        assert!(refused.to_string().contains("more than 20,000 files"), "{refused}");
        assert_eq!(raise("rose/2000*").await.unwrap().moved, 2, "both wait where they were");
    }

    async fn what_was_used_lately_comes_before_what_is_old(app: &TestApp) {
        // The old ones come first by name, and fill more than one segment.
        let (old, new) = (1_100, 50);
        fill(app, 0..old);
        let long_ago = std::time::SystemTime::from(app.core.clock.now() - TimeDelta::days(800));
        for number in 0..old {
            let path = app.path(format!("files/{}", name(number)));
            std::fs::File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
        }
        fill(app, old..old + new);
        run(app, protect()).await;
        lose_all(app);
        limit(app, "local", r#"{"files_per_second":150}"#).await;
        let id = start(app, job(restore())).await;
        let working = Working::begin(&app.core);
        for number in old..old + new {
            until_back(app, number).await;
        }
        let before = (0..old).filter(|number| is_back(app, *number)).count();
        assert!(before < old / 2, "{before} old files came before the last new one");

        // Whoever serves a file may ask for it without knowing of any job.
        let path = FilePath::new(name(old - 1)).unwrap();
        let asked = need::raise_in_volume(&app.core, &Actor::salvor(), 1, std::slice::from_ref(&path)).await;
        assert_eq!(asked.unwrap(), 1);
        until_back(app, old - 1).await;
        assert_eq!(service::job(&app.core, id).await.unwrap().state, "running");
        control(app, id, JobControl::Cancel).await.unwrap();
        working.end().await;
    }

    async fn a_ticket_takes_its_file_out_of_the_queue_of_a_restore_under_way(app: &TestApp) {
        let (id, working) = under_way(app, MANY, r#"{"files_per_second":100}"#).await;
        let wanted = MANY - 2;
        let body = json!({ "email": "anna@example.com", "site": "anna", "lines": [name(wanted)] });
        let report = Request::post("/api/v1/tickets").header(CONTENT_TYPE, "application/json");
        let reply = app.send(report.body(Body::from(body.to_string())).unwrap()).await;
        let number = reply.json()["number"].as_i64().unwrap();
        follow::round(&app.core).await.unwrap();
        let ticket = app.state.tickets.ticket(number).await.unwrap();
        assert_eq!(ticket.lines[0].job.as_deref(), Some(id.to_string().as_str()), "no second job: {ticket:?}");
        until_back(app, wanted).await;
        assert!(service::job(&app.core, id).await.unwrap().files.done < MANY as u64 / 2);
        control(app, id, JobControl::Cancel).await.unwrap();
        working.end().await;
    }

    async fn a_slow_copy_holds_up_nobody_and_its_limit_is_lifted_while_it_runs(app: &TestApp) {
        // What only the slow copy holds is of the same age, and comes first by name.
        fill(app, 1_500..MANY);
        run(app, protect()).await;
        fill(app, 0..1_500);
        run(app, JobRequest::Protect { to: vec!["offsite".into()], adopt: None }).await;
        lose_all(app);
        limit(app, "offsite", r#"{"bandwidth":"0"}"#).await;
        let id = start(app, job(restore())).await;
        let working = Working::begin(&app.core);
        let report = until(app, id, "all that local holds is done", |report| report.files.done == (MANY - 1_500) as u64).await;
        assert_eq!(report.sources.keys().collect::<Vec<_>>(), ["local"], "{report:#?}");
        assert!(is_back(app, MANY - 1) && !is_back(app, 0));

        // The slow link is what the job waits for; then it moves, within the job's own limit.
        let token = app.token(Role::Operator).await;
        let put = |path: String, body: serde_json::Value| {
            let token = token.clone();
            async move { app.call(&token, http::Method::PUT, &path, Some(body)).await }
        };
        let report = put(format!("/api/v1/jobs/{id}/limits"), json!({ "files_per_second": 0 })).await.json();
        assert_eq!(report["limits"]["files_per_second"], 0, "{report}");
        let copy = "/api/v1/volumes/uploads/copies/offsite/limits";
        let now = put(copy.into(), serde_json::Value::Null).await.json();
        assert_eq!((now["basis"].as_str(), now["by_hand"].as_bool()), (Some("as configured"), Some(false)));
        assert!(!is_back(app, 0), "the job itself is held");
        put(format!("/api/v1/jobs/{id}/limits"), json!({})).await;
        let report = until_state(app, id, "finished").await;
        assert_eq!((report.exit_code(), report.sources["offsite"].files), (0, 1_500), "{report:#?}");
        put("/api/v1/volumes/uploads/copies/tape/limits".into(), json!({})).await.problem(404);
        let wrong = put(copy.into(), json!({ "bandwidth": "fast" })).await;
        assert!(wrong.problem(422)["detail"].as_str().unwrap().contains("100 Mbit/s"));
        working.end().await;
    }

    async fn a_form_keeps_what_it_leaves_blank_and_lifts_what_it_calls_none(app: &TestApp) {
        fill(app, 0..1);
        let session = app.session(Role::Operator).await;
        limit(app, "offsite", r#"{"bandwidth":"20 Mbit/s","files_per_second":50}"#).await;
        let copy = async |bandwidth: &str, files: &str| {
            let fields = format!(
                "request[volume]=uploads&request[copy]=offsite&request[bandwidth]={bandwidth}&request[files_per_second]={files}"
            );
            assert_eq!(app.form(Some(&session), "/console/do/limit_copy", &fields).await.status, 302);
            volumes::volume(&app.core, "uploads").await.unwrap().copies[1].limit.limits.to_string()
        };
        assert_eq!(copy("", "40").await, "at most 20 Mbit/s and 40 files/s");
        assert_eq!(copy("none", "").await, "at most 40 files/s");
        let id = start(app, job(protect())).await;
        let job_limits = async |bandwidth: &str, files: &str| {
            let fields = format!(
                "request[job]={id}&request[bandwidth]={bandwidth}&request[files_per_second]={files}"
            );
            assert_eq!(app.form(Some(&session), "/console/do/limit_job", &fields).await.status, 302);
            service::job(&app.core, id).await.unwrap().limits.to_string()
        };
        assert_eq!(job_limits("8+Mbit/s", "9").await, "at most 8 Mbit/s and 9 files/s");
        assert_eq!(job_limits("", "none").await, "at most 8 Mbit/s");
        let page = app.page(&session, "/console/volumes/uploads").await.text();
        assert!(page.contains("value=\"40\"") && page.contains("value=\"none\""), "{page}");
        service::control(&app.core, &Actor::salvor(), id, JobControl::Cancel).await.unwrap();
    }

    async fn a_copy_that_has_run_dry_takes_over_what_it_holds_as_well(app: &TestApp) {
        fill(app, 0..MANY);
        run(app, protect()).await;
        // Known to be fast.
        lose_all(app);
        let from = JobRequest::Restore { from: vec!["offsite".into()], paths: vec![], files: vec![], to_folder: None };
        assert_eq!(run(app, from).await.sources["offsite"].files, MANY as u64);
        lose_all(app);
        limit(app, "local", r#"{"files_per_second":150}"#).await;
        let id = start(app, job(restore())).await;
        let working = Working::begin(&app.core);
        let report = until(app, id, "offsite helps", |report| report.sources.contains_key("offsite")).await;
        assert!(report.plan.as_ref().unwrap().sources.iter().all(|source| source.name == "local"));
        limit(app, "local", "{}").await;
        let report = until_state(app, id, "finished").await;
        assert_eq!((report.exit_code(), report.files.done), (0, MANY as u64), "{report:#?}");
        working.end().await;
    }

    async fn what_a_jobs_own_limit_held_back_says_nothing_of_its_copies(app: &TestApp) {
        fill(app, 0..MANY);
        run(app, protect()).await;
        for (limits, is_measured) in [(r#"{"files_per_second":100000}"#, false), ("{}", true)] {
            lose_all(app);
            let limits = serde_json::from_str(limits).unwrap();
            let report = run_new(app, NewJob { limits, ..job(restore()) }).await;
            assert_eq!(report.files.done, MANY as u64, "{report:#?}");
            let view = volumes::volume(&app.core, "uploads").await.unwrap();
            assert_eq!(view.copies[0].bytes_per_second.is_some(), is_measured, "{view:#?}");
        }
    }

    async fn a_process_that_does_not_know_a_volume_leaves_its_jobs_to_others(app: &TestApp) {
        fill(app, 0..10);
        let mut config = Config::clone(&app.core.config);
        config.volumes.clear();
        let stranger = Core { config: config.into(), ..app.core.clone() };
        let working = Working::begin(&stranger);
        let id = start(app, job(protect())).await;
        let refused =
            Worker::run_until_ended(stranger.clone(), id, CancellationToken::new()).await.unwrap_err();
        assert!(refused.to_string().contains("not in the configuration"), "{refused}");
        assert_eq!(service::job(&app.core, id).await.unwrap().state, "planning");
        assert_eq!(ended(app, id).await.files.done, 10);
        working.end().await;
    }

    async fn a_gentle_job_comes_to_its_end(app: &TestApp) {
        fill(app, 0..50);
        let limits = serde_json::from_str(r#"{"gentle":true,"files_per_second":500}"#).unwrap();
        let report = run_new(app, NewJob { limits, ..job(protect()) }).await;
        assert_eq!((report.exit_code(), report.limits.to_string()), (0, "at most 500 files/s, gently".into()));
    }
}
