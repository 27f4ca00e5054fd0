//! After the database was away: leases ran out that nobody could renew, and whoever held them may well be at work still. They have the
//! time of a lease to say so before somebody else takes over; what is a repair would else be ended, and begin anew.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use salvor_domain::ids::WorkerId;
use salvor_domain::segment::{LEASE, SegmentState};

/// When the database failed last, as this process saw it.
#[derive(Debug, Default)]
pub struct Grace(Mutex<Option<DateTime<Utc>>>);

impl Grace {
    pub fn failed(&self, now: DateTime<Utc>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// The segment, leased by `worker`; nothing where it is another one's, who is given time.
    pub fn lease(&self, state: SegmentState, worker: WorkerId, now: DateTime<Utc>) -> Option<SegmentState> {
        let failed_at = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let was_held = matches!(state, SegmentState::Leased { .. });
        // A clock that went backwards keeps nobody waiting.
        let is_spared = was_held && failed_at.is_some_and(|at| now >= at && now - at < LEASE);
        if is_spared { None } else { state.lease(worker, now).ok() }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_lease_that_ran_out_while_the_database_was_away_is_its_holders_for_a_while() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let worker = |number| WorkerId::new(at(0), [number; 10]);
        let ran_out = SegmentState::Leased { worker: worker(1), until: at(10) };
        let grace = Grace::default();
        assert!(grace.lease(ran_out, worker(2), at(11)).is_some(), "its holder is dead");
        grace.failed(at(20));
        assert_eq!(grace.lease(ran_out, worker(2), at(29)), None);
        assert!(grace.lease(SegmentState::Waiting, worker(2), at(21)).is_some(), "nobody held it");
        assert!(grace.lease(ran_out, worker(2), at(30)).is_some());
        assert!(grace.lease(ran_out, worker(2), at(15)).is_some(), "the clock went backwards");
    }
}
