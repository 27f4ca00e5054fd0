//! What the server functions of every slice share: who calls, what they may do, and where the browser goes next.
//!
//! A form is a plain POST that works without a script. When its act is done the browser is sent on; when there was a
//! problem it goes back to where the form was, with the problem's words and what was typed.

#[cfg(feature = "ssr")]
pub use server::{actor_who_may, ports, set_status, settle};

/// The status of the page that is being rendered: a browser that renders has its answer already.
#[cfg(not(feature = "ssr"))]
pub fn set_status(_: u16) {}

#[cfg(feature = "ssr")]
mod server {
    use leptos::prelude::use_context;
    use leptos_axum::ResponseOptions;
    use salvor_domain::account::{Actor, Permission};

    use crate::accounts::port::Viewer;
    use crate::ports::Ports;
    use crate::problem::Problem;
    use crate::ui::Address;

    pub fn ports() -> Result<Ports, Problem> {
        use_context::<Ports>().ok_or(Problem::Unavailable)
    }

    fn viewer() -> Result<Viewer, Problem> {
        use_context::<Option<Viewer>>().flatten().ok_or(Problem::SignedOut)
    }

    /// Whoever calls, if the permission table lets them.
    pub fn actor_who_may(permission: Permission) -> Result<Actor, Problem> {
        let actor = viewer()?.actor();
        if actor.may(permission) {
            return Ok(actor);
        }
        let (least, role) = (permission.least_role(), actor.role);
        Err(Problem::Forbidden(format!("This needs the role {least}; yours is {role}.")))
    }

    /// Sends the browser on to `next`, or back to `back` with the problem.
    pub fn settle<T>(
        outcome: Result<T, Problem>,
        back: Address,
        next: impl FnOnce(&T) -> Address,
    ) -> Result<(), Problem> {
        match outcome {
            Ok(done) => {
                leptos_axum::redirect(next(&done).as_str());
                Ok(())
            }
            Err(problem) => {
                leptos_axum::redirect(back.with_problem(&problem).as_str());
                Err(problem)
            }
        }
    }

    /// The status of the page that is being rendered.
    pub fn set_status(status: u16) {
        if let (Some(response), Ok(status)) =
            (use_context::<ResponseOptions>(), http::StatusCode::from_u16(status))
        {
            response.set_status(status);
        }
    }
}
