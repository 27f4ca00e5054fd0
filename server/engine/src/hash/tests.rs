use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::testing::{Tree, digest, noise, path};

fn hash(tree: &Tree, name: &str) -> Result<Hashed, ReadFault> {
    hash_file(&tree.root(), &path(name), &mut Buffer::new(), &Control::new())
}

#[test]
fn small_large_and_empty_files_have_their_checksum() {
    let tree = Tree::new();
    for size in [0, 1, SMALL - 1, SMALL, SMALL + 1, SMALL + 2, 3 * SMALL + 7] {
        let content = noise(size as u64, size);
        tree.write("file", &content);
        tree.set_mtime("file", -1_500_000_001);
        let hashed = hash(&tree, "file").unwrap();
        assert_eq!(
            (hashed.digest, hashed.size, hashed.mtime_ns),
            (digest(&content), size as u64, -1_500_000_001)
        );
    }
    assert_eq!(hash(&tree, "none"), Err(ReadFault::NotFound));
}

#[test]
fn a_file_that_changes_while_it_is_read_has_no_checksum() {
    let tree = Tree::new();
    let root = tree.root();
    type Change = fn(&Tree);
    let changes: [(&str, Change); 3] = [
        ("grows", |tree| tree.write("file", &noise(1, 3 * SMALL + 1))),
        ("is cut short", |tree| tree.write("file", &noise(1, 2 * SMALL))),
        ("same size, clock turned back", |tree| {
            tree.write("file", &noise(2, 3 * SMALL));
            tree.set_mtime("file", 1_000);
        }),
    ];
    for (how, change) in changes {
        tree.write("file", &noise(1, 3 * SMALL));
        tree.set_mtime("file", 1_000);
        let (file, before) = root.open_file(&path("file")).unwrap();
        // The clock of file times ticks every few milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(20));
        change(&tree);
        let (control, progress) = (Control::new(), Progress::new());
        let mut pace = Pace { control: &control, limits: &[], tally: Tally::new(&progress) };
        let hashed = hash_open(&file, &before, &mut Buffer::new(), &mut pace);
        assert_eq!(hashed, Err(ReadFault::ChangedWhileRead), "a file that {how}");
    }
}

#[test]
fn a_file_that_is_written_all_the_time_never_yields_a_mixture() {
    let tree = Tree::new();
    let versions = [noise(1, SMALL), noise(2, SMALL)];
    tree.write("file", &versions[0]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                versions.iter().for_each(|version| tree.write("file", version));
            }
        });
        let whole = versions.each_ref().map(|version| digest(version));
        for _ in 0..300 {
            match hash(&tree, "file") {
                Ok(hashed) if hashed.size == SMALL as u64 => {
                    assert!(whole.contains(&hashed.digest), "a mixture")
                }
                Ok(_) | Err(ReadFault::ChangedWhileRead) => {}
                Err(other) => panic!("{other}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_stop_is_noticed_within_a_large_file_and_nothing_stays_counted() {
    let tree = Tree::new();
    tree.write("file", &noise(1, 8 * SMALL));
    let root = tree.root();
    let (control, progress) = (Control::new(), Progress::new());
    let limit = RateLimit::bytes(SMALL as u64 * 4);
    let limits = [&limit];
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let (file, before) = root.open_file(&path("file")).unwrap();
            let mut pace = Pace { control: &control, limits: &limits, tally: Tally::new(&progress) };
            hash_open(&file, &before, &mut Buffer::new(), &mut pace)
        });
        while progress.bytes() == 0 {
            std::thread::yield_now();
        }
        control.pause();
        assert_eq!(reading.join().unwrap(), Err(ReadFault::Stopped(crate::Stopped)));
    });
    assert_eq!((progress.files(), progress.bytes()), (0, 0));
}
