//! The gateway as its clients see it, over real connections.

mod attacks;
mod client;
mod nginx;
mod program;
mod sources;
mod story;

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use http::header::CONTENT_TYPE;
use salvor::volumes::service;
use salvor_domain::account::Actor;
use salvor_domain::path::FilePath;
use salvor_domain::volume::Mode;

use self::client::{ask, get, with_gateway};
use crate::faults::noise;
use crate::support::facts::{PATIENCE, until_async};
use crate::support::jobs::{protect, run};
use crate::support::{Reply, TestApp};

/// More than what is read at once.
const LARGE: usize = 3_000_000;

fn fill(app: &TestApp) {
    app.write("files/anna/a b.jpg", &noise(1, 30_000));
    app.write("files/anna/large.mp4", &noise(2, LARGE));
    app.write("files/anna/page.html", b"<script>alert(1)</script>");
    app.write("files/anna/picture.svg", b"<svg onload='alert(1)'/>");
    app.write("files/anna/empty.txt", b"");
    app.write(Path::new("files").join(OsStr::from_bytes(b"caf\xe9 \\ 100%.gif")), b"not utf-8");
    app.write("files/.hidden", b"secret");
    app.write("files/anna/.htaccess", b"secret");
    app.write("files/lost+found/#12", b"secret");
    app.write("outside", b"secret");
    std::os::unix::fs::symlink(app.path("outside"), app.path("files/link")).unwrap();
    std::os::unix::fs::symlink(app.path(""), app.path("files/up")).unwrap();
}

async fn set_mode(app: &TestApp, mode: Mode) {
    service::set_mode(&app.core, &Actor::salvor(), "uploads", mode, "a test", true).await.unwrap();
    app.state.modes.step(&app.core).await.unwrap();
}

on_both_engines! {
    async fn files_are_given_out_with_what_browsers_need_to_know(app: &TestApp) {
        fill(app);
        with_gateway(app, async |address| {
            let reply = get(address, "/uploads/anna/a%20b.jpg").await;
            assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 30_000));
            assert!(reply.body == noise(1, 30_000));
            assert_eq!(reply.header("content-type"), "image/jpeg");
            assert_eq!(reply.header("x-content-type-options"), "nosniff");
            assert_eq!(reply.header("x-salvor-source"), "primary");
            assert_eq!(reply.header("accept-ranges"), "bytes");
            assert!(reply.header("etag").starts_with("W/\""), "nobody has read it yet");
            assert!(reply.header("last-modified").ends_with("GMT"));
            assert!(!reply.headers.contains_key("content-disposition"));

            run(app, protect()).await;
            let reply = until_strong(address, "/uploads/anna/a%20b.jpg").await;
            let digest = blake3::hash(&noise(1, 30_000)).to_hex();
            assert_eq!(reply.header("etag"), format!("\"{}\"", &digest.as_str()[..32]));

            for active in ["page.html", "picture.svg"] {
                let reply = get(address, &format!("/uploads/anna/{active}?download=no")).await;
                assert_eq!((reply.status.as_u16(), reply.header("content-disposition")), (200, "attachment"), "{active}");
                assert!(reply.header("content-security-policy").contains("sandbox"), "{active}");
            }
            let reply = get(address, "/uploads/caf%E9%20%5c%20100%25.gif").await;
            assert_eq!((reply.status.as_u16(), reply.text()), (200, "not utf-8".into()));
            let reply = get(address, "/uploads/anna/empty.txt").await;
            assert_eq!((reply.status.as_u16(), reply.header("content-length"), reply.body.len()), (200, "0", 0));
            let reply = get(address, "/uploads/anna/large.mp4").await;
            assert!(reply.status == 200 && reply.body == noise(2, LARGE));

            for path in ["/uploads/anna/a%20b.jpg", "/uploads/anna/large.mp4", "/uploads/anna/empty.txt", "/uploads/no"] {
                let (told, head) = (get(address, path).await, ask(address, "HEAD", path, &[]).await);
                assert!(head.body.is_empty() && told.status == head.status, "{path}");
                for (name, value) in told.headers.iter().filter(|(name, _)| *name != "date") {
                    assert_eq!(head.headers.get(name), Some(value), "{path}: {name}");
                }
            }
            for path in ["/uploads/no.jpg", "/other/a.jpg", "/", "/uploads", "/uploads/", "/uploads/anna", "/uploads/anna/", "/console"] {
                let reply = get(address, path).await;
                reply.problem(404);
                assert_eq!(reply.header("cache-control"), "no-store");
            }
            let refused = ask(address, "DELETE", "/uploads/anna/empty.txt", &[]).await;
            refused.problem(405);
            assert_eq!(refused.header("allow"), "GET, HEAD, OPTIONS");
            assert!(app.path("files/anna/empty.txt").exists());
        })
        .await;
    }

    async fn parts_and_conditions_are_those_of_the_standard(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        with_gateway(app, async |address| {
            for (path, whole) in [("/uploads/anna/a%20b.jpg", noise(1, 30_000)), ("/uploads/anna/large.mp4", noise(2, LARGE))] {
                let tag = get(address, path).await.header("etag").to_owned();
                let modified = get(address, path).await.header("last-modified").to_owned();
                let size = whole.len();
                assert!(!tag.starts_with("W/"), "{tag}");
                for (range, first, last) in [
                    ("bytes=0-0", 0, 0),
                    ("bytes=100-299", 100, 299),
                    ("bytes=29000-", 29_000, size - 1),
                    ("bytes=-500", size - 500, size - 1),
                    ("bytes=0-99999999999", 0, size - 1),
                ] {
                    let reply = ask(address, "GET", path, &[("range", range)]).await;
                    assert_eq!(reply.status, 206, "{range}");
                    assert_eq!(reply.header("content-range"), format!("bytes {first}-{last}/{size}"));
                    assert!(reply.body == whole[first..=last], "{range}");
                    assert_eq!(reply.header("etag"), tag);
                }
                let reply = ask(address, "GET", path, &[("range", "bytes=5-9, -3, 20000-20999")]).await;
                let boundary = reply.header("content-type").strip_prefix("multipart/byteranges; boundary=").unwrap().to_owned();
                let mut expected = Vec::new();
                for (first, last) in [(5, 9), (size - 3, size - 1), (20_000, 20_999)] {
                    let kind = if path.ends_with("jpg") { "image/jpeg" } else { "video/mp4" };
                    expected.extend_from_slice(
                        format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: bytes {first}-{last}/{size}\r\n\r\n").as_bytes(),
                    );
                    expected.extend_from_slice(&whole[first..=last]);
                }
                expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
                assert!(reply.status == 206 && reply.body == expected, "{path}");

                let behind = ask(address, "GET", path, &[("range", &format!("bytes={size}-"))]).await;
                behind.problem(416);
                assert_eq!(behind.header("content-range"), format!("bytes */{size}"));

                let weak = format!("W/{tag}");
                let early = "Mon, 01 Jan 2001 00:00:00 GMT";
                for (headers, status) in [
                    (vec![("range", "bytes=5-2")], 200),
                    (vec![("range", "items=0-5")], 200),
                    (vec![("if-none-match", tag.as_str())], 304),
                    (vec![("if-none-match", weak.as_str())], 304),
                    (vec![("if-none-match", "*")], 304),
                    (vec![("if-none-match", "\"x\"")], 200),
                    (vec![("if-none-match", "\"x\""), ("if-modified-since", modified.as_str())], 200),
                    (vec![("if-modified-since", modified.as_str())], 304),
                    (vec![("if-modified-since", early)], 200),
                    (vec![("if-modified-since", "rubbish")], 200),
                    (vec![("if-match", tag.as_str())], 200),
                    (vec![("if-match", weak.as_str())], 412),
                    (vec![("if-match", "\"x\"")], 412),
                    (vec![("if-unmodified-since", modified.as_str())], 200),
                    (vec![("if-unmodified-since", early)], 412),
                    (vec![("range", "bytes=0-4"), ("if-range", tag.as_str())], 206),
                    (vec![("range", "bytes=0-4"), ("if-range", modified.as_str())], 206),
                    (vec![("range", "bytes=0-4"), ("if-range", weak.as_str())], 200),
                    (vec![("range", "bytes=0-4"), ("if-range", "\"x\"")], 200),
                    (vec![("range", "bytes=0-4"), ("if-range", early)], 200),
                    (vec![("range", "bytes=0-4"), ("if-none-match", tag.as_str())], 304),
                    (vec![("range", "bytes=0-4"), ("if-match", "\"x\"")], 412),
                    (vec![("range", "bytes=99999999-"), ("if-none-match", tag.as_str())], 304),
                ] {
                    let reply = ask(address, "GET", path, &headers).await;
                    assert_eq!(reply.status, status, "{path} {headers:?}");
                    match status {
                        200 => assert!(reply.body == whole, "{headers:?}"),
                        206 => assert!(reply.body == whole[..5], "{headers:?}"),
                        304 => {
                            assert_eq!((reply.header("etag"), reply.header("last-modified")), (&*tag, &*modified));
                            assert!(reply.body.is_empty() && !reply.headers.contains_key(CONTENT_TYPE));
                        }
                        _ => drop(reply.problem(status)),
                    }
                }
                let head = ask(address, "HEAD", path, &[("range", "bytes=0-4")]).await;
                assert_eq!((head.status.as_u16(), head.header("content-length")), (200, &*size.to_string()));
            }
        })
        .await;
    }

    async fn what_is_deleted_is_gone_and_what_is_new_is_there(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        with_gateway(app, async |address| {
            let path = FilePath::new(&b"anna/a b.jpg"[..]).unwrap();
            service::mark_deleted(&app.core, &Actor::salvor(), "uploads", &path).await.unwrap();
            get(address, "/uploads/anna/a%20b.jpg").await.problem(410);
            app.write("files/anna/a b.jpg", b"again");
            let reply = get(address, "/uploads/anna/a%20b.jpg").await;
            assert_eq!((reply.status.as_u16(), reply.text()), (200, "again".into()), "it was put there again");
            std::fs::remove_file(app.path("files/anna/a b.jpg")).unwrap();
            get(address, "/uploads/anna/a%20b.jpg").await.problem(410);

            app.write("files/anna/large.mp4", b"a newer one");
            let reply = get(address, "/uploads/anna/large.mp4").await;
            assert_eq!((reply.status.as_u16(), reply.text()), (200, "a newer one".into()));
            assert!(reply.header("etag").starts_with("W/"));
        })
        .await;
    }
}

/// The catalogue in memory is some seconds old.
async fn until_strong(address: SocketAddr, path: &str) -> Reply {
    until_async(PATIENCE, "the catalogue is read again", async || {
        let reply = get(address, path).await;
        if reply.header("etag").starts_with('"') { Ok(reply) } else { Err(reply.header("etag").to_owned()) }
    })
    .await
}
