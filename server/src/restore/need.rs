//! The order of need: tickets first, then what somebody asks for now, then the rest by recent use, then by directory.
//!
//! A segment's rank says when its turn comes, lower first. Whoever needs a file sooner [`raise`]s it: the files that wait
//! move into small urgent segments of their own, in one transaction. A file that a worker has in hand at that moment may be
//! done twice; it is counted once, since it is settled only in the segment that it lies in.

use chrono::{DateTime, TimeDelta, Utc};
use salvor_domain::account::Actor;
use salvor_domain::event::EventKind;
use salvor_domain::ids::JobId;
use salvor_domain::job::{JobKind, JobReport, JobState};
use salvor_domain::path::{FilePath, Glob};
use salvor_domain::units;

use crate::core::Core;
use crate::database::Tx;
use crate::error::{Error, Result};
use crate::events;
use crate::restore::admission::check_glob;
use crate::restore::report::report;
use crate::restore::service::{allowed, no_such_job};
use crate::restore::store::segments::{self, Item};
use crate::restore::store::{self, Job, moves};

/// Ranks of segments, by class.
pub struct Rank;

impl Rank {
    /// What tickets ask for.
    pub const TICKET: i64 = -1_000_000_000;
    /// What an operator or the gateway asked for just now.
    pub const RAISED: i64 = -500_000_000;
    /// Segments of one age: more than a plan ever has.
    const AGE: i64 = 1_000_000_000;

    /// Goes by the express slot where all others are taken.
    pub fn is_urgent(rank: i64) -> bool {
        rank < 0
    }

    /// The place of a plan's `number`th segment of files of this age.
    pub fn of(age: Age, number: i64) -> i64 {
        age as i64 * Self::AGE + number
    }
}

/// How long ago a file was written last: what is known of its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    Week,
    Month,
    Year,
    Older,
}

impl Age {
    pub const ALL: [Self; 4] = [Self::Week, Self::Month, Self::Year, Self::Older];

    /// A time that lies ahead is the newest of all.
    pub fn of(mtime_ns: i64, now: DateTime<Utc>) -> Self {
        let age = now - DateTime::from_timestamp_nanos(mtime_ns);
        match age {
            age if age <= TimeDelta::days(7) => Self::Week,
            age if age <= TimeDelta::days(31) => Self::Month,
            age if age <= TimeDelta::days(366) => Self::Year,
            _ => Self::Older,
        }
    }
}

/// Files of one urgent segment: few, so that the first are on the volume soon.
const URGENT_FILES: usize = 200;
/// More at once is not urgent.
pub const MOST_RAISED: usize = 20_000;
const MOST_PATTERNS: usize = 1_000;

/// What somebody needs sooner.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// Paths or patterns.
    pub paths: &'a [Glob],
    /// Very files, whatever characters their names have.
    pub files: &'a [FilePath],
}

/// What came of a wish to bring files sooner.
#[derive(Debug, serde::Serialize)]
pub struct Raised {
    #[serde(flatten)]
    pub job: JobReport,
    /// Waiting files that come sooner now: none when nothing that waits matches, or all of it is as urgent already.
    pub moved: u64,
}

/// Brings files sooner that wait in a restore, as an operator asked.
///
/// # Errors
/// [`Error::Conflict`] when the job has nothing that could wait, [`Error::Invalid`] when the paths make no sense.
pub async fn raise(core: &Core, actor: &Actor, id: JobId, paths: &[Glob]) -> Result<Raised> {
    allowed(actor)?;
    if paths.is_empty() {
        return Err(Error::invalid("Say which files: paths, or patterns such as anna/**."));
    }
    if paths.len() > MOST_PATTERNS {
        return Err(Error::invalid(format!("At most {MOST_PATTERNS} paths are accepted at once.")));
    }
    paths.iter().try_for_each(check_glob)?;
    raise_to(core, actor, id, Wanted { paths, files: &[] }, Rank::RAISED).await
}

/// As [`raise`], in every restore of a volume that these files wait in: whoever serves them was asked for them just now.
/// Gives how many were moved.
pub async fn raise_in_volume(core: &Core, actor: &Actor, volume_id: i64, files: &[FilePath]) -> Result<u64> {
    let mut tx = core.db.read().await?;
    let jobs = store::unended(&mut tx, volume_id, JobKind::Restore).await?;
    drop(tx);
    let mut moved = 0;
    for job in jobs.iter().filter(|job| can_wait(job).is_ok()) {
        match raise_to(core, actor, job.id, Wanted { paths: &[], files }, Rank::RAISED).await {
            Ok(raised) => moved += raised.moved,
            // It came to its end meanwhile.
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(moved)
}

/// As [`raise`], to the front of all: a ticket asks for these files. Nothing happens when they are there already.
pub async fn raise_for_ticket(core: &Core, actor: &Actor, id: JobId, files: &[FilePath]) -> Result<u64> {
    raise_to(core, actor, id, Wanted { paths: &[], files }, Rank::TICKET).await.map(|raised| raised.moved)
}

async fn raise_to(core: &Core, actor: &Actor, id: JobId, wanted: Wanted<'_>, rank: i64) -> Result<Raised> {
    let now = core.clock.now();
    let mut tx = core.db.begin().await?;
    let job = store::lock(&mut tx, id).await?.ok_or_else(|| no_such_job(id))?;
    can_wait(&job)?;
    let moved = move_up(&mut tx, &job, wanted, rank).await?;
    if moved > 0 {
        let named = named(wanted);
        let summary =
            format!("{} wants {} sooner: {named}.", actor.name, units::counted(moved, "file", "files"));
        events::record(&mut tx, now, actor, EventKind::JobRaised, id, &summary).await?;
    }
    let job = report(core, &mut tx, job, now).await?;
    tx.commit().await?;
    core.nudge.notify_one();
    Ok(Raised { job, moved })
}

/// Only what has a plan has files that wait.
fn can_wait(job: &Job) -> Result<()> {
    let why = match &job.state {
        _ if job.kind() != JobKind::Restore => {
            format!(
                "a {} has no order of need; only the files of a restore can be brought sooner",
                job.kind()
            )
        }
        JobState::Planning { .. } => "the plan is still being made; try again when it is ready".to_owned(),
        state if state.has_ended() => format!("the job is {} and nothing waits in it", state.word()),
        _ if job.plan.is_none() => "it has no plan yet; try again when it is ready".to_owned(),
        _ => return Ok(()),
    };
    Err(Error::conflict(format!("Nothing can be brought sooner: {why}.")))
}

/// The files that wait, and are needed less than `rank` says, into segments of that rank: by copy, in path order.
async fn move_up(tx: &mut Tx, job: &Job, wanted: Wanted<'_>, rank: i64) -> Result<u64> {
    let mut files = wanted.files.to_vec();
    let mut patterns = Vec::new();
    for glob in wanted.paths {
        match FilePath::new(glob.as_str()) {
            Ok(path) if !glob.as_str().contains(['*', '?']) => files.push(path),
            _ => patterns.push(Pattern::of(glob)),
        }
    }
    files.sort_unstable();
    files.dedup();
    let mut by_copy: Vec<(Option<u8>, Vec<Item>)> = Vec::new();
    let mut moved = 0;
    let holding = moves::holding(tx, job.id, rank, &files).await?;
    if holding.is_empty() && patterns.is_empty() {
        return Ok(0);
    }
    for segment in moves::open(tx, job.id, rank).await? {
        let mut paths = if holding.contains(&segment.id) { files.clone() } else { Vec::new() };
        for pattern in &patterns {
            let near = moves::waiting_between(tx, segment.id, &pattern.first, pattern.end.as_deref()).await?;
            paths.extend(near.into_iter().filter(|path| pattern.glob.matches(path.as_bytes())));
        }
        if paths.is_empty() {
            continue;
        }
        paths.sort_unstable();
        paths.dedup();
        let items = moves::take_out(tx, segment.id, &paths).await?;
        moved += items.len();
        if moved > MOST_RAISED {
            return Err(Error::invalid(format!(
                "That is more than {} files: what is urgent is little. Narrow the paths.",
                units::count(MOST_RAISED as u64)
            )));
        }
        match by_copy.iter_mut().find(|(bit, _)| *bit == segment.source_bit) {
            Some((_, all)) => all.extend(items),
            None => by_copy.push((segment.source_bit, items)),
        }
    }
    for (bit, mut items) in by_copy {
        items.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        for items in items.chunks(URGENT_FILES) {
            segments::insert_work(tx, job.id, items, rank, bit).await?;
        }
    }
    Ok(moved as u64)
}

/// A pattern, and the range of paths that can match it.
struct Pattern<'a> {
    glob: &'a Glob,
    first: Vec<u8>,
    end: Option<Vec<u8>>,
}

impl<'a> Pattern<'a> {
    fn of(glob: &'a Glob) -> Self {
        let text = glob.as_str();
        let first = text.as_bytes()[..text.find(['*', '?']).unwrap_or(text.len())].to_vec();
        let mut end = first.clone();
        // The next text that does not begin so; none after a row of 0xff.
        while end.last() == Some(&0xff) {
            end.pop();
        }
        let end = end.pop().map(|last| [end.as_slice(), &[last + 1]].concat());
        Self { glob, first, end }
    }
}

/// `anna/**, rose/a.jpg and 3 others`
fn named(wanted: Wanted<'_>) -> String {
    const NAMED: usize = 3;
    let paths = wanted.paths.iter().map(|glob| glob.as_str().to_owned());
    let mut all: Vec<String> = paths.chain(wanted.files.iter().map(FilePath::to_string)).collect();
    let others = all.len().saturating_sub(NAMED) as u64;
    all.truncate(NAMED);
    let named = all.join(", ");
    if others == 0 { named } else { format!("{named} and {}", units::counted(others, "other", "others")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tickets_go_before_what_was_asked_for_and_that_before_all_else_by_recent_use() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let age = |days: i64| Age::of((now - TimeDelta::days(days)).timestamp_nanos_opt().unwrap(), now);
        let ranks = [
            Rank::TICKET + 900,
            Rank::RAISED + 900,
            Rank::of(age(-1), 900),
            Rank::of(age(20), 0),
            Rank::of(age(300), 0),
            Rank::of(age(9_000), 0),
        ];
        assert!(ranks.is_sorted_by(|a, b| a < b), "{ranks:?}");
        assert_eq!(ranks.map(Rank::is_urgent), [true, true, false, false, false, false]);
    }

    proptest! {
        /// Whatever a pattern matches lies in its range.
        #[test]
        fn a_range_leaves_nothing_out(prefix in "[ab\u{ff}]{0,3}", tail in "[ab/]{0,4}") {
            let glob = Glob::new(format!("{prefix}**"));
            let pattern = Pattern::of(&glob);
            let path = format!("{prefix}{tail}");
            prop_assert!(glob.matches(path.as_bytes()));
            prop_assert!(path.as_bytes() >= pattern.first.as_slice());
            prop_assert!(pattern.end.is_none_or(|end| path.as_bytes() < end.as_slice()));
        }
    }
}
