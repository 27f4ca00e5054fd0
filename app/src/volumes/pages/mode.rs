//! The mode of a volume, and the form that changes it. While it is not normal, why and since when stand in the banner above, and
//! nowhere else.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use salvor_domain::account::Permission;
use salvor_domain::volume::Mode;

use crate::accounts::port::Viewer;
use crate::ui::form::{Select, TextArea};
use crate::ui::{Field, Hidden, PostForm, Submit, When, badge};
use crate::volumes::api::SetMode;
use crate::volumes::port::VolumeView;

pub fn panel(volume: &VolumeView, viewer: Option<&Viewer>, draft: String) -> impl IntoView + use<> {
    let may = |permission| viewer.is_some_and(|viewer| viewer.role.may(permission));
    let form = may(Permission::SetMode).then(|| form(volume, may(Permission::OverrideGate), draft));
    view! {
        <section class="card" aria-labelledby="mode">
            <h2 id="mode">"Mode"</h2>
            {now(volume)}
            {form}
        </section>
    }
}

fn now(volume: &VolumeView) -> impl IntoView + use<> {
    let word = badge::mode(volume.mode.mode()).1;
    let rest = match volume.mode.mode() {
        Mode::Normal => {
            let since = volume.mode.since();
            let said = format!(", by {}: {}", volume.mode.by(), volume.mode.reason());
            view! { " since " <When at=since exact=true /> {said} }.into_any()
        }
        Mode::ReadOnly | Mode::Failover => {
            ". The top of this page says why, and what has to be done.".into_any()
        }
    };
    view! {
        <p>
            <strong>{word}</strong>
            {rest}
        </p>
    }
}

/// The modes that can be reached from this one, nearest first.
fn reachable(from: Mode) -> &'static [(Mode, &'static str)] {
    match from {
        Mode::Normal => &[(Mode::ReadOnly, "Read-only: stop uploads, deletes and protect")],
        Mode::ReadOnly => &[
            (Mode::Normal, "Normal: uploads and deletes again"),
            (Mode::Failover, "Failover: serve from the copies while the primary is checked"),
        ],
        Mode::Failover => &[(Mode::ReadOnly, "Read-only: the primary is back")],
    }
}

fn form(volume: &VolumeView, may_override: bool, draft: String) -> impl IntoView + use<> {
    let options: Vec<(String, String)> = reachable(volume.mode.mode())
        .iter()
        .map(|(mode, words)| (mode.as_str().to_owned(), (*words).to_owned()))
        .collect();
    let over = (may_override && !volume.gate.is_empty() && volume.mode.mode() == Mode::ReadOnly).then(|| {
        view! {
            <details>
                <summary>"Return to normal although the gate is not open"</summary>
                <Field
                    name="request[override_by_name]"
                    label=format!("To override, type the volume's name: {}", volume.name)
                    optional=true
                />
            </details>
        }
    });
    let is_open = !draft.is_empty();
    let name = volume.name.clone();
    view! {
        <details open=is_open>
            <summary>"Change the mode …"</summary>
            <PostForm action=SetMode::PATH class="stack">
                <Hidden name="request[volume]" value=name />
                <Select name="request[to]" label="New mode" options />
                <TextArea
                    name="request[reason]"
                    label="Reason"
                    hint="Shown to operators and kept in the audit log."
                    value=draft
                    rows=2
                    max_length=1000
                />
                {over}
                <Submit label="Change the mode" />
            </PostForm>
        </details>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;
    use chrono::DateTime;
    use salvor_domain::account::Role;
    use salvor_domain::volume::{GateFacts, ModeChange, ModeState};

    #[test]
    fn only_modes_that_can_be_reached_are_offered() {
        let now = DateTime::UNIX_EPOCH;
        let (reason, by) = ("r".to_owned(), "b".to_owned());
        let normal = ModeState::Normal { since: now, reason: reason.clone(), by: by.clone() };
        let facts = GateFacts { full_check_started_at: Some(now), ..GateFacts::default() };
        let change = |to| ModeChange {
            to,
            reason: reason.clone(),
            by: by.clone(),
            evidence: vec![],
            override_gate: false,
            now,
        };
        let read_only = normal.clone().change(change(Mode::ReadOnly), &facts).unwrap();
        let failover = read_only.clone().change(change(Mode::Failover), &facts).unwrap();
        for state in [normal, read_only, failover] {
            for mode in Mode::ALL {
                let offered = reachable(state.mode()).iter().any(|(to, _)| to == mode);
                assert_eq!(
                    offered,
                    state.clone().change(change(*mode), &facts).is_ok(),
                    "{state:?} → {mode}"
                );
            }
        }
    }

    #[test]
    fn what_the_banner_says_is_not_said_again() {
        let html = |view: &VolumeView| rendered(|| panel(view, None, String::new()));
        let mut view = VolumeView::sample();
        assert!(!html(&view).contains(view.mode.reason()) && html(&view).contains("Read-only"));
        view.mode = ModeState::Normal { since: DateTime::UNIX_EPOCH, reason: "new".into(), by: "ann".into() };
        assert!(html(&view).contains("by ann: new"));
    }

    #[test]
    fn only_an_admin_is_offered_the_way_over_the_gate() {
        let html = |role| {
            let viewer = Viewer { role, ..Viewer::sample() };
            rendered(|| panel(&VolumeView::sample(), Some(&viewer), "typed before".into()))
        };
        assert!(!html(Role::Operator).contains("override_by_name"));
        assert!(html(Role::Admin).contains("override_by_name") && html(Role::Admin).contains("typed before"));
    }
}
