//! Lanes: each copy has slots of its own, so that different copies work at the same time and none waits for a slower one.
//!
//! A segment that reads a copy lies in that copy's lane; plans, and work that reads the volume, lie in the home lane. What
//! is decided here is pure: [`Slots::choose`] says which lane is served next, [`helps`] whether one copy may take over
//! from another.
//!
//! Invariants: a slow link never holds more than its own [`COPY_SLOTS`]; the link that alone holds something is served
//! whenever one of its slots is free; whatever is urgent finds the express slot when all others are taken. A process has at
//! most [`MOST_SLOTS`] segments in hand beside the express one, each with the few threads that its driver bounds.

use std::collections::HashMap;

use salvor_domain::progress::{self, Amount, Rate};

use super::need::Rank;

/// Where a segment's bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Plans, and work that reads the volume itself.
    Home,
    /// One copy of a volume, by its bit.
    Copy { volume_id: i64, bit: u8 },
}

impl Lane {
    pub fn of(volume_id: i64, source_bit: Option<u8>) -> Self {
        source_bit.map_or(Self::Home, |bit| Self::Copy { volume_id, bit })
    }
}

/// A lane in which segments wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    pub lane: Lane,
    /// The rank of what is needed most in it.
    pub best_rank: i64,
}

/// One reads while the other has its barrier and its commit.
pub const COPY_SLOTS: usize = 2;
/// Plans and work on the volume: more only where there are more processors.
const LEAST_HOME_SLOTS: usize = 2;
const MOST_HOME_SLOTS: usize = 4;
/// All lanes of a process together.
pub const MOST_SLOTS: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    Of(Lane),
    /// For what is urgent, whatever lane it lies in.
    Express(Lane),
}

impl Slot {
    pub fn lane(self) -> Lane {
        match self {
            Self::Of(lane) | Self::Express(lane) => lane,
        }
    }
}

/// The slots of one process, and which of them are taken.
#[derive(Debug)]
pub struct Slots {
    home: usize,
    taken: HashMap<Lane, usize>,
    express: bool,
}

impl Slots {
    pub fn new(processors: usize) -> Self {
        let home = processors.clamp(LEAST_HOME_SLOTS, MOST_HOME_SLOTS);
        Self { home, taken: HashMap::new(), express: false }
    }

    pub fn taken(&self, lane: Lane) -> usize {
        self.taken.get(&lane).copied().unwrap_or(0)
    }

    fn is_free(&self, lane: Lane) -> bool {
        let most = if lane == Lane::Home { self.home } else { COPY_SLOTS };
        self.taken(lane) < most && self.taken.values().sum::<usize>() < MOST_SLOTS
    }

    /// What is served next: first what is urgent, then the lane that has the fewest at work, then what is needed most.
    pub fn choose(&self, waiting: &[Waiting]) -> Option<Slot> {
        let urgent = |waiting: &&Waiting| Rank::is_urgent(waiting.best_rank);
        let free = |waiting: &&Waiting| self.is_free(waiting.lane);
        let best = |waiting: &&Waiting| (self.taken(waiting.lane), waiting.best_rank, waiting.lane);
        if let Some(most) = waiting.iter().filter(urgent).min_by_key(|waiting| waiting.best_rank) {
            if self.is_free(most.lane) {
                return Some(Slot::Of(most.lane));
            }
            if !self.express {
                return Some(Slot::Express(most.lane));
            }
        }
        waiting.iter().filter(free).min_by_key(best).map(|waiting| Slot::Of(waiting.lane))
    }

    pub fn take(&mut self, slot: Slot) {
        match slot {
            Slot::Of(lane) => *self.taken.entry(lane).or_default() += 1,
            Slot::Express(_) => self.express = true,
        }
    }

    pub fn give_back(&mut self, slot: Slot) {
        match slot {
            Slot::Express(_) => self.express = false,
            Slot::Of(lane) => {
                if let Some(taken) = self.taken.get_mut(&lane) {
                    *taken = taken.saturating_sub(1);
                }
                self.taken.retain(|_, taken| *taken > 0);
            }
        }
    }
}

/// Whether a copy that has run dry takes files over from another that has more than it can read: only when it is known to
/// be the faster one, since a slow helper would end last.
pub fn helps(amount: Amount, helper: Option<Rate>, helped: Option<Rate>) -> bool {
    // What is held still by a limit of nothing never comes to an end.
    let seconds = |rate: Rate| progress::estimate(amount, rate).map_or(f64::INFINITY, |eta| eta.high_seconds);
    match (helper.map(seconds), helped.map(seconds)) {
        (Some(helper), Some(helped)) => helper < helped,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Lane = Lane::Copy { volume_id: 1, bit: 1 };
    const FAST: Lane = Lane::Copy { volume_id: 1, bit: 0 };

    fn waits(lane: Lane, best_rank: i64) -> Waiting {
        Waiting { lane, best_rank }
    }

    fn served(slots: &mut Slots, waiting: &[Waiting]) -> Vec<Slot> {
        let mut served = Vec::new();
        while let Some(slot) = slots.choose(waiting) {
            slots.take(slot);
            served.push(slot);
            assert!(served.len() <= MOST_SLOTS + 1);
        }
        served
    }

    #[test]
    fn a_slow_copy_never_takes_the_slots_of_another() {
        let mut slots = Slots::new(2);
        assert_eq!(served(&mut slots, &[waits(SLOW, 0)]), [Slot::Of(SLOW); 2], "and not all slots");
        let all = [waits(SLOW, 0), waits(FAST, 5), waits(Lane::Home, 9)];
        let fast = served(&mut slots, &all);
        assert_eq!(fast.iter().filter(|slot| slot.lane() == FAST).count(), 2, "{fast:?}");
        assert_eq!(fast.iter().filter(|slot| slot.lane() == Lane::Home).count(), 2, "{fast:?}");
        slots.give_back(Slot::Of(SLOW));
        assert_eq!(slots.choose(&all), Some(Slot::Of(SLOW)), "the slow link is not left idle");
    }

    #[test]
    fn what_is_urgent_needs_no_free_lane() {
        let mut slots = Slots::new(2);
        served(&mut slots, &[waits(SLOW, 0)]);
        let urgent = [waits(SLOW, Rank::RAISED), waits(FAST, 0)];
        let express = slots.choose(&urgent).unwrap();
        assert_eq!(express, Slot::Express(SLOW));
        slots.take(express);
        assert_eq!(slots.choose(&urgent), Some(Slot::Of(FAST)), "there is one express slot");
        slots.give_back(express);
        assert_eq!(slots.choose(&urgent), Some(Slot::Express(SLOW)));
        slots.give_back(Slot::Of(SLOW));
        assert_eq!(slots.choose(&urgent), Some(Slot::Of(SLOW)), "a free slot of its lane will do");
    }

    #[test]
    fn however_many_copies_there_are_each_gets_its_turn_within_the_bound() {
        let lanes: Vec<_> =
            (0..30).map(|bit| waits(Lane::Copy { volume_id: 1, bit }, i64::from(bit))).collect();
        let mut slots = Slots::new(64);
        let served = served(&mut slots, &lanes);
        assert_eq!(served.len(), MOST_SLOTS);
        let distinct: std::collections::HashSet<_> = served.iter().map(|slot| slot.lane()).collect();
        assert_eq!(distinct.len(), MOST_SLOTS, "nobody has two while another has none");
    }

    #[test]
    fn only_who_is_known_to_be_faster_helps() {
        let amount = Amount { files: 1_000, bytes: 30_000_000 };
        let rate =
            |per_second: f64| Some(Rate { files_per_second: per_second, bytes_per_second: per_second * 3e4 });
        assert!(helps(amount, rate(1_000.0), rate(10.0)));
        assert!(!helps(amount, rate(10.0), rate(1_000.0)) && !helps(amount, rate(10.0), rate(10.0)));
        assert!(
            helps(amount, rate(1.0), rate(0.0)) && !helps(amount, rate(0.0), rate(0.0)),
            "paused by a limit"
        );
        assert!(!helps(amount, None, rate(10.0)) && !helps(amount, rate(10.0), None), "unknown is not fast");
    }
}
