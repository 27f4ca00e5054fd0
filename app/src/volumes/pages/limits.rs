//! How fast the copies of a volume are read: set by hand over the configuration, and taken back.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use salvor_domain::account::Permission;

use crate::accounts::port::Viewer;
use crate::restore::pages::limit_fields;
use crate::ui::{Hidden, PostForm, Submit};
use crate::volumes::api::LimitCopy;
use crate::volumes::port::{CopyView, VolumeView};

pub fn forms(volume: &VolumeView, viewer: Option<&Viewer>) -> Option<impl IntoView + use<>> {
    viewer.filter(|viewer| viewer.role.may(Permission::RunJobs))?;
    Some(volume.copies.iter().map(|copy| form(&volume.name, copy)).collect::<Vec<_>>())
}

fn form(volume: &str, copy: &CopyView) -> impl IntoView + use<> {
    let (same, back) = (about(volume, copy), format!("{}: back to its configuration", copy.name));
    let taken_back = copy.limit.by_hand.then(|| {
        view! {
            <PostForm action=LimitCopy::PATH>
                {same}
                <Hidden name="request[clear]" value="true" />
                <Submit label=back class="button quiet" />
            </PostForm>
        }
    });
    let (about, limits) = (about(volume, copy), copy.limit.limits);
    let set = format!("Set the limit of {}", copy.name);
    view! {
        <details>
            <summary>{format!("Limit how fast {} is read", copy.name)}</summary>
            <PostForm action=LimitCopy::PATH class="stack">
                {about}
                {limit_fields(limits)}
                <p class="muted">
                    "Goes before the configuration and its timetable until it is taken back. Running jobs follow within a second."
                </p>
                <Submit label=set class="button quiet" />
            </PostForm>
            {taken_back}
        </details>
    }
}

fn about(volume: &str, copy: &CopyView) -> impl IntoView + use<> {
    let (volume, copy) = (volume.to_owned(), copy.name.clone());
    view! {
        <Hidden name="request[volume]" value=volume />
        <Hidden name="request[copy]" value=copy />
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;

    #[test]
    fn a_limit_shows_what_holds_and_what_was_set_by_hand_can_be_taken_back() {
        let mut volume = VolumeView::sample();
        let html = rendered(|| forms(&volume, Some(&Viewer::sample())));
        assert!(html.contains("value=\"offsite\"") && !html.contains("back to its configuration"), "{html}");
        assert_eq!(html.matches("value=\"none\"").count(), 4, "two limits of two copies: {html}");
        volume.copies[1].limit.by_hand = true;
        volume.copies[1].limit.limits = serde_json::from_str(r#"{"bandwidth":"20 Mbit/s"}"#).unwrap();
        let html = rendered(|| forms(&volume, Some(&Viewer::sample())));
        assert!(html.contains("offsite: back to its configuration"), "{html}");
        assert!(html.contains("value=\"20 Mbit/s\""), "{html}");
        assert!(forms(&volume, None).is_none());
    }
}
