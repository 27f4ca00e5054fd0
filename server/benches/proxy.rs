//! A link of so many bytes a second: a TCP proxy on this machine with one token bucket for all that comes back.
//!
//! What goes out is not held up: a restore sends nothing but questions.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;

/// Bytes that are let through at once.
const PIECE: usize = 16 << 10;
/// What was not sent for so long can be made up for; what is older is lost, as on a real link.
const SLACK: Duration = Duration::from_millis(5);

#[derive(Clone)]
pub struct Link(Arc<Shared>);

struct Shared {
    /// Bytes a second; 0: as fast as it goes.
    rate: AtomicU64,
    passed: AtomicU64,
    next: Mutex<Instant>,
}

impl Link {
    /// A free port of this machine that leads to `server`, for as long as this process lives.
    pub fn to(server: SocketAddr) -> Outcome<(Self, SocketAddr)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let link = Self(Arc::new(Shared {
            rate: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            next: Mutex::new(Instant::now()),
        }));
        let all = link.clone();
        thread::Builder::new().name("link".into()).spawn(move || {
            for client in listener.incoming().flatten() {
                // A connection that breaks is the client's to notice.
                let _ = all.carry(client, server);
            }
        })?;
        Ok((link, address))
    }

    pub fn set_rate(&self, bytes_per_second: u64) {
        self.0.rate.store(bytes_per_second, Ordering::Relaxed);
    }

    /// Bytes that came back so far.
    pub fn passed(&self) -> u64 {
        self.0.passed.load(Ordering::Relaxed)
    }

    fn carry(&self, client: TcpStream, server: SocketAddr) -> std::io::Result<()> {
        let server = TcpStream::connect(server)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (out, back) = ((client.try_clone()?, server.try_clone()?), (server, client));
        let link = self.clone();
        thread::Builder::new().name("link-out".into()).spawn(move || pass(out.0, out.1, |_| {}))?;
        thread::Builder::new()
            .name("link-back".into())
            .spawn(move || pass(back.0, back.1, |bytes| link.take(bytes)))?;
        Ok(())
    }

    /// Waits until the link has room for so many bytes.
    fn take(&self, bytes: usize) {
        self.0.passed.fetch_add(bytes as u64, Ordering::Relaxed);
        let rate = self.0.rate.load(Ordering::Relaxed);
        if rate == 0 {
            return;
        }
        let until = {
            let mut next = self.0.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let from = (*next).max(now.checked_sub(SLACK).unwrap_or(now));
            *next = from + Duration::from_secs_f64(bytes as f64 / rate as f64);
            *next
        };
        thread::sleep(until.saturating_duration_since(Instant::now()));
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, wait: impl Fn(usize)) {
    let mut room = vec![0; PIECE];
    while let Ok(read @ 1..) = from.read(&mut room) {
        wait(read);
        if to.write_all(&room[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
