//! Salvor's types, rules and state machines.
//!
//! What lives here: the words of the product (paths, digests, jobs, findings, incidents, tickets, modes, roles) and the
//! rules between them. What does not: I/O, async, clocks, randomness, databases, HTML. Every function here gives the
//! same answer for the same arguments, so that the server, the browser and the tests can all trust it.
//!
//! State machines are enums whose variants carry their own facts; a transition consumes the old state and returns the
//! new one, or a [`Refused`] that says why not.

pub mod account;
pub mod cost;
pub mod delivery;
pub mod digest;
pub mod disk_check;
pub mod event;
pub mod finding;
pub mod gate;
pub mod gateway;
pub mod gentle;
pub mod health;
pub mod identity;
pub mod ids;
pub mod incident;
pub mod job;
pub mod limits;
pub mod path;
pub mod progress;
pub mod readiness;
pub mod sample;
pub mod segment;
pub mod span;
pub mod stuck;
pub mod text;
pub mod ticket;
pub mod timetable;
pub mod units;
pub mod url_pattern;
pub mod volume;

/// Why a state machine would not make a transition, in words for the person who asked for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl Refused {
    pub fn because(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// A word that is not one of an enum's: names what was read and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{found}\" is not a {what}; use one of: {allowed}")]
pub struct UnknownWord {
    pub what: &'static str,
    pub found: String,
    pub allowed: &'static str,
}

/// Declares a fieldless enum whose variants each have one word: the word in the database, in JSON and on the command line.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident ($what:literal) { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(crate::UnknownWord {
                        what: $what,
                        found: word.to_owned(),
                        allowed: concat!("" $(, $word, " ")+).trim_ascii_end(),
                    }),
                }
            }
        }
    };
}
pub(crate) use words;
