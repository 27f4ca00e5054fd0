//! How fast the copies of a volume are read: set by hand over the configuration, and taken back.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use salvor_domain::account::Permission;
use salvor_domain::limits::Limits;

use crate::accounts::port::Viewer;
use crate::restore::pages::limit_fields;
use crate::ui::form::Select;
use crate::ui::{Hidden, PostForm, Submit};
use crate::volumes::api::LimitCopy;
use crate::volumes::port::VolumeView;

pub fn forms(volume: &VolumeView, viewer: Option<&Viewer>) -> Option<impl IntoView + use<>> {
    viewer.filter(|viewer| viewer.role.may(Permission::RunJobs) && !volume.copies.is_empty())?;
    let options = volume.copies.iter().map(|copy| (copy.name.clone(), copy.name.clone())).collect();
    let by_hand: Vec<_> = volume
        .copies
        .iter()
        .filter(|copy| copy.limit.by_hand)
        .map(|copy| {
            let (volume, name) = (volume.name.clone(), copy.name.clone());
            let label = format!("{}: back to its configuration", copy.name);
            view! {
                <PostForm action=LimitCopy::PATH>
                    <Hidden name="request[volume]" value=volume />
                    <Hidden name="request[copy]" value=name />
                    <Hidden name="request[clear]" value="true" />
                    <Submit label class="button quiet" />
                </PostForm>
            }
        })
        .collect();
    let taken_back = (!by_hand.is_empty()).then(|| view! { <div class="actions">{by_hand}</div> });
    let name = volume.name.clone();
    Some(view! {
        {taken_back}
        <details>
            <summary>"Limit how fast a copy is read"</summary>
            <PostForm action=LimitCopy::PATH class="stack">
                <Hidden name="request[volume]" value=name />
                <Select name="request[copy]" label="Copy" options />
                {limit_fields(Limits::default())}
                <p class="muted">
                    "Goes before the configuration and its timetable until it is taken back. Running jobs follow within a second."
                </p>
                <Submit label="Set the limit" class="button quiet" />
            </PostForm>
        </details>
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;

    #[test]
    fn a_limit_set_by_hand_can_be_taken_back() {
        let mut volume = VolumeView::sample();
        let html = rendered(|| forms(&volume, Some(&Viewer::sample())));
        assert!(html.contains("value=\"offsite\"") && !html.contains("back to its configuration"), "{html}");
        volume.copies[1].limit.by_hand = true;
        let html = rendered(|| forms(&volume, Some(&Viewer::sample())));
        assert!(html.contains("offsite: back to its configuration"), "{html}");
        assert!(forms(&volume, None).is_none());
    }
}
