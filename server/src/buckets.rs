//! How much each of those who knock may do, in this process's memory: buckets that refill.
//!
//! Full buckets are forgotten, and whoever is new waits when too many are not full: memory stays bounded whoever knocks.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// All times are since one moment of the caller's choice.
pub struct Buckets<K> {
    /// In a full one.
    most: f64,
    per_second: f64,
    remembered: usize,
    kept: HashMap<K, Bucket>,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Duration,
}

impl<K: Eq + Hash> Buckets<K> {
    /// Beyond `remembered` the full ones are forgotten; twice as many are never kept.
    pub fn new(most: f64, per_second: f64, remembered: usize) -> Self {
        Self { most, per_second, remembered, kept: HashMap::new() }
    }

    /// Whether there is one left for it.
    pub fn has_one(&mut self, key: &K, now: Duration) -> bool {
        match self.kept.get(key) {
            Some(bucket) => self.filled(bucket, now) >= 1.0,
            None => self.has_room(now) && self.most >= 1.0,
        }
    }

    /// Takes one, after [`has_one`](Self::has_one) has said that there is one.
    pub fn take_one(&mut self, key: K, now: Duration) {
        let left = self.kept.get(&key).map_or(self.most, |bucket| self.filled(bucket, now));
        self.kept.insert(key, Bucket { left: left - 1.0, at: now });
    }

    fn filled(&self, bucket: &Bucket, now: Duration) -> f64 {
        let seconds = now.saturating_sub(bucket.at).as_secs_f64();
        (bucket.left + seconds * self.per_second).min(self.most)
    }

    fn has_room(&mut self, now: Duration) -> bool {
        if self.kept.len() >= self.remembered {
            let mut kept = std::mem::take(&mut self.kept);
            kept.retain(|_, bucket| self.filled(bucket, now) < self.most);
            self.kept = kept;
        }
        self.kept.len() < 2 * self.remembered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_stays_bounded_whoever_knocks() {
        let mut buckets = Buckets::new(2.0, 1.0, 10);
        let mut knock = |key: u32, seconds| {
            let now = Duration::from_secs(seconds);
            let has_one = buckets.has_one(&key, now);
            if has_one {
                buckets.take_one(key, now);
            }
            (has_one, buckets.kept.len())
        };
        for key in 0..20 {
            assert!(knock(key, 0).0);
        }
        assert_eq!(knock(20, 0), (false, 20), "whoever is new waits");
        assert_eq!(knock(0, 0), (true, 20), "and nobody else");
        assert_eq!(knock(20, 1), (true, 2), "what is full again is forgotten");
    }
}
