//! From what a customer pastes to a path in a volume, by the volume's `url_patterns`.
//!
//! A pattern such as `https://{site}.example.com/files/{path}` maps a URL to `{site}/{path}`; one without `{site}` to
//! `{path}`. The scheme (http or https), query and fragment of what was pasted do not matter; host names ignore case;
//! `%xx` is decoded once.

use crate::path::FilePath;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlPattern {
    text: String,
    /// Without the scheme, lower case: what stands before `{site}`, and between it and `{path}`.
    before: String,
    between: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a URL pattern; write for example \"https://{{site}}.example.com/files/{{path}}\", ending in {{path}}"
)]
pub struct InvalidPattern(String);

impl UrlPattern {
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let invalid = || InvalidPattern(text.to_owned());
        let rest = without_scheme(text).ok_or_else(invalid)?;
        let head = rest.strip_suffix("{path}").ok_or_else(invalid)?;
        let (before, between) = match head.split_once("{site}") {
            Some((before, between)) => (before, Some(between)),
            None => (head, None),
        };
        let literal = |part: &str| !part.contains(['{', '}', '?', '#', ' ']);
        let ends_host = between.unwrap_or(before).contains('/');
        if !literal(before) || !between.is_none_or(literal) || !ends_host {
            return Err(invalid());
        }
        Ok(Self {
            text: text.to_owned(),
            before: before.to_lowercase(),
            between: between.map(str::to_lowercase),
        })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path that `url` means, if it is of this pattern and names a file within a volume.
    pub fn path_of(&self, url: &str) -> Option<FilePath> {
        let rest = without_scheme(url.trim())?;
        let rest = rest.split(['?', '#']).next()?;
        let tail = strip_prefix_ignoring_case(rest, &self.before)?;
        let path = match &self.between {
            None => decoded(tail),
            Some(between) => {
                let at = find_ignoring_case(tail, between)?;
                let site = &tail[..at];
                if site.is_empty() || site.contains('/') {
                    return None;
                }
                let mut path = site.to_ascii_lowercase().into_bytes();
                path.push(b'/');
                path.extend(decoded(&tail[at + between.len()..]));
                path
            }
        };
        FilePath::new(path).ok()
    }

    /// The URL under which a path is served, if it fits the pattern.
    pub fn url_of(&self, path: &FilePath) -> Option<String> {
        let rest = without_scheme(&self.text)?;
        let scheme = &self.text[..self.text.len() - rest.len()];
        match &self.between {
            None => Some(format!("{scheme}{}{}", self.before, encoded(path.as_bytes()))),
            Some(between) => {
                let at = path.as_bytes().iter().position(|&byte| byte == b'/')?;
                let (site, tail) = path.as_bytes().split_at(at);
                let site = std::str::from_utf8(site).ok()?;
                Some(format!("{scheme}{}{site}{between}{}", self.before, encoded(&tail[1..])))
            }
        }
    }
}

fn without_scheme(url: &str) -> Option<&str> {
    strip_prefix_ignoring_case(url, "https://").or_else(|| strip_prefix_ignoring_case(url, "http://"))
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

fn find_ignoring_case(text: &str, needle: &str) -> Option<usize> {
    // ASCII folding keeps byte positions.
    text.to_ascii_lowercase().find(needle)
}

/// `%xx` decoded; a lone `%` stays as it is.
pub fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

/// Everything but unreserved characters and `/` as `%XX` (RFC 3986).
pub fn encoded(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for &byte in path {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_become_paths() {
        let sites = UrlPattern::parse("https://{site}.example.com/files/{path}").unwrap();
        let path = |url: &str| sites.path_of(url).map(|path| path.to_string());
        assert_eq!(
            path("https://Rose.Example.com/files/a%20b.jpg?w=300#top").as_deref(),
            Some("rose/a b.jpg")
        );
        assert_eq!(path(" http://rose.example.com/files/x/y.png ").as_deref(), Some("rose/x/y.png"));
        for other in
            ["https://rose.example.org/files/a.jpg", "rose/a.jpg", "https://a/b.example.com/files/c", ""]
        {
            assert_eq!(path(other), None, "{other}");
        }
        assert_eq!(path("https://rose.example.com/files/../../etc/passwd"), None);
        assert_eq!(path("https://rose.example.com/files/%2e%2e/secret"), None);
    }

    #[test]
    fn paths_become_urls_again() {
        let sites = UrlPattern::parse("https://{site}.example.com/files/{path}").unwrap();
        let file = FilePath::new("rose/a b/ü.jpg").unwrap();
        let url = sites.url_of(&file).unwrap();
        assert_eq!(url, "https://rose.example.com/files/a%20b/%C3%BC.jpg");
        assert_eq!(sites.path_of(&url), Some(file));
    }

    #[test]
    fn a_pattern_that_could_not_work_is_refused() {
        for wrong in [
            "",
            "{path}",
            "https://{path}",
            "https://x.example.com/{name}",
            "ftp://x/{path}",
            "https://x/{path}?a",
        ] {
            assert!(UrlPattern::parse(wrong).is_err(), "{wrong}");
        }
    }
}
