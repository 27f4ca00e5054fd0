//! Volumes through the API: how they are, their mode and its gate, findings, tombstones; and what is known of a file.

use chrono::TimeDelta;
use http::{Method, StatusCode};
use salvor::volumes::catalogue::{self, CatalogueRow};
use salvor::volumes::findings::{self, NewFinding};
use salvor::volumes::lookup::{self, OnDisk};
use salvor::volumes::{service, store};
use salvor_domain::account::Role;
use salvor_domain::digest::Digest;
use salvor_domain::finding::{FindingKind, FindingState};
use salvor_domain::path::FilePath;
use salvor_domain::volume::FileState;
use serde_json::{Value, json};

use crate::support::{Reply, TestApp};

const MODE: &str = "/api/v1/volumes/uploads/mode";
const FINDINGS: &str = "/api/v1/volumes/uploads/findings";
const TOMBSTONES: &str = "/api/v1/volumes/uploads/tombstones";

fn path(bytes: &[u8]) -> FilePath {
    FilePath::new(bytes).unwrap()
}

/// Catalogues a file of ten bytes, held by the copies with these bits.
async fn catalogued(app: &TestApp, name: &[u8], holders: u64) {
    let row = CatalogueRow {
        path: path(name),
        size: 10,
        mtime_ns: 1_000_000_000,
        digest: Digest([1; 32]),
        mode: 0o644,
        state: FileState::Present,
        holders,
        verified_at: app.core.clock.now(),
    };
    let mut tx = app.core.db.begin().await.unwrap();
    let volume = store::volume(&mut tx, "uploads").await.unwrap().unwrap();
    catalogue::upsert(&mut tx, volume.id, &[row]).await.unwrap();
    tx.commit().await.unwrap();
}

async fn found(app: &TestApp, name: &[u8], kind: FindingKind) {
    let finding = NewFinding { path: path(name), kind, size: 10, detail: String::new() };
    let mut tx = app.core.db.begin().await.unwrap();
    let volume = store::volume(&mut tx, "uploads").await.unwrap().unwrap();
    let (job, now) = (app.core.new_job_id(), app.core.clock.now());
    findings::report(&mut tx, volume.id, job, now, &[finding]).await.unwrap();
    tx.commit().await.unwrap();
}

/// A full check of everything that started and finished just now and found nothing.
async fn fully_checked(app: &TestApp) {
    let now = app.core.clock.now();
    let mut tx = app.core.db.begin().await.unwrap();
    let volume = store::volume(&mut tx, "uploads").await.unwrap().unwrap();
    store::set_checked_at(&mut tx, volume.id, now, Some(now)).await.unwrap();
    tx.commit().await.unwrap();
}

async fn set_mode(app: &TestApp, token: &str, body: Value) -> Reply {
    app.call(token, Method::PUT, MODE, Some(body)).await
}

async fn ok(app: &TestApp, token: &str, path: &str) -> Value {
    let reply = app.get_as(token, path).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

on_both_engines! {
    async fn a_volume_tells_its_mode_its_figures_and_its_copies(app: &TestApp) {
        let viewer = app.token(Role::Viewer).await;
        catalogued(app, b"anna/a.jpg", 0b11).await;
        catalogued(app, b"anna/b.jpg", 0b10).await;
        found(app, b"anna/b.jpg", FindingKind::Missing).await;
        // A place that is said to hold files and is empty would pass for one that is not mounted.
        app.write("files/anna/a.jpg", b"0123456789");
        app.write("copies/local/anna/a.jpg", b"0123456789");
        app.write("copies/offsite/anna/a.jpg", b"0123456789");
        let view = ok(app, &viewer, "/api/v1/volumes/uploads").await;
        assert_eq!((text(&view["mode"]), text(&view["reason"])), ("normal", "first seen"));
        assert_eq!((&view["files"], &view["bytes"]), (&json!(2), &json!(20)));
        assert_eq!(view["findings"]["missing"], 1);
        assert_eq!(view["gate"], json!([]), "a volume that is normal waits for nothing");
        let copies: Vec<_> = view["copies"].as_array().unwrap().iter()
            .map(|copy| (text(&copy["name"]), copy["files"].as_u64().unwrap(), copy["unreachable"] == true))
            .collect();
        assert_eq!(copies, [("local", 1, false), ("offsite", 2, false)]);
        assert_eq!(ok(app, &viewer, "/api/v1/volumes").await, json!([view]));

        std::fs::remove_dir_all(app.path("copies/local")).unwrap();
        let view = ok(app, &viewer, "/api/v1/volumes/uploads").await;
        assert_eq!(view["copies"][0]["unreachable"], true);
        assert!(text(&view["copies"][0]["unreachable_because"]).contains("does not exist"), "{view}");
        assert_eq!(view["unreachable"], false);
        let unknown = app.get_as(&viewer, "/api/v1/volumes/nope").await.problem(404);
        assert!(text(&unknown["detail"]).contains("\"nope\""), "{unknown}");
    }

    async fn the_way_back_to_normal_leads_through_the_gate(app: &TestApp) {
        let operator = app.token(Role::Operator).await;
        // An empty folder would be taken for a disk that is not mounted.
        app.write("files/a.jpg", b"a");
        catalogued(app, b"a.jpg", 1).await;
        found(app, b"a.jpg", FindingKind::Corrupt).await;
        fully_checked(app).await;
        app.advance(TimeDelta::seconds(1));

        set_mode(app, &operator, json!({"mode": "read_only"})).await.problem(422);
        set_mode(app, &operator, json!({"mode": "readonly", "reason": "x"})).await.problem(422);
        set_mode(app, &operator, json!({"mode": "failover", "reason": "x"})).await.problem(409);
        let reply = set_mode(app, &operator, json!({"mode": "read_only", "reason": "errors on md0"})).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!((text(&reply.json()["mode"]), text(&reply.json()["reason"])), ("read_only", "errors on md0"));
        assert_eq!(ok(app, &operator, MODE).await["mode"], "read_only");

        let back = json!({"mode": "normal", "reason": "repaired"});
        let refused = set_mode(app, &operator, back.clone()).await.problem(409);
        let points: Vec<_> = refused["points"].as_array().unwrap().iter().map(text).collect();
        assert!(points.len() == 3 && points[0].contains("full check") && points[1] == "1 file is corrupt", "{points:?}");
        assert_eq!(points[2], "nothing has verified the copy local yet: run `salvor drill uploads`");
        assert_eq!(ok(app, &operator, MODE).await["gate"], refused["points"]);

        let forced = json!({"mode": "normal", "reason": "repaired", "override": true});
        set_mode(app, &operator, forced.clone()).await.problem(403);
        let admin = app.token(Role::Admin).await;
        assert_eq!(set_mode(app, &admin, forced).await.status, StatusCode::OK);
        let mut tx = app.core.db.read().await.unwrap();
        let log = salvor::events::about(&mut tx, "uploads", 1).await.unwrap();
        assert!(log[0].summary.contains("overridden") && log[0].summary.contains("1 file is corrupt"), "{log:?}");
        assert!(log[0].actor.starts_with("token:"), "{log:?}");
        drop(tx);

        set_mode(app, &operator, json!({"mode": "read_only", "reason": "again"})).await;
        app.advance(TimeDelta::seconds(1));
        fully_checked(app).await;
        let dismissed = app.post_as(&operator, TOMBSTONES, json!({"path": "a.jpg"})).await;
        assert_eq!(dismissed.status, StatusCode::NO_CONTENT, "{}", dismissed.text());
        assert_eq!(set_mode(app, &operator, back).await.status, StatusCode::OK, "nothing is open any more");
    }

    async fn a_viewer_changes_nothing(app: &TestApp) {
        let viewer = app.token(Role::Viewer).await;
        catalogued(app, b"a.jpg", 1).await;
        set_mode(app, &viewer, json!({"mode": "read_only", "reason": "x"})).await.problem(403);
        app.post_as(&viewer, TOMBSTONES, json!({"path": "a.jpg"})).await.problem(403);
        app.get(MODE).await.problem(401);
    }

    async fn findings_come_in_pages_and_by_kind(app: &TestApp) {
        let viewer = app.token(Role::Viewer).await;
        for name in [&b"anna/1.jpg"[..], b"anna/2\xff.jpg", b"bert/3.jpg"] {
            found(app, name, FindingKind::Missing).await;
        }
        found(app, b"bert/3.jpg", FindingKind::Extra).await;
        let first = ok(app, &viewer, &format!("{FINDINGS}?limit=3")).await;
        assert_eq!(first["total"], 4);
        let paths: Vec<_> = first["findings"].as_array().unwrap().iter().map(|f| text(&f["path"])).collect();
        assert_eq!(paths, ["anna/1.jpg", "anna/2\\xFF.jpg", "bert/3.jpg"]);
        assert_eq!(first["findings"][1]["path_hex"], path(b"anna/2\xff.jpg").to_hex());
        let rest = ok(app, &viewer, &format!("{FINDINGS}?limit=3&after={}", text(&first["next"]))).await;
        assert_eq!((rest["findings"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
        let annas = ok(app, &viewer, &format!("{FINDINGS}?kind=missing&state=open&search=anna/")).await;
        assert_eq!(annas["total"], 2);
        app.get_as(&viewer, &format!("{FINDINGS}?kind=lost")).await.problem(422);
        app.get_as(&viewer, &format!("{FINDINGS}?after=x")).await.problem(422);
    }

    async fn a_tombstone_dismisses_what_was_found(app: &TestApp) {
        let operator = app.token(Role::Operator).await;
        catalogued(app, b"caf\xe9.jpg", 1).await;
        found(app, b"caf\xe9.jpg", FindingKind::Missing).await;
        let hex = path(b"caf\xe9.jpg").to_hex();
        for _ in 0..2 {
            let reply = app.post_as(&operator, TOMBSTONES, json!({"path_hex": hex})).await;
            assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.text());
        }
        assert_eq!(ok(app, &operator, FINDINGS).await["total"], 0);
        assert_eq!(ok(app, &operator, &format!("{FINDINGS}?state=dismissed")).await["total"], 1);
        let view = ok(app, &operator, "/api/v1/volumes/uploads").await;
        assert_eq!((&view["files"], &view["copies"][0]["files"]), (&json!(0), &json!(0)));
        let mut tx = app.core.db.read().await.unwrap();
        assert_eq!(salvor::events::about(&mut tx, "uploads", 9).await.unwrap().len(), 1, "said once");
        drop(tx);
        app.post_as(&operator, TOMBSTONES, json!({"path": "unknown.jpg"})).await.problem(404);
        app.post_as(&operator, TOMBSTONES, json!({"path": "../etc/passwd"})).await.problem(422);
        app.post_as(&operator, TOMBSTONES, json!({})).await.problem(422);
    }

    async fn a_file_is_found_by_its_name_alone(app: &TestApp) {
        for name in [&b"gone"[..], b"anna/gone", b"anna/not-gone", b"gone/x"] {
            catalogued(app, name, 0b10).await;
        }
        let named = service::find_by_name(&app.core, "uploads", b"gone", 10).await.unwrap();
        assert_eq!(named, [path(b"gone"), path(b"anna/gone")]);
    }

    async fn a_file_is_looked_up_in_the_catalogue_and_on_the_volume(app: &TestApp) {
        for name in [&b"good"[..], b"newer", b"differs", b"gone"] {
            catalogued(app, name, 0b10).await;
        }
        found(app, b"gone", FindingKind::Missing).await;
        let at = |seconds| std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        for (name, seconds) in [("good", 1), ("newer", 2), ("differs", 0), ("uploaded", 3)] {
            app.write(format!("files/{name}"), b"0123456789");
            let file = std::fs::File::options().write(true).open(app.path(format!("files/{name}"))).unwrap();
            file.set_modified(at(seconds)).unwrap();
        }
        let paths: Vec<_> = [&b"uploaded"[..], b"good", b"newer", b"differs", b"gone"].map(path).to_vec();
        let facts = lookup::look_up(&app.core, "uploads", &paths).await.unwrap();
        let on_disk: Vec<_> = facts.iter().map(|facts| facts.on_disk.clone()).collect();
        use OnDisk::{Absent, Differs, Good, Newer};
        assert_eq!(on_disk, [Newer, Good, Newer, Differs, Absent]);
        assert_eq!((facts[0].known.is_some(), facts[1].known.is_some()), (false, true));
        assert_eq!(facts[4].holders, ["offsite"]);
        assert_eq!(facts[4].findings, [(FindingKind::Missing, FindingState::Open)]);

        std::fs::remove_dir_all(app.path("files")).unwrap();
        let facts = lookup::look_up(&app.core, "uploads", &paths[..1]).await.unwrap();
        assert!(matches!(facts[0].on_disk, OnDisk::Unknown(_)), "a volume that is gone has not lost its files: {facts:?}");
    }

    async fn a_copy_keeps_its_place_when_the_configuration_changes(app: &TestApp) {
        let bits = async || {
            let mut tx = app.core.db.read().await.unwrap();
            let volume = store::volume(&mut tx, "uploads").await.unwrap().unwrap();
            let copies = store::copies(&mut tx, volume.id).await.unwrap();
            copies.into_iter().map(|copy| (copy.bit, copy.name)).collect::<Vec<_>>()
        };
        let mut core = app.core.clone();
        let mut config = salvor::config::Config::clone(&core.config);
        config.volumes[0].copies[0].name = "second".to_owned();
        core.config = std::sync::Arc::new(config);
        for _ in 0..2 {
            service::register(&core).await.unwrap();
            let places = [(0, "local".to_owned()), (1, "offsite".to_owned()), (2, "second".to_owned())];
            assert_eq!(bits().await, places);
        }
        let listed = service::volume(&core, "uploads").await.unwrap().copies;
        let names: Vec<_> = listed.iter().map(|copy| copy.name.as_str()).collect();
        assert_eq!(names, ["second", "offsite"], "the removed copy is not listed");
    }
}
