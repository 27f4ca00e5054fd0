//! Who calls, and whether the permission table lets them.

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use http::{HeaderMap, Method};
use salvor_app::accounts::port::Viewer;
use salvor_app::problem::Problem;
use salvor_domain::account::{Actor, Permission};

use super::permissions::{self, Access};
use crate::accounts::remembered::Remembered;
use crate::accounts::service as accounts;
use crate::core::Core;
use crate::http::ApiProblem;

pub const SESSION_COOKIE: &str = "salvor_session";

/// Who calls: known to be signed in, and allowed to call this route. As an argument of a handler it is 401 on a route
/// that the permission table calls public.
#[derive(Debug, Clone)]
pub struct Caller {
    pub actor: Actor,
    /// Set for a person with a session, not for a token.
    pub viewer: Option<Viewer>,
}

impl Caller {
    /// For acts that ask for more than their route does.
    pub fn require(&self, permission: Permission) -> Result<(), ApiProblem> {
        if self.actor.may(permission) {
            return Ok(());
        }
        let least = permission.least_role();
        let role = self.actor.role;
        Err(Problem::Forbidden(format!("This needs the role {least}; yours is {role}.")).into())
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiProblem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::SignedOut.into())
    }
}

/// Middleware: asks the permission table, and leaves the [`Caller`] for the handler.
pub async fn check(
    State(core): State<Core>,
    State(remembered): State<Remembered>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(pattern) = request.extensions().get::<MatchedPath>().cloned() else {
        return next.run(request).await;
    };
    let granted = match permissions::access(request.method(), pattern.as_str()) {
        Some(Access::Public) => return next.run(request).await,
        Some(Access::Session(permission)) => {
            let remembered = permissions::ASKED_OFTEN.contains(&pattern.as_str()).then_some(&remembered);
            caller(&core, remembered, request.headers()).await.and_then(|caller| {
                caller.require(permission)?;
                Ok(caller)
            })
        }
        // Of a path that exists with other methods, axum itself says which.
        None if permissions::TABLE.iter().any(|(_, path, _)| *path == pattern.as_str()) => {
            return next.run(request).await;
        }
        None => Err(ApiProblem::not_found()),
    };
    match granted {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) if wants_sign_in(&request, &problem) => {
            Redirect::to(&sign_in_address(&request)).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

/// The secret in the session cookie.
pub fn session_secret(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(SESSION_COOKIE)?.strip_prefix('='))
}

pub fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn caller(
    core: &Core,
    remembered: Option<&Remembered>,
    headers: &HeaderMap,
) -> Result<Caller, ApiProblem> {
    if let Some(token) = bearer_token(headers) {
        let holder = match remembered {
            Some(remembered) => remembered.token_holder(core, token).await?,
            None => accounts::token_holder(core, token).await?,
        };
        return Ok(Caller { actor: holder.ok_or(Problem::SignedOut)?, viewer: None });
    }
    let secret = session_secret(headers).ok_or(Problem::SignedOut)?;
    let viewer = accounts::session_holder(core, secret).await?.ok_or(Problem::SignedOut)?;
    Ok(Caller { actor: viewer.actor(), viewer: Some(viewer) })
}

/// A person who opened a page of the console is shown the way in.
fn wants_sign_in(request: &Request, problem: &ApiProblem) -> bool {
    let path = request.uri().path();
    problem.status() == http::StatusCode::UNAUTHORIZED
        && request.method() == Method::GET
        && (path == "/console" || path.starts_with("/console/"))
}

fn sign_in_address(request: &Request) -> String {
    let next = request.uri().path_and_query().map_or("/console", |path| path.as_str());
    format!("/console/sign-in?next={}", percent_encoded(next))
}

/// All but unreserved characters (RFC 3986 §2.3) as `%XX`.
pub fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "theme=dark; salvor_session=abc; x=y".parse().unwrap());
        assert_eq!(session_secret(&headers), Some("abc"));
        headers.insert(COOKIE, "salvor_session_old=abc".parse().unwrap());
        assert_eq!(session_secret(&headers), None);
    }

    #[test]
    fn an_address_survives_in_a_query() {
        assert_eq!(percent_encoded("/console/jobs?x=1&y=ä"), "%2Fconsole%2Fjobs%3Fx%3D1%26y%3D%C3%A4");
    }
}
