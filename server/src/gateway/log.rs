//! The access log: one line for each request in the combined format of Apache and nginx, with the length of the answer as it was begun.
//!
//! Lines wait in a bounded queue, and what does not fit is dropped and counted: a disk that is full or hangs holds up no request. A file
//! that was renamed or removed (as logrotate does) is opened anew, without a signal.

use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use axum::response::Response;
use chrono::{DateTime, Utc};
use http::header::{CONTENT_LENGTH, REFERER, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method};
use tokio::sync::mpsc;

use crate::config::AccessLog;

const MOST_WAITING: usize = 20_000;
/// Lines that are written at once.
const BATCH: usize = 1_000;
/// Of a field that the client chose.
const LONGEST_FIELD: usize = 2_000;

pub struct Log {
    to: AccessLog,
    queue: mpsc::Sender<String>,
    queued: Mutex<Option<mpsc::Receiver<String>>>,
    pub dropped: AtomicU64,
}

impl Log {
    pub fn new(to: &AccessLog) -> Self {
        let (queue, queued) = mpsc::channel(MOST_WAITING);
        Self { to: to.clone(), queue, queued: Mutex::new(Some(queued)), dropped: AtomicU64::new(0) }
    }

    pub fn is_off(&self) -> bool {
        self.to == AccessLog::Off
    }

    pub fn add(&self, line: String) {
        if self.queue.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes what comes, to the end of what was there when `stopped` came to pass.
    pub async fn run(&self, stopped: impl Future<Output = ()>) {
        let queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut queued) = queued.filter(|_| !self.is_off()) else { return };
        let mut stopped = std::pin::pin!(stopped);
        let mut is_over = false;
        let mut target = Target::new(&self.to);
        let mut lines = Vec::new();
        while !is_over {
            tokio::select! {
                got = queued.recv_many(&mut lines, BATCH) => is_over = got == 0,
                () = &mut stopped => {
                    is_over = true;
                    while let Ok(line) = queued.try_recv() { lines.push(line) }
                }
            }
            let text = lines.drain(..).collect::<String>();
            let count = text.lines().count() as u64;
            let written = tokio::task::spawn_blocking(move || {
                let written = target.write(&text);
                (target, written)
            });
            let Ok((kept, written)) = written.await else { return };
            target = kept;
            if let Err(error) = written {
                tracing::warn!(%error, "the access log cannot be written");
                self.dropped.fetch_add(count, Ordering::Relaxed);
            }
        }
    }
}

enum Target {
    Stdout,
    File { path: PathBuf, open: Option<File> },
}

impl Target {
    fn new(to: &AccessLog) -> Self {
        match to {
            AccessLog::File(path) => Self::File { path: path.clone(), open: None },
            AccessLog::Stdout | AccessLog::Off => Self::Stdout,
        }
    }

    fn write(&mut self, text: &str) -> std::io::Result<()> {
        match self {
            Self::Stdout => std::io::stdout().lock().write_all(text.as_bytes()),
            Self::File { path, open } => {
                let kept = open.take().filter(|file| is_at(file, path));
                let mut file = match kept {
                    Some(file) => file,
                    None => File::options().append(true).create(true).open(&*path)?,
                };
                file.write_all(text.as_bytes())?;
                *open = Some(file);
                Ok(())
            }
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let place = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
    let (open, named) = (file.metadata().map(place), path.metadata().map(place));
    open.is_ok_and(|open| named.is_ok_and(|named| open == named))
}

/// A request and its answer, with the line's end.
pub fn line(client: IpAddr, at: DateTime<Utc>, request: &Parts, response: &Response) -> String {
    let length = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let length = length.filter(|_| request.method != Method::HEAD).unwrap_or("0");
    format!(
        "{client} - - [{}] \"{} {} {:?}\" {} {length} \"{}\" \"{}\"\n",
        at.format("%d/%b/%Y:%H:%M:%S +0000"),
        request.method,
        plain(request.uri.path_and_query().map_or("*", |target| target.as_str()).as_bytes()),
        request.version,
        response.status().as_u16(),
        field(&request.headers, REFERER),
        field(&request.headers, USER_AGENT),
    )
}

fn field(headers: &HeaderMap, name: HeaderName) -> String {
    headers.get(name).map_or_else(|| "-".to_owned(), |value| plain(value.as_bytes()))
}

/// As nginx writes it: nothing in it ends a field or a line.
fn plain(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes.iter().take(LONGEST_FIELD) {
        match byte {
            b'"' | b'\\' => text.push_str(&format!("\\x{byte:02X}")),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;

    use super::*;

    #[test]
    fn a_line_is_one_line_in_the_combined_format() {
        let request = Request::get("/uploads/a%20b.jpg?x=1").header(REFERER, "https://a.example/");
        let agent = http::HeaderValue::from_bytes(b"evil\" \\ \xff").unwrap();
        let (request, ()) = request.header(USER_AGENT, agent).body(()).unwrap().into_parts();
        let response =
            Response::builder().status(206).header(CONTENT_LENGTH, 17).body(Body::empty()).unwrap();
        let at = DateTime::from_timestamp(971_211_336, 0).unwrap();
        assert_eq!(
            line("192.0.2.1".parse().unwrap(), at, &request, &response),
            "192.0.2.1 - - [10/Oct/2000:20:55:36 +0000] \"GET /uploads/a%20b.jpg?x=1 HTTP/1.1\" 206 17 \
             \"https://a.example/\" \"evil\\x22 \\x5C \\xFF\"\n"
        );
    }

    #[tokio::test]
    async fn a_file_that_was_moved_away_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let mut target = Target::new(&AccessLog::File(path.clone()));
        target.write("one\n").unwrap();
        std::fs::rename(&path, folder.path().join("access.log.1")).unwrap();
        target.write("two\n").unwrap();
        target.write("three\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\nthree\n");
        assert_eq!(std::fs::read_to_string(folder.path().join("access.log.1")).unwrap(), "one\n");
    }
}
