//! Time and randomness, handed in from the outermost layer so that tests own both.

use std::sync::Arc;

use chrono::{DateTime, Local, NaiveDateTime, SubsecRound, Utc};
use salvor_domain::path::hex;

/// Tells the time in UTC, in whole microseconds (what PostgreSQL keeps, so that a time read back equals the one written).
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one place where the system's clock is read")]
        Self(Arc::new(Utc::now))
    }

    /// A clock that tells what `now` says: for tests.
    pub fn from_fn(now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub fn now(&self) -> DateTime<Utc> {
        (self.0)().trunc_subsecs(6)
    }

    /// The same moment as this machine's clocks on the wall show it: for timetables.
    pub fn local(&self) -> NaiveDateTime {
        self.now().with_timezone(&Local).naive_local()
    }
}

/// Bytes from the operating system's generator: ids, secrets, tokens.
///
/// # Panics
/// When the operating system has no randomness to give; nothing that needs a secret may go on without.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::expect_used, reason = "see Panics")]
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

/// As many random bytes, as twice as many hexadecimal digits.
///
/// # Panics
/// As [`random`].
pub fn random_hex<const N: usize>() -> String {
    hex(&random::<N>())
}

/// A new secret of 256 bits as 64 hexadecimal digits, and the hash that is stored in its place.
pub fn new_secret() -> (String, Vec<u8>) {
    let secret = random_hex::<32>();
    let hash = secret_hash(&secret);
    (secret, hash)
}

/// What is stored of a secret. The secrets are random and long, so a plain hash is enough.
pub fn secret_hash(secret: &str) -> Vec<u8> {
    blake3::hash(secret.as_bytes()).as_bytes().to_vec()
}
