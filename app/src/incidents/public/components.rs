//! The components with their state, by group.

use leptos::prelude::*;
use salvor_domain::incident::ComponentStatus;

use crate::document::tone::Tone;
use crate::incidents::port::ComponentView;

pub(super) fn list(components: &[ComponentView]) -> AnyView {
    let entries = grouped(components).into_iter().map(|(group, members)| match group {
        Some(group) => {
            let members = members.into_iter().map(|member| view! { <li>{row(member)}</li> }).collect_view();
            view! { <li><h3>{group.to_owned()}</h3><ul role="list">{members}</ul></li> }.into_any()
        }
        None => members.into_iter().map(|member| view! { <li>{row(member)}</li> }).collect_view().into_any(),
    });
    view! { <ul class="components card" role="list">{entries.collect_view()}</ul> }.into_any()
}

/// In the order of the page; a group stands where its first member stands.
fn grouped(components: &[ComponentView]) -> Vec<(Option<&str>, Vec<&ComponentView>)> {
    let mut groups: Vec<(Option<&str>, Vec<&ComponentView>)> = Vec::new();
    for component in components {
        let group = component.group.as_deref();
        match groups.iter_mut().find(|(name, _)| group.is_some() && *name == group) {
            Some((_, members)) => members.push(component),
            None => groups.push((group, vec![component])),
        }
    }
    groups
}

fn row(component: &ComponentView) -> AnyView {
    let description = component
        .description
        .clone()
        .filter(|text| !text.is_empty())
        .map(|text| view! { <p class="muted small">{text}</p> });
    view! {
        <div class="component">
            <strong>{component.name.clone()}</strong>
            {state(component.status)}
            {description}
        </div>
    }
    .into_any()
}

/// Icon and words.
pub(super) fn state(status: ComponentStatus) -> AnyView {
    let tone = tone(status);
    view! { <span class="state" data-tone=tone.as_str()>{tone.icon()}{status.label()}</span> }.into_any()
}

fn tone(status: ComponentStatus) -> Tone {
    match status {
        ComponentStatus::Operational => Tone::Ok,
        ComponentStatus::UnderMaintenance => Tone::Info,
        ComponentStatus::DegradedPerformance => Tone::Warn,
        ComponentStatus::PartialOutage => Tone::Serious,
        ComponentStatus::MajorOutage => Tone::Bad,
    }
}
