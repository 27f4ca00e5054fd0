//! Messages to webhooks: first what was given up, then what waits, then what was taken lately.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use salvor_domain::account::Permission;
use salvor_domain::delivery::DeliveryState;
use salvor_domain::text::sentence;

use crate::accounts::port::Viewer;
use crate::ports::Ports;
use crate::problem::Problem;
use crate::ui::table::Column::{Number, Text};
use crate::ui::{Badge, Empty, Heading, Hidden, PostForm, Submit, Table, Tone, When, loaded};
use crate::webhooks::api::SendAgain;
use crate::webhooks::port::DeliveryView;

/// Of each state; all are in the API.
const SHOWN: u32 = 50;

#[component]
pub fn WebhooksPage() -> impl IntoView {
    let viewer = use_context::<Option<Viewer>>().flatten();
    let may_send = viewer.is_some_and(|viewer| viewer.role.may(Permission::RunJobs));
    loaded(load(use_context::<Ports>()), move |all| webhooks(&all, may_send))
}

async fn load(ports: Option<Ports>) -> Result<Vec<DeliveryView>, Problem> {
    let webhooks = ports.ok_or(Problem::Unavailable)?.webhooks;
    let mut all = Vec::new();
    for state in [DeliveryState::Dead, DeliveryState::Waiting, DeliveryState::Delivered] {
        all.extend(webhooks.deliveries(Some(state), SHOWN).await?);
    }
    Ok(all)
}

fn webhooks(all: &[DeliveryView], may_send: bool) -> impl IntoView + use<> {
    let list = match all.is_empty() {
        true => view! {
            <Empty>"None yet. A " <code>"[[webhook]]"</code> " in the configuration says who is told of what."</Empty>
        }
        .into_any(),
        false => {
            let rows: Vec<_> = all.iter().map(|delivery| row(delivery, may_send)).collect();
            view! {
                <Table
                    caption="Messages to other services; what was given up comes first"
                    columns=&[Text("Message"), Text("To"), Text("State"), Number("Tries"), Text("Since"), Text("")]
                >
                    {rows}
                </Table>
            }
            .into_any()
        }
    };
    view! {
        <Heading title="Webhooks" />
        <p class="muted">
            "What is not taken is tried again for about a day, then given up. A receiver may get one message twice, under the same id."
        </p>
        {list}
    }
}

fn row(delivery: &DeliveryView, may_send: bool) -> impl IntoView + use<> {
    let (tone, word) = match delivery.state {
        DeliveryState::Dead => (Tone::Bad, "Given up"),
        DeliveryState::Waiting => (Tone::Info, "Waits"),
        DeliveryState::Delivered => (Tone::Ok, "Taken"),
    };
    let why = delivery.last_error.as_ref().filter(|_| delivery.state != DeliveryState::Delivered);
    let why = why.map(|why| view! { <p class="reason">{sentence(why)}</p> });
    let since = delivery.settled_at.unwrap_or(delivery.created_at);
    let id = delivery.id.clone();
    let again = (delivery.state == DeliveryState::Dead && may_send).then(|| {
        view! {
            <PostForm action=SendAgain::PATH>
                <Hidden name="id" value=id />
                <Submit label="Send again" class="button quiet small" />
            </PostForm>
        }
    });
    view! {
        <tr>
            <th scope="row">
                {delivery.kind.clone()} " " <span class="muted">{delivery.subject.clone()}</span>
                <p class="reason">
                    <code>{delivery.id.clone()}</code>
                </p>
            </th>
            <td data-label="To">{delivery.to.clone()}</td>
            <td data-label="State">
                <Badge tone word />
                {why}
            </td>
            <td data-label="Tries" class="number">
                {delivery.attempts}
            </td>
            <td data-label="Since">
                <When at=since />
            </td>
            <td>{again}</td>
        </tr>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;

    #[test]
    fn what_was_given_up_can_be_sent_again_by_who_may() {
        let html = rendered(|| webhooks(&[DeliveryView::sample()], true));
        for needed in
            ["Given up", "The receiver answered 500", "/console/do/send_again", "value=\"msg_0123\""]
        {
            assert!(html.contains(needed), "{needed} in {html}");
        }
        assert!(!rendered(|| webhooks(&[DeliveryView::sample()], false)).contains("send_again"));
        let taken = DeliveryView { state: DeliveryState::Delivered, ..DeliveryView::sample() };
        let html = rendered(|| webhooks(&[taken], true));
        assert!(!html.contains("send_again") && !html.contains("answered 500"), "{html}");
        assert!(rendered(|| webhooks(&[], true)).contains("[[webhook]]"));
    }
}
