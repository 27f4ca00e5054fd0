//! The follower: looks up what was reported, starts restores, and notices when files are back.
//!
//! It takes no input and is idempotent: a round reads what there is to do from the database, does it, and may die
//! anywhere. A restore that was started but not yet written to its lines is found again as "under way" by the next
//! round, so no file is restored twice for it. A line is restored only when its job says that the file is (promise I2).

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use salvor_app::restore::port::NewJob;
use salvor_domain::account::{Actor, Role};
use salvor_domain::event::EventKind;
use salvor_domain::ids::JobId;
use salvor_domain::job::{JobReport, JobRequest};
use salvor_domain::path::FilePath;
use salvor_domain::ticket::{LineState, Verdict};
use salvor_domain::units::counted;

use super::diagnose::{Diagnosis, Target, diagnose, words};
use super::standing::{Voice, settle};
use super::store::{self, Line, Place, Ticket};
use crate::config::TicketRestore;
use crate::core::Core;
use crate::database::Tx;
use crate::error::{Error, Result};
use crate::restore::need;
use crate::restore::service::{self as jobs, Outcome};
use crate::{events, volumes};

/// Tickets read in one go.
const PAGE: i64 = 200;
/// A line whose storage did not answer is looked up again after this long.
const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(30);

/// One round. What fails for one ticket does not hold up the others.
pub async fn round(core: &Core) -> Result<()> {
    for number in with_lines(core, LineState::New).await? {
        if let Err(error) = look_up(core, number).await {
            tracing::warn!(%error, ticket = number, "a ticket could not be looked up; it is tried again");
        }
    }
    for number in with_lines(core, LineState::Restoring).await? {
        if let Err(error) = follow(core, number).await {
            tracing::warn!(%error, ticket = number, "a ticket's restore could not be followed; it is tried again");
        }
    }
    Ok(())
}

/// The numbers of all tickets that have a line in this state: those that wait long keep no later one from its turn.
async fn with_lines(core: &Core, state: LineState) -> Result<Vec<i64>> {
    let mut tx = core.db.read().await?;
    let mut numbers = Vec::new();
    loop {
        let page = store::with_lines(&mut tx, state, numbers.last().copied().unwrap_or(0), PAGE).await?;
        if page.is_empty() {
            return Ok(numbers);
        }
        numbers.extend(page);
    }
}

/// Starts a restore of every line that can be restored now, as an operator asked.
pub async fn restore(core: &Core, actor: &Actor, number: i64) -> Result<()> {
    let Some((ticket, lines)) = read(core, number).await? else { return Err(no_such_ticket(number)) };
    let waits = |line: &&Line| {
        matches!(line.state, LineState::Diagnosed | LineState::Failed | LineState::StillMissing)
    };
    let lines: Vec<Line> = lines.iter().filter(waits).cloned().collect();
    let mut diagnosed = with_diagnoses(core, &ticket, lines).await?;
    start_restores(core, actor, number, &mut diagnosed).await?;
    if !diagnosed.iter().any(|(_, diagnosis)| matches!(diagnosis, Diagnosis::File { job: Some(_), .. })) {
        return Err(Error::Conflict {
            message: "no file of this ticket can be restored now".into(),
            points: diagnosed.iter().map(|(line, diagnosis)| in_words(line, diagnosis)).collect(),
        });
    }
    diagnosed.retain(|(_, diagnosis)| matches!(diagnosis, Diagnosis::File { job: Some(_), .. }));
    apply(core, actor, number, diagnosed).await
}

/// Looks up the new lines of a ticket and, where the configuration says so, brings back what can be.
async fn look_up(core: &Core, number: i64) -> Result<()> {
    let Some((ticket, lines)) = read(core, number).await? else { return Ok(()) };
    let now = core.clock.now();
    let is_due = |line: &Line| line.detail.is_empty() || now - line.updated_at >= LOOK_AGAIN;
    let lines: Vec<Line> =
        lines.into_iter().filter(|line| line.state == LineState::New && is_due(line)).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let mut diagnosed = with_diagnoses(core, &ticket, lines).await?;
    if core.config.tickets.restore == TicketRestore::Auto {
        start_restores(core, &Actor::salvor(), number, &mut diagnosed).await?;
    }
    bring_sooner(core, &diagnosed).await;
    apply(core, &Actor::salvor(), number, diagnosed).await
}

/// Files that wait in a restore which is under way go to its front: a second restore would only meet the first.
async fn bring_sooner(core: &Core, diagnosed: &[(Line, Diagnosis)]) {
    let mut waiting: BTreeMap<JobId, BTreeSet<FilePath>> = BTreeMap::new();
    for (_, diagnosis) in diagnosed {
        if let Diagnosis::File { target, verdict: Verdict::BeingRestored, job: Some(job), .. } = diagnosis {
            waiting.entry(*job).or_default().insert(target.1.clone());
        }
    }
    for (job, files) in waiting {
        raise(core, job, files).await;
    }
}

/// A restore whose plan is still being made is asked again by a later round.
async fn raise(core: &Core, job: JobId, files: BTreeSet<FilePath>) {
    let files: Vec<FilePath> = files.into_iter().collect();
    match need::raise_for_ticket(core, &Actor::salvor(), job, &files).await {
        Ok(_) | Err(Error::Conflict { .. }) => {}
        Err(error) => tracing::warn!(%error, %job, "a ticket's files could not be brought sooner"),
    }
}

async fn with_diagnoses(core: &Core, ticket: &Ticket, lines: Vec<Line>) -> Result<Vec<(Line, Diagnosis)>> {
    let inputs: Vec<String> = lines.iter().map(|line| line.input.clone()).collect();
    let diagnoses = diagnose(core, ticket.site.as_deref(), &inputs).await?;
    Ok(lines.into_iter().zip(diagnoses).collect())
}

/// One restore for each volume that has restorable files among these. A volume that takes none now leaves its lines
/// restorable, for an operator.
async fn start_restores(
    core: &Core,
    actor: &Actor,
    number: i64,
    diagnosed: &mut [(Line, Diagnosis)],
) -> Result<()> {
    let mut wanted: BTreeMap<String, BTreeSet<FilePath>> = BTreeMap::new();
    for (_, diagnosis) in diagnosed.iter() {
        if let Diagnosis::File { target: (volume, path), verdict: Verdict::Restorable, .. } = diagnosis {
            wanted.entry(volume.clone()).or_default().insert(path.clone());
        }
    }
    // Asking for a ticket's files is the right of whoever answers tickets: it only adds what is missing.
    let actor = Actor { name: actor.name.clone(), role: actor.role.max(Role::Operator) };
    for (volume, files) in wanted {
        let request = JobRequest::Restore {
            from: vec![],
            paths: vec![],
            files: files.into_iter().collect(),
            to_folder: None,
        };
        let job = NewJob::new(volume.clone(), request);
        let started = match jobs::start(core, &actor, job, Some(number)).await {
            Ok(report) => report.job.parse::<JobId>().map_err(|why| Error::Internal(why.to_string()))?,
            Err(Error::Conflict { message, .. } | Error::Invalid(message)) => {
                tracing::warn!(ticket = number, volume, "its files cannot be restored now: {message}");
                continue;
            }
            Err(error) => return Err(error),
        };
        for (_, diagnosis) in diagnosed.iter_mut() {
            if let Diagnosis::File { target, verdict: Verdict::Restorable, job, detail } = diagnosis
                && target.0 == volume
            {
                *job = Some(started);
                *detail = words(Verdict::BeingRestored).to_owned();
            }
        }
    }
    Ok(())
}

/// Writes what was found out to the lines that have not changed meanwhile.
async fn apply(core: &Core, actor: &Actor, number: i64, diagnosed: Vec<(Line, Diagnosis)>) -> Result<()> {
    let now = core.clock.now();
    let mut tx = core.db.begin().await?;
    let Some(mut ticket) = store::lock(&mut tx, number).await? else { return Ok(()) };
    let present = store::lines(&mut tx, number).await?;
    let (mut looked_up, mut started) = (0, 0);
    for (line, diagnosis) in diagnosed {
        if !present.iter().any(|now| (now.line, now.state) == (line.line, line.state)) {
            continue;
        }
        let line = diagnosed_line(&mut tx, line, diagnosis, now).await?;
        looked_up += u64::from(line.state != LineState::New);
        started += u64::from(line.state == LineState::Restoring);
        // An operator's words from before do not answer what is known only now.
        ticket.replied &= !line.facts().needs_operator();
        store::save_line(&mut tx, number, &line).await?;
    }
    if looked_up > 0 {
        let summary = format!("Ticket {number}: {} looked up.", counted(looked_up, "line", "lines"));
        events::record(&mut tx, now, actor, EventKind::TicketDiagnosed, number, &summary).await?;
    }
    if started > 0 {
        let summary =
            format!("Ticket {number}: {} on the way back.", counted(started, "file is", "files are"));
        events::record(&mut tx, now, actor, EventKind::TicketRestoring, number, &summary).await?;
    }
    let voice = if *actor == Actor::salvor() { Voice::Salvor } else { Voice::Person };
    settle(&mut tx, ticket, now, voice).await?;
    Ok(tx.commit().await?)
}

async fn diagnosed_line(tx: &mut Tx, line: Line, diagnosis: Diagnosis, now: DateTime<Utc>) -> Result<Line> {
    let line = Line { updated_at: now, ..line };
    Ok(match diagnosis {
        Diagnosis::Later { detail } => Line { detail, ..line },
        Diagnosis::NoFile { verdict, detail } => {
            Line { verdict, detail, state: LineState::Diagnosed, ..line }
        }
        Diagnosis::File { target, verdict, job, detail } => {
            let place = Some(place(tx, target).await?);
            let state = match (job, line.state) {
                (None, _) => LineState::Diagnosed,
                (Some(_), LineState::New) => LineState::Diagnosed.restoring()?,
                (Some(_), other) => other.restoring()?,
            };
            Line { place, verdict: Some(verdict), detail, job, state, ..line }
        }
    })
}

async fn place(tx: &mut Tx, (volume, path): Target) -> Result<Place> {
    let row = volumes::store::volume(tx, &volume).await?;
    let row = row.ok_or_else(|| Error::Internal(format!("the volume \"{volume}\" is not registered")))?;
    Ok((row.id, path))
}

/// Asks the restores of a ticket's lines what became of their files.
async fn follow(core: &Core, number: i64) -> Result<()> {
    let Some((_, lines)) = read(core, number).await? else { return Ok(()) };
    let mut by_job: BTreeMap<JobId, Vec<Line>> = BTreeMap::new();
    for line in lines.into_iter().filter(|line| line.state == LineState::Restoring) {
        if let Some(job) = line.job {
            by_job.entry(job).or_default().push(line);
        }
    }
    let mut changed = Vec::new();
    for (job, lines) in by_job {
        let report = jobs::job(core, job).await?;
        let paths: BTreeSet<_> =
            lines.iter().filter_map(|line| line.place.clone()).map(|(_, path)| path).collect();
        let outcomes = jobs::outcomes(core, job, &paths.into_iter().collect::<Vec<_>>()).await?;
        let waiting: BTreeSet<_> = outcomes
            .iter()
            .filter(|(_, outcome)| *outcome == Outcome::Waiting)
            .map(|(path, _)| path.clone())
            .collect();
        // Somebody else's restore: it may have been planned only now.
        if report.ticket.is_none() && report.state == "running" && !waiting.is_empty() {
            raise(core, job, waiting).await;
        }
        for line in lines {
            let outcome =
                outcomes.iter().find(|(path, _)| line.place.as_ref().is_some_and(|place| place.1 == *path));
            if let Some((_, outcome)) = outcome
                && let Some(next) = followed(line, outcome, &report, number)?
            {
                changed.push(next);
            }
        }
    }
    if changed.is_empty() { Ok(()) } else { keep_followed(core, number, changed).await }
}

/// The line after its restore said this; nothing while that is still open.
fn followed(line: Line, outcome: &Outcome, job: &JobReport, number: i64) -> Result<Option<Line>> {
    let is_own = job.ticket == Some(number);
    let stopped = matches!(job.state.as_str(), "failed" | "cancelled");
    let restored = |line: Line, detail: &str| -> Result<Line> {
        Ok(Line { state: line.state.restored()?, detail: detail.to_owned(), ..line })
    };
    let failed = |line: Line, why: &str| -> Result<Line> {
        let detail = format!("It could not be brought back: {why}. Somebody looks at it.");
        Ok(Line { state: line.state.failed()?, detail, ..line })
    };
    // A restore that somebody else asked for may end without this file; then it is looked up anew.
    let anew = |line: Line| Line { state: LineState::New, job: None, detail: String::new(), ..line };
    Ok(Some(match outcome {
        Outcome::Restored => restored(line, "The file is back, and its content was verified.")?,
        // Nobody read its content: it is there, and no more is said.
        Outcome::InPlace => Line {
            state: line.state.in_place()?,
            verdict: Some(Verdict::Present),
            detail: words(Verdict::Present).to_owned(),
            job: None,
            ..line
        },
        Outcome::Waiting if !stopped => return Ok(None),
        Outcome::Waiting | Outcome::NotPlanned if !is_own => anew(line),
        Outcome::Waiting => failed(line, job.reason.as_deref().unwrap_or("the restore was stopped"))?,
        Outcome::Failed(why) | Outcome::Kept(why) => failed(line, why.trim_end_matches('.'))?,
        Outcome::NotPlanned => failed(line, "no backup that can be reached holds it")?,
    }))
}

async fn keep_followed(core: &Core, number: i64, changed: Vec<Line>) -> Result<()> {
    let now = core.clock.now();
    let mut tx = core.db.begin().await?;
    let Some(mut ticket) = store::lock(&mut tx, number).await? else { return Ok(()) };
    let present = store::lines(&mut tx, number).await?;
    for line in changed {
        let waits = |now: &&Line| now.line == line.line && now.state == LineState::Restoring;
        if present.iter().find(waits).is_some_and(|now| now.job == line.job || line.job.is_none()) {
            ticket.replied &= !line.facts().needs_operator();
            store::save_line(&mut tx, number, &Line { updated_at: now, ..line }).await?;
        }
    }
    settle(&mut tx, ticket, now, Voice::Salvor).await?;
    Ok(tx.commit().await?)
}

async fn read(core: &Core, number: i64) -> Result<Option<(Ticket, Vec<Line>)>> {
    let mut tx = core.db.read().await?;
    let Some(ticket) = store::ticket(&mut tx, number).await? else { return Ok(None) };
    Ok(Some((ticket, store::lines(&mut tx, number).await?)))
}

pub fn no_such_ticket(number: i64) -> Error {
    Error::not_found(format!("There is no ticket {number}."))
}

fn in_words(line: &Line, diagnosis: &Diagnosis) -> String {
    let what = match diagnosis {
        Diagnosis::File { verdict: Verdict::Restorable, .. } => "the volume takes no restore now",
        Diagnosis::File { verdict, .. } => words(*verdict),
        Diagnosis::NoFile { detail, .. } | Diagnosis::Later { detail } => detail,
    };
    format!("{}: {what}", line.input)
}
