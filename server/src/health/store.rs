//! The tables `hosts`, `signals` and `signal_changes`.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use salvor_app::health::port::{Change, SignalKey};
use salvor_domain::health::standing::{Muted, Standing};
use salvor_domain::health::{Facts, Level, Node, Probe};
use sqlx::AssertSqlSafe;
use sqlx::types::Json;

use crate::database::{Tx, bad_row, build, execute, fetch_all, fetch_optional, scalar};

/// Rows a statement: their values stay well under SQLite's 32,766.
const CHUNK: usize = 1_000;

#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    pub name: String,
    pub version: String,
    /// The token that its agent reports with; absent where a server reads its own host.
    pub token: Option<String>,
    pub reported_at: DateTime<Utc>,
    pub silent_at: Option<DateTime<Utc>>,
    pub nodes: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// 0 until it is stored.
    pub id: i64,
    pub host: String,
    pub probe: Probe,
    pub subject: String,
    pub first_at: DateTime<Utc>,
    pub read_at: DateTime<Utc>,
    /// Since when no report has it any more.
    pub gone_at: Option<DateTime<Utc>>,
    pub reason: String,
    pub facts: Facts,
    pub stops_writes: bool,
    pub standing: Standing,
    /// The volumes that lie on its subject themselves.
    pub volumes: Vec<String>,
    /// Those with a copy on it.
    pub copies_of: Vec<String>,
    pub muted: Option<Muted>,
}

/// A change of a signal's level that is to be written down.
#[derive(Debug, Clone, PartialEq)]
pub struct NewChange {
    pub signal: i64,
    pub at: DateTime<Utc>,
    pub from: Option<Level>,
    pub to: Level,
    pub reason: String,
}

const HOST: &str = "SELECT name, version, token, reported_at, silent_at, nodes FROM hosts";
const SIGNAL: &str = "SELECT id, host, probe, subject, first_at, read_at, gone_at, reason, facts, stops_writes, \
                      standing, volumes, copies_of, muted FROM signals";

/// The host's row, made if it is not there, held until the end of the transaction: whoever changes anything of a host does so
/// after this.
pub async fn hold_host(tx: &mut Tx, name: &str, now: DateTime<Utc>) -> sqlx::Result<Host> {
    let sql = "INSERT INTO hosts (name, version, reported_at, nodes) VALUES ($1, '', $2, $3) ON CONFLICT (name) DO NOTHING";
    execute!(&mut *tx, sql, name, now, Json(Vec::<Node>::new()))?;
    let sql = AssertSqlSafe(format!("{HOST} WHERE name = $1{}", tx.for_update()));
    let row = fetch_optional!(tx, RawHost, sql, name)?.ok_or(sqlx::Error::RowNotFound)?;
    Ok(row.into())
}

/// A report came: what it says of the host itself. Its tree is written only when it is given.
pub async fn set_host(tx: &mut Tx, host: &Host, nodes: Option<&[Node]>) -> sqlx::Result<()> {
    let sql = "UPDATE hosts SET version = $2, token = $3, reported_at = $4, silent_at = $5 WHERE name = $1";
    execute!(
        &mut *tx,
        sql,
        &host.name,
        &host.version,
        host.token.as_deref(),
        host.reported_at,
        host.silent_at
    )?;
    if let Some(nodes) = nodes {
        execute!(tx, "UPDATE hosts SET nodes = $2 WHERE name = $1", &host.name, Json(nodes))?;
    }
    Ok(())
}

/// Whether this call was the one that recorded it.
pub async fn set_silent(
    tx: &mut Tx,
    name: &str,
    now: DateTime<Utc>,
    reported_before: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let sql = "UPDATE hosts SET silent_at = $2 WHERE name = $1 AND silent_at IS NULL AND reported_at < $3";
    Ok(execute!(tx, sql, name, now, reported_before)? > 0)
}

/// By name.
pub async fn hosts(tx: &mut Tx) -> sqlx::Result<Vec<Host>> {
    let sql = AssertSqlSafe(format!("{HOST} ORDER BY name"));
    Ok(fetch_all!(tx, RawHost, sql)?.into_iter().map(Host::from).collect())
}

pub async fn delete_host(tx: &mut Tx, name: &str) -> sqlx::Result<()> {
    execute!(tx, "DELETE FROM hosts WHERE name = $1", name).map(drop)
}

pub async fn signals(tx: &mut Tx) -> sqlx::Result<Vec<Signal>> {
    let sql = AssertSqlSafe(format!("{SIGNAL} ORDER BY host, subject, probe"));
    fetch_all!(tx, RawSignal, sql)?.into_iter().map(Signal::try_from).collect()
}

/// What the probes of a host read, held until the end of the transaction. Alerts about it are not among them.
pub async fn signals_of(tx: &mut Tx, host: &str) -> sqlx::Result<Vec<Signal>> {
    let sql = AssertSqlSafe(format!("{SIGNAL} WHERE host = $1 AND probe <> 'alert'{}", tx.for_update()));
    fetch_all!(tx, RawSignal, sql, host)?.into_iter().map(Signal::try_from).collect()
}

/// Of all hosts, held until the end of the transaction.
pub async fn alerts(tx: &mut Tx) -> sqlx::Result<Vec<Signal>> {
    let sql = AssertSqlSafe(format!("{SIGNAL} WHERE probe = 'alert'{}", tx.for_update()));
    fetch_all!(tx, RawSignal, sql)?.into_iter().map(Signal::try_from).collect()
}

pub async fn signal(tx: &mut Tx, key: &SignalKey) -> sqlx::Result<Option<Signal>> {
    one(tx, key, "").await
}

/// To be changed: held until the end of the transaction.
pub async fn signal_to_change(tx: &mut Tx, key: &SignalKey) -> sqlx::Result<Option<Signal>> {
    let held = tx.for_update();
    one(tx, key, held).await
}

async fn one(tx: &mut Tx, key: &SignalKey, held: &str) -> sqlx::Result<Option<Signal>> {
    let sql = AssertSqlSafe(format!("{SIGNAL} WHERE host = $1 AND probe = $2 AND subject = $3{held}"));
    fetch_optional!(tx, RawSignal, sql, &key.host, key.probe.as_str(), &key.subject)?
        .map(Signal::try_from)
        .transpose()
}

/// Writes signals as they are now, and gives those that are new their ids. The caller holds their hosts.
pub async fn put(tx: &mut Tx, signals: &mut [Signal]) -> sqlx::Result<()> {
    for signals in signals.chunks_mut(CHUNK) {
        let stored = build!(&mut *tx, |query, connection| {
            query.push(
                "INSERT INTO signals (host, probe, subject, first_at, read_at, gone_at, reason, facts, stops_writes, \
                 standing, volumes, copies_of, muted) ",
            );
            query.push_values(signals.iter(), |mut row, signal| {
                row.push_bind(&signal.host).push_bind(signal.probe.as_str()).push_bind(&signal.subject);
                row.push_bind(signal.first_at).push_bind(signal.read_at).push_bind(signal.gone_at);
                row.push_bind(&signal.reason).push_bind(Json(&signal.facts)).push_bind(signal.stops_writes);
                row.push_bind(Json(&signal.standing)).push_bind(Json(&signal.volumes));
                row.push_bind(Json(&signal.copies_of)).push_bind(signal.muted.as_ref().map(Json));
            });
            query.push(
                " ON CONFLICT (host, probe, subject) DO UPDATE SET read_at = excluded.read_at, \
                 gone_at = excluded.gone_at, reason = excluded.reason, facts = excluded.facts, \
                 stops_writes = excluded.stops_writes, standing = excluded.standing, volumes = excluded.volumes, \
                 copies_of = excluded.copies_of, muted = excluded.muted RETURNING id, probe, subject, host",
            );
            query.build_query_as::<(i64, String, String, String)>().fetch_all(connection).await
        })?;
        let ids: HashMap<_, _> =
            stored.into_iter().map(|(id, probe, subject, host)| ((probe, subject, host), id)).collect();
        for signal in signals {
            let key = (signal.probe.as_str().to_owned(), signal.subject.clone(), signal.host.clone());
            signal.id = *ids.get(&key).ok_or(sqlx::Error::RowNotFound)?;
        }
    }
    Ok(())
}

/// With their changes and figures.
pub async fn delete_signals(tx: &mut Tx, ids: &[i64]) -> sqlx::Result<()> {
    for ids in ids.chunks(CHUNK) {
        build!(&mut *tx, |query, connection| {
            query.push("DELETE FROM signals WHERE id IN (");
            let mut list = query.separated(", ");
            for id in ids {
                list.push_bind(*id);
            }
            query.push(")").build().execute(connection).await.map(drop)
        })?;
    }
    Ok(())
}

pub async fn add_changes(tx: &mut Tx, changes: &[NewChange]) -> sqlx::Result<()> {
    for changes in changes.chunks(CHUNK) {
        build!(&mut *tx, |query, connection| {
            query.push("INSERT INTO signal_changes (signal_id, at, from_level, to_level, reason) ");
            query.push_values(changes, |mut row, change| {
                row.push_bind(change.signal).push_bind(change.at).push_bind(change.from.map(Level::as_str));
                row.push_bind(change.to.as_str()).push_bind(&change.reason);
            });
            query.build().execute(connection).await.map(drop)
        })?;
    }
    Ok(())
}

/// The newest changes of these signals, newest first, `limit` at most.
pub async fn changes(tx: &mut Tx, signals: &[i64], limit: i64) -> sqlx::Result<Vec<Change>> {
    // A page shows no more of them than this.
    let signals = &signals[..signals.len().min(CHUNK)];
    if signals.is_empty() {
        return Ok(Vec::new());
    }
    let rows = build!(tx, |query, connection| {
        query.push(
            "SELECT c.id, c.at, s.host, s.probe, s.subject, c.from_level, c.to_level, c.reason \
             FROM signal_changes c JOIN signals s ON s.id = c.signal_id WHERE c.signal_id IN (",
        );
        let mut list = query.separated(", ");
        for id in signals {
            list.push_bind(*id);
        }
        query.push(") ORDER BY c.id DESC LIMIT ").push_bind(limit);
        query.build_query_as::<RawChange>().fetch_all(connection).await
    })?;
    rows.into_iter().map(Change::try_from).collect()
}

/// The id of the newest change of any signal; 0 when there is none.
pub async fn newest_change(tx: &mut Tx) -> sqlx::Result<i64> {
    scalar!(tx, i64, "SELECT coalesce(max(id), 0) FROM signal_changes")
}

/// Keeps the newest `kept` changes of each signal, and none from before `before`.
pub async fn forget_changes(tx: &mut Tx, kept: i64, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let sql = "DELETE FROM signal_changes WHERE at < $2 OR id IN (SELECT id FROM \
               (SELECT id, row_number() OVER (PARTITION BY signal_id ORDER BY id DESC) AS place FROM signal_changes) ranked \
               WHERE place > $1)";
    execute!(tx, sql, kept, before)
}

#[derive(sqlx::FromRow)]
struct RawHost {
    name: String,
    version: String,
    token: Option<String>,
    reported_at: DateTime<Utc>,
    silent_at: Option<DateTime<Utc>>,
    nodes: Json<Vec<Node>>,
}

impl From<RawHost> for Host {
    fn from(row: RawHost) -> Self {
        Self {
            name: row.name,
            version: row.version,
            token: row.token,
            reported_at: row.reported_at,
            silent_at: row.silent_at,
            nodes: row.nodes.0,
        }
    }
}

#[derive(sqlx::FromRow)]
struct RawSignal {
    id: i64,
    host: String,
    probe: String,
    subject: String,
    first_at: DateTime<Utc>,
    read_at: DateTime<Utc>,
    gone_at: Option<DateTime<Utc>>,
    reason: String,
    facts: Json<Facts>,
    stops_writes: bool,
    standing: Json<Standing>,
    volumes: Json<Vec<String>>,
    copies_of: Json<Vec<String>>,
    muted: Option<Json<Muted>>,
}

impl TryFrom<RawSignal> for Signal {
    type Error = sqlx::Error;

    fn try_from(row: RawSignal) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id,
            host: row.host,
            probe: row.probe.parse().map_err(|why| bad_row("signals", "probe", row.id, why))?,
            subject: row.subject,
            first_at: row.first_at,
            read_at: row.read_at,
            gone_at: row.gone_at,
            reason: row.reason,
            facts: row.facts.0,
            stops_writes: row.stops_writes,
            standing: row.standing.0,
            volumes: row.volumes.0,
            copies_of: row.copies_of.0,
            muted: row.muted.map(|muted| muted.0),
        })
    }
}

#[derive(sqlx::FromRow)]
struct RawChange {
    id: i64,
    at: DateTime<Utc>,
    host: String,
    probe: String,
    subject: String,
    from_level: Option<String>,
    to_level: String,
    reason: String,
}

impl TryFrom<RawChange> for Change {
    type Error = sqlx::Error;

    fn try_from(row: RawChange) -> sqlx::Result<Self> {
        let level =
            |column, word: &str| word.parse().map_err(|why| bad_row("signal_changes", column, row.id, why));
        Ok(Self {
            from: row.from_level.as_deref().map(|word| level("from_level", word)).transpose()?,
            to: level("to_level", &row.to_level)?,
            probe: row.probe.parse().map_err(|why| bad_row("signals", "probe", &row.subject, why))?,
            at: row.at,
            host: row.host,
            subject: row.subject,
            reason: row.reason,
        })
    }
}
