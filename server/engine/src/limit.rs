//! Rate limits: token buckets for bytes/s and files/s, shared by every thread that draws on the same copy or job.
//!
//! Tokens are paid before the caller goes on: whoever draws waits until the bucket has earned what was drawn, in the order
//! of drawing. An idle bucket saves at most a tenth of a second's worth: no burst follows a pause,
//! and a thread that is woken late loses nothing. A rate may
//! change at any time; waiting threads notice at once. `Some(0)` lets nothing through until it is changed.
//!
//! What is urgent draws by a handle of its own ([`RateLimit::urgent`]): it queues behind other urgent draws only, and those
//! that wait pay for it, so that the rate holds all the same. A limit may also leave whoever draws on it only a share of its
//! time ([`RateLimit::set_share`]): then each thread rests in proportion to how long it worked between two draws.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::control::{Control, Stopped};

/// The share of a second's tokens that an idle bucket keeps.
const BURST: f64 = 0.1;
/// How long a waiting thread sleeps at most before it looks at its [`Control`] again.
const LOOK: Duration = Duration::from_millis(50);

/// Shares of time are kept in thousandths.
const WHOLE: u32 = 1_000;
/// A thread that worked longer than this since its last draw was at something else meanwhile.
const LONGEST_WORK: Duration = Duration::from_millis(250);
const LONGEST_REST: Duration = Duration::from_secs(2);

thread_local! {
    /// When this thread last went on after a draw on a limit that leaves it a share of its time.
    static WENT_ON: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// What a limit lets through a second, and the share of its time that a thread may work.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Rates {
    pub bytes: Option<u64>,
    pub files: Option<u64>,
    pub share: f64,
}

/// A shared handle: clones draw on the same buckets.
#[derive(Debug, Clone, Default)]
pub struct RateLimit {
    buckets: Arc<Buckets>,
    urgent: bool,
}

#[derive(Debug)]
struct Buckets {
    bytes: Bucket,
    files: Bucket,
    urgent_bytes: Bucket,
    urgent_files: Bucket,
    /// Of the time that whoever draws may work, in thousandths.
    share: AtomicU32,
}

impl Default for Buckets {
    fn default() -> Self {
        let (bytes, files, urgent_bytes, urgent_files) = Default::default();
        Self { bytes, files, urgent_bytes, urgent_files, share: AtomicU32::new(WHOLE) }
    }
}

impl RateLimit {
    pub fn unlimited() -> Self {
        Self::default()
    }

    pub fn new(bytes_per_second: Option<u64>, files_per_second: Option<u64>) -> Self {
        let limit = Self::default();
        limit.set_bytes(bytes_per_second);
        limit.set_files(files_per_second);
        limit
    }

    pub fn bytes(bytes_per_second: u64) -> Self {
        Self::new(Some(bytes_per_second), None)
    }

    pub fn set_bytes(&self, bytes_per_second: Option<u64>) {
        self.buckets.bytes.set(bytes_per_second);
        self.buckets.urgent_bytes.set(bytes_per_second);
    }

    pub fn set_files(&self, files_per_second: Option<u64>) {
        self.buckets.files.set(files_per_second);
        self.buckets.urgent_files.set(files_per_second);
    }

    /// The part of its time, above 0 and at most 1, that a thread which draws on this may work; the rest of it, it rests.
    pub fn set_share(&self, share: f64) {
        let thousandths = (share.clamp(0.001, 1.0) * f64::from(WHOLE)) as u32;
        self.buckets.share.store(thousandths, Ordering::Relaxed);
    }

    /// What is in force just now, to be kept within elsewhere.
    pub fn rates(&self) -> Rates {
        let Buckets { bytes, files, share, .. } = &*self.buckets;
        let share = f64::from(share.load(Ordering::Relaxed)) / f64::from(WHOLE);
        Rates { bytes: bytes.rate(), files: files.rate(), share }
    }

    pub fn set(&self, rates: Rates) {
        self.set_bytes(rates.bytes);
        self.set_files(rates.files);
        self.set_share(rates.share);
    }

    /// Whether bytes may have to wait.
    pub(crate) fn is_limited(&self) -> bool {
        let Buckets { bytes, share, .. } = &*self.buckets;
        bytes.limited.load(Ordering::Relaxed) || share.load(Ordering::Relaxed) < WHOLE
    }

    /// A handle for what is urgent: the same limit, without waiting behind whoever came before.
    #[must_use]
    pub fn urgent(&self) -> Self {
        Self { urgent: true, ..self.clone() }
    }

    /// Draws `bytes` and waits until they are earned, or until `control` says stop.
    pub fn take_bytes(&self, bytes: u64, control: &Control) -> Result<(), Stopped> {
        let Buckets { bytes: ordinary, urgent_bytes, .. } = &*self.buckets;
        self.take(ordinary, urgent_bytes, bytes, control)
    }

    pub fn take_file(&self, control: &Control) -> Result<(), Stopped> {
        let Buckets { files: ordinary, urgent_files, .. } = &*self.buckets;
        self.take(ordinary, urgent_files, 1, control)
    }

    /// For a file that gets a name and whose bytes stay where they are. A name is worth a byte: a bandwidth of nothing lets
    /// nothing through.
    pub fn take_name(&self, control: &Control) -> Result<(), Stopped> {
        self.take_file(control)?;
        self.take_bytes(1, control)
    }

    fn take(
        &self,
        ordinary: &Bucket,
        urgent: &Bucket,
        tokens: u64,
        control: &Control,
    ) -> Result<(), Stopped> {
        if self.urgent {
            ordinary.pay_for(tokens);
            return urgent.take(tokens, control);
        }
        ordinary.take(tokens, control)?;
        match self.buckets.share.load(Ordering::Relaxed) {
            WHOLE.. => Ok(()),
            thousandths => rest(f64::from(thousandths) / f64::from(WHOLE), control),
        }
    }
}

/// Rests for as long as this thread's share of the time asks for.
fn rest(share: f64, control: &Control) -> Result<(), Stopped> {
    let worked = WENT_ON.get().map_or(Duration::ZERO, |since| since.elapsed());
    let until = Instant::now() + rest_after(worked, share);
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        control.check()?;
        std::thread::sleep(left.min(LOOK));
    }
    WENT_ON.set(Some(Instant::now()));
    control.check()
}

fn rest_after(worked: Duration, share: f64) -> Duration {
    worked.min(LONGEST_WORK).mul_f64((1.0 - share) / share).min(LONGEST_REST)
}

#[derive(Debug, Default)]
struct Bucket {
    /// Lets the usual case, no limit, pass without the lock.
    limited: AtomicBool,
    state: Mutex<Option<State>>,
    changed: Condvar,
}

/// Both counters only grow: `earned` with time, `drawn` with demand. Who has drawn up to `n` may go when `earned ≥ n`.
#[derive(Debug)]
struct State {
    rate: f64,
    earned: f64,
    drawn: f64,
    at: Instant,
}

impl State {
    fn refresh(&mut self) {
        let now = Instant::now();
        self.earned += self.rate * now.duration_since(self.at).as_secs_f64();
        self.earned = self.earned.min(self.drawn + self.rate * BURST);
        self.at = now;
    }
}

impl Bucket {
    fn rate(&self) -> Option<u64> {
        self.lock().as_ref().map(|state| state.rate as u64)
    }

    fn set(&self, rate: Option<u64>) {
        let mut state = self.lock();
        match (rate, state.as_mut()) {
            (Some(rate), Some(state)) => {
                state.refresh();
                state.rate = rate as f64;
            }
            (Some(rate), None) => {
                *state = Some(State { rate: rate as f64, earned: 0.0, drawn: 0.0, at: Instant::now() });
            }
            (None, _) => *state = None,
        }
        self.limited.store(state.is_some(), Ordering::Relaxed);
        self.changed.notify_all();
    }

    /// Whoever waits here, and comes after, pays for tokens that were drawn elsewhere.
    fn pay_for(&self, tokens: u64) {
        if self.limited.load(Ordering::Relaxed)
            && let Some(state) = self.lock().as_mut()
        {
            state.refresh();
            state.earned -= tokens as f64;
        }
    }

    fn take(&self, tokens: u64, control: &Control) -> Result<(), Stopped> {
        if !self.limited.load(Ordering::Relaxed) {
            return control.check();
        }
        let mut guard = self.lock();
        let Some(state) = guard.as_mut() else { return control.check() };
        state.refresh();
        state.drawn += tokens as f64;
        let mine = state.drawn;
        loop {
            let Some(state) = guard.as_mut() else { return control.check() };
            state.refresh();
            // `drawn < mine`: the limit was lifted and set anew meanwhile, and this draw belongs to the old one.
            if state.earned >= mine || state.drawn < mine {
                return control.check();
            }
            if control.check().is_err() {
                // Whoever drew later must not wait for what this one will not use.
                state.earned += tokens as f64;
                self.changed.notify_all();
                return Err(Stopped);
            }
            let missing = (mine - state.earned) / state.rate;
            let wait = Duration::try_from_secs_f64(missing).unwrap_or(LOOK).min(LOOK);
            guard = self.changed.wait_timeout(guard, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(work: impl FnOnce()) -> f64 {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    }

    /// Never faster than `least` seconds, and no slower than `most` unless the machine is too busy to tell five times.
    fn takes(least: f64, most: f64, work: impl Fn()) {
        let slowest = (0..5).map(|_| seconds(&work)).inspect(|took| assert!(*took >= least, "only {took} s"));
        let best = slowest.take_while(|took| *took > most).count();
        assert!(best < 5, "always more than {most} s");
    }

    #[test]
    fn two_threads_together_keep_within_three_percent_of_the_rate() {
        let control = Control::new();
        takes(0.99 * 0.97, 0.99 * 1.03, || {
            let limit = RateLimit::bytes(10_000_000);
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| (0..99).for_each(|_| limit.take_bytes(50_000, &control).unwrap()));
                }
            });
        });
    }

    #[test]
    fn files_have_a_bucket_of_their_own() {
        takes(0.5 * 0.97, 0.5 * 1.03, || {
            let limit = RateLimit::new(None, Some(200));
            (0..100).for_each(|_| limit.take_file(&Control::new()).unwrap());
        });
        let files_only = RateLimit::new(None, Some(1));
        assert_eq!(files_only.take_bytes(u64::MAX, &Control::new()), Ok(()));
    }

    #[test]
    fn a_waiting_thread_notices_a_new_rate_and_a_stop() {
        let limit = RateLimit::bytes(0);
        let control = Control::new();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| seconds(|| limit.take_bytes(1_000_000, &control).unwrap()));
            std::thread::sleep(Duration::from_millis(100));
            limit.set_bytes(Some(10_000_000));
            assert!((0.18..2.0).contains(&waiting.join().unwrap()));
        });
        std::thread::scope(|scope| {
            limit.set_bytes(Some(1));
            let waiting = scope.spawn(|| limit.take_bytes(1_000_000, &control));
            std::thread::sleep(Duration::from_millis(50));
            control.cancel();
            assert_eq!(waiting.join().unwrap(), Err(Stopped));
        });
        limit.set_bytes(None);
        assert_eq!(limit.take_bytes(1_000_000, &Control::new()), Ok(()));
    }

    #[test]
    fn an_idle_bucket_does_not_save_up_a_burst() {
        let limit = RateLimit::bytes(1_000_000);
        std::thread::sleep(Duration::from_millis(300));
        let took = seconds(|| limit.take_bytes(200_000, &Control::new()).unwrap());
        assert!(took > 0.09, "200 kB at 1 MB/s took only {took} s");
    }

    #[test]
    fn what_is_urgent_does_not_queue_and_the_others_pay_for_it() {
        let (limit, control) = (RateLimit::bytes(1_000_000), Control::new());
        std::thread::scope(|scope| {
            let others = scope.spawn(|| seconds(|| limit.take_bytes(1_000_000, &control).unwrap()));
            std::thread::sleep(Duration::from_millis(50));
            let urgent = seconds(|| limit.urgent().take_bytes(300_000, &control).unwrap());
            assert!((0.2..0.9).contains(&urgent), "{urgent} s: it keeps the rate, and waits for nobody");
            let others = others.join().unwrap();
            assert!(others > 1.2, "{others} s: all together keep the rate");
        });
    }

    #[test]
    fn a_share_is_rested_for() {
        let ms = Duration::from_millis;
        assert_eq!(rest_after(ms(10), 0.5), ms(10));
        assert_eq!(rest_after(ms(10), 0.25), ms(30));
        assert_eq!(rest_after(ms(10), 1.0), ms(0));
        assert_eq!(rest_after(ms(60_000), 0.5), LONGEST_WORK, "a pause is no work");
        let limit = RateLimit::unlimited();
        limit.set_share(0.5);
        let took = seconds(|| {
            for _ in 0..10 {
                let busy = Instant::now();
                while busy.elapsed() < ms(10) {}
                limit.take_file(&Control::new()).unwrap();
            }
        });
        assert!(took > 0.18, "half of the time is for others: {took} s");
    }
}
