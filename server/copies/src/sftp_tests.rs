//! Against servers that others wrote: OpenSSH's sshd, and rclone. Cuts and stalls come from a proxy in between.

use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;
use crate::place::{SftpLogin, SftpTrust};
use crate::proxy::Proxy;
use crate::secret::Secret;

#[path = "../testing/sshd.rs"]
mod sshd;

use sshd::{Server, free_port, key, skipped, user};

fn path(text: impl Into<Vec<u8>>) -> FilePath {
    FilePath::new(text).unwrap()
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn read(source: &SftpSource, name: &str) -> io::Result<Vec<u8>> {
    let mut opened = source.open(&path(name)).map_err(|fault| io::Error::other(fault.to_string()))?;
    let mut bytes = Vec::new();
    opened.reader.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn listed(source: &SftpSource) -> Result<Vec<(Vec<u8>, u64)>, SourceFault> {
    let mut all = Vec::new();
    source.list(&mut |holding| {
        all.push((holding.path.into_bytes(), holding.stat.size));
        ControlFlow::Continue(())
    })?;
    all.sort();
    Ok(all)
}

fn place(server: &Server) -> SftpPlace {
    SftpPlace {
        host: "127.0.0.1".into(),
        port: server.port,
        user: user(),
        root: server.at("files").display().to_string(),
        login: SftpLogin::Key { file: server.at("id_ed25519"), password: None },
        trust: SftpTrust::Pinned(server.fingerprint("host_ed25519.pub")),
    }
}

fn patient(place: SftpPlace) -> SftpSource {
    let patience = Patience { connect: Duration::from_secs(5), silence: Duration::from_secs(1) };
    SftpSource::with_patience("far", place, patience)
}

/// Waits until no program of this machine holds an end of a connection to that port.
fn no_connection_stays(port: u16) {
    let held = || {
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let to = format!(":{port:04X}");
        let is_held = |line: &str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // What has no inode was closed, and is the kernel's alone.
            fields[2].ends_with(&to) && fields[9] != "0"
        };
        sockets.lines().skip(1).filter(|line| is_held(line)).count()
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while held() > 0 {
        assert!(Instant::now() < deadline, "{} connections stay", held());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn files_are_listed_and_read_whole_or_from_an_offset() {
    let Some(server) = Server::sshd() else { return };
    let large = noise(1, 5_000_001);
    server.write("large", &large);
    server.write("a/b/empty", b"");
    for number in 0..300 {
        server.write(&format!("many/{number:03}"), &noise(number, 3_000));
    }
    server.write(".salvor/quarantine/x", b"ours");
    let odd = std::ffi::OsStr::from_bytes(b"caf\xe9 \x01");
    std::fs::write(server.at("files").join(odd), b"latin").unwrap();
    std::os::unix::fs::symlink("large", server.at("files/link")).unwrap();
    let source = patient(place(&server));
    source.reachable().unwrap();
    let all = listed(&source).unwrap();
    assert_eq!(all.len(), 303);
    assert!(all.contains(&(b"large".to_vec(), 5_000_001)) && all.contains(&(b"a/b/empty".to_vec(), 0)));
    assert!(all.contains(&(b"caf\xe9 \x01".to_vec(), 5)), "names are bytes");

    assert_eq!(read(&source, "large").unwrap(), large);
    assert_eq!(read(&source, "a/b/empty").unwrap(), b"");
    let mut tail = Vec::new();
    let mut opened = source.open_at(&path("large"), 4_900_000).unwrap();
    opened.reader.read_to_end(&mut tail).unwrap();
    assert_eq!((opened.size, tail.as_slice()), (Some(5_000_001), &large[4_900_000..]));
    let mut latin = Vec::new();
    source.open(&path(*b"caf\xe9 \x01")).unwrap().reader.read_to_end(&mut latin).unwrap();
    assert_eq!(latin, b"latin");
    let stat = source.stat(&path("many/007")).unwrap();
    assert_eq!((stat.size, stat.mtime_ns.unwrap() % 1_000_000_000), (3_000, 0));

    // Many at once, over several connections.
    std::thread::scope(|scope| {
        for thread in 0..12 {
            let source = &source;
            scope.spawn(move || {
                for number in (thread..300).step_by(12) {
                    let expected = noise(number, 3_000);
                    assert_eq!(read(source, &format!("many/{number:03}")).unwrap(), expected);
                }
            });
        }
    });
    assert!((2..=MOST_LANES).contains(&source.pool.state().lanes.len()));
}

#[test]
fn a_file_that_is_not_there_is_told_from_a_copy_that_is_not_there() {
    let Some(server) = Server::sshd() else { return };
    server.write("a", b"x");
    std::os::unix::fs::symlink("a", server.at("files/link")).unwrap();
    std::fs::create_dir(server.at("files/folder")).unwrap();
    let source = patient(place(&server));
    assert_eq!(source.stat(&path("b")).err(), Some(SourceFault::NotFound));
    assert_eq!(source.open(&path("b/c")).err(), Some(SourceFault::NotFound));
    let Err(SourceFault::Io(why)) = source.open(&path("link")).map(drop) else {
        panic!("links are not followed")
    };
    assert!(why.contains("a symbolic link stands"), "{why}");
    let Err(SourceFault::Io(why)) = source.stat(&path("folder")).map(drop) else { panic!() };
    assert!(why.contains("a folder stands"), "{why}");

    let source = patient(place(&server));
    std::fs::rename(server.at("files"), server.at("away")).unwrap();
    for fault in [
        source.open(&path("a")).err(),
        source.stat(&path("a")).err(),
        listed(&source).err(),
        source.reachable().err(),
    ] {
        let Some(SourceFault::Gone(why)) = fault else { panic!("{fault:?}") };
        assert!(why.contains("there is no such folder"), "{why}");
    }
}

#[test]
fn only_the_right_host_is_talked_to_and_the_words_say_how_to_make_it_known() {
    let Some(server) = Server::sshd() else { return };
    server.write("a", b"x");
    let with = |trust| patient(SftpPlace { trust, ..place(&server) });
    let refused = |trust| match with(trust).stat(&path("a")) {
        Err(SourceFault::Gone(why)) => why,
        other => panic!("{other:?}"),
    };
    // A pin for the server's other key makes us ask for that one.
    for pin in
        [server.fingerprint("host_ecdsa.pub"), std::fs::read_to_string(server.at("host_ecdsa.pub")).unwrap()]
    {
        assert_eq!(with(SftpTrust::Pinned(pin)).stat(&path("a")).unwrap().size, 1);
    }
    let why = refused(SftpTrust::Pinned(server.fingerprint("id_ed25519.pub")));
    assert!(
        why.contains("not the one in host_key") && why.contains(&server.fingerprint("host_ed25519.pub")),
        "{why}"
    );

    let known = |key: &str| {
        let text = std::fs::read_to_string(server.at(key)).unwrap();
        let mut words = text.split(' ');
        let line =
            format!("[127.0.0.1]:{} {} {}\n", server.port, words.next().unwrap(), words.next().unwrap());
        std::fs::write(server.at("known"), line).unwrap();
        SftpTrust::KnownHosts(server.at("known"))
    };
    for key in ["host_ed25519.pub", "host_ecdsa.pub"] {
        assert_eq!(with(known(key)).stat(&path("a")).unwrap().size, 1, "{key}");
    }
    let why = refused(known("id_ed25519.pub"));
    assert!(why.contains("somebody stands between"), "{why}");
    std::fs::write(server.at("none"), "").unwrap();
    let why = refused(SftpTrust::KnownHosts(server.at("none")));
    let pin = format!("host_key = \"{}\"", server.fingerprint("host_ed25519.pub"));
    assert!(why.contains("is not known") && why.contains(&pin), "{why}");
    let why = refused(SftpTrust::KnownHosts(server.at("nowhere")));
    assert!(why.contains("cannot be read"), "{why}");
}

#[test]
fn keys_let_us_in_and_the_words_say_what_is_wrong_with_others() {
    let Some(server) = Server::sshd() else { return };
    server.write("a", b"x");
    key(&server.at("id_rsa"), "rsa", "");
    let hush = |word: &str| Some(Secret::Variable { name: "KEY".into(), value: Some(word.into()) });
    let with = |name: &str, password| {
        let login = SftpLogin::Key { file: server.at(name), password };
        patient(SftpPlace { login, ..place(&server) }).stat(&path("a"))
    };
    assert_eq!(with("id_ecdsa", None).unwrap().size, 1);
    assert_eq!(with("id_locked", hush("hush hush")).unwrap().size, 1);
    for (name, password, word) in [
        ("id_locked", None, "is encrypted"),
        ("id_locked", hush("wrong"), "with this password"),
        ("id_rsa", None, "ssh-keygen -t ed25519"),
        ("host_ecdsa", None, "authorized_keys"),
        ("id_none", None, "cannot be read"),
    ] {
        let Err(SourceFault::Gone(why)) = with(name, password) else { panic!("{name}") };
        assert!(why.contains(word) && !why.contains("hush"), "{why}");
    }
}

#[test]
fn a_read_that_is_cut_goes_on_where_it_was() {
    let Some(server) = Server::sshd() else { return };
    let content = noise(5, 8_000_000);
    server.write("large", &content);
    let proxy = Proxy::to(server.port, false);
    let source = patient(SftpPlace { port: proxy.port, ..place(&server) });
    let mut opened = source.open(&path("large")).unwrap();
    let mut bytes = vec![0; 500_000];
    opened.reader.read_exact(&mut bytes).unwrap();
    for cut in [300_000, 900_000] {
        proxy.cut_after(cut);
        let mut more = vec![0; 1_000_000];
        opened.reader.read_exact(&mut more).unwrap();
        bytes.extend(more);
    }
    opened.reader.read_to_end(&mut bytes).unwrap();
    assert!(bytes == content, "the bytes are those of the file");
    assert!(proxy.connections() >= 3);
    drop(opened);
    // In another version of the file it does not go on.
    let mut opened = source.open(&path("large")).unwrap();
    opened.reader.read_exact(&mut [0; 1000]).unwrap();
    std::fs::write(server.at("files/large"), noise(6, 7_999_999)).unwrap();
    proxy.cut_after(0);
    let why = opened.reader.read_to_end(&mut Vec::new()).unwrap_err().to_string();
    assert!(why.contains("was changed on the copy"), "{why}");
    // A list that is cut names each file once.
    for number in 0..400 {
        server.write(&format!("many/{number}"), b"x");
    }
    proxy.cut_after(30_000);
    assert_eq!(listed(&source).unwrap().len(), 401);
    // Whatever became of them, no connection outlives its source.
    drop((opened, source));
    no_connection_stays(proxy.port);
}

#[test]
fn a_server_that_goes_silent_costs_a_bounded_time() {
    let Some(server) = Server::sshd() else { return };
    let content = noise(7, 2_000_000);
    server.write("large", &content);
    let proxy = Proxy::to(server.port, true);
    let source = patient(SftpPlace { port: proxy.port, ..place(&server) });
    source.reachable().unwrap();
    proxy.cut_after(700_000);
    let started = Instant::now();
    assert!(read(&source, "large").unwrap() == content);
    let took = started.elapsed();
    assert!((Duration::from_millis(700)..Duration::from_secs(20)).contains(&took), "{took:?}");
    // Neither the one that hears nothing more, nor one that still waits for much.
    proxy.cut_after(700_000);
    let mut opened = source.open(&path("large")).unwrap();
    opened.reader.read_exact(&mut [0; 600_000]).unwrap();
    drop((opened, source));
    no_connection_stays(proxy.port);
}

#[test]
fn a_server_that_is_away_is_gone_at_once_for_all_who_ask() {
    let Some(server) = Server::sshd() else { return };
    let nobody = patient(SftpPlace { port: free_port(), ..place(&server) });
    let started = Instant::now();
    for _ in 0..50 {
        let Err(SourceFault::Gone(why)) = nobody.stat(&path("a")) else { panic!() };
        assert!(why.contains("no connection to 127.0.0.1 port"), "{why}");
    }
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

#[test]
fn another_server_and_a_password() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("files")).unwrap();
    key(&folder.path().join("host"), "ed25519", "");
    let port = free_port();
    let child = Command::new("rclone")
        .args(["serve", "sftp", "--user", "anna", "--pass", "hush", "--config", "/dev/null", "--addr"])
        .arg(format!("127.0.0.1:{port}"))
        .arg("--key")
        .arg(folder.path().join("host"))
        .arg(folder.path().join("files"))
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = child else { return skipped("it talks to rclone, which is not on the PATH") };
    let server = Server { child, port, folder }.ready();
    let content = noise(9, 1_500_000);
    server.write("a/large", &content);
    server.write("b", b"x");
    let with = |password: &str| {
        patient(SftpPlace {
            user: "anna".into(),
            root: String::new(),
            login: SftpLogin::Password(Secret::Variable { name: "P".into(), value: Some(password.into()) }),
            trust: SftpTrust::Pinned(server.fingerprint("host.pub")),
            host: "127.0.0.1".into(),
            port,
        })
    };
    let source = with("hush");
    assert_eq!(listed(&source).unwrap(), [(b"a/large".to_vec(), 1_500_000), (b"b".to_vec(), 1)]);
    assert!(read(&source, "a/large").unwrap() == content);
    assert_eq!(source.stat(&path("c")).err(), Some(SourceFault::NotFound));
    let Err(SourceFault::Gone(why)) = with("wrong").reachable() else { panic!() };
    assert!(why.contains("does not let anna in with this password"), "{why}");
}
