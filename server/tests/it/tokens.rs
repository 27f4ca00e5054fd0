//! An agent's token is for one host.

use http::StatusCode;
use salvor::accounts::service as accounts;
use salvor_domain::account::{Actor, Role};
use serde_json::{Value, json};

use crate::support::{Reply, TestApp};

async fn report(app: &TestApp, token: &str, host: &str) -> Reply {
    let report = json!({
        "host": host, "version": "0.1.0", "taken_at": app.core.clock.now(), "nodes": [], "readings": [],
    });
    app.post_as(token, "/api/v1/agent/report", report).await
}

async fn agent(app: &TestApp, name: &str, host: Option<&str>) -> String {
    accounts::create_token(&app.core, &Actor::salvor(), name, Role::Agent, host, None).await.unwrap().1
}

async fn hosts(app: &TestApp) -> Vec<String> {
    let viewer = app.token(Role::Viewer).await;
    let hosts = app.get_as(&viewer, "/api/v1/hosts").await.json();
    hosts.as_array().unwrap().iter().map(|host| host["name"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn is_refused(reply: &Reply, words: &[&str]) {
    let problem: Value = reply.problem(403);
    let detail = problem["detail"].as_str().unwrap();
    assert!(words.iter().all(|word| detail.contains(word)), "{words:?} in {detail}");
}

on_both_engines! {
    async fn its_first_report_says_for_which(app: &TestApp) {
        let token = agent(app, "one", None).await;
        let acts = accounts::token_holder(&app.core, &token).await.unwrap().unwrap();
        assert!(accounts::host_of(&app.core, &acts).await.is_err(), "it has not reported yet");
        for _ in 0..2 {
            assert_eq!(report(app, &token, "store1").await.status, StatusCode::NO_CONTENT);
        }
        assert_eq!(accounts::host_of(&app.core, &acts).await.unwrap(), "store1");
        is_refused(&report(app, &token, "store2").await, &["store1", "token create NAME --role agent --host store2"]);
        assert_eq!(hosts(app).await, ["store1"], "nothing of a refused report is kept");

        // The host has a new name: so does its token's host, by a new token.
        let renamed = agent(app, "two", Some("store2")).await;
        is_refused(&report(app, &renamed, "store1").await, &["store2"]);
        assert_eq!(report(app, &renamed, "store2").await.status, StatusCode::NO_CONTENT);
        accounts::revoke_token(&app.core, &Actor::salvor(), "one").await.unwrap();
        report(app, &token, "store1").await.problem(401);
        let mut tx = app.core.db.read().await.unwrap();
        let events = salvor::events::after(&mut tx, 0, 1_000).await.unwrap();
        let bound = events.iter().filter(|event| event.kind.as_str() == "account.token_bound");
        assert_eq!(bound.map(|event| event.actor.as_str()).collect::<Vec<_>>(), ["token:one"]);
    }

    async fn of_two_hosts_with_one_token_one_reports(app: &TestApp) {
        let token = agent(app, "shared", None).await;
        let (one, two) = tokio::join!(report(app, &token, "store1"), report(app, &token, "store2"));
        let mut statuses = [one.status.as_u16(), two.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 403], "{} {}", one.text(), two.text());
        assert_eq!(hosts(app).await.len(), 1);
    }

    async fn whoever_may_do_more_speaks_for_any_host(app: &TestApp) {
        let operator = app.token(Role::Operator).await;
        for host in ["store1", "store2"] {
            assert_eq!(report(app, &operator, host).await.status, StatusCode::NO_CONTENT);
        }
        let refused =
            accounts::create_token(&app.core, &Actor::salvor(), "x", Role::Viewer, Some("store1"), None).await;
        assert!(refused.unwrap_err().to_string().contains("agent"));
    }

    async fn the_console_and_the_command_line_show_it(app: &TestApp) {
        agent(app, "unused", None).await;
        let output = app.program(&["token", "create", "one", "--role", "agent", "--host", "store1"]).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let output = app.program(&["token", "list"]).output().await.unwrap();
        let list = String::from_utf8(output.stdout).unwrap();
        let line = |name: &str| list.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line("one ").ends_with("for the host store1") && line("unused").contains("reports for first"), "{list}");
        let page = app.page(&app.session(Role::Admin).await, "/console/account").await.text();
        assert!(page.contains("API tokens") && page.contains("host-store1"), "{page}");
        let page = app.page(&app.session(Role::Operator).await, "/console/account").await.text();
        assert!(!page.contains("API tokens") && page.contains("Change the password"), "{page}");
    }
}
