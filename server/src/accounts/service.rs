//! What can be done with accounts. Each function is one transaction.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use salvor_app::accounts::port::Viewer;
use salvor_domain::account::{Actor, Role};
use salvor_domain::event::EventKind;
use salvor_domain::ids::{TokenId, UserId};

use super::{password, store};
use crate::clock::{new_secret, secret_hash};
use crate::core::Core;
use crate::database::Tx;
use crate::error::{Error, Result};
use crate::events;

/// A session that nobody used for so long has ended.
pub const IDLE: TimeDelta = TimeDelta::hours(12);
/// And every session ends after so long.
pub const ABSOLUTE: TimeDelta = TimeDelta::days(7);
const LINK_HOLDS: TimeDelta = TimeDelta::hours(24);
/// "Last seen" is written no more often than this: most requests then only read.
const SEEN_EVERY: TimeDelta = TimeDelta::minutes(1);
const FIRST_ADMIN: &str = "admin@localhost";
const TOKEN_PREFIX: &str = "salvor_";
/// Before a token's name where it stands for who acts.
const TOKEN_ACTOR: &str = "token:";
/// As a report's.
const LONGEST_HOST: usize = 300;

#[derive(Debug, Clone)]
pub struct User {
    pub id: UserId,
    pub email: String,
    pub role: Role,
    pub password_hash: Option<String>,
    pub created_at: DateTime<Utc>,
    pub disabled_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone)]
pub struct Token {
    pub id: TokenId,
    pub name: String,
    pub role: Role,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    pub seen_at: Option<DateTime<Utc>>,
    /// The one host that an agent's token reports for; absent until its first report.
    pub host: Option<String>,
}

impl Token {
    pub fn holds(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| at > now)
    }
}

impl User {
    fn viewer(&self) -> Viewer {
        let needs_password = self.password_hash.is_none();
        Viewer { email: self.email.clone(), role: self.role, needs_password }
    }
}

/// The secret of the new session, or nothing when address and password do not fit together.
pub async fn sign_in(core: &Core, email: &str, password: &str) -> Result<Option<String>> {
    let email = email.trim().to_lowercase();
    let mut tx = core.db.read().await?;
    let known = store::user_by_email(&mut tx, &email).await?;
    drop(tx);
    // People type passwords into this field: only an address that is known is repeated.
    let shown = known.as_ref().map_or("an unknown address", |_| email.as_str());
    let user = known.as_ref().filter(|user| user.disabled_at.is_none());
    let stored = user.and_then(|user| user.password_hash.clone());
    let fits = password::verify(password.to_owned(), stored).await?;
    let now = core.clock.now();
    let mut tx = core.db.begin().await?;
    let Some(user) = user.filter(|_| fits) else {
        let actor = Actor { name: "salvor".into(), role: Role::Admin };
        let summary = format!("A sign-in as {shown} was refused.");
        events::record(&mut tx, now, &actor, EventKind::SignInRefused, shown, &summary).await?;
        tx.commit().await?;
        return Ok(None);
    };
    let secret = open_session(&mut tx, now, user, "with their password").await?;
    tx.commit().await?;
    Ok(Some(secret))
}

/// Uses up a one-time link: the secret of the new session.
pub async fn sign_in_by_link(core: &Core, link: &str) -> Result<Option<String>> {
    let now = core.clock.now();
    let mut tx = core.db.begin().await?;
    let Some(user) = store::use_link(&mut tx, &secret_hash(link), now).await? else { return Ok(None) };
    let secret = open_session(&mut tx, now, &user, "with a one-time link").await?;
    tx.commit().await?;
    Ok(Some(secret))
}

/// Whether the link could still be used.
pub async fn link_holds(core: &Core, link: &str) -> Result<bool> {
    let mut tx = core.db.read().await?;
    Ok(store::link_holds(&mut tx, &secret_hash(link), core.clock.now()).await?)
}

pub async fn sign_out(core: &Core, session: &str) -> Result<()> {
    let mut tx = core.db.begin().await?;
    store::delete_session(&mut tx, &secret_hash(session)).await?;
    Ok(tx.commit().await?)
}

/// Whose session this is, if it still holds.
pub async fn session_holder(core: &Core, session: &str) -> Result<Option<Viewer>> {
    let now = core.clock.now();
    let hash = secret_hash(session);
    let mut tx = core.db.read().await?;
    let Some((user, seen_at)) = store::session_user(&mut tx, &hash, now, now - IDLE).await? else {
        return Ok(None);
    };
    drop(tx);
    if now - seen_at >= SEEN_EVERY {
        let mut tx = core.db.begin().await?;
        store::session_seen(&mut tx, &hash, now).await?;
        tx.commit().await?;
    }
    Ok(Some(user.viewer()))
}

/// Sets the password of a signed-in user; their other sessions end.
pub async fn set_password(core: &Core, email: &str, password: &str, session: Option<&str>) -> Result<()> {
    password::check(password)?;
    let hash = password::hash(password.to_owned()).await?;
    let mut tx = core.db.begin().await?;
    if store::set_password(&mut tx, email, &hash).await? == 0 {
        return Err(Error::not_found(format!("There is no user {email}.")));
    }
    if let Some(session) = session {
        store::delete_sessions_but(&mut tx, email, &secret_hash(session)).await?;
    }
    Ok(tx.commit().await?)
}

pub async fn add_user(core: &Core, actor: &Actor, email: &str, role: Role, password: &str) -> Result<User> {
    let email = checked_email(email)?;
    if role == Role::Agent {
        return Err(Error::invalid(
            "The role agent is for the tokens of storage hosts; a person has viewer or more.",
        ));
    }
    password::check(password)?;
    let password_hash = Some(password::hash(password.to_owned()).await?);
    let created_at = core.clock.now();
    let user = User { id: core.new_user_id(), email, role, password_hash, created_at, disabled_at: None };
    let mut tx = core.db.begin().await?;
    if store::user_by_email(&mut tx, &user.email).await?.is_some() {
        return Err(Error::conflict(format!("There is a user {} already.", user.email)));
    }
    insert_user(&mut tx, actor, &user).await?;
    tx.commit().await?;
    Ok(user)
}

pub async fn users(core: &Core) -> Result<Vec<User>> {
    Ok(store::users(&mut core.db.read().await?).await?)
}

/// Their sessions end at once.
pub async fn disable_user(core: &Core, actor: &Actor, email: &str) -> Result<()> {
    let email = email.trim().to_lowercase();
    let now = core.clock.now();
    let mut tx = core.db.begin().await?;
    let user = store::user_by_email(&mut tx, &email).await?;
    let user = user.ok_or_else(|| Error::not_found(format!("There is no user {email}.")))?;
    if user.disabled_at.is_none() {
        store::disable_user(&mut tx, user.id, now).await?;
        let summary = format!("{} disabled the user {email}.", actor.name);
        events::record(&mut tx, now, actor, EventKind::UserDisabled, &email, &summary).await?;
    }
    Ok(tx.commit().await?)
}

/// The address of a one-time link for the first admin (made here if there is nobody yet), for as long as no user has a
/// password to sign in with.
pub async fn first_link(core: &Core) -> Result<Option<String>> {
    let now = core.clock.now();
    let mut tx = core.db.begin().await?;
    let users = store::users(&mut tx).await?;
    let enabled: Vec<&User> = users.iter().filter(|user| user.disabled_at.is_none()).collect();
    if enabled.iter().any(|user| user.password_hash.is_some()) {
        return Ok(None);
    }
    let admin = enabled.iter().find(|user| user.role == Role::Admin).map(|user| user.id);
    let id = match admin {
        Some(id) => id,
        None if users.is_empty() => {
            let user = User {
                id: core.new_user_id(),
                email: FIRST_ADMIN.into(),
                role: Role::Admin,
                password_hash: None,
                created_at: now,
                disabled_at: None,
            };
            insert_user(&mut tx, &Actor::salvor(), &user).await?;
            user.id
        }
        None => return Ok(None),
    };
    let (secret, hash) = new_secret();
    store::insert_link(&mut tx, &hash, id, now, now + LINK_HOLDS).await?;
    tx.commit().await?;
    Ok(Some(format!("{}/console/link/{secret}", core.config.server.public_url)))
}

/// Makes an API token: what is stored of it, and the token itself, which is told only now.
pub async fn create_token(
    core: &Core,
    actor: &Actor,
    name: &str,
    role: Role,
    host: Option<&str>,
    holds_for: Option<TimeDelta>,
) -> Result<(Token, String)> {
    let name = checked_token_name(name)?;
    let host = host.map(|host| checked_host(host, role)).transpose()?;
    let now = core.clock.now();
    let expires_at = match holds_for {
        Some(span) => Some(
            now.checked_add_signed(span)
                .filter(|at| *at > now)
                .ok_or_else(|| Error::invalid("A token holds for 1 day or more, within reason."))?,
        ),
        None => None,
    };
    let id = core.new_token_id();
    let token = Token { id, name, role, created_at: now, expires_at, revoked_at: None, seen_at: None, host };
    let mut tx = core.db.begin().await?;
    if store::token_by_name(&mut tx, &token.name).await?.is_some() {
        return Err(Error::conflict(format!(
            "There is a token \"{}\" already; choose another name.",
            token.name
        )));
    }
    let secret = format!("{TOKEN_PREFIX}{}", new_secret().0);
    store::insert_token(&mut tx, &token, &secret_hash(&secret)).await?;
    let of = token.host.as_ref().map(|host| format!(" for the host {host}")).unwrap_or_default();
    let summary = format!("{} made the token \"{}\" with the role {role}{of}.", actor.name, token.name);
    events::record(&mut tx, now, actor, EventKind::TokenCreated, &token.name, &summary).await?;
    tx.commit().await?;
    Ok((token, secret))
}

pub async fn tokens(core: &Core) -> Result<Vec<Token>> {
    Ok(store::tokens(&mut core.db.read().await?).await?)
}

pub async fn revoke_token(core: &Core, actor: &Actor, name: &str) -> Result<()> {
    let now = core.clock.now();
    let mut tx = core.db.begin().await?;
    let token = store::token_by_name(&mut tx, name).await?;
    let token = token.ok_or_else(|| Error::not_found(format!("There is no token \"{name}\".")))?;
    if token.revoked_at.is_none() {
        store::revoke_token(&mut tx, token.id, now).await?;
        let summary = format!("{} revoked the token \"{name}\".", actor.name);
        events::record(&mut tx, now, actor, EventKind::TokenRevoked, name, &summary).await?;
    }
    Ok(tx.commit().await?)
}

/// Who holds this API token, if it still holds.
pub async fn token_holder(core: &Core, token: &str) -> Result<Option<Actor>> {
    let now = core.clock.now();
    let mut tx = core.db.read().await?;
    let found = store::token_by_hash(&mut tx, &secret_hash(token)).await?;
    drop(tx);
    let Some(token) = found.filter(|token| token.holds(now)) else { return Ok(None) };
    if token.seen_at.is_none_or(|at| now - at >= SEEN_EVERY) {
        let mut tx = core.db.begin().await?;
        store::token_seen(&mut tx, token.id, now).await?;
        tx.commit().await?;
    }
    Ok(Some(actor_of(&token)))
}

/// Refuses a report about `host` with this token unless that is the host of the token. An agent's first report binds it, for good; a
/// token that may do more than report, and a person, speak for any.
pub async fn bind_token(tx: &mut Tx, now: DateTime<Utc>, name: &str, host: &str) -> Result<()> {
    let Some(token) = store::token_by_name(tx, name).await?.filter(|token| token.role == Role::Agent) else {
        return Ok(());
    };
    if token.host.is_none() && store::bind_token(tx, token.id, host).await? {
        let summary = format!("The token \"{name}\" is for the host {host} from its first report on.");
        let actor = actor_of(&token);
        return Ok(events::record(tx, now, &actor, EventKind::TokenBound, name, &summary).await?);
    }
    // It may have been bound since it was read.
    let bound = store::token_by_name(tx, name).await?.and_then(|token| token.host);
    match bound {
        Some(bound) if bound != host => Err(Error::Forbidden(format!(
            "This token is for the host {bound} and does not report for {host}: on the server, \
             `salvor token create NAME --role agent --host {host}` makes one that does."
        ))),
        _ => Ok(()),
    }
}

/// The host that an agent acts for: that of its token.
pub async fn host_of(core: &Core, agent: &Actor) -> Result<String> {
    let name = agent.name.strip_prefix(TOKEN_ACTOR).unwrap_or_default();
    let token = store::token_by_name(&mut core.db.read().await?, name).await?;
    token.and_then(|token| token.host).ok_or_else(|| {
        Error::Forbidden("This takes a token that is for one host: an agent's, once it has reported.".into())
    })
}

/// Names of the tokens that hold no more.
pub async fn ended_tokens(tx: &mut Tx, now: DateTime<Utc>) -> Result<HashSet<String>> {
    let ended = store::tokens(tx).await?.into_iter().filter(|token| !token.holds(now));
    Ok(ended.map(|token| token.name).collect())
}

/// Removes sessions and links that have ended.
pub async fn forget(core: &Core) -> Result<()> {
    let now = core.clock.now();
    let mut tx = core.db.begin().await?;
    store::forget(&mut tx, now, now - IDLE).await?;
    Ok(tx.commit().await?)
}

async fn open_session(tx: &mut Tx, now: DateTime<Utc>, user: &User, how: &str) -> Result<String> {
    let (secret, hash) = new_secret();
    store::insert_session(tx, &hash, user.id, now, now + ABSOLUTE).await?;
    let summary = format!("{} signed in {how}.", user.email);
    events::record(tx, now, &user.viewer().actor(), EventKind::SignedIn, &user.email, &summary).await?;
    Ok(secret)
}

async fn insert_user(tx: &mut Tx, actor: &Actor, user: &User) -> Result<()> {
    store::insert_user(tx, user).await?;
    let summary = format!("{} added the user {} with the role {}.", actor.name, user.email, user.role);
    Ok(events::record(tx, user.created_at, actor, EventKind::UserAdded, &user.email, &summary).await?)
}

fn checked_email(email: &str) -> Result<String> {
    let email = email.trim().to_lowercase();
    let fits = email.len() <= 254
        && email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
        && email.matches('@').count() == 1
        && !email.chars().any(|c| c.is_whitespace() || c.is_control());
    let rule = "write for example ann@example.com";
    if fits {
        Ok(email)
    } else {
        Err(Error::invalid(format!("\"{email}\" is not an e-mail address; {rule}")))
    }
}

fn checked_host(host: &str, role: Role) -> Result<String> {
    if role != Role::Agent {
        return Err(Error::invalid(format!(
            "Only a token of the role agent is for a host, not one of {role}."
        )));
    }
    let fits = (1..=LONGEST_HOST).contains(&host.chars().count())
        && host.trim() == host
        && !host.chars().any(char::is_control);
    let rule = format!("give the name that its agent reports, of 1 to {LONGEST_HOST} characters");
    if fits { Ok(host.to_owned()) } else { Err(Error::invalid(format!("\"{host}\" is no host; {rule}"))) }
}

fn actor_of(token: &Token) -> Actor {
    Actor { name: format!("{TOKEN_ACTOR}{}", token.name), role: token.role }
}

fn checked_token_name(name: &str) -> Result<String> {
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let rule = "use 1 to 64 letters, digits, - _ or .";
    if fits {
        Ok(name.to_owned())
    } else {
        Err(Error::invalid(format!("\"{name}\" is not a name for a token; {rule}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_checked() {
        assert_eq!(checked_email(" Ann@Example.com ").unwrap(), "ann@example.com");
        for wrong in ["", "ann", "@x", "ann@", "a b@c", "a@b@c"] {
            assert!(checked_email(wrong).unwrap_err().to_string().contains("ann@example.com"), "{wrong}");
        }
        assert!(checked_token_name("deploy-1").is_ok());
        assert!(checked_token_name("a b").is_err() && checked_token_name("").is_err());
        assert_eq!(checked_host("store1.example.com", Role::Agent).unwrap(), "store1.example.com");
        assert!(checked_host("", Role::Agent).is_err() && checked_host("a\n", Role::Agent).is_err());
        assert!(checked_host("store1", Role::Viewer).unwrap_err().to_string().contains("agent"));
    }
}
