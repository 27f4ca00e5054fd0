//! A bucket for tests, in this process, that can be told to fail: `s3s-fs` behind a front that lies, stalls and cuts.
//! Included by the tests of two crates.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request, Response, StatusCode};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tempfile::TempDir;

pub const BUCKET: &str = "backups";
pub const KEY: &str = "test-key";
pub const SECRET: &str = "test-secret";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 503 SlowDown.
    Unavailable,
    /// No answer at all.
    Stall,
    /// The connection breaks after so many bytes of the body.
    Cut(usize),
    /// The body ends after so many bytes, and says that this was all.
    Short(usize),
    /// One bit of the body is another; of what is sent in a PUT, before it is stored.
    Flip,
}

pub struct Bucket {
    pub endpoint: String,
    folder: TempDir,
    front: Arc<Front>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    server: Option<std::thread::JoinHandle<()>>,
}

struct Front {
    s3: S3Service,
    /// What the next so many requests of a method meet.
    fault: Mutex<Option<(Method, Fault, usize)>>,
    /// `GET /backups/a`, with the range that was asked for.
    seen: Mutex<Vec<String>>,
}

impl Bucket {
    pub fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let front = Arc::new(Front { s3: builder.build(), fault: Mutex::default(), seen: Mutex::default() });
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (bound, address) = std::sync::mpsc::channel();
        let shared = Arc::clone(&front);
        let server = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let runtime = runtime.unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                bound.send(listener.local_addr().unwrap()).unwrap();
                let app = axum::Router::new().fallback(answer).with_state(shared);
                tokio::select! {
                    served = async { axum::serve(listener, app).await } => served.unwrap(),
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        });
        let endpoint = format!("http://{}", address.recv().unwrap());
        Self { endpoint, folder, front, stop: Some(stop), server: Some(server) }
    }

    /// The next `times` requests of this method fail so.
    pub fn fail(&self, method: Method, fault: Fault, times: usize) {
        *self.front.fault.lock().unwrap() = Some((method, fault, times));
    }

    /// The requests since this was asked last.
    pub fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.front.seen.lock().unwrap())
    }

    /// Where an object lies on the disk.
    pub fn path(&self, key: &str) -> PathBuf {
        self.folder.path().join(BUCKET).join(key)
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

async fn answer(State(front): State<Arc<Front>>, request: Request<Body>) -> Response<Body> {
    let range = request.headers().get("range").map(|range| format!(" {}", range.to_str().unwrap()));
    let line = format!("{} {}{}", request.method(), request.uri().path(), range.unwrap_or_default());
    front.seen.lock().unwrap().push(line);
    let mut fault = front.next(request.method());
    match fault {
        Some(Fault::Stall) => std::future::pending().await,
        Some(Fault::Unavailable) => {
            let text = "<Error><Code>SlowDown</Code><Message>slower, please</Message></Error>";
            let mut answer = Response::new(Body::from(text));
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return answer;
        }
        _ => {}
    }
    let request = match *request.method() {
        // It is stored so, and the answer is right.
        Method::PUT if fault.take_if(|fault| *fault == Fault::Flip).is_some() => {
            let (head, body) = request.into_parts();
            Request::from_parts(head, Body::from(flipped(body).await))
        }
        _ => request,
    };
    let request = request.map(s3s::Body::http_body_unsync);
    let answer = front.s3.call(request).await.unwrap().map(Body::new);
    let (mut parts, body) = answer.into_parts();
    let body = match fault {
        Some(Fault::Cut(at)) => {
            let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let kept = bytes.slice(..at.min(bytes.len()));
            let pieces = [Ok(kept), Err(std::io::Error::other("cut"))];
            // hyper sends nothing of a body that fails at once: the first piece must be on its way.
            let stream = futures_util::stream::unfold(pieces.into_iter(), |mut left| async {
                tokio::task::yield_now().await;
                left.next().map(|piece| (piece, left))
            });
            Body::from_stream(stream)
        }
        Some(Fault::Short(at)) => {
            let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let kept = bytes.slice(..at.min(bytes.len()));
            parts.headers.insert("content-length", kept.len().into());
            Body::from(kept)
        }
        Some(Fault::Flip) => Body::from(flipped(body).await),
        _ => body,
    };
    Response::from_parts(parts, body)
}

async fn flipped(body: Body) -> Vec<u8> {
    let mut bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes.get_mut(middle).into_iter().for_each(|byte| *byte ^= 0x10);
    bytes
}

impl Front {
    fn next(&self, method: &Method) -> Option<Fault> {
        let mut fault = self.fault.lock().unwrap();
        let (on, what, left) = fault.as_mut()?;
        if on != method || *left == 0 {
            return None;
        }
        *left = left.saturating_sub(1);
        Some(*what)
    }
}
