//! All SQL on the tables of jobs: `jobs` here, `segments` and `items` in [`segments`], what a report adds up in
//! [`figures`], what is on its way in [`moving`], what waits for copies in [`resting`], what drills try in [`drills`], disk
//! checks in [`disk_checks`], what is forgotten in [`prune`].
//!
//! Invariant: whoever changes a job reads it with [`lock`] in the same transaction, so that two changes cannot cross.

pub mod disk_checks;
pub mod drills;
pub mod figures;
pub mod moves;
pub mod moving;
pub mod orphans;
pub mod prune;
pub mod resting;
pub mod segments;

use chrono::{DateTime, TimeDelta, Utc};
use salvor_domain::ids::JobId;
use salvor_domain::job::{ByteCounts, FileCounts, JobKind, JobRequest, JobState, Plan};
use salvor_domain::limits::JobLimits;
use salvor_domain::stuck::{LONGEST_WAIT, Stuck};
use sqlx::AssertSqlSafe;
use sqlx::types::Json;

use crate::database::{Tx, bad_row, execute, fetch_all, fetch_optional};

/// A job as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub id: JobId,
    pub volume_id: i64,
    pub request: JobRequest,
    pub state: JobState,
    /// May run as soon as its plan is ready.
    pub approved: bool,
    pub dry_run: bool,
    pub ticket: Option<i64>,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    /// Active time up to `active_since`.
    pub active_seconds: f64,
    /// The clock of the active time runs since then; it starts when a worker takes a segment.
    pub active_since: Option<DateTime<Utc>>,
    pub plan: Option<Plan>,
    pub files: FileCounts,
    pub bytes: ByteCounts,
    /// What it keeps within, as was said last; changed by [`set_limits`] alone.
    pub limits: JobLimits,
    /// What holds it up, or did until it was tried again just now.
    pub stuck: Option<Stuck>,
}

impl Job {
    /// One that was just asked for: to be planned, and not approved.
    pub fn new(id: JobId, volume_id: i64, request: JobRequest, by: String, now: DateTime<Utc>) -> Self {
        Self {
            id,
            volume_id,
            request,
            state: JobState::Planning { since: now },
            approved: false,
            dry_run: false,
            ticket: None,
            created_at: now,
            created_by: by,
            started_at: None,
            finished_at: None,
            active_seconds: 0.0,
            active_since: None,
            plan: None,
            files: FileCounts::default(),
            bytes: ByteCounts::default(),
            limits: JobLimits::default(),
            stuck: None,
        }
    }

    pub fn kind(&self) -> JobKind {
        self.request.kind()
    }

    /// Seconds of planning and running, pauses left out.
    pub fn active_seconds_at(&self, now: DateTime<Utc>) -> f64 {
        self.active_seconds + self.active_since.map_or(0.0, |since| seconds(now - since))
    }

    /// In its new state, with everything that hangs on it.
    #[must_use]
    pub fn moved(mut self, state: JobState, now: DateTime<Utc>) -> Self {
        if !state.is_active() {
            self.stop_clock(now);
        }
        self.finished_at = state.ended_at();
        let waits_for_a_person = !state.is_active() && state.tries_again_at().is_none();
        self.stuck = self.stuck.filter(|_| !waits_for_a_person);
        self.state = state;
        self
    }

    /// A worker is at it. When nobody was since `idle_since` (the workers died), that time is not active time.
    pub fn start_clock(&mut self, idle_since: Option<DateTime<Utc>>, now: DateTime<Utc>) {
        self.started_at.get_or_insert(now);
        if let Some(idle_since) = idle_since.filter(|&idle| idle < now) {
            self.stop_clock(idle_since);
        }
        self.active_since.get_or_insert(now);
    }

    fn stop_clock(&mut self, at: DateTime<Utc>) {
        if let Some(since) = self.active_since.take() {
            self.active_seconds += seconds(at - since);
        }
    }
}

fn seconds(span: TimeDelta) -> f64 {
    (span.num_microseconds().unwrap_or(i64::MAX) as f64 / 1e6).max(0.0)
}

pub async fn insert(tx: &mut Tx, job: &Job) -> sqlx::Result<()> {
    execute!(
        tx,
        "INSERT INTO jobs (id, volume_id, kind, request, state, state_facts, approved, dry_run, ticket, created_at, created_by, limits) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        job.id.to_string(),
        job.volume_id,
        job.kind().as_str(),
        Json(&job.request),
        job.state.word(),
        Json(&job.state),
        job.approved,
        job.dry_run,
        job.ticket,
        job.created_at,
        &job.created_by,
        Json(job.limits),
    )
    .map(drop)
}

pub async fn job(tx: &mut Tx, id: JobId) -> sqlx::Result<Option<Job>> {
    fetch_optional!(tx, Row, "SELECT * FROM jobs WHERE id = $1", id.to_string())?
        .map(Job::try_from)
        .transpose()
}

/// Reads a job to change it: others who want to wait until this transaction ends.
pub async fn lock(tx: &mut Tx, id: JobId) -> sqlx::Result<Option<Job>> {
    let sql = AssertSqlSafe(format!("SELECT * FROM jobs WHERE id = $1{}", tx.for_update()));
    fetch_optional!(tx, Row, sql, id.to_string())?.map(Job::try_from).transpose()
}

pub async fn set_limits(tx: &mut Tx, id: JobId, limits: &JobLimits) -> sqlx::Result<()> {
    execute!(tx, "UPDATE jobs SET limits = $2 WHERE id = $1", id.to_string(), Json(limits)).map(drop)
}

/// Stores everything about a job that its work changes.
pub async fn save(tx: &mut Tx, job: &Job) -> sqlx::Result<()> {
    execute!(
        tx,
        "UPDATE jobs SET state = $2, state_facts = $3, approved = $4, started_at = $5, finished_at = $6, active_seconds = $7, \
         active_since = $8, plan = $9, files_total = $10, files_done = $11, files_failed = $12, files_skipped = $13, \
         bytes_total = $14, bytes_done = $15, tries_again_at = $16, stuck = $17 WHERE id = $1",
        job.id.to_string(),
        job.state.word(),
        Json(&job.state),
        job.approved,
        job.started_at,
        job.finished_at,
        job.active_seconds,
        job.active_since,
        job.plan.as_ref().map(Json),
        to_sql(job.files.total),
        to_sql(job.files.done),
        to_sql(job.files.failed),
        to_sql(job.files.skipped),
        to_sql(job.bytes.total),
        to_sql(job.bytes.done),
        job.state.tries_again_at(),
        job.stuck.as_ref().map(Json),
    )
    .map(drop)
}

/// The stuck jobs, all or one alone, whose next try is due at `now`. One that lies too far ahead was set by a clock that has
/// gone backwards since.
pub async fn due(tx: &mut Tx, now: DateTime<Utc>, only: Option<JobId>) -> sqlx::Result<Vec<JobId>> {
    let sql = "SELECT id FROM jobs WHERE (tries_again_at <= $1 OR tries_again_at > $2) AND ($3 = '' OR id = $3) \
               ORDER BY tries_again_at";
    let only = only.map(|job| job.to_string()).unwrap_or_default();
    let rows = fetch_all!(tx, (String,), sql, now, now + LONGEST_WAIT, only)?;
    let parsed = |(id,): (String,)| id.parse().map_err(|why| bad_row("jobs", "id", &id, why));
    rows.into_iter().map(parsed).collect()
}

/// Newest first.
pub async fn list(tx: &mut Tx, volume_id: Option<i64>, active: bool, limit: u32) -> sqlx::Result<Vec<Job>> {
    let sql = "SELECT * FROM jobs WHERE ($1 = 0 OR volume_id = $1) \
               AND ($2 = FALSE OR state IN ('planning', 'planned', 'running', 'paused')) ORDER BY id DESC LIMIT $3";
    let rows = fetch_all!(tx, Row, sql, volume_id.unwrap_or(0), active, i64::from(limit))?;
    rows.into_iter().map(Job::try_from).collect()
}

/// How many jobs there are, by the word of their state.
pub async fn counts(tx: &mut Tx) -> sqlx::Result<Vec<(String, i64)>> {
    fetch_all!(tx, (String, i64), "SELECT state, count(*) FROM jobs GROUP BY state ORDER BY state")
}

/// The jobs of a kind on a volume that have not ended, oldest first.
pub async fn unended(tx: &mut Tx, volume_id: i64, kind: JobKind) -> sqlx::Result<Vec<Job>> {
    let sql = "SELECT * FROM jobs WHERE volume_id = $1 AND kind = $2 \
               AND state IN ('planning', 'planned', 'running', 'paused') ORDER BY id";
    fetch_all!(tx, Row, sql, volume_id, kind.as_str())?.into_iter().map(Job::try_from).collect()
}

/// The jobs on a volume that have not ended, oldest first.
pub async fn active(tx: &mut Tx, volume_id: i64) -> sqlx::Result<Vec<Job>> {
    let sql = "SELECT * FROM jobs WHERE volume_id = $1 \
               AND state IN ('planning', 'planned', 'running', 'paused') ORDER BY id";
    fetch_all!(tx, Row, sql, volume_id)?.into_iter().map(Job::try_from).collect()
}

/// Sizes and counts are 64 bits without a sign here, with one in SQL; none comes near 2^63.
pub(super) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    volume_id: i64,
    request: Json<JobRequest>,
    state_facts: Json<JobState>,
    approved: bool,
    dry_run: bool,
    ticket: Option<i64>,
    created_at: DateTime<Utc>,
    created_by: String,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    active_seconds: f64,
    active_since: Option<DateTime<Utc>>,
    plan: Option<Json<Plan>>,
    files_total: i64,
    files_done: i64,
    files_failed: i64,
    files_skipped: i64,
    bytes_total: i64,
    bytes_done: i64,
    limits: Option<Json<JobLimits>>,
    stuck: Option<Json<Stuck>>,
}

impl TryFrom<Row> for Job {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id.parse().map_err(|why| bad_row("jobs", "id", &row.id, why))?,
            volume_id: row.volume_id,
            request: row.request.0,
            state: row.state_facts.0,
            approved: row.approved,
            dry_run: row.dry_run,
            ticket: row.ticket,
            created_at: row.created_at,
            created_by: row.created_by,
            started_at: row.started_at,
            finished_at: row.finished_at,
            active_seconds: row.active_seconds,
            active_since: row.active_since,
            plan: row.plan.map(|Json(plan)| plan),
            files: FileCounts {
                total: from_sql(row.files_total),
                done: from_sql(row.files_done),
                failed: from_sql(row.files_failed),
                skipped: from_sql(row.files_skipped),
            },
            bytes: ByteCounts { total: from_sql(row.bytes_total), done: from_sql(row.bytes_done) },
            limits: row.limits.map(|Json(limits)| limits).unwrap_or_default(),
            stuck: row.stuck.map(|Json(stuck)| stuck),
        })
    }
}
