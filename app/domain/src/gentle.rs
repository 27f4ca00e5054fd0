//! Gentleness: how much of its time a job may work, so that those whom the volume serves notice little of it.
//!
//! Twice a second a small read of the volume is timed. Its quiet value is the least that was seen lately; when a read takes
//! several times as long, the job's share of the time is halved, and while all is quiet it grows in small steps. So load
//! goes at once and comes back slowly. Where nothing can be measured the share stays small: unknown is not quiet.

/// How much slower than quiet is too slow …
const TOO_SLOW: f64 = 3.0;
/// … if it is slower by this much at all: below, readers notice nothing.
const NOTICED_MS: f64 = 2.0;
const LEAST_SHARE: f64 = 1.0 / 32.0;
const FIRST_SHARE: f64 = 0.25;
const STEP: f64 = 1.0 / 32.0;
/// How fast the quiet value follows a volume that has become slower for good: doubles in about six minutes.
const FORGETS: f64 = 1.001;

/// What is known of a volume, and what a gentle job may take of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gentle {
    quiet_ms: Option<f64>,
    share: f64,
}

impl Default for Gentle {
    fn default() -> Self {
        Self { quiet_ms: None, share: FIRST_SHARE }
    }
}

impl Gentle {
    /// The part of its time that the job may work, above 0 and at most 1.
    pub fn share(self) -> f64 {
        self.share
    }

    /// After a small read took so long; `None` when it could not be measured.
    #[must_use]
    pub fn after(self, read_ms: Option<f64>) -> Self {
        let Some(read_ms) = read_ms else {
            return Self { share: self.share.min(FIRST_SHARE), ..self };
        };
        let quiet_ms = self.quiet_ms.map_or(read_ms, |quiet| read_ms.min(quiet * FORGETS));
        let is_slow = read_ms > quiet_ms * TOO_SLOW && read_ms > quiet_ms + NOTICED_MS;
        let share = if is_slow { self.share / 2.0 } else { self.share + STEP };
        Self { quiet_ms: Some(quiet_ms), share: share.clamp(LEAST_SHARE, 1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(reads: impl IntoIterator<Item = f64>) -> Gentle {
        reads.into_iter().fold(Gentle::default(), |gentle, read| gentle.after(Some(read)))
    }

    #[test]
    fn it_backs_off_at_once_and_comes_back_slowly() {
        let quiet = after([1.0; 40]);
        assert_eq!(quiet.share(), 1.0);
        let slow = quiet.after(Some(40.0));
        assert_eq!(slow.share(), 0.5);
        let slower = (0..10).fold(slow, |gentle, _| gentle.after(Some(40.0)));
        assert_eq!(slower.share(), LEAST_SHARE, "it never stops altogether");
        let back = slower.after(Some(1.0));
        assert!(back.share() > slower.share() && back.share() < 0.1);
    }

    #[test]
    fn what_nobody_notices_does_not_hold_it_back() {
        assert_eq!(after([0.1; 40]).after(Some(1.0)).share(), 1.0, "ten times as long, and still nothing");
    }

    #[test]
    fn unknown_is_not_quiet() {
        let blind = (0..100).fold(Gentle::default(), |gentle, _| gentle.after(None));
        assert_eq!(blind.share(), FIRST_SHARE);
        assert_eq!(after([1.0; 40]).after(None).share(), FIRST_SHARE);
    }

    proptest! {
        #[test]
        fn the_share_stays_a_share(reads in proptest::collection::vec(proptest::option::of(0.0f64..1e6), 0..200)) {
            let gentle = reads.into_iter().fold(Gentle::default(), Gentle::after);
            prop_assert!(gentle.share() > 0.0 && gentle.share() <= 1.0);
        }
    }
}
