//! The day that the gateway is for, in short: customers read while the primary is tripped, read-only, unmounted and mounted again and
//! a copy goes and comes back. No read of a file that any copy has may fail, and no body may be wrong.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use salvor_domain::volume::Mode;
use tokio_util::sync::CancellationToken;

use super::client::{get, try_ask, with_gateway};
use super::set_mode;
use crate::faults::noise;
use crate::support::disk::LoopDisk;
use crate::support::facts::{PATIENCE, until_async};
use crate::support::jobs::{protect, run};

const FILES: usize = 120;
const CLIENTS: usize = 8;
/// Reads of each chapter.
const READS: u64 = 250;

fn bytes(number: usize) -> Vec<u8> {
    // Every tenth is too large to be read at once.
    noise(number, if number.is_multiple_of(10) { 1_500_000 } else { 20_000 + number })
}

#[derive(Default)]
struct Seen {
    reads: AtomicU64,
    slowest_ms: AtomicU64,
    by_copies: AtomicU64,
    failures: std::sync::Mutex<Vec<String>>,
}

async fn read_until(
    address: SocketAddr,
    client: usize,
    sums: &[blake3::Hash],
    seen: &Seen,
    stop: &CancellationToken,
) {
    let mut dice = client as u64 + 1;
    while !stop.is_cancelled() {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = (dice >> 33) as usize % FILES;
        let begun = Instant::now();
        let told = try_ask(address, "GET", format!("/uploads/site/{number}.jpg").as_bytes(), &[]).await;
        let took = u64::try_from(begun.elapsed().as_millis()).unwrap();
        seen.slowest_ms.fetch_max(took, Ordering::Relaxed);
        match told {
            Ok(reply) if reply.status == 200 && blake3::hash(&reply.body) == sums[number] => {
                let source = reply.header("x-salvor-source");
                seen.by_copies.fetch_add(u64::from(source != "primary"), Ordering::Relaxed);
            }
            Ok(reply) => {
                seen.failures.lock().unwrap().push(format!("{number}: {} {}", reply.status, reply.body.len()))
            }
            Err(why) => seen.failures.lock().unwrap().push(format!("{number}: {why}")),
        }
        seen.reads.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_fails_while_the_primary_goes_and_comes_back() {
    crate::support::run(crate::support::Engine::Sqlite, async |app| {
        let Some(disk) = LoopDisk::ext4(&app.path("image"), &app.path("files"), 64, "errors=remount-ro")
        else {
            return;
        };
        for number in 0..FILES {
            app.write(format!("files/site/{number}.jpg"), &bytes(number));
        }
        run(app, protect()).await;
        // What never came to the disk is not there after the trip.
        let synced = Command::new("sync").arg("-f").arg(app.path("files")).status().unwrap();
        assert!(synced.success());
        let sums: Vec<_> = (0..FILES).map(|number| blake3::hash(&bytes(number))).collect();
        let (seen, stop) = (Seen::default(), CancellationToken::new());
        with_gateway(app, async |address| {
            let readers =
                join_all((0..CLIENTS).map(|client| read_until(address, client, &sums, &seen, &stop)));
            let chapter = async |what: &str| {
                let (before, copies) =
                    (seen.reads.load(Ordering::Relaxed), seen.by_copies.load(Ordering::Relaxed));
                until_async(PATIENCE, what, async || seen.reads.load(Ordering::Relaxed) >= before + READS)
                    .await;
                let by_copies = seen.by_copies.load(Ordering::Relaxed) - copies;
                eprintln!("{what}: {by_copies} of the reads by copies");
                by_copies
            };
            let day = async {
                chapter("all is well").await;
                let device = disk.device.trim_start_matches("/dev/");
                let trip = std::fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1");
                eprintln!("tripped: {trip:?}");
                set_mode(app, Mode::ReadOnly).await;
                chapter("tripped").await;
                disk.mount("remount,ro");
                chapter("read-only").await;
                // The files that are lost by now come from the copies.
                set_mode(app, Mode::Failover).await;
                assert!(chapter("out of service").await >= READS - CLIENTS as u64);
                disk.unmount();
                chapter("unmounted").await;
                std::fs::rename(app.path("copies/local"), app.path("copies/away")).unwrap();
                chapter("a copy is gone").await;
                std::fs::rename(app.path("copies/away"), app.path("copies/local")).unwrap();
                chapter("and is back").await;
                // Somebody says too early that the primary is back: a mount point without its disk.
                set_mode(app, Mode::ReadOnly).await;
                assert!(chapter("not mounted").await >= READS - CLIENTS as u64);
                assert!(disk.mount("errors=remount-ro"));
                until_async(PATIENCE, "the primary gives files again", async || {
                    get(address, "/uploads/site/1.jpg").await.header("x-salvor-source") == "primary"
                })
                .await;
                chapter("mounted again").await;
                stop.cancel();
            };
            tokio::join!(readers, day);
        })
        .await;
        let failures = seen.failures.into_inner().unwrap();
        let (reads, slowest) = (seen.reads.into_inner(), Duration::from_millis(seen.slowest_ms.into_inner()));
        eprintln!("{reads} reads, the slowest took {slowest:?}");
        assert!(
            failures.is_empty(),
            "{} of {reads}: {:#?}",
            failures.len(),
            &failures[..failures.len().min(10)]
        );
        // Far more than a quiet machine takes: tests share theirs.
        assert!(slowest < Duration::from_secs(10), "{slowest:?}");
    })
    .await;
}
