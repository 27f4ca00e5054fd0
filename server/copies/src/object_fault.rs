//! What a store's errors mean: about one object, or about the whole copy; in words for a person.

use std::error::Error as _;

use opendal::{Error, ErrorKind};

use crate::object::{Dialect, Inner};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    NotThere,
    /// Someone else has written there meanwhile.
    Changed(String),
    /// Refused: this object, or all of them?
    Denied(String),
    /// The store as a whole cannot be used.
    Gone(String),
    /// This time, after all its tries.
    Failed(String),
}

/// S3's words for credentials that are no good for anything.
const BAD_CREDENTIALS: [&str; 9] = [
    "NotSignedUp",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "AuthorizationHeaderMalformed",
    "AccountProblem",
    "RequestTimeTooSkewed",
];

impl Trouble {
    pub(crate) fn of(error: &Error, store: &Inner) -> Self {
        let all = error.to_string();
        let code = between(error.message(), "code: \"", "\"").unwrap_or_default();
        let status = between(&all, "status: ", ",").unwrap_or_default();
        let said = [status, code].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        let place = &store.place;
        match error.kind() {
            _ if code == "RequestTimeTooSkewed" => {
                Self::Gone(format!("the clocks of this machine and of {place} differ too much"))
            }
            _ if BAD_CREDENTIALS.contains(&code) || status == "401" => {
                Self::Gone(format!("{place} does not accept Salvor's credentials ({said})"))
            }
            _ if code == "NoSuchBucket" => Self::Gone(format!("there is no such bucket: {place}")),
            _ if code == "InvalidObjectState" => {
                Self::Failed("it lies in a cold archive and must be thawed first".into())
            }
            ErrorKind::NotFound => Self::NotThere,
            ErrorKind::ConditionNotMatch | ErrorKind::AlreadyExists | ErrorKind::Conflict => {
                Self::Changed("someone else is writing this file on the copy: it was left alone".into())
            }
            ErrorKind::PermissionDenied => Self::Denied(format!("{place} refuses access ({said})")),
            ErrorKind::ConfigInvalid => {
                Self::Gone(format!("{place} cannot be used: {}", short(error.message())))
            }
            _ if all.contains("loading credential") || all.contains("no valid credential") => {
                Self::Gone(format!("there are no credentials for {place}"))
            }
            _ if error.message().contains("timeout reached") => {
                Self::Failed(format!("{place} does not answer within {} s", store.limits.step.as_secs_f32()))
            }
            _ if error.message().starts_with("send http request") => {
                let (root, connecting) = root_of(error);
                match connecting {
                    true => Self::Gone(format!("{place} cannot be reached: {root}")),
                    false => Self::Failed(format!("{place} broke the connection off: {root}")),
                }
            }
            _ if error.message().starts_with("read data from http response") => {
                Self::Failed(format!("{place} broke the connection off: {}", root_of(error).0))
            }
            _ if !status.is_empty() => Self::Failed(format!("{place} answers {said}")),
            _ => Self::Failed(format!("{place}: {}", short(error.message()))),
        }
    }

    pub(crate) fn into_words(self) -> String {
        match self {
            Self::NotThere => "it is not there".into(),
            Self::Changed(why) | Self::Denied(why) | Self::Gone(why) | Self::Failed(why) => why,
        }
    }

    /// A store that does not know a condition on writing says so in many ways.
    pub(crate) fn is_unknown_condition(error: &Error, dialect: Dialect) -> bool {
        let text = error.to_string();
        dialect == Dialect::S3
            && (error.kind() == ErrorKind::Unsupported
                || text.contains("NotImplemented")
                || text.contains("status: 501"))
    }
}

/// The innermost cause, and whether it came of connecting.
fn root_of(error: &Error) -> (String, bool) {
    let mut connecting = false;
    let mut root = error.message().to_owned();
    let mut cause = error.source();
    while let Some(inner) = cause {
        root = inner.to_string();
        connecting |= root.contains("(Connect)") || root.contains("dns error");
        cause = inner.source();
    }
    (short(&root), connecting)
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found.trim())
}

/// Pages of HTML are no help.
fn short(text: &str) -> String {
    const MOST: usize = 200;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
