//! How many reports one address may send, and all of them together.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};

use crate::buckets::Buckets;

const BURST: f64 = 20.0;
/// All addresses together: what one operator could still make sense of.
const BURST_OF_ALL: f64 = 600.0;
/// In which an empty bucket is full again.
const REFILL_SECONDS: f64 = 600.0;
const REMEMBERED: usize = 10_000;

pub struct Limit(Mutex<(Buckets<String>, Buckets<()>)>);

impl Default for Limit {
    fn default() -> Self {
        let own = Buckets::new(BURST, BURST / REFILL_SECONDS, REMEMBERED);
        let all = Buckets::new(BURST_OF_ALL, BURST_OF_ALL / REFILL_SECONDS, 1);
        Self(Mutex::new((own, all)))
    }
}

impl Limit {
    /// Takes one report from the caller's bucket; false when there is none left.
    pub fn take(&self, caller: &str, now: DateTime<Utc>) -> bool {
        let (caller, now) = (caller.to_owned(), (now - DateTime::UNIX_EPOCH).to_std().unwrap_or_default());
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (own, all) = &mut *buckets;
        let granted = own.has_one(&caller, now) && all.has_one(&(), now);
        if granted {
            own.take_one(caller, now);
            all.take_one((), now);
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

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
