//! Limits: how fast a copy may be read, and how much of the machine a job may take.
//!
//! A limit is written as people write it, `20 Mbit/s`; without one there is none, and `0` lets nothing through until it is
//! changed.

use std::fmt;
use std::str::FromStr;

use crate::units::{self, Bandwidth, InvalidBandwidth};

/// Bytes per second as a limit; 0 lets nothing through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteRate(u64);

impl ByteRate {
    pub const NOTHING: Self = Self(0);

    pub fn bytes_per_second(self) -> u64 {
        self.0
    }
}

impl From<Bandwidth> for ByteRate {
    fn from(bandwidth: Bandwidth) -> Self {
        Self(bandwidth.bytes_per_second())
    }
}

impl FromStr for ByteRate {
    type Err = InvalidBandwidth;

    fn from_str(text: &str) -> Result<Self, InvalidBandwidth> {
        if text.trim() == "0" { Ok(Self::NOTHING) } else { text.parse::<Bandwidth>().map(Self::from) }
    }
}

/// Exactly, so that what was read back is what was written: in bits where that is a round number.
impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from(self.0) * 8;
        match bits {
            0 => write!(f, "0"),
            _ if bits.is_multiple_of(1_000_000_000) => write!(f, "{} Gbit/s", bits / 1_000_000_000),
            _ if bits.is_multiple_of(100_000) => write!(f, "{} Mbit/s", Tenths(bits / 100_000)),
            _ if bits.is_multiple_of(1_000) => write!(f, "{} kbit/s", bits / 1_000),
            _ => write!(f, "{} B/s", self.0),
        }
    }
}

/// `12`, `12.5`
struct Tenths(u128);

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 10 {
            0 => write!(f, "{}", self.0 / 10),
            tenth => write!(f, "{}.{tenth}", self.0 / 10),
        }
    }
}

impl TryFrom<String> for ByteRate {
    type Error = InvalidBandwidth;

    fn try_from(text: String) -> Result<Self, InvalidBandwidth> {
        text.parse()
    }
}

impl From<ByteRate> for String {
    fn from(rate: ByteRate) -> Self {
        rate.to_string()
    }
}

/// What is read within. Absent means without a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<ByteRate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_per_second: Option<u64>,
}

impl Limits {
    /// Nothing gets through until it is changed.
    pub fn pauses(self) -> bool {
        self.bandwidth == Some(ByteRate::NOTHING) || self.files_per_second == Some(0)
    }

    /// A change to those that are there; the others stay as they are.
    pub fn named(self) -> LimitsChange {
        LimitsChange {
            bandwidth: self.bandwidth.map_or(Change::Keep, |rate| Change::To(Some(rate))),
            files_per_second: self.files_per_second.map_or(Change::Keep, |files| Change::To(Some(files))),
        }
    }

    /// Each one's part, where several processes keep within it together: never less than one file a second.
    #[must_use]
    pub fn shared_by(self, processes: u64) -> Self {
        let processes = processes.max(1);
        let part = |rate: u64| if rate == 0 { 0 } else { (rate / processes).max(1) };
        Self {
            bandwidth: self.bandwidth.map(|rate| ByteRate(part(rate.0))),
            files_per_second: self.files_per_second.map(part),
        }
    }
}

/// Why what was typed is no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidLimits(String);

/// What is typed to lift a limit. A blank field keeps it, so that none is lifted unseen.
pub const NO_LIMIT: &str = "none";

/// A limit stays as it is, or becomes another or none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Change<T> {
    #[default]
    Keep,
    To(Option<T>),
}

impl<T> Change<T> {
    fn typed(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Self, InvalidLimits> {
        match text.trim() {
            "" => Ok(Self::Keep),
            text if text.eq_ignore_ascii_case(NO_LIMIT) => Ok(Self::To(None)),
            text => parse(text).map(|limit| Self::To(Some(limit))).map_err(InvalidLimits),
        }
    }

    fn of(self, now: Option<T>) -> Option<T> {
        match self {
            Self::Keep => now,
            Self::To(limit) => limit,
        }
    }
}

/// What becomes of the two limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitsChange {
    pub bandwidth: Change<ByteRate>,
    pub files_per_second: Change<u64>,
}

impl LimitsChange {
    /// From the fields of a form: blank keeps a limit, [`NO_LIMIT`] lifts it.
    pub fn typed(bandwidth: &str, files_per_second: &str) -> Result<Self, InvalidLimits> {
        let rate = |text: &str| text.parse().map_err(|why: InvalidBandwidth| why.to_string());
        let files = |text: &str| {
            let no_number = |_| format!("\"{text}\" is not a number of files; write for example 50, or none");
            text.parse().map_err(no_number)
        };
        Ok(Self {
            bandwidth: Change::typed(bandwidth, rate)?,
            files_per_second: Change::typed(files_per_second, files)?,
        })
    }

    #[must_use]
    pub fn of(self, now: Limits) -> Limits {
        Limits {
            bandwidth: self.bandwidth.of(now.bandwidth),
            files_per_second: self.files_per_second.of(now.files_per_second),
        }
    }
}

/// Both, as they are said.
impl From<Limits> for LimitsChange {
    fn from(limits: Limits) -> Self {
        Self {
            bandwidth: Change::To(limits.bandwidth),
            files_per_second: Change::To(limits.files_per_second),
        }
    }
}

/// `at most 20 Mbit/s and 50 files/s`, `no limit`, `paused by its limit`
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pauses() {
            return write!(f, "paused by its limit");
        }
        let files = self.files_per_second.map(|files| format!("{} files/s", units::count(files)));
        match (self.bandwidth, files) {
            (None, None) => write!(f, "no limit"),
            (Some(rate), None) => write!(f, "at most {rate}"),
            (None, Some(files)) => write!(f, "at most {files}"),
            (Some(rate), Some(files)) => write!(f, "at most {rate} and {files}"),
        }
    }
}

/// What one job keeps within, whatever it reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobLimits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<ByteRate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_per_second: Option<u64>,
    /// Hold back wherever the volume gets slower for those whom it serves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gentle: bool,
}

impl JobLimits {
    pub fn limits(self) -> Limits {
        Limits { bandwidth: self.bandwidth, files_per_second: self.files_per_second }
    }
}

impl fmt::Display for JobLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.limits())?;
        if self.gentle { write!(f, ", gently") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn limits_are_written_as_people_write_them() {
        let limits: Limits =
            serde_json::from_str(r#"{"bandwidth":"20 Mbit/s","files_per_second":50}"#).unwrap();
        assert_eq!(limits.bandwidth.unwrap().bytes_per_second(), 2_500_000);
        assert_eq!(limits.to_string(), "at most 20 Mbit/s and 50 files/s");
        assert_eq!(
            serde_json::to_string(&limits).unwrap(),
            r#"{"bandwidth":"20 Mbit/s","files_per_second":50}"#
        );
        assert_eq!(Limits::default().to_string(), "no limit");
        let paused: JobLimits = serde_json::from_str(r#"{"bandwidth":"0","gentle":true}"#).unwrap();
        assert_eq!(paused.to_string(), "paused by its limit, gently");
        for wrong in [r#"{"bandwidth":"fast"}"#, r#"{"bandwith":"1 MB/s"}"#, r#"{"files_per_second":-1}"#] {
            assert!(serde_json::from_str::<Limits>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_blank_field_keeps_its_limit_and_a_word_lifts_it() {
        let now = Limits { bandwidth: Some(ByteRate(2_500_000)), files_per_second: Some(50) };
        let after = |bandwidth, files| LimitsChange::typed(bandwidth, files).map(|change| change.of(now));
        assert_eq!(after("", " "), Ok(now));
        assert_eq!(after("None", "").unwrap(), Limits { bandwidth: None, ..now });
        assert_eq!(after("0", "none").unwrap().to_string(), "paused by its limit");
        assert_eq!(after("8 Mbit/s", "none").unwrap().to_string(), "at most 8 Mbit/s");
        assert!(after("fast", "").is_err() && after("", "few").unwrap_err().to_string().contains("\"few\""));
        assert_eq!(LimitsChange::from(Limits::default()).of(now), Limits::default());
        let one = Limits { bandwidth: Some(ByteRate(1)), files_per_second: None };
        assert_eq!(one.named().of(now), Limits { bandwidth: Some(ByteRate(1)), ..now });
    }

    proptest! {
        #[test]
        fn a_rate_reads_back_as_it_was(rate in prop_oneof![0u64..100_000_000, (0u64..90_000).prop_map(|n| n * 12_500)]) {
            prop_assert_eq!(ByteRate(rate).to_string().parse(), Ok(ByteRate(rate)));
        }

        #[test]
        fn shares_never_add_up_to_more_and_never_stop_what_moves(rate in 1u64..1_000_000, processes in 1u64..20) {
            let shared = Limits { bandwidth: Some(ByteRate(rate)), files_per_second: Some(0) }.shared_by(processes);
            let part = shared.bandwidth.unwrap().bytes_per_second();
            prop_assert!(part >= 1 && (part == 1 || part * processes <= rate));
            prop_assert_eq!(shared.files_per_second, Some(0));
        }
    }
}
