//! How many requests one client may send. Of an IPv6 client its /64 counts, since one household has all of that.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::buckets::Buckets;

/// Seconds' worth that may come at once: a page has many pictures.
const BURST: f64 = 10.0;
const REMEMBERED: usize = 50_000;

pub struct Limit {
    since: Instant,
    buckets: Mutex<Buckets<u128>>,
}

impl Limit {
    pub fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        let buckets = Buckets::new(per_second * BURST, per_second, REMEMBERED);
        Self { since: Instant::now(), buckets: Mutex::new(buckets) }
    }

    /// Takes one request from the client's bucket; false when there is none left.
    pub fn take(&self, client: IpAddr, now: Instant) -> bool {
        let (client, now) = (household(client), now.saturating_duration_since(self.since));
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let granted = buckets.has_one(&client, now);
        if granted {
            buckets.take_one(client, now);
        }
        granted
    }
}

fn household(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits() & !u128::from(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_client_waits_and_the_others_do_not() {
        let (limit, start) = (Limit::new(2), Instant::now());
        let client = |text: &str| text.parse::<IpAddr>().unwrap();
        let take = |text, after: f64| limit.take(client(text), start + Duration::from_secs_f64(after));
        assert!((0..20).all(|_| take("192.0.2.1", 0.0)), "ten seconds' worth at once");
        assert!(!take("192.0.2.1", 0.0) && take("192.0.2.2", 0.0));
        assert!(take("::ffff:192.0.2.1", 0.6) && !take("192.0.2.1", 0.6), "two a second after that");
        assert!((0..20).all(|_| take("2001:db8::1", 0.0)));
        assert!(!take("2001:db8::ffff", 0.0), "the same household");
        assert!((0..20).all(|_| take("192.0.2.1", 60.0)) && !take("192.0.2.1", 60.0));
    }
}
