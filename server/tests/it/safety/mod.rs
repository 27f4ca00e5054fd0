//! Safety mode: what a trip does, the draft that it leaves, the way back through the gate, and the answers for other services.

pub mod nginx;
mod webhooks;

use std::time::Duration;

use axum::body::Body;
use chrono::TimeDelta;
use http::header::AUTHORIZATION;
use http::{Method, Request};
use salvor::volumes::safety::{self, Trip};
use salvor_domain::account::Role;
use salvor_domain::event::EventKind;
use salvor_domain::health::{Level, Node, NodeKind, Probe, Reading, Report};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::support::facts::until_async;
use crate::support::jobs::{check, fill, protect, run};
use crate::support::{Reply, TestApp};

const MODE: &str = "/api/v1/volumes/uploads/mode";
const WRITABLE: &str = "/api/v1/volumes/uploads/writable";
const INCIDENTS: &str = "/api/v1/incidents";

/// What a rule does: `uploads` trips, with a device in its evidence.
async fn trip(app: &TestApp) -> bool {
    let trip =
        Trip { reason: "ext4 counts 1 error".into(), evidence: vec!["sda1: errors_count is 1".into()] };
    let mut tx = app.core.db.begin().await.unwrap();
    let tripped = safety::trip(&app.core, &mut tx, "uploads", trip).await.unwrap();
    tx.commit().await.unwrap();
    tripped
}

async fn set_mode(app: &TestApp, token: &str, mode: &str, over: bool) -> Reply {
    let body = json!({ "mode": mode, "reason": format!("to {mode}"), "override": over });
    app.call(token, Method::PUT, MODE, Some(body)).await
}

async fn draft(app: &TestApp, token: &str) -> Value {
    let mut all = app.get_as(token, INCIDENTS).await.json();
    let all = all.as_array_mut().unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0]["draft"], true, "{all:?}");
    all.remove(0)
}

async fn timeline(app: &TestApp, token: &str, incident: &Value) -> Vec<String> {
    let path = format!("{INCIDENTS}/{}/timeline", incident["id"].as_str().unwrap());
    let events = app.get_as(token, &path).await.json();
    events.as_array().unwrap().iter().map(|event| event["summary"].as_str().unwrap().to_owned()).collect()
}

/// What the host says that the volume lies on.
async fn report(app: &TestApp, agent: &str, readings: &[Reading]) {
    let node = |id: &str, kind, on: &[&str]| Node {
        id: id.into(),
        kind,
        label: id.into(),
        on: on.iter().map(|&on| on.to_owned()).collect(),
    };
    let report = Report {
        host: "store1".into(),
        version: "0.1.0".into(),
        taken_at: app.core.clock.now(),
        nodes: vec![
            node("volume:uploads", NodeKind::Volume, &["fs:/srv"]),
            node("fs:/srv", NodeKind::Filesystem, &[]),
        ],
        readings: readings.to_vec(),
    };
    let reply = app.post_as(agent, "/api/v1/agent/report", serde_json::to_value(report).unwrap()).await;
    assert_eq!(reply.status, 204, "{}", reply.text());
}

/// While the tasks of a server run that follow the database.
async fn while_following(app: &TestApp, story: impl AsyncFnOnce()) {
    let tasks = TaskTracker::new();
    tasks.spawn(app.state.board.clone().run(app.core.clone()));
    tasks.spawn(app.state.modes.clone().run(app.core.clone(), app.state.stop.clone()));
    tasks.close();
    story().await;
    app.state.stop.cancel();
    tasks.wait().await;
}

async fn becomes(app: &TestApp, path: &str, is_so: impl Fn(&Reply) -> bool) -> Reply {
    until_async(Duration::from_secs(2), &format!("{path} is so"), async || {
        let reply = app.get(path).await;
        if is_so(&reply) { Ok(reply) } else { Err(reply.text()) }
    })
    .await
}

on_both_engines! {
    async fn a_trip_leaves_a_draft_that_the_public_does_not_see(app: &TestApp) {
        let token = app.token(Role::Responder).await;
        app.post_as(&token, "/api/v1/components", json!({ "name": "Uploaded files" })).await;
        while_following(app, async || {
            becomes(app, "/", |reply| reply.text().contains("Uploaded files")).await;
            assert!(trip(app).await);
            assert!(!trip(app).await, "it is tripped already");
            let found = draft(app, &token).await;
            assert_eq!((&found["volume"], &found["components"]), (&json!("uploads"), &json!([])));
            let public = format!("{} {}", found["name"], found["updates"][0]["body"]);
            assert!(public.contains("paused uploads") && !public.contains("sda") && !public.contains("ext4"), "{public}");
            let told = timeline(app, &token, &found).await;
            assert!(told[0].contains("tripped to read_only: ext4 counts 1 error. Seen: sda1: errors_count is 1"), "{told:?}");

            // What was written after it is on the page, and the draft is on none.
            app.post_as(&token, "/api/v1/components", json!({ "name": "Websites" })).await;
            becomes(app, "/", |reply| reply.text().contains("Websites")).await;
            let id = found["id"].as_str().unwrap();
            for path in ["/", "/history", "/history.atom", "/api/v2/summary.json", "/api/v2/incidents.json",
                "/api/v2/incidents/unresolved.json", "/api/v2/status.json"] {
                let text = app.get(path).await.text();
                assert!(!text.contains(id) && !text.contains("Uploads are paused"), "{path}: {text}");
            }
            assert_eq!(app.get(&format!("/incidents/{id}")).await.status, 404);
            let mut live = app.stream(Request::get("/live/status").body(Body::empty()).unwrap()).await;
            let told = live.message().await;
            assert!(!told.contains("Uploads are paused") && !told.contains(id), "{told}");

            let path = format!("{INCIDENTS}/{id}");
            let update = json!({ "status": "identified", "body": "We know." });
            app.post_as(&token, &format!("{path}/updates"), update.clone()).await.problem(409);
            let viewer = app.token(Role::Viewer).await;
            app.post_as(&viewer, &format!("{path}/publish"), json!({})).await.problem(403);
            app.post_as(&token, &format!("{path}/publish"), json!({ "body": " " })).await.problem(422);
            let components = app.get_as(&token, "/api/v1/components").await.json();
            let published = json!({ "name": "No uploads for now", "components":
                [{ "id": components[0]["id"], "status": "partial_outage" }] });
            app.advance(TimeDelta::minutes(5));
            let shown = app.post_as(&token, &format!("{path}/publish"), published).await.json();
            assert_eq!((&shown["draft"], &shown["impact"]), (&json!(false), &json!("major")), "{shown}");
            assert_eq!(shown["updates"].as_array().unwrap().len(), 1);
            assert_eq!(shown["created_at"], shown["updates"][0]["created_at"]);
            assert!(shown["started_at"].as_str() < shown["created_at"].as_str());
            becomes(app, "/", |reply| reply.text().contains("No uploads for now")).await;
            becomes(app, "/api/v2/summary.json", |reply| reply.text().contains(id)).await;
            app.post_as(&token, &format!("{path}/publish"), json!({})).await.problem(409);
            app.post_as(&token, &format!("{path}/discard"), json!({})).await.problem(409);
            assert_eq!(app.post_as(&token, &format!("{path}/updates"), update).await.status, 201);
        })
        .await;
    }

    async fn what_is_rolled_back_leaves_nothing(app: &TestApp) {
        let token = app.token(Role::Viewer).await;
        let trip = Trip { reason: "an error".into(), evidence: vec![] };
        let mut tx = app.core.db.begin().await.unwrap();
        assert!(safety::trip(&app.core, &mut tx, "uploads", trip).await.unwrap());
        drop(tx);
        assert_eq!(app.get_as(&token, MODE).await.json()["mode"], "normal");
        assert_eq!(app.get_as(&token, INCIDENTS).await.json(), json!([]));
    }

    async fn an_operators_hand_drafts_too_and_all_that_follows_is_in_the_timeline(app: &TestApp) {
        let (operator, admin) = (app.token(Role::Operator).await, app.token(Role::Admin).await);
        assert_eq!(set_mode(app, &operator, "read_only", false).await.status, 200);
        let found = draft(app, &operator).await;
        for (mode, over) in [("failover", false), ("read_only", false), ("normal", true)] {
            assert_eq!(set_mode(app, &admin, mode, over).await.status, 200, "{mode}");
        }
        let told = timeline(app, &operator, &found).await;
        assert!(told[0].contains("to normal") && told[0].contains("overridden: no full check"), "{told:?}");
        assert!(told[2].contains("read_only to failover"), "{told:?}");
        let mut tx = app.core.db.read().await.unwrap();
        let audit = salvor::events::about(&mut tx, "uploads", 1).await.unwrap();
        assert!(audit[0].kind == EventKind::ModeChanged && audit[0].summary == told[0], "{audit:?}");
        drop(tx);

        // It goes on where it was: one volume, one draft.
        assert!(trip(app).await);
        assert_eq!(draft(app, &operator).await["id"], found["id"]);
        assert!(timeline(app, &operator, &found).await[0].contains("tripped"));
        let path = format!("{INCIDENTS}/{}", found["id"].as_str().unwrap());
        assert_eq!(app.post_as(&operator, &format!("{path}/discard"), json!({})).await.status, 204);
        app.get_as(&operator, &path).await.problem(404);
        assert_eq!(app.get_as(&operator, INCIDENTS).await.json(), json!([]));
    }

    async fn the_command_line_and_the_console_publish_and_discard(app: &TestApp) {
        let session = app.session(Role::Responder).await;
        let viewer = app.token(Role::Viewer).await;
        assert!(trip(app).await);
        let id = draft(app, &viewer).await["id"].as_str().unwrap().to_owned();
        let listed = app.program(&["incident", "list"]).output().await.unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.contains(&id) && listed.contains("draft"), "{listed}");
        let page = app.page(&session, &format!("/console/incidents/{id}")).await.text();
        for words in ["Draft, not public", "/console/do/publish_incident", "errors_count is 1"] {
            assert!(page.contains(words), "{words} in {page}");
        }
        let form = |fields: &str| format!("request[incident]={id}{fields}");
        let fields = form("&request[name]=Uploads%20rest&request[body]=We%20look.");
        let sent = app.form(Some(&session), "/console/do/publish_incident", &fields).await;
        assert!(sent.header("location").ends_with(&id), "{:?}", sent.headers);
        let shown = app.get_as(&viewer, &format!("{INCIDENTS}/{id}")).await.json();
        assert_eq!((&shown["draft"], &shown["name"]), (&json!(false), &json!("Uploads rest")));
        let again = app.program(&["incident", "publish", &id]).output().await.unwrap();
        assert_eq!(again.status.code(), Some(3));
        let resolved = app.program(&["incident", "resolve", &id]).output().await.unwrap();
        assert!(resolved.status.success());

        // The incident is over: the next fault is another one.
        let admin = app.token(Role::Admin).await;
        assert_eq!(set_mode(app, &admin, "normal", true).await.status, 200);
        assert!(trip(app).await);
        let all = app.get_as(&viewer, INCIDENTS).await.json();
        let next = all.as_array().unwrap().iter().find(|incident| incident["draft"] == true).unwrap();
        let next = next["id"].as_str().unwrap();
        assert!(app.program(&["incident", "discard", next]).output().await.unwrap().status.success());
        app.get_as(&viewer, &format!("{INCIDENTS}/{next}")).await.problem(404);
    }

    async fn the_gate_waits_for_copies_that_were_verified_lately(app: &TestApp) {
        let operator = app.token(Role::Operator).await;
        fill(app);
        assert_eq!(run(app, protect()).await.state, "finished");
        assert!(trip(app).await);
        assert_eq!(run(app, check(true)).await.state, "finished");
        let points = app.get_as(&operator, MODE).await.json()["gate_points"].clone();
        assert!(points.as_array().unwrap().iter().all(|point| point["met"] == true), "{points}");
        assert_eq!(set_mode(app, &operator, "normal", false).await.status, 200);
        let volume = app.get_as(&operator, "/api/v1/volumes/uploads").await.json();
        assert_eq!((&volume["gate"], &volume["gate_points"]), (&json!([]), &json!([])));

        app.advance(TimeDelta::days(31));
        assert!(trip(app).await);
        assert_eq!(run(app, check(true)).await.state, "finished");
        let refused = set_mode(app, &operator, "normal", false).await.problem(409);
        let points = refused["points"].as_array().unwrap();
        assert_eq!(points.len(), 2, "{points:?}");
        for (point, name) in points.iter().zip(["local", "offsite"]) {
            let point = point.as_str().unwrap();
            assert!(point.contains(name) && point.contains("salvor drill uploads"), "{point}");
        }
        let drill = salvor_domain::job::JobRequest::Drill { from: vec![], sample: Some(20), seed: Some(7) };
        assert_eq!(run(app, drill).await.state, "finished");
        assert_eq!(set_mode(app, &operator, "normal", false).await.status, 200);
    }

    async fn errors_keep_the_gate_closed_also_over_an_unmount(app: &TestApp) {
        let (agent, operator) = (app.token(Role::Agent).await, app.token(Role::Operator).await);
        let ext4 = |errors: u32| {
            let level = if errors == 0 { Level::Ok } else { Level::Critical };
            let reading = Reading::new(Probe::Ext4, "fs:/srv", level, format!("ext4 counts {errors} error"));
            reading.with("errors", errors).with("occurrence", errors).stopping_writes()
        };
        let closed_by = async |words: &str| {
            let refused = set_mode(app, &operator, "normal", false).await.problem(409);
            let points = refused["points"].as_array().unwrap();
            assert!(points.len() == 1 && points[0].as_str().unwrap().contains(words), "{words}: {points:?}");
        };
        fill(app);
        assert_eq!(run(app, protect()).await.state, "finished");
        report(app, &agent, &[ext4(0)]).await;
        report(app, &agent, &[ext4(1)]).await;
        assert_eq!(app.get_as(&operator, MODE).await.json()["mode"], "read_only", "a fault trips it");
        assert!(timeline(app, &operator, &draft(app, &operator).await).await[0].contains("ext4 counts 1 error"));
        assert_eq!(run(app, check(true)).await.state, "finished");
        closed_by("ext4 counts 1 error").await;

        // Unmounted nothing is read of it, and what is not known opens no gate; mounted again it remembers its errors.
        app.advance(TimeDelta::minutes(2));
        report(app, &agent, &[]).await;
        closed_by("").await;
        report(app, &agent, &[ext4(1)]).await;
        closed_by("ext4 counts 1 error").await;
        for _ in 0..3 {
            app.advance(TimeDelta::minutes(2));
            report(app, &agent, &[ext4(0)]).await;
        }
        assert_eq!(set_mode(app, &operator, "normal", false).await.status, 200);
    }

    async fn whoever_takes_uploads_is_told_whether_they_may(app: &TestApp) {
        let viewer = app.token(Role::Viewer).await;
        app.get(WRITABLE).await.problem(401);
        let yes = app.get_as(&viewer, WRITABLE).await;
        assert_eq!((yes.status.as_u16(), yes.header("x-salvor-mode"), yes.body.len()), (204, "normal", 0));
        app.get_as(&viewer, "/api/v1/volumes/nope/writable").await.problem(404);
        while_following(app, async || {
            assert!(trip(app).await);
            let no = until_async(Duration::from_secs(1), "a trip is known", async || {
                let reply = app.get_as(&viewer, WRITABLE).await;
                if reply.status == 403 { Ok(reply) } else { Err(reply.status) }
            })
            .await;
            no.problem(403);
            assert_eq!(no.header("x-salvor-mode"), "read_only");
            assert_eq!(no.header("x-salvor-reason"), "ext4 counts 1 error");
            assert_eq!(no.header("retry-after"), "60");
        })
        .await;
    }

    async fn what_is_not_known_is_not_writable(app: &TestApp) {
        let viewer = app.token(Role::Viewer).await;
        assert_eq!(app.get_as(&viewer, WRITABLE).await.status, 204);
        app.core.db.close().await;
        app.advance(TimeDelta::seconds(59));
        assert!(app.state.modes.step(&app.core).await.is_err());
        assert_eq!(app.get_as(&viewer, WRITABLE).await.status, 204, "the last known mode holds for a while");
        app.advance(TimeDelta::seconds(2));
        let no = app.get_as(&viewer, WRITABLE).await;
        no.problem(403);
        assert_eq!((no.header("x-salvor-mode"), no.header("retry-after")), ("unknown", "5"));
        assert!(no.header("x-salvor-reason").starts_with("not known"), "{:?}", no.headers);
    }

    async fn a_revoked_token_is_refused_within_seconds(app: &TestApp) {
        let viewer = app.token(Role::Viewer).await;
        assert_eq!(app.get_as(&viewer, WRITABLE).await.status, 204);
        let admin = salvor_domain::account::Actor::salvor();
        let all = salvor::accounts::service::tokens(&app.core).await.unwrap();
        salvor::accounts::service::revoke_token(&app.core, &admin, &all[0].name).await.unwrap();
        assert_eq!(app.get_as(&viewer, WRITABLE).await.status, 204, "it is remembered for a moment");
        app.advance(TimeDelta::seconds(6));
        app.get_as(&viewer, WRITABLE).await.problem(401);
        app.get_as(&viewer, WRITABLE).await.problem(401);
    }

    async fn who_listens_hears_the_mode_at_once_and_each_change(app: &TestApp) {
        let viewer = app.token(Role::Viewer).await;
        while_following(app, async || {
            let request = Request::get(format!("{MODE}/events")).header(AUTHORIZATION, format!("Bearer {viewer}"));
            let mut stream = app.stream(request.body(Body::empty()).unwrap()).await;
            let said = |message: String| -> Value {
                serde_json::from_str(message.trim().strip_prefix("data: ").unwrap()).unwrap()
            };
            let first = said(stream.message().await);
            assert_eq!((&first["mode"], &first["writable"]), (&json!("normal"), &json!(true)), "{first}");
            assert!(trip(app).await);
            let next = tokio::time::timeout(Duration::from_secs(1), stream.message()).await;
            let next = said(next.expect("a change is told within a second"));
            assert_eq!((&next["mode"], &next["writable"]), (&json!("read_only"), &json!(false)), "{next}");
            assert_eq!(next["evidence"], json!(["sda1: errors_count is 1"]));
            // A change by another process is heard as well: `salvor mode` is one.
            let args = ["mode", "uploads", "failover", "--reason", "its check"];
            assert!(app.program(&args).output().await.unwrap().status.success());
            assert_eq!(said(stream.message().await)["mode"], "failover");
            app.state.stop.cancel();
            stream.rest().await;
        })
        .await;
    }
}
