//! Names of files within a volume.
//!
//! A path is bytes, as on disk: relative to the volume's root, `/` between components, any byte but NUL in them. It is
//! parsed once; whoever holds a [`FilePath`] may trust that it cannot climb out of its root by its spelling (symbolic
//! links are the directory handle's business). Ordering is by bytes, the order of the catalogue and of every walk.

use std::fmt;

/// Linux's `PATH_MAX`: the longest path, in bytes, that can be handed to the kernel.
pub const PATH_MAX: usize = 4096;
/// Linux's `NAME_MAX`: the longest component, in bytes.
pub const NAME_MAX: usize = 255;
/// Salvor's own folder in a volume or copy (quarantine); never walked, never restored into.
pub const OWN_FOLDER: &[u8] = b".salvor";

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath(Vec<u8>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    #[error("a path must not be empty")]
    Empty,
    #[error("a path is at most {PATH_MAX} bytes long, this one has {0}")]
    TooLong(usize),
    #[error("a file name is at most {NAME_MAX} bytes long, one here has {0}")]
    NameTooLong(usize),
    #[error("a path is relative to its volume and must not start with /")]
    Absolute,
    #[error("a path must not contain empty, . or .. components")]
    DotComponent,
    #[error("a path must not contain a NUL byte")]
    Nul,
    #[error("a path's bytes are written as pairs of hexadecimal digits")]
    NotHex,
    #[error("the folder .salvor belongs to Salvor itself")]
    OwnFolder,
}

impl FilePath {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, InvalidPath> {
        let bytes = bytes.into();
        match bytes.as_slice() {
            [] => return Err(InvalidPath::Empty),
            [b'/', ..] => return Err(InvalidPath::Absolute),
            _ if bytes.len() > PATH_MAX => return Err(InvalidPath::TooLong(bytes.len())),
            _ if bytes.contains(&0) => return Err(InvalidPath::Nul),
            _ => {}
        }
        for (depth, name) in bytes.split(|&byte| byte == b'/').enumerate() {
            match name {
                b"" | b"." | b".." => return Err(InvalidPath::DotComponent),
                _ if depth == 0 && name == OWN_FOLDER => return Err(InvalidPath::OwnFolder),
                _ if name.len() > NAME_MAX => return Err(InvalidPath::NameTooLong(name.len())),
                _ => {}
            }
        }
        Ok(Self(bytes))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The folder that holds the file, without a trailing `/`; empty for a file at the root.
    pub fn parent(&self) -> &[u8] {
        self.0.iter().rposition(|&byte| byte == b'/').map_or(&[], |at| &self.0[..at])
    }

    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|&byte| byte == b'/').next().unwrap_or(&self.0)
    }
}

/// For people: bytes that are not UTF-8 are shown as `\xNN`, control characters escaped.
impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

impl fmt::Debug for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FilePath({self})")
    }
}

impl FilePath {
    /// The bytes in lower-case hexadecimal: how a path travels where only text can.
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }

    pub fn from_hex(hex: &str) -> Result<Self, InvalidPath> {
        Self::new(from_hex(hex).ok_or(InvalidPath::NotHex)?)
    }
}

impl serde::Serialize for FilePath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> serde::Deserialize<'de> for FilePath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_hex(&<String as serde::Deserialize>::deserialize(deserializer)?)
            .map_err(serde::de::Error::custom)
    }
}

/// The bytes that [`hex`] wrote.
pub fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|four| u8::try_from(four).ok());
    let pairs = hex.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push_hex(&mut text, bytes);
    text
}

/// The same at the end of a text that is there already: lists of a million paths are written this way.
pub fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// Any bytes in hexadecimal, for `#[serde(with = …)]`.
pub mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::hex(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        super::from_hex(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("no hexadecimal"))
    }
}

/// Any bytes as text for people, as [`FilePath`] shows itself.
pub fn shown(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02X}"));
        }
    }
    text
}

/// A pattern for paths: `*` and `?` stay within one component, `**` crosses them; everything else is literal.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Glob(String);

impl Glob {
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn matches(&self, path: &[u8]) -> bool {
        matches_glob(self.0.as_bytes(), path)
    }
}

/// Backtracks to the latest star only, so the time is bounded by `pattern × path`.
fn matches_glob(pattern: &[u8], path: &[u8]) -> bool {
    match pattern {
        [] => path.is_empty(),
        [b'*', b'*', b'/', rest @ ..] => {
            matches_glob(rest, path)
                || path.iter().enumerate().any(|(at, &b)| b == b'/' && matches_glob(rest, &path[at + 1..]))
        }
        [b'*', b'*', rest @ ..] => (0..=path.len()).any(|at| matches_glob(rest, &path[at..])),
        [b'*', rest @ ..] => {
            let end = path.iter().position(|&b| b == b'/').unwrap_or(path.len());
            (0..=end).any(|at| matches_glob(rest, &path[at..]))
        }
        [b'?', rest @ ..] => matches!(path, [b, tail @ ..] if *b != b'/' && matches_glob(rest, tail)),
        [literal, rest @ ..] => matches!(path, [b, tail @ ..] if b == literal && matches_glob(rest, tail)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_would_escape_is_refused_with_its_reason() {
        for (bad, why) in [
            (&b""[..], InvalidPath::Empty),
            (b"/etc/passwd", InvalidPath::Absolute),
            (b"a/../b", InvalidPath::DotComponent),
            (b"a//b", InvalidPath::DotComponent),
            (b"./a", InvalidPath::DotComponent),
            (b"a/", InvalidPath::DotComponent),
            (b"a\0b", InvalidPath::Nul),
            (b".salvor/x", InvalidPath::OwnFolder),
        ] {
            assert_eq!(FilePath::new(bad), Err(why), "{}", shown(bad));
        }
        assert_eq!(FilePath::new([b'x'; 5000]), Err(InvalidPath::TooLong(5000)));
        assert_eq!(FilePath::new([b'x'; 256]), Err(InvalidPath::NameTooLong(256)));
    }

    #[test]
    fn names_that_are_not_utf8_are_kept_and_shown() {
        let path = FilePath::new(b"caf\xe9/100%\\.jpg".to_vec()).unwrap();
        assert_eq!(path.to_string(), "caf\\xE9/100%\\.jpg");
        assert_eq!(FilePath::from_hex(&path.to_hex()), Ok(path.clone()));
        assert_eq!(FilePath::from_hex("6g"), Err(InvalidPath::NotHex));
        assert_eq!((path.parent(), path.file_name()), (&b"caf\xe9"[..], &b"100%\\.jpg"[..]));
    }

    #[test]
    fn stars_stay_in_a_folder_and_double_stars_cross() {
        let is = |pattern: &str, path: &str| Glob::new(pattern).matches(path.as_bytes());
        assert!(is("anna/*.jpg", "anna/a.jpg") && !is("anna/*.jpg", "anna/b/a.jpg"));
        assert!(is("anna/**", "anna/b/a.jpg") && is("**/*.jpg", "a.jpg") && is("**/*.jpg", "x/y/a.jpg"));
        assert!(is("a?c", "abc") && !is("a?c", "a/c") && !is("a", "ab"));
    }

    proptest! {
        #[test]
        fn a_parsed_path_never_climbs(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(path) = FilePath::new(bytes) {
                prop_assert!(path.as_bytes().split(|&b| b == b'/').all(|name| !matches!(name, b"" | b"." | b"..")));
            }
        }
    }
}
