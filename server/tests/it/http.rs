//! What holds for every route: who may call it, from where, and what a problem looks like.

use axum::body::Body;
use http::header::{AUTHORIZATION, COOKIE};
use http::{Method, Request};
use salvor::http::permissions::{Access, TABLE};
use salvor_domain::account::Role;

use crate::support::Reply;

/// A request that fits the pattern of a row.
fn address(pattern: &str) -> String {
    let id = "00000000-0000-7000-8000-000000000001";
    pattern
        .replace("/jobs/{id}/{control}", &format!("/jobs/{id}/pause"))
        .replace("{id}", id)
        .replace("{name}", "uploads")
        .replace("{number}", "1")
        .replace("{line}", "1")
        .replace("{secret}", "0123")
        .replace("{*any}", "x")
        .replace("{*path}", "x")
}

/// No route has this pattern.
fn is_not_there(reply: &Reply) -> bool {
    reply.status == 404 && reply.text().contains("There is nothing at this address.")
}

on_both_engines! {
    async fn each_role_may_do_its_part_of_the_table(app: &TestApp) {
        for role in Role::ALL {
            let token = app.token(*role).await;
            // A storage host has no session.
            let session = if *role == Role::Agent { None } else { Some(app.session(*role).await) };
            // These two would end the session; they have tests of their own.
            let ends_sessions = ["/console/do/sign_out", "/console/do/set_password"];
            for (method, pattern, access) in TABLE.iter().filter(|(_, path, _)| !ends_sessions.contains(path)) {
                let path = address(pattern);
                if session.is_none() && pattern.starts_with("/console") {
                    continue;
                }
                let session = session.as_deref().unwrap_or_default();
                let reply = match (pattern.starts_with("/console"), *method == Method::GET) {
                    (true, true) => app.page(session, &path).await,
                    (true, false) => app.form(Some(session), &path, "").await,
                    (false, _) => app.call(&token, method.clone(), &path, None).await,
                };
                // The bundle's root files are there when it was made.
                let is_bundled = pattern.matches('/').count() == 1 && pattern.contains('.');
                let is_there = is_bundled || !is_not_there(&reply);
                assert!(is_there, "{method} {pattern} is in the table and not in the router");
                match access {
                    Access::Session(permission) if !role.may(*permission) => {
                        assert_eq!(reply.status, 403, "{role}: {method} {pattern}");
                    }
                    _ => assert!(
                        !matches!(reply.status.as_u16(), 401 | 403),
                        "{role}: {method} {pattern}: {}",
                        reply.status
                    ),
                }
            }
        }
        for (method, pattern, access) in TABLE {
            let request = Request::builder().method(method).uri(address(pattern)).body(Body::empty()).unwrap();
            let reply = app.send(request).await;
            let is_page = *method == Method::GET && pattern.starts_with("/console");
            match access {
                Access::Session(_) if is_page => {
                    assert_eq!(reply.status, 303, "{pattern}");
                    assert!(reply.header("location").starts_with("/console/sign-in?next="), "{pattern}");
                }
                Access::Session(_) => assert_eq!(reply.status, 401, "{method} {pattern}"),
                Access::Public => assert_ne!(reply.status, 401, "{method} {pattern}"),
            }
        }
    }

    async fn signing_in_and_out_with_a_browser(app: &TestApp) {
        app.add_user("ann@example.com", Role::Operator).await;
        let form = |password: &str| format!("email=Ann%40example.com&password={password}&next=%2Fconsole%2Fjobs");
        let wrong = app.form(None, "/console/do/sign_in", &form("no")).await;
        assert_eq!(wrong.status, 303);
        assert!(wrong.header("location").contains("problem=") && wrong.session().is_none());
        let unknown = app.form(None, "/console/do/sign_in", "email=bob%40example.com&password=no&next=%2Fconsole%2Fjobs").await;
        assert_eq!(unknown.header("location"), wrong.header("location"), "nobody learns who has an account");

        let right = app.form(None, "/console/do/sign_in", &form("correct+horse+battery")).await;
        assert_eq!((right.status.as_u16(), right.header("location")), (303, "/console/jobs"));
        let cookie = right.header("set-cookie");
        for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        let session = right.session().unwrap();
        assert_eq!(app.form(Some(&session), "/console/do/set_password", "password=short").await.status, 303);

        let out = app.form(Some(&session), "/console/do/sign_out", "").await;
        assert_eq!(out.status, 303);
        assert_eq!(app.page(&session, "/api/v1/events").await.status, 401, "the session has ended on the server");
    }

    async fn a_link_is_used_up_by_a_post_only(app: &TestApp) {
        let link = salvor::accounts::service::first_link(&app.core).await.unwrap().unwrap();
        let path = link.strip_prefix("http://salvor.test").unwrap();
        let page = app.get(path).await;
        assert_eq!(page.header("referrer-policy"), "same-origin", "or its form's origin would be \"null\"");
        let head = Request::head(path).body(Body::empty()).unwrap();
        app.send(head).await;
        let first = app.form(None, path, "").await;
        assert_eq!((first.status.as_u16(), first.header("location")), (303, "/console/account"));
        assert!(first.session().is_some());
        let again = app.form(None, path, "").await;
        assert!(again.session().is_none() && again.header("location").contains("problem="));
    }

    async fn too_many_failed_sign_ins_wait(app: &TestApp) {
        app.add_user("ann@example.com", Role::Operator).await;
        for _ in 0..10 {
            assert_eq!(app.form(None, "/console/do/sign_in", "email=ann%40example.com&password=no").await.status, 303);
        }
        let right = "email=ann%40example.com&password=correct+horse+battery";
        let refused = app.form(None, "/console/do/sign_in", right).await;
        assert_eq!(refused.status, 429);
        assert!(refused.header("retry-after").parse::<u64>().unwrap() > 200);
        app.advance(chrono::TimeDelta::minutes(6));
        assert!(app.form(None, "/console/do/sign_in", right).await.session().is_some());
    }

    async fn another_sites_page_cannot_act(app: &TestApp) {
        let session = app.session(Role::Admin).await;
        for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
            let request = Request::post("/console/do/sign_out").header(COOKIE, &session).header(name, value);
            app.send(request.body(Body::empty()).unwrap()).await.problem(403);
        }
        assert_ne!(app.page(&session, "/api/v1/events?after=x").await.status, 401, "the session still holds");
    }

    async fn problems_are_documents_for_programs_and_pages_for_people(app: &TestApp) {
        let document = app.get("/nowhere").await.problem(404);
        assert_eq!(document["type"], "about:blank");
        let request = Request::get("/nowhere").header("accept", "text/html,*/*").body(Body::empty()).unwrap();
        let page = app.send(request).await;
        assert_eq!(page.status, 404);
        assert!(page.header("content-type").starts_with("text/html") && page.text().contains("<h1"));
        assert!(page.header("content-security-policy").contains("frame-ancestors 'none'"));
        let unsigned = app.get("/api/v1/events").await;
        unsigned.problem(401);
        assert_eq!(unsigned.header("www-authenticate"), "Bearer");
        let token = app.token(Role::Admin).await;
        let method = app.call(&token, Method::DELETE, "/healthz", None).await;
        method.problem(405);
        assert_eq!(app.get("/healthz").await.header("x-content-type-options"), "nosniff");
        assert_eq!(app.get("/tickets/0123").await.header("referrer-policy"), "no-referrer");
        let large = Request::post("/console/do/sign_in").header("content-length", "5000000");
        app.send(large.body(Body::empty()).unwrap()).await.problem(413);
    }

    async fn the_feed_resumes_after_the_last_event(app: &TestApp) {
        let token = app.token(Role::Viewer).await;
        app.state.feed.step(&app.core).await.unwrap();
        let request = |name: &str, value: &str| {
            let request = Request::get("/api/v1/events").header(AUTHORIZATION, format!("Bearer {token}"));
            request.header(name, value).body(Body::empty()).unwrap()
        };
        app.send(request("last-event-id", "x")).await.problem(422);
        let mut all = app.stream(request("last-event-id", "0")).await;
        let first = all.message().await;
        assert!(first.contains("id: 1\n") && first.contains("account.token_created"), "{first}");
        let mut from_now = app.stream(request("accept", "text/event-stream")).await;
        app.add_user("ann@example.com", Role::Operator).await;
        app.state.feed.step(&app.core).await.unwrap();
        for stream in [&mut all, &mut from_now] {
            let message = stream.message().await;
            assert!(message.contains("id: 2\n") && message.contains("account.user_added"), "{message}");
        }
        app.state.stop.cancel();
        assert_eq!(all.rest().await, "", "a stop ends the streams");
    }

    async fn a_repeated_call_is_answered_and_not_done_again(app: &TestApp) {
        let token = app.token(Role::Operator).await;
        let call = async |key: &str, body: &str| {
            let request = Request::post("/api/v1/volumes/uploads/tombstones")
                .header(AUTHORIZATION, format!("Bearer {token}"))
                .header("content-type", "application/json")
                .header("idempotency-key", key);
            app.send(request.body(body.to_owned().into()).unwrap()).await
        };
        let first = call("k1", r#"{"path": "rose/a.jpg"}"#).await;
        let again = call("k1", r#"{"path": "rose/a.jpg"}"#).await;
        assert_eq!((first.status, &first.body), (again.status, &again.body));
        assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), ("", "true"));
        let other = call("k1", r#"{"path": "rose/b.jpg"}"#).await.problem(422);
        assert!(other["detail"].as_str().unwrap().contains("new key"), "{other}");
        call("", "{}").await.problem(422);
        app.advance(chrono::TimeDelta::hours(25));
        assert_eq!(call("k1", r#"{"path": "rose/b.jpg"}"#).await.header("idempotency-replayed"), "");
    }

    async fn the_console_is_rendered_for_its_viewer(app: &TestApp) {
        let session = app.session(Role::Operator).await;
        let page = app.page(&session, "/console").await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert!(page.text().contains("uploads") && page.text().contains("operator-"), "{}", page.text());
        let policy = page.header("content-security-policy");
        let nonce = policy.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
        for script in page.text().split("<script").skip(1) {
            let tag = script.split('>').next().unwrap();
            assert!(tag.contains(&format!("nonce=\"{nonce}\"")), "<script{tag}> has not this answer's nonce");
        }
        assert_eq!(page.header("cache-control"), "no-store");
        let sign_in = app.get("/console/sign-in").await;
        assert!(sign_in.status == 200 && sign_in.text().contains("/console/do/sign_in"));
        assert_eq!(app.page(&session, "/console/nowhere").await.status, 404);

        let start = app.form(Some(&session), "/console/do/start_check", "request[volume]=uploads&request[path]=").await;
        assert_eq!(start.status, 302, "{}", start.text());
        assert!(start.header("location").starts_with("/console/jobs/"), "{}", start.header("location"));
        let viewer = app.session(Role::Viewer).await;
        let refused = app.form(Some(&viewer), "/console/do/start_check", "request[volume]=uploads").await;
        assert!(refused.status == 403 && refused.text().contains("needs the role operator"), "{}", refused.text());
    }

    async fn figures_for_monitoring(app: &TestApp) {
        let token = app.token(Role::Viewer).await;
        let page = app.get_as(&token, "/metrics").await;
        assert_eq!(page.status, 200);
        assert!(page.header("content-type").starts_with("application/openmetrics-text"));
        for line in ["salvor_volume_files{volume=\"uploads\"} 0", "salvor_volume_mode{volume=\"uploads\",salvor_volume_mode=\"normal\"} 1"] {
            assert!(page.text().contains(line), "{line} is not in {}", page.text());
        }
        assert!(page.text().ends_with("# EOF\n"));
    }
}
