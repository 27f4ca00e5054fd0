//! What checks found on a volume, with filters in the address.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_router::params::ParamsMap;
use salvor_domain::account::Permission;
use salvor_domain::finding::{FindingKind, FindingState};
use salvor_domain::units;

use crate::accounts::port::Viewer;
use crate::restore::api::PlanRestore;
use crate::ui::form::Select;
use crate::ui::table::Column::{Number, Text};
use crate::ui::{Address, Badge, Confirm, Empty, Field, Hidden, PostForm, Submit, Table, When, badge};
use crate::volumes::api::MarkDeleted;
use crate::volumes::port::{FindingView, FindingsFilter, FindingsPage, VolumeView};

/// What the viewer is offered for each finding.
#[derive(Clone, Copy)]
struct May {
    restore: bool,
    mark: bool,
}

/// The filter that an address asks for; a word that is none of ours asks for nothing.
pub fn filter(query: &ParamsMap) -> FindingsFilter {
    let text = |name| query.get(name).filter(|text| !text.trim().is_empty());
    FindingsFilter {
        kind: text("kind").and_then(|word| word.parse().ok()),
        state: text("state").and_then(|word| word.parse().ok()),
        search: text("search"),
        after: text("after"),
        limit: None,
    }
}

pub fn section(
    volume: &VolumeView,
    page: &FindingsPage,
    filter: &FindingsFilter,
    viewer: Option<&Viewer>,
) -> impl IntoView + use<> {
    let may = |permission| viewer.is_some_and(|viewer| viewer.role.may(permission));
    let may = May { restore: may(Permission::RunJobs), mark: may(Permission::MarkDeleted) };
    let kinds: Vec<_> = FindingKind::ALL
        .iter()
        .map(|&kind| (kind, volume.findings.of(kind)))
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| {
            let (tone, word) = badge::finding(kind);
            let address = Address::console(&["volumes", &volume.name]).with("kind", kind.as_str());
            view! {
                <li>
                    <a href=format!("{address}#findings")>
                        <Badge tone word=format!("{word}: {}", units::count(count)) />
                    </a>
                </li>
            }
        })
        .collect();
    view! {
        <section aria-labelledby="findings">
            <h2 id="findings">"Findings"</h2>
            <ul class="cluster" role="list">
                {kinds}
            </ul>
            {filter_form(volume, filter)}
            {table(volume, page, filter, may)}
        </section>
    }
}

fn filter_form(volume: &VolumeView, filter: &FindingsFilter) -> impl IntoView + use<> {
    let mut kinds = vec![(String::new(), "Any kind".to_owned())];
    kinds.extend(
        FindingKind::ALL.iter().map(|kind| (kind.as_str().to_owned(), badge::finding(*kind).1.to_owned())),
    );
    let states = [
        (FindingState::Open, "Open"),
        (FindingState::Resolved, "Resolved"),
        (FindingState::Dismissed, "Dismissed"),
    ]
    .map(|(state, word)| (state.as_str().to_owned(), word.to_owned()))
    .to_vec();
    let kind = filter.kind.map_or("", FindingKind::as_str);
    let state = filter.state.unwrap_or(FindingState::Open).as_str();
    view! {
        <form method="get" action=format!("{}#findings", Address::console(&["volumes", &volume.name])) class="filters">
            <Select name="kind" label="Kind" options=kinds selected=kind />
            <Select name="state" label="State" options=states selected=state />
            <Field name="search" label="Part of the path" value=filter.search.clone().unwrap_or_default() optional=true />
            <Submit label="Filter" class="button quiet" />
        </form>
    }
}

fn table(volume: &VolumeView, page: &FindingsPage, filter: &FindingsFilter, may: May) -> AnyView {
    if page.findings.is_empty() {
        let why = nothing(volume, filter);
        return view! { <Empty>{why}</Empty> }.into_any();
    }
    let rows: Vec<_> = page.findings.iter().map(|finding| row(volume, finding, may)).collect();
    let next = page.next.as_ref().map(|after| {
        let address = Address::console(&["volumes", &volume.name])
            .with("kind", filter.kind.map_or("", FindingKind::as_str))
            .with("state", filter.state.map_or("", FindingState::as_str))
            .with("search", filter.search.as_deref().unwrap_or_default())
            .with("after", after);
        view! {
            <p>
                <a href=format!("{address}#findings")>"Next page"</a>
            </p>
        }
    });
    view! {
        <p class="muted">{units::counted(page.total, "finding matches", "findings match")} "."</p>
        <Table
            caption="Findings, by path"
            columns=&[Text("File"), Text("Finding"), Number("Size"), Text("Seen"), Text("Act")]
        >
            {rows}
        </Table>
        {next}
    }
    .into_any()
}

/// Why the list is empty: nothing found is not the same as nothing looked at.
fn nothing(volume: &VolumeView, filter: &FindingsFilter) -> &'static str {
    if *filter != FindingsFilter::default() {
        "No finding matches."
    } else if volume.checked_at.is_none() {
        "Nothing was checked yet, so nothing is known. Start a check."
    } else {
        "None are open."
    }
}

fn row(volume: &VolumeView, finding: &FindingView, may: May) -> impl IntoView + use<> {
    let (tone, word) = badge::finding(finding.kind);
    let is_open = finding.state == FindingState::Open;
    let word = if is_open { word.to_owned() } else { format!("{word}, {}", finding.state) };
    let can_act = is_open && finding.kind.is_loss();
    let (name, path_hex) = (volume.name.clone(), finding.path_hex.clone());
    let restore = (may.restore && can_act).then(|| {
        let (name, path_hex) = (name.clone(), path_hex.clone());
        view! {
            <PostForm action=PlanRestore::PATH>
                <Hidden name="request[volume]" value=name />
                <Hidden name="request[file_hex]" value=path_hex />
                <Submit label="Plan its restore" class="button quiet small" />
            </PostForm>
        }
    });
    let act = (may.mark && can_act).then(move || {
        view! {
            <Confirm
                label="Deleted by its owner …"
                question="Then it is never brought back, from any copy. Is that so?"
            >
                <PostForm action=MarkDeleted::PATH>
                    <Hidden name="request[volume]" value=name />
                    <Hidden name="request[path_hex]" value=path_hex />
                    <Submit label="Its owner deleted it" class="button danger" />
                </PostForm>
            </Confirm>
        }
    });
    view! {
        <tr>
            <th scope="row" class="path">
                {finding.path.clone()}
            </th>
            <td data-label="Finding">
                <Badge tone word /> " " <span class="muted">{finding.detail.clone()}</span>
            </td>
            <td data-label="Size" class="number">
                {units::bytes(finding.size)}
            </td>
            <td data-label="Seen">
                <When at=finding.seen_at />
            </td>
            <td class="acts">{restore} {act}</td>
        </tr>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;
    use chrono::DateTime;

    #[test]
    fn an_address_is_read_as_a_filter_and_back() {
        let mut query = ParamsMap::new();
        query.insert("kind", "missing".into());
        query.insert("state", "nonsense".into());
        query.insert("search", " ".into());
        let read = filter(&query);
        assert_eq!(read, FindingsFilter { kind: Some(FindingKind::Missing), ..FindingsFilter::default() });
    }

    #[test]
    fn a_lost_file_can_be_said_to_be_deleted_and_pages_go_on() {
        let finding = FindingView {
            path: "rose/a.jpg".into(),
            path_hex: "726f7365".into(),
            kind: FindingKind::Missing,
            state: FindingState::Open,
            seen_at: DateTime::UNIX_EPOCH,
            size: 30_000,
            detail: String::new(),
        };
        let page = FindingsPage { findings: vec![finding], total: 12, next: Some("abc".into()) };
        let filter = FindingsFilter { kind: Some(FindingKind::Missing), ..FindingsFilter::default() };
        let volume = VolumeView::sample();
        let html = rendered(|| section(&volume, &page, &filter, Some(&Viewer::sample())));
        for needed in [
            "rose/a.jpg",
            "value=\"726f7365\"",
            "12 findings match",
            "?kind=missing&amp;after=abc#findings",
            "name=\"request[file_hex]\"",
        ] {
            assert!(html.contains(needed), "{needed} in {html}");
        }
        let html = rendered(|| section(&volume, &page, &filter, None));
        assert!(!html.contains("method=\"post\""), "who may only look gets no forms that act");
    }

    #[test]
    fn unknown_is_not_none() {
        let unchecked = VolumeView { checked_at: None, ..VolumeView::sample() };
        assert!(nothing(&unchecked, &FindingsFilter::default()).contains("nothing is known"));
    }
}
