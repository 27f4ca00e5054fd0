//! One signal: what was read, since when it is so, how it came to be so, and whether it may call.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_router::hooks::use_query_map;
use leptos_router::params::ParamsMap;
use salvor_domain::account::Permission;
use salvor_domain::health::Level;

use crate::accounts::port::Viewer;
use crate::health::api::{MUTES, MuteSignal, UnmuteSignal};
use crate::health::port::{Change, SignalKey, SignalView, SignalsFilter};
use crate::health::{facts, node_anchor, words};
use crate::ports::Ports;
use crate::problem::Problem;
use crate::ui::address::DRAFT;
use crate::ui::form::Select;
use crate::ui::{
    Address, Badge, Empty, Heading, Hidden, PostForm, Submit, TextArea, Tone, When, badge, loaded,
};

/// Older ones say little of today.
const CHANGES_SHOWN: usize = 100;

#[component]
pub fn SignalPage() -> impl IntoView {
    let query = use_query_map();
    let key = query.with_untracked(key);
    let draft = query.with_untracked(|query| query.get(DRAFT)).unwrap_or_default();
    let viewer = use_context::<Option<Viewer>>().flatten();
    let may_mute = viewer.is_some_and(|viewer| viewer.role.may(Permission::MuteSignals));
    loaded(load(use_context::<Ports>(), key), move |(view, changes)| signal(&view, &changes, may_mute, draft))
}

fn key(query: &ParamsMap) -> Option<SignalKey> {
    Some(SignalKey {
        host: query.get("host")?,
        probe: query.get("probe")?.parse().ok()?,
        subject: query.get("subject")?,
    })
}

async fn load(ports: Option<Ports>, key: Option<SignalKey>) -> Result<(SignalView, Vec<Change>), Problem> {
    let unknown = || Problem::NotFound("There is no such signal: nothing reads it any more.".into());
    let (ports, key) = (ports.ok_or(Problem::Unavailable)?, key.ok_or_else(unknown)?);
    let filter = SignalsFilter { host: Some(key.host.clone()), ..SignalsFilter::default() };
    let all = ports.health.signals(filter).await?;
    let view = all.into_iter().find(|signal| SignalKey::from(signal) == key).ok_or_else(unknown)?;
    Ok((view, ports.health.changes(key).await?))
}

fn signal(view: &SignalView, changes: &[Change], may_mute: bool, draft: String) -> impl IntoView + use<> {
    let (tone, word) = badge::level(view.level);
    let place = format!("/console/health#{}", node_anchor(&view.host, &view.subject));
    let volumes: Vec<_> = view
        .volumes
        .iter()
        .map(|name| view! { <li><a href=String::from(Address::console(&["volumes", name]))>{name.clone()}</a></li> })
        .collect();
    let volumes = (!volumes.is_empty()).then(|| {
        view! {
            <div>
                <dt>"Volumes that lie on it"</dt>
                <dd>
                    <ul class="cluster" role="list">
                        {volumes}
                    </ul>
                </dd>
            </div>
        }
    });
    let stops = (view.stops_writes && view.level == Level::Critical).then(|| {
        view! { <p>"Writing on may do damage: volumes that lie on it are to be read-only."</p> }
    });
    let flapping = view.flapping.then(|| {
        view! { <p>"It went back and forth too often; it is shown at its worst until it is quiet."</p> }
    });
    let (since, read_at) = (view.since, view.read_at);
    view! {
        <Heading title=format!("{}: {}", view.subject, words::probe(view.probe))>
            <Badge tone word />
        </Heading>
        <p class="worst">{format!("{}.", words::reason(&view.subject, &view.reason))}</p>
        {stops}
        {flapping}
        <dl class="facts">
            <div>
                <dt>"Host"</dt>
                <dd>
                    <a href=place>{view.host.clone()}</a>
                </dd>
            </div>
            <div>
                <dt>"So since"</dt>
                <dd>
                    <When at=since exact=true />
                </dd>
            </div>
            <div>
                <dt>"Read"</dt>
                <dd>
                    <When at=read_at />
                </dd>
            </div>
            {volumes}
        </dl>
        <div class="columns">
            <section class="card" aria-labelledby="facts">
                <h2 id="facts">"What was read"</h2>
                {read(view)}
            </section>
            {mute(view, may_mute, draft)}
        </div>
        <section aria-labelledby="history">
            <h2 id="history">"How it changed"</h2>
            {history(changes)}
        </section>
    }
}

fn read(view: &SignalView) -> AnyView {
    match view.facts.is_empty() {
        true => view! { <Empty>"Nothing more than the sentence above."</Empty> }.into_any(),
        false => facts::view(&view.facts).into_any(),
    }
}

fn mute(view: &SignalView, may_mute: bool, draft: String) -> Option<impl IntoView + use<>> {
    let now = view.muted.as_ref().map(|mute| {
        let until = mute.until;
        view! {
            <p>
                <Badge tone=Tone::Info word="Muted" /> " until " <When at=until exact=true /> " by " {mute.by.clone()} ": "
                {mute.reason.clone()}
            </p>
        }
    });
    if now.is_none() && !may_mute {
        return None;
    }
    let form =
        may_mute.then(|| if view.muted.is_some() { unmute_form(view) } else { mute_form(view, draft) });
    Some(view! {
        <section class="card" aria-labelledby="mute">
            <h2 id="mute">"Mute"</h2>
            {now}
            {form}
        </section>
    })
}

fn mute_form(view: &SignalView, draft: String) -> AnyView {
    let spans = MUTES.map(|(hours, words)| (hours.to_string(), words.to_owned())).to_vec();
    let about = about(view);
    view! {
        <PostForm action=MuteSignal::PATH class="stack">
            {about}
            <p class="muted">"It stays in sight and calls nobody. When it gets worse it calls again, whatever was chosen here."</p>
            <TextArea name="request[reason]" label="Reason" hint="What is known of it, for whoever looks next." value=draft rows=2 max_length=1000 />
            <Select name="request[hours]" label="For" options=spans />
            <Submit label="Mute" class="button quiet" />
        </PostForm>
    }
    .into_any()
}

fn unmute_form(view: &SignalView) -> AnyView {
    let about = about(view);
    view! {
        <PostForm action=UnmuteSignal::PATH>
            {about}
            <Submit label="Let it call again" class="button quiet" />
        </PostForm>
    }
    .into_any()
}

fn about(view: &SignalView) -> impl IntoView + use<> {
    view! {
        <Hidden name="request[host]" value=view.host.clone() />
        <Hidden name="request[probe]" value=view.probe.as_str() />
        <Hidden name="request[subject]" value=view.subject.clone() />
    }
}

/// Changes of level, newest first.
pub fn history(changes: &[Change]) -> AnyView {
    if changes.is_empty() {
        return view! { <Empty>"No change is kept."</Empty> }.into_any();
    }
    let rows: Vec<_> = changes.iter().take(CHANGES_SHOWN).map(|change| changed(change, false)).collect();
    view! { <ol class="log">{rows}</ol> }.into_any()
}

/// `Warning → Critical`, when and why; `names` says of what, where that is not plain.
pub fn changed(change: &Change, names: bool) -> impl IntoView + use<> {
    let (tone, to) = badge::level(change.to);
    let from = change.from.map_or_else(|| "first reading".to_owned(), |from| format!("was {from}"));
    let what = match names {
        true => format!("{} on {}: {}", change.subject, change.host, change.reason),
        false => words::reason(&change.subject, &change.reason),
    };
    let at = change.at;
    view! {
        <li>
            <When at exact=true />
            <span>{what}</span>
            <span class="turn">
                <Badge tone word=to />
                <span class="muted">{from}</span>
            </span>
        </li>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::port::{Mute, VolumeHealth};
    use crate::ui::rendered;
    use chrono::DateTime;

    fn page(view: &SignalView, may_mute: bool) -> String {
        rendered(|| signal(view, &VolumeHealth::sample().changes, may_mute, "typed before".into()))
    }

    #[test]
    fn a_signal_shows_what_was_read_and_how_it_came_to_be_so() {
        let html = page(&SignalView::sample(), true);
        for needed in [
            "fs:/srv/uploads: ext4 error counts",
            "Critical",
            "errors count</dt><dd>1</dd>",
            "are to be read-only",
            "was ok",
            "/console/do/mute_signal",
            "value=\"168\"",
            "typed before",
            "href=\"/console/volumes/uploads\"",
            "href=\"/console/health#store1--fs-3a-2fsrv-2fuploads\"",
        ] {
            assert!(html.contains(needed), "{needed} in {html}");
        }
        assert!(!page(&SignalView::sample(), false).contains("mute_signal"), "who may not is not offered it");
    }

    #[test]
    fn a_muted_signal_says_by_whom_and_can_call_again() {
        let mute = Mute {
            reason: "new disk on Monday".into(),
            by: "ann@example.com".into(),
            until: DateTime::UNIX_EPOCH,
        };
        let view = SignalView { muted: Some(mute), ..SignalView::sample() };
        let html = page(&view, true);
        assert!(
            html.contains("/console/do/unmute_signal") && !html.contains("/console/do/mute_signal"),
            "{html}"
        );
        assert!(page(&view, false).contains("new disk on Monday"));
    }

    #[test]
    fn an_address_names_a_signal() {
        let mut query = ParamsMap::new();
        for (name, value) in [("host", "store1"), ("probe", "ext4"), ("subject", "fs:/srv/uploads")] {
            query.insert(name, value.into());
        }
        assert_eq!(key(&query), Some(SignalKey::from(&SignalView::sample())));
        query.replace("probe", "palmistry".to_owned());
        assert_eq!(key(&query), None);
    }
}
