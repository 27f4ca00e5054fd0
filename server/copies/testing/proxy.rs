//! A line to a server that counts what it carries, and that can be cut or go silent, for the tests of this crate.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

/// Passes bytes on to a server until a connection has had its share; then it cuts that connection, or goes silent.
pub struct Proxy {
    pub port: u16,
    counts: Arc<Counts>,
}

struct Counts {
    share: AtomicI64,
    /// Bytes that came from the server.
    passed: AtomicUsize,
    connections: AtomicUsize,
}

impl Proxy {
    pub fn to(port: u16, silent: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let counts = Arc::new(Counts {
            share: AtomicI64::new(i64::MAX),
            passed: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        });
        let proxy = Self { port: listener.local_addr().unwrap().port(), counts: counts.clone() };
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", port))) else {
                    return;
                };
                counts.connections.fetch_add(1, Ordering::SeqCst);
                let (up, down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || pass(up, down, None, silent));
                let counts = counts.clone();
                std::thread::spawn(move || pass(server, client, Some(&counts), silent));
            }
        });
        proxy
    }

    /// From now on so many more bytes come from the server, over all connections; then the next cut, once.
    pub fn cut_after(&self, bytes: i64) {
        self.counts.share.store(bytes, Ordering::SeqCst);
    }

    /// Bytes that came from the server.
    pub fn passed(&self) -> usize {
        self.counts.passed.load(Ordering::SeqCst)
    }

    pub fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, counts: Option<&Counts>, silent: bool) {
    let mut room = [0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut room) {
        if let Some(counts) = counts
            && counts.share.fetch_sub(length as i64, Ordering::SeqCst) < length as i64
        {
            counts.share.store(i64::MAX, Ordering::SeqCst);
            if silent {
                std::thread::sleep(Duration::from_secs(60));
            }
            break;
        }
        if to.write_all(&room[..length]).is_err() {
            break;
        }
        if let Some(counts) = counts {
            counts.passed.fetch_add(length, Ordering::SeqCst);
        }
    }
    let _ = from.shutdown(std::net::Shutdown::Both);
    let _ = to.shutdown(std::net::Shutdown::Both);
}
