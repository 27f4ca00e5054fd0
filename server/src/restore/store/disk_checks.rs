//! The tables `disk_checks` and `disk_check_lines`: how far the tool of a disk check is, and what it said.
//!
//! Of the output the first and the last [`KEPT_AT_EACH_END`] lines are kept; `disk_checks.lines` counts all of them.

use chrono::{DateTime, Utc};
use salvor_domain::disk_check::{Course, DiskTool, DiskVerdict, Tally};
use salvor_domain::ids::JobId;
use sqlx::types::Json;

use super::{from_sql, to_sql};
use crate::database::{Tx, bad_row, build, execute, fetch_all, fetch_optional};

/// Lines that are kept from the beginning, and as many from the end.
pub const KEPT_AT_EACH_END: u64 = 5_000;
/// Bytes of one line that are kept.
pub const LONGEST_LINE: usize = 1_000;

/// A disk check as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct DiskCheck {
    pub tool: DiskTool,
    pub command: String,
    pub device: String,
    pub can_pause: bool,
    pub began_at: Option<DateTime<Utc>>,
    pub round: u32,
    pub course: Course,
    /// The process that runs, or did when this was kept.
    pub process: Option<Process>,
    pub exit_code: Option<i32>,
    pub verdict: Option<DiskVerdict>,
    pub summary: Option<String>,
    pub tally: Tally,
    pub work: WorkDone,
    pub lines: u64,
}

/// One process of one machine since it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Process {
    pub pid: i32,
    pub ticks: u64,
}

/// Signs that a run works, and when they last came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkDone {
    pub read_bytes: u64,
    pub written_bytes: u64,
    pub last_io_at: Option<DateTime<Utc>>,
    pub last_work_at: Option<DateTime<Utc>>,
}

/// A line of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub at: DateTime<Utc>,
    pub text: String,
}

/// Output as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    pub first: Vec<String>,
    pub left_out: u64,
    pub last: Vec<String>,
}

impl DiskCheck {
    /// One that is planned.
    pub fn new(tool: DiskTool, command: String, device: String, can_pause: bool) -> Self {
        Self {
            tool,
            command,
            device,
            can_pause,
            began_at: None,
            round: 0,
            course: Course::default(),
            process: None,
            exit_code: None,
            verdict: None,
            summary: None,
            tally: Tally::default(),
            work: WorkDone::default(),
            lines: 0,
        }
    }
}

/// Stores a plan in place of what an earlier one of the job left, its output included.
pub async fn insert(tx: &mut Tx, job: JobId, check: &DiskCheck) -> sqlx::Result<()> {
    execute!(&mut *tx, "DELETE FROM disk_check_lines WHERE job_id = $1", job.to_string())?;
    execute!(&mut *tx, "DELETE FROM disk_checks WHERE job_id = $1", job.to_string())?;
    let sql = "INSERT INTO disk_checks (job_id, tool, command, device, can_pause, round, tally, read_bytes, written_bytes, lines) \
               VALUES ($1, $2, $3, $4, $5, 0, $6, 0, 0, 0)";
    let tally = Json(check.tally);
    execute!(
        &mut *tx,
        sql,
        job.to_string(),
        check.tool.as_str(),
        &check.command,
        &check.device,
        check.can_pause,
        tally
    )?;
    save(tx, job, check).await
}

pub async fn get(tx: &mut Tx, job: JobId) -> sqlx::Result<Option<DiskCheck>> {
    let sql = "SELECT * FROM disk_checks WHERE job_id = $1";
    fetch_optional!(tx, Row, sql, job.to_string())?.map(DiskCheck::try_from).transpose()
}

/// Stores all of it that changes while it runs.
pub async fn save(tx: &mut Tx, job: JobId, check: &DiskCheck) -> sqlx::Result<()> {
    execute!(
        tx,
        "UPDATE disk_checks SET began_at = $2, round = $3, pass = $4, percent = $5, pid = $6, pid_ticks = $7, exit_code = $8, \
         verdict = $9, summary = $10, tally = $11, read_bytes = $12, written_bytes = $13, last_io_at = $14, \
         last_work_at = $15, lines = $16 WHERE job_id = $1",
        job.to_string(),
        check.began_at,
        i64::from(check.round),
        check.course.pass.map(i64::from),
        check.course.percent,
        check.process.map(|process| i64::from(process.pid)),
        check.process.map(|process| to_sql(process.ticks)),
        check.exit_code.map(i64::from),
        check.verdict.map(DiskVerdict::as_str),
        &check.summary,
        Json(check.tally),
        to_sql(check.work.read_bytes),
        to_sql(check.work.written_bytes),
        check.work.last_io_at,
        check.work.last_work_at,
        to_sql(check.lines),
    )
    .map(drop)
}

/// Adds lines behind the `before` that there are already, and forgets those in the middle that are too many.
pub async fn add_lines(tx: &mut Tx, job: JobId, before: u64, lines: &[Line]) -> sqlx::Result<()> {
    const ROWS: usize = 500;
    let mut number = before;
    for lines in lines.chunks(ROWS) {
        let numbered: Vec<(i64, &Line)> = lines
            .iter()
            .map(|line| {
                number += 1;
                (to_sql(number), line)
            })
            .collect();
        build!(&mut *tx, |query, connection| {
            query.push("INSERT INTO disk_check_lines (job_id, number, at, text) ");
            query.push_values(numbered, |mut values, (number, line)| {
                values.push_bind(job.to_string()).push_bind(number).push_bind(line.at).push_bind(&line.text);
            });
            query.build().execute(connection).await.map(drop)
        })?;
    }
    let (first, last) = (to_sql(KEPT_AT_EACH_END), to_sql(number) - to_sql(KEPT_AT_EACH_END));
    if last <= first {
        return Ok(());
    }
    let sql = "DELETE FROM disk_check_lines WHERE job_id = $1 AND number > $2 AND number <= $3";
    execute!(tx, sql, job.to_string(), first, last).map(drop)
}

/// The last `most` lines.
pub async fn tail(tx: &mut Tx, job: JobId, most: u32) -> sqlx::Result<Vec<String>> {
    let sql = "SELECT text FROM disk_check_lines WHERE job_id = $1 ORDER BY number DESC LIMIT $2";
    let rows = fetch_all!(tx, (String,), sql, job.to_string(), i64::from(most))?;
    Ok(rows.into_iter().rev().map(|(text,)| text).collect())
}

/// All that is kept.
pub async fn output(tx: &mut Tx, job: JobId) -> sqlx::Result<Output> {
    let sql = "SELECT number, text FROM disk_check_lines WHERE job_id = $1 ORDER BY number";
    let mut output = Output::default();
    let mut expected = 1;
    for (number, text) in fetch_all!(tx, (i64, String), sql, job.to_string())? {
        if number > expected {
            output.left_out = from_sql(number - expected);
        }
        expected = number + 1;
        let part = if output.left_out == 0 { &mut output.first } else { &mut output.last };
        part.push(text);
    }
    Ok(output)
}

/// Forgets the output of all but the newest checks of each volume that ended before this.
pub async fn forget_old(tx: &mut Tx, before: DateTime<Utc>) -> sqlx::Result<()> {
    let sql = "DELETE FROM disk_check_lines WHERE job_id IN (SELECT jobs.id FROM jobs WHERE jobs.kind = 'disk_check' \
               AND jobs.finished_at < $1 AND EXISTS (SELECT 1 FROM jobs AS newer WHERE newer.volume_id = jobs.volume_id \
               AND newer.kind = 'disk_check' AND newer.id > jobs.id))";
    execute!(tx, sql, before).map(drop)
}

/// The disk check of a volume that began last: when, and whether it ended well; `None` while it is not at its end. One that could
/// not begin (its device was mounted) does not count, nor does a plan alone.
pub async fn last_disk_check(
    tx: &mut Tx,
    volume_id: i64,
) -> sqlx::Result<Option<(DateTime<Utc>, Option<bool>)>> {
    let sql = "SELECT disk_checks.began_at, disk_checks.verdict, jobs.state FROM jobs \
               JOIN disk_checks ON disk_checks.job_id = jobs.id \
               WHERE jobs.volume_id = $1 AND jobs.kind = 'disk_check' AND disk_checks.began_at IS NOT NULL \
               ORDER BY disk_checks.began_at DESC LIMIT 1";
    let Some((began, verdict, state)) =
        fetch_optional!(tx, (DateTime<Utc>, Option<String>, String), sql, volume_id)?
    else {
        return Ok(None);
    };
    let verdict = verdict.map(|word| parsed_verdict(&word, volume_id)).transpose()?;
    let well = match state.as_str() {
        "finished" => Some(verdict.is_some_and(DiskVerdict::is_well)),
        "failed" | "cancelled" => Some(false),
        _ => None,
    };
    Ok(Some((began, well)))
}

fn parsed_verdict(word: &str, id: impl std::fmt::Display) -> sqlx::Result<DiskVerdict> {
    word.parse().map_err(|why| bad_row("disk_checks", "verdict", id, why))
}

#[derive(sqlx::FromRow)]
struct Row {
    job_id: String,
    tool: String,
    command: String,
    device: String,
    can_pause: bool,
    began_at: Option<DateTime<Utc>>,
    round: i64,
    pass: Option<i64>,
    percent: Option<f64>,
    pid: Option<i64>,
    pid_ticks: Option<i64>,
    exit_code: Option<i64>,
    verdict: Option<String>,
    summary: Option<String>,
    tally: Json<Tally>,
    read_bytes: i64,
    written_bytes: i64,
    last_io_at: Option<DateTime<Utc>>,
    last_work_at: Option<DateTime<Utc>>,
    lines: i64,
}

impl TryFrom<Row> for DiskCheck {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        let id = row.job_id;
        let bad = |column, why: &dyn std::fmt::Display| bad_row("disk_checks", column, &id, why);
        let process = match (row.pid, row.pid_ticks) {
            (Some(pid), Some(ticks)) => Some(Process {
                pid: i32::try_from(pid).map_err(|why| bad("pid", &why))?,
                ticks: from_sql(ticks),
            }),
            _ => None,
        };
        Ok(Self {
            tool: row.tool.parse().map_err(|why| bad("tool", &why))?,
            command: row.command,
            device: row.device,
            can_pause: row.can_pause,
            began_at: row.began_at,
            round: u32::try_from(row.round).map_err(|why| bad("round", &why))?,
            course: Course {
                pass: row.pass.map(u32::try_from).transpose().map_err(|why| bad("pass", &why))?,
                percent: row.percent,
            },
            process,
            exit_code: row.exit_code.map(i32::try_from).transpose().map_err(|why| bad("exit_code", &why))?,
            verdict: row.verdict.map(|word| parsed_verdict(&word, &id)).transpose()?,
            summary: row.summary,
            tally: row.tally.0,
            work: WorkDone {
                read_bytes: from_sql(row.read_bytes),
                written_bytes: from_sql(row.written_bytes),
                last_io_at: row.last_io_at,
                last_work_at: row.last_work_at,
            },
            lines: from_sql(row.lines),
        })
    }
}
