//! The permission table: every route and server function with who may call it.
//!
//! A route that is not here is refused, whoever asks; `routes` has tests that compare the two. Reading asks for
//! [`Permission::View`]; what changes something asks for the permission of that act.

use http::Method;
use salvor_domain::account::Permission;

use Access::{Public, Session};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone: no session is looked up, so that the public pages need no database.
    Public,
    /// A session's or token's holder whose role has this permission.
    Session(Permission),
}

pub type Row = (Method, &'static str, Access);

const VIEW: Access = Session(Permission::View);
const JOBS: Access = Session(Permission::RunJobs);
const TICKETS: Access = Session(Permission::AnswerTickets);
const MUTE: Access = Session(Permission::MuteSignals);
const REPORT: Access = Session(Permission::Report);
const INCIDENTS: Access = Session(Permission::WriteIncidents);

/// Method, path pattern as axum writes it, access. `GET` stands for `HEAD` as well.
pub const TABLE: &[Row] = &[
    // Whether this process is well.
    (Method::GET, "/healthz", Public),
    (Method::GET, "/readyz", Public),
    (Method::GET, "/metrics", VIEW),
    // What the bundle made.
    (Method::GET, "/pkg/{*path}", Public),
    (Method::GET, "/favicon.ico", Public),
    (Method::GET, "/favicon.svg", Public),
    (Method::GET, "/robots.txt", Public),
    (Method::GET, "/site.webmanifest", Public),
    // The way in and out of the console.
    (Method::GET, "/console/sign-in", Public),
    (Method::POST, "/console/do/sign_in", Public),
    (Method::GET, "/console/link/{secret}", Public),
    (Method::POST, "/console/link/{secret}", Public),
    (Method::POST, "/console/do/sign_out", VIEW),
    (Method::POST, "/console/do/set_password", VIEW),
    // The console's pages.
    (Method::GET, "/console", VIEW),
    (Method::GET, "/console/account", VIEW),
    (Method::GET, "/console/jobs", VIEW),
    (Method::GET, "/console/jobs/{id}", VIEW),
    (Method::GET, "/console/readiness", VIEW),
    (Method::GET, "/console/health", VIEW),
    (Method::GET, "/console/health/signal", VIEW),
    (Method::GET, "/console/volumes/{name}", VIEW),
    (Method::GET, "/console/incidents", VIEW),
    (Method::GET, "/console/incidents/open", INCIDENTS),
    (Method::GET, "/console/incidents/{id}", VIEW),
    (Method::GET, "/console/components", VIEW),
    (Method::GET, "/console/tickets", VIEW),
    (Method::GET, "/console/tickets/{number}", VIEW),
    (Method::GET, "/console/webhooks", VIEW),
    (Method::GET, "/console/{*any}", VIEW),
    // The console's server functions.
    (Method::POST, "/console/do/read_job", VIEW),
    (Method::POST, "/console/do/start_check", JOBS),
    (Method::POST, "/console/do/start_adopt", JOBS),
    (Method::POST, "/console/do/start_protect", JOBS),
    (Method::POST, "/console/do/start_drill", JOBS),
    (Method::POST, "/console/do/start_disk_check", JOBS),
    (Method::POST, "/console/do/plan_restore", JOBS),
    (Method::POST, "/console/do/plan_reunite", JOBS),
    (Method::POST, "/console/do/control_job", JOBS),
    (Method::POST, "/console/do/raise_files", JOBS),
    (Method::POST, "/console/do/limit_job", JOBS),
    (Method::POST, "/console/do/limit_copy", JOBS),
    (Method::POST, "/console/do/set_mode", Session(Permission::SetMode)),
    (Method::POST, "/console/do/mark_deleted", Session(Permission::MarkDeleted)),
    (Method::POST, "/console/do/mute_signal", Session(Permission::MuteSignals)),
    (Method::POST, "/console/do/unmute_signal", Session(Permission::MuteSignals)),
    (Method::POST, "/console/do/open_incident", INCIDENTS),
    (Method::POST, "/console/do/update_incident", INCIDENTS),
    (Method::POST, "/console/do/publish_incident", INCIDENTS),
    (Method::POST, "/console/do/discard_incident", INCIDENTS),
    (Method::POST, "/console/do/add_component", INCIDENTS),
    (Method::POST, "/console/do/restore_ticket", TICKETS),
    (Method::POST, "/console/do/reply_ticket", TICKETS),
    (Method::POST, "/console/do/close_ticket", TICKETS),
    (Method::POST, "/console/do/send_again", JOBS),
    // The public pages.
    (Method::GET, "/", Public),
    (Method::GET, "/history", Public),
    (Method::GET, "/history.atom", Public),
    (Method::GET, "/incidents/{id}", Public),
    (Method::GET, "/live/status", Public),
    (Method::GET, "/report", Public),
    (Method::POST, "/report", Public),
    (Method::GET, "/tickets/{secret}", Public),
    (Method::POST, "/tickets/{secret}/note", Public),
    (Method::POST, "/tickets/{secret}/confirm", Public),
    (Method::GET, "/api/v2/summary.json", Public),
    (Method::GET, "/api/v2/status.json", Public),
    (Method::GET, "/api/v2/components.json", Public),
    (Method::GET, "/api/v2/incidents.json", Public),
    (Method::GET, "/api/v2/incidents/unresolved.json", Public),
    (Method::GET, "/api/v2/scheduled-maintenances.json", Public),
    (Method::GET, "/api/v2/scheduled-maintenances/active.json", Public),
    (Method::GET, "/api/v2/scheduled-maintenances/upcoming.json", Public),
    // The API.
    (Method::GET, "/api/v1/openapi.json", Public),
    (Method::GET, "/api/v1/events", VIEW),
    (Method::POST, "/api/v1/tickets", Public),
    (Method::GET, "/api/v1/tickets", VIEW),
    (Method::GET, "/api/v1/tickets/{number}", VIEW),
    (Method::POST, "/api/v1/tickets/{number}/restore", TICKETS),
    (Method::POST, "/api/v1/tickets/{number}/reply", TICKETS),
    (Method::POST, "/api/v1/tickets/{number}/close", TICKETS),
    (Method::GET, "/api/v1/volumes", VIEW),
    (Method::GET, "/api/v1/volumes/{name}", VIEW),
    (Method::GET, "/api/v1/volumes/{name}/mode", VIEW),
    (Method::PUT, "/api/v1/volumes/{name}/mode", Session(Permission::SetMode)),
    (Method::GET, "/api/v1/volumes/{name}/mode/events", VIEW),
    (Method::GET, "/api/v1/volumes/{name}/writable", VIEW),
    (Method::GET, "/api/v1/volumes/{name}/findings", VIEW),
    (Method::PUT, "/api/v1/volumes/{name}/copies/{copy}/limits", JOBS),
    (Method::POST, "/api/v1/volumes/{name}/tombstones", Session(Permission::MarkDeleted)),
    (Method::GET, "/api/v1/volumes/{name}/health", VIEW),
    (Method::GET, "/api/v1/signals", VIEW),
    (Method::POST, "/api/v1/signals/mute", MUTE),
    (Method::POST, "/api/v1/signals/unmute", MUTE),
    (Method::GET, "/api/v1/hosts", VIEW),
    (Method::POST, "/api/v1/agent/report", REPORT),
    (Method::POST, "/api/v1/agent/work", REPORT),
    (Method::POST, "/api/v1/agent/told", REPORT),
    (Method::POST, "/api/v1/hooks/alertmanager", REPORT),
    (Method::GET, "/api/v1/readiness", VIEW),
    (Method::GET, "/api/v1/volumes/{name}/readiness", VIEW),
    (Method::POST, "/api/v1/jobs", JOBS),
    (Method::GET, "/api/v1/jobs", VIEW),
    (Method::GET, "/api/v1/jobs/{id}", VIEW),
    (Method::GET, "/api/v1/jobs/{id}/progress", VIEW),
    (Method::GET, "/api/v1/jobs/{id}/output", VIEW),
    (Method::POST, "/api/v1/jobs/{id}/raise", JOBS),
    (Method::PUT, "/api/v1/jobs/{id}/limits", JOBS),
    (Method::POST, "/api/v1/jobs/{id}/{control}", JOBS),
    (Method::GET, "/api/v1/live", VIEW),
    (Method::GET, "/api/v1/incidents", VIEW),
    (Method::POST, "/api/v1/incidents", INCIDENTS),
    (Method::GET, "/api/v1/incidents/{id}", VIEW),
    (Method::POST, "/api/v1/incidents/{id}/updates", INCIDENTS),
    (Method::POST, "/api/v1/incidents/{id}/publish", INCIDENTS),
    (Method::POST, "/api/v1/incidents/{id}/discard", INCIDENTS),
    (Method::GET, "/api/v1/incidents/{id}/timeline", VIEW),
    (Method::GET, "/api/v1/deliveries", VIEW),
    (Method::GET, "/api/v1/components", VIEW),
    (Method::POST, "/api/v1/components", INCIDENTS),
];

/// Routes that are asked before each upload, or all the time by agents, also while the database is away: who holds a token is
/// remembered for them.
pub const ASKED_OFTEN: &[&str] = &[
    "/api/v1/volumes/{name}/writable",
    "/api/v1/volumes/{name}/mode/events",
    "/api/v1/agent/work",
    "/api/v1/agent/told",
];

/// The row for a request, by the pattern that it matched.
pub fn access(method: &Method, pattern: &str) -> Option<Access> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    TABLE.iter().find(|(m, p, _)| m == method && *p == pattern).map(|(_, _, access)| *access)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_there_twice() {
        for (i, (method, pattern, _)) in TABLE.iter().enumerate() {
            assert!(!TABLE[..i].iter().any(|(m, p, _)| m == method && p == pattern), "{method} {pattern}");
        }
    }

    #[test]
    fn only_reading_and_the_customers_own_acts_are_public() {
        for (method, pattern, access) in TABLE {
            let customers =
                ["/report", "/tickets/", "/api/v1/tickets", "/console/do/sign_", "/console/link/"];
            if *method != Method::GET && *access == Public {
                assert!(customers.iter().any(|start| pattern.starts_with(start)), "{method} {pattern}");
            }
        }
    }
}
