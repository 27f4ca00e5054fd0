//! Conditional requests (RFC 9110, 13): what is told to whom has a file already.

use std::fmt;
use std::time::UNIX_EPOCH;

use crate::digest::Digest;

/// The mark of one version of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    is_weak: bool,
    opaque: String,
}

impl Tag {
    /// Of bytes whose checksum is known: no other bytes have it.
    pub fn of_bytes(digest: &Digest) -> Self {
        // Half of it is beyond all chance, and every request carries it.
        let opaque = digest.0[..16].iter().fold(String::with_capacity(32), |mut text, byte| {
            for four in [byte >> 4, byte & 15] {
                text.push(char::from_digit(four.into(), 16).unwrap_or('0'));
            }
            text
        });
        Self { is_weak: false, opaque }
    }

    /// Of a file that nobody has read yet: it may be written twice within a tick of its clock.
    pub fn of_stat(size: u64, mtime_ns: i64) -> Self {
        Self { is_weak: true, opaque: format!("{mtime_ns:x}-{size:x}") }
    }

    fn is_strongly(&self, other: &Told<'_>) -> bool {
        !self.is_weak && !other.is_weak && self.opaque == other.opaque
    }

    fn is_weakly(&self, other: &Told<'_>) -> bool {
        self.opaque == other.opaque
    }
}

/// As headers have it.
impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weak = if self.is_weak { "W/" } else { "" };
        write!(f, "{weak}\"{}\"", self.opaque)
    }
}

/// The version that would be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub tag: Tag,
    /// In whole seconds since 1970, as headers tell it; `None` where they cannot.
    pub modified: Option<u64>,
}

impl Version {
    pub fn new(tag: Tag, mtime_ns: i64) -> Self {
        // The last year that a header's date can tell is 9999.
        const LAST: u64 = 253_402_300_799;
        let modified = u64::try_from(mtime_ns.div_euclid(1_000_000_000)).ok().filter(|at| *at <= LAST);
        Self { tag, modified }
    }
}

/// The headers, as they came.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    pub if_match: Option<&'a str>,
    pub if_none_match: Option<&'a str>,
    pub if_modified_since: Option<&'a str>,
    pub if_unmodified_since: Option<&'a str>,
    pub if_range: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Go,
    /// 304
    NotModified,
    /// 412
    Failed,
}

impl Asked<'_> {
    /// Whether what is asked depends on which version there is.
    pub fn is_any(&self) -> bool {
        self.if_match.is_some()
            || self.if_none_match.is_some()
            || self.if_modified_since.is_some()
            || self.if_unmodified_since.is_some()
    }

    /// In the order that the standard lays down (13.2.2).
    pub fn weigh(&self, version: &Version) -> Verdict {
        let holds = match (self.if_match, self.if_unmodified_since) {
            (Some(list), _) => any(list, |told| version.tag.is_strongly(told)),
            (None, Some(date)) => not_after(version, date).unwrap_or(true),
            (None, None) => true,
        };
        let is_known = match (self.if_none_match, self.if_modified_since) {
            (Some(list), _) => any(list, |told| version.tag.is_weakly(told)),
            (None, Some(date)) => not_after(version, date).unwrap_or(false),
            (None, None) => false,
        };
        match (holds, is_known) {
            (false, _) => Verdict::Failed,
            (true, true) => Verdict::NotModified,
            (true, false) => Verdict::Go,
        }
    }

    /// Whether a part may be given: whoever has the rest of another version gets the whole file.
    pub fn part_fits(&self, version: &Version) -> bool {
        let Some(text) = self.if_range.map(str::trim) else { return true };
        match Told::parse(text) {
            Some((told, rest)) => rest.trim().is_empty() && version.tag.is_strongly(&told),
            // A date is only as good as the version that it stands for.
            None => !version.tag.is_weak && date(text).is_some_and(|at| Some(at) == version.modified),
        }
    }
}

/// One tag of a list.
#[derive(Debug, PartialEq, Eq)]
struct Told<'a> {
    is_weak: bool,
    opaque: &'a str,
}

impl<'a> Told<'a> {
    /// The tag that `text` begins with, and what comes after it.
    fn parse(text: &'a str) -> Option<(Self, &'a str)> {
        let (is_weak, quoted) = match text.strip_prefix("W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (opaque, rest) = quoted.strip_prefix('"')?.split_once('"')?;
        Some((Self { is_weak, opaque }, rest))
    }
}

/// Whether one of a list's tags is it. What comes after something that is no tag is not understood.
fn any(list: &str, is_it: impl Fn(&Told<'_>) -> bool) -> bool {
    let mut rest = list.trim();
    if rest == "*" {
        return true;
    }
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        match Told::parse(rest) {
            Some((told, _)) if is_it(&told) => return true,
            Some((_, further)) => rest = further,
            None => return false,
        }
    }
}

/// `None` where the date is none, or nothing is known to compare it with: then the header is not heeded.
fn not_after(version: &Version, text: &str) -> Option<bool> {
    Some(version.modified? <= date(text)?)
}

fn date(text: &str) -> Option<u64> {
    let at = httpdate::parse_http_date(text.trim()).ok()?;
    at.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const EARLIER: &str = "Sunday, 06-Nov-94 08:49:36 GMT";

    fn strong() -> Version {
        Version::new(Tag::of_bytes(&Digest([0xab; 32])), 784_111_777_900_000_000)
    }

    fn weak() -> Version {
        Version::new(Tag::of_stat(3, 784_111_777_900_000_000), 784_111_777_900_000_000)
    }

    #[test]
    fn tags_are_written_and_read_back() {
        let tag = strong().tag.to_string();
        assert_eq!(tag, format!("\"{}\"", "ab".repeat(16)));
        assert_eq!(weak().tag.to_string(), "W/\"ae1b981f1edf300-3\"");
    }

    #[test]
    fn conditions_hold_or_fail_in_the_order_of_the_standard() {
        use Verdict::{Failed, Go, NotModified};
        let tag = strong().tag.to_string();
        let listed = format!("\"other\" , W/\"x,y\",{tag}");
        let as_weak = format!("W/{tag}");
        let asked = Asked::default();
        for (what, asked, expected) in [
            ("nothing", asked, Go),
            ("if-match any", Asked { if_match: Some("*"), ..asked }, Go),
            ("if-match it", Asked { if_match: Some(&listed), ..asked }, Go),
            ("if-match weakly", Asked { if_match: Some(&as_weak), ..asked }, Failed),
            ("if-match other", Asked { if_match: Some("\"other\""), ..asked }, Failed),
            ("if-match nonsense", Asked { if_match: Some("other"), ..asked }, Failed),
            ("if-none-match any", Asked { if_none_match: Some("*"), ..asked }, NotModified),
            ("if-none-match it", Asked { if_none_match: Some(&listed), ..asked }, NotModified),
            ("if-none-match weakly", Asked { if_none_match: Some(&as_weak), ..asked }, NotModified),
            ("if-none-match other", Asked { if_none_match: Some("\"other\""), ..asked }, Go),
            ("modified since, same", Asked { if_modified_since: Some(AT), ..asked }, NotModified),
            ("modified since, later", Asked { if_modified_since: Some(LATER), ..asked }, NotModified),
            ("modified since, earlier", Asked { if_modified_since: Some(EARLIER), ..asked }, Go),
            ("modified since, nonsense", Asked { if_modified_since: Some("yesterday"), ..asked }, Go),
            ("unmodified since, same", Asked { if_unmodified_since: Some(AT), ..asked }, Go),
            ("unmodified since, earlier", Asked { if_unmodified_since: Some(EARLIER), ..asked }, Failed),
            ("unmodified since, nonsense", Asked { if_unmodified_since: Some("?"), ..asked }, Go),
            (
                "the tag goes before the date",
                Asked { if_none_match: Some("\"other\""), if_modified_since: Some(LATER), ..asked },
                Go,
            ),
            (
                "and so it does for what must match",
                Asked { if_match: Some("*"), if_unmodified_since: Some(EARLIER), ..asked },
                Go,
            ),
            (
                "what must match goes first",
                Asked { if_match: Some("\"other\""), if_none_match: Some("*"), ..asked },
                Failed,
            ),
        ] {
            assert_eq!(asked.weigh(&strong()), expected, "{what}");
        }
        let same = weak().tag.to_string();
        assert_eq!(Asked { if_none_match: Some(&same), ..asked }.weigh(&weak()), NotModified);
        assert_eq!(Asked { if_match: Some(&same), ..asked }.weigh(&weak()), Failed);
    }

    #[test]
    fn a_part_is_given_only_of_the_very_version() {
        let fits = |version: &Version, if_range: &str| {
            Asked { if_range: Some(if_range), ..Asked::default() }.part_fits(version)
        };
        let tag = strong().tag.to_string();
        assert!(Asked::default().part_fits(&strong()) && fits(&strong(), &tag) && fits(&strong(), AT));
        for other in [&format!("W/{tag}"), "\"other\"", LATER, EARLIER, "nonsense", "", "*"] {
            assert!(!fits(&strong(), other), "{other}");
        }
        assert!(!fits(&weak(), &weak().tag.to_string()) && !fits(&weak(), AT));
    }

    #[test]
    fn a_time_that_no_header_can_tell_is_left_out() {
        for mtime_ns in [i64::MIN, -1, i64::MAX] {
            let version = Version::new(Tag::of_stat(0, mtime_ns), mtime_ns);
            let told = version.modified;
            assert!(told.is_none() || mtime_ns > 0, "{told:?}");
            let asked = Asked { if_modified_since: Some(AT), ..Asked::default() };
            assert_eq!(asked.weigh(&version), Verdict::Go);
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "\\PC{0,30}") {
            for asked in [
                Asked { if_match: Some(&text), ..Asked::default() },
                Asked { if_none_match: Some(&text), ..Asked::default() },
                Asked { if_modified_since: Some(&text), ..Asked::default() },
                Asked { if_range: Some(&text), ..Asked::default() },
            ] {
                asked.weigh(&strong());
                asked.part_fits(&strong());
            }
        }

        /// Whoever has this very version gets no bytes again, wherever in a list it is named.
        #[test]
        fn a_tag_is_found_in_every_list(before in proptest::collection::vec("[!#-~]{0,8}", 0..5)) {
            let mut list: Vec<_> = before.iter().map(|opaque| format!("\"{opaque}\"")).collect();
            list.push(strong().tag.to_string());
            let list = list.join(", ");
            let asked = Asked { if_none_match: Some(&list), ..Asked::default() };
            prop_assert_eq!(asked.weigh(&strong()), Verdict::NotModified);
        }
    }
}
