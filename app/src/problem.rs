//! What the wire says when something cannot be done: safe to show, and helpful.

use leptos::server_fn::codec::JsonEncoding;
use leptos::server_fn::error::{FromServerFnError, ServerFnErrorErr};

/// The one error of every port, server function and API call. On the wire an RFC 9457 problem document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", content = "detail", rename_all = "snake_case")]
pub enum Problem {
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Invalid(String),
    /// Not in this state; `points` is what would have to change first.
    #[error("{message}")]
    Conflict { message: String, points: Vec<String> },
    #[error("Sign in first.")]
    SignedOut,
    #[error("{0}")]
    Forbidden(String),
    #[error("{0}")]
    TooMany(String),
    #[error("Salvor could not do this just now. The details are in the server's log.")]
    Unavailable,
    #[error(
        "Salvor's database is away just now. Salvor goes on by itself when it is back; try again in a minute."
    )]
    DatabaseAway,
}

impl Problem {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::NotFound(_) => 404,
            Self::Invalid(_) => 422,
            Self::Conflict { .. } => 409,
            Self::SignedOut => 401,
            Self::Forbidden(_) => 403,
            Self::TooMany(_) => 429,
            Self::Unavailable | Self::DatabaseAway => 503,
        }
    }

    /// A few words, the same for every problem of its kind.
    pub fn title(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "Not found",
            Self::Invalid(_) => "Something in the request is not right",
            Self::Conflict { .. } => "Not possible in the present state",
            Self::SignedOut => "Not signed in",
            Self::Forbidden(_) => "Not allowed",
            Self::TooMany(_) => "Too many requests",
            Self::Unavailable => "Temporarily unavailable",
            Self::DatabaseAway => "The database is away",
        }
    }
}

impl FromServerFnError for Problem {
    type Encoder = JsonEncoding;

    /// What can go wrong before a server function runs is a request that cannot be read; the rest stays in the log.
    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        match error {
            ServerFnErrorErr::Args(why)
            | ServerFnErrorErr::MissingArg(why)
            | ServerFnErrorErr::Deserialization(why) => {
                Self::Invalid(format!("What was sent cannot be read: {why}"))
            }
            _ => Self::Unavailable,
        }
    }
}
