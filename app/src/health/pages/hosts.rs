//! Every host that reports, worst first, as a tree of what lies on what: volumes and copies, file systems, pools, arrays, disks.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use leptos_router::params::ParamsMap;
use salvor_domain::health::{Level, NodeKind};
use salvor_domain::text::sentence;

use super::tree::{Beneath, Branch, branches};
use crate::health::islands::LivePart;
use crate::health::port::{HostView, NodeView, SignalView};
use crate::health::words::{self, reason};
use crate::health::{host_anchor, node_anchor, signal_page};
use crate::ports::Ports;
use crate::problem::Problem;
use crate::ui::form::Select;
use crate::ui::{Badge, Empty, Heading, Submit, Tone, When, badge, loaded};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Filter {
    /// Only what is this bad or worse.
    level: Option<Level>,
    host: Option<String>,
}

#[component]
pub fn HostsPage() -> impl IntoView {
    let filter = use_query_map().with_untracked(filter);
    loaded(load(use_context::<Ports>()), move |all| hosts(&all, &filter))
}

async fn load(ports: Option<Ports>) -> Result<Vec<HostView>, Problem> {
    ports.ok_or(Problem::Unavailable)?.health.hosts().await
}

/// The filter that an address asks for; a word that is none of ours asks for nothing.
fn filter(query: &ParamsMap) -> Filter {
    let text = |name| query.get(name).filter(|text| !text.trim().is_empty());
    Filter { level: text("level").and_then(|word| word.parse().ok()), host: text("host") }
}

fn hosts(all: &[HostView], filter: &Filter) -> impl IntoView + use<> {
    let worst = all.iter().map(worst).max();
    let status = worst.map(|level| {
        let (tone, word) = badge::level(level);
        view! { <Badge tone word /> }
    });
    view! {
        <Heading title="Health">
            {status}
        </Heading>
        {everything(all, filter)}
    }
}

fn everything(all: &[HostView], filter: &Filter) -> AnyView {
    if all.is_empty() {
        return view! {
            <Empty>
                "No host reports yet, so nothing is known of disks. This server reads its own within a minute of its start. On \
                 another storage host, run " <code>"salvor agent"</code> " with a token of the role " <code>"agent"</code> "."
            </Empty>
        }
        .into_any();
    }
    let is_wanted = |host: &&HostView| filter.host.as_ref().is_none_or(|name| *name == host.name);
    let mut wanted: Vec<_> = all.iter().filter(is_wanted).collect();
    wanted.sort_by_key(|host| std::cmp::Reverse(worst(host)));
    let shown: Vec<_> = wanted.into_iter().map(|host| section(host, filter)).collect();
    let none = shown.is_empty().then(|| view! { <Empty>"No host of this name reports."</Empty> });
    view! {
        {filter_form(all, filter)}
        <div id="hosts">
            {none}
            {shown}
        </div>
        <LivePart id="hosts".to_owned() />
    }
    .into_any()
}

fn filter_form(all: &[HostView], filter: &Filter) -> impl IntoView + use<> {
    let levels = [
        ("", "Everything"),
        ("unknown", "Not OK"),
        ("warning", "Warning or critical"),
        ("critical", "Critical"),
    ]
    .map(|(value, words)| (value.to_owned(), words.to_owned()))
    .to_vec();
    let mut names = vec![(String::new(), "All hosts".to_owned())];
    names.extend(all.iter().map(|host| (host.name.clone(), host.name.clone())));
    let hosts = (all.len() > 1).then(|| {
        view! { <Select name="host" label="Host" options=names selected=filter.host.clone().unwrap_or_default() /> }
    });
    view! {
        <form method="get" action="/console/health" class="filters">
            <Select name="level" label="Show" options=levels selected=filter.level.map_or("", Level::as_str) />
            {hosts}
            <Submit label="Filter" class="button quiet" />
        </form>
    }
}

/// What a silent host said does not count any more.
fn worst(host: &HostView) -> Level {
    if host.silent && !host.revoked { host.level.max(Level::Critical) } else { host.level }
}

fn section(host: &HostView, filter: &Filter) -> impl IntoView + use<> {
    let id = host_anchor(&host.name);
    let (tone, word) = match (host.revoked, host.silent) {
        (true, _) => (Tone::Plain, "Revoked"),
        (false, true) => (Tone::Bad, "Silent"),
        (false, false) => badge::level(host.level),
    };
    let works = if host.works { "works for jobs" } else { "not connected for jobs" };
    let by = match (host.alerts_only, host.is_agent) {
        (true, _) => "Alerts only, no agent; the last came ".to_owned(),
        (_, true) => format!("An agent reports, version {}, {works}; last ", host.version),
        (_, false) => format!("A server of version {} reads it itself; last ", host.version),
    };
    let mut shown: Vec<_> = branches(host);
    if let Some(least) = filter.level {
        shown = shown.into_iter().filter_map(|branch| branch.at_least(least)).collect();
    }
    // A host of which only its parts tell is its heading.
    shown.retain(|branch| {
        branch.node.kind != NodeKind::Host || !branch.node.signals.is_empty() || !branch.beneath.is_empty()
    });
    let shown: Vec<_> = shown.into_iter().map(|branch| branch_view(host, branch)).collect();
    let none = shown.is_empty().then(|| {
        let words = if filter.level.is_some() {
            "Nothing here is as bad as that."
        } else {
            "It reports nothing yet."
        };
        view! { <Empty>{words}</Empty> }
    });
    view! {
        <section class="host" aria-labelledby=id.clone()>
            <h2 id=id.clone()>
                {host.name.clone()} " "
                <Badge tone word />
            </h2>
            <p class="muted">{by} <When at=host.reported_at /> "."</p>
            {trouble(host)}
            {none}
            <ul class="tree" role="list">
                {shown}
            </ul>
        </section>
    }
}

/// What to do about a host that does not report.
fn trouble(host: &HostView) -> Option<AnyView> {
    let name = host.name.clone();
    if host.revoked {
        return Some(
            view! {
                <p class="alert" data-tone="info">
                    "Its token was taken away, so it cannot report. What stands below is old. To let it report again, make a new \
                     token: " <code>{format!("salvor token create NAME --role agent --host {name}")}</code>
                </p>
            }
            .into_any(),
        );
    }
    if host.alerts_only {
        return Some(
            view! {
                <p class="alert" data-tone="info">
                    "Alertmanager names it; nothing else is known of it. If it carries a volume or a copy, run "
                    <code>"salvor agent"</code> " there with a token: "
                    <code>{format!("salvor token create NAME --role agent --host {name}")}</code>
                </p>
            }
            .into_any(),
        );
    }
    host.silent.then(|| {
        let what = if host.is_agent { "salvor agent" } else { "salvor serve" };
        view! {
            <p class="alert" data-tone="bad">
                "It has fallen silent: nothing that it said counts any more. See that the host is up, that "
                <code>{what}</code> " runs there, and that it reaches this server."
            </p>
        }
        .into_any()
    })
}

fn branch_view(host: &HostView, branch: Branch<'_>) -> AnyView {
    let node = branch.node;
    let id = node_anchor(&host.name, &node.id);
    let summary = summary(&branch);
    if branch.beneath.is_empty() && node.signals.is_empty() {
        return view! {
            <li id=id class="leaf">
                {summary}
            </li>
        }
        .into_any();
    }
    let is_open = branch.level != Level::Ok;
    let signals: Vec<_> = node.signals.iter().map(signal).collect();
    let signals = (!signals.is_empty()).then(|| view! { <ul class="signals" role="list">{signals}</ul> });
    let beneath: Vec<_> = branch
        .beneath
        .into_iter()
        .map(|under| match under {
            Beneath::Here(branch) => branch_view(host, branch),
            Beneath::Elsewhere(node) => elsewhere(host, node),
        })
        .collect();
    let beneath = (!beneath.is_empty()).then(|| view! { <ul class="tree" role="list">{beneath}</ul> });
    view! {
        <li id=id>
            <details open=is_open>
                <summary>{summary}</summary>
                {signals}
                {beneath}
            </details>
        </li>
    }
    .into_any()
}

/// A line that is enough while it is folded: level, what it is, why.
fn summary(branch: &Branch<'_>) -> impl IntoView + use<> {
    let node = branch.node;
    let (tone, word) = badge::level(branch.level);
    let worst = branch.worst();
    let why = match (branch.because.filter(|_| branch.level > Level::Ok), worst) {
        (Some(label), _) => Some(format!("because of {label}")),
        (None, Some(signal)) if signal.level > Level::Ok => Some(reason(&signal.subject, &signal.reason)),
        (None, Some(_)) => None,
        (None, None) if node.on.is_empty() => Some("No probe says anything of it".to_owned()),
        (None, None) => None,
    };
    let class = if worst.is_some() && branch.because.is_none() { "why own" } else { "why" };
    let read = worst.map(|signal| {
        let (word, at) = match signal.level {
            Level::Ok => ("read ", signal.read_at),
            _ => ("since ", signal.since),
        };
        view! { <span class="muted">{word} <When at /></span> }
    });
    let muted = node.signals.iter().any(|signal| signal.muted.is_some()).then(|| {
        view! { <Badge tone=Tone::Info word="Muted" /> }
    });
    view! {
        <span class="node">
            <Badge tone word />
            <span class="kind">{words::kind(node.kind)}</span>
            <strong>{node.label.clone()}</strong>
            {muted}
            {why.map(|why| view! { <span class=class>{why}</span> })}
            {read}
        </span>
    }
}

fn signal(signal: &SignalView) -> impl IntoView + use<> {
    let (tone, word) = badge::level(signal.level);
    let muted = signal.muted.as_ref().map(|mute| {
        let until = mute.until;
        view! {
            <span class="muted">
                "Muted until " <When at=until exact=true /> " by " {mute.by.clone()} ": " {mute.reason.clone()}
            </span>
        }
    });
    let flapping = signal.flapping.then(|| view! { <Badge tone=Tone::Warn word="Back and forth" /> });
    view! {
        <li>
            <Badge tone word />
            {flapping}
            <a href=String::from(signal_page(signal))>{sentence(words::probe(signal.probe))}</a>
            <span>{reason(&signal.subject, &signal.reason)}</span>
            <span class="muted">"since " <When at=signal.since /></span>
            {muted}
        </li>
    }
}

fn elsewhere(host: &HostView, node: &NodeView) -> AnyView {
    let (tone, word) = badge::level(node.level);
    let href = format!("#{}", node_anchor(&host.name, &node.id));
    view! {
        <li class="leaf">
            <span class="node">
                <Badge tone word />
                <span class="kind">{words::kind(node.kind)}</span>
                <a href=href>{node.label.clone()}</a>
                <span class="muted">"shown elsewhere on this page"</span>
            </span>
        </li>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::port::Mute;
    use crate::ui::rendered;
    use chrono::DateTime;
    use salvor_domain::health::Probe;

    fn page(host: HostView, filter: &Filter) -> String {
        rendered(|| hosts(&[host], filter))
    }

    #[test]
    fn a_host_is_a_tree_that_is_open_where_it_is_not_well() {
        let html = page(HostView::sample(), &Filter::default());
        for needed in [
            "store1",
            "version 0.1.0",
            "/srv/uploads (ext4)",
            "because of /srv/uploads (ext4)",
            "ext4 counts 1 error",
            "sda, WDC WD140EDFZ",
            "No probe says anything of it",
            "/console/health/signal?host=store1&amp;probe=ext4&amp;subject=fs%3A%2Fsrv%2Fuploads",
        ] {
            assert!(
                html.contains(needed.replace("&amp;", "&").as_str()) || html.contains(needed),
                "{needed} in {html}"
            );
        }
        assert!(html.contains("<details open"));
        assert_eq!(html.matches("id=\"store1--sda\"").count(), 1, "{html}");
    }

    #[test]
    fn silent_and_revoked_hosts_say_what_to_do() {
        let html = page(HostView { silent: true, ..HostView::sample() }, &Filter::default());
        assert!(html.contains("Silent") && html.contains("fallen silent"), "{html}");
        let html = page(HostView { silent: true, revoked: true, ..HostView::sample() }, &Filter::default());
        assert!(html.contains("Revoked") && html.contains("--role agent --host store1"), "{html}");
        assert!(!html.contains("fallen silent"));
    }

    #[test]
    fn a_host_that_only_alerts_name_says_so() {
        let alert = SignalView { probe: Probe::Alert, ..HostView::sample().nodes[1].signals[0].clone() };
        let nodes = vec![NodeView {
            kind: NodeKind::Host,
            signals: vec![alert],
            ..HostView::sample().nodes[1].clone()
        }];
        let html = page(HostView { alerts_only: true, nodes, ..HostView::sample() }, &Filter::default());
        for needed in
            ["Alerts only, no agent", "Critical", "nothing else is known", "--role agent --host store1"]
        {
            assert!(html.contains(needed), "{needed} in {html}");
        }
    }

    #[test]
    fn the_worst_host_is_first() {
        let well = HostView { name: "a".into(), level: Level::Ok, ..HostView::sample() };
        let silent = HostView { name: "b".into(), level: Level::Unknown, silent: true, ..HostView::sample() };
        let html = rendered(|| hosts(&[well, silent], &Filter::default()));
        assert!(html.find("id=\"host-b\"") < html.find("id=\"host-a\""), "{html}");
    }

    #[test]
    fn an_address_is_read_as_a_filter() {
        let mut query = ParamsMap::new();
        query.insert("level", "critical".into());
        query.insert("host", " ".into());
        let read = filter(&query);
        assert_eq!(read, Filter { level: Some(Level::Critical), host: None });
        let html = page(HostView::sample(), &read);
        assert!(html.contains("/srv/uploads (ext4)") && !html.contains("WDC"), "{html}");
        let other = Filter { host: Some("store2".into()), ..Filter::default() };
        assert!(page(HostView::sample(), &other).contains("No host of this name"));
    }

    #[test]
    fn without_hosts_it_says_how_to_get_one_and_a_mute_is_seen() {
        assert!(rendered(|| hosts(&[], &Filter::default())).contains("salvor agent"));
        let mut host = HostView::sample();
        let until = DateTime::UNIX_EPOCH;
        let mute = Mute { reason: "new disk on Monday".into(), by: "ann".into(), until };
        host.nodes[1].signals[0].muted = Some(mute);
        assert!(page(host, &Filter::default()).contains("new disk on Monday"));
    }
}
