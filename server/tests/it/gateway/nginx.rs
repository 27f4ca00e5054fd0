//! A real nginx before the gateway, with the configurations that we ship.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use super::client::{ask, get, try_ask, with_gateway};
use super::{LARGE, fill};
use crate::faults::noise;
use crate::safety::nginx;
use crate::support::TestApp;
use crate::support::facts::{PATIENCE, until_async};
use crate::support::jobs::{protect, rot, run};
use crate::support::running::free_port;

/// Runs `story` with an nginx, by one of the configurations that we ship, before a gateway of protected files.
async fn with_nginx(app: &TestApp, config: &str, story: impl AsyncFnOnce(SocketAddr, SocketAddr)) {
    if Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_err() {
        eprintln!("skipped: nginx is not installed");
        return;
    }
    fill(app);
    run(app, protect()).await;
    with_gateway(app, async |gateway| {
        let front = format!("127.0.0.1:{}", free_port());
        let folder = app.path("files").canonicalize().unwrap();
        let words = [
            ("LISTEN", front.as_str()),
            ("FOLDER", folder.to_str().unwrap()),
            ("GATEWAY", &gateway.to_string()),
            ("VOLUME", "uploads"),
        ];
        let _nginx = nginx::start(config, &app.path("nginx"), &words);
        let front = front.parse().unwrap();
        let answers = async || try_ask(front, "HEAD", b"/", &[]).await.map(drop);
        until_async(PATIENCE, "nginx answers", answers).await;
        story(front, gateway).await;
    })
    .await;
}

on_both_engines! {
    async fn behind_a_proxy_files_are_what_they_are_without_one(app: &TestApp) {
        with_nginx(app, "nginx-files.conf", async |front, gateway| {
            for path in ["anna/a%20b.jpg", "anna/large.mp4", "caf%E9%20%5c%20100%25.gif", "anna/page.html", "anna/empty.txt", "no.jpg"] {
                let (direct, through) = (get(gateway, &format!("/uploads/{path}")).await, get(front, &format!("/files/{path}")).await);
                assert!(direct.status == through.status && direct.body == through.body, "{path}: {} {}", direct.status, through.status);
                for name in ["etag", "last-modified", "content-type", "content-disposition", "content-security-policy", "x-salvor-source"] {
                    assert_eq!(direct.header(name), through.header(name), "{path}: {name}");
                }
            }
            let tag = get(front, "/files/anna/large.mp4").await.header("etag").to_owned();
            let part = ask(front, "GET", "/files/anna/large.mp4", &[("range", "bytes=-9"), ("if-range", &tag)]).await;
            assert!(part.status == 206 && part.body == noise(2, LARGE)[LARGE - 9..]);
            assert_eq!(ask(front, "GET", "/files/anna/large.mp4", &[("if-none-match", &tag)]).await.status, 304);
            for path in ["/files/.hidden", "/files/anna/.htaccess", "/files/../outside", "/files/%2e%2e/outside", "/files/link"] {
                let status = get(front, path).await.status.as_u16();
                assert!(matches!(status, 400 | 404), "{path}: {status}");
            }
        })
        .await;
    }

    async fn an_nginx_that_serves_the_volume_itself_asks_for_what_it_cannot_read(app: &TestApp) {
        with_nginx(app, "nginx-files-fallback.conf", async |front, _| {
            let own = get(front, "/files/anna/a%20b.jpg").await;
            assert!(own.status == 200 && own.body == noise(1, 30_000) && own.header("x-salvor-source").is_empty());
            for active in ["page.html", "picture.svg"] {
                let own = get(front, &format!("/files/anna/{active}")).await;
                assert_eq!((own.status.as_u16(), own.header("content-disposition")), (200, "attachment"), "{active}");
                assert!(own.header("content-security-policy").contains("sandbox"));
            }
            for name in ["a b.jpg", "large.mp4"] {
                std::fs::remove_file(app.path("files/anna").join(name)).unwrap();
            }
            rot(&app.path("copies/local/anna/a b.jpg"));
            for (path, whole, source) in
                [("/files/anna/a%20b.jpg", noise(1, 30_000), "offsite"), ("/files/anna/large.mp4", noise(2, LARGE), "local")]
            {
                let reply = get(front, path).await;
                assert!(reply.status == 200 && reply.body == whole, "{path}: {}", reply.status);
                assert_eq!(reply.header("x-salvor-source"), source);
                let head = ask(front, "HEAD", path, &[]).await;
                assert_eq!(head.header("content-length"), whole.len().to_string());
            }
            std::fs::remove_file(app.path("files").join(std::ffi::OsStr::new("anna/page.html"))).unwrap();
            let reply = get(front, "/files/anna/page.html").await;
            assert_eq!((reply.status.as_u16(), reply.header("content-disposition")), (200, "attachment"));
            get(front, "/files/no.jpg").await.problem(404);
            for path in ["/files/.hidden", "/files/anna/.htaccess", "/files/.salvor/volume-id", "/files/link", "/files/../outside"] {
                let status = get(front, path).await.status.as_u16();
                assert!(matches!(status, 400 | 404), "{path}: {status}");
            }
        })
        .await;
    }
}
