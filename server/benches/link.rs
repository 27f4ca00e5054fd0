//! A restore from S3 over a link of 100 Mbit/s: how much of the link carries files.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;

use crate::Outcome;
use crate::harness::{Tree, has, plain};
use crate::place::{Place, Room};
use crate::proxy::Link;
use crate::settings::Settings;
use crate::table::{Figure, Report};

/// Of the servers, which live for one benchmark and listen on this machine only.
pub const KEY: (&str, &str) = ("salvor-bench", "salvor-bench-secret");
const BYTES_PER_SECOND: u64 = 100_000_000 / 8;
/// So many seconds of the link, of files as large as the others: a restore over such a link takes hours, and a second of noise
/// would be 4 % of 25 s.
const SECONDS: u64 = 60;
const PATIENCE: Duration = Duration::from_secs(20);

/// A program that lives as long as this.
pub struct Served(pub Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn run(settings: &Settings) -> Outcome<Report> {
    let bytes = settings.bytes.max(1_000);
    let files = BYTES_PER_SECOND * SECONDS / bytes;
    let room = Room { bytes: files * bytes.next_multiple_of(4_096) * 2, files: files * 2, block: 4_096 };
    let place = Place::find(settings.folder.as_deref(), &room)?;
    let mut report = Report::new("Restore over a link");
    report.say(format!(
        "{files} files of {bytes} bytes from an S3 server over 100 Mbit/s; from the start of the program to its end. What is \
         not a file's bytes are the server's headers: `rclone serve s3` sends 1 kB of them with each file."
    ));
    let mut rows = Vec::new();
    // Here in this process; as short in its headers as the stores that are paid for.
    let port = lent_port()?;
    let root = place.folder().join("s3s-fs");
    serve_here(port, &root)?;
    let part = measure(settings, Server { name: "s3s-fs", port, root: &root }, files, &mut rows)?;
    report.figures.push(Figure::at_least("restore from S3: of a 100 Mbit/s link", part, "%", 97.0));
    std::fs::remove_dir_all(&root)?;
    if has("rclone") {
        let port = lent_port()?;
        let root = place.folder().join("rclone");
        std::fs::create_dir_all(root.join("bench"))?;
        let key = format!("{},{}", KEY.0, KEY.1);
        let server = plain("rclone")
            .args(["serve", "s3", "--quiet", "--addr", &port.to_string(), "--auth-key", &key])
            .arg(&root)
            .stdout(Stdio::null())
            .spawn()?;
        let _served = Served(server);
        measure(settings, Server { name: "rclone serve s3", port, root: &root }, files, &mut rows)?;
    }
    report.add_table(
        &["server", "program", "seconds", "of the link, files' bytes", "all bytes", "peak MiB"],
        &rows,
    );
    Ok(report)
}

struct Server<'a> {
    name: &'static str,
    port: SocketAddr,
    /// Of its buckets.
    root: &'a Path,
}

/// Protects, restores and copies through a link to the server. Gives the part of the link, in percent, that files' bytes took of
/// Salvor's restore.
fn measure(settings: &Settings, server: Server<'_>, files: u64, rows: &mut Vec<Vec<String>>) -> Outcome<f64> {
    let bytes = settings.bytes.max(1_000);
    answers(server.port)?;
    let (link, address) = Link::to(server.port)?;
    let copy = format!(
        "name = \"offsite\"\nkind = \"s3\"\nplacement = \"offsite\"\nbucket = \"bench\"\nendpoint = \"http://{address}\"\n\
         region = \"us-east-1\"\n"
    );
    let tree = Tree::new(settings, &server.root.with_extension("tree"), &copy)?;
    tree.fill(files, bytes)?;
    tree.run(&tree.salvor("protect bench"))?;
    link.set_rate(BYTES_PER_SECOND);
    let mut contestants = vec![("salvor restore", tree.salvor("restore bench"))];
    if has("rclone") {
        let remote = format!(
            ":s3,provider=Other,endpoint='http://{address}',access_key_id={},secret_access_key={}:bench",
            KEY.0, KEY.1
        );
        let volume = tree.shown("volume");
        contestants.push((
            "rclone copy",
            format!("rclone copy --quiet --transfers 16 --checkers 16 \"{remote}\" {volume}"),
        ));
    }
    let mut ours = None;
    for (name, command) in contestants {
        tree.empty_volume()?;
        eprintln!("  {name} from {}, {files} files", server.name);
        let before = link.passed();
        let run = tree.run(&command)?;
        let used = (link.passed() - before) as f64;
        let part = |bytes: f64| 100.0 * bytes / run.seconds / BYTES_PER_SECOND as f64;
        let payload = part((files * bytes) as f64);
        ours.get_or_insert(payload);
        rows.push(vec![
            server.name.to_owned(),
            name.to_owned(),
            format!("{:.2}", run.seconds),
            format!("{payload:.1} %"),
            format!("{:.1} %", part(used)),
            format!("{:.0}", run.peak_mib),
        ]);
    }
    std::fs::remove_dir_all(tree.at(""))?;
    ours.ok_or_else(|| "nothing ran".into())
}

/// A free port of this machine. Nobody holds it: whoever is to have it should take it at once.
pub fn lent_port() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// An S3 server on a thread of this process, for as long as it lives.
fn serve_here(port: SocketAddr, root: &Path) -> Outcome<()> {
    std::fs::create_dir_all(root.join("bench"))?;
    let files = s3s_fs::FileSystem::new(root).map_err(|why| format!("s3s-fs: {why:?}"))?;
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single(KEY.0, KEY.1));
    let service = service.build();
    let listener = TcpListener::bind(port)?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    std::thread::Builder::new().name("s3s-fs".into()).spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let answer = move |request: Request<Body>| {
                let service = service.clone();
                async move {
                    match service.call(request.map(s3s::Body::http_body_unsync)).await {
                        Ok(answer) => answer.map(Body::new),
                        Err(why) => panic!("s3s-fs: {why:?}"),
                    }
                }
            };
            axum::serve(listener, axum::Router::new().fallback(answer)).await
        })
    })?;
    Ok(())
}

fn answers(address: SocketAddr) -> Outcome<()> {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_err() {
        if Instant::now() > deadline {
            return Err(format!("nothing answers at {address}").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
