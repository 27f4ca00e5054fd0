//! A segment: the part of a job that one worker holds at a time, by lease.
//!
//! ```text
//!            lease              complete
//!  waiting ─────────▶ leased ─────────────▶ done
//!     ▲                 │  ▲
//!     └─── release ─────┘  └─ renew, or taken over once `until` has passed
//! ```

use chrono::{DateTime, TimeDelta, Utc};

use crate::Refused;
use crate::ids::WorkerId;
use crate::progress::{Amount, Rate};

/// How long a lease holds without being renewed; a dead worker's segment is free after this.
pub const LEASE: TimeDelta = TimeDelta::seconds(10);
/// A segment holds about this many files …
pub const SEGMENT_FILES: u64 = 1_000;
/// … or this many bytes, whichever comes first.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// As many times that, where a copy is quick.
const LONGEST: f64 = 4.0;

/// What a segment holds that reads a copy of this speed: half a second's worth, within bounds. Each segment costs the disk a
/// barrier, so those of a quick copy are long; what a slow one has begun nobody can take from it, so its are short.
pub fn of_copy(rate: Rate) -> Amount {
    let of =
        |per_second: f64, least: u64| (per_second / 2.0).clamp(least as f64, least as f64 * LONGEST) as u64;
    Amount {
        files: of(rate.files_per_second, SEGMENT_FILES),
        bytes: of(rate.bytes_per_second, SEGMENT_BYTES),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentState {
    Waiting,
    Leased { worker: WorkerId, until: DateTime<Utc> },
    Done { at: DateTime<Utc> },
}

impl SegmentState {
    pub fn lease(self, worker: WorkerId, now: DateTime<Utc>) -> Result<Self, Refused> {
        match self {
            Self::Done { .. } => Err(Refused::because("the segment is done")),
            // One that lies further ahead than any can was taken before the clock went backwards: its holder would have renewed it.
            Self::Leased { until, .. } if until > now && until - now <= LEASE => {
                Err(Refused::because("another worker holds the segment"))
            }
            Self::Waiting | Self::Leased { .. } => Ok(Self::Leased { worker, until: now + LEASE }),
        }
    }

    pub fn renew(self, by: WorkerId, now: DateTime<Utc>) -> Result<Self, Refused> {
        self.held_by(by).map(|()| Self::Leased { worker: by, until: now + LEASE })
    }

    pub fn release(self, by: WorkerId) -> Result<Self, Refused> {
        self.held_by(by).map(|()| Self::Waiting)
    }

    pub fn complete(self, by: WorkerId, now: DateTime<Utc>) -> Result<Self, Refused> {
        self.held_by(by).map(|()| Self::Done { at: now })
    }

    /// A lease that ran out still counts as held until somebody else takes it: its work is real.
    fn held_by(self, by: WorkerId) -> Result<(), Refused> {
        match self {
            Self::Leased { worker, .. } if worker == by => Ok(()),
            _ => Err(Refused::because("this worker no longer holds the segment")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn worker(n: u8) -> WorkerId {
        WorkerId::new(DateTime::UNIX_EPOCH, [n; 10])
    }

    #[test]
    fn a_quick_copy_has_longer_segments_than_a_slow_one() {
        let of = |files_per_second, bytes_per_second| of_copy(Rate { files_per_second, bytes_per_second });
        let short = Amount { files: 1_000, bytes: 64 << 20 };
        assert_eq!([of(0.0, 0.0), of(40.0, 3e5), of(2_000.0, 1e8)], [short; 3]);
        assert_eq!(of(5_000.0, 2e8), Amount { files: 2_500, bytes: 100_000_000 });
        assert_eq!(of(f64::INFINITY, f64::INFINITY), Amount { files: 4_000, bytes: 256 << 20 });
    }

    proptest! {
        /// Whatever the order of calls, two workers never hold one lease, and done stays done.
        #[test]
        fn one_holder_at_a_time(steps in proptest::collection::vec((0u8..4, 0u8..3, -20i64..30), 1..60)) {
            let mut state = SegmentState::Waiting;
            let mut now = DateTime::UNIX_EPOCH;
            for (call, who, wait) in steps {
                now += TimeDelta::seconds(wait);
                let before = state;
                let next = match call {
                    0 => state.lease(worker(who), now),
                    1 => state.renew(worker(who), now),
                    2 => state.release(worker(who)),
                    _ => state.complete(worker(who), now),
                };
                if let Ok(next) = next {
                    let was_done = matches!(before, SegmentState::Done { .. });
                    prop_assert!(!was_done);
                    if let SegmentState::Leased { worker: holder, until } = before {
                        prop_assert!(holder == worker(who) || until <= now || until - now > LEASE);
                    }
                    state = next;
                }
            }
        }
    }
}
