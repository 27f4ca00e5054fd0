//! Against servers that are not ours: `rclone serve`. Without rclone on the PATH they say so and pass.

use super::*;
use crate::place::{WebdavLogin, WebdavPlace};
use crate::proxy::Proxy;
use served::Served;

#[path = "../testing/served.rs"]
mod served;

/// With the folder that the places of these tests lie in.
fn serve(kind: &str, flags: &[&str]) -> Option<Served> {
    let served = Served::start(kind, flags)?;
    std::fs::create_dir_all(served.path(BUCKET).join("uploads")).unwrap();
    Some(served)
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
    let Some(served) = serve("s3", &["--auth-key", &login]) else { return };
    let copy = ObjectCopy::s3("offsite", &place(&served.endpoint, KEY), patient()).unwrap();
    there_and_back(&copy);
    let large = noise((8 << 20) + 77);
    let mut upload = copy.upload(&path("film"), &object(&large, 7), None).unwrap();
    large.chunks(100_000).try_for_each(|chunk| upload.write(chunk)).unwrap();
    // Its mark for an object in parts is made of the whole.
    assert_eq!(upload.finish().unwrap(), Confirmed::BySize);
    assert!(read(copy.open(&path("film"))).unwrap() == large);
    let stranger = ObjectCopy::s3("offsite", &place(&served.endpoint, "who"), patient()).unwrap();
    assert!(matches!(stranger.reachable(), Err(SourceFault::Gone(_))));
}

fn webdav_place(endpoint: &str, root: &str, password: &str) -> WebdavPlace {
    WebdavPlace {
        endpoint: format!("{endpoint}/{BUCKET}"),
        root: root.into(),
        login: Some(WebdavLogin { user: "ann".into(), password: secret(password) }),
    }
}

#[test]
fn webdav() {
    let Some(served) = serve("webdav", &["--user", "ann", "--pass", "hush"]) else { return };
    let place = |root: &str, password: &str| webdav_place(&served.endpoint, root, password);
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

#[test]
fn a_large_file_is_read_from_webdav_as_it_arrives_and_never_held_whole() {
    let Some(served) = serve("webdav", &["--user", "ann", "--pass", "hush"]) else { return };
    let content = noise(40_000_000);
    std::fs::write(served.path(BUCKET).join("uploads/film"), &content).unwrap();
    let proxy = Proxy::to(served.port, false);
    let endpoint = format!("http://127.0.0.1:{}", proxy.port);
    let copy = ObjectCopy::webdav("offsite", &webdav_place(&endpoint, "uploads", "hush"), patient()).unwrap();
    let mut opened = copy.open(&path("film")).unwrap();
    let mut room = vec![0; 1_000_000];
    for (number, expected) in content.chunks(room.len()).enumerate() {
        opened.reader.read_exact(&mut room).unwrap();
        assert!(room == expected);
        // What is on its way lies in the sockets' buffers, which hold some MB.
        let ahead = proxy.passed().saturating_sub((number + 1) * room.len());
        assert!(ahead < 20_000_000, "{ahead} bytes arrived that nobody has read yet");
    }
    assert_eq!(opened.reader.read(&mut room).unwrap(), 0);
}
