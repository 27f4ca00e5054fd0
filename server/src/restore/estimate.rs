//! How long parts of a plan take: what was measured of each copy, held to what its limits allow, in words.

use salvor_domain::cost::{self, Ceiling, Estimate, Measurement};
use salvor_domain::job::PlannedSource;
use salvor_domain::progress::{Amount, EtaRange};
use salvor_domain::timetable::InForce;

use crate::config::CopyConfig;
use crate::core::Core;
use crate::restore::work::Copy;
use crate::volumes::store::CopyRow;

/// The most that a copy's limits allow just now: an operator's word, its timetable, or what is configured.
fn ceiling(core: &Core, copy: &CopyConfig, row: &CopyRow) -> Ceiling {
    let in_force = InForce::at(row.limits, copy.limits(), &copy.timetable, core.clock.local()).limits;
    Ceiling {
        bytes_per_second: in_force.bandwidth.map(|rate| rate.bytes_per_second() as f64),
        files_per_second: in_force.files_per_second.map(|rate| rate as f64),
    }
}

/// How long `amount` takes from this copy.
pub fn of_copy(
    core: &Core,
    copy: &CopyConfig,
    row: &CopyRow,
    amount: Amount,
    measured: &[Measurement],
) -> Estimate {
    cost::estimate(amount, measured, ceiling(core, copy, row), core.clock.now())
}

/// A copy's part of a plan.
pub fn planned(core: &Core, copy: &Copy, amount: Amount, measured: &[Measurement]) -> PlannedSource {
    let Estimate { range, basis } = of_copy(core, &copy.config, &copy.row, amount, measured);
    PlannedSource { name: copy.config.name.clone(), amount, estimate: range, basis }
}

/// A copy's part of a plan of which nobody can say how long it takes, and why.
pub fn unknown(copy: &Copy, amount: Amount, why: &str) -> PlannedSource {
    PlannedSource { name: copy.config.name.clone(), amount, estimate: None, basis: why.to_owned() }
}

/// Copies work side by side, so that the whole takes as long as the slowest; unknown when any of them is.
pub fn whole(sources: &[PlannedSource]) -> Option<EtaRange> {
    match sources {
        [] => None,
        sources => cost::side_by_side(sources.iter().map(|source| source.estimate)),
    }
}
