use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use salvor_domain::digest::Digest;
use salvor_domain::path::FilePath;

use super::*;
use crate::control::{Control, Progress};
use crate::limit::RateLimit;
use crate::root::Root;
use crate::sink::{Label, Sink};
use crate::testing::{Mount, Tree, digest, noise, path, skipped};

const THEN: i64 = 1_600_000_000_000_000_000;

fn lost_and_found(root: &Arc<Root>) -> LostFolder {
    LostFolder {
        root: root.clone(),
        folder: Some(path("lost+found")),
        movable: true,
        is_lost_and_found: true,
    }
}

/// What lies in the folder, all read.
fn orphans(lost: &LostFolder) -> Orphans {
    let mut orphans = Orphans::default();
    assert_eq!(orphans.collect(0, lost, |_| false, &Control::new()).unwrap(), []);
    let sizes: BTreeSet<u64> = orphans.iter().map(|orphan| orphan.size).collect();
    let folders = std::slice::from_ref(lost);
    orphans.read(folders, &sizes, 2, &RateLimit::unlimited(), &Control::new()).unwrap();
    orphans
}

/// The file that belongs at `to`, with the orphan that has its bytes.
fn item(orphans: &mut Orphans, to: &FilePath, content: &[u8]) -> ReuniteItem {
    let size = content.len() as u64;
    let taken = orphans.take(to, size, &digest(content)).expect("an orphan with these bytes");
    ReuniteItem {
        path: to.clone(),
        size,
        mtime_ns: THEN,
        digest: digest(content),
        mode: 0o640,
        known_corrupt: false,
        folder: taken.folder,
        orphan: taken.path,
        stamp: taken.stamp,
        twin: taken.twin,
    }
}

fn options(limit: RateLimit) -> ReuniteOptions {
    ReuniteOptions { threads: 2, label: Label::new("job").unwrap(), limit }
}

fn run(volume: &Sink, lost: &LostFolder, items: &[ReuniteItem]) -> Vec<ReuniteResult> {
    let options = options(RateLimit::unlimited());
    let folders = std::slice::from_ref(lost);
    let report = reunite_batch(volume, folders, items, &options, &Control::new(), &Progress::new());
    assert_eq!(report.fatal, None);
    report.results
}

fn moved() -> ReuniteResult {
    ReuniteResult::Moved { quarantined: None }
}

#[test]
fn a_nameless_file_gets_its_place_time_and_mode_without_a_copy() {
    let tree = Tree::new();
    tree.write("lost+found/#12", b"four");
    let inode = std::fs::metadata(tree.at("lost+found/#12")).unwrap().ino();
    let sink = tree.sink();
    let lost = lost_and_found(sink.root());
    let mut found = orphans(&lost);
    assert!(found.has_size(4) && !found.has_size(5) && found.knows(4, &digest(b"four")));
    let items = [item(&mut found, &path("anna/new/a.jpg"), b"four")];
    assert_eq!(run(&sink, &lost, &items), [moved()]);
    assert_eq!(tree.everything(), ["anna/new/a.jpg"]);
    let facts = std::fs::metadata(tree.at("anna/new/a.jpg")).unwrap();
    assert_eq!((facts.ino(), facts.mode() & 0o7777), (inode, 0o640));
    assert_eq!(tree.mtime("anna/new/a.jpg"), THEN);
    assert!(tree.at("lost+found").is_dir(), "lost+found itself stays");
    // Somebody was killed before recording it, and perhaps before it was durable: the next one finds it in place.
    let before = sink.barriers();
    assert_eq!(run(&sink, &lost, &items), [ReuniteResult::InPlace]);
    assert_eq!(sink.barriers(), before + 1);
    let standings: Vec<_> = found.iter().map(|orphan| orphan.standing).collect();
    assert_eq!(standings, [Standing::Taken(path("anna/new/a.jpg"))]);
}

#[test]
fn nameless_folders_are_merged_file_by_file_and_go_when_they_are_empty() {
    let tree = Tree::new();
    for (name, content) in
        [("#7/p1.jpg", "one"), ("#7/sub/p2.jpg", "two2"), ("#8/p3.jpg", "three"), ("#8/x", "unknown")]
    {
        tree.write(&format!("lost+found/{name}"), content.as_bytes());
    }
    tree.write("anna/p0.jpg", b"there all along");
    tree.link("/etc/passwd", "lost+found/#9");
    tree.link("/etc", "lost+found/#8/etc");
    let sink = tree.sink();
    let lost = lost_and_found(sink.root());
    let mut found = orphans(&lost);
    assert_eq!((found.len(), found.others()), (4, 2));
    let items = [
        item(&mut found, &path("anna/p1.jpg"), b"one"),
        item(&mut found, &path("anna/sub/p2.jpg"), b"two2"),
        item(&mut found, &path("rose/p3.jpg"), b"three"),
    ];
    assert_eq!(run(&sink, &lost, &items), [moved(), moved(), moved()]);
    assert!(!tree.at("lost+found/#7").exists(), "its files are all at home");
    assert_eq!(
        tree.everything(),
        [
            "anna/p0.jpg",
            "anna/p1.jpg",
            "anna/sub/p2.jpg",
            "lost+found/#8/etc",
            "lost+found/#8/x",
            "lost+found/#9",
            "rose/p3.jpg"
        ]
    );
    let left: Vec<_> = found.iter().filter(|orphan| orphan.standing == Standing::Read).collect();
    assert_eq!(left[0].path, path("lost+found/#8/x"));
    assert_eq!(left.len(), 1);
}

#[test]
fn several_paths_of_one_content_are_all_served() {
    for big in [false, true] {
        let content = noise(1, if big { 700_000 } else { 900 });
        let tree = Tree::new();
        tree.write("lost+found/#1", &content);
        let sink = tree.sink();
        let lost = lost_and_found(sink.root());
        let mut found = orphans(&lost);
        let names = ["anna/a", "rose/b", "rose/c"];
        let items = names.map(|name| item(&mut found, &path(name), &content));
        assert_eq!(items[0].twin, None);
        assert_eq!((&items[1].twin, &items[2].twin), (&Some(path("anna/a")), &Some(path("anna/a"))));
        // One of the copies is asked for before the orphan is moved, one after it.
        assert!(matches!(run(&sink, &lost, &items[1..2])[..], [ReuniteResult::Copied { .. }]));
        let results = run(&sink, &lost, &items);
        assert_eq!(results[0..2], [moved(), ReuniteResult::InPlace]);
        assert!(matches!(results[2], ReuniteResult::Copied { quarantined: None, .. }));
        for name in names {
            assert!(tree.read(name) == content, "{name}");
            assert_eq!(tree.mtime(name), THEN);
        }
        assert_eq!(tree.everything(), names);
    }
}

#[test]
fn of_several_orphans_of_one_content_the_one_of_the_same_name_is_taken() {
    let tree = Tree::new();
    for name in ["#1/a.gif", "#1/b.gif", "#2"] {
        tree.write(&format!("lost+found/{name}"), b"same");
    }
    let sink = tree.sink();
    let lost = lost_and_found(sink.root());
    let mut found = orphans(&lost);
    let items = [item(&mut found, &path("x/b.gif"), b"same"), item(&mut found, &path("x/c.gif"), b"same")];
    assert_eq!(items[0].orphan, path("lost+found/#1/b.gif"));
    assert_eq!(run(&sink, &lost, &items), [moved(), moved()]);
    // One is left, and known.
    found.spare(&path("x/b.gif"), 4, &digest(b"same"), Spare::InPlace);
    let spare = |orphan: &Orphan| matches!(orphan.standing, Standing::Spare(Spare::InPlace, _));
    assert_eq!(found.iter().filter(spare).count(), 1);
}

#[test]
fn nothing_is_overwritten() {
    let tree = Tree::new();
    for (name, content) in [("#1", "right 1"), ("#2", "right 22"), ("#3", "right 333"), ("#4", "right 4444")]
    {
        tree.write(&format!("lost+found/{name}"), content.as_bytes());
    }
    tree.write("newer", b"written again");
    tree.write("corrupt", b"wrong 22");
    tree.set_mtime("corrupt", THEN);
    tree.write("there", b"right 333");
    std::fs::create_dir(tree.at("folder")).unwrap();
    let sink = tree.sink();
    let lost = lost_and_found(sink.root());
    let mut found = orphans(&lost);
    let items = [
        item(&mut found, &path("newer"), b"right 1"),
        item(&mut found, &path("corrupt"), b"right 22"),
        item(&mut found, &path("there"), b"right 333"),
        item(&mut found, &path("folder"), b"right 4444"),
    ];
    let results = run(&sink, &lost, &items);
    assert_eq!(results[0], ReuniteResult::NewerKept { size: 13 });
    assert_eq!(
        results[1],
        ReuniteResult::Moved { quarantined: Some(b".salvor/quarantine/job/corrupt".to_vec()) }
    );
    assert_eq!(results[2], ReuniteResult::InPlace);
    assert!(
        matches!(&results[3], ReuniteResult::Failed { reason } if reason.contains("a folder")),
        "{results:?}"
    );
    assert_eq!((tree.read("newer"), tree.read("corrupt")), (b"written again".to_vec(), b"right 22".to_vec()));
    assert_eq!(tree.read(".salvor/quarantine/job/corrupt"), b"wrong 22");
    // What was not needed lies where it was.
    assert!(["#1", "#3", "#4"].iter().all(|name| tree.at(&format!("lost+found/{name}")).exists()));
}

#[test]
fn an_orphan_that_changed_since_it_was_read_is_read_again() {
    let tree = Tree::new();
    for name in ["#1", "#2", "#3"] {
        tree.write(&format!("lost+found/{name}"), name.as_bytes());
    }
    let sink = tree.sink();
    let lost = lost_and_found(sink.root());
    let mut found = orphans(&lost);
    let items = ["#1", "#2", "#3"].map(|name| item(&mut found, &path(&name[1..]), name.as_bytes()));
    tree.write("lost+found/#1", b"#X");
    // Touched, and its bytes are still the same.
    tree.set_mtime("lost+found/#2", THEN + 1);
    std::fs::remove_file(tree.at("lost+found/#3")).unwrap();
    let results = run(&sink, &lost, &items);
    assert!(
        matches!(&results[0], ReuniteResult::Failed { reason } if reason.contains("changed since")),
        "{results:?}"
    );
    assert_eq!(results[1], moved());
    assert!(
        matches!(&results[2], ReuniteResult::Failed { reason } if reason.contains("not there")),
        "{results:?}"
    );
    assert_eq!(tree.everything(), ["2", "lost+found/#1"]);
}

/// Reading it takes a while, writing it does not: no block of it is on the disk.
const LARGE: usize = 64 << 20;

/// A volume whose one orphan is large.
fn large() -> (Tree, Vec<u8>) {
    let tree = Tree::new();
    tree.write("lost+found/#1", b"");
    std::fs::File::options()
        .write(true)
        .open(tree.at("lost+found/#1"))
        .unwrap()
        .set_len(LARGE as u64)
        .unwrap();
    (tree, vec![0; LARGE])
}

/// Whether somebody in this process is in the midst of a file.
fn is_being_read(file: &Path) -> bool {
    std::fs::read_dir("/proc/self/fd").unwrap().flatten().any(|open| {
        let info = Path::new("/proc/self/fdinfo").join(open.file_name());
        std::fs::read_link(open.path()).is_ok_and(|opened| opened == file)
            && std::fs::read_to_string(info).is_ok_and(|info| !info.starts_with("pos:\t0\n"))
    })
}

/// What comes of an item when `meanwhile` happens while its orphan is read.
fn run_while(
    tree: &Tree,
    sink: &Sink,
    lost: &LostFolder,
    item: &ReuniteItem,
    meanwhile: impl FnOnce(),
) -> ReuniteResult {
    let orphan = tree.at("lost+found/#1").canonicalize().unwrap();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| run(sink, lost, std::slice::from_ref(item)).remove(0));
        while !is_being_read(&orphan) {
            assert!(!running.is_finished(), "it was read before anybody saw it");
            std::thread::yield_now();
        }
        meanwhile();
        running.join().unwrap()
    })
}

#[test]
fn a_second_path_gets_its_copy_although_the_orphan_gets_its_name_while_it_is_read() {
    let (tree, content) = large();
    let sink = tree.sink();
    let lost = lost_and_found(sink.root());
    let mut found = orphans(&lost);
    let items = ["a", "b"].map(|name| item(&mut found, &path(name), &content));
    let result = run_while(&tree, &sink, &lost, &items[1], || {
        assert_eq!(run(&sink, &lost, &items[..1]), [moved()]);
    });
    assert!(matches!(result, ReuniteResult::Copied { quarantined: None, .. }), "{result:?}");
    assert_eq!(tree.everything(), ["a", "b"]);
    assert!(tree.read("b") == content);
}

#[test]
fn what_another_worker_puts_in_place_meanwhile_is_in_place() {
    let (tree, content) = large();
    let sink = tree.sink();
    let lost = lost_and_found(sink.root());
    let mut found = orphans(&lost);
    let item = item(&mut found, &path("a"), &content);
    // It is not as it was when it was read first, and has to be read again.
    tree.set_mtime("lost+found/#1", THEN);
    let result = run_while(&tree, &sink, &lost, &item, || {
        std::fs::rename(tree.at("lost+found/#1"), tree.at("a")).unwrap();
    });
    assert_eq!(result, ReuniteResult::InPlace);
}

#[test]
fn a_link_in_the_place_of_an_orphan_or_of_its_folder_is_not_followed() {
    let tree = Tree::new();
    let outside = Tree::new();
    outside.write("secret", b"four");
    tree.write("lost+found/#1", b"four");
    tree.write("lost+found/#2/f", b"five5");
    let sink = tree.sink();
    let lost = lost_and_found(sink.root());
    let mut found = orphans(&lost);
    let items = [item(&mut found, &path("a"), b"four"), item(&mut found, &path("link/b"), b"five5")];
    std::fs::remove_file(tree.at("lost+found/#1")).unwrap();
    tree.link(outside.at("secret").to_str().unwrap(), "lost+found/#1");
    tree.link(outside.at("").to_str().unwrap(), "link");
    let results = run(&sink, &lost, &items);
    assert!(results.iter().all(|result| matches!(result, ReuniteResult::Failed { .. })), "{results:?}");
    assert_eq!(outside.everything(), ["secret"]);
}

#[test]
fn names_of_any_bytes_and_length_are_kept_and_the_salvor_folder_is_no_place_for_orphans() {
    let tree = Tree::new();
    let long = "n".repeat(255);
    let odd = FilePath::new(b"lost+found/#1/caf\xe9 \\ 100%\n.gif".to_vec()).unwrap();
    assert!(tree.try_write(&odd, b"not utf-8"));
    tree.write(&format!("lost+found/{long}"), b"long name");
    let sink = tree.sink();
    let lost = lost_and_found(sink.root());
    let mut found = orphans(&lost);
    let target = FilePath::new(b"rose/caf\xe9/\xff.gif".to_vec()).unwrap();
    let items = [
        item(&mut found, &target, b"not utf-8"),
        item(&mut found, &path(&format!("{long}/{long}/{long}")), b"long name"),
    ];
    assert_eq!(run(&sink, &lost, &items), [moved(), moved()]);
    assert_eq!(sink.root().stat(&target).unwrap().unwrap().size, 9);
    // A whole volume given as the folder: its quarantine is not looked into.
    tree.write(".salvor/quarantine/job/x", b"wrong");
    let all = LostFolder { folder: None, ..lost };
    assert!(orphans(&all).iter().all(|orphan| !orphan.path.as_bytes().starts_with(b".salvor")));
}

#[test]
fn only_sizes_that_are_asked_for_are_read() {
    let tree = Tree::new();
    tree.write("lost+found/#1", b"four");
    tree.write("lost+found/#2", b"five5");
    let sink = tree.sink();
    let lost = lost_and_found(sink.root());
    let mut found = Orphans::default();
    found.collect(0, &lost, |name| *name == path("lost+found/#1"), &Control::new()).unwrap();
    assert_eq!(found.len(), 1, "what has a name is none of them");
    found.collect(0, &lost, |name| *name != path("lost+found/#1"), &Control::new()).unwrap();
    let folders = std::slice::from_ref(&lost);
    found.read(folders, &[5, 6].into(), 2, &RateLimit::unlimited(), &Control::new()).unwrap();
    let read = |orphan: &Orphan| orphan.standing == Standing::Read;
    assert_eq!(found.iter().filter(read).map(|orphan| orphan.size).collect::<Vec<_>>(), [5]);
    let stopped = Control::new();
    stopped.pause();
    assert!(found.read(folders, &[4].into(), 2, &RateLimit::unlimited(), &stopped).is_err());
    assert!(found.take(&path("a"), 4, &Digest([0; 32])).is_some() || !found.knows(4, &digest(b"four")));
}

#[test]
fn a_limit_holds_the_reading_and_the_moving() {
    let tree = Tree::new();
    for number in 0..6 {
        tree.write(&format!("lost+found/#{number}"), &noise(number, 100_000));
    }
    let sink = tree.sink();
    let lost = lost_and_found(sink.root());
    let folders = std::slice::from_ref(&lost);
    let mut found = Orphans::default();
    found.collect(0, &lost, |_| false, &Control::new()).unwrap();
    let began = Instant::now();
    found.read(folders, &[100_000].into(), 2, &RateLimit::bytes(2_000_000), &Control::new()).unwrap();
    assert!(began.elapsed().as_secs_f64() > 0.28, "600 kB at 2 MB/s took {:?}", began.elapsed());
    let items: Vec<_> =
        (0..6).map(|number| item(&mut found, &path(&number.to_string()), &noise(number, 100_000))).collect();
    let go = |limit: RateLimit, control: &Control| {
        reunite_batch(&sink, folders, &items, &options(limit), control, &Progress::new()).results
    };
    // At nothing nothing is moved, until somebody says stop.
    for shut in [RateLimit::bytes(0), RateLimit::new(None, Some(0))] {
        let control = Control::new();
        std::thread::scope(|scope| {
            let going = scope.spawn(|| go(shut, &control));
            std::thread::sleep(Duration::from_millis(100));
            assert!(!going.is_finished(), "it waits");
            control.pause();
            assert_eq!(going.join().unwrap(), vec![ReuniteResult::NotStarted; 6]);
        });
    }
    let began = Instant::now();
    assert_eq!(go(RateLimit::new(None, Some(20)), &Control::new()), vec![moved(); 6]);
    assert!(began.elapsed().as_secs_f64() > 0.28, "6 files at 20 files/s took {:?}", began.elapsed());
}

#[test]
fn from_another_file_system_comes_a_verified_copy() {
    let Some(mount) = Mount::tmpfs("size=4m") else { return };
    std::fs::write(mount.path().join("recovered"), b"four").unwrap();
    let tree = Tree::new();
    let sink = tree.sink();
    let root = Arc::new(Root::open(mount.path()).unwrap());
    // Even where somebody believes that it is the same one.
    for movable in [false, true] {
        let lost = LostFolder { root: root.clone(), folder: None, movable, is_lost_and_found: false };
        let mut found = orphans(&lost);
        let to = path(if movable { "b" } else { "a" });
        let items = [item(&mut found, &to, b"four")];
        assert!(matches!(run(&sink, &lost, &items)[..], [ReuniteResult::Copied { .. }]));
    }
    assert_eq!(tree.everything(), ["a", "b"]);
    assert_eq!((tree.read("a"), tree.mtime("a")), (b"four".to_vec(), THEN));
    assert!(mount.path().join("recovered").exists(), "what cannot be moved stays");
}

#[test]
fn what_may_not_be_read_is_said_to_be_so() {
    if rustix::process::geteuid().is_root() {
        return skipped("root may read every folder; run the tests as an ordinary user to see this one");
    }
    let tree = Tree::new();
    tree.write("lost+found/#1", b"four");
    std::fs::set_permissions(tree.at("lost+found"), PermissionsExt::from_mode(0o0)).unwrap();
    let sink = tree.sink();
    let lost = lost_and_found(sink.root());
    let faults = Orphans::default().collect(0, &lost, |_| false, &Control::new()).unwrap();
    std::fs::set_permissions(tree.at("lost+found"), PermissionsExt::from_mode(0o700)).unwrap();
    assert!(faults[0].1.contains("permission denied"), "{faults:?}");
}

#[test]
fn what_a_full_or_dead_volume_does_not_keep_is_not_called_in_place() {
    let Some(mount) = Mount::lying() else { return };
    std::fs::create_dir_all(mount.path().join("lost+found")).unwrap();
    let sink = mount.sink();
    let lost = lost_and_found(sink.root());
    for number in 0..40 {
        std::fs::write(mount.path().join(format!("lost+found/#{number}")), noise(number, 400_000)).unwrap();
    }
    let mut found = orphans(&lost);
    let items: Vec<_> = (0..40)
        .map(|number| item(&mut found, &path(&format!("a/{number}")), &noise(number, 400_000)))
        .collect();
    let options = options(RateLimit::unlimited());
    let folders = std::slice::from_ref(&lost);
    let report = reunite_batch(&sink, folders, &items, &options, &Control::new(), &Progress::new());
    assert!(report.fatal.is_some(), "the barrier failed");
    let in_place = report
        .results
        .iter()
        .filter(|result| !matches!(result, ReuniteResult::Failed { .. } | ReuniteResult::NotStarted));
    assert_eq!(in_place.count(), 0);
}
