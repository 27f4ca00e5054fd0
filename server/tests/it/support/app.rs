//! A Salvor of a test's own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::{Body, BodyDataStream};
use chrono::TimeDelta;
use futures_util::StreamExt;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{HeaderMap, Method, Request, StatusCode};
use salvor::accounts::service as accounts;
use salvor::clock::Clock;
use salvor::config::Config;
use salvor::core::Core;
use salvor::http::AppState;
use salvor_domain::account::{Actor, Role};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::facts::PATIENCE;

/// The volume `uploads` lies in `files/`, its copies `local` and `offsite` in `copies/…`.
const CONFIG: &str = r#"
[server]
data_dir = "data"
public_url = "http://salvor.test"

[[volume]]
name = "uploads"
path = "files"
url_patterns = ["https://{site}.example.com/files/{path}"]

  [[volume.copy]]
  name = "local"
  kind = "fs"
  placement = "onsite"
  path = "copies/local"

  [[volume.copy]]
  name = "offsite"
  kind = "fs"
  placement = "offsite"
  path = "copies/offsite"

  [volume.readiness]
  rpo = "24h"
  rto = "4h"
  drill_every = "7d"
"#;

pub const PASSWORD: &str = "correct horse battery";

pub struct TestApp {
    pub core: Core,
    pub state: AppState,
    router: Router,
    folder: TempDir,
    /// Microseconds that this Salvor's clock is ahead of the system's.
    ahead: Arc<AtomicI64>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl TestApp {
    pub async fn open(database_url: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["files", "copies/local", "copies/offsite"] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let file = folder.path().join("salvor.toml");
        std::fs::write(&file, CONFIG).unwrap();
        let url = database_url.map(|url| ("SALVOR_SERVER_DATABASE_URL".to_owned(), url.to_owned()));
        let config = Config::load(Some(&file), url.into_iter()).unwrap();
        let ahead = Arc::new(AtomicI64::new(0));
        let clock = {
            let ahead = Arc::clone(&ahead);
            let system = Clock::system();
            Clock::from_fn(move || system.now() + TimeDelta::microseconds(ahead.load(Ordering::SeqCst)))
        };
        let core = Core::open(config, clock).await.unwrap();
        let state = AppState::open(core.clone(), CancellationToken::new()).await.unwrap();
        let router = salvor::routes::router(state.clone());
        Self { core, state, router, folder, ahead }
    }

    pub async fn close(&self) {
        self.core.db.close().await;
    }

    /// Moves this Salvor's clock.
    pub fn advance(&self, by: TimeDelta) {
        self.ahead.fetch_add(by.num_microseconds().unwrap(), Ordering::SeqCst);
    }

    /// A path in this test's folder: `files/…`, `copies/local/…`, `copies/offsite/…`.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// The real program on the test's database.
    pub fn program(&self, args: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_salvor"));
        command.arg("--config").arg(self.path("salvor.toml")).args(args).env("SALVOR_LOG", "error");
        if let Some(url) = &self.core.config.server.database_url {
            command.env("SALVOR_SERVER_DATABASE_URL", url);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Writes a file, with the folders above it.
    pub fn write(&self, relative: impl AsRef<Path>, bytes: &[u8]) {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Sends one request through the whole router. An event stream, which has no end, is not read: see `stream`.
    pub async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let is_stream = parts.headers.get(CONTENT_TYPE).is_some_and(|value| value == "text/event-stream");
        let body = if is_stream { Body::empty() } else { body };
        let body = axum::body::to_bytes(body, 64 << 20).await.unwrap().to_vec();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    /// Opens an event stream.
    pub async fn stream(&self, request: Request<Body>) -> Stream {
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Stream { body: response.into_body().into_data_stream(), text: String::new() }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// With an API token.
    pub async fn get_as(&self, token: &str, path: &str) -> Reply {
        self.call(token, Method::GET, path, None).await
    }

    pub async fn post_as(&self, token: &str, path: &str, body: serde_json::Value) -> Reply {
        self.call(token, Method::POST, path, Some(body)).await
    }

    pub async fn call(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> Reply {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .header(CONTENT_TYPE, "application/json");
        self.send(request.body(body.map_or(Body::empty(), |body| body.to_string().into())).unwrap()).await
    }

    /// An API token with this role.
    pub async fn token(&self, role: Role) -> String {
        let name = format!("{role}-{}", self.core.new_token_id());
        accounts::create_token(&self.core, &Actor::salvor(), &name, role, None, None).await.unwrap().1
    }

    /// Adds a user with [`PASSWORD`].
    pub async fn add_user(&self, email: &str, role: Role) {
        accounts::add_user(&self.core, &Actor::salvor(), email, role, PASSWORD).await.unwrap();
    }

    /// A session of a new user with this role: what its `Cookie` header says.
    pub async fn session(&self, role: Role) -> String {
        let email = format!("{role}-{}@example.com", self.core.new_user_id());
        self.add_user(&email, role).await;
        let secret = accounts::sign_in(&self.core, &email, PASSWORD).await.unwrap().unwrap();
        format!("salvor_session={secret}")
    }

    /// A page, as a browser with this session asks for it.
    pub async fn page(&self, cookie: &str, path: &str) -> Reply {
        let request = Request::get(path).header(COOKIE, cookie).header(ACCEPT, "text/html,*/*;q=0.8");
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// A form, as a browser sends it from a page of this server.
    pub async fn form(&self, cookie: Option<&str>, path: &str, fields: &str) -> Reply {
        let request = Request::post(path)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")
            .header("sec-fetch-site", "same-origin");
        let request = match cookie {
            Some(cookie) => request.header(COOKIE, cookie),
            None => request,
        };
        self.send(request.body(fields.to_owned().into()).unwrap()).await
    }
}

/// An event stream that is being read.
pub struct Stream {
    body: BodyDataStream,
    text: String,
}

impl Stream {
    /// The next message, without comments; panics when there is none within a few seconds.
    pub async fn message(&mut self) -> String {
        loop {
            if let Some((message, rest)) = self.text.split_once("\n\n") {
                let (message, rest) = (message.to_owned(), rest.to_owned());
                self.text = rest;
                if !message.starts_with(':') {
                    return message + "\n";
                }
            } else {
                let next = tokio::time::timeout(PATIENCE, self.body.next()).await;
                let bytes = next.expect("a message in time").expect("a message before the end").unwrap();
                self.text.push_str(std::str::from_utf8(&bytes).unwrap());
            }
        }
    }

    /// What comes until the end.
    pub async fn rest(mut self) -> String {
        while let Some(bytes) =
            tokio::time::timeout(PATIENCE, self.body.next()).await.expect("an end in time")
        {
            self.text.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
        }
        self.text
    }
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in an answer {}: {}", self.status, self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The session that this answer sets, as a `Cookie` header.
    pub fn session(&self) -> Option<String> {
        let cookies = self.headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap());
        let mut set = cookies.filter_map(|cookie| cookie.split(';').next());
        set.rfind(|pair| pair.starts_with("salvor_session=") && *pair != "salvor_session=").map(str::to_owned)
    }

    /// Expects a problem document with this status.
    #[track_caller]
    pub fn problem(&self, status: u16) -> serde_json::Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let document = self.json();
        assert_eq!(document["status"], status);
        assert!(document["title"].is_string() && document["detail"].is_string(), "{document}");
        document
    }
}
