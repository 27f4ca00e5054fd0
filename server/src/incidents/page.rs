//! A public document as it waits in memory: its bytes in three encodings, and how a request for it is answered.
//!
//! Invariant: the tag follows from the content and the encoding alone; equal bytes, equal tag, whichever process
//! rendered them.

use std::io::Write;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, StatusCode};
use salvor_domain::path::hex;

const CACHING: &str = "public, max-age=15, stale-while-revalidate=60, stale-if-error=86400";
/// A good ratio at a millisecond a page.
const BROTLI_QUALITY: u32 = 5;
const BROTLI_WINDOW: u32 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Html,
    Json,
    Atom,
}

impl Kind {
    fn content_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
            Self::Atom => "application/atom+xml; charset=utf-8",
        }
    }
}

#[derive(Debug)]
pub struct Page {
    kind: Kind,
    digest: [u8; 12],
    plain: Bytes,
    gzip: Bytes,
    brotli: Bytes,
}

impl Page {
    pub fn new(kind: Kind, content: Vec<u8>) -> std::io::Result<Self> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&content)?;
        let mut brotli = Vec::new();
        let mut compressor = brotli::CompressorWriter::new(&mut brotli, 4096, BROTLI_QUALITY, BROTLI_WINDOW);
        compressor.write_all(&content)?;
        compressor.flush()?;
        drop(compressor);
        let mut digest = [0; 12];
        digest.copy_from_slice(&blake3::hash(&content).as_bytes()[..12]);
        Ok(Self { kind, digest, gzip: gzip.finish()?.into(), brotli: brotli.into(), plain: content.into() })
    }

    /// The bytes as they are without an encoding.
    pub fn content(&self) -> &Bytes {
        &self.plain
    }

    /// 200 in the best encoding that the request takes, or 304. `policy` is the content security policy of documents.
    pub fn respond(&self, request: &HeaderMap, policy: &str) -> Response {
        let (encoding, bytes) = self.variant(request);
        let tag = self.tag(encoding);
        let mut response = Response::builder()
            .header(ETAG, &tag)
            .header(CACHE_CONTROL, CACHING)
            .header(VARY, ACCEPT_ENCODING.as_str());
        response = match self.kind {
            Kind::Html => response.header(CONTENT_SECURITY_POLICY, policy),
            Kind::Json | Kind::Atom => response.header(ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        };
        let built = if self.is_known(request) {
            response.status(StatusCode::NOT_MODIFIED).body(Body::empty())
        } else {
            if let Some(encoding) = encoding {
                response = response.header(CONTENT_ENCODING, encoding);
            }
            response.header(CONTENT_TYPE, self.kind.content_type()).body(Body::from(bytes))
        };
        built.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }

    fn variant(&self, request: &HeaderMap) -> (Option<&'static str>, Bytes) {
        if accepts(request, "br") {
            (Some("br"), self.brotli.clone())
        } else if accepts(request, "gzip") {
            (Some("gzip"), self.gzip.clone())
        } else {
            (None, self.plain.clone())
        }
    }

    /// Strong: other bytes, other tag; so the encoding is part of it.
    fn tag(&self, encoding: Option<&str>) -> String {
        let suffix = encoding.map_or(String::new(), |encoding| format!("-{encoding}"));
        format!("\"{}{suffix}\"", self.digest_hex())
    }

    fn digest_hex(&self) -> String {
        hex(&self.digest)
    }

    /// Whether the caller has this content already, in whatever encoding.
    fn is_known(&self, request: &HeaderMap) -> bool {
        let digest = self.digest_hex();
        let tags = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        tags.flat_map(|value| value.split(',')).map(str::trim).any(|tag| {
            let word = tag.trim_start_matches("W/").trim_matches('"');
            tag == "*" || word == digest || word.rsplit_once('-').is_some_and(|(word, _)| word == digest)
        })
    }
}

/// Whether an Accept-Encoding names this encoding, and not with a weight of nought.
fn accepts(request: &HeaderMap, encoding: &str) -> bool {
    let headers = request.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    headers.flat_map(|value| value.split(',')).any(|part| {
        let mut words = part.split(';').map(str::trim);
        let named = words.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
        let refused = words.filter_map(|word| word.split_once('=')).any(|(name, weight)| {
            name.trim().eq_ignore_ascii_case("q")
                && weight.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0)
        });
        named && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn the_best_encoding_that_is_taken() {
        let page = Page::new(Kind::Html, b"status ".repeat(500)).unwrap();
        for (accepted, encoding) in [
            ("gzip, deflate, br;q=0.9", Some("br")),
            ("gzip, br;q=0", Some("gzip")),
            ("GZIP;q=0.1", Some("gzip")),
            ("identity", None),
            ("", None),
        ] {
            let (found, bytes) = page.variant(&request(ACCEPT_ENCODING, accepted));
            assert_eq!(found, encoding, "{accepted}");
            assert_eq!(bytes.len() < 500, encoding.is_some());
        }
    }

    #[test]
    fn what_the_caller_has_is_not_sent_again() {
        let page = Page::new(Kind::Json, b"{}".to_vec()).unwrap();
        let tag = |encoding| page.tag(encoding);
        for (sent, status) in [
            (tag(None), 304),
            (format!("\"other\", W/{}", tag(Some("br"))), 304),
            ("*".into(), 304),
            ("\"other\"".into(), 200),
        ] {
            let response = page.respond(&request(IF_NONE_MATCH, &sent), "");
            assert_eq!(response.status(), status, "{sent}");
            assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
            assert!(response.headers().contains_key(ETAG));
        }
        assert_ne!(tag(None), tag(Some("br")));
    }

    #[test]
    fn every_encoding_holds_the_same_content() {
        use std::io::Read;
        let content = "Größe ".repeat(99).into_bytes();
        let page = Page::new(Kind::Html, content.clone()).unwrap();
        let (mut gzip, mut brotli) = (Vec::new(), Vec::new());
        flate2::read::GzDecoder::new(&page.gzip[..]).read_to_end(&mut gzip).unwrap();
        brotli::Decompressor::new(&page.brotli[..], 4096).read_to_end(&mut brotli).unwrap();
        assert!(gzip == content && brotli == content && page.content() == &content);
    }
}
