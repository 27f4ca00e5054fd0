//! How many reports one address may send, in this process's memory: a bucket that refills.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

const BURST: f64 = 20.0;
const REFILL: TimeDelta = TimeDelta::minutes(10);
/// All addresses together: what one operator could still make sense of.
const BURST_OF_ALL: f64 = 600.0;
/// Beyond this, full buckets are forgotten: memory stays bounded whoever knocks.
const REMEMBERED: usize = 10_000;

#[derive(Default)]
pub struct Limit(Mutex<Buckets>);

#[derive(Default)]
struct Buckets {
    by_caller: HashMap<String, Bucket>,
    all: Option<Bucket>,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: DateTime<Utc>,
}

impl Bucket {
    fn filled(self, burst: f64, now: DateTime<Utc>) -> Self {
        let seconds = (now - self.at).num_milliseconds().max(0) as f64 / 1e3;
        let left = self.left + burst * seconds / REFILL.num_seconds() as f64;
        Self { left: left.min(burst), at: now }
    }
}

impl Limit {
    /// Takes one report from the caller's bucket; false when there is none left.
    pub fn take(&self, caller: &str, now: DateTime<Utc>) -> bool {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.by_caller.len() >= REMEMBERED {
            buckets.by_caller.retain(|_, bucket| bucket.filled(BURST, now).left < BURST);
        }
        let bucket = |kept: Option<&Bucket>, burst| {
            kept.copied().unwrap_or(Bucket { left: burst, at: now }).filled(burst, now)
        };
        let own = bucket(buckets.by_caller.get(caller), BURST);
        let all = bucket(buckets.all.as_ref(), BURST_OF_ALL);
        let granted = own.left >= 1.0 && all.left >= 1.0 && buckets.by_caller.len() < 2 * REMEMBERED;
        let cost = if granted { 1.0 } else { 0.0 };
        buckets.by_caller.insert(caller.to_owned(), Bucket { left: own.left - cost, ..own });
        buckets.all = Some(Bucket { left: all.left - cost, ..all });
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_waits_and_the_others_do_not() {
        let limit = Limit::default();
        let start = DateTime::UNIX_EPOCH;
        assert!((0..20).all(|_| limit.take("a", start)));
        assert!(!limit.take("a", start) && limit.take("b", start));
        assert!(limit.take("a", start + TimeDelta::seconds(31)), "one comes back every half minute");
        assert!(!limit.take("a", start + TimeDelta::seconds(31)));
    }

    #[test]
    fn all_together_are_limited_too() {
        let limit = Limit::default();
        let granted = (0..1000).filter(|n| limit.take(&n.to_string(), DateTime::UNIX_EPOCH)).count();
        assert_eq!(granted, 600);
    }
}
