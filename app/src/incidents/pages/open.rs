//! The form that opens an incident.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_router::hooks::use_query_map;
use salvor_domain::incident::{Impact, IncidentStatus};

use super::fields;
use crate::incidents::api::OpenIncident;
use crate::incidents::port::ComponentView;
use crate::ports::Ports;
use crate::problem::Problem;
use crate::ui::address::DRAFT;
use crate::ui::form::{Select, TextArea};
use crate::ui::{Field, Heading, PostForm, Submit, badge, loaded};

/// What the form is filled with.
#[derive(Default)]
struct Form {
    components: Vec<ComponentView>,
    volumes: Vec<String>,
    /// What was typed before something went wrong.
    name: String,
    body: String,
}

#[component]
pub fn OpenIncidentPage() -> impl IntoView {
    let typed = |name| use_query_map().with_untracked(|query| query.get(name)).unwrap_or_default();
    loaded(load(use_context::<Ports>(), typed("name"), typed(DRAFT)), open)
}

async fn load(ports: Option<Ports>, name: String, body: String) -> Result<Form, Problem> {
    let ports = ports.ok_or(Problem::Unavailable)?;
    let components = ports.incidents.components().await?;
    let volumes = ports.volumes.volumes().await?.into_iter().map(|volume| volume.name).collect();
    Ok(Form { components, volumes, name, body })
}

fn open(form: Form) -> impl IntoView {
    let mut impacts = vec![(String::new(), "By the worst component".to_owned())];
    impacts.extend(
        [Impact::None, Impact::Minor, Impact::Major, Impact::Critical]
            .map(|impact| (impact.as_str().to_owned(), badge::impact(impact).1.to_owned())),
    );
    let mut volumes = vec![(String::new(), "None".to_owned())];
    volumes.extend(form.volumes.into_iter().map(|name| (name.clone(), name)));
    let statuses = fields::statuses(&[
        IncidentStatus::Investigating,
        IncidentStatus::Identified,
        IncidentStatus::Monitoring,
    ]);
    let no_components = form.components.is_empty().then(|| {
        view! {
            <p class="muted">
                "The public page has no components yet. "
                <a href="/console/components">"Add some"</a> " so that customers see what is affected."
            </p>
        }
    });
    view! {
        <Heading title="Open an incident" />
        <p>"Customers see it on the status page at once. What you write here is public; people are not named."</p>
        <PostForm action=OpenIncident::PATH class="stack form">
            <Field
                name="request[name]"
                label="What customers notice"
                hint="One line, in their words: Some uploaded files are missing"
                value=form.name
            />
            <Select name="request[status]" label="Status" options=statuses />
            <TextArea
                name="request[body]"
                label="First update"
                hint="What is known, what you do, when you will write again."
                value=form.body
                rows=5
            />
            {fields::components(&form.components)}
            {no_components}
            <Select name="request[impact]" label="Impact" options=impacts />
            <Select name="request[volume]" label="Show the progress of restores of" options=volumes />
            <Submit label="Open the incident" />
        </PostForm>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;
    use salvor_domain::incident::ComponentStatus;

    #[test]
    fn what_was_typed_is_still_there_and_every_component_can_be_set() {
        let form = Form {
            components: vec![ComponentView::sample("Uploaded files", ComponentStatus::Operational)],
            volumes: vec!["uploads".into()],
            name: "Files are missing".into(),
            body: "We look into it.".into(),
        };
        let html = rendered(|| open(form));
        for needed in [
            "value=\"Files are missing\"",
            "We look into it.</textarea>",
            "request[components][0][status]",
            "Leave as it is (Operational)",
            "value=\"uploads\"",
        ] {
            assert!(html.contains(needed), "{needed} in {html}");
        }
        assert!(rendered(|| open(Form::default())).contains("no components yet"));
    }
}
