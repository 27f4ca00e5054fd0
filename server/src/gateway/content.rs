//! What a file is, by its name and else by its first bytes; and whether a browser would run it.
//!
//! Only kinds that are known to be looked at and not run are shown in place. Everything else is handed out as a download that may
//! do nothing: whoever uploads a page must not speak for the service.

use http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};

/// Bytes of a file that tell what it is.
pub const TELLING: usize = 512;
const BYTES: &str = "application/octet-stream";

/// The kind of a file.
pub fn kind(name: &[u8], first: &[u8]) -> &'static str {
    let ending = name.rsplit(|&byte| byte == b'.').next().filter(|ending| ending.len() < name.len());
    let ending = ending.and_then(|ending| std::str::from_utf8(ending).ok());
    ending
        .and_then(|ending| mime_guess::from_ext(ending).first_raw())
        .or_else(|| infer::get(&first[..first.len().min(TELLING)]).map(|kind| kind.mime_type()))
        .unwrap_or(BYTES)
}

/// Says what it is, and keeps browsers from making something else of it.
pub fn label(headers: &mut HeaderMap, kind: &'static str) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !is_inert(kind) {
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
        let nothing = HeaderValue::from_static("default-src 'none'; sandbox");
        headers.insert(CONTENT_SECURITY_POLICY, nothing);
    }
}

fn is_inert(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default();
    match essence.split_once('/') {
        Some(("image", what)) => !what.contains("xml"),
        Some(("audio" | "video" | "font", _)) => true,
        _ => matches!(essence, "text/plain" | "text/css" | "text/csv" | "application/pdf" | BYTES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_first_and_then_the_bytes() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
        for (name, first, told) in [
            (&b"a.jpg"[..], &b""[..], "image/jpeg"),
            (b"a.JPG", b"<html>", "image/jpeg"),
            (b"a.tar.gz", b"", "application/gzip"),
            (b"a", png, "image/png"),
            (b"a.unknown", png, "image/png"),
            (b"a.", b"", BYTES),
            (b"jpg", b"", BYTES),
            (b"a.\xff", b"", BYTES),
            (b"a.html", png, "text/html"),
        ] {
            assert_eq!(kind(name, first), told, "{}", String::from_utf8_lossy(name));
        }
    }

    #[test]
    fn what_browsers_run_is_a_download_that_may_do_nothing() {
        for name in [
            "a.html", "a.htm", "a.xhtml", "a.svg", "a.svgz", "a.xml", "a.xsl", "a.js", "a.mht", "a.swf",
            "a.rss", "a.json",
        ] {
            let mut headers = HeaderMap::new();
            label(&mut headers, kind(name.as_bytes(), b""));
            assert_eq!(headers.get(CONTENT_DISPOSITION).unwrap(), "attachment", "{name}");
            assert!(headers[CONTENT_SECURITY_POLICY].to_str().unwrap().contains("sandbox"), "{name}");
        }
        for name in ["a.jpg", "a.png", "a.mp3", "a.mp4", "a.pdf", "a.txt", "a.woff2", "a"] {
            let mut headers = HeaderMap::new();
            label(&mut headers, kind(name.as_bytes(), b""));
            assert!(!headers.contains_key(CONTENT_DISPOSITION), "{name}");
            assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
        }
        // Bytes that no name vouches for are told by `infer` as well, and are no more trusted.
        let mut headers = HeaderMap::new();
        label(&mut headers, kind(b"page", b"<!DOCTYPE html><html>"));
        assert!(headers.contains_key(CONTENT_DISPOSITION) || headers[CONTENT_TYPE] == BYTES);
    }
}
