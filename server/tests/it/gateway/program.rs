//! The gateway of the real program, with what its configuration can say.

use std::process::{Command, Stdio};

use salvor_domain::account::Role;

use super::client::{ask, get, try_ask};
use super::fill;
use crate::support::facts::{PATIENCE, until, until_async};
use crate::support::jobs::{protect, run};
use crate::support::running::{Running, free_port};

on_both_engines! {
    async fn the_program_gives_files_out_logs_counts_and_limits(app: &TestApp) {
        fill(app);
        run(app, protect()).await;
        let (console, files) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
        let mut serve = app.program(&["serve"]);
        serve
            .env("SALVOR_SERVER_LISTEN", &console)
            .env("SALVOR_GATEWAY_LISTEN", &files)
            .env("SALVOR_GATEWAY_ACCESS_LOG", app.path("access.log"))
            .env("SALVOR_GATEWAY_CORS", "https://www.example.com")
            .env("SALVOR_GATEWAY_RATE", "3")
            .stdout(Stdio::null());
        let mut program = Running(serve.as_std_mut().spawn().unwrap());
        let (console, files) = (console.parse().unwrap(), files.parse().unwrap());
        let from = |client: &'static str| [("x-forwarded-for", client)];
        until_async(PATIENCE, "it answers", async || try_ask(files, "HEAD", b"/", &from("192.0.2.9")).await.map(drop)).await;

        let origin = [("origin", "https://www.example.com"), ("x-forwarded-for", "192.0.2.8")];
        let reply = ask(files, "GET", "/uploads/anna/a%20b.jpg", &origin).await;
        assert_eq!((reply.status.as_u16(), reply.header("access-control-allow-origin")), (200, "https://www.example.com"));
        assert_eq!(reply.header("vary"), "origin");
        let asked = ask(files, "OPTIONS", "/uploads/anna/a%20b.jpg", &origin).await;
        assert_eq!((asked.status.as_u16(), asked.header("access-control-allow-methods")), (204, "GET, HEAD, OPTIONS"));
        let other = [("origin", "https://evil.example"), ("x-forwarded-for", "192.0.2.8")];
        let reply = ask(files, "GET", "/uploads/anna/a%20b.jpg", &other).await;
        assert!(!reply.headers.contains_key("access-control-allow-origin"));
        get(files, "/api/v1/volumes").await.problem(404);
        get(console, "/uploads/anna/a%20b.jpg").await.problem(404);

        let curl = Command::new("curl")
            .args(["-s", "--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_version} %{http_code} %{size_download}"])
            .args(["-H", "x-forwarded-for: 192.0.2.7"])
            .arg(format!("http://{files}/uploads/anna/large.mp4"))
            .output();
        match curl {
            Ok(told) if told.status.success() => assert_eq!(String::from_utf8_lossy(&told.stdout), "2 200 3000000"),
            _ => eprintln!("passed over: curl is not there, or knows no HTTP/2"),
        }

        let mut refused = 0;
        for _ in 0..60 {
            let reply = ask(files, "GET", "/uploads/anna/empty.txt", &from("192.0.2.1")).await;
            if reply.status == 429 {
                assert_eq!(reply.header("retry-after"), "1");
                refused += 1;
            }
        }
        assert!(refused > 10, "{refused} of 60 requests at once were too many");
        assert_eq!(ask(files, "GET", "/uploads/anna/empty.txt", &from("192.0.2.2")).await.status, 200);

        let token = format!("Bearer {}", app.token(Role::Viewer).await);
        let metrics = ask(console, "GET", "/metrics", &[("authorization", &token)]).await.text();
        assert!(metrics.contains("salvor_gateway_files_total{volume=\"uploads\",source=\"primary\"}"), "{metrics}");
        assert!(metrics.contains("salvor_gateway_left_alone{volume=\"uploads\",source=\"offsite\"} 0"), "{metrics}");

        let asked = Command::new("kill").arg(program.0.id().to_string()).status().unwrap();
        assert!(asked.success());
        let ended = until("it ends when it is asked to", || program.0.try_wait().unwrap().ok_or("not yet"));
        assert!(ended.success(), "{ended}");
        let log = std::fs::read_to_string(app.path("access.log")).unwrap();
        let line = log.lines().find(|line| line.starts_with("192.0.2.8 - - [")).unwrap();
        assert!(line.contains("\"GET /uploads/anna/a%20b.jpg HTTP/1.1\" 200 30000 \"-\" \"-\""), "{line}");
        assert!(log.lines().any(|line| line.contains(" 429 ")), "{log}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    crate::support::run(crate::support::Engine::Sqlite, async |app| {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut serve = app.program(&["serve"]);
        serve.env("SALVOR_SERVER_LISTEN", "127.0.0.1:0");
        serve.env("SALVOR_GATEWAY_LISTEN", taken.local_addr().unwrap().to_string());
        let told = serve.output().await.unwrap();
        let words = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(!told.status.success() && words.contains("gateway.listen"), "{words}");
    })
    .await;
}
