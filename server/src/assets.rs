//! The browser's half, embedded: scripts, styles and root files such as the favicon.
//!
//! `app/bundle` makes the folder and this module serves it; nothing is read from disk at run time. What must always hold:
//! a name under `pkg/` that carries a hash never changes its bytes, so browsers keep it for good; everything else is
//! revalidated by its ETag. Compressed variants were made by the bundle and are only chosen here.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, IF_NONE_MATCH, VARY,
};
use http::{StatusCode, Uri};
use salvor_domain::path::hex;
use std::borrow::Cow;

#[derive(rust_embed::RustEmbed)]
#[folder = "../target/site"]
struct Files;

/// Changes whenever the embedded folder does, and so makes the compiler look at it again.
const _: &str = env!("SITE_STAMP");

const FOREVER: &str = "public, max-age=31536000, immutable";
const A_DAY: &str = "public, max-age=86400";

/// One embedded file, in the variant that the browser takes.
#[derive(Debug, Clone)]
pub struct Asset {
    pub bytes: Bytes,
    pub content_type: String,
    pub content_encoding: Option<&'static str>,
    pub etag: String,
    /// Its name carries its hash: it may be kept for good.
    pub immutable: bool,
}

/// Where the pages find what the bundle made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// `None` in a program built without the browser's half: every page works, but none of them is live.
    pub scripts: Option<Scripts>,
    /// The console's style sheet, as a path on this server.
    pub console_css: Option<String>,
    /// The public pages' whole style sheet, small enough to stand in the page.
    pub public_css_inline: Cow<'static, str>,
}

/// Paths of the scripts on this server. `output_name` is what leptos' `HydrationScripts` wants in its options, with
/// `hash_files` off and `pkg` as the folder: it arrives at the same two paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scripts {
    pub js: String,
    pub wasm: String,
    pub output_name: String,
}

/// Routes for everything embedded: `/pkg/…`, and each root file by its name.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let pkg = Router::new().route("/pkg/{*path}", get(serve));
    Files::iter()
        .filter(|name| is_root_file(name))
        .fold(pkg, |router, name| router.route(&format!("/{name}"), get(serve)))
}

/// Answers with the embedded file that the path names.
pub async fn serve(uri: Uri, headers: HeaderMap) -> Response {
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match asset(uri.path().trim_start_matches('/'), accepted) {
        Some(asset) => respond(asset, &headers),
        None => (StatusCode::NOT_FOUND, "There is no such file.\n").into_response(),
    }
}

/// An embedded file by its path beneath the site, in the best variant that `accepted` (an Accept-Encoding) allows.
pub fn asset(path: &str, accepted: &str) -> Option<Asset> {
    find(&embedded, path, accepted)
}

impl Site {
    /// What this program was built with.
    pub fn embedded() -> Self {
        let hashes = embedded("hash.txt").map(|file| String::from_utf8_lossy(&file.bytes).into_owned());
        Self::read(&hashes.unwrap_or_default(), &embedded)
    }

    /// What to tell the operator at start when the program cannot be live.
    pub fn notice(&self) -> Option<&'static str> {
        match self.scripts {
            Some(_) => None,
            None => Some(
                "this program was built without its browser half: pages work, but do not update by themselves; \
                 `make build` builds both",
            ),
        }
    }

    fn read(hashes: &str, get: &dyn Fn(&str) -> Option<File>) -> Self {
        let hash = |key: &str| hashes.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        let scripts = hash("js").zip(hash("wasm")).map(|(js, wasm)| Scripts {
            js: format!("/pkg/salvor.{js}.js"),
            wasm: format!("/pkg/salvor.{wasm}.wasm"),
            output_name: format!("salvor.{js}"),
        });
        let console_css = hash("css").map(|hash| format!("/pkg/salvor.{hash}.css"));
        let public = hash("public").and_then(|hash| get(&format!("pkg/public.{hash}.css")));
        let public_css_inline = public.map_or("".into(), |file| match std::str::from_utf8(&file.bytes) {
            Ok(text) => Cow::Owned(text.to_owned()),
            Err(_) => Cow::Borrowed(""),
        });
        Self { scripts, console_css, public_css_inline }
    }
}

/// A file's bytes and what names them.
struct File {
    bytes: Bytes,
    digest: [u8; 32],
}

fn embedded(path: &str) -> Option<File> {
    let file = Files::get(path)?;
    let bytes = match file.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    Some(File { bytes, digest: file.metadata.sha256_hash() })
}

fn find(get: &dyn Fn(&str) -> Option<File>, path: &str, accepted: &str) -> Option<Asset> {
    if path == "hash.txt" || is_variant(path) {
        return None;
    }
    let plain = get(path)?;
    let variant =
        ["br", "gzip"].into_iter().filter(|encoding| accepts(accepted, encoding)).find_map(|encoding| {
            let suffix = if encoding == "gzip" { "gz" } else { encoding };
            get(&format!("{path}.{suffix}")).map(|file| (file, Some(encoding)))
        });
    let (file, content_encoding) = variant.unwrap_or((plain, None));
    let mime = mime_guess::from_path(path).first_or_octet_stream();
    let charset = if mime.type_() == mime_guess::mime::TEXT { "; charset=utf-8" } else { "" };
    Some(Asset {
        content_type: format!("{mime}{charset}"),
        content_encoding,
        etag: etag(&file.digest),
        immutable: is_hashed(path),
        bytes: file.bytes,
    })
}

fn respond(asset: Asset, request: &HeaderMap) -> Response {
    let response = Response::builder()
        .header(ETAG, &asset.etag)
        .header(CACHE_CONTROL, if asset.immutable { FOREVER } else { A_DAY })
        .header(VARY, ACCEPT_ENCODING);
    let response = if knows(request, &asset.etag) {
        response.status(StatusCode::NOT_MODIFIED).body(Body::empty())
    } else {
        let response = match asset.content_encoding {
            Some(encoding) => response.header(CONTENT_ENCODING, encoding),
            None => response,
        };
        response.header(CONTENT_TYPE, asset.content_type).body(Body::from(asset.bytes))
    };
    response.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// The browser has these bytes already.
fn knows(request: &HeaderMap, etag: &str) -> bool {
    let tags = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// Whether an Accept-Encoding names this encoding, and not with a weight of nought.
fn accepts(header: &str, encoding: &str) -> bool {
    header.split(',').any(|part| {
        let mut words = part.split(';').map(str::trim);
        let named = words.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
        let refused = words.any(|word| {
            let weight = word.strip_prefix("q=").or_else(|| word.strip_prefix("Q="));
            weight.is_some_and(|weight| weight.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0))
        });
        named && !refused
    })
}

fn etag(digest: &[u8; 32]) -> String {
    format!("\"{}\"", hex(&digest[..12]))
}

/// `pkg/NAME.HASH.EXT` as the bundle names things; snippets of dependencies are not.
fn is_hashed(path: &str) -> bool {
    let Some(name) = path.strip_prefix("pkg/").filter(|name| !name.contains('/')) else { return false };
    let hash = name.split('.').nth(1).map(|part| part.trim_end_matches("_bg"));
    hash.is_some_and(|hash| hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_variant(path: &str) -> bool {
    path.ends_with(".br") || path.ends_with(".gz")
}

fn is_root_file(name: &str) -> bool {
    !name.starts_with("pkg/") && name != "hash.txt" && !is_variant(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower::ServiceExt;

    const HASH: &str = "0123456789abcdef";

    fn site(path: &str) -> Option<File> {
        let text = match path {
            "pkg/salvor.0123456789abcdef.js" => "plain",
            "pkg/salvor.0123456789abcdef.js.br" => "brotli",
            "pkg/salvor.0123456789abcdef.js.gz" => "gzip",
            "pkg/public.0123456789abcdef.css" => ".a{}",
            "pkg/snippets/x/inline0.js" => "snippet",
            "favicon.svg" => "<svg/>",
            "hash.txt" => "secret",
            _ => return None,
        };
        let bytes = Bytes::from_static(text.as_bytes());
        Some(File { digest: *blake3::hash(&bytes).as_bytes(), bytes })
    }

    fn served(path: &str, accepted: &str) -> Option<(String, Option<&'static str>)> {
        find(&site, path, accepted)
            .map(|a| (String::from_utf8(a.bytes.to_vec()).unwrap(), a.content_encoding))
    }

    #[test]
    fn the_browser_gets_the_best_variant_it_takes() {
        let js = format!("pkg/salvor.{HASH}.js");
        for (accepted, text, encoding) in [
            ("", "plain", None),
            ("identity", "plain", None),
            ("gzip, deflate, br, zstd", "brotli", Some("br")),
            ("gzip;q=1.0, br;q=0", "gzip", Some("gzip")),
            ("GZIP", "gzip", Some("gzip")),
            ("brotli, gzipped", "plain", None),
        ] {
            assert_eq!(served(&js, accepted), Some((text.into(), encoding)), "{accepted}");
        }
        assert_eq!(served("favicon.svg", "br"), Some(("<svg/>".into(), None)));
    }

    #[test]
    fn each_variant_has_its_own_tag_and_only_hashed_names_are_kept_for_good() {
        let js = format!("pkg/salvor.{HASH}.js");
        let [plain, br] = ["", "br"].map(|accepted| find(&site, &js, accepted).unwrap());
        assert_ne!(plain.etag, br.etag);
        assert!(plain.immutable && br.immutable);
        assert!(is_hashed(&format!("pkg/salvor.{HASH}_bg.wasm")));
        assert!(!find(&site, "favicon.svg", "").unwrap().immutable);
        assert!(!find(&site, "pkg/snippets/x/inline0.js", "").unwrap().immutable);
    }

    #[test]
    fn types_are_what_browsers_insist_on() {
        let of = |path: &str| find(&|_| site("favicon.svg"), path, "").unwrap().content_type;
        assert_eq!(of("pkg/a.js"), "text/javascript; charset=utf-8");
        assert_eq!(of("pkg/a.wasm"), "application/wasm");
        assert_eq!(of("favicon.svg"), "image/svg+xml");
        assert_eq!(of("robots.txt"), "text/plain; charset=utf-8");
        assert_eq!(of("site.webmanifest"), "application/manifest+json");
    }

    #[test]
    fn the_bundles_own_notes_and_raw_variants_are_not_served() {
        for path in ["hash.txt", &format!("pkg/salvor.{HASH}.js.br"), "", "../Cargo.toml", "pkg"] {
            assert_eq!(served(path, "br"), None, "{path}");
        }
    }

    #[test]
    fn a_known_tag_gets_no_body() {
        let asset = find(&site, "favicon.svg", "").unwrap();
        let mut request = HeaderMap::new();
        assert_eq!(respond(asset.clone(), &request).status(), StatusCode::OK);
        for known in [asset.etag.clone(), format!("\"other\", W/{}", asset.etag), "*".into()] {
            request.insert(IF_NONE_MATCH, known.parse().unwrap());
            let response = respond(asset.clone(), &request);
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(response.headers()[ETAG], asset.etag);
        }
        request.insert(IF_NONE_MATCH, "\"other\"".parse().unwrap());
        assert_eq!(respond(asset, &request).status(), StatusCode::OK);
    }

    #[test]
    fn pages_learn_where_everything_is() {
        let hashes = format!("js: {HASH}\nwasm: {HASH}_bg\ncss: {HASH}\npublic: {HASH}\ninputs: x\n");
        let site = Site::read(&hashes, &site);
        let scripts = site.scripts.clone().unwrap();
        assert_eq!(scripts.js, format!("/pkg/{}.js", scripts.output_name));
        assert_eq!(scripts.wasm, format!("/pkg/{}_bg.wasm", scripts.output_name));
        assert_eq!(site.console_css, Some(format!("/pkg/salvor.{HASH}.css")));
        assert_eq!(site.public_css_inline, ".a{}");
        assert_eq!(site.notice(), None);
    }

    #[test]
    fn a_program_without_a_browser_half_says_so() {
        let site = Site::read("", &site);
        assert_eq!((&site.scripts, &site.console_css, &*site.public_css_inline), (&None, &None, ""));
        assert!(site.notice().unwrap().contains("make build"));
    }

    /// Holds for whatever this very program was built with.
    #[tokio::test]
    async fn every_embedded_path_that_pages_name_is_served() {
        let site = Site::embedded();
        let scripts = site.scripts.map(|scripts| [scripts.js, scripts.wasm]);
        for path in scripts.into_iter().flatten().chain(site.console_css) {
            let request =
                http::Request::get(&path).header(ACCEPT_ENCODING, "br").body(Body::empty()).unwrap();
            let response = routes::<()>().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(response.headers()[CACHE_CONTROL], FOREVER, "{path}");
        }
        let request = http::Request::get("/pkg/nothing.js").body(Body::empty()).unwrap();
        assert_eq!(routes::<()>().oneshot(request).await.unwrap().status(), StatusCode::NOT_FOUND);
    }
}
