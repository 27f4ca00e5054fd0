//! Identifiers: UUIDv7 as lower-case text, sortable by time of creation.
//!
//! Time and randomness are arguments, so that tests can repeat an id and the domain stays free of I/O.

use chrono::{DateTime, Utc};

/// A text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an id; ids look like 0190b2c4-6f00-7000-8000-000000000000")]
pub struct InvalidId(String);

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(uuid::Uuid);

        impl $name {
            pub fn new(now: DateTime<Utc>, random: [u8; 10]) -> Self {
                let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
                Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                uuid::Uuid::try_parse(text).map(Self).map_err(|_| InvalidId(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> { text.parse() }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String { id.to_string() }
        }
    )+};
}

ids! {
    /// A check, restore or protect job.
    JobId,
    /// One run of a process that works on jobs; the holder of a lease.
    WorkerId,
    UserId,
    TokenId,
    ComponentId,
    IncidentId,
    /// One timestamped update of an incident.
    UpdateId,
    TicketId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_survive_text() {
        let early = JobId::new(DateTime::from_timestamp(1_000, 0).unwrap(), [9; 10]);
        let late = JobId::new(DateTime::from_timestamp(2_000, 0).unwrap(), [0; 10]);
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse::<JobId>(), Ok(early));
        assert!("17".parse::<JobId>().unwrap_err().to_string().contains("\"17\""));
    }
}
