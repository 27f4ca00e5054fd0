use std::ops::ControlFlow;

use super::*;
use crate::testing::{Tree, path};
use proptest::prelude::*;

fn files(walk: Walk<'_>) -> Vec<FilePath> {
    walk.map(file).collect()
}

fn file(event: WalkEvent) -> FilePath {
    match event {
        WalkEvent::File(entry) => entry.path,
        other => panic!("{other:?}"),
    }
}

fn in_batches(walk: Walk<'_>, threads: usize) -> Vec<WalkEvent> {
    let mut all = Vec::new();
    walk.in_batches(threads, |events| {
        assert!(!events.is_empty());
        all.extend(events);
        ControlFlow::Continue(())
    });
    all
}

#[test]
fn a_walk_ahead_has_the_same_events_in_the_same_order() {
    let tree = Tree::new();
    for folder in 0..40 {
        for name in 0..50 {
            tree.write(&format!("f{folder:02}/sub{}/{name}", name % 3), b"x");
        }
        std::os::unix::fs::symlink("/etc", tree.at(&format!("f{folder:02}/link"))).unwrap();
    }
    // Each in a folder of its own.
    for name in 0..700 {
        tree.write(&format!("single/{name}/file"), b"x");
    }
    let root = tree.root();
    let plain: Vec<_> = Walk::new(&root).collect();
    assert_eq!(plain.len(), 40 * 51 + 700);
    for threads in [0, 1, 3] {
        assert_eq!(in_batches(Walk::new(&root), threads), plain);
    }
    let (from, to) = (path("f07/sub1/4"), path("single/3/file"));
    let part: Vec<_> = Walk::new(&root).after(&from).until(&to).collect();
    assert_eq!(in_batches(Walk::new(&root).after(&from).until(&to), 2), part);
}

#[test]
fn a_walk_ahead_ends_when_nobody_takes_more() {
    let tree = Tree::new();
    (0..5_000).for_each(|name| tree.write(&name.to_string(), b""));
    let mut batches = 0;
    Walk::new(&tree.root()).in_batches(2, |_| {
        batches += 1;
        if batches == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(batches, 2);
}

#[test]
fn facts_come_with_the_names_and_nothing_is_followed() {
    let tree = Tree::new();
    tree.write("anna/a.jpg", b"four");
    tree.write("lost+found/#12", b"x");
    tree.write(".salvor/quarantine/x", b"ours");
    tree.write("anna/.salvor/x", b"theirs");
    tree.write(".salvor-tmp-0123456789abcdef0123456789abcdef", b"half");
    std::os::unix::fs::symlink("/etc", tree.at("anna/link")).unwrap();
    let root = tree.root();
    let events: Vec<_> = Walk::new(&root).collect();
    let [WalkEvent::File(theirs), WalkEvent::File(entry), link, WalkEvent::File(orphan)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(theirs.path, path("anna/.salvor/x"));
    assert_eq!((&entry.path, entry.size), (&path("anna/a.jpg"), 4));
    assert_eq!(entry.mtime_ns, root.stat(&entry.path).unwrap().unwrap().mtime_ns);
    assert_eq!(*link, WalkEvent::Other { path: b"anna/link".to_vec(), kind: Kind::Symlink });
    assert_eq!(orphan.path, path("lost+found/#12"));
    assert_eq!(files(Walk::new(&root).within(&path("lost+found"))), [path("lost+found/#12")]);
    assert_eq!(files(Walk::new(&root).within(&path("nowhere"))), []);
}

#[test]
fn a_tree_deeper_than_the_open_handles_is_walked_whole() {
    let tree = Tree::new();
    let mut deep = String::new();
    let mut all = Vec::new();
    for level in 0..80 {
        for name in ["b", "z"] {
            tree.write(&format!("{deep}{name}"), b"");
            all.push(path(&format!("{deep}{name}")));
        }
        deep.push_str(if level % 2 == 0 { "m/" } else { "a/" });
    }
    all.sort();
    assert_eq!(files(Walk::new(&tree.root())), all);
}

#[test]
fn paths_too_long_for_a_name_are_said_to_be_unreadable() {
    let tree = Tree::new();
    let root = tree.root();
    let part = "p".repeat(250);
    let longest = path(&format!("{}{}", format!("{part}/").repeat(16), "n".repeat(80)));
    assert_eq!(longest.as_bytes().len(), 4096);
    root.create_folders(&FilePath::new(longest.parent()).unwrap()).unwrap();
    let folder = root.resolve(longest.parent()).unwrap();
    for name in [longest.file_name(), "n".repeat(81).as_bytes()] {
        let flags = OFlags::CREATE | OFlags::WRONLY;
        drop(fs::openat(&folder, name, flags, Mode::from_raw_mode(0o644)).unwrap());
    }
    let events: Vec<_> = Walk::new(&root).collect();
    assert!(matches!(&events[0], WalkEvent::File(entry) if entry.path == longest));
    let WalkEvent::Unreadable { path, folder: false, reason } = &events[1] else { panic!("{events:?}") };
    assert_eq!((path.len(), reason.as_str()), (4097, "a path is at most 4096 bytes long, this one has 4097"));
}

#[test]
fn a_folder_that_may_not_be_read_is_an_event() {
    use std::os::unix::fs::PermissionsExt;
    if rustix::process::geteuid().is_root() {
        crate::testing::skipped(
            "root may read every folder; run the tests as an ordinary user to see this one",
        );
        return;
    }
    let tree = Tree::new();
    tree.write("closed/a", b"");
    tree.write("open/a", b"");
    std::fs::set_permissions(tree.at("closed"), PermissionsExt::from_mode(0o000)).unwrap();
    let events: Vec<_> = Walk::new(&tree.root()).collect();
    std::fs::set_permissions(tree.at("closed"), PermissionsExt::from_mode(0o700)).unwrap();
    assert!(matches!(&events[0], WalkEvent::Unreadable { path, folder: true, reason }
            if path == b"closed" && reason.contains("permission denied")));
    assert!(matches!(&events[1], WalkEvent::File(_)));
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    // Bytes around '/', an invalid one, and names that share their first eight bytes.
    let byte = prop::sample::select(b"-./0a\xff".iter().copied().filter(|b| *b != b'/').collect::<Vec<_>>());
    (any::<bool>(), prop::collection::vec(byte, 1..4)).prop_map(|(long, mut name)| {
        if name == b"." || name == b".." {
            name.push(b'a');
        }
        if long { [b"sameprefix".to_vec(), name].concat() } else { name }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_is_that_of_the_bytes_and_a_walk_goes_on_anywhere(
        wanted in prop::collection::vec(prop::collection::vec(name(), 1..4), 1..24),
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
    ) {
        let tree = Tree::new();
        let mut paths = Vec::new();
        for parts in wanted {
            let wanted = FilePath::new(parts.join(&b'/')).unwrap();
            if tree.try_write(&wanted, b"x") {
                paths.push(wanted);
            }
        }
        paths.sort();
        paths.dedup();
        let root = tree.root();
        prop_assert_eq!(&files(Walk::new(&root)), &paths);
        let ahead: Vec<_> = in_batches(Walk::new(&root), 2).into_iter().map(file).collect();
        prop_assert_eq!(&ahead, &paths);
        let (from, to) = (from.index(paths.len()), to.index(paths.len()));
        prop_assert_eq!(&files(Walk::new(&root).after(&paths[from])), &paths[from + 1..]);
        prop_assert_eq!(&files(Walk::new(&root).until(&paths[to])), &paths[..=to]);
    }
}
