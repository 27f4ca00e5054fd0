//! A real nginx before a small upload service, with the configuration that we ship.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::put;
use http::StatusCode;
use salvor::webhooks::client;
use salvor_domain::account::Role;

use super::{set_mode, trip, while_following};
use crate::support::facts::{PATIENCE, until_async};
use crate::support::running::{Running, free_port};

const UPLOADS: &str = "nginx-upload.conf";

/// A configuration that we ship, with these words filled in, in a folder of its own.
pub fn start(configuration: &str, folder: &Path, words: &[(&str, &str)]) -> Running {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(configuration);
    let shipped = std::fs::read_to_string(shipped).unwrap();
    let told = shipped.split("\n\n").skip(1).collect::<Vec<_>>().join("\n\n");
    let server = words.iter().fold(told, |text, (word, value)| text.replace(&format!("@{word}@"), value));
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase());
    assert!(!server.split('@').any(is_word), "{server}");
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("upload.conf"), server).unwrap();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {kind};\n"))
        .concat();
    // One process in the foreground: it ends when it is killed.
    let main = format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nevents {{ worker_connections 64; }}\n\
         http {{\naccess_log off;\ninclude /etc/nginx/mime.types;\n{temporary}include upload.conf;\n}}\n"
    );
    std::fs::write(folder.join("nginx.conf"), main).unwrap();
    let child = Command::new("nginx")
        .arg("-p")
        .arg(folder)
        .args(["-c", "nginx.conf", "-e", "error.log"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Running(child)
}

/// Serves until the runtime of the test ends; gives its address.
async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

/// Writes bodies of PUT, and knows nothing of Salvor.
fn uploads(folder: std::path::PathBuf) -> Router {
    let written = folder.clone();
    let write = async move |axum::extract::Path(name): axum::extract::Path<String>, body: Bytes| {
        std::fs::write(written.join(name), &body).unwrap();
        StatusCode::CREATED
    };
    let read = async move |axum::extract::Path(name): axum::extract::Path<String>| {
        std::fs::read(folder.join(name)).map_err(|_| StatusCode::NOT_FOUND)
    };
    Router::new().route("/{name}", put(write).get(read))
}

on_both_engines! {
    async fn uploads_stop_within_two_seconds_of_a_trip_and_pass_again_after_it(app: &TestApp) {
        if Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_err() {
            return eprintln!("skipped: nginx is not installed");
        }
        let (viewer, admin) = (app.token(Role::Viewer).await, app.token(Role::Admin).await);
        let service = serve(uploads(app.path("files"))).await;
        let salvor = serve(salvor::routes::router(app.state.clone())).await;
        let port = free_port();
        let words = [
            ("LISTEN", format!("127.0.0.1:{port}")),
            ("SERVICE", service),
            ("SALVOR", salvor),
            ("VOLUME", "uploads".to_owned()),
            ("TOKEN", viewer),
        ];
        let words = words.each_ref().map(|(word, value)| (*word, value.as_str()));
        let folder = app.path("nginx");
        let _nginx = start(UPLOADS, &folder, &words);
        let client = client().unwrap();
        let put = async |name: &str| {
            let sent = client.put(format!("http://127.0.0.1:{port}/{name}")).body(name.to_owned()).send().await;
            sent.map_err(|why| why.to_string())
        };
        while_following(app, async || {
            until_async(PATIENCE, "nginx passes uploads on", async || match put("a.jpg").await {
                Ok(reply) if reply.status() == 201 => Ok(()),
                other => Err(format!("{other:?} {}", std::fs::read_to_string(folder.join("error.log")).unwrap_or_default())),
            })
            .await;
            assert_eq!(std::fs::read(app.path("files/a.jpg")).unwrap(), b"a.jpg");

            assert!(trip(app).await);
            let tripped = Instant::now();
            let refused = until_async(Duration::from_secs(2), "an upload is refused", async || {
                let reply = put("late.jpg").await.unwrap();
                if reply.status() == 503 { Ok(reply) } else { Err(reply.status()) }
            })
            .await;
            eprintln!("refused {} ms after the trip", tripped.elapsed().as_millis());
            let header = |name: &str| refused.headers()[name].to_str().unwrap().to_owned();
            assert_eq!((header("retry-after"), header("content-type")), ("60".into(), "application/problem+json".into()));
            assert!(refused.headers().get("x-salvor-reason").is_none(), "customers are told no device");
            let problem: serde_json::Value = serde_json::from_slice(&refused.bytes().await.unwrap()).unwrap();
            assert_eq!((&problem["status"], &problem["title"]), (&503.into(), &"Uploads are paused".into()));
            let read = client.get(format!("http://127.0.0.1:{port}/a.jpg")).send().await.unwrap();
            assert_eq!(read.bytes().await.unwrap().as_ref(), b"a.jpg", "reads go on");
            put("later.jpg").await.unwrap();
            let deleted = client.delete(format!("http://127.0.0.1:{port}/a.jpg")).send().await.unwrap();
            assert_eq!(deleted.status(), 503);
            assert!(!app.path("files/later.jpg").exists() && app.path("files/a.jpg").exists());

            assert_eq!(set_mode(app, &admin, "normal", true).await.status, 200);
            until_async(Duration::from_secs(2), "uploads pass again", async || {
                put("b.jpg").await.unwrap().status() == 201
            })
            .await;
            assert!(app.path("files/b.jpg").exists());
        })
        .await;
        app.core.db.close().await;
        app.advance(chrono::TimeDelta::seconds(70));
        let reply = put("c.jpg").await.unwrap();
        assert_eq!((reply.status().as_u16(), reply.headers()["retry-after"].to_str().unwrap()), (503, "5"));
        assert!(!app.path("files/c.jpg").exists());
    }

    async fn a_salvor_that_does_not_answer_is_no_yes(app: &TestApp) {
        if Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_err() {
            return eprintln!("skipped: nginx is not installed");
        }
        let service = serve(uploads(app.path("files"))).await;
        let (port, nobody) = (free_port(), free_port());
        let (listen, salvor) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{nobody}"));
        let words =
            [("LISTEN", &*listen), ("SERVICE", &*service), ("SALVOR", &*salvor), ("VOLUME", "uploads"), ("TOKEN", "x")];
        let _nginx = start(UPLOADS, &app.path("nginx"), &words);
        let client = client().unwrap();
        let reply = until_async(PATIENCE, "nginx answers", async || {
            let sent = client.put(format!("http://{listen}/a.jpg")).body("a").send().await;
            sent.map_err(|why| why.to_string())
        })
        .await;
        assert_eq!((reply.status().as_u16(), reply.headers()["retry-after"].to_str().unwrap()), (503, "60"));
        assert!(!app.path("files/a.jpg").exists());
    }
}
