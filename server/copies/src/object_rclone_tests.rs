//! Against servers that are not ours: `rclone serve`. Without rclone on the PATH they say so and pass.

use std::process::{Child, Command, Stdio};

use super::*;
use crate::place::{WebdavLogin, WebdavPlace};

struct Served {
    process: Child,
    endpoint: String,
    _folder: tempfile::TempDir,
}

impl Served {
    fn start(kind: &str, flags: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join(BUCKET).join("uploads")).unwrap();
        // A port that was free a moment ago; on the rare day that it is taken, the next.
        for _ in 0..5 {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let address = format!("127.0.0.1:{port}");
            let started = Command::new("rclone")
                .args(["serve", kind, "--addr", &address, "--vfs-cache-mode", "off"])
                .args(flags)
                .arg(folder.path())
                .env("RCLONE_CONFIG", folder.path().join("rclone.conf"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let Ok(mut process) = started else {
                eprintln!("skipped: there is no rclone on the PATH (.ci/setup test installs it)");
                return None;
            };
            let deadline = Instant::now() + Duration::from_secs(20);
            while Instant::now() < deadline && process.try_wait().unwrap().is_none() {
                if std::net::TcpStream::connect(&address).is_ok() {
                    return Some(Self { process, endpoint: format!("http://{address}"), _folder: folder });
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = process.kill();
            let _ = process.wait();
        }
        panic!("rclone does not serve");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn patient() -> Limits {
    Limits { step: Duration::from_secs(10), look: Duration::from_secs(10), ..limits() }
}

fn there_and_back(copy: &ObjectCopy) {
    for (size, name) in [0, 1, 30_000, 30_001, 500_000].into_iter().zip(NAMES) {
        put(copy, name, &noise(size)).unwrap();
        assert_eq!(copy.stat(&path(name)).unwrap().size, size as u64, "{name}");
        assert_eq!(read(copy.open(&path(name))).unwrap(), noise(size), "{name}");
    }
    let mut expected: Vec<_> = NAMES.into_iter().map(str::to_owned).collect();
    expected.sort();
    assert_eq!(names(copy).into_iter().map(|(name, _)| name).collect::<Vec<_>>(), expected);
    assert_eq!(read(copy.open_at(&path("plain"), 499_990)).unwrap(), noise(500_000)[499_990..]);
    assert_eq!(copy.open(&path("anna/none")).map(drop), Err(SourceFault::NotFound));
    let seen = copy.look(&path("plain")).unwrap().unwrap();
    put_over(copy, "plain", b"second", Some(&seen)).unwrap();
    assert_eq!(read(copy.open(&path("plain"))).unwrap(), b"second");
    copy.set_aside(&path("plain"), &Label::new("job").unwrap()).unwrap();
    assert_eq!(names(copy).len(), NAMES.len(), "what is set aside is no file of the copy");
}

#[test]
fn s3() {
    let login = format!("{KEY},{SECRET}");
    let Some(served) = Served::start("s3", &["--auth-key", &login]) else { return };
    let copy = ObjectCopy::s3("offsite", &place(&served.endpoint, KEY), patient()).unwrap();
    there_and_back(&copy);
    let large = noise((8 << 20) + 77);
    put(&copy, "film", &large).unwrap();
    assert!(read(copy.open(&path("film"))).unwrap() == large);
    let stranger = ObjectCopy::s3("offsite", &place(&served.endpoint, "who"), patient()).unwrap();
    assert!(matches!(stranger.reachable(), Err(SourceFault::Gone(_))));
}

#[test]
fn webdav() {
    let Some(served) = Served::start("webdav", &["--user", "ann", "--pass", "hush"]) else { return };
    let place = |root: &str, password: &str| WebdavPlace {
        endpoint: format!("{}/{BUCKET}", served.endpoint),
        root: root.into(),
        login: Some(WebdavLogin { user: "ann".into(), password: secret(password) }),
    };
    let copy = ObjectCopy::webdav("offsite", &place("uploads", "hush"), patient()).unwrap();
    copy.reachable().unwrap();
    there_and_back(&copy);
    let why = |root, password| match ObjectCopy::webdav("x", &place(root, password), patient())
        .unwrap()
        .reachable()
    {
        Err(SourceFault::Gone(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(why("uploads", "wrong").contains("credentials"));
    assert!(why("nothing", "hush").contains("no folder"));
    let refused = copy.upload(&path("film"), &Object { size: 65 << 20, ..object(b"", 0) }, None);
    assert!(refused.map(drop).unwrap_err().reason.contains("WebDAV"));
}
