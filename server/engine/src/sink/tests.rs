use std::os::unix::fs::MetadataExt;

use super::*;
use crate::testing::{Mount, Tree, digest, everything, noise, path};

/// With nameless files, linked by their handle or by /proc, and with hidden names.
fn all_ways(test: impl Fn(&Tree, &Sink)) {
    for link_by_proc in [false, true] {
        let tree = Tree::new();
        let sink = tree.sink();
        sink.shared.link_by_proc.store(link_by_proc, Ordering::Relaxed);
        test(&tree, &sink);
    }
    let tree = Tree::new();
    test(&tree, &Sink::without_tmpfile(Arc::new(tree.root())));
}

fn sealed(sink: &Sink, at: &str, content: &[u8]) -> Sealed {
    let mut draft = sink.draft(&path(at)).unwrap();
    content.chunks(1000).for_each(|chunk| draft.write(chunk).unwrap());
    let attrs = Attrs { mtime_ns: 1_700_000_000_123_456_789, mode: Some(0o4640), ..Attrs::default() };
    draft.seal(&attrs, Some((digest(content), content.len() as u64))).unwrap()
}

fn visible(tree: &Tree) -> Vec<String> {
    tree.everything().into_iter().filter(|name| !name.contains(".salvor-tmp-")).collect()
}

#[test]
fn a_file_is_invisible_until_it_is_linked_whole_with_its_attributes() {
    all_ways(|tree, sink| {
        for content in [&b""[..], &noise(1, 10_000)] {
            let mut sealed = sealed(sink, "anna/new/a.jpg", content);
            assert_eq!(visible(tree), [""; 0]);
            sealed.link().unwrap();
            sealed.sync().unwrap();
            assert_eq!((sealed.digest(), sealed.size()), (digest(content), content.len() as u64));
            assert_eq!(tree.everything(), ["anna/new/a.jpg"]);
            assert_eq!(tree.read("anna/new/a.jpg"), content);
            let facts = std::fs::metadata(tree.at("anna/new/a.jpg")).unwrap();
            assert_eq!(facts.mode() & 0o7777, 0o640, "never set-user-id");
            assert_eq!(tree.mtime("anna/new/a.jpg"), 1_700_000_000_123_456_789);
            std::fs::remove_file(tree.at("anna/new/a.jpg")).unwrap();
        }
    });
}

#[test]
fn a_name_that_is_taken_stays_with_its_file() {
    all_ways(|tree, sink| {
        tree.write("a", b"good");
        let mut sealed = sealed(sink, "a", b"other");
        assert_eq!(sealed.link().unwrap_err().kind, WriteFaultKind::Exists);
        assert_eq!(tree.read("a"), b"good");
        std::fs::remove_file(tree.at("a")).unwrap();
        sealed.link().unwrap();
        assert_eq!((tree.read("a"), tree.everything()), (b"other".to_vec(), vec!["a".to_owned()]));
    });
}

#[test]
fn wrong_bytes_never_become_visible_and_nothing_is_left() {
    all_ways(|tree, sink| {
        for expected in [(digest(b"right"), 5), (digest(b"wrong"), 6)] {
            let mut draft = sink.draft(&path("a")).unwrap();
            draft.write(b"wrong").unwrap();
            let fault = draft.seal(&Attrs::default(), Some(expected)).unwrap_err();
            assert_eq!(fault.kind, WriteFaultKind::Mismatch);
        }
        drop(sink.draft(&path("b")).unwrap());
        drop(sealed(sink, "c", b"not linked"));
        assert_eq!(tree.everything(), [""; 0]);
    });
}

#[test]
fn a_replacement_is_atomic_and_refuses_links_and_folders() {
    all_ways(|tree, sink| {
        tree.write("a", b"old");
        sealed(sink, "a", b"new").replace().unwrap();
        assert_eq!((tree.read("a"), tree.everything()), (b"new".to_vec(), vec!["a".to_owned()]));
        tree.link("a", "link");
        std::fs::create_dir(tree.at("folder")).unwrap();
        for name in ["link", "folder"] {
            assert_eq!(sealed(sink, name, b"x").replace().unwrap_err().kind, WriteFaultKind::InTheWay);
        }
        assert!(tree.at("link").is_symlink());
        assert_eq!(tree.everything(), ["a", "link"]);
    });
}

#[test]
fn links_in_the_way_are_not_written_through() {
    all_ways(|tree, sink| {
        let outside = Tree::new();
        tree.link(outside.at("").to_str().unwrap(), "parent");
        let fault = sink.draft(&path("parent/a")).unwrap_err();
        assert_eq!(
            (fault.kind, &*fault.reason),
            (WriteFaultKind::InTheWay, "a symbolic link is in the way: parent")
        );
        tree.link(outside.at("target").to_str().unwrap(), "link");
        assert_eq!(sealed(sink, "link", b"x").link().unwrap_err().kind, WriteFaultKind::Exists);
        assert_eq!(outside.everything(), [""; 0]);
    });
}

#[test]
fn a_folder_removed_between_writing_and_linking_is_made_again() {
    let tree = Tree::new();
    let mut sealed = sealed(&tree.sink(), "gone/a", b"x");
    std::fs::remove_dir(tree.at("gone")).unwrap();
    sealed.link().unwrap();
    assert_eq!(tree.everything(), ["gone/a"]);
}

#[test]
fn quarantine_keeps_every_file_apart_and_moves_only_what_was_seen() {
    let tree = Tree::new();
    let sink = tree.sink();
    let label = Label::new("job-1").unwrap();
    for round in 1..=3 {
        tree.write("anna/a.jpg", format!("corrupt {round}").as_bytes());
        let seen = sink.root().stat(&path("anna/a.jpg")).unwrap().unwrap();
        let Quarantined::Moved(_) = sink.quarantine(&path("anna/a.jpg"), &seen, &label).unwrap() else {
            panic!()
        };
    }
    let kept = [
        ".salvor/quarantine/job-1/anna/a.jpg",
        ".salvor/quarantine/job-1~2/anna/a.jpg",
        ".salvor/quarantine/job-1~3/anna/a.jpg",
    ];
    assert_eq!(tree.everything(), kept);
    assert_eq!(tree.read(kept[1]), b"corrupt 2");
    // A file was quarantined where another one needs a folder.
    std::fs::remove_dir(tree.at("anna")).unwrap();
    tree.write("b", b"file");
    let seen = sink.root().stat(&path("b")).unwrap().unwrap();
    assert!(matches!(sink.quarantine(&path("b"), &seen, &label), Ok(Quarantined::Moved(_))));
    tree.write("b/c", b"below");
    let seen = sink.root().stat(&path("b/c")).unwrap().unwrap();
    let moved = Quarantined::Moved(b".salvor/quarantine/job-1~2/b/c".to_vec());
    assert_eq!(sink.quarantine(&path("b/c"), &seen, &label), Ok(moved));
}

#[test]
fn quarantine_leaves_a_file_that_came_meanwhile() {
    let tree = Tree::new();
    let sink = tree.sink();
    let label = Label::new("job").unwrap();
    tree.write("a", b"corrupt");
    let seen = sink.root().stat(&path("a")).unwrap().unwrap();
    tree.write("b", b"a newer and good one");
    std::fs::rename(tree.at("b"), tree.at("a")).unwrap();
    assert_eq!(sink.quarantine(&path("a"), &seen, &label), Ok(Quarantined::Different));
    std::fs::remove_file(tree.at("a")).unwrap();
    assert_eq!(sink.quarantine(&path("a"), &seen, &label), Ok(Quarantined::Different));
    assert!(Label::new("../x").is_err() && Label::new("").is_err() && Label::new("a".repeat(65)).is_err());
}

#[test]
fn the_longest_path_can_be_written_and_quarantined() {
    let tree = Tree::new();
    let sink = tree.sink();
    let longest = format!("{}{}", format!("{}/", "p".repeat(250)).repeat(16), "n".repeat(80));
    assert_eq!(longest.len(), 4096);
    sealed(&sink, &longest, b"x").link().unwrap();
    let seen = sink.root().stat(&path(&longest)).unwrap().unwrap();
    assert!(matches!(
        sink.quarantine(&path(&longest), &seen, &Label::new("j").unwrap()),
        Ok(Quarantined::Moved(_))
    ));
}

#[test]
fn leftovers_of_a_killed_writer_are_swept_but_young_ones_stay() {
    let tree = Tree::new();
    let sink = Sink::without_tmpfile(Arc::new(tree.root()));
    tree.write("anna/keep", b"");
    tree.write("anna/.salvor-tmp-not ours", b"");
    let draft = sink.draft(&path("anna/a")).unwrap();
    std::mem::forget(draft);
    assert_eq!(tree.everything().len(), 3);
    let hidden = tree.everything()[0].clone();
    assert!(is_litter(hidden.strip_prefix("anna/").unwrap().as_bytes()), "{hidden}");
    let born = sink.root().stat(&path(&hidden)).unwrap().unwrap().ctime_ns;
    assert_eq!(sink.sweep_litter(born, &Control::new()), Ok(0));
    assert_eq!(sink.sweep_litter(born + 1, &Control::new()), Ok(1));
    assert_eq!(tree.everything(), ["anna/.salvor-tmp-not ours", "anna/keep"]);
}

#[test]
fn a_full_disk_says_so_with_figures_and_leaves_nothing() {
    let Some(mount) = Mount::tmpfs("size=1m") else { return };
    let sink = mount.sink();
    let mut draft = sink.draft(&path("big")).unwrap();
    let fault = (0..64).find_map(|_| draft.write(&noise(1, 100_000)).err()).unwrap();
    assert!(fault.is_fatal());
    assert_eq!(fault.reason, format!("{} is full: 0 B free of 1.0 MB", mount.path().display()));
    drop(draft);
    assert_eq!(everything(mount.path()), [""; 0]);
}

#[test]
fn a_disk_without_inodes_says_that_instead() {
    let Some(mount) = Mount::tmpfs("size=1m,nr_inodes=4") else { return };
    let sink = mount.sink();
    let fault = (0..8)
        .find_map(|n| {
            sink.draft(&path(&format!("{n}")))
                .and_then(|mut draft| {
                    draft.write(b"x")?;
                    draft.seal(&Attrs::default(), None)?.link()
                })
                .err()
        })
        .unwrap();
    assert_eq!(fault.kind, WriteFaultKind::Full);
    assert!(fault.reason.contains("takes no more files: 0 of its 4 inodes are free"), "{fault}");
}

#[test]
fn a_read_only_disk_says_so() {
    let Some(mount) = Mount::ext4(16) else { return };
    let sink = mount.sink();
    mount.remount("ro");
    let fault = sink.draft(&path("a")).unwrap_err();
    assert_eq!((fault.kind, fault.is_fatal()), (WriteFaultKind::ReadOnly, true));
    assert!(fault.reason.ends_with("is mounted read-only: nothing can be written there"), "{fault}");
}

#[test]
fn a_barrier_covers_file_systems_mounted_beneath() {
    let Some(outer) = Mount::tmpfs("size=1m") else { return };
    let inner = outer.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let Some(_mounted) = Mount::tmpfs("size=1m") else { return };
    let bound =
        std::process::Command::new("mount").arg("--bind").arg(_mounted.path()).arg(&inner).status().unwrap();
    assert!(bound.success());
    let sink = outer.sink();
    sealed(&sink, "inner/a", b"x").link().unwrap();
    assert_eq!(sink.root().mounts().len(), 1);
    assert_eq!(sink.barrier(), Ok(()));
    assert!(std::process::Command::new("umount").arg("-l").arg(&inner).status().unwrap().success());
}

#[test]
fn owner_and_extended_attributes_come_along() {
    let tree = Tree::new();
    let sink = tree.sink();
    let mut draft = sink.draft(&path("a")).unwrap();
    draft.write(b"x").unwrap();
    let xattrs = vec![(b"user.comment".to_vec(), b"hello".to_vec())];
    let root_runs = rustix::process::geteuid().is_root();
    let owner = root_runs.then_some((1234, 5678));
    draft.seal(&Attrs { owner, xattrs: xattrs.clone(), ..Attrs::default() }, None).unwrap().link().unwrap();
    let facts = std::fs::metadata(tree.at("a")).unwrap();
    if root_runs {
        assert_eq!((facts.uid(), facts.gid()), (1234, 5678));
    }
    assert_eq!(facts.mode() & 0o7777, 0o644);
    assert_eq!(xattr::of(&std::fs::File::open(tree.at("a")).unwrap()), xattrs);
}
