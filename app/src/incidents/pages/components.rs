//! The components of the public page, and the form for one more.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use salvor_domain::account::Permission;

use crate::accounts::port::Viewer;
use crate::incidents::api::AddComponent;
use crate::incidents::port::ComponentView;
use crate::ports::Ports;
use crate::problem::Problem;
use crate::ui::table::Column::Text;
use crate::ui::{Badge, Empty, Field, Heading, PostForm, Submit, Table, badge, loaded};

#[component]
pub fn ComponentsPage() -> impl IntoView {
    let viewer = use_context::<Option<Viewer>>().flatten();
    let may_write = viewer.is_some_and(|viewer| viewer.role.may(Permission::WriteIncidents));
    loaded(load(use_context::<Ports>()), move |all| components(&all, may_write))
}

async fn load(ports: Option<Ports>) -> Result<Vec<ComponentView>, Problem> {
    ports.ok_or(Problem::Unavailable)?.incidents.components().await
}

fn components(all: &[ComponentView], may_write: bool) -> impl IntoView + use<> {
    view! {
        <Heading title="Components" />
        <p>"What the status page lists. Their status changes with the updates of incidents."</p>
        {table(all)}
        {may_write.then(form)}
    }
}

fn table(all: &[ComponentView]) -> AnyView {
    if all.is_empty() {
        return view! {
            <Empty>"None yet. Add what customers would name: Websites, Uploaded files, Sign-in."</Empty>
        }
        .into_any();
    }
    let rows: Vec<_> = all
        .iter()
        .map(|component| {
            let (tone, word) = badge::component(component.status);
            view! {
                <tr>
                    <th scope="row">{component.name.clone()}</th>
                    <td data-label="Status">
                        <Badge tone word />
                    </td>
                    <td data-label="Group">{component.group.clone().unwrap_or_else(|| "none".to_owned())}</td>
                    <td data-label="Description" class="muted">
                        {component.description.clone().unwrap_or_else(|| "none".to_owned())}
                    </td>
                </tr>
            }
        })
        .collect();
    view! {
        <Table
            caption="Components in their order on the status page"
            columns=&[Text("Component"), Text("Status"), Text("Group"), Text("Description")]
        >
            {rows}
        </Table>
    }
    .into_any()
}

fn form() -> impl IntoView {
    view! {
        <section class="card" aria-labelledby="add">
            <h2 id="add">"Add a component"</h2>
            <PostForm action=AddComponent::PATH class="stack form">
                <Field name="request[name]" label="Name" />
                <Field name="request[group]" label="Group" optional=true />
                <Field name="request[description]" label="Description" optional=true max_length=500 />
                <Submit label="Add" />
            </PostForm>
        </section>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;
    use salvor_domain::incident::ComponentStatus;

    #[test]
    fn components_have_their_status_in_words() {
        let all = [ComponentView::sample("Websites", ComponentStatus::DegradedPerformance)];
        let html = rendered(|| components(&all, true));
        assert!(
            html.contains("Degraded performance") && html.contains("/console/do/add_component"),
            "{html}"
        );
        assert!(!rendered(|| components(&all, false)).contains("<form"));
    }
}
