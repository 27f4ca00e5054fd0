//! Passwords: argon2id, a few at a time, since each takes 19 MiB and some 20 ms.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use crate::error::{Error, Result};

pub const SHORTEST: usize = 10;
/// Hashing reads it all: a longer one would be a way to keep the server busy.
pub const LONGEST: usize = 1024;

static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// The PHC string to store.
pub async fn hash(password: String) -> Result<String> {
    blocking(move || {
        Argon2::default()
            .hash_password(password.as_bytes())
            .map(|hash| hash.to_string())
            .map_err(|error| Error::Internal(format!("a password could not be hashed: {error}")))
    })
    .await?
}

/// Whether `password` is the one that `stored` was made of. Without a stored one the answer is no, after as long.
pub async fn verify(password: String, stored: Option<String>) -> Result<bool> {
    let Some(stored) = stored else {
        if password.len() <= LONGEST {
            hash(password).await?;
        }
        return Ok(false);
    };
    blocking(move || {
        let parsed = PasswordHash::new(&stored)
            .map_err(|error| Error::Internal(format!("users.password_hash cannot be read: {error}")))?;
        Ok(password.len() <= LONGEST
            && Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok())
    })
    .await?
}

/// A password that may be set.
pub fn check(password: &str) -> Result<()> {
    if password.chars().count() < SHORTEST {
        return Err(Error::invalid(format!(
            "The password is too short: use at least {SHORTEST} characters."
        )));
    }
    if password.len() > LONGEST {
        return Err(Error::invalid(format!("The password is too long: use at most {LONGEST} bytes.")));
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let _permit = AT_ONCE.acquire().await.map_err(|error| Error::Internal(error.to_string()))?;
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Internal(format!("hashing a password stopped: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_fits() {
        let stored = hash("correct horse".into()).await.unwrap();
        assert!(stored.starts_with("$argon2id$"));
        assert!(verify("correct horse".into(), Some(stored.clone())).await.unwrap());
        assert!(!verify("correct horsf".into(), Some(stored)).await.unwrap());
        assert!(!verify("correct horse".into(), None).await.unwrap());
        assert!(verify("x".into(), Some("plain".into())).await.is_err(), "a bad row is not a wrong password");
    }

    #[test]
    fn the_rule_says_what_would_be_right() {
        assert!(check("ninechars").unwrap_err().to_string().contains("10"));
        assert!(check("tenletters").is_ok() && check("ä€ä€ä€ä€ä€").is_ok());
        assert!(check(&"x".repeat(2000)).is_err());
    }
}
