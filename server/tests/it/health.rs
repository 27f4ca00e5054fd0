//! Storage health through the API: reports of agents, what they trip, silence, mutes, alerts.

use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, StatusCode};
use salvor::accounts::service as accounts;
use salvor::core::Core;
use salvor::health::service::{self, Via};
use salvor_domain::account::{Actor, Role};
use salvor_domain::health::{Level, Node, NodeKind, Probe, Reading, Report};
use serde_json::{Value, json};

use crate::support::{Reply, TestApp};

const REPORT: &str = "/api/v1/agent/report";
const HOOK: &str = "/api/v1/hooks/alertmanager";
const MODE: &str = "/api/v1/volumes/uploads/mode";
const HEALTH: &str = "/api/v1/volumes/uploads/health";

/// The volume on `fs:/srv` on `sda`, its copy `local` on `fs:/backup` on `sdb`.
fn nodes() -> Vec<Node> {
    let node = |id: &str, kind, on: &str| Node {
        id: id.into(),
        kind,
        label: id.into(),
        on: if on.is_empty() { vec![] } else { vec![on.into()] },
    };
    vec![
        node("volume:uploads", NodeKind::Volume, "fs:/srv"),
        node("copy:uploads/local", NodeKind::Copy, "fs:/backup"),
        node("fs:/srv", NodeKind::Filesystem, "sda"),
        node("fs:/backup", NodeKind::Filesystem, "sdb"),
        node("sda", NodeKind::Disk, ""),
        node("sdb", NodeKind::Disk, ""),
    ]
}

/// What store1 says.
fn report(app: &TestApp, readings: &[Reading]) -> Report {
    Report {
        host: "store1".into(),
        version: "0.1.0".into(),
        taken_at: app.core.clock.now(),
        nodes: nodes(),
        readings: readings.to_vec(),
    }
}

fn ext4(subject: &str, errors: u32) -> Reading {
    let level = if errors == 0 { Level::Ok } else { Level::Critical };
    Reading::new(Probe::Ext4, subject, level, format!("ext4 counts {errors} errors"))
        .with("errors", errors)
        .with("occurrence", errors)
        .stopping_writes()
}

fn disk(level: Level) -> Reading {
    Reading::new(Probe::Smart, "sda", level, format!("the disk is {level}")).with("temp_c", 30)
}

async fn tell(app: &TestApp, token: &str, report: &Report) {
    let reply = app.post_as(token, REPORT, serde_json::to_value(report).unwrap()).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.text());
}

async fn ok(app: &TestApp, token: &str, path: &str) -> Value {
    let reply = app.get_as(token, path).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()
}

/// The signal of a probe about a subject, from `GET /api/v1/signals`.
async fn signal(app: &TestApp, token: &str, probe: &str, subject: &str) -> Value {
    let signals = ok(app, token, "/api/v1/signals").await;
    let found = signals.as_array().unwrap().iter().find(|s| s["probe"] == probe && s["subject"] == subject);
    found.unwrap_or_else(|| panic!("no {probe} {subject} in {signals}")).clone()
}

async fn mode(app: &TestApp, token: &str) -> String {
    ok(app, token, MODE).await["mode"].as_str().unwrap().to_owned()
}

async fn override_to_normal(app: &TestApp) {
    let admin = app.token(Role::Admin).await;
    let wish = json!({"mode": "normal", "reason": "we live with it", "override": true});
    let reply = app.call(&admin, Method::PUT, MODE, Some(wish)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
}

async fn events(app: &TestApp, kind: &str) -> Vec<String> {
    let mut tx = app.core.db.read().await.unwrap();
    let all = salvor::events::after(&mut tx, 0, 10_000).await.unwrap();
    all.into_iter().filter(|event| event.kind.as_str() == kind).map(|event| event.summary).collect()
}

async fn mute(app: &TestApp, token: &str, until: DateTime<Utc>, reason: &str) -> Reply {
    let body =
        json!({"host": "store1", "probe": "smart", "subject": "sda", "until": until, "reason": reason});
    app.post_as(token, "/api/v1/signals/mute", body).await
}

on_both_engines! {
    async fn a_report_becomes_signals_and_a_fault_trips_its_volume(app: &TestApp) {
        let (agent, viewer) = (app.token(Role::Agent).await, app.token(Role::Viewer).await);
        tell(app, &agent, &report(app, &[ext4("fs:/srv", 0), ext4("fs:/backup", 0), disk(Level::Ok)])).await;
        let read = signal(app, &viewer, "ext4", "fs:/srv").await;
        assert_eq!((&read["level"], &read["volumes"], &read["host"]), (&json!("ok"), &json!(["uploads"]), &json!("store1")));
        assert_eq!(read["facts"]["errors"], 0);
        let hosts = ok(app, &viewer, "/api/v1/hosts").await;
        assert_eq!((&hosts[0]["name"], &hosts[0]["level"], &hosts[0]["is_agent"]), (&json!("store1"), &json!("ok"), &json!(true)));
        assert_eq!(hosts[0]["nodes"].as_array().unwrap().len(), 7, "with one for the host itself: {hosts}");

        // A copy's ground is not the volume's.
        tell(app, &agent, &report(app, &[ext4("fs:/srv", 0), ext4("fs:/backup", 1), disk(Level::Ok)])).await;
        assert_eq!(mode(app, &viewer).await, "normal");
        let bad = ok(app, &viewer, "/api/v1/signals?volume=uploads&level=warning").await;
        assert_eq!((bad.as_array().unwrap().len(), &bad[0]["subject"]), (1, &json!("fs:/backup")));
        let health = ok(app, &viewer, HEALTH).await;
        assert_eq!((&health["level"], &health["signals"][0]["level"]), (&json!("ok"), &json!("critical")), "{health}");

        tell(app, &agent, &report(app, &[ext4("fs:/srv", 1), ext4("fs:/backup", 1), disk(Level::Ok)])).await;
        let now = ok(app, &viewer, MODE).await;
        assert_eq!((&now["mode"], &now["reason"]), (&json!("read_only"), &json!("ext4 counts 1 errors")));
        assert_eq!(now["evidence"], json!(["ext4 fs:/srv on store1: ext4 counts 1 errors"]));
        assert_eq!(ok(app, &viewer, HEALTH).await["level"], "critical");
        assert_eq!(events(app, "signal.changed").await.len(), 2);
        assert_eq!(events(app, "volume.mode_changed").await.len(), 1);
        app.get_as(&viewer, "/api/v1/volumes/nope/health").await.problem(404);
    }

    async fn an_agent_only_reports_and_a_viewer_does_not(app: &TestApp) {
        let (agent, viewer) = (app.token(Role::Agent).await, app.token(Role::Viewer).await);
        let told = serde_json::to_value(report(app, &[])).unwrap();
        app.post_as(&viewer, REPORT, told.clone()).await.problem(403);
        app.post_as(&viewer, HOOK, json!({"alerts": []})).await.problem(403);
        app.post_as("nobody", REPORT, told).await.problem(401);
        for path in ["/api/v1/signals", "/api/v1/hosts", "/api/v1/volumes", "/metrics", HEALTH] {
            app.get_as(&agent, path).await.problem(403);
        }
        let refused = accounts::add_user(&app.core, &Actor::salvor(), "a@example.com", Role::Agent, "correct horse battery").await;
        assert!(refused.unwrap_err().to_string().contains("viewer"));
    }

    async fn what_a_report_may_hold_is_bounded(app: &TestApp) {
        let (agent, viewer) = (app.token(Role::Agent).await, app.token(Role::Viewer).await);
        let many: Vec<_> = (0..2_001).map(|n| Reading::new(Probe::Smart, format!("sd{n}"), Level::Ok, "ok")).collect();
        let refused = app.post_as(&agent, REPORT, serde_json::to_value(report(app, &many)).unwrap()).await.problem(422);
        assert!(refused["detail"].as_str().unwrap().contains("2000"), "{refused}");
        tell(app, &agent, &report(app, &many[..2_000])).await;
        // The same again, and what no database keeps.
        let odd = Reading::new(Probe::Smart, "s\0da", Level::Warning, "a\0b").with("x", "\0").with("y", vec!["\0"]);
        tell(app, &agent, &report(app, &[odd.clone(), odd, disk(Level::Ok)])).await;
        assert_eq!(signal(app, &viewer, "smart", "sda").await["level"], "warning", "the worst of two");
    }

    async fn a_host_that_falls_silent_is_unknown_and_never_green(app: &TestApp) {
        let viewer = app.token(Role::Viewer).await;
        let (_, agent) = accounts::create_token(&app.core, &Actor::salvor(), "store1", Role::Agent, None, None).await.unwrap();
        tell(app, &agent, &report(app, &[ext4("fs:/srv", 0), disk(Level::Warning)])).await;
        service::record_silence(&app.core).await.unwrap();
        assert_eq!(events(app, "host.silent").await.len(), 0);

        app.advance(TimeDelta::seconds(61));
        for (probe, subject) in [("ext4", "fs:/srv"), ("smart", "sda"), ("agent", "host")] {
            let seen = signal(app, &viewer, probe, subject).await;
            assert_eq!(seen["level"], "unknown", "{seen}");
            assert!(seen["reason"].as_str().unwrap().contains("has not reported since"), "{seen}");
        }
        let hosts = ok(app, &viewer, "/api/v1/hosts").await;
        assert_eq!((&hosts[0]["silent"], &hosts[0]["level"]), (&json!(true), &json!("unknown")));
        assert_eq!(ok(app, &viewer, HEALTH).await["level"], "unknown");
        for _ in 0..2 {
            service::record_silence(&app.core).await.unwrap();
        }
        assert_eq!(events(app, "host.silent").await.len(), 1);
        let changes = ok(app, &viewer, HEALTH).await["changes"].clone();
        let fell = |change: &&Value| change["probe"] == "ext4" && change["from"] == "ok" && change["to"] == "unknown";
        assert_eq!(changes.as_array().unwrap().iter().filter(fell).count(), 1, "{changes}");

        tell(app, &agent, &report(app, &[ext4("fs:/srv", 0), disk(Level::Warning)])).await;
        assert_eq!(events(app, "host.back").await.len(), 1);
        assert_eq!(signal(app, &viewer, "ext4", "fs:/srv").await["level"], "ok");
        let changes = ok(app, &viewer, HEALTH).await["changes"].clone();
        assert!(changes.as_array().unwrap().iter().any(|c| c["probe"] == "ext4" && c["from"] == "unknown" && c["to"] == "ok"), "{changes}");

        accounts::revoke_token(&app.core, &Actor::salvor(), "store1").await.unwrap();
        app.post_as(&agent, REPORT, serde_json::to_value(report(app, &[])).unwrap()).await.problem(401);
        let hosts = ok(app, &viewer, "/api/v1/hosts").await;
        assert_eq!((&hosts[0]["revoked"], &hosts[0]["silent"], &hosts[0]["level"]), (&json!(true), &json!(true), &json!("unknown")));
    }

    async fn a_fault_that_was_overridden_trips_again_only_when_it_is_news(app: &TestApp) {
        let (agent, viewer) = (app.token(Role::Agent).await, app.token(Role::Viewer).await);
        let told = async |reading: Reading| {
            app.advance(TimeDelta::seconds(10));
            tell(app, &agent, &report(app, &[reading])).await;
            mode(app, &viewer).await
        };
        assert_eq!(told(ext4("fs:/srv", 1)).await, "read_only");
        override_to_normal(app).await;
        assert_eq!(told(ext4("fs:/srv", 1)).await, "normal");
        for _ in 0..8 {
            let unread = Reading::new(Probe::Ext4, "fs:/srv", Level::Unknown, "it cannot be read");
            assert_eq!(told(unread).await, "normal");
        }
        assert_eq!(told(ext4("fs:/srv", 1)).await, "normal", "the old fault, read again");
        assert_eq!(told(ext4("fs:/srv", 2)).await, "read_only", "a new one");
        override_to_normal(app).await;
        assert_eq!(told(ext4("fs:/srv", 2)).await, "normal");
        // It was well, though not for long enough to be shown so.
        assert_eq!(told(ext4("fs:/srv", 0)).await, "normal");
        assert_eq!(told(ext4("fs:/srv", 2)).await, "read_only", "it came back");
    }

    async fn what_was_unmounted_is_still_in_the_way(app: &TestApp) {
        let agent = app.token(Role::Agent).await;
        let troubles = async || {
            let mut tx = app.core.db.read().await.unwrap();
            let troubles = service::troubles(&app.core, &mut tx, "uploads").await.unwrap();
            troubles.into_iter().map(|trouble| (trouble.subject, trouble.level)).collect::<Vec<_>>()
        };
        tell(app, &agent, &report(app, &[ext4("fs:/srv", 1), ext4("fs:/backup", 1)])).await;
        assert_eq!(troubles().await, [("fs:/srv".to_owned(), Level::Critical)]);
        // The volume's folder lies on the root file system now.
        let unmounted = |app: &TestApp| {
            let mut report = report(app, &[ext4("fs:/", 0)]);
            report.nodes.retain(|node| node.id == "volume:uploads");
            report.nodes[0].on = vec!["fs:/".into()];
            report
        };
        for _ in 0..8 {
            app.advance(TimeDelta::seconds(10));
            tell(app, &agent, &unmounted(app)).await;
        }
        assert_eq!(troubles().await, [("fs:/srv".to_owned(), Level::Unknown)]);
        app.advance(TimeDelta::days(2));
        tell(app, &agent, &unmounted(app)).await;
        service::forget(&app.core).await.unwrap();
        assert_eq!(troubles().await, [("fs:/srv".to_owned(), Level::Unknown)], "the gate waits for it");
        override_to_normal(app).await;
        service::forget(&app.core).await.unwrap();
        assert_eq!(troubles().await, []);
        let viewer = app.token(Role::Viewer).await;
        let left = ok(app, &viewer, "/api/v1/signals").await;
        assert!(left.as_array().unwrap().iter().all(|signal| signal["subject"] != "fs:/srv"), "{left}");
    }

    async fn a_mute_holds_until_it_gets_worse(app: &TestApp) {
        let (agent, viewer) = (app.token(Role::Agent).await, app.token(Role::Viewer).await);
        let responder = app.token(Role::Responder).await;
        tell(app, &agent, &report(app, &[disk(Level::Warning)])).await;
        let until = app.core.clock.now() + TimeDelta::hours(1);
        mute(app, &viewer, until, "known").await.problem(403);
        mute(app, &responder, until, " ").await.problem(422);
        mute(app, &responder, app.core.clock.now(), "known").await.problem(422);
        let muted = mute(app, &responder, until, "a new disk comes tomorrow").await.json();
        assert_eq!(muted["muted"]["reason"], "a new disk comes tomorrow");

        tell(app, &agent, &report(app, &[disk(Level::Warning)])).await;
        assert!(signal(app, &viewer, "smart", "sda").await["muted"].is_object());
        tell(app, &agent, &report(app, &[disk(Level::Critical)])).await;
        assert!(signal(app, &viewer, "smart", "sda").await["muted"].is_null());
        assert_eq!(events(app, "signal.unmuted").await, ["smart sda on store1 is no longer muted: it got worse"]);

        mute(app, &responder, until, "again").await;
        let key = json!({"host": "store1", "probe": "smart", "subject": "sda"});
        let unmuted = app.post_as(&responder, "/api/v1/signals/unmute", key).await.json();
        assert!(unmuted["muted"].is_null());
        mute(app, &responder, until, "again").await;
        app.advance(TimeDelta::hours(1));
        assert!(signal(app, &viewer, "smart", "sda").await["muted"].is_null(), "its time is over");
        tell(app, &agent, &report(app, &[disk(Level::Critical)])).await;
        assert_eq!(events(app, "signal.unmuted").await.len(), 3);
        let nowhere = json!({"host": "store9", "probe": "smart", "subject": "sda"});
        app.post_as(&responder, "/api/v1/signals/unmute", nowhere).await.problem(404);
    }

    async fn alerts_are_signals_once_each(app: &TestApp) {
        let (agent, viewer) = (app.token(Role::Agent).await, app.token(Role::Viewer).await);
        let send = async |text: &str| {
            let reply = app.post_as(&agent, HOOK, serde_json::from_str(text).unwrap()).await;
            assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.text());
        };
        let level = async |id: &str| signal(app, &viewer, "alert", id).await["level"].as_str().unwrap().to_owned();
        let firing = include_str!("../../probes/fixtures/alertmanager/firing-2.json");
        let (md0, md1) = ("alert:NodeRAIDDegraded:97fdec0cf487e7a0", "alert:NodeRAIDDegraded:de262486567420c7");
        for _ in 0..3 {
            send(firing).await;
        }
        assert_eq!((level(md0).await, level(md1).await), ("critical".into(), "critical".into()));
        assert_eq!(events(app, "signal.changed").await.len(), 2, "told three times, changed once each");
        assert_eq!(signal(app, &viewer, "alert", md0).await["host"], "store1");

        send(include_str!("../../probes/fixtures/alertmanager/mixed-firing-resolved.json")).await;
        assert_eq!((level(md0).await, level(md1).await), ("critical".into(), "ok".into()));
        send(include_str!("../../probes/fixtures/alertmanager/old-no-fingerprint.json")).await;
        send(include_str!("../../probes/fixtures/alertmanager/truncated.json")).await;
        let signals = ok(app, &viewer, "/api/v1/signals").await;
        let left_out = signals.as_array().unwrap().iter().find(|signal| signal["facts"]["left_out"] == 2);
        assert_eq!(left_out.unwrap()["level"], "warning", "{signals}");
        // A host's own report leaves its alerts alone, and a silent host does not end them.
        tell(app, &agent, &report(app, &[])).await;
        app.advance(TimeDelta::minutes(5));
        assert_eq!(level(md0).await, "critical");
        // Firing and never told again: not known.
        app.advance(TimeDelta::days(2));
        service::forget(&app.core).await.unwrap();
        assert_eq!(level(md0).await, "unknown");
    }

    async fn a_host_that_only_alerts_name_is_shown_and_never_green(app: &TestApp) {
        let (agent, viewer) = (app.token(Role::Agent).await, app.token(Role::Viewer).await);
        let send = async |status: &str| {
            app.advance(TimeDelta::seconds(1));
            let labels = json!({"alertname": "DiskFull", "instance": "store9:9100", "severity": "critical"});
            let alert = json!({"status": status, "labels": labels, "startsAt": "2026-11-22T20:34:15Z", "fingerprint": "f1"});
            assert_eq!(app.post_as(&agent, HOOK, json!({"alerts": [alert]})).await.status, StatusCode::NO_CONTENT);
            ok(app, &viewer, "/api/v1/hosts").await
        };
        let hosts = send("firing").await;
        assert_eq!(hosts.as_array().unwrap().len(), 1, "{hosts}");
        assert_eq!(
            (&hosts[0]["name"], &hosts[0]["alerts_only"], &hosts[0]["level"], &hosts[0]["silent"]),
            (&json!("store9"), &json!(true), &json!("critical"), &json!(false))
        );
        let page = app.page(&app.session(Role::Viewer).await, "/console/health").await.text();
        assert!(page.contains("Alerts only, no agent") && page.contains("DiskFull"), "{page}");
        assert!(!app.get_as(&viewer, "/metrics").await.text().contains("salvor_host_silent{host=\"store9\""));
        assert_eq!(send("resolved").await[0]["level"], "unknown", "nobody reads how it is");
        tell(app, &agent, &Report { host: "store9".into(), ..report(app, &[]) }).await;
        let hosts = ok(app, &viewer, "/api/v1/hosts").await;
        assert_eq!((hosts.as_array().unwrap().len(), &hosts[0]["alerts_only"]), (1, &json!(false)), "{hosts}");
    }

    async fn an_alert_that_stops_writes_trips_once_a_fault(app: &TestApp) {
        let (agent, viewer) = (app.token(Role::Agent).await, app.token(Role::Viewer).await);
        let send = async |status: &str, starts: &str, trip: &str| {
            app.advance(TimeDelta::seconds(1));
            let labels = json!({"alertname": "X", "volume": "uploads", "salvor_trip": trip, "severity": "warning"});
            let alert = json!({"status": status, "labels": labels, "startsAt": starts, "fingerprint": "f1"});
            let reply = app.post_as(&agent, HOOK, json!({"alerts": [alert]})).await;
            assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.text());
            mode(app, &viewer).await
        };
        let (first, second) = ("2026-11-22T20:34:15.9Z", "2026-11-22T20:34:15.95Z");
        assert_eq!(send("firing", first, "false").await, "normal");
        assert_eq!(send("firing", first, "true").await, "read_only");
        override_to_normal(app).await;
        assert_eq!(send("firing", first, "true").await, "normal");
        assert_eq!(send("firing", second, "true").await, "read_only");
        assert_eq!(send("resolved", first, "true").await, "read_only");
        assert_eq!(signal(app, &viewer, "alert", "alert:X:f1").await["level"], "critical", "an end that came late");
        send("resolved", second, "true").await;
        assert_eq!(signal(app, &viewer, "alert", "alert:X:f1").await["level"], "ok");
    }

    async fn two_servers_take_reports_in_at_once(app: &TestApp) {
        let viewer = app.token(Role::Viewer).await;
        let other = Core::open((*app.core.config).clone(), app.core.clock.clone()).await.unwrap();
        for host in ["store1", "store2"] {
            let well = Report { host: host.into(), ..report(app, &[ext4("fs:/srv", 0), disk(Level::Ok)]) };
            service::ingest(&app.core, well, Via::Server).await.unwrap();
        }
        let told = |core: Core, host: &'static str| {
            let fault = report(app, &[ext4("fs:/srv", 1), disk(Level::Ok)]);
            async move {
                for _ in 0..8 {
                    let report = Report { host: host.into(), ..fault.clone() };
                    service::ingest(&core, report, Via::Server).await.unwrap();
                }
            }
        };
        let all = [
            told(app.core.clone(), "store1"),
            told(other.clone(), "store1"),
            told(app.core.clone(), "store2"),
            told(other.clone(), "store2"),
        ];
        futures_util::future::join_all(all).await;
        other.db.close().await;
        assert_eq!(ok(app, &viewer, "/api/v1/signals").await.as_array().unwrap().len(), 6);
        assert_eq!(mode(app, &viewer).await, "read_only");
        assert_eq!(events(app, "volume.mode_changed").await.len(), 1);
        assert_eq!(events(app, "signal.changed").await.len(), 2);
    }

    async fn space_has_a_history_and_an_end_in_sight(app: &TestApp) {
        let (agent, viewer) = (app.token(Role::Agent).await, app.token(Role::Viewer).await);
        for hour in 0..40 {
            let used = 50.0 + f64::from(hour) / 4.0;
            let space = Reading::new(Probe::Space, "fs:/srv", Level::Ok, "there is room").with("used_percent", used);
            tell(app, &agent, &report(app, &[space])).await;
            app.advance(TimeDelta::hours(1));
        }
        let health = ok(app, &viewer, HEALTH).await;
        assert_eq!(health["space"].as_array().unwrap().len(), 40);
        let end: DateTime<Utc> = health["full_at"].as_str().unwrap().parse().unwrap();
        let hours = (end - app.core.clock.now()).num_hours();
        assert!((155..165).contains(&hours), "{hours}");
    }

    async fn the_metrics_and_the_command_line_tell_it(app: &TestApp) {
        let (agent, viewer) = (app.token(Role::Agent).await, app.token(Role::Viewer).await);
        let space = Reading::new(Probe::Space, "fs:/srv", Level::Ok, "there is room").with("used_percent", 50.5);
        tell(app, &agent, &report(app, &[disk(Level::Warning), space])).await;
        let text = app.get_as(&viewer, "/metrics").await.text();
        for line in [
            "salvor_host_silent{host=\"store1\"} 0",
            "salvor_signal_level{host=\"store1\",probe=\"smart\",subject=\"sda\",salvor_signal_level=\"warning\"} 1",
            "salvor_signal_level{host=\"store1\",probe=\"smart\",subject=\"sda\",salvor_signal_level=\"ok\"} 0",
            "salvor_signal_muted{host=\"store1\",probe=\"smart\",subject=\"sda\"} 0",
            "salvor_filesystem_used_percent{host=\"store1\",subject=\"fs:/srv\"} 50.5",
        ] {
            assert!(text.contains(line), "\"{line}\" is not in: {text}");
        }
        assert!(text.contains("salvor_host_report_age_seconds{host=\"store1\"} "), "{text}");
        let said = app.program(&["health"]).output().await.unwrap();
        let text = String::from_utf8(said.stdout).unwrap();
        assert_eq!(said.status.code(), Some(1), "{text}");
        assert!(text.contains("WARNING sda on store1") && text.contains("the disk is warning"), "{text}");
        let said = app.program(&["health", "uploads", "--json"]).output().await.unwrap();
        let json: Value = serde_json::from_slice(&said.stdout).unwrap();
        assert_eq!((&json["volumes"][0]["volume"], &json["hosts"][0]["name"]), (&json!("uploads"), &json!("store1")));
        let said = app.program(&["health", "nope"]).output().await.unwrap();
        assert_eq!(said.status.code(), Some(2));
    }
}
