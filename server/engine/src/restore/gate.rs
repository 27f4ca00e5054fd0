//! How many read from one copy at once: as many as help.
//!
//! One gate for each copy, shared by everyone in this process who reads it, so that two segments of a job together ask no
//! more of a copy than it bears. Its width follows what is measured: one more reader while files or bytes a second grow,
//! one fewer where that costs nothing, and a good part fewer when reads fail. Readers that hang are counted apart: they
//! narrow the gate for nobody until there are as many of them as the copy bears at most. So are readers that rest because a
//! limit holds them back, with their files open: up to half as many as the copy bears.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::control::{Control, Stopped};

/// What is measured at once. Shorter ones tell more of the machine's mood than of the copy.
const WINDOW: Duration = Duration::from_millis(500);
/// How long a waiting reader sleeps at most before it looks around again.
const LOOK: Duration = Duration::from_millis(50);
/// What a file costs beside its bytes, in bytes: so that files of any size measure the same effort.
const BYTES_A_FILE: f64 = 64.0 * 1024.0;

/// A shared handle.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    freed: Condvar,
    bytes: AtomicU64,
}

#[derive(Debug)]
struct State {
    inside: usize,
    /// Of those inside: readers that nobody waits for any more.
    hung: usize,
    /// Of those inside: readers that wait for a limit.
    resting: usize,
    /// Those outside. A call of the kernel for each file is saved while there are none.
    waiting: usize,
    climb: Climb,
    window: Option<Window>,
    files: u64,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    files: u64,
    bytes: u64,
    /// Somebody had to wait, or the last place was taken: only then does the width matter.
    pressed: bool,
    /// Many readers fail together when a copy has trouble: that is one reason to narrow the gate, not many.
    failed: bool,
}

/// Why nobody is let in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Stopped,
    /// All who are inside hang.
    Hung,
}

impl From<Stopped> for Refusal {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl Gate {
    /// For a copy that is asked by so many at least and at most.
    pub fn new(bears: RangeInclusive<usize>) -> Self {
        let state = State {
            inside: 0,
            hung: 0,
            resting: 0,
            waiting: 0,
            climb: Climb::new(bears),
            window: None,
            files: 0,
        };
        Self(Arc::new(Inner { state: Mutex::new(state), freed: Condvar::new(), bytes: AtomicU64::new(0) }))
    }

    /// How many may read at once now.
    pub fn width(&self) -> usize {
        self.lock().climb.width
    }

    /// Waits for a place. `patience`: how long all inside may be silent before the copy is taken for hung.
    pub(crate) fn enter(&self, control: &Control, patience: Duration) -> Result<Permit, Refusal> {
        let mut state = self.lock();
        let mut heard = (Instant::now(), state.files, self.bytes());
        loop {
            let taken = state.taken();
            let State { climb, .. } = &*state;
            if taken < climb.width && state.inside < climb.most {
                let last = taken + 1 == climb.width;
                state.inside += 1;
                state.press(last);
                return Ok(Permit { gate: self.clone(), hung: false, left: false });
            }
            control.check()?;
            if state.hung >= state.climb.most || heard.0.elapsed() >= patience {
                return Err(Refusal::Hung);
            }
            state.press(true);
            state.waiting += 1;
            state = self.0.freed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            state.waiting -= 1;
            state.look(Instant::now(), self.bytes());
            if (state.files, self.bytes()) != (heard.1, heard.2) {
                heard = (Instant::now(), state.files, self.bytes());
            }
        }
    }

    /// Bytes that have just come through.
    pub(crate) fn moved(&self, bytes: usize) {
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Judges the width anew if it is time.
    pub(crate) fn look(&self) {
        self.lock().look(Instant::now(), self.bytes());
    }

    /// A read failed in a way that fewer readers may help.
    pub(crate) fn failed(&self) {
        let mut state = self.lock();
        let before = state.window.as_mut().is_some_and(|window| std::mem::replace(&mut window.failed, true));
        if !before {
            state.climb.failed();
        }
    }

    /// One of those inside hangs. Its permit has to be told as well, when its owner comes back.
    pub(crate) fn give_up_one(&self) {
        self.lock().hung += 1;
        self.0.freed.notify_one();
    }

    /// A place is free.
    fn let_in(&self, state: MutexGuard<'_, State>) {
        let is_awaited = state.waiting > 0;
        drop(state);
        if is_awaited {
            self.0.freed.notify_one();
        }
    }

    fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Places that are read from.
    fn taken(&self) -> usize {
        self.inside - self.hung - self.resting
    }

    fn press(&mut self, pressed: bool) {
        if let Some(window) = &mut self.window {
            window.pressed |= pressed;
        }
    }

    fn look(&mut self, now: Instant, bytes: u64) {
        if let Some(window) = &self.window {
            let took = now.duration_since(window.since);
            if took < WINDOW {
                return;
            }
            // A window that nobody closed for long is one in which nobody read.
            if window.pressed && !window.failed && took < 4 * WINDOW {
                let moved = bytes.saturating_sub(window.bytes) as f64;
                let files = self.files.saturating_sub(window.files) as f64;
                self.climb.judge((files * BYTES_A_FILE + moved) / took.as_secs_f64());
            }
        }
        let pressed = self.taken() >= self.climb.width;
        self.window = Some(Window { since: now, files: self.files, bytes, pressed, failed: false });
    }
}

/// A place among a copy's readers.
#[derive(Debug)]
pub(crate) struct Permit {
    gate: Gate,
    hung: bool,
    left: bool,
}

/// Another may read in this one's place as long as this lives.
pub(crate) struct Resting<'a>(&'a Gate);

impl Drop for Resting<'_> {
    fn drop(&mut self) {
        self.0.lock().resting -= 1;
    }
}

impl Permit {
    /// Its owner waits for something else than the copy, and reads on without asking afterwards: for that short time there may
    /// be one reader more than the gate is wide. `None` when so many rest that their open files are a burden.
    pub(crate) fn rest(&self) -> Option<Resting<'_>> {
        let mut state = self.gate.lock();
        if (state.resting + 1) * 2 > state.climb.most {
            return None;
        }
        state.resting += 1;
        self.gate.let_in(state);
        Some(Resting(&self.gate))
    }

    /// Gives the place back in the midst of a file.
    pub(crate) fn leave(&mut self) {
        if std::mem::replace(&mut self.left, true) {
            return;
        }
        let mut state = self.gate.lock();
        state.inside -= 1;
        state.hung -= usize::from(std::mem::take(&mut self.hung));
        self.gate.let_in(state);
    }

    /// Its owner was given up meanwhile ([`Gate::give_up_one`]) and has come back.
    pub(crate) fn came_back(&mut self) {
        self.hung = true;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.left {
            return;
        }
        let mut state = self.gate.lock();
        state.inside -= 1;
        state.hung -= usize::from(self.hung);
        state.files += 1;
        let bytes = self.gate.bytes();
        state.look(Instant::now(), bytes);
        self.gate.let_in(state);
    }
}

/// How the width is found: by going up while it helps and down while it does not hurt. Knows no time.
#[derive(Debug)]
struct Climb {
    least: usize,
    most: usize,
    width: usize,
    /// The width that is compared with the present one, and what was measured there.
    trial: Option<(usize, f64)>,
    upwards: bool,
    /// Nothing has failed to help so far: the steps are large.
    fresh: bool,
    /// Windows to go before the next trial.
    rest: u32,
}

/// More readers must gain so much to stay, and fewer may lose so much.
const GAIN: f64 = 1.05;
const LOSS: f64 = 0.97;
/// Windows between trials once the width is found.
const REST: u32 = 20;
/// Readers at the beginning, for each of the fewest.
const FIRST: usize = 4;

impl Climb {
    fn new(bears: RangeInclusive<usize>) -> Self {
        let least = (*bears.start()).max(1);
        let most = (*bears.end()).max(least);
        let width = (least * FIRST).min(most);
        Self { least, most, width, trial: None, upwards: true, fresh: true, rest: 0 }
    }

    /// What was moved at the present width, in whatever unit.
    fn judge(&mut self, score: f64) {
        if self.rest > 0 {
            self.rest -= 1;
            return;
        }
        let Some((other, then)) = self.trial.take() else { return self.step(score) };
        let helps = if self.width > other { score > then * GAIN } else { score > then * LOSS };
        if helps {
            // Going down, small losses must not add up.
            self.step(if self.upwards { score } else { score.max(then) });
        } else {
            self.width = other;
            self.settle();
        }
    }

    fn step(&mut self, score: f64) {
        let step = if self.fresh { self.width } else { (self.width / 8).max(1) };
        let next = if self.upwards { self.width + step } else { self.width - step.min(self.width) };
        let next = next.clamp(self.least, self.most);
        if next == self.width {
            self.settle();
        } else {
            self.trial = Some((self.width, score));
            self.width = next;
        }
    }

    fn settle(&mut self) {
        self.fresh = false;
        self.upwards = !self.upwards;
        self.rest = REST;
    }

    fn failed(&mut self) {
        self.width = (self.width * 3 / 4).max(self.least);
        self.trial = None;
        self.fresh = false;
        self.upwards = true;
        self.rest = REST / 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A copy whose rate grows up to `best` readers and falls beyond.
    fn climbed(climb: &mut Climb, best: usize, windows: usize) -> Vec<usize> {
        let widths = (0..windows).map(|_| {
            let width = climb.width;
            let beyond = width.saturating_sub(best);
            climb.judge(100.0 * width.min(best) as f64 * 0.9_f64.powi(beyond as i32));
            width
        });
        widths.collect()
    }

    #[test]
    fn the_width_goes_where_the_rate_is_best_and_stays_within_what_the_copy_bears() {
        for (least, most, best) in [(1, 8, 1), (1, 8, 5), (4, 48, 30), (4, 48, 200), (8, 8, 3), (0, 0, 9)] {
            let mut climb = Climb::new(least..=most);
            let widths = climbed(&mut climb, best, 900);
            let (least, most) = (least.max(1), most.max(1));
            assert!(widths.iter().all(|width| (least..=most).contains(width)), "{widths:?}");
            let wanted = best.clamp(least, most);
            let late = &widths[800..];
            let near = late.iter().filter(|width| width.abs_diff(wanted) <= (wanted / 8).max(1)).count();
            assert!(near > 90, "{best} of {least}..={most}: {late:?}");
        }
    }

    #[test]
    fn it_climbs_fast_where_more_readers_help() {
        let mut climb = Climb::new(4..=48);
        assert_eq!(climbed(&mut climb, 40, 4), [16, 32, 48, 32]);
    }

    #[test]
    fn failing_reads_narrow_the_gate_once_a_window() {
        let gate = Gate::new(2..=32);
        let control = Control::new();
        let permit = gate.enter(&control, Duration::from_secs(1)).unwrap();
        gate.look();
        assert_eq!(gate.width(), 8);
        (0..5).for_each(|_| gate.failed());
        assert_eq!(gate.width(), 6);
        drop(permit);
        let mut climb = Climb::new(2..=32);
        (0..50).for_each(|_| climb.failed());
        assert_eq!(climb.width, 2);
    }

    #[test]
    fn no_more_are_inside_than_the_width_and_hung_readers_take_nobodys_place() {
        let gate = Gate::new(1..=2);
        let (control, patience) = (Control::new(), Duration::from_millis(120));
        let first = gate.enter(&control, patience).unwrap();
        let mut second = gate.enter(&control, patience).unwrap();
        assert_eq!(gate.enter(&control, patience).err(), Some(Refusal::Hung), "both are silent");
        std::thread::scope(|scope| {
            let third = scope.spawn(|| gate.enter(&control, Duration::from_secs(60)).map(drop));
            drop(first);
            assert_eq!(third.join().unwrap(), Ok(()));
        });
        gate.give_up_one();
        let mut first = gate.enter(&control, patience).unwrap();
        gate.give_up_one();
        assert_eq!(gate.enter(&control, Duration::from_secs(60)).err(), Some(Refusal::Hung), "at once");
        second.came_back();
        drop(second);
        assert!(gate.enter(&control, patience).is_ok());
        first.came_back();
        drop(first);
        control.pause();
        let _held = [gate.enter(&control, patience), gate.enter(&control, patience)];
        assert_eq!(gate.enter(&control, patience).err(), Some(Refusal::Stopped));
    }

    #[test]
    fn who_rests_lets_another_in_and_comes_back_without_asking() {
        let gate = Gate::new(1..=4);
        let (control, patience) = (Control::new(), Duration::from_millis(20));
        let mut inside: Vec<_> = (0..4).map(|_| gate.enter(&control, patience).unwrap()).collect();
        let mut last = inside.pop().unwrap();
        let resting = (inside[0].rest().unwrap(), inside[1].rest().unwrap());
        assert!(last.rest().is_none(), "half of them, and no more");
        assert_eq!(
            gate.enter(&control, patience).err(),
            Some(Refusal::Hung),
            "their files are open all the same"
        );
        last.leave();
        let instead = gate.enter(&control, patience).unwrap();
        drop((last, instead, resting));
        let _fourth = gate.enter(&control, patience).unwrap();
        assert!(gate.enter(&control, patience).is_err(), "three are back");
    }
}
