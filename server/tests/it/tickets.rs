//! Tickets on real files: reported, diagnosed, restored by the real worker, answered; and what is not told.

use axum::body::Body;
use chrono::TimeDelta;
use http::Request;
use http::header::CONTENT_TYPE;
use salvor::config::{Config, TicketRestore};
use salvor::core::Core;
use salvor::restore::{Worker, service as jobs};
use salvor::tickets::{Tickets, follow};
use salvor::volumes::service as volumes;
use salvor_app::restore::port::NewJob;
use salvor_app::tickets::port::{NewTicket, TicketView, TicketsPort};
use salvor_domain::account::{Actor, Role};
use salvor_domain::job::JobRequest;
use salvor_domain::path::FilePath;
use salvor_domain::ticket::{LineState, TicketState, Verdict};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{Reply, TestApp};

/// Files of two sites, protected on both copies.
async fn protected(app: &TestApp) {
    for name in ["rose/a.jpg", "rose/b.jpg", "rose/kept.jpg", "rose/gone.jpg", "lily/a.jpg"] {
        app.write(format!("files/{name}"), name.as_bytes());
    }
    volumes::register(&app.core).await.unwrap();
    run(&app.core, JobRequest::Protect { to: vec![], adopt: None }).await;
}

async fn run(core: &Core, request: JobRequest) {
    let new = NewJob::new("uploads", request);
    let job = jobs::start(core, &Actor::salvor(), new, None).await.unwrap();
    work(core, &job.job).await;
}

async fn work(core: &Core, job: &str) {
    Worker::run_until_ended(core.clone(), job.parse().unwrap(), CancellationToken::new()).await.unwrap();
}

fn lose(app: &TestApp, name: &str) {
    std::fs::remove_file(app.path(format!("files/{name}"))).unwrap();
}

async fn report(app: &TestApp, site: Option<&str>, lines: &[&str]) -> (i64, String) {
    let body = json!({ "email": "rose@example.com", "site": site, "lines": lines });
    let reply = post(app, "/api/v1/tickets", body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let answer = reply.json();
    let secret = answer["url"].as_str().unwrap().strip_prefix("http://salvor.test/tickets/").unwrap();
    (answer["number"].as_i64().unwrap(), secret.to_owned())
}

async fn post(app: &TestApp, path: &str, body: Value) -> Reply {
    let request = Request::post(path).header(CONTENT_TYPE, "application/json");
    app.send(request.body(Body::from(body.to_string())).unwrap()).await
}

async fn round(app: &TestApp) {
    follow::round(&app.core).await.unwrap();
}

async fn view(app: &TestApp, number: i64) -> TicketView {
    app.state.tickets.ticket(number).await.unwrap()
}

fn answers(ticket: &TicketView) -> usize {
    ticket.messages.iter().filter(|message| message.author == "salvor").count()
}

/// This Salvor with another setting.
fn asking(core: &Core) -> Core {
    let mut config = Config::clone(&core.config);
    config.tickets.restore = TicketRestore::Ask;
    Core { config: config.into(), ..core.clone() }
}

on_both_engines! {
    async fn lost_files_come_back_and_the_answer_says_so_once(app: &TestApp) {
        protected(app).await;
        lose(app, "rose/a.jpg");
        lose(app, "rose/b.jpg");
        let lines = ["https://rose.example.com/files/a.jpg", "b.jpg"];
        let (number, secret) = report(app, Some("rose"), &lines).await;
        assert_eq!(view(app, number).await.state, TicketState::Open);

        round(app).await;
        let ticket = view(app, number).await;
        assert_eq!((ticket.state, answers(&ticket)), (TicketState::Restoring, 0), "{ticket:?}");
        let job = ticket.lines[0].job.clone().unwrap();
        assert!(ticket.lines.iter().all(|line| line.job.as_ref() == Some(&job)), "one job for both");
        round(app).await;
        assert_eq!(answers(&view(app, number).await), 0, "not before it is true");

        work(&app.core, &job).await;
        for _ in 0..3 {
            round(app).await;
        }
        let ticket = view(app, number).await;
        assert_eq!((ticket.state, answers(&ticket)), (TicketState::Answered, 1), "{ticket:?}");
        assert!(ticket.messages[0].body.starts_with("2 of 2 files are back and verified."));
        assert!(ticket.lines.iter().all(|line| line.state == LineState::Restored));
        assert_eq!(std::fs::read(app.path("files/rose/a.jpg")).unwrap(), b"rose/a.jpg");
        let page = app.get(&format!("/tickets/{secret}")).await;
        assert!(page.status == 200 && page.text().contains("back and verified"), "{}", page.text());
        assert_eq!(app.state.tickets.ticket(number).await.unwrap().lines[0].url.as_deref(), Some(lines[0]));
    }

    async fn every_kind_of_verdict(app: &TestApp) {
        protected(app).await;
        for name in ["rose/a.jpg", "rose/b.jpg", "rose/gone.jpg"] {
            lose(app, name);
        }
        volumes::mark_deleted(&app.core, &Actor::salvor(), "uploads", &FilePath::new("rose/gone.jpg").unwrap()).await.unwrap();
        app.write("files/rose/b.jpg", b"a newer and longer one");
        let lines = ["rose/a.jpg", "rose/b.jpg", "rose/kept.jpg", "rose/gone.jpg", "rose/never.jpg", "https://lily.example.com/files/a.jpg"];
        let (number, _) = report(app, Some("rose"), &lines).await;
        round(app).await;
        let ticket = view(app, number).await;
        let verdicts: Vec<_> = ticket.lines.iter().map(|line| line.verdict.unwrap()).collect();
        assert_eq!(verdicts, [
            Verdict::Restorable, Verdict::Overwritten, Verdict::Present, Verdict::Deleted, Verdict::NotOurs, Verdict::Present,
        ]);
        assert_eq!(ticket.lines[5].path.as_deref(), Some("lily/a.jpg"), "an address says its own site");
        assert!(ticket.lines.iter().all(|line| !line.detail.is_empty()));
    }

    async fn a_name_that_several_sites_have_is_for_a_person(app: &TestApp) {
        protected(app).await;
        let (number, _) = report(app, None, &["a.jpg"]).await;
        round(app).await;
        let ticket = view(app, number).await;
        assert_eq!((ticket.state, ticket.lines[0].verdict), (TicketState::NeedsOperator, None));
        let said = format!("{:?}", ticket.lines);
        assert!(!said.contains("lily") && !said.contains("rose"), "{said}");
    }

    async fn what_a_name_finds_is_not_named_back(app: &TestApp) {
        app.write("files/rose/gallery/deep.jpg", b"deep");
        protected(app).await;
        let (bare, bare_secret) = report(app, None, &["kept.jpg"]).await;
        let (sited, sited_secret) = report(app, Some("rose"), &["deep.jpg", "never.jpg", "lily/a.jpg"]).await;
        let (spelled, spelled_secret) = report(app, None, &["rose/kept.jpg"]).await;
        round(app).await;
        let ticket = view(app, bare).await;
        assert_eq!((ticket.state, ticket.lines[0].verdict, &ticket.lines[0].path), (TicketState::NeedsOperator, None, &None));
        let page = app.get(&format!("/tickets/{bare_secret}")).await.text();
        assert!(!page.contains("rose/") && !page.contains("rose.example.com"), "{page}");

        let ticket = view(app, sited).await;
        let verdicts: Vec<_> = ticket.lines.iter().map(|line| line.verdict).collect();
        assert_eq!(verdicts, [Some(Verdict::Present), None, None], "what the site hides is for a person");
        assert_eq!(ticket.lines[0].path.as_deref(), Some("rose/gallery/deep.jpg"), "operators see it");
        let seen = app.state.tickets.by_secret(&sited_secret).await.unwrap();
        assert_eq!((&seen.lines[0].path, &seen.lines[0].url, &seen.lines[0].volume), (&None, &None, &None));
        assert!(!app.get(&format!("/tickets/{sited_secret}")).await.text().contains("gallery"));

        assert_eq!(view(app, spelled).await.state, TicketState::Answered);
        let seen = app.state.tickets.by_secret(&spelled_secret).await.unwrap();
        assert_eq!(seen.lines[0].url.as_deref(), Some("https://rose.example.com/files/kept.jpg"));
    }

    async fn only_so_many_names_are_searched(app: &TestApp) {
        let names: Vec<String> = (0..21).map(|n| format!("n{n}.jpg")).collect();
        for name in &names {
            app.write(format!("files/rose/gallery/{name}"), name.as_bytes());
        }
        protected(app).await;
        let lines: Vec<&str> = names.iter().map(String::as_str).collect();
        let (number, _) = report(app, Some("rose"), &lines).await;
        round(app).await;
        let ticket = view(app, number).await;
        let (searched, rest) = ticket.lines.split_at(20);
        assert!(searched.iter().all(|line| line.verdict == Some(Verdict::Present)), "{searched:?}");
        assert_eq!((ticket.state, rest[0].verdict), (TicketState::NeedsOperator, None));
    }

    async fn a_path_under_a_file_is_looked_up_too(app: &TestApp) {
        protected(app).await;
        let (number, _) = report(app, None, &["rose/kept.jpg/under.jpg"]).await;
        round(app).await;
        assert_eq!(view(app, number).await.lines[0].verdict, Some(Verdict::NotOurs));
    }

    async fn late_tickets_have_their_turn(app: &TestApp) {
        protected(app).await;
        let mut last = 0;
        for n in 0..201 {
            let new = NewTicket { email: "rose@example.com".into(), lines: vec!["rose/kept.jpg".into()], ..NewTicket::default() };
            last = app.state.tickets.submit(&n.to_string(), new).await.unwrap().number;
        }
        round(app).await;
        assert_eq!(view(app, last).await.state, TicketState::Answered);
    }

    async fn an_early_reply_does_not_swallow_later_news(app: &TestApp) {
        protected(app).await;
        lose(app, "rose/a.jpg");
        lose(app, "rose/b.jpg");
        let token = app.token(Role::Responder).await;
        let reply = async |number: i64| {
            let path = format!("/api/v1/tickets/{number}/reply");
            let replied = app.post_as(&token, &path, json!({ "body": "We are on it.", "public": true })).await;
            assert_eq!(replied.status, 200, "{}", replied.text());
        };
        let (looked_up, _) = report(app, None, &["rose/a.jpg"]).await;
        reply(looked_up).await;
        follow::round(&asking(&app.core)).await.unwrap();
        assert_eq!(view(app, looked_up).await.state, TicketState::NeedsOperator);

        let (followed, _) = report(app, None, &["rose/b.jpg"]).await;
        round(app).await;
        reply(followed).await;
        let job = view(app, followed).await.lines[0].job.clone().unwrap();
        let control = salvor_domain::job::JobControl::Cancel;
        jobs::control(&app.core, &Actor::salvor(), job.parse().unwrap(), control).await.unwrap();
        round(app).await;
        assert_eq!(view(app, followed).await.state, TicketState::NeedsOperator);
        reply(followed).await;
        assert_eq!(view(app, followed).await.state, TicketState::Answered, "a reply after the news counts");
    }

    async fn only_people_reopen_what_was_closed(app: &TestApp) {
        protected(app).await;
        let (number, secret) = report(app, None, &["rose/kept.jpg"]).await;
        let token = app.token(Role::Responder).await;
        let closed = app.post_as(&token, &format!("/api/v1/tickets/{number}/close"), json!({})).await;
        assert_eq!(closed.json()["state"], "closed");
        round(app).await;
        let ticket = view(app, number).await;
        assert_eq!((ticket.state, ticket.lines[0].verdict), (TicketState::Closed, Some(Verdict::Present)));
        assert_eq!(answers(&ticket), 0);
        app.form(None, &format!("/tickets/{secret}/confirm"), "line=1&fixed=no").await;
        assert_eq!(view(app, number).await.state, TicketState::NeedsOperator);
    }

    async fn a_file_that_was_only_looked_at_is_not_called_verified(app: &TestApp) {
        protected(app).await;
        let (file, aside) = (app.path("files/rose/a.jpg"), app.path("aside.jpg"));
        std::fs::rename(&file, &aside).unwrap();
        let (number, _) = report(app, None, &["rose/a.jpg"]).await;
        round(app).await;
        let job = view(app, number).await.lines[0].job.clone().unwrap();
        std::fs::rename(&aside, &file).unwrap();
        work(&app.core, &job).await;
        round(app).await;
        let ticket = view(app, number).await;
        let line = &ticket.lines[0];
        assert_eq!((line.state, line.verdict), (LineState::Diagnosed, Some(Verdict::Present)), "{ticket:?}");
        assert_eq!((ticket.state, answers(&ticket)), (TicketState::Answered, 1));
        assert!(!format!("{ticket:?}").contains("verified"), "{ticket:?}");
    }

    async fn what_no_database_keeps_is_refused(app: &TestApp) {
        volumes::register(&app.core).await.unwrap();
        for (field, value) in [("email", "a\0@b.de"), ("site", "ro\0se"), ("note", "a\0b")] {
            let mut body = json!({ "email": "a@b.de", "lines": ["a.jpg"] });
            body[field] = value.into();
            post(app, "/api/v1/tickets", body).await.problem(422);
        }
        post(app, "/api/v1/tickets", json!({ "email": "a@b.de", "lines": ["a\0.jpg"] })).await.problem(422);
        let (number, secret) = report(app, None, &["rose/a.jpg"]).await;
        assert_eq!(app.form(None, &format!("/tickets/{secret}/note"), "body=a%00b").await.status, 422);
        let token = app.token(Role::Responder).await;
        let reply = format!("/api/v1/tickets/{number}/reply");
        let refused = app.post_as(&token, &reply, json!({ "body": "a\0b", "public": true })).await.problem(422);
        assert!(refused["detail"].as_str().unwrap().contains("U+0000"), "{refused}");
        app.get_as(&token, "/api/v1/tickets?search=a%00b").await.problem(422);
        let incident = json!({ "name": "Files", "status": "investigating", "body": "a\0b" });
        let refused = app.post_as(&token, "/api/v1/incidents", incident).await.problem(422);
        assert!(refused["detail"].as_str().unwrap().contains("U+0000"), "{refused}");
    }

    async fn the_longest_report_fits(app: &TestApp) {
        volumes::register(&app.core).await.unwrap();
        let lines: Vec<String> = (0..500).map(|n| format!("{n:04}{}", "%C3%A4".repeat(998))).collect();
        let fields = format!("email=a%40b.de&lines={}&site=&note=&website=", lines.join("%0D%0A"));
        assert!(fields.len() > 2 << 20);
        assert_eq!(app.form(None, "/report", &fields).await.status, 303);
    }

    async fn a_file_that_many_name_is_restored_once(app: &TestApp) {
        protected(app).await;
        lose(app, "rose/a.jpg");
        let (first, _) = report(app, None, &["rose/a.jpg"]).await;
        round(app).await;
        let (second, _) = report(app, Some("rose"), &["a.jpg"]).await;
        round(app).await;
        let (first_view, second_view) = (view(app, first).await, view(app, second).await);
        let job = first_view.lines[0].job.clone().unwrap();
        assert_eq!(second_view.lines[0].job, Some(job.clone()));
        assert_eq!(second_view.lines[0].verdict, Some(Verdict::BeingRestored));
        work(&app.core, &job).await;
        round(app).await;
        for number in [first, second] {
            assert_eq!(view(app, number).await.state, TicketState::Answered);
        }
        assert_eq!(jobs::jobs(&app.core, Some("uploads"), false, 50).await.unwrap().len(), 2, "protect and one restore");
    }

    async fn still_missing_reopens_and_fixed_closes(app: &TestApp) {
        protected(app).await;
        let (number, secret) = report(app, None, &["rose/kept.jpg"]).await;
        round(app).await;
        assert_eq!(view(app, number).await.state, TicketState::Answered);
        let confirm = async |fixed: &str| {
            app.form(None, &format!("/tickets/{secret}/confirm"), &format!("line=1&fixed={fixed}")).await
        };
        assert_eq!(confirm("no").await.status, 303);
        assert_eq!(view(app, number).await.state, TicketState::NeedsOperator);
        let token = app.token(Role::Responder).await;
        let path = format!("/api/v1/tickets/{number}/reply");
        let replied = app.post_as(&token, &path, json!({ "body": "Looking at it.", "public": true })).await;
        assert_eq!(replied.json()["state"], "answered");
        assert_eq!(confirm("yes").await.status, 303);
        assert_eq!(view(app, number).await.state, TicketState::Closed);
        let noted = app.form(None, &format!("/tickets/{secret}/note"), "body=It+is+gone+again").await;
        assert_eq!(noted.status, 303, "{}", noted.text());
        round(app).await;
        assert_eq!(view(app, number).await.state, TicketState::NeedsOperator);
    }

    async fn ask_waits_for_an_operator(app: &TestApp) {
        protected(app).await;
        lose(app, "rose/a.jpg");
        let core = asking(&app.core);
        let tickets = Tickets::new(core.clone());
        let new = NewTicket { email: "rose@example.com".into(), lines: vec!["rose/a.jpg".into()], ..NewTicket::default() };
        let number = tickets.submit("test", new).await.unwrap().number;
        follow::round(&core).await.unwrap();
        let ticket = view(app, number).await;
        assert_eq!((ticket.state, ticket.lines[0].verdict), (TicketState::NeedsOperator, Some(Verdict::Restorable)));

        let token = app.token(Role::Responder).await;
        let path = format!("/api/v1/tickets/{number}/restore");
        app.post_as(&app.token(Role::Viewer).await, &path, json!({})).await.problem(403);
        let restoring = app.post_as(&token, &path, json!({})).await.json();
        assert_eq!(restoring["state"], "restoring", "{restoring}");
        work(&core, restoring["lines"][0]["job"].as_str().unwrap()).await;
        follow::round(&core).await.unwrap();
        assert_eq!(view(app, number).await.state, TicketState::Answered);
        app.post_as(&token, &path, json!({})).await.problem(409);
    }

    async fn a_cancelled_restore_is_for_a_person(app: &TestApp) {
        protected(app).await;
        lose(app, "rose/a.jpg");
        let (number, _) = report(app, None, &["rose/a.jpg"]).await;
        round(app).await;
        let job = view(app, number).await.lines[0].job.clone().unwrap();
        let control = salvor_domain::job::JobControl::Cancel;
        jobs::control(&app.core, &Actor::salvor(), job.parse().unwrap(), control).await.unwrap();
        round(app).await;
        let ticket = view(app, number).await;
        assert_eq!((ticket.state, ticket.lines[0].state), (TicketState::NeedsOperator, LineState::Failed));
        assert_eq!(answers(&ticket), 0);
    }

    async fn secrets_are_kept_and_notes_stay_inside(app: &TestApp) {
        volumes::register(&app.core).await.unwrap();
        let new = json!({ "email": "rose@example.com", "lines": [], "note": "My gallery is empty." });
        let answer = post(app, "/api/v1/tickets", new).await.json();
        let url = answer["url"].as_str().unwrap();
        let path = url.strip_prefix("http://salvor.test").unwrap();
        let token = app.token(Role::Responder).await;
        let reply = format!("/api/v1/tickets/{}/reply", answer["number"]);
        app.post_as(&token, &reply, json!({ "body": "INTERNAL WORDS", "public": false })).await;
        app.post_as(&token, &reply, json!({ "body": "We look at it.", "public": true })).await;
        let page = app.get(path).await;
        assert!(page.text().contains("We look at it.") && page.text().contains("My gallery is empty."));
        assert!(!page.text().contains("INTERNAL WORDS") && !page.text().contains("token:"));
        for (name, value) in [("cache-control", "no-store"), ("x-robots-tag", "noindex"), ("referrer-policy", "no-referrer")] {
            assert_eq!(page.header(name), value);
        }
        let wrong = [format!("{path}x"), path.replace(|c: char| c.is_ascii_digit(), "0"), "/tickets/1".into()];
        let mut bodies = Vec::new();
        for path in wrong {
            let reply = app.get(&path).await;
            assert_eq!(reply.status, 404, "{path}");
            bodies.push(reply.text());
        }
        assert!(bodies.iter().all(|body| *body == bodies[0]), "nothing tells one wrong link from another");
        let listed = app.get_as(&token, "/api/v1/tickets?search=ROSE%40").await.json();
        assert_eq!(listed[0]["number"], answer["number"]);
        assert_eq!(app.get_as(&token, "/api/v1/tickets?search=%25").await.json(), json!([]));
    }

    async fn a_form_comes_back_with_what_was_wrong_and_nothing_lost(app: &TestApp) {
        volumes::register(&app.core).await.unwrap();
        let fields = "email=rose&site=rose&lines=a.jpg%0D%0Ab.jpg&note=Help&website=";
        let reply = app.form(None, "/report", fields).await;
        assert_eq!(reply.status, 422);
        for kept in ["value=\"rose\"", "a.jpg", "b.jpg", "Help", "name@example.com"] {
            assert!(reply.text().contains(kept), "{kept} in {}", reply.text());
        }
        let robot = app.form(None, "/report", "email=a%40b.de&lines=a&website=spam").await;
        assert_eq!(robot.status, 422);
        let sent = app.form(None, "/report", "email=a%40b.de&lines=a.jpg&site=&note=&website=").await;
        assert_eq!(sent.status, 303, "{}", sent.text());
        assert_eq!(app.get(sent.header("location")).await.status, 200);
        let all = app.state.tickets.tickets(Default::default()).await.unwrap();
        assert_eq!(all.len(), 1);
    }

    async fn too_many_reports_wait(app: &TestApp) {
        volumes::register(&app.core).await.unwrap();
        let new = || json!({ "email": "a@b.de", "lines": ["a.jpg"] });
        for _ in 0..20 {
            assert_eq!(post(app, "/api/v1/tickets", new()).await.status, 201);
        }
        let refused = post(app, "/api/v1/tickets", new()).await;
        assert!(refused.problem(429)["detail"].as_str().unwrap().contains("Wait"));
        app.advance(TimeDelta::minutes(1));
        assert_eq!(post(app, "/api/v1/tickets", new()).await.status, 201);
        post(app, "/api/v1/tickets", json!({ "email": "a@b.de" })).await.problem(422);
    }
}
