//! Components, incidents, and the public pages that say so without a database.

use std::time::Duration;

use axum::body::Body;
use chrono::{DateTime, TimeDelta};
use http::header::{ACCEPT_ENCODING, ETAG, IF_NONE_MATCH};
use http::{Method, Request};
use salvor::http::AppState;
use salvor_domain::account::Role;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::TestApp;
use crate::support::facts::{PATIENCE, until_async};

async fn component(app: &TestApp, token: &str, name: &str) -> Value {
    let reply = app.post_as(token, "/api/v1/components", json!({ "name": name })).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()
}

async fn open(app: &TestApp, token: &str, component: &Value, status: &str) -> Value {
    let body = json!({
        "name": "Some files are missing", "status": "investigating", "body": "We are looking into it.",
        "components": [{ "id": component["id"], "status": status }],
    });
    let reply = app.post_as(token, "/api/v1/incidents", body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()
}

async fn update(app: &TestApp, token: &str, incident: &Value, body: Value) -> crate::support::Reply {
    let path = format!("/api/v1/incidents/{}/updates", incident["id"].as_str().unwrap());
    app.post_as(token, &path, body).await
}

async fn status_of(app: &TestApp, token: &str, component: &Value) -> String {
    let all = app.get_as(token, "/api/v1/components").await.json();
    let found = all.as_array().unwrap().iter().find(|other| other["id"] == component["id"]).unwrap();
    found["status"].as_str().unwrap().to_owned()
}

/// Runs the board while `story` goes on.
async fn with_board(app: &TestApp, story: impl AsyncFnOnce()) {
    let tasks = TaskTracker::new();
    tasks.spawn(app.state.board.clone().run(app.core.clone()));
    tasks.close();
    story().await;
    app.state.stop.cancel();
    tasks.wait().await;
}

/// Asks until the answer holds `text`; panics after two seconds, the time within which published is visible.
async fn becomes(app: &TestApp, path: &str, text: &str) -> crate::support::Reply {
    until_async(Duration::from_secs(2), &format!("{path} says {text}"), async || {
        let reply = app.get(path).await;
        if reply.text().contains(text) { Ok(reply) } else { Err(reply.text()) }
    })
    .await
}

on_both_engines! {
    async fn an_incident_moves_its_components_and_frees_them(app: &TestApp) {
        let token = app.token(Role::Responder).await;
        let (files, sites) = (component(app, &token, "Files").await, component(app, &token, "Sites").await);
        let first = open(app, &token, &files, "major_outage").await;
        assert_eq!((&first["impact"], &first["status"]), (&json!("critical"), &json!("investigating")));
        assert_eq!(first["updates"][0]["components"][0]["old_status"], "operational");
        let second = open(app, &token, &files, "degraded_performance").await;
        assert_eq!(second["impact"], "minor");

        let body = json!({ "status": "identified", "body": "It is the array.",
            "components": [{ "id": sites["id"], "status": "partial_outage" }] });
        let updated = update(app, &token, &first, body).await.json();
        assert_eq!((&updated["impact"], updated["updates"].as_array().unwrap().len()), (&json!("major"), 2));

        let resolved = update(app, &token, &first, json!({ "status": "resolved", "body": "All is back." })).await;
        let resolved = resolved.json();
        assert!(resolved["resolved_at"].is_string());
        assert_eq!(resolved["impact"], "major", "it was what it was");
        assert_eq!(status_of(app, &token, &sites).await, "operational");
        assert_eq!(status_of(app, &token, &files).await, "degraded_performance", "the second still says so");
        update(app, &token, &second, json!({ "status": "resolved", "body": "Done." })).await;
        assert_eq!(status_of(app, &token, &files).await, "operational");

        let listed = app.get_as(&token, "/api/v1/incidents?open=true").await.json();
        assert_eq!(listed, json!([]));
        assert_eq!(app.get_as(&token, "/api/v1/incidents").await.json().as_array().unwrap().len(), 2);
    }

    async fn a_resolution_may_say_what_stays(app: &TestApp) {
        let token = app.token(Role::Responder).await;
        let files = component(app, &token, "Files").await;
        let incident = open(app, &token, &files, "major_outage").await;
        let body = json!({ "status": "resolved", "body": "Slow for a while.",
            "components": [{ "id": files["id"], "status": "degraded_performance" }] });
        update(app, &token, &incident, body).await;
        assert_eq!(status_of(app, &token, &files).await, "degraded_performance");
    }

    async fn what_is_wrong_is_said_and_nothing_is_kept(app: &TestApp) {
        let token = app.token(Role::Responder).await;
        let files = component(app, &token, "Files").await;
        app.post_as(&token, "/api/v1/components", json!({ "name": "Files" })).await.problem(409);
        let with = |name: &str, status: &str, body: &str, component: &str| json!({ "name": name, "status": status,
            "body": body, "components": [{ "id": component, "status": "major_outage" }] });
        let id = files["id"].as_str().unwrap();
        let unknown = "0190b2c4-6f00-7000-8000-000000000000";
        for (body, status) in [
            (with("", "investigating", "b", id), 422),
            (with(&"n".repeat(201), "investigating", "b", id), 422),
            (with("n", "investigating", " ", id), 422),
            (with("n", "investigating", &"b".repeat(10_001), id), 422),
            (with("n", "nonsense", "b", id), 422),
            (with("n", "investigating", "b", unknown), 422),
            (with("n", "postmortem", "b", id), 409),
            (json!({ "name": "n", "status": "investigating", "body": "b", "volume": "nowhere" }), 422),
        ] {
            app.post_as(&token, "/api/v1/incidents", body).await.problem(status);
        }
        assert_eq!(status_of(app, &token, &files).await, "operational");
        assert_eq!(app.get_as(&token, "/api/v1/incidents").await.json(), json!([]));

        let viewer = app.token(Role::Viewer).await;
        app.post_as(&viewer, "/api/v1/incidents", with("n", "investigating", "b", id)).await.problem(403);
        let none = update(app, &token, &json!({ "id": unknown }), json!({ "status": "resolved", "body": "b" })).await;
        none.problem(404);
    }

    async fn an_overridden_impact_stays(app: &TestApp) {
        let token = app.token(Role::Responder).await;
        let files = component(app, &token, "Files").await;
        let body = json!({ "name": "n", "status": "investigating", "body": "b", "impact": "minor",
            "components": [{ "id": files["id"], "status": "major_outage" }] });
        let incident = app.post_as(&token, "/api/v1/incidents", body).await.json();
        let updated = update(app, &token, &incident, json!({ "status": "monitoring", "body": "b" })).await.json();
        assert_eq!(updated["impact"], "minor");
        assert!(updated["monitoring_at"].is_string());
    }

    async fn published_is_visible_and_outlives_the_database(app: &TestApp) {
        let token = app.token(Role::Responder).await;
        let files = component(app, &token, "Uploaded files").await;
        with_board(app, async || {
            becomes(app, "/", "Uploaded files").await;
            let incident = open(app, &token, &files, "partial_outage").await;
            let id = incident["id"].as_str().unwrap();
            becomes(app, "/", "Some files are missing").await;
            becomes(app, "/api/v2/status.json", "Partial System Outage").await;
            let page = becomes(app, &format!("/incidents/{id}"), "We are looking into it.").await;
            assert_eq!(page.header("cache-control"), "public, max-age=15, stale-while-revalidate=60, stale-if-error=86400");

            app.core.db.close().await;
            for path in ["/", "/history", "/history.atom", "/api/v2/summary.json", "/api/v2/incidents.json"] {
                assert_eq!(app.get(path).await.status, 200, "{path}");
            }
            assert_eq!(app.get("/incidents/0190b2c4-6f00-7000-8000-000000000000").await.status, 404);
            app.advance(TimeDelta::seconds(61));
            until_async(PATIENCE, "old facts say that they are old", async || {
                !app.get("/").await.text().contains("role=\"status\" hidden")
            })
            .await;
        })
        .await;
        // Another process, and still no database.
        let state = AppState { board: salvor::incidents::Board::new(&app.core, "", CancellationToken::new()), ..app.state.clone() };
        assert!(state.board.page("/").is_some());
    }

    async fn a_known_page_is_not_sent_again(app: &TestApp) {
        let token = app.token(Role::Responder).await;
        component(app, &token, "Uploaded files").await;
        with_board(app, async || {
            becomes(app, "/api/v2/components.json", "Uploaded files").await;
            let ask = async |name, value: &str| {
                let request = Request::get("/api/v2/components.json").header(name, value);
                app.send(request.body(Body::empty()).unwrap()).await
            };
            let packed = ask(ACCEPT_ENCODING, "br").await;
            assert_eq!((packed.header("content-encoding"), packed.header("vary")), ("br", "accept-encoding"));
            let tag = packed.headers[ETAG].to_str().unwrap().to_owned();
            let known = ask(IF_NONE_MATCH, &tag).await;
            assert_eq!((known.status.as_u16(), known.body.len()), (304, 0));
            let head = Request::builder().method(Method::HEAD).uri("/").body(Body::empty()).unwrap();
            let head = app.send(head).await;
            assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
        })
        .await;
    }

    async fn the_contract_of_statuspage_holds(app: &TestApp) {
        let token = app.token(Role::Responder).await;
        let files = component(app, &token, "Uploaded files").await;
        with_board(app, async || {
            open(app, &token, &files, "partial_outage").await;
            becomes(app, "/api/v2/summary.json", "Some files are missing").await;
            let reply = app.get("/api/v2/summary.json").await;
            assert_eq!(reply.header("access-control-allow-origin"), "*");
            let summary = reply.json();
            let incident = &summary["incidents"][0];
            for time in [&incident["created_at"], &summary["page"]["updated_at"], &incident["incident_updates"][0]["display_at"]] {
                let text = time.as_str().unwrap();
                assert!(text.contains('.') && DateTime::parse_from_rfc3339(text).is_ok(), "{text}");
            }
            assert_eq!(incident["impact"], "major");
            assert_eq!(incident["components"][0]["status"], "partial_outage");
            assert_eq!(summary["status"]["indicator"], "major");
        })
        .await;
    }

    async fn readers_see_changes_as_they_come(app: &TestApp) {
        let token = app.token(Role::Responder).await;
        with_board(app, async || {
            becomes(app, "/", "html").await;
            let mut stream = app.stream(Request::get("/live/status").body(Body::empty()).unwrap()).await;
            let said = |message: &str| -> Value {
                serde_json::from_str(message.trim().strip_prefix("data: ").unwrap()).unwrap()
            };
            let first = said(&stream.message().await);
            component(app, &token, "Uploaded files").await;
            let mut next = said(&stream.message().await);
            while next["version"] == first["version"] {
                next = said(&stream.message().await);
            }
            app.state.stop.cancel();
            stream.rest().await;
        })
        .await;
    }
}
