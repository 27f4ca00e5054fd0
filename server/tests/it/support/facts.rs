//! Tests wait for facts, never for time: they look again and again until a fact is there, and fail with its name when it
//! does not come.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// What a slow machine may take over what must come.
pub const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// What a look gives: the fact, or what was there instead.
pub trait Look {
    type Fact;

    fn fact(self) -> Result<Self::Fact, String>;
}

impl Look for bool {
    type Fact = ();

    fn fact(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("it is not so".into()) }
    }
}

impl<T, O: Debug> Look for Result<T, O> {
    type Fact = T;

    fn fact(self) -> Result<T, String> {
        self.map_err(|other| format!("{other:#?}"))
    }
}

/// Waits for a fact and gives it.
#[track_caller]
pub fn until<L: Look>(fact: &str, look: impl FnMut() -> L) -> L::Fact {
    within(PATIENCE, look).unwrap_or_else(|last| panic!("it never came to pass that {fact}: {last}"))
}

/// What is there in this time, or what was there last.
pub fn within<L: Look>(patience: Duration, mut look: impl FnMut() -> L) -> Result<L::Fact, String> {
    let deadline = Instant::now() + patience;
    loop {
        let seen = look().fact();
        let left = deadline.saturating_duration_since(Instant::now());
        if seen.is_ok() || left.is_zero() {
            return seen;
        }
        std::thread::sleep(left.min(BETWEEN_LOOKS));
    }
}

/// As [`until`], where looking is asynchronous and the time may be promised.
pub async fn until_async<L: Look>(
    patience: Duration,
    fact: &str,
    mut look: impl AsyncFnMut() -> L,
) -> L::Fact {
    let deadline = Instant::now() + patience;
    loop {
        match look().await.fact() {
            Ok(fact) => return fact,
            Err(last) => assert!(Instant::now() < deadline, "it never came to pass that {fact}: {last}"),
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
