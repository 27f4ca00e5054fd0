//! Against repositories that Debian's restic made.

use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use super::*;
use crate::secret::Secret;

fn path(text: impl Into<Vec<u8>>) -> FilePath {
    FilePath::new(text).unwrap()
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

struct Made(tempfile::TempDir);

impl Made {
    /// A folder and a repository beside it; `None` where restic is not installed.
    fn new() -> Option<Self> {
        let made = Self(tempfile::tempdir().unwrap());
        if Command::new("restic").arg("version").output().is_err() {
            use std::io::Write;
            let _ = writeln!(
                std::io::stderr(),
                "skipped: it reads what restic wrote, which is not installed here"
            );
            return None;
        }
        std::fs::create_dir(made.at("files")).unwrap();
        made.restic(&["init"]);
        Some(made)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        let at = self.at("files").join(name);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, content).unwrap();
    }

    fn restic(&self, args: &[&str]) -> String {
        let done = Command::new("restic")
            .args(["--no-cache", "-r"])
            .arg(self.at("repo"))
            .args(args)
            .env("RESTIC_PASSWORD", "hush")
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    fn back_up(&self, more: &[&str]) {
        let files = self.at("files").display().to_string();
        self.restic(&[&["backup", files.as_str()], more].concat());
    }

    fn place(&self) -> ResticPlace {
        ResticPlace {
            repository: self.at("repo"),
            password: Secret::Variable { name: "P".into(), value: Some("hush".into()) },
            snapshot: "latest".into(),
            root: self.at("files").display().to_string(),
            host: None,
            paths: vec![],
            tags: vec![],
        }
    }

    fn open(&self) -> ResticSource {
        ResticSource::open("vault", &self.place()).unwrap()
    }

    fn packs(&self) -> Vec<PathBuf> {
        let folders = std::fs::read_dir(self.at("repo/data")).unwrap();
        folders
            .flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
            .map(|e| e.unwrap().path())
            .collect()
    }

    /// Every file of the repository with its size and mtime.
    fn state(&self) -> Vec<(PathBuf, u64, std::time::SystemTime)> {
        let mut folders = vec![self.at("repo")];
        let mut all = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let facts = path.metadata().unwrap();
                all.push((path.clone(), facts.len(), facts.modified().unwrap()));
                if facts.is_dir() {
                    folders.push(path);
                }
            }
        }
        all.sort();
        all
    }
}

fn read(source: &ResticSource, name: &str, offset: u64) -> io::Result<Vec<u8>> {
    let mut opened =
        source.open_at(&path(name), offset).map_err(|fault| io::Error::other(fault.to_string()))?;
    let mut bytes = Vec::new();
    opened.reader.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn listed(source: &ResticSource) -> Vec<(Vec<u8>, u64)> {
    let mut all = Vec::new();
    let visit = &mut |holding: Holding| {
        all.push((holding.path.into_bytes(), holding.stat.size));
        ControlFlow::Continue(())
    };
    source.list(visit).unwrap();
    all.sort();
    all
}

fn gone(place: &ResticPlace) -> String {
    match ResticSource::open("vault", place).map(drop) {
        Err(SourceFault::Gone(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_snapshot_is_listed_and_read_and_nothing_is_written() {
    let Some(made) = Made::new() else { return };
    let large = noise(1, 9_000_000);
    made.write("large", &large);
    made.write("anna/b/empty", b"");
    for number in 0..200 {
        made.write(&format!("many/{number:03}"), &noise(number, 5_000));
    }
    let odd = std::ffi::OsStr::from_bytes(b"caf\xe9 \\ \"q\"\n");
    std::fs::write(made.at("files").join(odd), b"latin").unwrap();
    std::os::unix::fs::symlink("large", made.at("files/link")).unwrap();
    std::fs::set_permissions(made.at("files/large"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    made.back_up(&[]);
    let before = made.state();
    let source = made.open();
    source.reachable().unwrap();
    let all = listed(&source);
    assert_eq!(all.len(), 203);
    assert!(all.contains(&(b"caf\xe9 \\ \"q\"\n".to_vec(), 5)), "names are bytes");
    assert!(read(&source, "large", 0).unwrap() == large);
    assert!(read(&source, "large", 8_500_000).unwrap() == large[8_500_000..]);
    assert_eq!(read(&source, "anna/b/empty", 0).unwrap(), b"");
    let opened = source.open(&path("large")).unwrap();
    assert_eq!((opened.size, opened.mode), (Some(9_000_000), Some(0o600)));
    use std::os::unix::fs::MetadataExt;
    let facts = std::fs::metadata(made.at("files/large")).unwrap();
    assert_eq!(opened.owner, Some((facts.uid(), facts.gid())));
    let mtime = facts.mtime() * 1_000_000_000 + facts.mtime_nsec();
    assert_eq!(
        source.stat(&path("large")).unwrap(),
        SourceStat { size: 9_000_000, mtime_ns: Some(mtime), digest: None }
    );
    assert_eq!(source.stat(&path("nothing")).err(), Some(SourceFault::NotFound));
    assert_eq!(source.stat(&path("large/x")).err(), Some(SourceFault::NotFound));
    for (name, word) in [("link", "a symbolic link"), ("many", "a folder")] {
        let Err(SourceFault::Io(why)) = source.stat(&path(name)) else { panic!("{name}") };
        assert!(why.contains(word), "{why}");
    }
    // In the order of their places each pack is gone through once.
    let mut places: Vec<u64> =
        (0..200).map(|number| source.location(&path(format!("many/{number:03}"))).unwrap()).collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), 200);
    assert_eq!(source.location(&path("anna/b/empty")), None);
    assert!(made.state() == before, "the repository is only read");
}

#[test]
fn the_snapshot_is_the_one_that_was_meant() {
    let Some(made) = Made::new() else { return };
    // Opened once: a password is dear to try.
    let repo = open_repository(&made.at("repo"), "hush").unwrap();
    let picked = |change: &dyn Fn(&mut ResticPlace)| {
        let mut place = made.place();
        change(&mut place);
        pick(&repo, &place)
    };
    assert!(picked(&|_| {}).unwrap_err().contains("no snapshot yet"));
    made.write("a", b"one");
    made.back_up(&["--host", "web1", "--tag", "nightly"]);
    made.write("a", b"two!");
    made.back_up(&["--host", "web2"]);
    let host = |change: &dyn Fn(&mut ResticPlace)| picked(change).unwrap().hostname;
    assert_eq!(host(&|_| {}), "web2");
    assert_eq!(host(&|place| place.host = Some("web1".into())), "web1");
    assert_eq!(host(&|place| place.tags = vec!["nightly".into()]), "web1");
    assert_eq!(host(&|place| place.paths = vec![made.at("files").display().to_string()]), "web2");
    let first = picked(&|place| place.host = Some("web1".into())).unwrap();
    let id = first.id.to_hex().as_str().to_owned();
    for length in [8, 12, 64] {
        assert_eq!(host(&|place| place.snapshot = id[..length].to_owned()), "web1");
    }
    for why in [
        picked(&|place| place.host = Some("web3".into())).unwrap_err(),
        picked(&|place| place.snapshot = "ffffffffff".into()).unwrap_err(),
        picked(&|place| place.paths = vec!["/srv".into()]).unwrap_err(),
    ] {
        assert!(why.contains("none of its 2 snapshots"), "{why}");
    }
    assert!(picked(&|place| place.snapshot = String::new()).unwrap_err().contains("write more of the id"));

    let trees = Trees::new(Arc::new(repo.to_indexed().unwrap()));
    let files = made.at("files").display().to_string();
    let root = find_root(&trees, &first, &files).unwrap();
    assert_eq!(find_root(&trees, &first, &format!("{files}/./")).unwrap(), root);
    assert_eq!(find_root(&trees, &first, "").unwrap(), first.tree);
    let why = find_root(&trees, &first, "/srv/other").unwrap_err();
    assert!(why.contains("has no folder /srv/other") && why.contains(&files), "{why}");

    let wrong = |change: &dyn Fn(&mut ResticPlace)| {
        let mut place = made.place();
        change(&mut place);
        gone(&place)
    };
    for (why, word) in [
        (wrong(&|place| place.repository = made.at("none")), "no such folder"),
        (wrong(&|place| place.repository = made.at("files")), "no restic repository"),
        (
            wrong(&|place| place.password = Secret::Variable { name: "P".into(), value: Some("x".into()) }),
            "password is wrong",
        ),
        (wrong(&|place| place.password = Secret::Variable { name: "P".into(), value: None }), "P is not set"),
    ] {
        assert!(why.contains(word), "{why}");
    }
}

#[test]
fn damage_is_an_error_and_what_is_away_is_gone() {
    let Some(made) = Made::new() else { return };
    for number in 0..20 {
        made.write(&format!("{number}"), &noise(number, 700_000));
    }
    made.back_up(&[]);
    let source = made.open();
    // A flipped bit in each large pack: nothing that lies there is given out as good.
    let packs: Vec<PathBuf> =
        made.packs().into_iter().filter(|pack| pack.metadata().unwrap().len() > 100_000).collect();
    for pack in &packs {
        let mut bytes = std::fs::read(pack).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::remove_file(pack).unwrap();
        std::fs::write(pack, bytes).unwrap();
    }
    let mut damaged = Vec::new();
    for number in 0..20 {
        match read(&source, &format!("{number}"), 0) {
            Ok(bytes) => assert!(bytes == noise(number, 700_000)),
            Err(why) => {
                damaged.push(number);
                assert!(why.to_string().contains("is damaged"), "{why}");
            }
        }
    }
    assert!((1..=packs.len()).contains(&damaged.len()), "{damaged:?}");
    packs.iter().for_each(|pack| std::fs::remove_file(pack).unwrap());
    std::fs::write(made.at("repo/locks/x"), "").unwrap();
    let damaged = damaged[0].to_string();
    let why = read(&source, &damaged, 0).unwrap_err().to_string();
    assert!(why.contains("is missing from the repository") && why.contains("is locked"), "{why}");
    source.reachable().unwrap();
    std::fs::rename(made.at("repo"), made.at("away")).unwrap();
    assert!(matches!(source.reachable(), Err(SourceFault::Gone(_))));
    assert!(matches!(source.stat(&path("nothing")), Err(SourceFault::Gone(_))));
    let why = read(&source, &damaged, 0).unwrap_err().to_string();
    assert!(why.contains("out of reach") && why.contains("no such folder"), "{why}");
}
