//! ext4's own error counts, `/sys/fs/ext4/DEVICE/`. They are kept in the super block until `e2fsck` clears them: a remount does not.

use std::collections::BTreeMap;

use chrono::DateTime;
use salvor_domain::health::{Facts, Level, Probe, Reading};
use salvor_domain::units;

/// The files that are read. Numbers stay numbers in the facts.
pub const FILES: [&str; 15] = [
    "errors_count",
    "warning_count",
    "msg_count",
    "first_error_time",
    "first_error_func",
    "first_error_line",
    "first_error_ino",
    "first_error_block",
    "first_error_errcode",
    "last_error_time",
    "last_error_func",
    "last_error_line",
    "last_error_ino",
    "last_error_block",
    "last_error_errcode",
];

/// Values by the names of their files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<String, String>);

impl Counts {
    /// `errors_count=0`, one a line; other lines are passed over.
    pub fn parse(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs
            .filter(|(name, _)| FILES.contains(name))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect()
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name).parse().ok()
    }

    /// Whether the file system counts errors since its last check; what cannot be read is not zero.
    pub fn reading(&self, subject: &str) -> Reading {
        let Some(errors) = self.number("errors_count") else {
            return Reading::new(Probe::Ext4, subject, Level::Unknown, "ext4's error count cannot be read");
        };
        let mut reading = if errors == 0 {
            Reading::new(Probe::Ext4, subject, Level::Ok, "ext4 counts no errors")
        } else {
            Reading::new(Probe::Ext4, subject, Level::Critical, self.why(errors)).stopping_writes()
        };
        reading.facts = self.facts();
        // Under the name that is kept over time.
        reading.facts.insert("errors".into(), errors.into());
        if errors == 0 {
            return reading;
        }
        reading.with("occurrence", format!("{}-{errors}", self.text("last_error_time")))
    }

    fn why(&self, errors: u64) -> String {
        let since =
            self.number("first_error_time").and_then(|at| DateTime::from_timestamp(at.try_into().ok()?, 0));
        let since = since.map(|at| format!(" since {}", at.format("%Y-%m-%d %H:%M UTC"))).unwrap_or_default();
        let place = match self.text("first_error_func") {
            "" => String::new(),
            place => format!(", first in {place}"),
        };
        let errors = units::counted(errors, "error", "errors");
        format!("ext4 counts {errors}{since}{place}: unmount it and run e2fsck")
    }

    fn facts(&self) -> Facts {
        let mut facts = Facts::new();
        for (name, value) in &self.0 {
            let fact = value.parse::<u64>().map_or_else(|_| value.as_str().into(), Into::into);
            facts.insert(name.clone(), fact);
        }
        if let Some(code) = self.number("last_error_errcode").filter(|&code| code > 0) {
            facts.insert("errcode".into(), format!("{code} ({})", errcode(code)).into());
        }
        facts
    }
}

impl FromIterator<(String, String)> for Counts {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(values: T) -> Self {
        Self(values.into_iter().collect())
    }
}

/// The super block's own numbers (`EXT4_ERR_…` of the kernel), which are not those of `errno`.
fn errcode(code: u64) -> &'static str {
    const NAMES: [&str; 16] = [
        "unknown",
        "EIO",
        "ENOMEM",
        "EFSBADCRC",
        "EFSCORRUPTED",
        "ENOSPC",
        "ENOKEY",
        "EROFS",
        "EFBIG",
        "EEXIST",
        "ERANGE",
        "EOVERFLOW",
        "EBUSY",
        "ENOTDIR",
        "ENOTEMPTY",
        "ESHUTDOWN",
    ];
    let at = usize::try_from(code).ok().and_then(|code| code.checked_sub(1));
    at.and_then(|at| NAMES.get(at)).copied().unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIPPED: &str = "errors_count=1\nwarning_count=1\nfirst_error_time=1795378917\n\
        first_error_func=htree_dirblock_to_tree\nfirst_error_ino=25606\nlast_error_time=1795378917\nlast_error_errcode=4\n";

    #[test]
    fn counted_errors_stop_writes_and_say_when_and_where() {
        let reading = Counts::parse(TRIPPED).reading("fs:/srv");
        assert!(reading.level == Level::Critical && reading.stops_writes);
        assert_eq!(
            reading.reason,
            "ext4 counts 1 error since 2026-11-22 20:21 UTC, first in htree_dirblock_to_tree: unmount it and run e2fsck"
        );
        assert_eq!(reading.facts["errors_count"], 1);
        assert_eq!(reading.facts["errcode"], "4 (EFSBADCRC)");
        assert_eq!(reading.facts["occurrence"], "1795378917-1");
    }

    #[test]
    fn a_further_error_is_another_occurrence() {
        let again = Counts::parse(&TRIPPED.replace("errors_count=1", "errors_count=2")).reading("x");
        assert_eq!(again.facts["occurrence"], "1795378917-2");
    }

    #[test]
    fn none_is_ok_and_what_cannot_be_read_is_not() {
        let well = Counts::parse("errors_count=0\nfirst_error_func=\n").reading("x");
        assert_eq!((well.level, well.stops_writes), (Level::Ok, false));
        for text in ["", "errors_count=\n", "errors_count=none\n"] {
            assert_eq!(Counts::parse(text).reading("x").level, Level::Unknown, "{text:?}");
        }
    }
}
