//! The pipeline: groups and their barriers, copies that hang or break off, how many read at once.

use std::io::Read;
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use super::tests::{copy, item, options};
use super::*;
use crate::fault::{SourceFault, WriteFaultKind};
use crate::hash::SMALL;
use crate::source::{Holding, Opened, SourceStat};
use crate::testing::{Mount, Tree, noise, path};

type Groups = Vec<Vec<(usize, RestoreOutcome)>>;

fn stream(sink: &Sink, sources: &[SourceHandle], items: Vec<RestoreItem>) -> (RestoreEnd, Groups) {
    let mut groups = Vec::new();
    let (options, control, progress) = (options(), Control::new(), Progress::new());
    let end = restore_stream(sink, sources, items, &options, &control, &progress, |group| groups.push(group));
    (end, groups)
}

fn handle(source: Arc<dyn Source>) -> SourceHandle {
    SourceHandle::new(source, RateLimit::unlimited())
}

fn is_restored(outcome: &RestoreOutcome) -> bool {
    matches!(outcome.result, RestoreResult::Restored { .. })
}

fn many(backup: &Tree, count: u64) -> Vec<RestoreItem> {
    let one = |n| {
        let content = noise(n, 100);
        let at = format!("site{}/{n}", n / 100);
        backup.write(&at, &content);
        item(&at, &content, &[0])
    };
    (0..count).map(one).collect()
}

#[test]
fn a_group_comes_after_its_barrier_while_the_work_goes_on() {
    let (volume, backup) = (Tree::new(), Tree::new());
    let items = many(&backup, 2 * desk::GROUP_FILES as u64 + 50);
    let (all, sink, progress) = (items.len(), volume.sink(), Progress::new());
    let (mut seen, mut calls) = (vec![0; all], 0);
    let (options, control, sources) = (options(), Control::new(), [copy(&backup)]);
    let end = restore_stream(&sink, &sources, items, &options, &control, &progress, |group| {
        calls += 1;
        assert_eq!(sink.barriers(), calls, "one barrier for each group, before it");
        if calls == 1 {
            // Whoever holds up the groups does not hold up the crew.
            while progress.files() < all as u64 {
                std::thread::yield_now();
            }
        }
        for (index, outcome) in group {
            assert!(is_restored(&outcome), "{outcome:?}");
            seen[index] += 1;
        }
    });
    assert_eq!(end, RestoreEnd { complete: true, fatal: None });
    assert!(seen.iter().all(|&times| times == 1) && calls >= 2, "{calls}");
}

#[test]
fn a_group_does_not_wait_for_a_slow_file_that_comes_after_it() {
    let volume = Tree::new();
    let content = noise(1, 100);
    let items = ["b", "a"].map(|at| item(at, &content, &[0])).to_vec();
    let door = Arc::new(Door::default());
    let slow = Arc::clone(&door);
    // This copy likes to be read from the last name to the first.
    let source = odd(&content, 1..=1, move |path: &FilePath, _, content: &[u8]| {
        if path.as_bytes() == b"a" {
            assert!(slow.passed_within(Duration::from_secs(20)), "the group of b never came");
        }
        Box::new(std::io::Cursor::new(content.to_vec())) as Box<dyn Read + Send>
    });
    let (options, control, progress) = (options(), Control::new(), Progress::new());
    let sources = [handle(Arc::new(source))];
    let end = restore_stream(&volume.sink(), &sources, items, &options, &control, &progress, |_| door.open());
    assert_eq!(end, RestoreEnd { complete: true, fatal: None });
}

#[test]
fn what_went_to_a_volume_that_was_unmounted_meanwhile_is_not_handed_out() {
    let Some(mount) = Mount::tmpfs("size=4m") else { return };
    let (sink, content) = (mount.sink(), noise(1, 100));
    let mount = Mutex::new(mount);
    let source = odd(&content, 1..=1, move |_: &FilePath, _, content: &[u8]| {
        mount.lock().unwrap().unmount_lazily();
        Box::new(std::io::Cursor::new(content.to_vec())) as Box<dyn Read + Send>
    });
    let (end, groups) = stream(&sink, &[handle(Arc::new(source))], vec![item("a", &content, &[0])]);
    assert_eq!(end.fatal.map(|fault| fault.kind), Some(WriteFaultKind::Gone));
    assert!(groups.iter().flatten().all(|(_, outcome)| !is_restored(outcome)), "{groups:?}");
}

#[test]
fn nothing_to_do_is_done_at_once() {
    let (end, groups) = stream(&Tree::new().sink(), &[], Vec::new());
    assert!(end.complete && groups.is_empty());
}

#[test]
fn a_group_whose_barrier_fails_is_not_handed_out() {
    let Some(mount) = Mount::lying() else { return };
    let backup = Tree::new();
    let contents: Vec<_> = (0..40).map(|n| noise(n, 1_000_000)).collect();
    let mut items: Vec<_> = (0..40)
        .map(|n| {
            backup.write(&format!("{n:02}"), &contents[n]);
            item(&format!("{n:02}"), &contents[n], &[0])
        })
        .collect();
    items.push(item("in no copy", b"x", &[]));
    let (end, groups) = stream(&mount.sink(), &[copy(&backup)], items);
    assert!(!end.complete && end.fatal.is_some());
    let restored = groups.iter().flatten().filter(|(_, outcome)| is_restored(outcome)).count();
    assert!(restored < 10, "the disk has room for some six: {restored}");
}

/// A copy whose readers do what a test wants of them.
struct Odd<F> {
    content: Vec<u8>,
    bears: RangeInclusive<usize>,
    patience: Duration,
    /// Opens a path at an offset.
    open: F,
}

impl<F: Fn(&FilePath, u64, &[u8]) -> Box<dyn Read + Send> + Send + Sync> Source for Odd<F> {
    fn name(&self) -> &str {
        "odd"
    }
    fn stat(&self, _: &FilePath) -> Result<SourceStat, SourceFault> {
        Err(SourceFault::NotFound)
    }
    fn list(&self, _: &mut dyn FnMut(Holding) -> ControlFlow<()>) -> Result<(), SourceFault> {
        Ok(())
    }
    fn open(&self, path: &FilePath) -> Result<Opened, SourceFault> {
        self.open_at(path, 0)
    }
    fn open_at(&self, path: &FilePath, offset: u64) -> Result<Opened, SourceFault> {
        Ok(Opened::plain((self.open)(path, offset, &self.content)))
    }
    fn location(&self, path: &FilePath) -> Option<u64> {
        // The other way round than by path.
        Some(u64::from(u8::MAX - path.as_bytes()[0]))
    }
    fn parallel(&self) -> RangeInclusive<usize> {
        self.bears.clone()
    }
    fn patience(&self) -> Duration {
        self.patience
    }
}

fn odd<F>(content: &[u8], bears: RangeInclusive<usize>, open: F) -> Odd<F>
where
    F: Fn(&FilePath, u64, &[u8]) -> Box<dyn Read + Send> + Send + Sync,
{
    Odd { content: content.to_vec(), bears, patience: Duration::from_secs(60), open }
}

/// A door that a test opens.
#[derive(Default)]
struct Door(Mutex<bool>, Condvar);

impl Door {
    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
    fn pass(&self) {
        drop(self.1.wait_while(self.0.lock().unwrap(), |open| !*open).unwrap());
    }
    fn passed_within(&self, patience: Duration) -> bool {
        *self.1.wait_timeout_while(self.0.lock().unwrap(), patience, |open| !*open).unwrap().0
    }
}

#[test]
fn a_copy_that_hangs_holds_up_only_its_own_readers() {
    let (volume, backup) = (Tree::new(), Tree::new());
    let content = noise(1, 5_000);
    let mut items = many(&backup, 300);
    for at in ["hangs/with another copy", "hangs/alone"] {
        backup.write(at, &content);
        items.push(item(at, &content, if at.ends_with("alone") { &[1] } else { &[1, 0] }));
    }
    let door = Arc::new(Door::default());
    let waits = Arc::clone(&door);
    let hanging = Arc::new(Odd {
        patience: Duration::from_millis(100),
        ..odd(&content, 1..=1, move |_: &FilePath, _, content: &[u8]| {
            waits.pass();
            Box::new(std::io::Cursor::new(content.to_vec())) as Box<dyn Read + Send>
        })
    });
    let sources = [copy(&backup), handle(hanging.clone())];
    let (end, groups) = stream(&volume.sink(), &sources, items);
    assert_eq!(end, RestoreEnd { complete: true, fatal: None });
    let mut outcomes: Vec<_> = groups.into_iter().flatten().collect();
    outcomes.sort_by_key(|(index, _)| *index);
    assert!(outcomes[..301].iter().all(|(_, outcome)| is_restored(outcome)));
    assert!(outcomes[..300].iter().all(|(_, outcome)| outcome.copy_faults.is_empty()));
    let why =
        CopyFault { source: 1, kind: CopyFaultKind::Gone, reason: "it has not answered for 0.1 s".into() };
    assert_eq!(outcomes[300].1.copy_faults, [why]);
    let RestoreResult::NotGiven { reason } = &outcomes[301].1.result else { panic!("{outcomes:?}") };
    assert_eq!(reason, "no copy could give it (odd is out of reach: it has not answered for 0.1 s)");
    // The one who may read it hangs: nobody else waits for it, in this restore or another.
    let asked = Instant::now();
    let refused = sources[1].gate.enter(&Control::new(), Duration::from_secs(60)).err();
    assert_eq!(refused, Some(gate::Refusal::Hung));
    assert!(asked.elapsed() < Duration::from_secs(30));
    // Whoever comes back late changes nothing.
    std::fs::remove_file(volume.at("hangs/with another copy")).unwrap();
    door.open();
    drop(sources);
    while Arc::strong_count(&hanging) > 1 {
        std::thread::yield_now();
    }
    assert_eq!(volume.everything().len(), 300, "no file of a reader that was given up, and no litter");
}

/// Gives `left` bytes and breaks off.
struct Cut(Vec<u8>, usize);

impl Read for Cut {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        let count = room.len().min(self.0.len()).min(self.1);
        if count == 0 && !self.0.is_empty() {
            return Err(std::io::Error::other("the connection was cut"));
        }
        room[..count].copy_from_slice(&self.0[..count]);
        self.0.drain(..count);
        self.1 -= count;
        Ok(count)
    }
}

#[test]
fn a_read_that_breaks_off_goes_on_where_it_was() {
    for size in [10_000, 3 * SMALL] {
        let (volume, content) = (Tree::new(), noise(1, size));
        let opened = Arc::new(Mutex::new(Vec::new()));
        let offsets = Arc::clone(&opened);
        let source = odd(&content, 1..=1, move |_: &FilePath, at, content: &[u8]| {
            offsets.lock().unwrap().push(at);
            Box::new(Cut(content[at as usize..].to_vec(), content.len() / 3)) as Box<dyn Read + Send>
        });
        let (_, groups) =
            stream(&volume.sink(), &[handle(Arc::new(source))], vec![item("a", &content, &[0])]);
        let outcome = &groups[0][0].1;
        assert!(is_restored(outcome) && outcome.copy_faults.is_empty(), "{outcome:?}");
        let third = size as u64 / 3;
        let wanted: Vec<u64> = (0..).map(|n| n * third).take_while(|at| *at < size as u64).collect();
        assert_eq!(*opened.lock().unwrap(), wanted);
        assert_eq!(volume.read("a"), content);
    }
}

#[test]
fn a_copy_that_breaks_off_again_and_again_is_blamed_in_the_end() {
    let (volume, backup, content) = (Tree::new(), Tree::new(), noise(1, 3 * SMALL));
    backup.write("a", &content);
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let source = odd(&content, 1..=1, move |_: &FilePath, at, content: &[u8]| {
        count.fetch_add(1, Ordering::Relaxed);
        let left = SMALL.saturating_sub(at as usize);
        Box::new(Cut(content[at as usize..].to_vec(), left)) as Box<dyn Read + Send>
    });
    let sources = [handle(Arc::new(source)), copy(&backup)];
    let (_, groups) = stream(&volume.sink(), &sources, vec![item("a", &content, &[0, 1])]);
    let outcome = &groups[0][0].1;
    assert!(matches!(outcome.result, RestoreResult::Restored { source: 1, .. }), "{outcome:?}");
    assert_eq!(outcome.copy_faults[0].reason, "the connection was cut");
    assert_eq!(opened.load(Ordering::Relaxed), 5, "once, and four times more");
}

#[test]
fn as_many_read_at_once_as_a_copy_bears_in_all_restores_together() {
    const BEARS: usize = 3;
    let content = noise(1, 100);
    let inside = Arc::new((Mutex::new((0, 0)), Condvar::new()));
    struct Inside(Arc<(Mutex<(usize, usize)>, Condvar)>, std::io::Cursor<Vec<u8>>);
    impl Read for Inside {
        fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
            self.1.read(room)
        }
    }
    impl Drop for Inside {
        fn drop(&mut self) {
            self.0.0.lock().unwrap().0 -= 1;
        }
    }
    let counts = Arc::clone(&inside);
    let source = odd(&content, 1..=BEARS, move |_: &FilePath, _, content: &[u8]| {
        let mut counted = counts.0.lock().unwrap();
        counted.0 += 1;
        counted.1 = counted.1.max(counted.0);
        counts.1.notify_all();
        // The first ones wait until all whom it bears are there.
        let (_counted, waited) =
            counts.1.wait_timeout_while(counted, Duration::from_secs(20), |c| c.1 < BEARS).unwrap();
        assert!(!waited.timed_out(), "fewer than it bears");
        Box::new(Inside(Arc::clone(&counts), std::io::Cursor::new(content.to_vec()))) as Box<dyn Read + Send>
    });
    let source = handle(Arc::new(source));
    std::thread::scope(|scope| {
        for at in ["one", "two"] {
            let (source, content) = (source.clone(), &content);
            scope.spawn(move || {
                let volume = Tree::new();
                let items = (0..60).map(|n| item(&format!("{at}/{n}"), content, &[0])).collect();
                let options = RestoreOptions { threads: 8, ..options() };
                let (control, progress) = (Control::new(), Progress::new());
                let sink = volume.sink();
                let end = restore_stream(&sink, &[source], items, &options, &control, &progress, |_| {});
                assert!(end.complete && progress.files() == 60, "{end:?}");
            });
        }
    });
    assert_eq!(inside.0.lock().unwrap().1, BEARS);
}

#[test]
fn files_are_read_in_the_order_in_which_they_lie_in_the_copy() {
    let (volume, content) = (Tree::new(), noise(1, 100));
    let opened = Arc::new(Mutex::new(Vec::new()));
    let order = Arc::clone(&opened);
    let source = odd(&content, 1..=1, move |path: &FilePath, _, content: &[u8]| {
        order.lock().unwrap().push(path.clone());
        Box::new(std::io::Cursor::new(content.to_vec())) as Box<dyn Read + Send>
    });
    let items = ["b", "d", "a", "c"].map(|at| item(at, &content, &[0]));
    stream(&volume.sink(), &[handle(Arc::new(source))], items.to_vec());
    assert_eq!(*opened.lock().unwrap(), ["d", "c", "b", "a"].map(path));
}

#[test]
fn a_stop_hands_out_what_was_linked_by_then() {
    let (volume, backup) = (Tree::new(), Tree::new());
    let items = many(&backup, 300);
    let (control, progress, sink) = (Control::new(), Progress::new(), volume.sink());
    let mut handed_out = 0;
    let end = restore_stream(&sink, &[copy(&backup)], items, &options(), &control, &progress, |group| {
        control.pause();
        handed_out += group.len();
    });
    assert_eq!(end.fatal, None);
    assert_eq!(end.complete, handed_out == 300);
    assert_eq!(volume.everything().len(), handed_out);
    assert_eq!(progress.files(), handed_out as u64);
}

#[test]
fn a_job_that_its_limit_holds_back_leaves_the_copy_to_others() {
    let (volume, other) = (Tree::new(), Tree::new());
    let content = noise(1, 3 * SMALL);
    let from = |_: &FilePath, offset: u64, content: &[u8]| -> Box<dyn Read + Send> {
        Box::new(std::io::Cursor::new(content[offset as usize..].to_vec()))
    };
    // Whoever does not come in there is out of patience soon.
    let source = handle(Arc::new(Odd { patience: Duration::from_secs(2), ..odd(&content, 2..=2, from) }));
    let restored = |target: &Tree, names: &[&str], limit: &RateLimit, progress: &Progress| {
        let items: Vec<_> = names.iter().map(|name| item(name, &content, &[0])).collect();
        let options = RestoreOptions { limit: limit.clone(), ..options() };
        let sources = [source.clone()];
        let report = restore_batch(&target.sink(), &sources, &items, &options, &Control::new(), progress);
        assert!(report.outcomes.iter().all(is_restored), "{report:?}");
    };
    let (limit, progress) = (RateLimit::bytes(0), Progress::new());
    std::thread::scope(|scope| {
        let held = scope.spawn(|| restored(&volume, &["a", "b", "c"], &limit, &progress));
        // As many as the copy bears have begun with a file, and wait.
        while progress.bytes() < 2 * SMALL as u64 {
            std::thread::yield_now();
        }
        restored(&other, &["d", "e", "f"], &RateLimit::unlimited(), &Progress::new());
        assert!(!held.is_finished());
        limit.set_bytes(None);
    });
}
