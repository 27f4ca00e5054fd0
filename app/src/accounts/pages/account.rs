//! One's own account: who one is, and the password; for whoever manages accounts also the API tokens.

use leptos::prelude::*;
use salvor_domain::account::{Permission, Role};

use crate::accounts::port::{TokenView, Viewer};
use crate::health::host_anchor;
use crate::ports::Ports;
use crate::problem::Problem;
use crate::ui::table::Column::Text;
use crate::ui::time::WhenOr;
use crate::ui::{Badge, Empty, Field, Heading, Submit, Table, Tone, When, loaded};

/// As the accounts slice of the server demands it.
const SHORTEST_PASSWORD: u32 = 10;

#[component]
pub fn AccountPage() -> impl IntoView {
    let viewer = use_context::<Option<Viewer>>().flatten();
    loaded(load(use_context::<Ports>(), viewer), |(viewer, tokens)| {
        view! {
            {account(&viewer)}
            {tokens.map(|tokens| section(&tokens))}
        }
    })
}

async fn load(
    ports: Option<Ports>,
    viewer: Option<Viewer>,
) -> Result<(Viewer, Option<Vec<TokenView>>), Problem> {
    let (ports, viewer) = (ports.ok_or(Problem::Unavailable)?, viewer.ok_or(Problem::SignedOut)?);
    let tokens = match viewer.role.may(Permission::ManageAccounts) {
        true => Some(ports.accounts.tokens(&viewer).await?),
        false => None,
    };
    Ok((viewer, tokens))
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

fn section(tokens: &[TokenView]) -> impl IntoView + use<> {
    let rows: Vec<_> = tokens.iter().map(row).collect();
    let list = if rows.is_empty() {
        view! { <Empty>"There is none yet."</Empty> }.into_any()
    } else {
        view! {
            <Table
                caption="API tokens by name"
                columns=&[Text("Name"), Text("Role"), Text("For the host"), Text("Last used"), Text("Holds")]
            >
                {rows}
            </Table>
        }
        .into_any()
    };
    view! {
        <section aria-labelledby="tokens">
            <h2 id="tokens">"API tokens"</h2>
            {list}
            <p class="muted">
                <code>"salvor token create NAME --role ROLE"</code> " makes one, " <code>"salvor token revoke NAME"</code>
                " ends it. An agent's is for one host: the one given with " <code>"--host"</code>
                ", or the one that it reports for first."
            </p>
        </section>
    }
}

fn row(token: &TokenView) -> impl IntoView + use<> {
    let host = match (&token.host, token.role) {
        (Some(host), _) => {
            let href = format!("/console/health#{}", host_anchor(host));
            view! { <a href=href>{host.clone()}</a> }.into_any()
        }
        (None, Role::Agent) => view! { <span class="muted">"Its first report says"</span> }.into_any(),
        (None, _) => view! { <span class="muted">"–"</span> }.into_any(),
    };
    let now = use_context::<crate::ui::time::RenderedAt>().map(|at| at.0);
    let holds = match (token.revoked_at, token.expires_at) {
        (Some(at), _) => view! { <Badge tone=Tone::Plain word="Revoked" />" " <When at=at /> }.into_any(),
        (None, Some(at)) if now.is_some_and(|now| at <= now) => {
            view! { <Badge tone=Tone::Plain word="Expired" />" " <When at=at /> }.into_any()
        }
        (None, Some(at)) => view! { "until " <When at=at exact=true /> }.into_any(),
        (None, None) => "until it is revoked".into_any(),
    };
    let seen_at = token.seen_at;
    view! {
        <tr>
            <th scope="row">{token.name.clone()}</th>
            <td data-label="Role">{token.role.as_str()}</td>
            <td data-label="For the host">{host}</td>
            <td data-label="Last used">
                <WhenOr at=seen_at otherwise="Never" />
            </td>
            <td data-label="Holds">{holds}</td>
        </tr>
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
    #[test]
    fn an_agents_token_says_for_which_host_it_is() {
        let unbound = TokenView { name: "new".into(), host: None, ..TokenView::sample() };
        let revoked = TokenView { revoked_at: unbound.seen_at, ..TokenView::sample() };
        let html = rendered(|| section(&[TokenView::sample(), unbound, revoked]));
        for needed in
            ["store1-2026", "/console/health#host-store1", "Its first report says", "Revoked", "--host"]
        {
            assert!(html.contains(needed), "{needed} in {html}");
        }
        assert!(rendered(|| section(&[])).contains("none yet"));
    }
}
