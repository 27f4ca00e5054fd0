//! One's own account: who one is, and the password.

use leptos::prelude::*;

use crate::accounts::port::Viewer;
use crate::problem::Problem;
use crate::ui::page::ProblemView;
use crate::ui::{Field, Heading, Submit};

/// As the accounts slice of the server demands it.
const SHORTEST_PASSWORD: u32 = 10;

#[component]
pub fn AccountPage() -> impl IntoView {
    match use_context::<Option<Viewer>>().flatten() {
        Some(viewer) => account(&viewer).into_any(),
        None => view! { <ProblemView problem=Problem::SignedOut /> }.into_any(),
    }
}

fn account(viewer: &Viewer) -> impl IntoView + use<> {
    let ask =
        viewer.needs_password.then_some("You signed in by a link and have no password yet: choose one now.");
    view! {
        <Heading title="Your account" />
        <p>{format!("Signed in as {} with the role {}.", viewer.email, viewer.role)}</p>
        <section class="panel" aria-labelledby="password">
            <h2 id="password">{if viewer.needs_password { "Choose a password" } else { "Change the password" }}</h2>
            {ask.map(|ask| view! { <p>{ask}</p> })}
            <form method="post" action="/console/do/set_password" class="stack">
                <Field
                    name="password"
                    label="New password"
                    kind="password"
                    autocomplete="new-password"
                    hint="At least 10 characters; a few words in a row are good."
                    min_length=SHORTEST_PASSWORD
                    max_length=1000
                />
                <Submit label="Set password" />
            </form>
        </section>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;

    #[test]
    fn who_came_by_a_link_is_asked_for_a_password() {
        let viewer = Viewer { needs_password: true, ..Viewer::sample() };
        let html = rendered(|| account(&viewer));
        assert!(html.contains("Choose a password") && html.contains("ann@example.com"), "{html}");
        let html = rendered(|| account(&Viewer::sample()));
        assert!(html.contains("Change the password"));
    }
}
