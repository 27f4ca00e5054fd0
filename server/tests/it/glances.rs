//! The live pages' look at all volumes: it is there at once, and again as soon as something happened.

use std::time::{Duration, Instant};

use axum::body::Body;
use chrono::TimeDelta;
use http::Request;
use http::header::AUTHORIZATION;
use salvor_app::health::glance::Glances;
use salvor_domain::account::Role;
use salvor_domain::health::Level;
use salvor_domain::volume::Mode;
use serde_json::json;

use crate::support::Stream;

on_both_engines! {
    async fn a_mode_that_changes_is_told_to_who_listens(app: &TestApp) {
        let operator = app.token(Role::Operator).await;
        let request = Request::get("/api/v1/live?volumes=true").header(AUTHORIZATION, format!("Bearer {operator}"));
        let mut stream = app.stream(request.body(Body::empty()).unwrap()).await;
        let first = volumes(&mut stream).await;
        assert_eq!((first.volumes[0].mode.mode(), first.volumes[0].urgency), (Mode::Normal, Level::Unknown));
        assert_eq!(first.volumes[0].losses, None, "nothing was checked yet");

        let wish = json!({"mode": "read_only", "reason": "ext4 counts 1 error"});
        let path = "/api/v1/volumes/uploads/mode";
        assert_eq!(app.call(&operator, http::Method::PUT, path, Some(wish)).await.status, 200);
        let after = loop {
            let glances = volumes(&mut stream).await;
            if glances.volumes[0].mode.mode() != Mode::Normal {
                break glances;
            }
        };
        let volume = &after.volumes[0];
        assert!(volume.what.contains("uploads is read-only since") && volume.what.contains("ext4 counts 1 error"));
        assert!(volume.met().0 < volume.met().1 && volume.next.href.is_some(), "{volume:?}");
    }

    async fn a_level_that_changes_is_told_within_seconds_though_it_is_no_event(app: &TestApp) {
        let operator = app.token(Role::Operator).await;
        let tell = async |level: &str| {
            let smart = json!({"probe": "smart", "subject": "sda", "level": level, "reason": "said so", "facts": {}, "stops_writes": false});
            let disk = json!({"id": "sda", "kind": "disk", "label": "sda", "on": []});
            let volume = json!({"id": "volume:uploads", "kind": "volume", "label": "uploads", "on": ["sda"]});
            let at = app.core.clock.now();
            let report = json!({"host": "store1", "version": "1", "taken_at": at, "nodes": [volume, disk], "readings": [smart]});
            assert_eq!(app.post_as(&operator, "/api/v1/agent/report", report).await.status, 204);
        };
        tell("unknown").await;
        let request = Request::get("/api/v1/live?volumes=true").header(AUTHORIZATION, format!("Bearer {operator}"));
        let mut stream = app.stream(request.body(Body::empty()).unwrap()).await;
        assert_eq!(volumes(&mut stream).await.volumes[0].level, Level::Unknown);
        let events = async || salvor::events::newest_id(&mut app.core.db.read().await.unwrap()).await.unwrap();
        let before = events().await;
        // What is better counts after a while; nobody falls silent meanwhile.
        for _ in 0..2 {
            tell("ok").await;
            app.advance(TimeDelta::seconds(40));
        }
        let changed = Instant::now();
        tell("ok").await;
        while volumes(&mut stream).await.volumes[0].level != Level::Ok {}
        assert!(changed.elapsed() < Duration::from_secs(5), "{:?}", changed.elapsed());
        assert_eq!(events().await, before, "else this shows nothing");
    }

    async fn jobs_alone_are_told_to_who_asked_for_no_more(app: &TestApp) {
        let viewer = app.token(Role::Viewer).await;
        let request = Request::get("/api/v1/live").header(AUTHORIZATION, format!("Bearer {viewer}"));
        let mut stream = app.stream(request.body(Body::empty()).unwrap()).await;
        assert_eq!(stream.message().await, "data: []\n");
    }
}

/// The next message that is about volumes.
async fn volumes(stream: &mut Stream) -> Glances {
    loop {
        let message = stream.message().await;
        if let Some(rest) = message.strip_prefix("event: volumes\ndata: ") {
            return serde_json::from_str(rest).unwrap();
        }
    }
}
