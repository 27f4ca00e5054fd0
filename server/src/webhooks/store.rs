//! The table `deliveries`.

use chrono::{DateTime, Utc};
use salvor_domain::delivery::DeliveryState;
use salvor_domain::event::EventKind;

use crate::database::{Tx, bad_row, execute, fetch_all, scalar};

#[derive(Debug, Clone)]
pub struct Delivery {
    pub id: i64,
    pub message_id: String,
    pub url: String,
    pub kind: String,
    pub subject: String,
    pub body: String,
    pub state: DeliveryState,
    /// That this is under way included.
    pub attempts: u32,
    pub due_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub settled_at: Option<DateTime<Utc>>,
    pub last_error: Option<String>,
}

pub async fn add(
    tx: &mut Tx,
    message_id: &str,
    url: &str,
    kind: EventKind,
    subject: &str,
    body: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let sql = "INSERT INTO deliveries (message_id, url, kind, subject, body, state, attempts, leased, due_at, created_at) \
               VALUES ($1, $2, $3, $4, $5, 'waiting', 0, FALSE, $6, $6)";
    execute!(tx, sql, message_id, url, kind.as_str(), subject, body, now).map(drop)
}

/// What waits for this receiver and is about this subject is due now.
pub async fn hurry(tx: &mut Tx, url: &str, subject: &str, now: DateTime<Utc>) -> sqlx::Result<()> {
    let sql = "UPDATE deliveries SET due_at = $3 WHERE state = 'waiting' AND url = $1 AND subject = $2 AND NOT leased";
    execute!(tx, sql, url, subject, now).map(drop)
}

/// Those that are due: of each receiver and subject the oldest alone.
macro_rules! due {
    () => {
        "FROM deliveries WHERE state = 'waiting' AND due_at <= $1 AND NOT EXISTS \
         (SELECT 1 FROM deliveries AS earlier WHERE earlier.state = 'waiting' AND earlier.url = deliveries.url \
         AND earlier.subject = deliveries.subject AND earlier.id < deliveries.id)"
    };
}

pub async fn any_due(tx: &mut Tx, now: DateTime<Utc>) -> sqlx::Result<bool> {
    scalar!(tx, bool, concat!("SELECT EXISTS (SELECT 1 ", due!(), ")"), now)
}

/// Takes those that are due: until `until` nobody else does.
pub async fn lease(
    tx: &mut Tx,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<Delivery>> {
    let skip = tx.skip_locked();
    let sql = format!(concat!("SELECT {} ", due!(), " ORDER BY id LIMIT $2{}"), COLUMNS, skip);
    let rows = fetch_all!(&mut *tx, Row, sqlx::AssertSqlSafe(sql.as_str()), now, limit)?;
    let mut leased = Vec::with_capacity(rows.len());
    for row in rows {
        let sql = "UPDATE deliveries SET leased = TRUE, due_at = $2, attempts = attempts + 1 WHERE id = $1";
        execute!(&mut *tx, sql, row.id, until)?;
        let delivery = Delivery::try_from(row)?;
        leased.push(Delivery { attempts: delivery.attempts + 1, ..delivery });
    }
    Ok(leased)
}

/// How a try ended: to be tried at `again`, or settled. A lease that was taken over meanwhile says nothing any more.
pub async fn settle(
    tx: &mut Tx,
    tried: &Delivery,
    state: DeliveryState,
    error: Option<&str>,
    again: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let settled_at = (state != DeliveryState::Waiting).then_some(now);
    let sql = "UPDATE deliveries SET leased = FALSE, state = $3, last_error = $4, due_at = $5, settled_at = $6 \
               WHERE id = $1 AND attempts = $2 AND state = 'waiting'";
    let attempts = i64::from(tried.attempts);
    execute!(tx, sql, tried.id, attempts, state.as_str(), error, again, settled_at).map(drop)
}

/// The newest first; of one state, or of all.
pub async fn list(tx: &mut Tx, state: Option<DeliveryState>, limit: i64) -> sqlx::Result<Vec<Delivery>> {
    let sql =
        format!("SELECT {COLUMNS} FROM deliveries WHERE ($1 = '' OR state = $1) ORDER BY id DESC LIMIT $2");
    let state = state.map(DeliveryState::as_str).unwrap_or_default();
    let rows = fetch_all!(tx, Row, sqlx::AssertSqlSafe(sql.as_str()), state, limit)?;
    rows.into_iter().map(Delivery::try_from).collect()
}

/// One that was given up is new again, but for its id. Whether there is such a one.
pub async fn revive(tx: &mut Tx, message_id: &str, now: DateTime<Utc>) -> sqlx::Result<bool> {
    let sql = "UPDATE deliveries SET state = 'waiting', attempts = 0, due_at = $2, settled_at = NULL \
               WHERE message_id = $1 AND state = 'dead'";
    Ok(execute!(tx, sql, message_id, now)? > 0)
}

pub async fn forget(tx: &mut Tx, before: DateTime<Utc>) -> sqlx::Result<()> {
    execute!(tx, "DELETE FROM deliveries WHERE settled_at < $1", before).map(drop)
}

const COLUMNS: &str =
    "id, message_id, url, kind, subject, body, state, attempts, due_at, created_at, settled_at, last_error";

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    message_id: String,
    url: String,
    kind: String,
    subject: String,
    body: String,
    state: String,
    attempts: i64,
    due_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    settled_at: Option<DateTime<Utc>>,
    last_error: Option<String>,
}

impl TryFrom<Row> for Delivery {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        Ok(Self {
            state: row.state.parse().map_err(|why| bad_row("deliveries", "state", row.id, why))?,
            attempts: u32::try_from(row.attempts).unwrap_or(u32::MAX),
            id: row.id,
            message_id: row.message_id,
            url: row.url,
            kind: row.kind,
            subject: row.subject,
            body: row.body,
            due_at: row.due_at,
            created_at: row.created_at,
            settled_at: row.settled_at,
            last_error: row.last_error,
        })
    }
}
