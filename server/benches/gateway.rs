//! The gateway beside nginx: the same files by HTTP over kept connections, in turns. The client is the same for both and takes its share
//! of the processors; read the ratio.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::harness::{Tree, has, median, name_of, plain};
use crate::link::lent_port;
use crate::place::{Place, Room};
use crate::settings::Settings;
use crate::table::{Figure, Report};

const CONNECTIONS: usize = 8;
/// Of one run of one server.
const MEASURED: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(30);
const SMALL: (u64, u64) = (4_000, 30_000);
const LARGE: (u64, u64) = (60, 5_000_000);

struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn run(settings: &Settings) -> Outcome<Report> {
    let bytes = SMALL.0 * SMALL.1 + LARGE.0 * LARGE.1;
    let room = Room { bytes: bytes * 3, files: (SMALL.0 + LARGE.0) * 3, block: 4_096 };
    let place = Place::find(settings.folder.as_deref(), &room)?;
    let mut report = Report::new("Gateway");
    report.say(format!(
        "{CONNECTIONS} kept connections of one client on the same machine, {} s a run; median of {} rounds.",
        MEASURED.as_secs(),
        settings.rounds
    ));
    let mut rows = Vec::new();
    for (name, (files, bytes)) in [("30 kB", SMALL), ("5 MB", LARGE)] {
        let tree = Tree::with_folder(settings, &place.folder().join(name.replace(' ', "-")))?;
        tree.fill(files, bytes)?;
        tree.run(&tree.salvor("protect bench"))?;
        let ours = lent_port()?;
        let salvor = salvor(settings, &tree, ours)?;
        let theirs = lent_port()?;
        let nginx = has("nginx").then(|| nginx(&tree, theirs)).transpose()?;
        let mut runs = (Vec::new(), Vec::new());
        for round in 1..=settings.rounds {
            eprintln!("  round {round}: {name}");
            runs.0.push(load(ours, "/bench/", files, bytes)?);
            if nginx.is_some() {
                runs.1.push(load(theirs, "/", files, bytes)?);
            }
        }
        let (ours_s, theirs_s) = (rate(&runs.0), rate(&runs.1));
        let primary = latency(&runs.0);
        for (server, runs) in [("salvor", &runs.0), ("nginx", &runs.1)] {
            if !runs.is_empty() {
                rows.push(row(&format!("{name}, {server}"), runs, bytes));
            }
        }
        if nginx.is_some() {
            let (what, target) = if bytes == SMALL.1 { ("requests/s", 0.7) } else { ("bytes/s", 0.9) };
            let what = format!("gateway, {name}: {what} to nginx");
            report.figures.push(Figure::at_least(what, ours_s / theirs_s, "×", target));
        }
        // The primary's files are gone: all of it comes from the copy.
        std::fs::rename(tree.at("volume"), tree.at("lost"))?;
        std::fs::create_dir(tree.at("volume"))?;
        let lost = vec![load(ours, "/bench/", files, bytes)?];
        rows.push(row(&format!("{name}, salvor from the copy"), &lost, bytes));
        if bytes == SMALL.1 {
            let more = (latency(&lost) - primary) * 1e3;
            report.figures.push(Figure::at_most(
                "gateway: failover adds at the median",
                more.max(0.001),
                "ms",
                2.0,
            ));
        }
        drop((salvor, nginx));
    }
    report.add_table(&["files", "requests/s", "MB/s", "median ms", "p99 ms"], &rows);
    Ok(report)
}

fn salvor(settings: &Settings, tree: &Tree, port: SocketAddr) -> Outcome<Served> {
    let console = lent_port()?;
    let child = plain(&settings.program)
        .arg("--config")
        .arg(tree.at("salvor.toml"))
        .arg("serve")
        .env("SALVOR_SERVER_LISTEN", console.to_string())
        .env("SALVOR_GATEWAY_LISTEN", port.to_string())
        .env("SALVOR_HEALTH_CANARY", "false")
        .stdout(Stdio::null())
        .spawn()?;
    let served = Served(child);
    answers(port)?;
    Ok(served)
}

fn nginx(tree: &Tree, port: SocketAddr) -> Outcome<Served> {
    let folder = tree.at("nginx");
    std::fs::create_dir_all(&folder)?;
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {kind};\n"))
        .concat();
    let config = format!(
        "daemon off;\nuser root;\nworker_processes auto;\npid nginx.pid;\nevents {{ worker_connections 256; }}\nhttp {{\naccess_log off;\n\
         sendfile on;\ntcp_nopush on;\nkeepalive_requests 1000000;\ndefault_type application/octet-stream;\n{temporary}\
         server {{ listen {port}; root {}; }}\n}}\n",
        tree.at("volume").display()
    );
    std::fs::write(folder.join("nginx.conf"), config)?;
    let child =
        plain("nginx").arg("-p").arg(&folder).args(["-c", "nginx.conf", "-e", "error.log"]).spawn()?;
    let served = Served(child);
    answers(port)?;
    Ok(served)
}

fn answers(port: SocketAddr) -> Outcome<()> {
    let begun = Instant::now();
    while TcpStream::connect(port).is_err() {
        if begun.elapsed() > PATIENCE {
            return Err(format!("nobody answers at {port}").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Seconds that each request took, and how long all of them took together.
struct Load {
    seconds: f64,
    requests: Vec<f64>,
}

fn load(port: SocketAddr, prefix: &str, files: u64, bytes: u64) -> Outcome<Load> {
    let begun = Instant::now();
    let requests = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|client| scope.spawn(move || client_of(port, prefix, client as u64, files, bytes)))
            .collect();
        let told: Result<Vec<_>, String> = clients
            .into_iter()
            .map(|client| client.join().unwrap_or_else(|_| Err("a client broke down".to_owned())))
            .collect();
        told.map(|told| told.concat())
    })?;
    Ok(Load { seconds: begun.elapsed().as_secs_f64(), requests })
}

fn client_of(
    port: SocketAddr,
    prefix: &str,
    client: u64,
    files: u64,
    bytes: u64,
) -> Result<Vec<f64>, String> {
    let words = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(port).map_err(words)?;
    stream.set_nodelay(true).map_err(words)?;
    let mut room = vec![0; 1 << 20];
    let (mut dice, begun, mut times) = (client + 1, Instant::now(), Vec::new());
    while begun.elapsed() < MEASURED {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let request =
            format!("GET {prefix}{} HTTP/1.1\r\nHost: bench\r\n\r\n", name_of((dice >> 33) % files));
        let asked = Instant::now();
        stream.write_all(request.as_bytes()).map_err(words)?;
        let mut filled = 0;
        let head = loop {
            let read = stream.read(&mut room[filled..]).map_err(words)?;
            filled += read;
            if let Some(at) = room[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if read == 0 {
                return Err("the server hung up".to_owned());
            }
        };
        if !room.starts_with(b"HTTP/1.1 200") {
            return Err(String::from_utf8_lossy(&room[..head]).into_owned());
        }
        let mut left = bytes - (filled - head) as u64;
        while left > 0 {
            let most = room.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match stream.read(&mut room[..most]).map_err(words)? {
                0 => return Err("the server hung up".to_owned()),
                read => left -= read as u64,
            }
        }
        times.push(asked.elapsed().as_secs_f64());
    }
    Ok(times)
}

fn rate(runs: &[Load]) -> f64 {
    median(runs.iter().map(|load| load.requests.len() as f64 / load.seconds))
}

fn latency(runs: &[Load]) -> f64 {
    median(runs.iter().flat_map(|load| load.requests.iter().copied()))
}

fn row(name: &str, runs: &[Load], bytes: u64) -> Vec<String> {
    let mut all: Vec<f64> = runs.iter().flat_map(|load| load.requests.iter().copied()).collect();
    all.sort_by(f64::total_cmp);
    let p99 = all.get(all.len() * 99 / 100).copied().unwrap_or(f64::NAN);
    let rate = rate(runs);
    vec![
        name.to_owned(),
        format!("{rate:.0}"),
        format!("{:.0}", rate * bytes as f64 / 1e6),
        format!("{:.2}", latency(runs) * 1e3),
        format!("{:.2}", p99 * 1e3),
    ]
}
