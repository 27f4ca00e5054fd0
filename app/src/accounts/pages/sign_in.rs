//! Signing in with a password or by a one-time link. Neither page needs a script.

use leptos::prelude::*;
use leptos_router::hooks::{use_params_map, use_query_map};

use crate::ui::page::PageTitle;
use crate::ui::{Address, Field, Hidden, Submit};

#[component]
pub fn SignInPage() -> impl IntoView {
    let next = use_query_map().with_untracked(|query| query.get("next")).unwrap_or_default();
    sign_in(next)
}

/// Mail programs and scanners open links: looking at this page must not use the link up.
#[component]
pub fn LinkPage() -> impl IntoView {
    link(&use_params_map().with_untracked(|params| params.get("secret")).unwrap_or_default())
}

/// `next` is where to go on to; that it is a page of ours is for the one to check who goes there.
fn sign_in(next: String) -> impl IntoView {
    view! {
        <PageTitle title="Sign in" />
        <div class="narrow">
            <h1>"Sign in to Salvor"</h1>
            <form method="post" action="/console/do/sign_in" class="stack">
                <Hidden name="next" value=next />
                <Field name="email" label="E-mail address" kind="email" autocomplete="username" />
                <Field name="password" label="Password" kind="password" autocomplete="current-password" max_length=1000 />
                <Submit label="Sign in" />
            </form>
            <p class="muted">
                "No account yet? An admin adds one: " <code>"salvor user add EMAIL --role ROLE"</code>
            </p>
        </div>
    }
}

fn link(secret: &str) -> impl IntoView + use<> {
    view! {
        <PageTitle title="Sign in" />
        <div class="narrow">
            <h1>"Sign in to Salvor"</h1>
            <p>"This link signs you in once. Then choose a password under your account."</p>
            <form method="post" action=String::from(Address::console(&["link", secret])) class="stack">
                <Submit label="Sign in" />
            </form>
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;

    #[test]
    fn password_managers_find_the_fields_and_next_survives() {
        let html = rendered(|| sign_in("/console/jobs".into()));
        assert!(
            html.contains("autocomplete=\"username\"") && html.contains("autocomplete=\"current-password\"")
        );
        assert!(html.contains("value=\"/console/jobs\"") && !html.contains("<script"));
    }

    #[test]
    fn a_link_is_used_by_a_post_only() {
        let html = rendered(|| link("s3cret"));
        assert!(html.contains("method=\"post\" action=\"/console/link/s3cret\""), "{html}");
    }
}
