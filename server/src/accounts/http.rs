//! The forms of signing in and out: plain posts that work without a script. Their pages are the console's.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use axum::{Form, Router};
use http::HeaderMap;
use http::header::SET_COOKIE;
use salvor_app::problem::Problem;

use super::port::{link_refused, refused};
use super::service;
use crate::core::Core;
use crate::http::access::{SESSION_COOKIE, percent_encoded, session_secret};
use crate::http::client::ClientAddress;
use crate::http::{Answer, ApiProblem, AppState, Caller, Path};

pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/console/do/sign_in", post(sign_in))
        .route("/console/do/sign_out", post(sign_out))
        .route("/console/do/set_password", post(set_password))
        .route("/console/link/{secret}", post(sign_in_by_link))
}

#[derive(serde::Deserialize)]
struct SignIn {
    email: String,
    password: String,
    #[serde(default)]
    next: String,
}

async fn sign_in(
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    Form(form): Form<SignIn>,
) -> Answer<Response> {
    let AppState { core, attempts, .. } = state;
    let now = core.clock.now();
    let attempt = attempts.begin(&form.email.trim().to_lowercase(), &address, now).map_err(|wait| {
        let pause = wait.to_std().unwrap_or_default();
        let minutes = pause.as_secs().div_ceil(60);
        let detail = format!("Too many sign-ins failed. Try again in {minutes} minutes.");
        ApiProblem::from(Problem::TooMany(detail)).retry_after(pause)
    })?;
    let outcome = service::sign_in(&core, &form.email, &form.password).await;
    match outcome.inspect_err(|_| attempts.take_back(&attempt))? {
        Some(secret) => {
            attempts.succeeded(&attempt);
            Ok(enter(&core, &secret, own_page(&form.next)))
        }
        None => {
            let (next, problem) = (percent_encoded(&form.next), percent_encoded(&refused().to_string()));
            Ok(Redirect::to(&format!("/console/sign-in?next={next}&problem={problem}")).into_response())
        }
    }
}

/// Uses the link up. Only a post does: programs that preview links get them.
async fn sign_in_by_link(State(core): State<Core>, Path(secret): Path<String>) -> Answer<Response> {
    match service::sign_in_by_link(&core, &secret).await? {
        Some(session) => Ok(enter(&core, &session, "/console/account")),
        None => {
            let problem = percent_encoded(&link_refused().to_string());
            Ok(Redirect::to(&format!("/console/sign-in?problem={problem}")).into_response())
        }
    }
}

async fn sign_out(State(core): State<Core>, headers: HeaderMap) -> Answer<Response> {
    if let Some(secret) = session_secret(&headers) {
        service::sign_out(&core, secret).await?;
    }
    Ok((cookie(&core, "", 0), Redirect::to("/console/sign-in")).into_response())
}

#[derive(serde::Deserialize)]
struct NewPassword {
    password: String,
}

async fn set_password(
    State(core): State<Core>,
    caller: Caller,
    headers: HeaderMap,
    Form(form): Form<NewPassword>,
) -> Answer<Response> {
    let viewer = caller.viewer.ok_or_else(|| {
        Problem::Forbidden("A token has no password; sign in as the user whose password it is.".into())
    })?;
    match service::set_password(&core, &viewer.email, &form.password, session_secret(&headers)).await {
        Ok(()) => Ok(Redirect::to("/console").into_response()),
        Err(error) => {
            let problem = percent_encoded(&Problem::from(error).to_string());
            Ok(Redirect::to(&format!("/console/account?problem={problem}")).into_response())
        }
    }
}

/// Sets the session and goes on.
fn enter(core: &Core, secret: &str, next: &str) -> Response {
    (cookie(core, secret, service::ABSOLUTE.num_seconds()), Redirect::to(next)).into_response()
}

fn cookie(core: &Core, secret: &str, seconds: i64) -> [(http::HeaderName, String); 1] {
    let secure = if core.config.server.public_url.starts_with("https://") { "; Secure" } else { "" };
    let text =
        format!("{SESSION_COOKIE}={secret}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    [(SET_COOKIE, text)]
}

/// Only the console's own pages are gone on to: `next` may come from a stranger's link.
fn own_page(next: &str) -> &str {
    let own = next == "/console" || next.starts_with("/console/") || next.starts_with("/console?");
    if own && !next.contains(['\\', '\r', '\n']) { next } else { "/console" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        assert_eq!(own_page("/console/jobs?active=1"), "/console/jobs?active=1");
        for elsewhere in ["", "//evil.example", "https://evil.example", "/consoles", "/console/\\x", "/"] {
            assert_eq!(own_page(elsewhere), "/console");
        }
    }
}
