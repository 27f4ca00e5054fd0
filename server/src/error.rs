//! What a service answers when it cannot do what it was asked: for the caller in words, for the log in detail.
//!
//! Three tiers: the domain says what is wrong ([`salvor_domain::Refused`]), the service says what happened ([`Error`]),
//! the wire says what the reader may know ([`salvor_app::problem::Problem`]). Internal detail is logged once, where an
//! [`Error`] becomes a [`Problem`], and goes no further.

use salvor_app::problem::Problem;
use salvor_domain::volume::ModeRefused;
use salvor_domain::{Refused, UnknownWord};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    NotFound(String),
    /// The request is wrong; says what would be right.
    #[error("{0}")]
    Invalid(String),
    /// Not in this state.
    #[error("{message}")]
    Conflict { message: String, points: Vec<String> },
    #[error("{0}")]
    Forbidden(String),
    /// Too often.
    #[error("{0}")]
    TooMany(String),
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// Something below failed that is not the caller's doing.
    #[error("{0}")]
    Internal(String),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound(what.into())
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::Conflict { message: message.into(), points: Vec::new() }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::conflict(refused.to_string())
    }
}

impl From<UnknownWord> for Error {
    fn from(unknown: UnknownWord) -> Self {
        Self::Invalid(unknown.to_string())
    }
}

impl From<ModeRefused> for Error {
    fn from(refused: ModeRefused) -> Self {
        let message = refused.to_string();
        match refused {
            ModeRefused::NoReason => Self::Invalid(message),
            ModeRefused::GateClosed(points) => {
                Self::Conflict { message: "the gate back to normal is closed".to_owned(), points }
            }
            ModeRefused::Already(_) | ModeRefused::NotThatWay { .. } => Self::conflict(message),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound(message) => Self::NotFound(message),
            Error::Invalid(message) => Self::Invalid(message),
            Error::Conflict { message, points } => Self::Conflict { message, points },
            Error::Forbidden(message) => Self::Forbidden(message),
            Error::TooMany(message) => Self::TooMany(message),
            Error::Database(error) if crate::database::is_away(&error) => {
                tracing::debug!(%error, "a request failed: the database is away");
                Self::DatabaseAway
            }
            Error::Database(_) | Error::Internal(_) => {
                tracing::error!(error = %error, "a request failed");
                Self::Unavailable
            }
        }
    }
}
