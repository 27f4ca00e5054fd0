use super::*;
use crate::testing::{Mount, Tree, digest, noise, path};

const THEN: i64 = 1_700_000_000_000_000_000;

fn target(tree: &Tree) -> CopyTarget {
    CopyTarget { name: "copy".into(), place: tree.sink().into(), limit: RateLimit::unlimited() }
}

fn options() -> ProtectOptions {
    ProtectOptions { threads: 2, limit: RateLimit::unlimited(), label: Label::new("job").unwrap() }
}

fn run(primary: &Tree, copies: &[CopyTarget], items: &[ProtectItem]) -> ProtectReport {
    protect_batch(&primary.root(), copies, items, &options(), &Control::new(), &Progress::new())
}

fn one(primary: &Tree, copies: &[&Tree], at: &str, known: Option<Known>) -> ProtectResult {
    let copies: Vec<_> = copies.iter().map(|tree| target(tree)).collect();
    let item = ProtectItem { path: path(at), known, copies: (0..copies.len()).collect() };
    run(primary, &copies, &[item]).outcomes.remove(0).result
}

fn results(result: ProtectResult) -> Vec<CopyResult> {
    let ProtectResult::Read { copies, .. } = result else { panic!("{result:?}") };
    copies.into_iter().map(|(_, result)| result).collect()
}

const REPLACED: CopyResult = CopyResult::Replaced { quarantined: None };

#[test]
fn small_and_large_files_reach_every_copy_with_their_facts() {
    for size in [0, 30_000, 3 * SMALL] {
        let primary = Tree::new();
        let copies = [Tree::new(), Tree::new(), Tree::new()];
        let content = noise(1, size);
        primary.write("anna/a", &content);
        primary.set_mtime("anna/a", THEN);
        copies[1].write("anna/a", &[&content[..], b"older"].concat());
        copies[1].set_mtime("anna/a", THEN - 1);
        copies[2].write("anna/a", &content);
        let result = one(&primary, &copies.each_ref(), "anna/a", None);
        let ProtectResult::Read { file, .. } = &result else { panic!("{result:?}") };
        assert_eq!((file.digest, file.size, file.mtime_ns), (digest(&content), size as u64, THEN));
        assert_eq!(file.mode, primary.root().stat(&path("anna/a")).unwrap().unwrap().mode);
        assert_eq!(results(result), [CopyResult::Written, REPLACED, CopyResult::AlreadyThere]);
        for copy in &copies {
            assert_eq!(
                (copy.everything(), copy.read("anna/a")),
                (vec!["anna/a".to_owned()], content.clone())
            );
        }
        assert_eq!((copies[0].mtime("anna/a"), copies[1].mtime("anna/a")), (THEN, THEN));
    }
}

#[test]
fn damage_is_not_spread() {
    for size in [1000, 2 * SMALL] {
        let (primary, copy) = (Tree::new(), Tree::new());
        let good = noise(1, size);
        copy.write("a", &good);
        copy.set_mtime("a", THEN);
        let known = Known { size: size as u64, mtime_ns: THEN, digest: digest(&good) };
        // Rotten, or cut short; the clock did not move.
        for damaged in [noise(2, size), good[..size / 2].to_vec()] {
            primary.write("a", &damaged);
            primary.set_mtime("a", THEN);
            let result = one(&primary, &[&copy], "a", Some(known));
            assert!(matches!(result, ProtectResult::Suspicious { file } if file.digest == digest(&damaged)));
            assert_eq!((copy.everything(), copy.read("a")), (vec!["a".to_owned()], good.clone()));
        }
        // The same bytes under a new time are a change like any other.
        primary.write("a", &noise(2, size));
        primary.set_mtime("a", THEN + 1);
        assert_eq!(results(one(&primary, &[&copy], "a", Some(known))), [REPLACED]);
    }
}

#[test]
fn a_newer_version_on_the_copy_is_replaced_but_kept() {
    let (primary, copy) = (Tree::new(), Tree::new());
    primary.write("a", b"from the past");
    primary.set_mtime("a", THEN - 100);
    copy.write("a", b"the good one");
    copy.set_mtime("a", THEN);
    let quarantined = Some(b".salvor/quarantine/job/a".to_vec());
    assert_eq!(results(one(&primary, &[&copy], "a", None)), [CopyResult::Replaced { quarantined }]);
    assert_eq!(copy.read("a"), b"from the past");
    assert_eq!(copy.read(".salvor/quarantine/job/a"), b"the good one");
}

#[test]
fn what_is_missing_or_no_file_is_said() {
    let (primary, copy) = (Tree::new(), Tree::new());
    primary.link("/etc/passwd", "link");
    copy.write("none", b"kept");
    assert_eq!(one(&primary, &[&copy], "none", None), ProtectResult::Missing);
    let reason = "a symbolic link stands where the file should be".to_owned();
    assert_eq!(one(&primary, &[&copy], "link", None), ProtectResult::Failed { reason });
    assert_eq!(copy.everything(), ["none"], "what vanished from the primary stays on the copy");
}

#[test]
fn a_link_on_the_copy_is_not_written_through() {
    let (primary, copy, outside) = (Tree::new(), Tree::new(), Tree::new());
    primary.write("parent/a", b"x");
    primary.write("link", b"x");
    copy.link(outside.at("").to_str().unwrap(), "parent");
    copy.link(outside.at("file").to_str().unwrap(), "link");
    for at in ["parent/a", "link"] {
        assert!(matches!(results(one(&primary, &[&copy], at, None))[0], CopyResult::Failed { .. }));
    }
    assert_eq!(outside.everything(), [""; 0]);
}

/// Ends the writer also when the test fails: a scope waits for its threads.
struct StopWhenDropped<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn a_file_under_constant_change_fails_and_no_copy_gets_a_mixture() {
    let (primary, copy) = (Tree::new(), Tree::new());
    let versions = [noise(1, 4 * SMALL), noise(2, 4 * SMALL)];
    primary.write("a", &versions[0]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = StopWhenDropped(&stop);
        scope.spawn(|| {
            use std::os::unix::fs::FileExt;
            let file = std::fs::OpenOptions::new().write(true).open(primary.at("a")).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                versions.iter().for_each(|version| file.write_all_at(version, 0).unwrap());
            }
        });
        for _ in 0..20 {
            match one(&primary, &[&copy], "a", None) {
                ProtectResult::Failed { reason } => {
                    assert_eq!(reason, "it was being changed while it was read")
                }
                ProtectResult::Read { file, .. } => {
                    assert!(versions.iter().any(|version| digest(version) == file.digest), "a mixture");
                }
                other => panic!("{other:?}"),
            }
        }
    });
    for name in copy.everything() {
        assert!(versions.contains(&copy.read(&name)), "{name}");
    }
}

#[test]
fn a_full_copy_does_not_keep_the_others_from_their_files() {
    let Some(mount) = Mount::tmpfs("size=200k") else { return };
    let (primary, copy) = (Tree::new(), Tree::new());
    let items: Vec<_> = (0..20)
        .map(|n| {
            primary.write(&format!("{n:02}"), &noise(n, 30_000));
            ProtectItem { path: path(&format!("{n:02}")), known: None, copies: vec![0, 1] }
        })
        .collect();
    let full = CopyTarget { name: "full".into(), place: mount.sink().into(), limit: RateLimit::unlimited() };
    let report = run(&primary, &[full, target(&copy)], &items);
    assert_eq!(report.lost_copies.len(), 1);
    assert_eq!((report.lost_copies[0].0, report.lost_copies[0].1.kind), (0, WriteFaultKind::Full));
    assert_eq!(copy.everything(), primary.everything());
    let written = crate::testing::everything(mount.path()).len();
    let reported = report
        .outcomes
        .into_iter()
        .filter(|outcome| results(outcome.result.clone())[0] == CopyResult::Written)
        .count();
    assert_eq!(written, reported);
    assert!((1..8).contains(&written), "{written}");
}

#[test]
fn what_a_copy_does_not_confirm_is_not_called_written() {
    let Some(mount) = Mount::lying() else { return };
    let (primary, good) = (Tree::new(), Tree::new());
    let items: Vec<_> = (0..30)
        .map(|n| {
            primary.write(&format!("{n:02}"), &noise(n, 1_000_000));
            ProtectItem { path: path(&format!("{n:02}")), known: None, copies: vec![0, 1] }
        })
        .collect();
    let lying =
        CopyTarget { name: "lying".into(), place: mount.sink().into(), limit: RateLimit::unlimited() };
    let report = run(&primary, &[lying, target(&good)], &items);
    assert_eq!((report.lost_copies[0].0, report.lost_copies[0].1.kind), (0, WriteFaultKind::Io));
    for outcome in report.outcomes {
        let [CopyResult::Failed { reason }, CopyResult::Written] = &results(outcome.result)[..] else {
            panic!()
        };
        assert!(reason.contains("the copy did not confirm it: input/output error"), "{reason}");
    }
}

#[test]
fn an_unmounted_copy_is_lost_and_gets_nothing() {
    let Some(mount) = Mount::tmpfs("size=1m") else { return };
    let primary = Tree::new();
    primary.write("a", b"x");
    let sink = mount.sink();
    mount.unmount_lazily();
    let copies = [CopyTarget { name: "nas".into(), place: sink.into(), limit: RateLimit::unlimited() }];
    let report = run(&primary, &copies, &[ProtectItem { path: path("a"), known: None, copies: vec![0] }]);
    assert_eq!(report.lost_copies[0].1.kind, WriteFaultKind::Gone);
    assert!(matches!(results(report.outcomes[0].result.clone())[0], CopyResult::Failed { .. }));
}

#[test]
fn a_stopped_batch_leaves_the_rest_for_later() {
    let (primary, copy) = (Tree::new(), Tree::new());
    primary.write("a", &noise(1, 8 * SMALL));
    let slow = CopyTarget { limit: RateLimit::bytes(SMALL as u64), ..target(&copy) };
    let items = [ProtectItem { path: path("a"), known: None, copies: vec![0] }];
    let (control, progress) = (Control::new(), Progress::new());
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            protect_batch(&primary.root(), &[slow], &items, &options(), &control, &progress)
                .outcomes
                .remove(0)
        });
        std::thread::sleep(std::time::Duration::from_millis(200));
        control.cancel();
        assert_eq!(running.join().unwrap().result, ProtectResult::NotStarted);
    });
    assert_eq!((copy.everything(), progress.bytes()), (vec![], 0));
}

#[test]
fn a_second_reading_that_differs_from_the_first_reaches_no_copy() {
    let (primary, copy) = (Tree::new(), Tree::new());
    primary.write("a", &noise(1, 2 * SMALL));
    let root = primary.root();
    let (options, control, progress) = (options(), Control::new(), Progress::new());
    let copies = [target(&copy)];
    let lost = vec![Mutex::new(None)];
    let batch = Batch {
        primary: &root,
        copies: &copies,
        options: &options,
        control: &control,
        progress: &progress,
        lost,
    };
    let item = ProtectItem { path: path("a"), known: None, copies: vec![0] };
    // As if the bytes had changed between the readings through a mapping, which moves no clock.
    let (file, before) = root.open_file(&item.path).unwrap();
    let hashed = Hashed {
        digest: digest(b"first reading"),
        size: before.size,
        mtime_ns: before.mtime_ns,
        mode: before.mode,
    };
    let copying = Copying { batch: &batch, item: &item, hashed: &hashed, attrs: &Attrs::default() };
    let written = copying.write_large(vec![(0, Need::New)], &file, &before, &mut Buffer::new());
    assert_eq!(written, Err(ReadFault::ChangedWhileRead));
    assert_eq!(copy.everything(), [""; 0]);
}
