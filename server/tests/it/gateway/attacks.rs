//! Addresses, heads and connections that mean harm.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{get, try_ask, with_gateway};
use super::fill;
use crate::support::jobs::{protect, run};

/// Ways to write each piece of a path that leads out, or to what is hidden.
fn forms() -> Vec<Vec<u8>> {
    let dots: [&[u8]; 14] = [
        b"..",
        b"%2e%2e",
        b".%2e",
        b"%2e.",
        b"%2E%2E",
        b"%252e%252e",
        b"..%00",
        b"%c0%ae%c0%ae",
        b"%e0%80%ae%e0%80%ae",
        b"..;",
        b"...",
        b"%uff0e%uff0e",
        b".. ",
        b"\xc0\xae\xc0\xae",
    ];
    let slashes: [&[u8]; 10] =
        [b"/", b"//", b"%2f", b"%2F", b"%252f", b"\\", b"%5c", b"%c0%af", b"/./", b"%2f%2f"];
    let targets: [&[u8]; 2] = [b"outside", b"etc/passwd"];
    let mut forms: Vec<Vec<u8>> = Vec::new();
    for dot in dots {
        for slash in slashes {
            for target in targets {
                forms.push([b"/uploads/", dot, slash, target].concat());
                forms.push([b"/uploads/anna", slash, dot, slash, dot, slash, target].concat());
            }
        }
    }
    let single: [&[u8]; 44] = [
        b"/uploads/link",
        b"/uploads/up/outside",
        b"/uploads/up/files/.hidden",
        b"/uploads/.hidden",
        b"/uploads/%2ehidden",
        b"/uploads/anna/.htaccess",
        b"/uploads/anna/%2ehtaccess",
        b"/uploads/anna//.htaccess",
        b"/uploads/./.hidden",
        b"/uploads/.salvor/volume-id",
        b"/uploads/%2esalvor/volume-id",
        b"/uploads/.salvor%2fvolume-id",
        b"/uploads/.salvor/quarantine",
        b"/uploads/lost+found/%2312",
        b"/uploads/lost%2bfound/%2312",
        b"/uploads/lost%2Bfound",
        b"/uploads/%00",
        b"/uploads/outside%00.jpg",
        b"/uploads/anna/a%20b.jpg%00",
        b"/uploads/anna/a%20b.jpg/",
        b"/uploads/anna/a%20b.jpg/..",
        b"/uploads/anna/a%20b.jpg/.",
        b"/uploads/anna/a%20b.jpg%2f",
        b"/uploads/%",
        b"/uploads/%2",
        b"/uploads/%zz",
        b"/uploads/%-1",
        b"/uploads/%+1",
        b"//uploads/.hidden",
        b"/%2e%2e/outside",
        b"/../outside",
        b"/..",
        b"/uploads/..",
        b"/UPLOADS/anna/a%20b.jpg",
        b"/uploads%2fanna/a%20b.jpg",
        b"/%75ploads/anna/a%20b.jpg",
        b"/uploads/anna",
        b"/uploads/anna?x=../../outside/",
        b"/uploads/",
        b"/uploads//",
        b"*",
        b"outside",
        b"/uploads/C:/outside",
        b"/uploads/file:///etc/passwd",
    ];
    forms.extend(single.iter().map(|form| form.to_vec()));
    forms.push([b"/uploads/", "a/".repeat(2_000).as_bytes(), b"x"].concat());
    forms.push([b"/uploads/", "x".repeat(300).as_bytes()].concat());
    forms.push([b"/uploads/", "%2e%2e/".repeat(500).as_bytes(), b"outside"].concat());
    forms.push(b"http://127.0.0.1/uploads/../outside".to_vec());
    forms
}

on_both_engines! {
    async fn no_address_leads_to_what_is_hidden_or_outside(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        let forms = forms();
        assert!(forms.len() >= 200, "{}", forms.len());
        with_gateway(app, async |address| {
            for form in &forms {
                let shown = String::from_utf8_lossy(form);
                // An address that is no HTTP at all may be answered by the end of the connection.
                match try_ask(address, "GET", form, &[]).await {
                    Ok(reply) => {
                        assert!((400..500).contains(&reply.status.as_u16()), "{shown}: {}", reply.status);
                        assert!(!reply.body.windows(6).any(|six| six == b"secret"), "{shown}");
                    }
                    Err(why) => assert!(why.contains("no head") || why.contains("reset"), "{shown}: {why}"),
                }
            }
            assert_eq!(get(address, "/uploads/anna/a%20b.jpg").await.status, 200, "and it lives on");
        })
        .await;
    }
}

#[tokio::test]
async fn heads_without_end_and_silent_clients_cost_little() {
    crate::support::run(crate::support::Engine::Sqlite, async |app| {
        fill(app);
        with_gateway(app, async |address| {
            let mut idle = Vec::new();
            for _ in 0..500 {
                idle.push(TcpStream::connect(address).await.unwrap());
            }
            let mut endless = TcpStream::connect(address).await.unwrap();
            endless.write_all(b"GET /uploads/anna/a%20b.jpg HTTP/1.1\r\n").await.unwrap();
            let line = format!("x-filler: {}\r\n", "y".repeat(1_000));
            let mut sent = 0;
            // The gateway hangs up, or says that it is too much; it never reads on.
            let told = tokio::time::timeout(Duration::from_secs(20), async {
                while endless.write_all(line.as_bytes()).await.is_ok() {
                    sent += line.len();
                    assert!(sent < 64 << 20, "it reads on and on");
                    tokio::task::yield_now().await;
                }
            });
            told.await.expect("an end");
            let mut rest = Vec::new();
            let _ = endless.read_to_end(&mut rest).await;
            assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&rest));

            let many: Vec<(String, String)> = (0..300).map(|n| (format!("x-{n}"), "y".to_owned())).collect();
            let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, &**value)).collect();
            let refused = try_ask(address, "GET", b"/uploads/anna/a%20b.jpg", &many).await;
            assert!(refused.is_err() || refused.is_ok_and(|reply| reply.status == 431), "too many headers");
            assert_eq!(get(address, "/uploads/anna/a%20b.jpg").await.status, 200);
        })
        .await;
    })
    .await;
}
