//! How often a sign-in may fail: per account from one address, and per address, in this process's memory.
//!
//! Nobody can lock an account for others: who guesses at it is stopped at their own address.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// Failures at one account from one address.
const FOR_ACCOUNT: usize = 10;
/// Failures from one address, behind which there may be a whole office.
const FOR_ADDRESS: usize = 30;
const WINDOW: TimeDelta = TimeDelta::minutes(5);
/// Beyond this the oldest entries are forgotten: memory stays bounded whoever knocks.
const REMEMBERED: usize = 10_000;
/// No account has a longer name, in characters.
const LONGEST: usize = 254;

/// The times of attempts that failed or are under way, by what they are counted for.
#[derive(Default)]
pub struct Attempts(Mutex<HashMap<String, Vec<DateTime<Utc>>>>);

/// One attempt, counted from its beginning: of many that come at once no more pass than of those that come in turn.
#[derive(Debug, Clone)]
pub struct Attempt {
    account: String,
    address: String,
    at: DateTime<Utc>,
}

impl Attempts {
    /// Counts an attempt; or tells how long to wait before the next.
    pub fn begin(&self, account: &str, address: &str, at: DateTime<Utc>) -> Result<Attempt, TimeDelta> {
        let account: String = account.chars().take(LONGEST).collect();
        let attempt = Attempt { account: format!("{address} {account}"), address: address.to_owned(), at };
        let mut all = self.all();
        let waits =
            [wait(&all, &attempt.account, FOR_ACCOUNT, at), wait(&all, &attempt.address, FOR_ADDRESS, at)];
        if let Some(wait) = waits.into_iter().flatten().max() {
            return Err(wait);
        }
        count(&mut all, &attempt.account, at);
        count(&mut all, &attempt.address, at);
        Ok(attempt)
    }

    /// The attempt did not fail by the caller's fault: it was not counted.
    pub fn take_back(&self, attempt: &Attempt) {
        let mut all = self.all();
        for who in [&attempt.account, &attempt.address] {
            let Some(times) = all.get_mut(who) else { continue };
            if let Some(index) = times.iter().rposition(|at| *at == attempt.at) {
                times.remove(index);
            }
            if times.is_empty() {
                all.remove(who);
            }
        }
    }

    /// The attempt succeeded: what failed before it at this account is forgiven.
    pub fn succeeded(&self, attempt: &Attempt) {
        self.take_back(attempt);
        self.all().remove(&attempt.account);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Vec<DateTime<Utc>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wait(
    all: &HashMap<String, Vec<DateTime<Utc>>>,
    who: &str,
    allowed: usize,
    now: DateTime<Utc>,
) -> Option<TimeDelta> {
    let recent: Vec<_> = all.get(who)?.iter().filter(|at| now - **at < WINDOW).collect();
    let oldest_that_counts = recent.len().checked_sub(allowed).and_then(|index| recent.get(index))?;
    Some(**oldest_that_counts + WINDOW - now)
}

fn count(all: &mut HashMap<String, Vec<DateTime<Utc>>>, who: &str, now: DateTime<Utc>) {
    if all.len() >= REMEMBERED && !all.contains_key(who) {
        all.retain(|_, times| times.last().is_some_and(|at| now - *at < WINDOW));
        if all.len() >= REMEMBERED {
            all.clear();
        }
    }
    let times = all.entry(who.to_owned()).or_default();
    times.retain(|at| now - *at < WINDOW);
    times.push(now);
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: DateTime<Utc> = DateTime::UNIX_EPOCH;

    #[test]
    fn the_eleventh_waits_until_the_first_is_old() {
        let attempts = Attempts::default();
        for i in 0..10 {
            attempts.begin("ann", "here", START + TimeDelta::seconds(i)).unwrap();
        }
        let now = START + TimeDelta::seconds(10);
        assert_eq!(attempts.begin("ann", "here", now).unwrap_err(), TimeDelta::seconds(290));
        assert!(attempts.begin("bob", "here", now).is_ok());
        assert!(attempts.begin("ann", "there", now).is_ok(), "nobody locks an account for others");
        assert!(attempts.begin("ann", "here", START + WINDOW).is_ok());
    }

    #[test]
    fn an_address_has_its_own_limit() {
        let attempts = Attempts::default();
        for i in 0..30 {
            attempts.begin(&format!("user {i}"), "here", START).unwrap();
        }
        assert_eq!(attempts.begin("ann", "here", START).unwrap_err(), WINDOW);
    }

    #[test]
    fn what_succeeds_does_not_count() {
        let attempts = Attempts::default();
        for _ in 0..100 {
            let attempt = attempts.begin("ann", "here", START).unwrap();
            attempts.succeeded(&attempt);
        }
        assert!(attempts.all().is_empty());
        for _ in 0..9 {
            attempts.begin("ann", "here", START).unwrap();
        }
        let last = attempts.begin("ann", "here", START).unwrap();
        assert!(attempts.begin("ann", "here", START).is_err(), "those under way count");
        attempts.take_back(&last);
        attempts.succeeded(&attempts.begin("ann", "here", START).unwrap());
        for _ in 0..10 {
            attempts.begin("ann", "here", START).unwrap();
        }
    }
}
