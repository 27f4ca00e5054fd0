//! A gateway of a test's own, and a client that sends just what it is told to: a library would tidy up the addresses.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use salvor::core::Core;
use salvor::gateway::Gateway;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::support::{Reply, TestApp};

/// Runs a gateway while `story` does.
pub async fn with_gateway<T>(app: &TestApp, story: impl AsyncFnOnce(SocketAddr) -> T) -> T {
    with_gateway_of(&app.core, app, story).await
}

/// As [`with_gateway`], with another configuration.
pub async fn with_gateway_of<T>(core: &Core, app: &TestApp, story: impl AsyncFnOnce(SocketAddr) -> T) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let gateway = Gateway::new(core, &app.state.modes);
    let story = async {
        let told = story(address).await;
        stop.cancel();
        told
    };
    tokio::join!(gateway.run(listener, stop.clone()), story).1
}

/// `GET path` on a connection of its own.
pub async fn get(address: SocketAddr, path: &str) -> Reply {
    ask(address, "GET", path, &[]).await
}

pub async fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    try_ask(address, method, path.as_bytes(), headers).await.unwrap()
}

/// What came back, or why that was not a whole answer.
pub async fn try_ask(
    address: SocketAddr,
    method: &str,
    path: &[u8],
    headers: &[(&str, &str)],
) -> Result<Reply, String> {
    let shown = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).await.map_err(shown)?;
    let mut request =
        [method.as_bytes(), b" ", path, b" HTTP/1.1\r\nHost: files.test\r\nConnection: close\r\n"].concat();
    for (name, value) in headers {
        request.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await.map_err(shown)?;
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer).await;
    let head_end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("no head")?;
    let head = std::str::from_utf8(&answer[..head_end]).map_err(|error| error.to_string())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).ok_or("no status")?;
    let status = StatusCode::from_bytes(status.as_bytes()).map_err(|error| error.to_string())?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("no header")?;
        let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
        headers.append(name, HeaderValue::try_from(value.trim()).map_err(|error| error.to_string())?);
    }
    let body = answer[head_end + 4..].to_vec();
    let length = headers.get("content-length").and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let has_body = method != "HEAD" && status != 304 && status != 204;
    if has_body && length.is_some_and(|length| length != body.len()) {
        return Err(format!("{} of {length:?} bytes, {ended:?}", body.len()));
    }
    Ok(Reply { status, headers, body })
}
