//! Fields that the forms for incidents share.

use leptos::prelude::*;
use salvor_domain::incident::{ComponentStatus, IncidentStatus};

use crate::incidents::port::ComponentView;
use crate::ui::Hidden;
use crate::ui::form::Select;

/// Statuses as options, in the order that an incident goes through them.
pub fn statuses(of: &[IncidentStatus]) -> Vec<(String, String)> {
    of.iter().map(|status| (status.as_str().to_owned(), status.label().to_owned())).collect()
}

/// One choice for each component; the first leaves it as it is.
pub fn components(components: &[ComponentView]) -> Option<impl IntoView + use<>> {
    let rows: Vec<_> = components
        .iter()
        .enumerate()
        .map(|(at, component)| {
            let mut options = vec![(String::new(), format!("Leave as it is ({})", component.status.label()))];
            options.extend(
                ComponentStatus::ALL
                    .iter()
                    .filter(|status| **status != component.status)
                    .map(|status| (status.as_str().to_owned(), status.label().to_owned())),
            );
            let id = component.id.to_string();
            view! {
                <input type="hidden" name=format!("request[components][{at}][id]") value=id />
                <Select name=format!("request[components][{at}][status]") label=component.name.clone() options />
            }
        })
        .collect();
    (!rows.is_empty()).then(|| {
        view! {
            <fieldset class="choices">
                <legend>"Components"</legend>
                {rows}
            </fieldset>
        }
    })
}

/// The id of what is changed.
pub fn about(id: String) -> impl IntoView {
    view! { <Hidden name="request[incident]" value=id /> }
}
