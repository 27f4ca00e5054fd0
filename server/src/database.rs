//! One schema, two engines. What truly differs between SQLite and PostgreSQL is in this file.
//!
//! [`Db`] and [`Tx`] are enums over the two; the macros [`execute!`], [`fetch_all!`], [`fetch_optional!`] and
//! [`scalar!`] run one query on either, written once with `$1` placeholders and native chrono, bool and JSON types
//! ([`on!`] is for what they do not cover). All SQL of a slice is in that slice's `store.rs`, as
//! free functions on a [`Tx`]; the service begins and commits.
//!
//! Invariant: a transaction that writes begins with [`Db::begin`]. On SQLite that is `BEGIN IMMEDIATE`: a reader that
//! turns writer half-way would fail with "database is locked".

mod paths;

use std::ops::Deref;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, PgConnection, Postgres, Sqlite, Transaction};

pub use paths::Paths;

/// How long a statement waits for SQLite's one writer, or for a connection of the pool.
const PATIENCE: Duration = Duration::from_secs(20);
const CONNECTIONS: u32 = 8;
/// Rows that SQLite reads ahead of whoever takes them.
const ROWS: usize = 1_000;
/// How long a server that may be away is waited for.
const KNOCK: Duration = Duration::from_secs(3);

#[derive(Debug, Clone)]
pub enum Db {
    Sqlite(SqlitePool),
    Postgres(Server),
}

/// A PostgreSQL server, which may be away. While it is known to be, transactions are refused at once.
#[derive(Debug, Clone)]
pub struct Server {
    pool: PgPool,
    away: Arc<RwLock<Option<String>>>,
}

impl Deref for Server {
    type Target = PgPool;

    fn deref(&self) -> &PgPool {
        &self.pool
    }
}

pub enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// Runs one body on the connection of whichever engine a [`Tx`] is on:
/// `on!(tx, |c| sqlx::query("…").bind(x).execute(c).await)`.
macro_rules! on {
    ($tx:expr, |$connection:ident| $body:expr) => {
        match $tx {
            $crate::database::Tx::Sqlite(tx) => {
                let $connection = &mut **tx;
                $body
            }
            $crate::database::Tx::Postgres(tx) => {
                let $connection = &mut **tx;
                $body
            }
        }
    };
}
pub(crate) use on;

/// Runs a statement: `execute!(tx, "…", bind, bind)` → rows affected.
macro_rules! execute {
    ($tx:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::database::on!($tx, |c| sqlx::query($sql)$(.bind($bind))*.execute(c).await.map(|done| done.rows_affected()))
    };
}
pub(crate) use execute;

/// `fetch_all!(tx, Row, "…", bind)` → `Vec<Row>`, where `Row` derives `sqlx::FromRow` or is a tuple.
macro_rules! fetch_all {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::database::on!($tx, |c| sqlx::query_as::<_, $row>($sql)$(.bind($bind))*.fetch_all(c).await)
    };
}
pub(crate) use fetch_all;

/// [`on!`] with an empty `QueryBuilder` of that engine: for statements of many rows, whose text depends on how many. SQLite
/// gets `?` from it, which it binds twenty times faster than `$n`.
macro_rules! build {
    ($tx:expr, |$query:ident, $connection:ident| $body:expr) => {
        match $tx {
            $crate::database::Tx::Sqlite(tx) => {
                let mut $query = sqlx::QueryBuilder::<sqlx::Sqlite>::new("");
                let $connection = &mut **tx;
                $body
            }
            $crate::database::Tx::Postgres(tx) => {
                let mut $query = sqlx::QueryBuilder::<sqlx::Postgres>::new("");
                let $connection = &mut **tx;
                $body
            }
        }
    };
}
pub(crate) use build;

macro_rules! fetch_optional {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::database::on!($tx, |c| sqlx::query_as::<_, $row>($sql)$(.bind($bind))*.fetch_optional(c).await)
    };
}
pub(crate) use fetch_optional;

/// The first column of the only row.
macro_rules! scalar {
    ($tx:expr, $type:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::database::on!($tx, |c| sqlx::query_scalar::<_, $type>($sql)$(.bind($bind))*.fetch_one(c).await)
    };
}
pub(crate) use scalar;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("server.database_url \"{url}\": {source}")]
    Connect { url: String, source: sqlx::Error },
    #[error("the database {file}: {source}; is another program holding it, or is the folder not writable?")]
    File { file: String, source: sqlx::Error },
    #[error("the database could not be brought to this version's schema: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl Db {
    /// Opens `file` (made if absent) in WAL mode and brings its schema up to date.
    pub async fn open_sqlite(file: &Path) -> Result<Self, OpenError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit that was acknowledged survives a power cut (promise I1).
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(PATIENCE)
            // Whoever reads rows is woken so much less often.
            .row_buffer_size(ROWS);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .connect_with(options)
            .await
            .map_err(|source| OpenError::File { file: file.display().to_string(), source })?;
        sqlx::migrate!("../migrations/sqlite").run(&pool).await?;
        Ok(Self::Sqlite(pool))
    }

    /// Connects to `postgres://…` and brings its schema up to date.
    pub async fn open_postgres(url: &str) -> Result<Self, OpenError> {
        // The password stays out of what may be logged.
        let failed = |source| OpenError::Connect { url: without_password(url), source };
        let options = PgConnectOptions::from_str(url).map_err(failed)?;
        let pool = pool_options().connect_with(options).await.map_err(failed)?;
        sqlx::migrate!("../migrations/postgres").run(&pool).await?;
        Ok(Self::Postgres(Server { pool, away: Arc::default() }))
    }

    /// `postgres://…`, which may be away now: every transaction is refused until [`Db::reach`] has found it.
    pub fn postgres_later(url: &str) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Connect { url: without_password(url), source };
        let pool = pool_options().connect_lazy_with(PgConnectOptions::from_str(url).map_err(failed)?);
        let away = Arc::new(RwLock::new(Some("it has not answered yet".to_owned())));
        Ok(Self::Postgres(Server { pool, away }))
    }

    /// Connects anew, brings the schema up to date, and lets transactions in; else keeps them out and says why.
    pub async fn reach(&self) -> Result<(), OpenError> {
        let Self::Postgres(server) = self else { return Ok(()) };
        let reached = server.reach().await;
        server.set_away(reached.as_ref().err().map(ToString::to_string));
        reached
    }

    /// Waits until the server does not answer any more; never ends while it does, or with SQLite.
    pub async fn lost(&self) -> String {
        match self {
            Self::Sqlite(_) => std::future::pending().await,
            Self::Postgres(server) => {
                let why = server.lost().await;
                server.set_away(Some(why.clone()));
                why
            }
        }
    }

    /// Whether the server is known to be away.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(server) => server.away().is_some(),
        }
    }

    /// Begins a transaction that may write.
    pub async fn begin(&self) -> sqlx::Result<Tx> {
        Ok(match self {
            Self::Sqlite(pool) => Tx::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(server) => Tx::Postgres(server.present()?.begin().await?),
        })
    }

    /// Begins a transaction that only reads; dropping it ends it.
    pub async fn read(&self) -> sqlx::Result<Tx> {
        Ok(match self {
            Self::Sqlite(pool) => Tx::Sqlite(pool.begin().await?),
            Self::Postgres(server) => Tx::Postgres(
                server.present()?.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?,
            ),
        })
    }

    pub async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

fn pool_options() -> PgPoolOptions {
    PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE)
}

impl Server {
    fn away(&self) -> Option<String> {
        self.away.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_away(&self, why: Option<String>) {
        *self.away.write().unwrap_or_else(PoisonError::into_inner) = why;
    }

    fn present(&self) -> sqlx::Result<&PgPool> {
        match self.away() {
            None => Ok(&self.pool),
            Some(why) => Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::NotConnected, why))),
        }
    }

    async fn knock(&self) -> sqlx::Result<PgConnection> {
        let options = self.pool.connect_options();
        let knocking = PgConnection::connect_with(&options);
        tokio::time::timeout(KNOCK, knocking).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    async fn reach(&self) -> Result<(), OpenError> {
        let url = format!("postgres://{}", self.pool.connect_options().get_host());
        let mut connection = self.knock().await.map_err(|source| OpenError::Connect { url, source })?;
        sqlx::migrate!("../migrations/postgres").run(&mut connection).await?;
        // What is left to do with this connection is to end it.
        let _ = connection.close().await;
        Ok(())
    }

    /// One connection of its own, asked again and again: the pool's may all be at work.
    async fn lost(&self) -> String {
        const EVERY: Duration = Duration::from_secs(1);
        loop {
            let mut connection = match self.knock().await {
                Ok(connection) => connection,
                Err(error) if is_away(&error) => return error.to_string(),
                // It is there, and has no connection to spare for this.
                Err(_) => {
                    tokio::time::sleep(EVERY).await;
                    continue;
                }
            };
            loop {
                tokio::time::sleep(EVERY).await;
                match tokio::time::timeout(KNOCK, connection.ping()).await {
                    Ok(Ok(())) => {}
                    // Whether only this connection broke shows the next knock.
                    Ok(Err(_)) | Err(_) => break,
                }
            }
        }
    }
}

/// Whether a statement failed because the server is not there, rather than because of what it says.
pub fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        // Connection failures, and a server that is shutting down or starting up.
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("08") || code.starts_with("57P0"))
        }
        _ => false,
    }
}

impl OpenError {
    /// Whether waiting may help: the server is not there. A wrong password or schema stays wrong.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Connect { source, .. } => is_away(source),
            Self::Migrate(sqlx::migrate::MigrateError::Execute(source)) => is_away(source),
            Self::File { .. } | Self::Migrate(_) => false,
        }
    }
}

impl Tx {
    pub async fn commit(self) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
        }
    }

    /// For the end of a `SELECT` that picks work: on PostgreSQL rows that another worker is picking are passed over;
    /// SQLite has one writer at a time, so there is nothing to pass over.
    pub fn skip_locked(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "",
            Self::Postgres(_) => " FOR UPDATE SKIP LOCKED",
        }
    }

    /// The condition that the bytes in `column` have those bound to `$parameter` somewhere in them.
    pub fn contains(&self, column: &str, parameter: u8) -> String {
        match self {
            Self::Sqlite(_) => format!("instr({column}, ${parameter}) > 0"),
            Self::Postgres(_) => format!("position(${parameter} IN {column}) > 0"),
        }
    }

    /// The condition that the bytes in `column` end with those bound to `$parameter`, which are `length` many.
    pub fn ends_with(&self, column: &str, parameter: u8, length: usize) -> String {
        match self {
            Self::Sqlite(_) => format!("substr({column}, -{length}) = ${parameter}"),
            Self::Postgres(_) => {
                format!("substring({column} FROM octet_length({column}) - {length} + 1) = ${parameter}")
            }
        }
    }

    /// The condition that the bytes in `column` are one of the [`Paths`] bound to `$parameter`.
    pub fn among(&self, column: &str, parameter: u8) -> String {
        match self {
            Self::Sqlite(_) => format!("{column} IN (SELECT unhex(value) FROM json_each(${parameter}))"),
            Self::Postgres(_) => format!("{column} = ANY(${parameter})"),
        }
    }

    /// An expression: these integers as text, a space after each, and then the bytes in `column`.
    pub fn packed(&self, integers: &[&str], column: &str) -> String {
        match self {
            Self::Sqlite(_) => {
                format!("printf('{}', {}) || {column}", "%d ".repeat(integers.len()), integers.join(", "))
            }
            Self::Postgres(_) => {
                let each: Vec<_> = integers.iter().map(|integer| format!("{integer}, ' '")).collect();
                format!("convert_to(concat({}), 'UTF8') || {column}", each.join(", "))
            }
        }
    }

    /// An aggregate: the bytes in `column`, strung together in the order of `order`, which the rows have already.
    pub fn strung(&self, column: &str, order: &str) -> String {
        match self {
            Self::Sqlite(_) => format!("group_concat({column}, '')"),
            Self::Postgres(_) => format!("string_agg({column}, ''::bytea ORDER BY {order})"),
        }
    }

    /// Whoever else asks for the same number waits until this transaction ends. SQLite has one writer at a time anyway.
    pub async fn one_at_a_time(&mut self, number: i64) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(tx) => sqlx::query("SELECT pg_advisory_xact_lock($1)")
                .bind(number)
                .execute(&mut **tx)
                .await
                .map(drop),
        }
    }

    /// For the end of a `SELECT` of a row that is read to be changed: on PostgreSQL others who want to change it wait; on
    /// SQLite the whole transaction has the right to write.
    pub fn for_update(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "",
            Self::Postgres(_) => " FOR UPDATE",
        }
    }

    /// The longest path, in bytes, that can be a key: PostgreSQL's index entries end at about a third of a page.
    pub fn longest_path(&self) -> usize {
        match self {
            Self::Sqlite(_) => salvor_domain::path::PATH_MAX,
            Self::Postgres(_) => 2_600,
        }
    }
}

/// A stored value that Salvor did not write: names the table, the column and the row.
pub fn bad_row(
    table: &str,
    column: &str,
    id: impl std::fmt::Display,
    why: impl std::fmt::Display,
) -> sqlx::Error {
    sqlx::Error::Decode(format!("{table}.{column} of {id}: {why}").into())
}

/// Databases for unit tests.
#[cfg(test)]
pub mod testing {
    use super::*;

    /// A new database of each engine that can be had, with the folder that one of them lies in: SQLite always, PostgreSQL
    /// when `SALVOR_TEST_POSTGRES` names a server.
    pub async fn databases() -> (tempfile::TempDir, Vec<Db>) {
        let folder = tempfile::tempdir().unwrap();
        let mut all = vec![Db::open_sqlite(&folder.path().join("salvor.db")).await.unwrap()];
        let server = crate::config::environment().find(|(name, _)| name == "SALVOR_TEST_POSTGRES");
        if let Some((_, url)) = server {
            let name = format!("unit_{}", &crate::clock::new_secret().0[..16]);
            let pool = PgPool::connect(&url).await.unwrap();
            let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
            sqlx::query(create).execute(&pool).await.unwrap();
            pool.close().await;
            let (base, _) = url.rsplit_once('/').unwrap();
            all.push(Db::open_postgres(&format!("{base}/{name}")).await.unwrap());
        }
        (folder, all)
    }
}

/// What may be shown of an address: neither who connects, nor the query, in which a password may stand as well.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "…".to_owned() };
    let shown = rest.split(['?', '#']).next().unwrap_or_default();
    let (server, path) = shown.split_at(shown.find('/').unwrap_or(shown.len()));
    match server.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://…@{host}{path}"),
        // A password with an unescaped `/` or `?` in it looks like a server's name.
        None if rest.contains('@') => format!("{scheme}://…"),
        None => format!("{scheme}://{shown}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        for (url, shown) in [
            ("postgres://db/salvor", "postgres://db/salvor"),
            ("postgres://ann:secret@db/salvor", "postgres://…@db/salvor"),
            ("postgres://db/salvor?user=ann&password=secret", "postgres://db/salvor"),
            ("postgres://ann@db:5432/salvor?password=se@cret", "postgres://…@db:5432/salvor"),
            ("postgres://ann:se/c?ret@db/salvor", "postgres://…"),
            ("db?password=secret", "…"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[tokio::test]
    async fn a_writer_sees_what_it_wrote_and_others_after_the_commit() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open_sqlite(&folder.path().join("salvor.db")).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        execute!(&mut tx, "INSERT INTO volumes (name, mode_state) VALUES ($1, $2)", "uploads", "{}").unwrap();
        let mut other = db.read().await.unwrap();
        let count = "SELECT count(*) FROM volumes";
        let seen = scalar!(&mut other, i64, count).unwrap();
        assert_eq!(seen, 0);
        drop(other);
        tx.commit().await.unwrap();
        let mut after = db.read().await.unwrap();
        let seen = scalar!(&mut after, i64, count).unwrap();
        assert_eq!(seen, 1);
    }
}
