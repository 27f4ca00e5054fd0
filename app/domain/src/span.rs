//! Spans of time as people write them in a configuration: `24h`, `7 d`, `1h 30min`.

use std::fmt;
use std::str::FromStr;

use crate::units;

/// Whole seconds, more than none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    seconds: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a span of time; write for example \"90 min\", \"24h\" or \"7d\" (units: s, min, h, d, w)"
)]
pub struct InvalidSpan(String);

/// A hundred years: beyond it a span means "never", which is better left out.
const LONGEST_SECONDS: u64 = 100 * 366 * 86_400;

impl Span {
    pub const THIRTY_DAYS: Self = Self { seconds: 30 * 86_400 };

    pub fn seconds(self) -> u64 {
        self.seconds
    }

    /// As a number to reckon with.
    pub fn seconds_f64(self) -> f64 {
        self.seconds as f64
    }
}

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        let invalid = || InvalidSpan(text.to_owned());
        let mut rest = text.trim();
        let mut seconds: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
            let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
            let after = rest[digits..].trim_start();
            let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let unit: u64 = match &after[..end] {
                "s" | "sec" => 1,
                "m" | "min" => 60,
                "h" => 3_600,
                "d" => 86_400,
                "w" => 604_800,
                _ => return Err(invalid()),
            };
            seconds =
                number.checked_mul(unit).and_then(|more| seconds.checked_add(more)).ok_or_else(invalid)?;
            rest = after[end..].trim_start();
        }
        if (1..=LONGEST_SECONDS).contains(&seconds) { Ok(Self { seconds }) } else { Err(invalid()) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&units::duration(self.seconds_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        let seconds = |text: &str| text.parse::<Span>().map(Span::seconds);
        assert_eq!(seconds("24h"), Ok(86_400));
        assert_eq!(seconds(" 7 d "), Ok(604_800));
        assert_eq!(seconds("1h 30min"), Ok(5_400));
        assert_eq!(seconds("90m"), Ok(5_400));
        assert_eq!(seconds("2w"), Ok(1_209_600));
        for wrong in
            ["", "0h", "h", "24", "24 hours", "-1h", "1.5h", "7d!", "99999999999999999999h", "999999999w"]
        {
            let error = wrong.parse::<Span>().unwrap_err().to_string();
            assert!(error.contains(wrong) && error.contains("24h"), "{error}");
        }
        assert_eq!("36h".parse::<Span>().unwrap().to_string(), "1 d 12 h");
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in ".{0,20}") {
            if let Ok(span) = text.parse::<Span>() {
                prop_assert!(span.seconds() > 0);
            }
        }
    }
}
