//! Events: appended in the transaction that caused them, read as audit log, job log and live feed.

use salvor_domain::account::Actor;
use salvor_domain::event::{Event, EventKind};

use chrono::{DateTime, Utc};

use crate::database::{Tx, bad_row, execute, fetch_all, scalar};

/// Appends one event. `summary` is one sentence for people.
pub async fn record(
    tx: &mut Tx,
    now: DateTime<Utc>,
    actor: &Actor,
    kind: EventKind,
    subject: impl std::fmt::Display,
    summary: &str,
) -> sqlx::Result<()> {
    execute!(
        tx,
        "INSERT INTO events (at, actor, kind, subject, summary) VALUES ($1, $2, $3, $4, $5)",
        now,
        &actor.name,
        kind.as_str(),
        subject.to_string(),
        summary,
    )
    .map(drop)
}

/// The events after `id`, oldest first, `limit` at most.
pub async fn after(tx: &mut Tx, id: i64, limit: i64) -> sqlx::Result<Vec<Event>> {
    let rows = fetch_all!(
        tx,
        Row,
        "SELECT id, at, actor, kind, subject, summary FROM events WHERE id > $1 ORDER BY id LIMIT $2",
        id,
        limit
    )?;
    rows.into_iter().map(Event::try_from).collect()
}

/// The newest events about `subject`, newest first.
pub async fn about(tx: &mut Tx, subject: &str, limit: i64) -> sqlx::Result<Vec<Event>> {
    let rows = fetch_all!(
        tx,
        Row,
        "SELECT id, at, actor, kind, subject, summary FROM events WHERE subject = $1 ORDER BY id DESC LIMIT $2",
        subject,
        limit
    )?;
    rows.into_iter().map(Event::try_from).collect()
}

/// Whether anything of this kind ever happened to `subject`.
pub async fn has(tx: &mut Tx, subject: impl std::fmt::Display, kind: EventKind) -> sqlx::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM events WHERE subject = $1 AND kind = $2)";
    scalar!(tx, bool, sql, subject.to_string(), kind.as_str())
}

/// The id of the newest event; 0 when there is none.
pub async fn newest_id(tx: &mut Tx) -> sqlx::Result<i64> {
    scalar!(tx, i64, "SELECT coalesce(max(id), 0) FROM events")
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    at: DateTime<Utc>,
    actor: String,
    kind: String,
    subject: String,
    summary: String,
}

impl TryFrom<Row> for Event {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        let kind = row.kind.parse().map_err(|why| bad_row("events", "kind", row.id, why))?;
        Ok(Self {
            id: row.id,
            at: row.at,
            actor: row.actor,
            kind,
            subject: row.subject,
            summary: row.summary,
        })
    }
}
