//! Messages to webhooks: when one that failed is tried again.

use chrono::TimeDelta;

use crate::words;

words! {
    DeliveryState ("state of a delivery") {
        Waiting = "waiting",
        Delivered = "delivered",
        /// Given up: the receiver did not take it for about a day, or said that it is gone.
        Dead = "dead",
    }
}

/// After the first try, the second, and so on: soon at first, for most faults pass; a day in all.
const PAUSES_SECONDS: [i64; 9] = [5, 30, 120, 600, 1_800, 3_600, 7_200, 21_600, 43_200];

/// How long to wait after so many tries; nothing when it is to be given up.
pub fn pause_after(attempts: u32) -> Option<TimeDelta> {
    let at = usize::try_from(attempts.checked_sub(1)?).ok()?;
    PAUSES_SECONDS.get(at).map(|seconds| TimeDelta::seconds(*seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_grow_and_end_after_a_day() {
        let pauses: Vec<_> = (1..).map_while(pause_after).collect();
        assert!(pauses.is_sorted());
        let all: TimeDelta = pauses.iter().sum();
        assert!((20..30).contains(&all.num_hours()), "{all}");
    }
}
