//! How long parts of a plan take: what was measured of each copy, held to what its limits allow, in words.

use chrono::{DateTime, Utc};
use salvor_domain::job::PlannedSource;
use salvor_domain::pace::{self, Ceiling, Estimate, Measurement};
use salvor_domain::progress::{Amount, EtaRange};

use crate::config::CopyConfig;

/// The most that a copy's limits allow.
pub fn ceiling(copy: &CopyConfig) -> Ceiling {
    let bytes_per_second = copy.bandwidth.map(|bandwidth| bandwidth.bytes_per_second() as f64);
    Ceiling { bytes_per_second, files_per_second: None }
}

/// How long `amount` takes from this copy.
pub fn of_copy(copy: &CopyConfig, amount: Amount, measured: &[Measurement], now: DateTime<Utc>) -> Estimate {
    pace::estimate(amount, measured, ceiling(copy), now)
}

/// A copy's part of a plan.
pub fn planned(
    copy: &CopyConfig,
    amount: Amount,
    measured: &[Measurement],
    now: DateTime<Utc>,
) -> PlannedSource {
    let Estimate { range, basis } = of_copy(copy, amount, measured, now);
    PlannedSource { name: copy.name.clone(), amount, estimate: range, basis }
}

/// Copies work side by side, so that the whole takes as long as the slowest; unknown when any of them is.
pub fn whole(sources: &[PlannedSource]) -> Option<EtaRange> {
    match sources {
        [] => None,
        sources => pace::side_by_side(sources.iter().map(|source| source.estimate)),
    }
}
