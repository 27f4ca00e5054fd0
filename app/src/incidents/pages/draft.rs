//! A draft: what customers will read, to be changed, published or discarded.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;

use super::fields;
use crate::incidents::api::{DiscardIncident, PublishIncident};
use crate::incidents::port::{ComponentView, IncidentView};
use crate::ui::form::{Confirm, TextArea};
use crate::ui::{Field, PostForm, Submit};

/// `typed` is what was in the form before something went wrong.
pub fn forms(incident: &IncidentView, components: &[ComponentView], typed: String) -> impl IntoView + use<> {
    let name = incident.name.clone();
    let about = || fields::about(incident.id.to_string());
    let (about, about_too) = (about(), about());
    let written = incident.updates.first().map(|update| update.body.clone()).unwrap_or_default();
    let body = if typed.is_empty() { written } else { typed };
    let components = fields::components(components);
    view! {
        <section class="card stack" aria-labelledby="draft">
            <h2 id="draft">"Publish it"</h2>
            <p>"Salvor wrote this when the volume left normal. Customers see nothing of it until you publish it."</p>
            <PostForm action=PublishIncident::PATH class="stack form">
                {about}
                <Field name="request[name]" label="What customers notice" value=name />
                <TextArea name="request[body]" label="First update" value=body rows=5 />
                {components}
                <Submit label="Publish" />
            </PostForm>
            <Confirm label="Discard the draft …" question="Customers are told nothing, and the draft is gone.">
                <PostForm action=DiscardIncident::PATH>
                    {about_too} <Submit label="Discard it" class="button danger" />
                </PostForm>
            </Confirm>
        </section>
    }
}
