//! The gateway's connections: HTTP/1.1, and HTTP/2 for who begins with it (proxies), all bounded: how many, how long a head may be and
//! take, how long a client may leave an answer unread.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Gateway;

/// For a request's head, also between two requests of one connection.
const HEAD_WITHIN: Duration = Duration::from_secs(20);
const LONGEST_HEAD: usize = 32 * 1024;
const MOST_HEADERS: usize = 100;
/// How long a client may take nothing of an answer.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);
const STREAMS: u32 = 128;
/// Of an HTTP/2 connection that says nothing.
const PING_EVERY: Duration = Duration::from_secs(30);
/// What is under way when Salvor is told to stop has this long.
const TIME_TO_STOP: Duration = Duration::from_secs(8);
/// When no connection can be taken: no more open files, most likely.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes connections until `stop`, and then lets those that there are come to their end.
pub async fn run(gateway: Gateway, listener: TcpListener, stop: CancellationToken) {
    raise_open_files();
    let room = Arc::new(Semaphore::new(gateway.core.config.gateway.connections));
    let graceful = GracefulShutdown::new();
    let connections = TaskTracker::new();
    let builder = builder();
    loop {
        let next = async { (Arc::clone(&room).acquire_owned().await, listener.accept().await) };
        let Some((room, accepted)) = stop.run_until_cancelled(next).await else { break };
        match (room, accepted) {
            (Ok(room), Ok((stream, peer))) => {
                let served = serve(&gateway, &builder, &graceful, stream, peer, room);
                connections.spawn(served);
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(PAUSE).await;
            }
            (Err(_), _) => break,
        }
    }
    drop(listener);
    connections.close();
    let ended = async { tokio::join!(graceful.shutdown(), connections.wait()) };
    if tokio::time::timeout(TIME_TO_STOP, ended).await.is_err() {
        tracing::warn!("some files were still on their way");
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_headers(MOST_HEADERS)
        .max_buf_size(LONGEST_HEAD)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(HEAD_WITHIN)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(LONGEST_HEAD as u32);
    builder
}

/// One connection, to its end.
fn serve(
    gateway: &Gateway,
    builder: &Builder<TokioExecutor>,
    graceful: &GracefulShutdown,
    stream: TcpStream,
    peer: SocketAddr,
    room: OwnedSemaphorePermit,
) -> impl Future<Output = ()> + use<> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(TAKEN_WITHIN));
    let has_begun = Arc::new(AtomicBool::new(false));
    let service = {
        let (gateway, has_begun) = (gateway.clone(), Arc::clone(&has_begun));
        service_fn(move |request: Request<Incoming>| {
            has_begun.store(true, Ordering::Relaxed);
            let gateway = gateway.clone();
            async move { Ok::<_, Infallible>(gateway.handle(&request.into_parts().0, peer.ip()).await) }
        })
    };
    let connection = builder.serve_connection(TokioIo::new(Box::pin(stream)), service).into_owned();
    let connection = graceful.watch(connection);
    let gateway = gateway.clone();
    async move {
        gateway.figures.connections.fetch_add(1, Ordering::Relaxed);
        let mut connection = pin!(connection);
        // Who says so little that it could be either version is not waited for without end.
        let ended = match tokio::time::timeout(HEAD_WITHIN, &mut connection).await {
            Err(_) if has_begun.load(Ordering::Relaxed) => connection.await,
            Err(_) => Ok(()),
            Ok(ended) => ended,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, %peer, "a connection broke off");
        }
        gateway.figures.connections.fetch_sub(1, Ordering::Relaxed);
        drop(room);
    }
}

/// Each connection, and each file on its way, is an open file; as many as the system lets this process have.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the number of open files stays as it was");
    }
}
