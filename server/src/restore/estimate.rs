//! How long parts of a plan take: what was measured of each copy, held to what its limits allow, in words.

use salvor_domain::cost::{self, Ceiling, Estimate, Holder, Measurement};
use salvor_domain::job::PlannedSource;
use salvor_domain::limits::{JobLimits, Limits};
use salvor_domain::progress::{Amount, EtaRange, Rate};
use salvor_domain::timetable::InForce;

use crate::config::CopyConfig;
use crate::core::Core;
use crate::restore::work::Copy;
use crate::volumes::store::CopyRow;

/// The most that a copy's limits allow just now: an operator's word, its timetable, or what is configured.
fn of_its_own(core: &Core, copy: &CopyConfig, row: &CopyRow) -> Ceiling {
    let in_force = InForce::at(row.limits, copy.limits(), &copy.timetable, core.clock.local());
    ceiling(Holder::Copy, in_force.limits)
}

/// How fast a copy is that was measured so, held back by its limits of now. A limit of nothing is known to be slow, whatever was
/// measured.
pub fn held_back(core: &Core, copy: &CopyConfig, row: &CopyRow, measured: Option<Rate>) -> Option<Rate> {
    let Ceiling { bytes_per_second, files_per_second, .. } = of_its_own(core, copy, row);
    if bytes_per_second == Some(0.0) || files_per_second == Some(0.0) {
        return Some(Rate { files_per_second: 0.0, bytes_per_second: 0.0 });
    }
    measured.map(|rate| Rate {
        files_per_second: rate.files_per_second.min(files_per_second.unwrap_or(f64::INFINITY)),
        bytes_per_second: rate.bytes_per_second.min(bytes_per_second.unwrap_or(f64::INFINITY)),
    })
}

fn ceiling(of: Holder, limits: Limits) -> Ceiling {
    Ceiling {
        of,
        bytes_per_second: limits.bandwidth.map(|rate| rate.bytes_per_second() as f64),
        files_per_second: limits.files_per_second.map(|rate| rate as f64),
    }
}

/// How long `amount` takes from this copy, whoever reads.
pub fn of_copy(
    core: &Core,
    copy: &CopyConfig,
    row: &CopyRow,
    amount: Amount,
    measured: &[Measurement],
) -> Estimate {
    cost::estimate(amount, measured, &[of_its_own(core, copy, row)], core.clock.now())
}

/// A copy's part of the plan of a job that keeps within `limits`.
pub fn planned(
    core: &Core,
    limits: JobLimits,
    copy: &Copy,
    amount: Amount,
    measured: &[Measurement],
) -> PlannedSource {
    let ceilings = [of_its_own(core, &copy.config, &copy.row), ceiling(Holder::Job, limits.limits())];
    let Estimate { range, basis } = cost::estimate(amount, measured, &ceilings, core.clock.now());
    PlannedSource { name: copy.config.name.clone(), amount, estimate: range, basis }
}

/// A copy's part of a plan of which nobody can say how long it takes, and why.
pub fn unknown(copy: &Copy, amount: Amount, why: &str) -> PlannedSource {
    PlannedSource { name: copy.config.name.clone(), amount, estimate: None, basis: why.to_owned() }
}

/// Copies work side by side, so that the whole takes as long as the slowest, or as long as the job's limit lets all of
/// them together take; unknown when any of them is.
pub fn whole(limits: JobLimits, sources: &[PlannedSource]) -> Option<EtaRange> {
    if sources.is_empty() {
        return None;
    }
    let slowest = cost::side_by_side(sources.iter().map(|source| source.estimate))?;
    let all = sources.iter().map(|source| source.amount).sum();
    let least = ceiling(Holder::Job, limits.limits()).seconds(all);
    Some(least.map_or(slowest, |least| slowest.not_before(least)))
}
