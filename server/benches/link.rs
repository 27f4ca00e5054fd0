//! A restore from S3 over a link of 100 Mbit/s: how much of the link carries files.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::harness::{Tree, has, plain};
use crate::place::{Place, Room};
use crate::proxy::Link;
use crate::settings::Settings;
use crate::table::{Figure, Report};

/// Of the server, which lives for one benchmark and listens on this machine only.
pub const KEY: (&str, &str) = ("salvor-bench", "salvor-bench-secret");
const BYTES_PER_SECOND: u64 = 100_000_000 / 8;
/// So many seconds of the link, of files as large as the others.
const SECONDS: u64 = 25;
const PATIENCE: Duration = Duration::from_secs(20);

struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn run(settings: &Settings) -> Outcome<Report> {
    let mut report = Report::new("Restore over a link");
    if !has("rclone") {
        report.say("`rclone`, which serves S3 here, is not installed.");
        return Ok(report);
    }
    let bytes = settings.bytes.max(1_000);
    let files = BYTES_PER_SECOND * SECONDS / bytes;
    let room = Room { bytes: files * bytes.next_multiple_of(4_096) * 2, files: files * 2, block: 4_096 };
    let place = Place::find(settings.folder.as_deref(), &room)?;
    let folder = place.folder().join("link");
    std::fs::create_dir_all(folder.join("s3/bench"))?;
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let server = plain("rclone")
        .args([
            "serve",
            "s3",
            "--quiet",
            "--addr",
            &port.to_string(),
            "--auth-key",
            &format!("{},{}", KEY.0, KEY.1),
        ])
        .arg(folder.join("s3"))
        .stdout(Stdio::null())
        .spawn()?;
    let _served = Served(server);
    answers(port)?;
    let (link, address) = Link::to(port)?;

    let copy = format!(
        "name = \"offsite\"\nkind = \"s3\"\nplacement = \"offsite\"\nbucket = \"bench\"\nendpoint = \"http://{address}\"\n\
         region = \"us-east-1\"\n"
    );
    let tree = Tree::new(settings, &folder.join("tree"), &copy)?;
    tree.fill(files, bytes)?;
    tree.run(&tree.salvor("protect bench"))?;
    link.set_rate(BYTES_PER_SECOND);
    let mut rows = Vec::new();
    let remote = format!(
        ":s3,provider=Rclone,endpoint='http://{address}',access_key_id={},secret_access_key={}:bench",
        KEY.0, KEY.1
    );
    for (name, command) in [
        ("salvor restore", tree.salvor("restore bench")),
        (
            "rclone copy",
            format!("rclone copy --quiet --transfers 16 --checkers 16 \"{remote}\" {}", tree.shown("volume")),
        ),
    ] {
        tree.empty_volume()?;
        eprintln!("  {name}, {files} files");
        let before = link.passed();
        let run = tree.run(&command)?;
        let used = (link.passed() - before) as f64;
        let payload = (files * bytes) as f64;
        let part = |bytes: f64| 100.0 * bytes / run.seconds / BYTES_PER_SECOND as f64;
        rows.push(vec![
            name.to_owned(),
            format!("{:.2}", run.seconds),
            format!("{:.1} %", part(payload)),
            format!("{:.1} %", part(used)),
            format!("{:.0}", run.peak_mib),
        ]);
        if report.figures.is_empty() {
            report.figures.push(Figure::at_least(
                "restore from S3: of a 100 Mbit/s link",
                part(payload),
                "%",
                97.0,
            ));
        }
    }
    report.say(format!(
        "{files} files of {bytes} bytes from `rclone serve s3` over 100 Mbit/s; from the start of the program to its end."
    ));
    report.add_table(&["program", "seconds", "of the link, files' bytes", "all bytes", "peak MiB"], &rows);
    Ok(report)
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
