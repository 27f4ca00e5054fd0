use super::*;
use crate::testing::{Mount, Tree, digest, noise, path};

const THEN: i64 = 1_700_000_000_000_000_000;

fn expected(at: &str, content: &[u8]) -> Expected {
    Expected { path: path(at), size: content.len() as u64, mtime_ns: THEN, digest: digest(content) }
}

fn check(root: &Root, wanted: &[Expected]) -> Vec<CheckOutcome> {
    let options = CheckOptions { threads: 2, limit: RateLimit::unlimited() };
    check_batch(root, wanted, &options, &Control::new(), &Progress::new())
}

#[test]
fn every_verdict() {
    let tree = Tree::new();
    let put = |at: &str, content: &[u8], mtime: i64| {
        tree.write(at, content);
        tree.set_mtime(at, mtime);
    };
    put("good", b"good", THEN);
    put("touched", b"good", THEN + 9);
    put("rotten", b"g00d", THEN);
    put("rotten and older", b"g00d", THEN - 9);
    put("cut", b"go", THEN);
    put("edited", b"new!", THEN + 1);
    put("longer", b"longer", THEN + 1);
    std::fs::create_dir(tree.at("folder")).unwrap();
    tree.link("good", "link");
    let names = [
        "touched",
        "good",
        "rotten",
        "rotten and older",
        "cut",
        "edited",
        "longer",
        "none",
        "no/ne",
        "folder",
        "link",
        "good/below",
    ];
    let wanted: Vec<_> = names.iter().map(|name| expected(name, b"good")).collect();
    use CheckOutcome::*;
    let unreadable = |reason: &str| Unreadable { reason: reason.into() };
    let (rot, new) = (Some(digest(b"g00d")), Some(digest(b"new!")));
    assert_eq!(
        check(&tree.root(), &wanted),
        [
            Good { mtime_ns: THEN + 9 },
            Good { mtime_ns: THEN },
            Corrupt { size: 4, mtime_ns: THEN, digest: rot },
            Corrupt { size: 4, mtime_ns: THEN - 9, digest: rot },
            Corrupt { size: 2, mtime_ns: THEN, digest: None },
            Changed { size: 4, mtime_ns: THEN + 1, digest: new },
            Changed { size: 6, mtime_ns: THEN + 1, digest: None },
            Missing,
            Missing,
            unreadable("a folder stands where the file should be"),
            unreadable("a symbolic link stands where the file should be"),
            unreadable("a file is in the way: good"),
        ]
    );
}

#[test]
fn a_flipped_bit_is_seen_wherever_it_is() {
    let tree = Tree::new();
    let content = noise(1, 600_000);
    let wanted = expected("a", &content);
    for at in [0, 262_144, 599_999] {
        let mut rotten = content.clone();
        rotten[at] ^= 0x10;
        tree.write("a", &rotten);
        tree.set_mtime("a", THEN);
        let outcome = check_file(&tree.root(), &wanted, &mut Buffer::new(), &Control::new());
        assert!(matches!(outcome, CheckOutcome::Corrupt { .. }), "{at}: {outcome:?}");
    }
}

#[test]
fn an_unmounted_volume_has_no_missing_files() {
    let Some(mount) = Mount::tmpfs("size=1m") else { return };
    let root = Root::open(mount.path()).unwrap();
    assert_eq!(check(&root, &[expected("a", b"x")]), [CheckOutcome::Missing]);
    mount.unmount_lazily();
    let outcomes = check(&root, &[expected("a", b"x")]);
    assert!(
        matches!(&outcomes[0], CheckOutcome::Unreadable { reason } if reason.contains("unmounted")),
        "{outcomes:?}"
    );
}

#[test]
fn a_stopped_check_says_nothing_about_the_rest_and_progress_counts_what_was_read() {
    let tree = Tree::new();
    tree.write("a", b"12345");
    let options = CheckOptions { threads: 2, limit: RateLimit::unlimited() };
    let (control, progress) = (Control::new(), Progress::new());
    let wanted = [expected("a", b"12345"), expected("b", b"x")];
    check_batch(&tree.root(), &wanted, &options, &control, &progress);
    assert_eq!((progress.files(), progress.bytes()), (1, 5));
    control.cancel();
    let outcomes = check_batch(&tree.root(), &wanted, &options, &control, &progress);
    assert_eq!(outcomes, [CheckOutcome::NotStarted, CheckOutcome::NotStarted]);
}
