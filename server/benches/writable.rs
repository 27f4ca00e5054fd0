//! Whether a volume may be written to, as a proxy asks before each upload: how many answers a second, beside an nginx that says 204
//! to everything. One client for both, on the same machine: its share of the processors is in both figures.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::harness::{has, median, plain};
use crate::link::{Served, lent_port};
use crate::settings::Settings;
use crate::table::{Figure, Report};

/// As many as a proxy keeps open.
const CONNECTIONS: usize = 16;
const SECONDS: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(20);
const TARGET: f64 = 10_000.0;

/// Who answers, and what it is asked.
struct Server {
    name: &'static str,
    address: SocketAddr,
    request: String,
    /// Answers a second, and what 99 of 100 took at the most; of each round.
    rounds: Vec<(f64, f64)>,
    _process: Served,
}

pub fn run(settings: &Settings) -> Outcome<Report> {
    let folder = std::env::temp_dir().join(format!("salvor-bench-writable-{}", std::process::id()));
    let report = measure(settings, &folder);
    let _ = std::fs::remove_dir_all(&folder);
    report
}

fn measure(settings: &Settings, folder: &Path) -> Outcome<Report> {
    let mut servers = vec![salvor(settings, folder)?];
    if has("nginx") {
        servers.push(nginx(folder)?);
    }
    for round in 1..=settings.rounds {
        for server in &mut servers {
            eprintln!("  round {round}: writable, {}", server.name);
            server.rounds.push(asked(server.address, &server.request)?);
        }
    }
    let mut report = Report::new("May this volume be written to?");
    report.say(format!(
        "{CONNECTIONS} connections that are kept open, each with one request at a time, for {} s; median of {} rounds.",
        SECONDS.as_secs(),
        settings.rounds
    ));
    let rate = |server: &Server| median(server.rounds.iter().map(|(rate, _)| *rate));
    let rows: Vec<_> = servers
        .iter()
        .map(|server| {
            let slowest = median(server.rounds.iter().map(|(_, slowest)| *slowest));
            vec![server.name.to_owned(), format!("{:.0}", rate(server)), format!("{slowest:.2}")]
        })
        .collect();
    report.add_table(&["who answers", "requests/s", "p99, ms"], &rows);
    let ours = servers.first().map_or(f64::NAN, rate);
    report.figures.push(Figure::at_least("writable: answers", ours, "/s", TARGET));
    Ok(report)
}

fn salvor(settings: &Settings, folder: &Path) -> Outcome<Server> {
    for name in ["volume", "copy"] {
        std::fs::create_dir_all(folder.join(name))?;
    }
    let address = lent_port()?;
    let config = format!(
        "[server]\ndata_dir = \"data\"\nlisten = \"{address}\"\n[[volume]]\nname = \"bench\"\npath = \"volume\"\n\
         [[volume.copy]]\nname = \"local\"\nkind = \"fs\"\nplacement = \"onsite\"\npath = \"copy\"\n"
    );
    let file = folder.join("salvor.toml");
    std::fs::write(&file, config)?;
    let program = || {
        let mut program = plain(&settings.program);
        program.arg("--config").arg(&file);
        program
    };
    let made = program().args(["token", "create", "bench", "--role", "viewer"]).output()?;
    let token = String::from_utf8(made.stdout)?;
    let process = Served(program().arg("serve").stdout(Stdio::null()).spawn()?);
    let request = format!(
        "GET /api/v1/volumes/bench/writable HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\n\r\n",
        token.trim()
    );
    Server::new("salvor", address, request, process)
}

fn nginx(folder: &Path) -> Outcome<Server> {
    let address = lent_port()?;
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {kind};\n"))
        .concat();
    let config = format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n\
         keepalive_requests 100000000;\n{temporary}server {{ listen {address}; location / {{ return 204; }} }}\n}}\n"
    );
    std::fs::write(folder.join("nginx.conf"), config)?;
    let process = plain("nginx")
        .arg("-p")
        .arg(folder)
        .args(["-c", "nginx.conf", "-e", "error.log"])
        .stdout(Stdio::null())
        .spawn()?;
    let request = "GET / HTTP/1.1\r\nhost: bench\r\n\r\n".to_owned();
    Server::new("nginx, one process, return 204", address, request, Served(process))
}

impl Server {
    /// Once it answers.
    fn new(name: &'static str, address: SocketAddr, request: String, process: Served) -> Outcome<Self> {
        let deadline = Instant::now() + PATIENCE;
        while let Err(why) = Connection::open(address).and_then(|mut connection| connection.ask(&request)) {
            if Instant::now() > deadline {
                return Err(format!("{name} does not answer at {address}: {why}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { name, address, request, rounds: Vec::new(), _process: process })
    }
}

/// Answers a second, and what 99 of 100 took at the most, in milliseconds.
fn asked(address: SocketAddr, request: &str) -> Outcome<(f64, f64)> {
    let begun = Instant::now();
    let times: std::io::Result<Vec<Vec<f64>>> = std::thread::scope(|scope| {
        let ask = || {
            let (mut connection, mut times) = (Connection::open(address)?, Vec::new());
            while begun.elapsed() < SECONDS {
                let sent = Instant::now();
                connection.ask(request)?;
                times.push(sent.elapsed().as_secs_f64() * 1_000.0);
            }
            Ok(times)
        };
        let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(ask)).collect();
        let joined = threads.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(std::io::Error::other("a client broke down")))
        });
        joined.collect()
    });
    let seconds = begun.elapsed().as_secs_f64();
    let mut times = times?.concat();
    times.sort_by(f64::total_cmp);
    let slowest = times.get(times.len() * 99 / 100).copied().unwrap_or(f64::NAN);
    Ok((times.len() as f64 / seconds, slowest))
}

/// HTTP/1.1 as far as answers without a body need it.
struct Connection {
    stream: TcpStream,
    room: [u8; 4_096],
}

impl Connection {
    fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, room: [0; 4_096] })
    }

    /// An error unless the answer is 204.
    fn ask(&mut self, request: &str) -> std::io::Result<()> {
        self.stream.write_all(request.as_bytes())?;
        let mut filled = 0;
        while !self.room[..filled].ends_with(b"\r\n\r\n") {
            let read = self.stream.read(&mut self.room[filled..])?;
            if read == 0 {
                return Err(std::io::Error::other("no whole answer"));
            }
            filled += read;
        }
        match self.room.starts_with(b"HTTP/1.1 204") {
            true => Ok(()),
            false => Err(std::io::Error::other(String::from_utf8_lossy(&self.room[..filled.min(100)]))),
        }
    }
}
