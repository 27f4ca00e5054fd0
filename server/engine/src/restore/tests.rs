use super::*;
use crate::fault::{SourceFault, WriteFaultKind};
use crate::hash::SMALL;
use crate::source::Opened;
use crate::testing::{Mount, Tree, digest, everything, noise, path};
use std::ops::ControlFlow;

use crate::{FsSource, Holding, Root, SourceStat};

const THEN: i64 = 1_700_000_000_000_000_000;

pub(super) fn item(at: &str, content: &[u8], sources: &[usize]) -> RestoreItem {
    RestoreItem {
        path: path(at),
        size: content.len() as u64,
        mtime_ns: THEN,
        digest: digest(content),
        mode: None,
        sources: sources.to_vec(),
        holders: sources.len(),
        known_corrupt: false,
    }
}

pub(super) fn copy(tree: &Tree) -> SourceHandle {
    SourceHandle::new(Arc::new(FsSource::new("copy", Arc::new(tree.root()))), RateLimit::unlimited())
}

pub(super) fn options() -> RestoreOptions {
    RestoreOptions { threads: 2, label: Label::new("job").unwrap(), limit: RateLimit::unlimited() }
}

fn run(target: &Sink, copies: &[&Tree], items: &[RestoreItem]) -> RestoreReport {
    let sources: Vec<_> = copies.iter().map(|tree| copy(tree)).collect();
    restore_batch(target, &sources, items, &options(), &Control::new(), &Progress::new())
}

fn one(target: &Sink, copies: &[&Tree], item: RestoreItem) -> RestoreOutcome {
    run(target, copies, &[item]).outcomes.remove(0)
}

#[test]
fn files_of_every_size_come_back_as_the_catalogue_knows_them() {
    let (volume, backup) = (Tree::new(), Tree::new());
    let mut items = Vec::new();
    for (n, size) in [0, 1, 30_000, SMALL, SMALL + 1, 3 * SMALL + 5].into_iter().enumerate() {
        let content = noise(n as u64, size);
        backup.write(&format!("site{n}/a.jpg"), &content);
        items.push(item(&format!("site{n}/a.jpg"), &content, &[0]));
    }
    items.reverse();
    let progress = Progress::new();
    let report =
        restore_batch(&volume.sink(), &[copy(&backup)], &items, &options(), &Control::new(), &progress);
    assert_eq!(report.fatal, None);
    for (item, outcome) in items.iter().zip(&report.outcomes) {
        assert_eq!(outcome.path, item.path, "the order of the items");
        assert_eq!(
            outcome.result,
            RestoreResult::Restored { source: 0, bytes: item.size, quarantined: None }
        );
        assert_eq!(volume.mtime(&item.path.to_string()), THEN);
        assert_eq!(digest(&volume.read(&item.path.to_string())), item.digest);
    }
    assert_eq!(volume.everything(), backup.everything());
    let bytes: u64 = items.iter().map(|item| item.size).sum();
    assert_eq!((progress.files(), progress.bytes()), (items.len() as u64, bytes));
}

#[test]
fn names_of_any_bytes_come_back() {
    let (volume, backup) = (Tree::new(), Tree::new());
    let name = FilePath::new(b"caf\xe9/\xff\n*.jpg".to_vec()).unwrap();
    assert!(backup.try_write(&name, b"x"));
    let wanted = RestoreItem { path: name.clone(), ..item("x", b"x", &[0]) };
    assert!(matches!(one(&volume.sink(), &[&backup], wanted).result, RestoreResult::Restored { .. }));
    assert!(volume.root().stat(&name).unwrap().is_some());
}

#[test]
fn a_good_file_is_left_alone_even_with_another_time() {
    let (volume, backup) = (Tree::new(), Tree::new());
    volume.write("a", b"good");
    volume.set_mtime("a", THEN + 5);
    backup.write("a", b"good");
    let sink = volume.sink();
    assert_eq!(one(&sink, &[&backup], item("a", b"good", &[0])).result, RestoreResult::InPlace);
    assert_eq!(volume.mtime("a"), THEN + 5);
    assert_eq!(sink.barriers(), 1, "whoever put it there may have died before theirs");
}

#[test]
fn a_newer_file_is_kept_whatever_its_size() {
    for newer in [&b"newer"[..], b"good!"] {
        let (volume, backup) = (Tree::new(), Tree::new());
        volume.write("a", newer);
        volume.set_mtime("a", THEN + 1);
        backup.write("a", b"older");
        let outcome = one(&volume.sink(), &[&backup], item("a", b"older", &[0]));
        assert_eq!(outcome.result, RestoreResult::NewerKept { size: 5, mtime_ns: THEN + 1 });
        assert_eq!((volume.read("a"), volume.everything().len()), (newer.to_vec(), 1));
    }
}

#[test]
fn a_corrupt_file_goes_to_quarantine_when_its_replacement_is_there() {
    for (corrupt, mtime) in [(&b"g00d"[..], THEN), (b"g00d", THEN - 7), (b"go", THEN)] {
        let (volume, backup) = (Tree::new(), Tree::new());
        volume.write("anna/a", corrupt);
        volume.set_mtime("anna/a", mtime);
        backup.write("anna/a", b"good");
        let outcome = one(&volume.sink(), &[&backup], item("anna/a", b"good", &[0]));
        let place = ".salvor/quarantine/job/anna/a";
        let quarantined = Some(place.as_bytes().to_vec());
        assert_eq!(outcome.result, RestoreResult::Restored { source: 0, bytes: 4, quarantined });
        assert_eq!(volume.everything(), [place, "anna/a"]);
        assert_eq!((volume.read(place), volume.read("anna/a")), (corrupt.to_vec(), b"good".to_vec()));
    }
}

#[test]
fn without_a_good_copy_the_corrupt_file_stays_where_it_is() {
    let (volume, backup) = (Tree::new(), Tree::new());
    volume.write("a", b"g00d");
    volume.set_mtime("a", THEN);
    backup.write("a", b"bad!");
    let outcome = one(&volume.sink(), &[&backup], item("a", b"good", &[0]));
    let RestoreResult::NotGiven { reason } = outcome.result else { panic!("{outcome:?}") };
    assert_eq!(reason, "no copy could give it (copy: its bytes there do not have the catalogue's checksum)");
    assert_eq!((volume.everything(), volume.read("a")), (vec!["a".to_owned()], b"g00d".to_vec()));
}

#[test]
fn bad_copies_are_refused_and_named_and_the_next_is_tried() {
    for size in [30_000, 3 * SMALL] {
        let volume = Tree::new();
        let copies = [(); 5].map(|()| Tree::new());
        let good = noise(1, size);
        let mut rotten = good.clone();
        rotten[size - 1] ^= 1;
        copies[1].write("a", &rotten);
        copies[2].write("a", &good[..size - 10]);
        copies[3].write("a", &[&good[..], b"more"].concat());
        copies[4].write("a", &good);
        let outcome = one(&volume.sink(), &copies.each_ref(), item("a", &good, &[0, 1, 2, 3, 4]));
        let bytes = size as u64;
        assert_eq!(outcome.result, RestoreResult::Restored { source: 4, bytes, quarantined: None });
        let faults: Vec<_> = outcome.copy_faults.iter().map(|fault| (fault.source, fault.kind)).collect();
        use CopyFaultKind::*;
        assert_eq!(faults, [(0, Missing), (1, Corrupt), (2, Corrupt), (3, Corrupt)]);
        assert_eq!(
            outcome.copy_faults[2].reason,
            format!("it is cut short there: {} of {size} bytes", size - 10)
        );
        assert_eq!((volume.everything(), volume.read("a")), (vec!["a".to_owned()], good));
    }
}

/// A stream whose length nobody knows beforehand, and that may break off.
struct Stream(Vec<u8>, bool);

impl std::io::Read for Stream {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        if self.0.is_empty() && self.1 {
            return Err(rustix::io::Errno::IO.into());
        }
        let count = room.len().min(self.0.len()).min(7000);
        room[..count].copy_from_slice(&self.0[..count]);
        self.0.drain(..count);
        Ok(count)
    }
}

struct Remote(Vec<u8>, bool);

impl Source for Remote {
    fn name(&self) -> &str {
        "remote"
    }
    fn stat(&self, _: &FilePath) -> Result<SourceStat, SourceFault> {
        Err(SourceFault::NotFound)
    }
    fn list(&self, _: &mut dyn FnMut(Holding) -> ControlFlow<()>) -> Result<(), SourceFault> {
        Ok(())
    }
    fn open(&self, _: &FilePath) -> Result<Opened, SourceFault> {
        Ok(Opened::plain(Box::new(Stream(self.0.clone(), self.1))))
    }
}

#[test]
fn streams_of_unknown_length_are_held_to_the_catalogue() {
    let volume = Tree::new();
    for (n, size) in [(0, 20_000), (1, 2 * SMALL)] {
        let good = noise(1, size);
        let longer = [&good[..], b"x"].concat();
        let streams = [
            Remote(good[..size / 2].to_vec(), true),
            Remote(good[..size / 2].to_vec(), false),
            Remote(longer, false),
            Remote(good.clone(), false),
        ];
        let sources: Vec<_> = streams
            .into_iter()
            .map(|remote| SourceHandle::new(Arc::new(remote), RateLimit::unlimited()))
            .collect();
        let progress = Progress::new();
        let wanted = [item(&format!("file{n}"), &good, &[0, 1, 2, 3])];
        let report = restore_batch(&volume.sink(), &sources, &wanted, &options(), &Control::new(), &progress);
        let outcome = &report.outcomes[0];
        assert!(matches!(outcome.result, RestoreResult::Restored { source: 3, .. }), "{outcome:?}");
        assert_eq!(outcome.copy_faults[0].reason, "input/output error: the disk could not read it");
        assert_eq!(outcome.copy_faults.len(), 3);
        assert_eq!(progress.bytes(), size as u64, "what came to nothing is not counted");
    }
    assert_eq!(volume.everything(), ["file0", "file1"]);
}

#[test]
fn a_copy_that_is_gone_is_asked_once_and_not_blamed_for_each_file() {
    let (volume, parent) = (Tree::new(), Tree::new());
    parent.write("backup/a", b"x");
    let root = Arc::new(Root::open(&parent.at("backup")).unwrap());
    std::fs::rename(parent.at("backup"), parent.at("away")).unwrap();
    std::fs::create_dir(parent.at("backup")).unwrap();
    std::fs::remove_file(parent.at("away/a")).unwrap();
    let sources = [SourceHandle::new(Arc::new(FsSource::new("nas", root)), RateLimit::unlimited())];
    let items = [item("a", b"x", &[0]), item("b", b"x", &[0])];
    let options = RestoreOptions { threads: 1, ..options() };
    let report = restore_batch(&volume.sink(), &sources, &items, &options, &Control::new(), &Progress::new());
    for outcome in &report.outcomes {
        assert_eq!(outcome.copy_faults[0].kind, CopyFaultKind::Gone, "{outcome:?}");
    }
    let (first, second) = (&report.outcomes[0].copy_faults[0], &report.outcomes[1].copy_faults[0]);
    assert!(first.reason.contains("unmounted or replaced") && first.reason == second.reason, "{first:?}");
}

#[test]
fn while_a_holder_is_gone_only_other_holders_are_asked() {
    let (volume, parent, second, third) = (Tree::new(), Tree::new(), Tree::new(), Tree::new());
    parent.write("backup/a", b"x");
    let gone = FsSource::new("gone", Arc::new(Root::open(&parent.at("backup")).unwrap()));
    std::fs::remove_dir_all(parent.at("backup")).unwrap();
    second.write("a", b"x");
    third.write("b", b"y");
    let sources = [
        SourceHandle::new(Arc::new(gone), RateLimit::unlimited()),
        copy(&second),
        // Whoever asks this one waits for ever.
        SourceHandle { limit: RateLimit::new(None, Some(0)), ..copy(&third) },
    ];
    let a = RestoreItem { holders: 2, ..item("a", b"x", &[0, 1, 2]) };
    let b = RestoreItem { holders: 1, ..item("b", b"y", &[0, 1, 2]) };
    let report =
        restore_batch(&volume.sink(), &sources, &[a, b], &options(), &Control::new(), &Progress::new());
    assert!(matches!(report.outcomes[0].result, RestoreResult::Restored { source: 1, .. }), "{report:?}");
    assert!(matches!(report.outcomes[1].result, RestoreResult::NotGiven { .. }), "{report:?}");
    assert_eq!(report.outcomes[1].copy_faults.len(), 1);
}

#[test]
fn in_no_copy_is_said_as_such_unless_the_file_is_there() {
    let volume = Tree::new();
    volume.write("there", b"x");
    let report = run(&volume.sink(), &[], &[item("a", b"x", &[]), item("there", b"x", &[])]);
    let results: Vec<_> = report.outcomes.into_iter().map(|outcome| outcome.result).collect();
    assert_eq!(results, [RestoreResult::InNoCopy, RestoreResult::InPlace]);
}

#[test]
fn links_and_folders_in_the_way_stay_and_are_named() {
    let (volume, backup, outside) = (Tree::new(), Tree::new(), Tree::new());
    volume.link(outside.at("").to_str().unwrap(), "parent");
    volume.link(outside.at("file").to_str().unwrap(), "link");
    volume.write("file", b"x");
    std::fs::create_dir(volume.at("folder")).unwrap();
    let cases = [
        ("parent/a", "a symbolic link is in the way: parent"),
        ("link", "a symbolic link stands where the file should be"),
        ("folder", "a folder stands where the file should be"),
        ("file/below", "a file is in the way: file"),
    ];
    for (at, why) in cases {
        let _ = std::fs::remove_dir_all(backup.at(""));
        backup.write(at, b"good");
        let outcome = one(&volume.sink(), &[&backup], item(at, b"good", &[0]));
        assert_eq!(outcome.result, RestoreResult::Failed { reason: why.into() }, "{at}");
    }
    assert_eq!(outside.everything(), [""; 0]);
    assert_eq!(volume.everything(), ["file", "link", "parent"]);
}

#[test]
fn restores_at_once_leave_each_file_whole_and_the_corrupt_ones_aside() {
    let (volume, backup) = (Tree::new(), Tree::new());
    let mut items = Vec::new();
    for n in 0..200 {
        let content = noise(n, 5000);
        let at = format!("site{}/{n}", n % 7);
        backup.write(&at, &content);
        // Every third is there and corrupt.
        if n % 3 == 0 {
            volume.write(&at, b"corrupt");
            volume.set_mtime(&at, THEN);
        }
        items.push(item(&at, &content, &[0]));
    }
    let sinks = [volume.sink(), volume.sink(), Sink::without_tmpfile(Arc::new(volume.root()))];
    let reports: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> =
            sinks.iter().map(|sink| scope.spawn(|| run(sink, &[&backup], &items))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (n, item) in items.iter().enumerate() {
        let results: Vec<_> = reports.iter().map(|report| &report.outcomes[n].result).collect();
        let restored =
            results.iter().filter(|result| matches!(result, RestoreResult::Restored { .. })).count();
        let in_place = results.iter().filter(|result| matches!(result, RestoreResult::InPlace)).count();
        // Who moves a corrupt file aside just when another has replaced it moves that one back, and a third may come between.
        let at_once = if n % 3 == 0 { 1..=2 } else { 1..=1 };
        assert!(at_once.contains(&restored) && restored + in_place == 3, "{}: {results:?}", item.path);
        assert_eq!(digest(&volume.read(&item.path.to_string())), item.digest);
    }
    let everything = volume.everything();
    let aside: Vec<_> = everything.iter().filter(|name| name.starts_with(".salvor/")).collect();
    let corrupt = aside.iter().filter(|name| volume.read(name) == b"corrupt").count();
    assert_eq!(corrupt, 67, "each once");
    assert_eq!(everything.len(), 200 + aside.len(), "no litter: {aside:?}");
}

#[test]
fn a_full_disk_stops_the_batch_and_what_is_there_is_whole() {
    let Some(mount) = Mount::ext4(8) else { return };
    let backup = Tree::new();
    let items: Vec<_> = (0..300)
        .map(|n| {
            let content = noise(n, 60_000);
            backup.write(&format!("{n:03}"), &content);
            item(&format!("{n:03}"), &content, &[0])
        })
        .collect();
    let report = run(&mount.sink(), &[&backup], &items);
    let fatal = report.fatal.unwrap();
    assert_eq!(fatal.kind, WriteFaultKind::Full, "{fatal}");
    assert!(fatal.reason.contains("is full: "), "{fatal}");
    let mut restored = 0;
    for (item, outcome) in items.iter().zip(&report.outcomes) {
        let there = std::fs::read(mount.path().join(item.path.to_string())).ok();
        match &outcome.result {
            RestoreResult::Restored { .. } => {
                restored += 1;
                assert_eq!(digest(&there.unwrap()), item.digest);
            }
            RestoreResult::NotStarted => assert!(there.is_none()),
            other => panic!("{other:?}"),
        }
    }
    assert!(restored > 20 && restored < 250, "{restored}");
    let files = everything(mount.path()).len();
    assert_eq!(files, restored, "nothing half-written, no litter");
}

#[test]
fn what_the_disk_does_not_confirm_is_not_called_restored() {
    let Some(mount) = Mount::lying() else { return };
    let backup = Tree::new();
    let items: Vec<_> = (0..30)
        .map(|n| {
            let content = noise(n, 1_000_000);
            backup.write(&format!("{n:02}"), &content);
            item(&format!("{n:02}"), &content, &[0])
        })
        .collect();
    let report = run(&mount.sink(), &[&backup], &items);
    let fatal = report.fatal.unwrap();
    assert_eq!(fatal.kind, WriteFaultKind::Io);
    assert!(
        fatal.reason.starts_with("the disk did not confirm what was written: input/output error"),
        "{fatal}"
    );
    assert!(report.outcomes.iter().all(|outcome| outcome.result == RestoreResult::NotStarted));
}

#[test]
fn a_read_only_disk_stops_the_batch_at_once() {
    let Some(mount) = Mount::tmpfs("size=1m") else { return };
    let backup = Tree::new();
    backup.write("a", b"x");
    mount.remount("ro");
    let options = RestoreOptions { threads: 1, ..options() };
    let items = [item("a", b"x", &[0]), item("b", b"x", &[0])];
    let report =
        restore_batch(&mount.sink(), &[copy(&backup)], &items, &options, &Control::new(), &Progress::new());
    assert_eq!(report.fatal.map(|fault| fault.kind), Some(WriteFaultKind::ReadOnly));
    assert!(report.outcomes.iter().all(|outcome| outcome.result == RestoreResult::NotStarted));
}

#[test]
fn an_unmounted_volume_is_not_restored_into() {
    let Some(mount) = Mount::tmpfs("size=1m") else { return };
    let backup = Tree::new();
    backup.write("a", b"x");
    let sink = mount.sink();
    mount.unmount_lazily();
    let report = run(&sink, &[&backup], &[item("a", b"x", &[0])]);
    assert_eq!(report.fatal.map(|fault| fault.kind), Some(WriteFaultKind::Gone));
    assert_eq!(report.outcomes[0].result, RestoreResult::NotStarted);
}

#[test]
fn a_pause_ends_the_batch_within_a_large_file_and_it_can_be_run_again() {
    let (volume, backup) = (Tree::new(), Tree::new());
    let contents = [noise(1, 20 * SMALL), noise(2, 1000)];
    backup.write("a", &contents[0]);
    backup.write("b", &contents[1]);
    let items = [item("a", &contents[0], &[0]), item("b", &contents[1], &[0])];
    let slow = SourceHandle { limit: RateLimit::bytes(4 * SMALL as u64), ..copy(&backup) };
    let (control, progress) = (Control::new(), Progress::new());
    let options = RestoreOptions { threads: 1, ..options() };
    let sink = volume.sink();
    let report = std::thread::scope(|scope| {
        let running = scope.spawn(|| restore_batch(&sink, &[slow], &items, &options, &control, &progress));
        while progress.bytes() == 0 {
            std::thread::yield_now();
        }
        control.pause();
        running.join().unwrap()
    });
    assert!(report.outcomes.iter().all(|outcome| outcome.result == RestoreResult::NotStarted), "{report:?}");
    assert_eq!((volume.everything(), progress.bytes()), (vec![], 0));
    let report = run(&volume.sink(), &[&backup], &items);
    assert!(report.outcomes.iter().all(|outcome| matches!(outcome.result, RestoreResult::Restored { .. })));
}

#[test]
fn mode_comes_from_the_catalogue_or_else_from_the_copy() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let (volume, backup) = (Tree::new(), Tree::new());
    for name in ["a", "b"] {
        backup.write(name, b"x");
        std::fs::set_permissions(backup.at(name), PermissionsExt::from_mode(0o604)).unwrap();
    }
    run(
        &volume.sink(),
        &[&backup],
        &[item("a", b"x", &[0]), RestoreItem { mode: Some(0o640), ..item("b", b"x", &[0]) }],
    );
    let mode = |name: &str| std::fs::metadata(volume.at(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("a"), mode("b")), (0o604, 0o640));
}
