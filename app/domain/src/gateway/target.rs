//! What a request's path names: a volume, and a file in it. A name has one spelling of its folders: what is doubled, dotted, hidden
//! or escaped to look like another path names nothing.

use crate::path::{FilePath, InvalidPath};

/// Where a file system's own check puts what it finds.
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// Why a request's path names no file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoTarget {
    #[error("a % in an address is followed by two hexadecimal digits")]
    Escape,
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// Salvor's own, temporary ones, and what others hide.
    #[error("names that begin with a dot are not given out")]
    Hidden,
    #[error("an address is /volume/path")]
    NoFile,
}

/// `/uploads/anna/a%20b.jpg` → `uploads`, `anna/a b.jpg`.
pub fn parse(path: &str) -> Result<(&str, FilePath), NoTarget> {
    let (volume, file) =
        path.strip_prefix('/').and_then(|path| path.split_once('/')).ok_or(NoTarget::NoFile)?;
    if volume.is_empty() || file.is_empty() {
        return Err(NoTarget::NoFile);
    }
    let file = FilePath::new(unescaped(file.as_bytes())?)?;
    let mut names = file.as_bytes().split(|&byte| byte == b'/');
    if names.any(|name| name.starts_with(b".") || name == LOST_AND_FOUND) {
        return Err(NoTarget::Hidden);
    }
    Ok((volume, file))
}

/// No name holds a slash, so an escaped one only looks like a folder's.
fn unescaped(text: &[u8]) -> Result<Vec<u8>, NoTarget> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, further)) = rest.split_first() {
        rest = further;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (high, low, further) = match further {
            [high, low, further @ ..] => (digit(*high)?, digit(*low)?, further),
            _ => return Err(NoTarget::Escape),
        };
        match high << 4 | low {
            b'/' => return Err(InvalidPath::DotComponent.into()),
            byte => bytes.push(byte),
        }
        rest = further;
    }
    Ok(bytes)
}

fn digit(byte: u8) -> Result<u8, NoTarget> {
    let digit = char::from(byte).to_digit(16).ok_or(NoTarget::Escape)?;
    u8::try_from(digit).map_err(|_| NoTarget::Escape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_read_whatever_bytes_they_have() {
        for (path, name) in [
            ("/uploads/a.jpg", &b"a.jpg"[..]),
            ("/uploads/anna/a%20b.jpg", b"anna/a b.jpg"),
            ("/uploads/caf%E9%20%5C%20100%25.gif", b"caf\xe9 \\ 100%.gif"),
            ("/uploads/a+b&c;d=e", b"a+b&c;d=e"),
            ("/uploads/a%3Fb%23c", b"a?b#c"),
            ("/uploads/%252e%252e/x", b"%2e%2e/x"),
            ("/uploads/a...b", b"a...b"),
        ] {
            assert_eq!(parse(path).unwrap(), ("uploads", FilePath::new(name).unwrap()), "{path}");
        }
    }

    #[test]
    fn what_leads_elsewhere_or_is_hidden_names_nothing() {
        for path in [
            "",
            "/",
            "*",
            "/uploads",
            "/uploads/",
            "//a",
            "uploads/a",
            "/uploads//a",
            "/uploads/a/",
            "/uploads/a//b",
            "/uploads/../a",
            "/uploads/%2e%2e/a",
            "/uploads/.%2e/a",
            "/uploads/a/..",
            "/uploads/a/./b",
            "/uploads/a%2fb",
            "/uploads/..%2fa",
            "/uploads/%2fetc/passwd",
            "/uploads/a%00b",
            "/uploads/a%",
            "/uploads/a%2",
            "/uploads/a%zz",
            "/uploads/a%+1",
            "/uploads/.salvor/volume-id",
            "/uploads/%2esalvor/x",
            "/uploads/a/.htaccess",
            "/uploads/.git/x",
            "/uploads/lost+found/x",
            "/uploads/lost%2Bfound/x",
            "/uploads/a/lost+found/x",
            "/uploads/...",
        ] {
            assert!(parse(path).is_err(), "{path}");
        }
    }

    proptest! {
        /// Every name that may be given out has an address, and it is that name's alone.
        #[test]
        fn an_escaped_name_comes_back(name in proptest::collection::vec(any::<u8>(), 1..40)) {
            let Ok(file) = FilePath::new(name) else { return Ok(()) };
            let escape = |&byte: &u8| match byte {
                b'/' => "/".to_owned(),
                byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
                byte => format!("%{byte:02x}"),
            };
            let address: String = file.as_bytes().iter().map(escape).collect();
            let is_hidden = file.as_bytes().split(|&byte| byte == b'/').any(|name| name[0] == b'.' || name == b"lost+found");
            match parse(&format!("/v/{address}")) {
                Ok((volume, read)) => prop_assert!(volume == "v" && read == file && !is_hidden),
                Err(why) => prop_assert!(is_hidden && why == NoTarget::Hidden),
            }
        }

        #[test]
        fn nothing_that_is_read_climbs(path in "[/a.%2eEfF+]{0,24}") {
            if let Ok((_, file)) = parse(&format!("/v/{path}")) {
                prop_assert!(file.as_bytes().split(|&byte| byte == b'/').all(|name| !name.is_empty() && name[0] != b'.'));
            }
        }
    }
}
