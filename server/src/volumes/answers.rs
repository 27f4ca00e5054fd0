//! Answers for other upload services: may this volume be written to now, and tell me when that changes. From memory: no request here
//! waits for the database.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use http::{HeaderName, HeaderValue, StatusCode};

use super::modes::{ModeNow, Modes};
use super::service::configured;
use crate::core::Core;
use crate::http::{Answer, ApiProblem, Path};

/// Proxies close connections that are silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// What is known grows old also when nothing changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// When to ask again: a mode lasts, what is not known may pass soon.
const LATER: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(5);
const MODE: HeaderName = HeaderName::from_static("x-salvor-mode");
const REASON: HeaderName = HeaderName::from_static("x-salvor-reason");
const LONGEST_REASON: usize = 200;

/// For nginx's `auth_request`: 204 while uploads and deletes are allowed, else 403.
pub async fn writable(
    State(core): State<Core>,
    State(modes): State<Modes>,
    Path(name): Path<String>,
) -> Answer<Response> {
    configured(&core, &name)?;
    let now = modes.of(&name, core.clock.now());
    let mut response = match (now.writable, now.since) {
        (true, _) => StatusCode::NO_CONTENT.into_response(),
        (false, since) => {
            let detail = format!("{name} takes no uploads and deletes, it is {}: {}", now.mode, now.reason);
            let pause = if since.is_some() { LATER } else { SOON };
            ApiProblem::new(StatusCode::FORBIDDEN, "Not writable now", detail)
                .retry_after(pause)
                .into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(MODE, HeaderValue::from_static(now.mode));
    if let Ok(reason) = HeaderValue::from_str(&plain(&now.reason)) {
        headers.insert(REASON, reason);
    }
    Ok(response)
}

/// A header holds no line feed and no other letters than these.
fn plain(text: &str) -> String {
    let plain = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    text.chars().take(LONGEST_REASON).map(plain).collect()
}

/// The mode at once, then each change.
pub async fn mode_events(
    State(core): State<Core>,
    State(modes): State<Modes>,
    Path(name): Path<String>,
) -> Answer<Sse<impl Stream<Item = Result<Event, Infallible>>>> {
    configured(&core, &name)?;
    let (changes, last): (_, Option<ModeNow>) = (modes.watch(), None);
    let begun = (core, modes, name, changes, last);
    let stream = stream::unfold(begun, async |(core, modes, name, mut changes, last)| {
        loop {
            let now = modes.of(&name, core.clock.now());
            if last.as_ref() != Some(&now) {
                let event = Event::default().data(serde_json::to_string(&now).unwrap_or_default());
                return Some((Ok(event), (core, modes, name, changes, Some(now))));
            }
            // A sender that is gone is noticed by the end of the stream; what is known has grown old by then.
            let _ = tokio::time::timeout(LOOK_EVERY, changes.changed()).await;
        }
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("still here")))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_reason_fits_into_a_header() {
        let plain = super::plain(&format!("ext4: 1 error\r\nset-cookie: é{}", "x".repeat(999)));
        assert!(plain.starts_with("ext4: 1 error??set-cookie: ?x") && plain.len() == 200, "{plain}");
    }
}
