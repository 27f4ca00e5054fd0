use std::sync::atomic::Ordering;

use super::*;
use crate::testing::{Mount, Tree, path};

#[test]
fn a_missing_folder_and_a_file_are_named_in_the_error() {
    let tree = Tree::new();
    tree.write("file", b"");
    let error = |path: &str| Root::open(&tree.at(path)).map(drop).unwrap_err().to_string();
    assert_eq!(error("none"), format!("the folder {} does not exist", tree.at("none").display()));
    assert_eq!(error("file"), format!("{} is not a folder", tree.at("file").display()));
}

/// Both ways of resolving: the kernel's and component by component.
fn both_ways(test: impl Fn(&Tree, &Root)) {
    for without_openat2 in [false, true] {
        let tree = Tree::new();
        let root = tree.root();
        root.without_openat2.store(without_openat2, Ordering::Relaxed);
        test(&tree, &root);
        assert_eq!(root.without_openat2.load(Ordering::Relaxed), without_openat2);
    }
}

#[test]
fn links_lead_nowhere() {
    both_ways(|tree, root| {
        let elsewhere = Tree::new();
        elsewhere.write("secret", b"x");
        elsewhere.write("folder/secret", b"x");
        let outside = elsewhere.at("").to_str().unwrap().to_owned();
        std::fs::create_dir_all(tree.at("real/deep")).unwrap();
        tree.link(&format!("{outside}secret"), "link");
        tree.link(&outside, "parent");
        tree.link(&outside, "real/deep/parent");
        tree.link("real", "inside");
        tree.write("real/file", b"x");
        assert_eq!(root.open_file(&path("link")).err(), Some(ReadFault::NotAFile(Kind::Symlink)));
        assert_eq!(root.stat(&path("link")).unwrap().unwrap().kind, Kind::Symlink);
        for (wanted, at) in [
            ("parent/secret", "parent"),
            ("parent/folder/secret", "parent"),
            ("real/deep/parent/secret", "real/deep/parent"),
            ("inside/file", "inside"),
        ] {
            let fault = ReadFault::InTheWay(at.into(), Kind::Symlink);
            assert_eq!(root.open_file(&path(wanted)).err(), Some(fault.clone()), "{wanted}");
            assert_eq!(root.stat(&path(wanted)).err(), Some(fault), "{wanted}");
        }
        let fault = root.create_folders(&path("parent/new/folder")).unwrap_err();
        assert_eq!(
            (fault.kind, &*fault.reason),
            (WriteFaultKind::InTheWay, "a symbolic link is in the way: parent")
        );
        assert!(root.move_file(&path("real/file"), &path("parent/file")).is_err());
        assert!(root.remove_file(&path("parent/secret")).is_err());
        assert!(root.remove_file(&path("link")).is_err());
        assert!(root.list(Some(&path("parent"))).is_err());
        assert_eq!(crate::testing::everything(Path::new(&outside)), ["folder/secret", "secret"]);
    });
}

#[test]
fn what_is_not_a_file_is_said_by_name_and_never_waited_for() {
    both_ways(|tree, root| {
        tree.write("file", b"");
        std::fs::create_dir(tree.at("folder")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, tree.at("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(tree.at("socket")).unwrap();
        let opened = |name: &str| root.open_file(&path(name)).map(drop);
        assert_eq!(opened("folder"), Err(ReadFault::NotAFile(Kind::Folder)));
        assert_eq!(opened("pipe"), Err(ReadFault::NotAFile(Kind::Fifo)));
        assert_eq!(opened("socket"), Err(ReadFault::NotAFile(Kind::Socket)));
        assert_eq!(opened("file/below"), Err(ReadFault::InTheWay(b"file".to_vec(), Kind::File)));
        assert_eq!(opened("none"), Err(ReadFault::NotFound));
        assert_eq!(opened("none/below"), Err(ReadFault::NotFound));
        assert_eq!(root.stat(&path("none/below")), Ok(None));
    });
}

#[test]
fn names_of_any_bytes_and_the_longest_paths_work() {
    both_ways(|_, root| {
        for longest in [[vec![b'\xff'; 255], vec![b'/']].concat().repeat(16), b"a/".repeat(2048)] {
            let longest = FilePath::new(&longest[..longest.len().min(4096) - 1]).unwrap();
            root.create_folders(&longest).unwrap();
            let below = FilePath::new(longest.parent()).unwrap();
            assert_eq!(root.stat(&longest).unwrap().unwrap().kind, Kind::Folder);
            assert_eq!(root.list(Some(&below)).unwrap()[0].name, longest.file_name());
        }
    });
}

#[test]
fn a_kept_handle_does_not_outlive_its_folder() {
    let tree = Tree::new();
    let root = tree.root();
    tree.write("a/b/file", b"old");
    assert!(root.stat(&path("a/b/file")).unwrap().is_some());
    std::fs::remove_dir_all(tree.at("a")).unwrap();
    assert_eq!(root.stat(&path("a/b/file")), Ok(None));
    tree.write("a/b/file", b"fresh");
    assert_eq!(root.stat(&path("a/b/file")).unwrap().unwrap().size, 5);
    std::fs::remove_dir_all(tree.at("a")).unwrap();
    root.create_folders(&path("a/b")).unwrap();
    assert!(tree.at("a/b").is_dir());
}

#[test]
fn new_folders_can_be_gone_through_whatever_the_umask_and_the_quarantine_cannot() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let tree = Tree::new();
    let root = tree.root();
    std::fs::set_permissions(tree.at(""), PermissionsExt::from_mode(0o700)).unwrap();
    root.create_folders(&path("new/folder")).unwrap();
    root.folder_made(b".salvor/quarantine").unwrap();
    let mode = |name: &str| std::fs::metadata(tree.at(name)).unwrap().mode() & 0o777;
    assert_eq!((mode("new"), mode("new/folder"), mode(".salvor")), (0o755, 0o755, 0o700));
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(tree.at("new"), Some(1234), Some(5678)).unwrap();
        root.forget(b"new");
        root.create_folders(&path("new/theirs/too")).unwrap();
        let facts = std::fs::metadata(tree.at("new/theirs/too")).unwrap();
        assert_eq!((facts.uid(), facts.gid()), (1234, 5678), "the site's owner must be able to write there");
    }
}

#[test]
fn a_file_moves_to_its_place_but_never_over_another() {
    let tree = Tree::new();
    let root = tree.root();
    tree.write("lost+found/#77", b"orphan");
    tree.write("anna/there.jpg", b"good");
    let fault = root.move_file(&path("lost+found/#77"), &path("anna/there.jpg")).unwrap_err();
    assert_eq!((fault.kind, tree.read("anna/there.jpg")), (WriteFaultKind::Exists, b"good".to_vec()));
    root.move_file(&path("lost+found/#77"), &path("anna/new/a.jpg")).unwrap();
    assert_eq!(tree.everything(), ["anna/new/a.jpg", "anna/there.jpg"]);
    assert!(root.move_file(&path("lost+found/#77"), &path("x")).is_err());
}

#[test]
fn only_empty_folders_are_removed() {
    let tree = Tree::new();
    let root = tree.root();
    tree.write("a/b/c/file", b"");
    tree.write("a/keep", b"");
    assert_eq!(root.remove_file(&path("a/b/c/file")), Ok(true));
    assert_eq!(root.remove_file(&path("a/b/c/file")), Ok(false));
    assert_eq!(root.remove_empty_folders(&path("a/b/c/file")), Ok(2));
    assert_eq!(tree.everything(), ["a/keep"]);
    assert!(!tree.at("a/b").exists());
}

#[test]
fn own_folder_is_not_listed() {
    let tree = Tree::new();
    tree.write("b/x", b"");
    tree.write("a", b"");
    tree.write(".salvor/x", b"");
    let names: Vec<_> =
        tree.root().list(None).unwrap().into_iter().map(|entry| (entry.name, entry.kind)).collect();
    assert_eq!(names, [(b"a".to_vec(), Kind::File), (b"b".to_vec(), Kind::Folder)]);
}

#[test]
fn an_unmounted_root_is_not_taken_for_an_empty_one() {
    let Some(mount) = Mount::tmpfs("size=1m") else { return };
    let root = Root::open(mount.path()).unwrap();
    assert_eq!(root.reachable(), Ok(()));
    mount.unmount_lazily();
    assert!(root.reachable().unwrap_err().contains("unmounted or replaced"));
}
