//! The `Range` header (RFC 9110, 14): which parts of a file are asked for.
//!
//! What is not understood is ignored, as the standard wants it: the whole file is a right answer to everything. No answer has more
//! parts than [`MOST_PARTS`], nor more bytes than the file.

/// Who asks for more gets the whole file.
pub const MOST_PARTS: usize = 16;

/// Both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub first: u64,
    pub last: u64,
}

impl Part {
    pub fn len(self) -> u64 {
        self.last - self.first + 1
    }

    /// No part is.
    pub fn is_empty(self) -> bool {
        false
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    Whole,
    /// At least one.
    Parts(Vec<Part>),
    /// None of what was asked for lies within the file.
    Nothing,
}

/// What `header` wants of a file of `size` bytes.
pub fn wanted(header: &str, size: u64) -> Wanted {
    let Some(specs) = parse(header) else { return Wanted::Whole };
    if size == 0 && specs.iter().any(|spec| matches!(spec, Spec::Last(1..))) {
        return Wanted::Whole;
    }
    let parts: Vec<Part> = specs.into_iter().filter_map(|spec| spec.within(size)).collect();
    match parts.len() {
        0 => Wanted::Nothing,
        _ => Wanted::Parts(apart(parts)),
    }
}

enum Spec {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

impl Spec {
    fn within(self, size: u64) -> Option<Part> {
        let end = size.checked_sub(1)?;
        let (first, last) = match self {
            Self::From(first) => (first, end),
            Self::Between(first, last) => (first, last.min(end)),
            Self::Last(0) => return None,
            Self::Last(count) => (size.saturating_sub(count), end),
        };
        (first <= end).then_some(Part { first, last })
    }
}

/// `None` where it is no list of byte ranges, or too long a one.
fn parse(header: &str) -> Option<Vec<Spec>> {
    let (unit, list) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut specs = Vec::new();
    for spec in list.split(',').map(|spec| spec.trim_matches([' ', '\t'])).filter(|spec| !spec.is_empty()) {
        if specs.len() == MOST_PARTS {
            return None;
        }
        let (first, last) = spec.split_once('-')?;
        specs.push(match (first, last) {
            ("", count) => Spec::Last(number(count)?),
            (first, "") => Spec::From(number(first)?),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first {
                    return None;
                }
                Spec::Between(first, last)
            }
        });
    }
    (!specs.is_empty()).then_some(specs)
}

/// Digits alone; one beyond 64 bits lies behind the end of every file.
fn number(digits: &str) -> Option<u64> {
    let is_one = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_one.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Parts that overlap become one; else the order stays that of the question.
fn apart(parts: Vec<Part>) -> Vec<Part> {
    let mut sorted = parts.clone();
    sorted.sort_unstable_by_key(|part| part.first);
    if sorted.windows(2).all(|pair| pair[0].last < pair[1].first) {
        return parts;
    }
    let mut merged: Vec<Part> = Vec::new();
    for part in sorted {
        match merged.last_mut() {
            Some(before) if part.first <= before.last.saturating_add(1) => {
                before.last = before.last.max(part.last);
            }
            _ => merged.push(part),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(header: &str, size: u64) -> Vec<(u64, u64)> {
        match wanted(header, size) {
            Wanted::Parts(parts) => parts.into_iter().map(|part| (part.first, part.last)).collect(),
            other => panic!("{header} of {size}: {other:?}"),
        }
    }

    #[test]
    fn ranges_are_read_as_the_standard_has_them() {
        for (header, expected) in [
            ("bytes=0-0", vec![(0, 0)]),
            ("bytes=0-499", vec![(0, 499)]),
            ("Bytes = 500-", vec![(500, 999)]),
            ("bytes=-500", vec![(500, 999)]),
            ("bytes=-5000", vec![(0, 999)]),
            ("bytes=990-5000", vec![(990, 999)]),
            ("bytes=0-99999999999999999999999", vec![(0, 999)]),
            ("bytes=0-0,-1", vec![(0, 0), (999, 999)]),
            ("bytes=500-600, 0-9", vec![(500, 600), (0, 9)]),
            ("bytes=0-9,5-20,2000-", vec![(0, 20)]),
            ("bytes=0-9,9-", vec![(0, 999)]),
            ("bytes=5000-,0-1", vec![(0, 1)]),
            ("bytes=,0-1,", vec![(0, 1)]),
        ] {
            assert_eq!(parts(header, 1000), expected, "{header}");
        }
    }

    #[test]
    fn what_makes_no_sense_asks_for_the_whole_file() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-2",
            "bytes=1-2-3",
            "lines=1-2",
            "bytes=0-1;2-3",
            "bytes=+1-2",
            "bytes= 1 - 2",
            "bytes=0x1-2",
            "bytes=--1",
        ] {
            assert_eq!(wanted(header, 1000), Wanted::Whole, "{header:?}");
        }
        let many = vec!["0-1"; MOST_PARTS + 1].join(",");
        assert_eq!(wanted(&format!("bytes={many}"), 1000), Wanted::Whole);
    }

    #[test]
    fn what_lies_behind_the_end_is_not_to_be_had() {
        for (header, size) in [
            ("bytes=1000-", 1000),
            ("bytes=1000-2000", 1000),
            ("bytes=-0", 1000),
            ("bytes=0-", 0),
            ("bytes=-0", 0),
        ] {
            assert_eq!(wanted(header, size), Wanted::Nothing, "{header} of {size}");
        }
        assert_eq!(wanted("bytes=-5", 0), Wanted::Whole, "the last five bytes of nothing are nothing");
    }

    proptest! {
        #[test]
        fn no_answer_is_longer_than_the_file(
            specs in proptest::collection::vec((proptest::option::of(0_u64..120), proptest::option::of(0_u64..120)), 1..20),
            size in 0_u64..100,
        ) {
            let text = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
            let list: Vec<_> = specs.iter().map(|&(a, b)| format!("{}-{}", text(a), text(b))).collect();
            if let Wanted::Parts(parts) = wanted(&format!("bytes={}", list.join(",")), size) {
                prop_assert!(!parts.is_empty() && parts.len() <= MOST_PARTS);
                prop_assert!(parts.iter().all(|part| part.first <= part.last && part.last < size));
                prop_assert!(parts.iter().map(|part| part.len()).sum::<u64>() <= size);
            }
        }

        #[test]
        fn one_range_gives_the_bytes_that_it_names(first in 0_u64..50, last in 0_u64..50, size in 1_u64..50) {
            let expected: Vec<u64> = (0..size).filter(|at| (first..=last).contains(at)).collect();
            let told = match wanted(&format!("bytes={first}-{last}"), size) {
                Wanted::Parts(parts) => parts.iter().flat_map(|part| part.first..=part.last).collect(),
                Wanted::Nothing => Vec::new(),
                Wanted::Whole => { prop_assert!(last < first); return Ok(()) }
            };
            prop_assert_eq!(told, expected);
        }

        #[test]
        fn nothing_makes_it_panic(header in "\\PC{0,40}", size in any::<u64>()) {
            let _ = wanted(&header, size);
            let _ = wanted(&format!("bytes={header}"), size);
        }
    }
}
