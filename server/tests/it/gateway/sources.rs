//! Which source gives a file when others cannot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use salvor::core::Core;
use salvor::events;
use salvor::volumes::store;
use salvor_app::restore::port::NewJob;
use salvor_domain::volume::Mode;

use super::client::{ask, get, try_ask, with_gateway, with_gateway_of};
use super::{LARGE, fill, set_mode};
use crate::copies::bucket::Bucket;
use crate::copies::with_bucket;
use crate::faults::hung::Hung;
use crate::faults::noise;
use crate::support::TestApp;
use crate::support::facts::{PATIENCE, until_async};
use crate::support::jobs::{job, protect, restore, rot, run, run_on, start, tree, until_state, with_worker};

const SMALL_FILE: &str = "/uploads/anna/a%20b.jpg";
const LARGE_FILE: &str = "/uploads/anna/large.mp4";

fn remove(app: &TestApp) {
    for name in ["a b.jpg", "large.mp4"] {
        std::fs::remove_file(app.path("files/anna").join(name)).unwrap();
    }
}

async fn faults(app: &TestApp) -> Vec<(String, u64)> {
    let mut tx = app.core.db.read().await.unwrap();
    let volume = store::volume(&mut tx, "uploads").await.unwrap().unwrap();
    let copies = store::copies(&mut tx, volume.id).await.unwrap();
    copies.into_iter().map(|copy| (copy.name, copy.faults)).collect()
}

on_both_engines! {
    async fn what_the_primary_has_lost_comes_from_the_nearest_copy(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        remove(app);
        with_gateway(app, async |address| {
            for (path, whole) in [(SMALL_FILE, noise(1, 30_000)), (LARGE_FILE, noise(2, LARGE))] {
                let reply = get(address, path).await;
                assert!(reply.status == 200 && reply.body == whole);
                assert_eq!(reply.header("x-salvor-source"), "local");
                let digest = blake3::hash(&whole).to_hex();
                assert_eq!(reply.header("etag"), format!("\"{}\"", &digest.as_str()[..32]));
                let part = ask(address, "GET", path, &[("range", "bytes=-10")]).await;
                assert!(part.status == 206 && part.body == whole[whole.len() - 10..]);
            }
            std::fs::rename(app.path("copies/local"), app.path("copies/away")).unwrap();
            for (path, whole) in [(SMALL_FILE, noise(1, 30_000)), (LARGE_FILE, noise(2, LARGE))] {
                let reply = get(address, path).await;
                assert!(reply.status == 200 && reply.body == whole);
                assert_eq!(reply.header("x-salvor-source"), "offsite");
            }
            std::fs::rename(app.path("copies/offsite"), app.path("copies/gone")).unwrap();
            let reply = get(address, SMALL_FILE).await;
            reply.problem(503);
            assert!(!reply.header("retry-after").is_empty());
            get(address, LARGE_FILE).await.problem(503);
            assert_eq!(get(address, "/uploads/anna/page.html").await.status, 200, "what is there is there");
        })
        .await;
    }

    async fn wrong_bytes_are_never_given_out_as_whole_and_their_copy_is_blamed(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        remove(app);
        for name in ["a b.jpg", "large.mp4"] {
            rot(&app.path("copies/local/anna").join(name));
        }
        with_gateway(app, async |address| {
            let reply = get(address, SMALL_FILE).await;
            assert!(reply.status == 200 && reply.body == noise(1, 30_000), "verified before the first byte");
            assert_eq!(reply.header("x-salvor-source"), "offsite");
            let broken = try_ask(address, "GET", LARGE_FILE.as_bytes(), &[]).await;
            assert!(broken.is_err(), "it breaks off");
            let reply = get(address, LARGE_FILE).await;
            assert!(reply.status == 200 && reply.body == noise(2, LARGE), "and the next request has the next copy");
            assert_eq!(reply.header("x-salvor-source"), "offsite");
            until_async(PATIENCE, "the copy is blamed", async || {
                let told = faults(app).await;
                if told == [("local".to_owned(), 2), ("offsite".to_owned(), 0)] { Ok(()) } else { Err(told) }
            })
            .await;
        })
        .await;
    }

    async fn a_file_that_is_corrupt_on_the_primary_comes_from_a_copy(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        for name in ["a b.jpg", "large.mp4"] {
            rot(&app.path("files/anna").join(name));
        }
        with_gateway(app, async |address| {
            let reply = get(address, SMALL_FILE).await;
            assert!(reply.status == 200 && reply.body == noise(1, 30_000));
            assert_eq!(reply.header("x-salvor-source"), "local");
            assert!(try_ask(address, "GET", LARGE_FILE.as_bytes(), &[]).await.is_err(), "it breaks off");
            let reply = get(address, LARGE_FILE).await;
            assert!(reply.status == 200 && reply.body == noise(2, LARGE));
            assert_eq!(reply.header("x-salvor-source"), "local");
        })
        .await;
    }

    async fn in_failover_the_primary_is_not_touched(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        app.write("files/anna/a b.jpg", b"newer, and out of service");
        set_mode(app, Mode::ReadOnly).await;
        with_gateway(app, async |address| {
            assert_eq!(get(address, SMALL_FILE).await.header("x-salvor-source"), "primary");
            set_mode(app, Mode::Failover).await;
            let reply = get(address, SMALL_FILE).await;
            assert_eq!((reply.header("x-salvor-source"), reply.body.len()), ("local", 30_000));
            app.write("files/anna/new.jpg", b"new");
            get(address, "/uploads/anna/new.jpg").await.problem(503);
        })
        .await;
    }

    async fn what_lies_on_another_host_comes_from_the_copies(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        let mut config = (*app.core.config).clone();
        config.volumes[0].host = Some("store2".into());
        let core = Core { config: Arc::new(config), ..app.core.clone() };
        with_gateway_of(&core, app, async |address| {
            for path in [SMALL_FILE, LARGE_FILE] {
                let reply = get(address, path).await;
                assert!(reply.status == 200 && reply.header("x-salvor-source") == "local", "{path}");
            }
        })
        .await;
    }

    async fn without_the_database_the_primary_is_served(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        with_gateway(app, async |address| {
            let strong = get(address, SMALL_FILE).await.header("etag").to_owned();
            app.core.db.close().await;
            assert_eq!(get(address, SMALL_FILE).await.header("etag"), strong, "it is still known");
            let reply = get(address, LARGE_FILE).await;
            assert!(reply.status == 200 && reply.body == noise(2, LARGE));
            get(address, "/uploads/no.jpg").await.problem(503);
            std::fs::remove_file(app.path("files/anna/a b.jpg")).unwrap();
            let reply = get(address, SMALL_FILE).await;
            assert!(reply.status == 200 && reply.header("x-salvor-source") == "local", "its copies, too");
        })
        .await;
    }

    async fn a_lost_file_that_is_asked_for_comes_back_sooner(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        remove(app);
        // Its plan is made, and nobody works on it.
        let id = start(app, NewJob { hold: true, ..job(restore()) }).await;
        with_worker(&app.core, until_state(app, id, "planned")).await;
        with_gateway(app, async |address| {
            assert_eq!(get(address, SMALL_FILE).await.status, 200);
            until_async(PATIENCE, "the file is raised", async || {
                let mut tx = app.core.db.read().await.unwrap();
                let log = events::about(&mut tx, &id.to_string(), 100).await.unwrap();
                let raised = log.iter().any(|event| event.summary.contains("the gateway wants 1 file sooner"));
                if raised { Ok(()) } else { Err(log) }
            })
            .await;
        })
        .await;
    }

    async fn a_popular_file_crosses_a_slow_link_once(app: &TestApp) {
        let bucket = Bucket::open();
        let core = with_bucket(app, &bucket, &[]).await;
        fill(app);
        run_on(&core, protect()).await;
        remove(app);
        let cached = async |address, path: &str, whole: &[u8]| {
            let reply = get(address, path).await;
            assert!(reply.status == 200 && reply.body == whole, "{path}: {}", reply.status);
            assert_eq!(reply.header("x-salvor-source"), "cache");
            assert!(reply.header("age").parse::<u64>().is_ok(), "{:?}", reply.headers);
        };
        let both = [(SMALL_FILE, "a%20b.jpg", noise(1, 30_000)), (LARGE_FILE, "large.mp4", noise(2, LARGE))];
        with_gateway_of(&core, app, async |address| {
            bucket.seen();
            for (path, name, whole) in &both {
                join_all((0..40).map(|_| cached(address, path, whole))).await;
                let fetched = bucket.seen().iter().filter(|seen| seen.starts_with("GET") && seen.contains(name)).count();
                assert!((1..=2).contains(&fetched), "{path} was fetched {fetched} times");
                let part = ask(address, "GET", path, &[("range", "bytes=-7")]).await;
                assert!(part.status == 206 && part.body == whole[whole.len() - 7..]);
                assert_eq!(part.header("x-salvor-source"), "cache");
            }
        })
        .await;
        drop(bucket);
        with_gateway_of(&core, app, async |address| {
            for (path, _, whole) in &both {
                cached(address, path, whole).await;
            }
            // A disk that forgets is no reason to give wrong bytes out.
            for file in tree(&app.path("data/cache")).into_keys() {
                rot(&app.path("data/cache").join(file));
            }
            get(address, SMALL_FILE).await.problem(503);
            assert!(try_ask(address, "GET", LARGE_FILE.as_bytes(), &[]).await.is_err(), "it breaks off");
        })
        .await;
    }

    async fn a_primary_that_hangs_costs_two_requests_their_patience_and_the_others_nothing(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        let Some(hung) = Hung::mount(app.path("files")) else { return };
        with_gateway(app, async |address| {
            let begun = Instant::now();
            for _ in 0..2 {
                let reply = get(address, SMALL_FILE).await;
                assert!(reply.status == 200 && reply.header("x-salvor-source") == "local");
            }
            assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
            let begun = Instant::now();
            let mut served = 0;
            while begun.elapsed() < Duration::from_millis(700) {
                let reply = get(address, SMALL_FILE).await;
                assert!(reply.status == 200 && reply.body == noise(1, 30_000));
                served += 1;
            }
            assert!(served > 3, "{served} in the time that it is left alone");
            drop(hung);
            until_async(PATIENCE, "the primary gives files again", async || {
                let source = get(address, SMALL_FILE).await.header("x-salvor-source").to_owned();
                if source == "primary" { Ok(()) } else { Err(source) }
            })
            .await;
        })
        .await;
    }
}
