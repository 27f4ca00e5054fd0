//! Webhooks: told once, in order, signed, and again when they did not take it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use http::{HeaderMap, StatusCode};
use ring::hmac;
use salvor::config::{Config, WebhookConfig};
use salvor::core::Core;
use salvor::webhooks;
use salvor_copies::secret::Secret;
use salvor_domain::account::{Actor, Role};
use salvor_domain::event::EventKind;
use salvor_domain::volume::Mode;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::facts::{PATIENCE, until_async};

const KEY: &[u8] = b"thirty-two bytes that are secret";

/// What a receiver was told, and what it answers.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    messages: Vec<(HeaderMap, String)>,
    /// Answers to come, 200 after them.
    answers: Vec<StatusCode>,
    /// It takes a message and never answers.
    hangs: bool,
}

impl Receiver {
    /// Takes messages; gives its address.
    async fn listen(&self) -> String {
        let take = async |State(receiver): State<Receiver>, headers: HeaderMap, body: String| {
            let answer = {
                let mut told = receiver.0.lock().unwrap();
                told.messages.push((headers, body));
                let next = if told.answers.is_empty() { StatusCode::OK } else { told.answers.remove(0) };
                (!told.hangs).then_some(next)
            };
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        };
        let app = Router::new().route("/hook", post(take)).with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
        tokio::spawn(axum::serve(listener, app).into_future());
        format!("http://{address}/hook")
    }

    fn answers(&self, next: &[u16]) {
        let next = next.iter().map(|status| StatusCode::from_u16(*status).unwrap());
        self.0.lock().unwrap().answers = next.collect();
    }

    fn hang(&self, hangs: bool) {
        self.0.lock().unwrap().hangs = hangs;
    }

    fn modes(&self) -> Vec<Value> {
        self.heard().into_iter().map(|(_, message)| message["data"]["mode"].clone()).collect()
    }

    /// What it was told since it was asked last; each is signed.
    fn heard(&self) -> Vec<(String, Value)> {
        let told = std::mem::take(&mut self.0.lock().unwrap().messages);
        let read = |(headers, body): (HeaderMap, String)| {
            let header = |name: &str| headers[name].to_str().unwrap().to_owned();
            let (id, time) = (header("webhook-id"), header("webhook-timestamp"));
            let tag =
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY), format!("{id}.{time}.{body}").as_bytes());
            assert_eq!(header("webhook-signature"), format!("v1,{}", STANDARD.encode(tag)));
            (id, serde_json::from_str(&body).unwrap())
        };
        told.into_iter().map(read).collect()
    }
}

/// The test's Salvor, with this webhook.
fn core(app: &TestApp, url: &str) -> Core {
    app.write("hook.secret", format!("whsec_{}\n", STANDARD.encode(KEY)).as_bytes());
    let mut config = Config::clone(&app.core.config);
    config.webhooks.push(WebhookConfig {
        url: url.to_owned(),
        secret: Secret::File(app.path("hook.secret")),
        events: vec![EventKind::ModeChanged],
    });
    Core { config: Arc::new(config), ..app.core.clone() }
}

async fn change(core: &Core, to: Mode) {
    let reason = format!("to {to}");
    salvor::volumes::service::set_mode(core, &Actor::salvor(), "uploads", to, &reason, true).await.unwrap();
}

async fn deliveries(app: &TestApp) -> Vec<Value> {
    let viewer = app.token(Role::Viewer).await;
    let mut all = app.get_as(&viewer, "/api/v1/deliveries").await.json();
    all.as_array_mut().unwrap().drain(..).rev().collect()
}

fn field<'a>(all: &'a [Value], name: &str) -> Vec<&'a Value> {
    all.iter().map(|delivery| &delivery[name]).collect()
}

on_both_engines! {
    async fn each_change_of_mode_is_told_once_and_signed(app: &TestApp) {
        let receiver = Receiver::default();
        let core = core(app, &receiver.listen().await);
        let client = webhooks::client().unwrap();
        change(&core, Mode::ReadOnly).await;
        // Two servers at the same moment.
        let (one, other) = tokio::join!(webhooks::step(&core, &client), webhooks::step(&core, &client));
        assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
        webhooks::step(&core, &client).await.unwrap();
        let heard = receiver.heard();
        assert_eq!(heard.len(), 1, "{heard:?}");
        let (_, message) = &heard[0];
        assert_eq!(message["type"], "volume.mode_changed");
        let data = &message["data"];
        assert_eq!((&data["volume"], &data["mode"], &data["reason"]), (&json!("uploads"), &json!("read_only"), &json!("to read_only")));
        assert!(data["gate"][0].as_str().unwrap().contains("full check"), "{message}");
        assert!(data["since"].is_string() && data["by"] == "salvor" && data["evidence"] == json!([]), "{message}");
        let all = deliveries(app).await;
        assert_eq!(field(&all, "state"), [&json!("delivered")]);
        assert!(all[0]["to"].as_str().unwrap().starts_with("http://127.0.0.1:") && !all[0].to_string().contains("hook"), "{all:?}");
    }

    async fn what_was_not_taken_is_tried_again_and_nothing_overtakes_it(app: &TestApp) {
        let receiver = Receiver::default();
        let core = core(app, &receiver.listen().await);
        let client = webhooks::client().unwrap();
        receiver.answers(&[503, 302]);
        change(&core, Mode::ReadOnly).await;
        webhooks::step(&core, &client).await.unwrap();
        webhooks::step(&core, &client).await.unwrap();
        let first = receiver.heard();
        assert_eq!(first.len(), 1, "it is not due again yet");
        app.advance(TimeDelta::seconds(6));
        webhooks::step(&core, &client).await.unwrap();
        assert_eq!(receiver.heard()[0].0, first[0].0, "the same message has the same id");
        let all = deliveries(app).await;
        assert_eq!((&all[0]["state"], &all[0]["attempts"]), (&json!("waiting"), &json!(2)));
        assert!(all[0]["last_error"].as_str().unwrap().contains("302"), "{all:?}");

        // News: what waited for its next try goes before it, at once.
        receiver.answers(&[500]);
        change(&core, Mode::Failover).await;
        webhooks::step(&core, &client).await.unwrap();
        webhooks::step(&core, &client).await.unwrap();
        assert_eq!(receiver.modes(), ["read_only"]);
        app.advance(TimeDelta::minutes(3));
        webhooks::step(&core, &client).await.unwrap();
        webhooks::step(&core, &client).await.unwrap();
        assert_eq!(receiver.modes(), ["read_only", "failover"]);
        assert_eq!(field(&deliveries(app).await, "state"), [&json!("delivered"); 2]);
    }

    async fn what_nobody_takes_is_given_up_and_shown(app: &TestApp) {
        let receiver = Receiver::default();
        let core = core(app, &receiver.listen().await);
        let client = webhooks::client().unwrap();
        receiver.answers(&[410]);
        change(&core, Mode::ReadOnly).await;
        webhooks::step(&core, &client).await.unwrap();
        receiver.answers(&[500; 20]);
        change(&core, Mode::Failover).await;
        for _ in 0..15 {
            webhooks::step(&core, &client).await.unwrap();
            app.advance(TimeDelta::days(1));
        }
        assert_eq!(receiver.heard().len(), 11);
        let all = deliveries(app).await;
        assert_eq!(field(&all, "state"), [&json!("dead"); 2]);
        assert!(all[1]["attempts"] == 10 && all[1]["due_at"].is_null(), "{all:?}");

        // A person has it tried again: under its old id, as often as a new one.
        let id = all[1]["id"].as_str().unwrap();
        let operator = app.session(Role::Operator).await;
        assert!(app.page(&operator, "/console/webhooks").await.text().contains(id));
        receiver.answers(&[204]);
        let viewer = app.session(Role::Viewer).await;
        assert_eq!(app.form(Some(&viewer), "/console/do/send_again", &format!("id={id}")).await.status, 403);
        for _ in 0..2 {
            app.form(Some(&operator), "/console/do/send_again", &format!("id={id}")).await;
        }
        webhooks::step(&core, &client).await.unwrap();
        let heard: Vec<_> = receiver.heard().into_iter().map(|(id, _)| id).collect();
        assert_eq!(heard, [id]);
        let all = deliveries(app).await;
        assert_eq!((&all[1]["state"], &all[1]["attempts"]), (&json!("delivered"), &json!(1)));

        // The configuration names it no more.
        change(&core, Mode::ReadOnly).await;
        webhooks::step(&app.core, &client).await.unwrap();
        assert!(receiver.heard().is_empty());
        let all = deliveries(app).await;
        assert!(all[2]["last_error"].as_str().unwrap().contains("configuration"), "{all:?}");
        webhooks::forget(&app.core).await.unwrap();
        assert_eq!(deliveries(app).await.len(), 3);
        app.advance(TimeDelta::days(40));
        webhooks::forget(&app.core).await.unwrap();
        assert_eq!(deliveries(app).await.len(), 0);
    }

    async fn what_a_server_died_over_is_sent_by_another(app: &TestApp) {
        let receiver = Receiver::default();
        let core = core(app, &receiver.listen().await);
        let client = webhooks::client().unwrap();
        change(&core, Mode::ReadOnly).await;
        receiver.hang(true);
        let told = until_async(PATIENCE, "it is being told", async || !receiver.0.lock().unwrap().messages.is_empty());
        tokio::select! {
            done = webhooks::step(&core, &client) => panic!("the receiver hangs: {done:?}"),
            () = told => {}
        }
        receiver.hang(false);
        let first = receiver.heard();
        webhooks::step(&core, &client).await.unwrap();
        assert!(receiver.heard().is_empty(), "nobody knows yet that it died");
        app.advance(TimeDelta::seconds(61));
        webhooks::step(&core, &client).await.unwrap();
        let again = receiver.heard();
        assert!(again.len() == 1 && again[0].0 == first[0].0, "{again:?}");
        assert_eq!(deliveries(app).await[0]["attempts"], 2);
    }

    async fn what_cannot_be_reached_is_told_without_its_address(app: &TestApp) {
        let core = core(app, "http://127.0.0.1:9/nobody");
        let client = webhooks::client().unwrap();
        change(&core, Mode::ReadOnly).await;
        webhooks::step(&core, &client).await.unwrap();
        let all = deliveries(app).await;
        assert!(all[0]["last_error"].as_str().unwrap().contains("refused"), "{all:?}");
        assert!(!all[0].to_string().contains("nobody"), "{all:?}");
    }
}
