//! The SQL of tickets, their lines and their messages.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use salvor_app::tickets::port::{MessageView, TicketsFilter};
use salvor_domain::ids::JobId;
use salvor_domain::path::FilePath;
use salvor_domain::ticket::{LineFacts, LineState, Standing, TicketState, Verdict};

use crate::database::{Tx, bad_row, execute, fetch_all, fetch_optional, scalar};

/// Tickets in one page of the queue.
pub const PAGE: i64 = 50;

/// A ticket without its lines and messages.
#[derive(Debug, Clone)]
pub struct Ticket {
    pub number: i64,
    pub email: String,
    pub site: Option<String>,
    pub note: Option<String>,
    pub standing: Standing,
    /// An operator answered since the customer's last word.
    pub replied: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Where a line's file lies: the volume's id and the path in it.
pub type Place = (i64, FilePath);

#[derive(Debug, Clone)]
pub struct Line {
    pub line: i64,
    pub input: String,
    pub place: Option<Place>,
    pub verdict: Option<Verdict>,
    pub state: LineState,
    pub detail: String,
    /// The restore that brings it back.
    pub job: Option<JobId>,
    pub updated_at: DateTime<Utc>,
}

impl Line {
    pub fn facts(&self) -> LineFacts {
        LineFacts { state: self.state, verdict: self.verdict }
    }
}

/// How many tickets there are, by the word of their state.
pub async fn counts(tx: &mut Tx) -> sqlx::Result<Vec<(String, i64)>> {
    fetch_all!(tx, (String, i64), "SELECT state, count(*) FROM tickets GROUP BY state ORDER BY state")
}

/// Keeps a new ticket and answers its number.
pub async fn insert(tx: &mut Tx, ticket: &Ticket, secret_hash: &[u8]) -> sqlx::Result<i64> {
    scalar!(
        tx,
        i64,
        "INSERT INTO tickets (secret_hash, email, site, note, state, state_since, replied, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING number",
        secret_hash,
        &ticket.email,
        &ticket.site,
        &ticket.note,
        ticket.standing.state.as_str(),
        ticket.standing.since,
        ticket.replied,
        ticket.created_at,
        ticket.updated_at,
    )
}

pub async fn insert_line(tx: &mut Tx, number: i64, line: &Line) -> sqlx::Result<()> {
    execute!(
        tx,
        "INSERT INTO ticket_lines (ticket, line, input, state, detail, updated_at) VALUES ($1, $2, $3, $4, $5, $6)",
        number,
        line.line,
        &line.input,
        line.state.as_str(),
        &line.detail,
        line.updated_at,
    )
    .map(drop)
}

pub async fn save_line(tx: &mut Tx, number: i64, line: &Line) -> sqlx::Result<()> {
    let (volume, path) = match &line.place {
        Some((volume, path)) => (Some(*volume), Some(path.as_bytes())),
        None => (None, None),
    };
    execute!(
        tx,
        "UPDATE ticket_lines SET volume_id = $1, path = $2, verdict = $3, state = $4, detail = $5, job_id = $6, \
         updated_at = $7 WHERE ticket = $8 AND line = $9",
        volume,
        path,
        line.verdict.map(Verdict::as_str),
        line.state.as_str(),
        &line.detail,
        line.job.map(|job| job.to_string()),
        line.updated_at,
        number,
        line.line,
    )
    .map(drop)
}

pub async fn save(tx: &mut Tx, ticket: &Ticket) -> sqlx::Result<()> {
    execute!(
        tx,
        "UPDATE tickets SET state = $1, state_since = $2, replied = $3, updated_at = $4 WHERE number = $5",
        ticket.standing.state.as_str(),
        ticket.standing.since,
        ticket.replied,
        ticket.updated_at,
        ticket.number,
    )
    .map(drop)
}

pub async fn insert_message(tx: &mut Tx, number: i64, message: &MessageView) -> sqlx::Result<()> {
    execute!(
        tx,
        "INSERT INTO ticket_messages (ticket, at, author, public, body) VALUES ($1, $2, $3, $4, $5)",
        number,
        message.at,
        &message.author,
        message.public,
        &message.body,
    )
    .map(drop)
}

macro_rules! ticket_columns {
    () => {
        "SELECT number, email, site, note, state, state_since, replied, created_at, updated_at FROM tickets "
    };
}

pub async fn ticket(tx: &mut Tx, number: i64) -> sqlx::Result<Option<Ticket>> {
    fetch_optional!(tx, TicketRow, concat!(ticket_columns!(), "WHERE number = $1"), number)?
        .map(Ticket::try_from)
        .transpose()
}

/// A ticket to be changed: two who change it follow one another.
pub async fn lock(tx: &mut Tx, number: i64) -> sqlx::Result<Option<Ticket>> {
    let query = match tx {
        Tx::Sqlite(_) => concat!(ticket_columns!(), "WHERE number = $1"),
        Tx::Postgres(_) => concat!(ticket_columns!(), "WHERE number = $1 FOR UPDATE"),
    };
    fetch_optional!(tx, TicketRow, query, number)?.map(Ticket::try_from).transpose()
}

pub async fn number_by_secret(tx: &mut Tx, secret_hash: &[u8]) -> sqlx::Result<Option<i64>> {
    Ok(fetch_optional!(tx, (i64,), "SELECT number FROM tickets WHERE secret_hash = $1", secret_hash)?
        .map(|(number,)| number))
}

pub async fn lines(tx: &mut Tx, number: i64) -> sqlx::Result<Vec<Line>> {
    let rows = fetch_all!(
        tx,
        LineRow,
        "SELECT ticket, line, input, volume_id, path, verdict, state, detail, job_id, updated_at FROM ticket_lines \
         WHERE ticket = $1 ORDER BY line",
        number
    )?;
    rows.into_iter().map(Line::try_from).collect()
}

pub async fn messages(tx: &mut Tx, number: i64) -> sqlx::Result<Vec<MessageView>> {
    let rows = fetch_all!(
        tx,
        (DateTime<Utc>, String, bool, String),
        "SELECT at, author, public, body FROM ticket_messages WHERE ticket = $1 ORDER BY id",
        number
    )?;
    let view = |(at, author, public, body)| MessageView { at, author, public, body };
    Ok(rows.into_iter().map(view).collect())
}

/// Whether the customer wrote after the report and no operator has answered that in public.
pub async fn awaits_reply(tx: &mut Tx, ticket: &Ticket) -> sqlx::Result<bool> {
    let written = scalar!(
        tx,
        i64,
        "SELECT count(*) FROM ticket_messages m WHERE m.ticket = $1 AND m.author = 'customer' AND m.at > $2 \
         AND NOT EXISTS (SELECT 1 FROM ticket_messages r WHERE r.ticket = m.ticket AND r.id > m.id AND r.public \
         AND r.author NOT IN ('customer', 'salvor'))",
        ticket.number,
        ticket.created_at
    )?;
    Ok(written > 0)
}

/// Tickets after this one that have a line in this state, oldest first.
pub async fn with_lines(tx: &mut Tx, state: LineState, after: i64, limit: i64) -> sqlx::Result<Vec<i64>> {
    let rows = fetch_all!(
        tx,
        (i64,),
        "SELECT DISTINCT ticket FROM ticket_lines WHERE state = $1 AND ticket > $2 ORDER BY ticket LIMIT $3",
        state.as_str(),
        after,
        limit
    )?;
    Ok(rows.into_iter().map(|(number,)| number).collect())
}

/// Numbers of one page of the queue, newest first: `$1` state or '' for all that are not closed, `$2` a pattern or '',
/// `$3` numbers below, `$4` how many.
macro_rules! page {
    () => {
        "(SELECT t.number FROM tickets t WHERE (t.state = $1 OR ($1 = '' AND t.state <> 'closed')) AND t.number < $3 \
          AND ($2 = '' OR lower(t.email) LIKE $2 ESCAPE '!' OR lower(coalesce(t.site, '')) LIKE $2 ESCAPE '!' \
          OR EXISTS (SELECT 1 FROM ticket_lines l WHERE l.ticket = t.number AND lower(l.input) LIKE $2 ESCAPE '!')) \
          ORDER BY t.number DESC LIMIT $4)"
    };
}

/// One page of the queue with its lines.
pub async fn page(tx: &mut Tx, filter: &TicketsFilter) -> sqlx::Result<Vec<(Ticket, Vec<Line>)>> {
    let state = filter.state.map(TicketState::as_str).unwrap_or_default();
    let pattern = filter.search.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(containing);
    let pattern = pattern.unwrap_or_default();
    let before = filter.before.unwrap_or(i64::MAX);
    let tickets = fetch_all!(
        tx,
        TicketRow,
        concat!(ticket_columns!(), "WHERE number IN ", page!(), " ORDER BY number DESC"),
        state,
        &pattern,
        before,
        PAGE
    )?;
    let lines = fetch_all!(
        tx,
        LineRow,
        concat!(
            "SELECT ticket, line, input, volume_id, path, verdict, state, detail, job_id, updated_at \
             FROM ticket_lines WHERE ticket IN ",
            page!(),
            " ORDER BY ticket, line"
        ),
        state,
        &pattern,
        before,
        PAGE
    )?;
    let mut lines_of: HashMap<i64, Vec<Line>> = HashMap::new();
    for row in lines {
        lines_of.entry(row.ticket).or_default().push(row.try_into()?);
    }
    let with_lines = |row| {
        let ticket = Ticket::try_from(row)?;
        let lines = lines_of.remove(&ticket.number).unwrap_or_default();
        Ok((ticket, lines))
    };
    tickets.into_iter().map(with_lines).collect()
}

/// A LIKE pattern for texts that contain `text`, whatever their case; `!` escapes.
fn containing(text: &str) -> String {
    let literal = text.to_lowercase().replace('!', "!!").replace('%', "!%").replace('_', "!_");
    format!("%{literal}%")
}

#[derive(sqlx::FromRow)]
struct TicketRow {
    number: i64,
    email: String,
    site: Option<String>,
    note: Option<String>,
    state: String,
    state_since: DateTime<Utc>,
    replied: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<TicketRow> for Ticket {
    type Error = sqlx::Error;

    fn try_from(row: TicketRow) -> sqlx::Result<Self> {
        let state = row.state.parse().map_err(|why| bad_row("tickets", "state", row.number, why))?;
        Ok(Self {
            number: row.number,
            email: row.email,
            site: row.site,
            note: row.note,
            standing: Standing { state, since: row.state_since },
            replied: row.replied,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

#[derive(sqlx::FromRow)]
struct LineRow {
    ticket: i64,
    line: i64,
    input: String,
    volume_id: Option<i64>,
    path: Option<Vec<u8>>,
    verdict: Option<String>,
    state: String,
    detail: String,
    job_id: Option<String>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<LineRow> for Line {
    type Error = sqlx::Error;

    fn try_from(row: LineRow) -> sqlx::Result<Self> {
        let id = format!("{}/{}", row.ticket, row.line);
        let bad = |column: &str, why: String| bad_row("ticket_lines", column, &id, why);
        let place = match (row.volume_id, row.path) {
            (Some(volume), Some(path)) => {
                Some((volume, FilePath::new(path).map_err(|why| bad("path", why.to_string()))?))
            }
            _ => None,
        };
        let verdict = row.verdict.map(|word| word.parse()).transpose();
        let job = row.job_id.map(|id| id.parse()).transpose();
        Ok(Self {
            line: row.line,
            input: row.input,
            place,
            verdict: verdict.map_err(|why: salvor_domain::UnknownWord| bad("verdict", why.to_string()))?,
            state: row
                .state
                .parse()
                .map_err(|why: salvor_domain::UnknownWord| bad("state", why.to_string()))?,
            detail: row.detail,
            job: job.map_err(|why: salvor_domain::ids::InvalidId| bad("job_id", why.to_string()))?,
            updated_at: row.updated_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_taken_literally() {
        assert_eq!(containing("50%_Off!"), "%50!%!_off!!%");
    }
}
