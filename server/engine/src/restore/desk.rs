//! Where the threads of a restore take their items and put what came of them.
//!
//! What must always hold: each item is with one thread, waits, or has its outcome; what is put here and not yet durable is
//! bounded, in files and bytes, and the threads wait when it is too much. What a hanging thread had taken goes back.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::RestoreOutcome;

/// A group is closed when it has so many files or bytes, or is so old, or nothing follows it. On a quick disk these make one
/// barrier of what would be four: each holds up all who write.
pub(super) const GROUP_FILES: usize = if cfg!(test) { 100 } else { 4_000 };
pub(super) const GROUP_BYTES: u64 = 128 << 20;
pub(super) const GROUP_AGE: Duration = Duration::from_millis(500);
/// No more than this is linked and not yet durable.
const MOST_FILES: usize = 2 * GROUP_FILES;
const MOST_BYTES: u64 = 2 * GROUP_BYTES;
/// How long anybody here sleeps at most before looking around.
const LOOK: Duration = Duration::from_millis(100);

/// What came of an item, by its place among the items.
pub(super) type Settled = (usize, RestoreOutcome);

pub(super) struct Desk {
    state: Mutex<State>,
    /// For who waits until there is room.
    room: Condvar,
    /// For the committer.
    put: Condvar,
}

struct State {
    /// The items' places in the order of reading, and how many of them were given out.
    order: Vec<usize>,
    next: usize,
    run: usize,
    /// Given out once, and taken back from a thread that hangs.
    again: VecDeque<usize>,
    group: Group,
    /// In groups whose barrier has not passed, this one included.
    undurable_files: usize,
    undurable_bytes: u64,
    hands: Vec<Arc<Hand>>,
}

#[derive(Default)]
pub(super) struct Group {
    pub(super) settled: Vec<Settled>,
    bytes: u64,
    oldest: Option<Instant>,
}

/// How things stand when the committer has waited.
pub(super) enum Turn {
    /// A group to make durable.
    Group(Group),
    /// Nothing yet; so many items are to be taken, and so many threads are at work.
    Wait { to_take: usize, at_work: usize },
    /// All threads have left, and nothing is to be taken any more or ever.
    End,
}

impl Desk {
    /// `run`: how many neighbours a thread takes at a time.
    pub(super) fn new(order: Vec<usize>, run: usize) -> Self {
        let state = State {
            order,
            next: 0,
            run,
            again: VecDeque::new(),
            group: Group::default(),
            undurable_files: 0,
            undurable_bytes: 0,
            hands: Vec::new(),
        };
        Self { state: Mutex::new(state), room: Condvar::new(), put: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new thread's hand.
    pub(super) fn join(&self) -> Arc<Hand> {
        let hand = Arc::new(Hand::default());
        self.lock().hands.push(Arc::clone(&hand));
        hand
    }

    /// The thread ends; what it did not begin waits again.
    pub(super) fn leave(&self, hand: &Arc<Hand>) {
        let left = hand.give_back();
        let mut state = self.lock();
        state.again.extend(left);
        state.hands.retain(|other| !Arc::ptr_eq(other, hand));
        drop(state);
        self.put.notify_one();
    }

    /// The next item for a thread: of its own run, or of a new one once there is room.
    pub(super) fn take(&self, hand: &Hand, over: impl Fn() -> bool) -> Option<usize> {
        loop {
            if over() {
                return None;
            }
            if let Some(item) = hand.next() {
                return Some(item);
            }
            let mut state = self.lock();
            if state.undurable_files >= MOST_FILES || state.undurable_bytes >= MOST_BYTES {
                drop(self.room.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner));
                continue;
            }
            let items: Vec<usize> = match state.again.pop_front() {
                Some(item) => vec![item],
                None => {
                    let run = state.next_run();
                    state.order[run].to_vec()
                }
            };
            if items.is_empty() || !hand.fill(items) {
                return None;
            }
        }
    }

    /// `bytes`: what waits for the barrier with it.
    pub(super) fn put(&self, settled: Settled, bytes: u64) {
        let mut state = self.lock();
        state.undurable_files += 1;
        state.undurable_bytes += bytes;
        let group = &mut state.group;
        group.settled.push(settled);
        group.bytes += bytes;
        group.oldest.get_or_insert_with(Instant::now);
        let full = group.is_full();
        drop(state);
        if full {
            self.put.notify_one();
        }
    }

    /// Waits a moment for a group that is due. `over`: nothing more will be taken.
    pub(super) fn turn(&self, over: impl Fn() -> bool) -> Turn {
        let mut state = self.lock();
        if !state.is_due(over()) {
            state = self.put.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        let is_over = over();
        if state.is_due(is_over) && !state.group.settled.is_empty() {
            return Turn::Group(std::mem::take(&mut state.group));
        }
        let (to_take, at_work) = (if is_over { 0 } else { state.to_take() }, state.hands.len());
        if to_take == 0 && at_work == 0 { Turn::End } else { Turn::Wait { to_take, at_work } }
    }

    /// A group of this size has passed its barrier, or never will.
    pub(super) fn confirmed(&self, (files, bytes): (usize, u64)) {
        let mut state = self.lock();
        state.undurable_files -= files;
        state.undurable_bytes -= bytes;
        drop(state);
        self.room.notify_all();
    }

    /// Takes back what threads hold that have read in vain for longer than `patience` says of their source. Gives those
    /// sources.
    pub(super) fn give_up_hung(&self, patience: impl Fn(usize) -> Duration) -> Vec<usize> {
        let mut state = self.lock();
        let mut sources = Vec::new();
        let mut back = Vec::new();
        state.hands.retain(|hand| match hand.give_up(&patience) {
            Some((source, items)) => {
                sources.push(source);
                back.extend(items);
                false
            }
            None => true,
        });
        state.again.extend(back);
        sources
    }
}

impl State {
    fn next_run(&mut self) -> Range<usize> {
        let from = self.next;
        self.next = (from + self.run).min(self.order.len());
        from..self.next
    }

    fn to_take(&self) -> usize {
        self.order.len() - self.next + self.again.len()
    }

    fn is_due(&self, over: bool) -> bool {
        let nobody_adds = self.hands.is_empty() && (over || self.to_take() == 0);
        nobody_adds || self.group.is_full() || self.group.oldest.is_some_and(|at| at.elapsed() >= GROUP_AGE)
    }
}

impl Group {
    /// Its files and bytes.
    pub(super) fn size(&self) -> (usize, u64) {
        (self.settled.len(), self.bytes)
    }

    fn is_full(&self) -> bool {
        self.settled.len() >= GROUP_FILES || self.bytes >= GROUP_BYTES
    }
}

/// What one thread holds, where the committer can see it.
#[derive(Default)]
pub(super) struct Hand(Mutex<Held>);

#[derive(Default)]
struct Held {
    run: VecDeque<usize>,
    /// The item that it is at.
    now: Option<usize>,
    /// The source that it waits for, and since when.
    reading: Option<(usize, Instant)>,
    given_up: bool,
}

/// The thread waited too long for its source: its items are with others now, and nobody waits for it any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GivenUp;

impl Hand {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that may hang on a source goes through this.
    pub(super) fn reading<T>(&self, source: usize, read: impl FnOnce() -> T) -> Result<T, GivenUp> {
        self.lock().reading = Some((source, Instant::now()));
        let done = read();
        let mut held = self.lock();
        held.reading = None;
        if held.given_up { Err(GivenUp) } else { Ok(done) }
    }

    fn next(&self) -> Option<usize> {
        let mut held = self.lock();
        held.now = held.run.pop_front();
        held.now
    }

    fn fill(&self, items: Vec<usize>) -> bool {
        let mut held = self.lock();
        held.run.extend(items);
        !held.given_up
    }

    /// The item that it was at has its outcome.
    pub(super) fn done(&self) {
        self.lock().now = None;
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.lock().given_up
    }

    fn give_back(&self) -> Vec<usize> {
        let mut held = self.lock();
        let now = held.now.take();
        now.into_iter().chain(std::mem::take(&mut held.run)).collect()
    }

    fn give_up(&self, patience: impl Fn(usize) -> Duration) -> Option<(usize, Vec<usize>)> {
        let source = {
            let mut held = self.lock();
            let (source, since) = held.reading?;
            if since.elapsed() < patience(source) {
                return None;
            }
            held.given_up = true;
            source
        };
        Some((source, self.give_back()))
    }
}

#[cfg(test)]
mod tests {
    use salvor_domain::path::FilePath;

    use super::*;
    use crate::restore::RestoreResult;

    fn settled(index: usize) -> Settled {
        let path = FilePath::new(format!("{index}").into_bytes()).unwrap();
        (index, RestoreOutcome { path, result: RestoreResult::InPlace, copy_faults: Vec::new() })
    }

    /// Says that it is over when it has been asked so often.
    fn after(asked: usize) -> impl Fn() -> bool {
        let left = std::cell::Cell::new(asked);
        move || left.replace(left.get().saturating_sub(1)) == 0
    }

    #[test]
    fn what_is_not_durable_is_bounded_and_nothing_is_taken_until_there_is_room() {
        for (files, bytes) in [(MOST_FILES, 1), (3, MOST_BYTES / 3 + 1)] {
            let desk = Desk::new((0..MOST_FILES + 9).collect(), 1);
            let hand = desk.join();
            for index in 0..files {
                assert_eq!(desk.take(&hand, || false), Some(index));
                hand.done();
                desk.put(settled(index), bytes);
            }
            assert_eq!(desk.take(&hand, after(2)), None, "no room");
            let Turn::Group(group) = desk.turn(|| false) else { panic!() };
            assert_eq!(desk.take(&hand, after(2)), None, "its barrier has not passed yet");
            desk.confirmed(group.size());
            assert_eq!(desk.take(&hand, after(2)), Some(files));
        }
    }

    #[test]
    fn what_a_hanging_thread_had_taken_goes_to_others() {
        let desk = Desk::new((0..6).collect(), 3);
        let (hangs, works) = (desk.join(), desk.join());
        assert_eq!(desk.take(&hangs, || false), Some(0));
        hangs.done();
        assert_eq!(desk.take(&hangs, || false), Some(1));
        let read = hangs.reading(7, || {
            assert!(desk.give_up_hung(|_| Duration::from_secs(60)).is_empty(), "patience");
            assert_eq!(desk.give_up_hung(|_| Duration::ZERO), [7]);
        });
        assert_eq!(read, Err(GivenUp));
        let mut taken: Vec<_> = (0..5).map(|_| desk.take(&works, || false).unwrap()).collect();
        taken.sort_unstable();
        assert_eq!(taken, [1, 2, 3, 4, 5], "what it was at, and what it had before it");
        desk.leave(&hangs);
        desk.leave(&works);
        assert!(
            matches!(desk.turn(|| false), Turn::Wait { to_take: 1, at_work: 0 }),
            "the last was not done"
        );
        assert!(matches!(desk.turn(|| true), Turn::End));
    }
}
