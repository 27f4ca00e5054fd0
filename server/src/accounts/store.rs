//! The SQL of accounts.

use chrono::{DateTime, Utc};
use salvor_domain::account::Role;
use salvor_domain::ids::{TokenId, UserId};

use super::service::{Token, User};
use crate::database::{Tx, bad_row, execute, fetch_all, fetch_optional, scalar};

pub async fn insert_user(tx: &mut Tx, user: &User) -> sqlx::Result<()> {
    execute!(
        tx,
        "INSERT INTO users (id, email, role, password_hash, created_at) VALUES ($1, $2, $3, $4, $5)",
        user.id.to_string(),
        &user.email,
        user.role.as_str(),
        user.password_hash.as_deref(),
        user.created_at,
    )
    .map(drop)
}

pub async fn user_by_email(tx: &mut Tx, email: &str) -> sqlx::Result<Option<User>> {
    let row = fetch_optional!(
        tx,
        UserRow,
        "SELECT id, email, role, password_hash, created_at, disabled_at FROM users WHERE email = $1",
        email
    )?;
    row.map(User::try_from).transpose()
}

pub async fn users(tx: &mut Tx) -> sqlx::Result<Vec<User>> {
    let sql = "SELECT id, email, role, password_hash, created_at, disabled_at FROM users ORDER BY email";
    fetch_all!(tx, UserRow, sql)?.into_iter().map(User::try_from).collect()
}

/// Ends the sessions and links of the user as well.
pub async fn disable_user(tx: &mut Tx, id: UserId, now: DateTime<Utc>) -> sqlx::Result<()> {
    let id = id.to_string();
    execute!(tx, "UPDATE users SET disabled_at = $1 WHERE id = $2", now, &id)?;
    execute!(tx, "DELETE FROM sessions WHERE user_id = $1", &id)?;
    execute!(tx, "DELETE FROM sign_in_links WHERE user_id = $1 AND used_at IS NULL", &id).map(drop)
}

/// Sets the password of the user, if there is one; links that were to stand in for it are void.
pub async fn set_password(tx: &mut Tx, email: &str, hash: &str) -> sqlx::Result<u64> {
    let links = "DELETE FROM sign_in_links WHERE used_at IS NULL \
                 AND user_id IN (SELECT id FROM users WHERE email = $1)";
    execute!(tx, links, email)?;
    let sql = "UPDATE users SET password_hash = $1 WHERE email = $2 AND disabled_at IS NULL";
    execute!(tx, sql, hash, email)
}

pub async fn insert_link(
    tx: &mut Tx,
    hash: &[u8],
    user: UserId,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    execute!(
        tx,
        "INSERT INTO sign_in_links (token_hash, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
        hash,
        user.to_string(),
        now,
        expires_at,
    )
    .map(drop)
}

/// Marks the link used and tells whose it is; nothing when it was used, is too old, or its user is disabled.
pub async fn use_link(tx: &mut Tx, hash: &[u8], now: DateTime<Utc>) -> sqlx::Result<Option<User>> {
    let used = execute!(
        tx,
        "UPDATE sign_in_links SET used_at = $1 WHERE token_hash = $2 AND used_at IS NULL AND expires_at > $1",
        now,
        hash
    )?;
    if used == 0 {
        return Ok(None);
    }
    let sql = "SELECT u.id, u.email, u.role, u.password_hash, u.created_at, u.disabled_at \
               FROM users u JOIN sign_in_links l ON l.user_id = u.id \
               WHERE l.token_hash = $1 AND u.disabled_at IS NULL";
    fetch_optional!(tx, UserRow, sql, hash)?.map(User::try_from).transpose()
}

pub async fn link_holds(tx: &mut Tx, hash: &[u8], now: DateTime<Utc>) -> sqlx::Result<bool> {
    let sql = "SELECT count(*) FROM sign_in_links \
               WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2";
    Ok(scalar!(tx, i64, sql, hash, now)? > 0)
}

pub async fn insert_session(
    tx: &mut Tx,
    hash: &[u8],
    user: UserId,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    execute!(
        tx,
        "INSERT INTO sessions (token_hash, user_id, created_at, seen_at, expires_at) VALUES ($1, $2, $3, $3, $4)",
        hash,
        user.to_string(),
        now,
        expires_at,
    )
    .map(drop)
}

/// The user of a session that was seen after `seen_after` and has not come to its end, and when it was seen.
pub async fn session_user(
    tx: &mut Tx,
    hash: &[u8],
    now: DateTime<Utc>,
    seen_after: DateTime<Utc>,
) -> sqlx::Result<Option<(User, DateTime<Utc>)>> {
    let sql = "SELECT s.seen_at, u.id, u.email, u.role, u.password_hash, u.created_at, u.disabled_at \
               FROM sessions s JOIN users u ON u.id = s.user_id \
               WHERE s.token_hash = $1 AND s.expires_at > $2 AND s.seen_at > $3 AND u.disabled_at IS NULL";
    let row = fetch_optional!(tx, SessionRow, sql, hash, now, seen_after)?;
    row.map(|row| Ok((User::try_from(row.user)?, row.seen_at))).transpose()
}

pub async fn session_seen(tx: &mut Tx, hash: &[u8], now: DateTime<Utc>) -> sqlx::Result<()> {
    execute!(tx, "UPDATE sessions SET seen_at = $1 WHERE token_hash = $2", now, hash).map(drop)
}

pub async fn delete_session(tx: &mut Tx, hash: &[u8]) -> sqlx::Result<()> {
    execute!(tx, "DELETE FROM sessions WHERE token_hash = $1", hash).map(drop)
}

/// The other sessions of a user who set a new password.
pub async fn delete_sessions_but(tx: &mut Tx, email: &str, keep: &[u8]) -> sqlx::Result<()> {
    let sql = "DELETE FROM sessions WHERE token_hash <> $1 \
               AND user_id IN (SELECT id FROM users WHERE email = $2)";
    execute!(tx, sql, keep, email).map(drop)
}

/// Sessions, links and answers to repeated calls that nobody can use any more.
pub async fn forget(tx: &mut Tx, now: DateTime<Utc>, seen_before: DateTime<Utc>) -> sqlx::Result<()> {
    execute!(tx, "DELETE FROM sessions WHERE expires_at <= $1 OR seen_at <= $2", now, seen_before)?;
    execute!(tx, "DELETE FROM sign_in_links WHERE expires_at <= $1", now).map(drop)
}

pub async fn insert_token(tx: &mut Tx, token: &Token, hash: &[u8]) -> sqlx::Result<()> {
    execute!(
        tx,
        "INSERT INTO api_tokens (id, name, role, token_hash, created_at, expires_at, host) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        token.id.to_string(),
        &token.name,
        token.role.as_str(),
        hash,
        token.created_at,
        token.expires_at,
        token.host.as_deref(),
    )
    .map(drop)
}

pub async fn tokens(tx: &mut Tx) -> sqlx::Result<Vec<Token>> {
    let sql = "SELECT id, name, role, created_at, expires_at, revoked_at, seen_at, host FROM api_tokens ORDER BY name";
    fetch_all!(tx, TokenRow, sql)?.into_iter().map(Token::try_from).collect()
}

pub async fn token_by_hash(tx: &mut Tx, hash: &[u8]) -> sqlx::Result<Option<Token>> {
    let sql = "SELECT id, name, role, created_at, expires_at, revoked_at, seen_at, host FROM api_tokens \
               WHERE token_hash = $1";
    fetch_optional!(tx, TokenRow, sql, hash)?.map(Token::try_from).transpose()
}

pub async fn token_seen(tx: &mut Tx, id: TokenId, now: DateTime<Utc>) -> sqlx::Result<()> {
    execute!(tx, "UPDATE api_tokens SET seen_at = $1 WHERE id = $2", now, id.to_string()).map(drop)
}

pub async fn token_by_name(tx: &mut Tx, name: &str) -> sqlx::Result<Option<Token>> {
    let sql = "SELECT id, name, role, created_at, expires_at, revoked_at, seen_at, host FROM api_tokens WHERE name = $1";
    fetch_optional!(tx, TokenRow, sql, name)?.map(Token::try_from).transpose()
}

/// Whether this call bound it: a token that has a host keeps it.
pub async fn bind_token(tx: &mut Tx, id: TokenId, host: &str) -> sqlx::Result<bool> {
    let sql = "UPDATE api_tokens SET host = $1 WHERE id = $2 AND host IS NULL";
    Ok(execute!(tx, sql, host, id.to_string())? > 0)
}

pub async fn revoke_token(tx: &mut Tx, id: TokenId, now: DateTime<Utc>) -> sqlx::Result<()> {
    let sql = "UPDATE api_tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL";
    execute!(tx, sql, now, id.to_string()).map(drop)
}

#[derive(sqlx::FromRow)]
struct UserRow {
    id: String,
    email: String,
    role: String,
    password_hash: Option<String>,
    created_at: DateTime<Utc>,
    disabled_at: Option<DateTime<Utc>>,
}

impl TryFrom<UserRow> for User {
    type Error = sqlx::Error;

    fn try_from(row: UserRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id.parse().map_err(|why| bad_row("users", "id", &row.id, why))?,
            role: role("users", &row.role, &row.id)?,
            email: row.email,
            password_hash: row.password_hash,
            created_at: row.created_at,
            disabled_at: row.disabled_at,
        })
    }
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    seen_at: DateTime<Utc>,
    #[sqlx(flatten)]
    user: UserRow,
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    id: String,
    name: String,
    role: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    seen_at: Option<DateTime<Utc>>,
    host: Option<String>,
}

impl TryFrom<TokenRow> for Token {
    type Error = sqlx::Error;

    fn try_from(row: TokenRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id.parse().map_err(|why| bad_row("api_tokens", "id", &row.id, why))?,
            role: role("api_tokens", &row.role, &row.id)?,
            name: row.name,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            seen_at: row.seen_at,
            host: row.host,
        })
    }
}

fn role(table: &str, word: &str, id: &str) -> sqlx::Result<Role> {
    word.parse().map_err(|why| bad_row(table, "role", id, why))
}
