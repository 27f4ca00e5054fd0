//! One volume: how it stands, what it holds, what was found, what can be done.

use chrono::{DateTime, Utc};
use leptos::prelude::*;
use leptos_router::hooks::{use_params_map, use_query_map};
use salvor_domain::job::JobReport;
use salvor_domain::progress;
use salvor_domain::readiness::CopyAge;
use salvor_domain::units;

use super::{findings, limits, mode, start};
use crate::accounts::port::Viewer;
use crate::health::glance::Glance;
use crate::health::islands::LiveBanner;
use crate::health::pages::volume_section as health_section;
use crate::health::port::VolumeHealth;
use crate::ports::Ports;
use crate::problem::Problem;
use crate::restore::pages::JobsTable;
use crate::ui::address::DRAFT;
use crate::ui::table::Column::{Number, Text};
use crate::ui::time::WhenOr;
use crate::ui::{Badge, Empty, Figure, Heading, RenderedAt, Table, Tone, When, badge, loaded};
use crate::volumes::port::{CopyView, FindingsFilter, FindingsPage, Reach, VolumeView};

/// The rest is on the page of all jobs.
const JOBS_SHOWN: u32 = 10;

/// All that the page shows.
struct Everything {
    at: DateTime<Utc>,
    volume: VolumeView,
    /// Absent when it could not be read.
    health: Option<VolumeHealth>,
    findings: FindingsPage,
    filter: FindingsFilter,
    /// Those of the volume that have not ended.
    active: Vec<JobReport>,
    jobs: Vec<JobReport>,
    /// The reason that was typed before something went wrong.
    draft: String,
    viewer: Option<Viewer>,
}

#[component]
pub fn VolumePage() -> impl IntoView {
    let name = use_params_map().with_untracked(|params| params.get("name")).unwrap_or_default();
    let query = use_query_map();
    let filter = query.with_untracked(findings::filter);
    let draft = query.with_untracked(|query| query.get(DRAFT)).unwrap_or_default();
    let viewer = use_context::<Option<Viewer>>().flatten();
    let at = use_context::<RenderedAt>().map_or(DateTime::UNIX_EPOCH, |RenderedAt(at)| at);
    loaded(load(use_context::<Ports>(), at, name, filter, draft, viewer), volume)
}

async fn load(
    ports: Option<Ports>,
    at: DateTime<Utc>,
    name: String,
    filter: FindingsFilter,
    draft: String,
    viewer: Option<Viewer>,
) -> Result<Everything, Problem> {
    let ports = ports.ok_or(Problem::Unavailable)?;
    Ok(Everything {
        at,
        volume: ports.volumes.volume(&name).await?,
        health: ports.health.volume(&name).await.ok(),
        findings: ports.volumes.findings(&name, filter.clone()).await?,
        active: ports.jobs.jobs(Some(&name), true, JOBS_SHOWN).await?,
        jobs: ports.jobs.jobs(Some(&name), false, JOBS_SHOWN).await?,
        filter,
        draft,
        viewer,
    })
}

fn volume(all: Everything) -> impl IntoView {
    let Everything { at, volume, health, findings, filter, active, jobs, draft, viewer } = all;
    let glance = Glance::new(&volume, health.as_ref(), &active, at);
    let (tone, word) = badge::mode(volume.mode.mode());
    let unreachable = volume.reach.because().map(|why| {
        let words = match volume.reach {
            Reach::NotKnownYet(_) => "Whether the volume can be reached is not known yet",
            _ => "The volume cannot be reached, and nothing is known of the files in it",
        };
        view! {
            <p class="alert" data-tone="bad">
                {format!("{words}: {why}")}
            </p>
        }
    });
    view! {
        <Heading title=volume.name.clone()>
            <Badge tone word />
        </Heading>
        {unreachable}
        <LiveBanner glance />
        {contents()}
        {catalogue(&volume)}
        <div class="columns">
            {mode::panel(&volume, viewer.as_ref(), draft)}
            {start::panel(&volume, viewer.as_ref())}
        </div>
        {health_section(health.as_ref(), at)}
        <section aria-labelledby="copies">
            <h2 id="copies">"Copies"</h2>
            {copies(&volume)}
            {limits::forms(&volume, viewer.as_ref())}
        </section>
        {findings::section(&volume, &findings, &filter, viewer.as_ref())}
        <section aria-labelledby="jobs">
            <h2 id="jobs">"Recent jobs"</h2>
            <JobsTable jobs />
        </section>
    }
}

/// The way to each part of a long page.
fn contents() -> impl IntoView {
    let links = [
        ("mode", "Mode"),
        ("start", "Start a job"),
        ("health", "Health"),
        ("copies", "Copies"),
        ("findings", "Findings"),
        ("jobs", "Jobs"),
    ]
    .map(|(id, name)| view! { <li><a href=format!("#{id}")>{name}</a></li> });
    view! {
        <nav class="contents" aria-label="On this page">
            <ul role="list">{links.into_iter().collect::<Vec<_>>()}</ul>
        </nav>
    }
}

fn catalogue(volume: &VolumeView) -> impl IntoView + use<> {
    let losses = volume.findings.losses();
    let lost = match losses {
        0 if volume.checked_at.is_none() => "not known".to_owned(),
        losses => units::count(losses),
    };
    let tone = if losses > 0 { Tone::Bad } else { Tone::Plain };
    let (protected, checked, full) = (volume.protected_at, volume.checked_at, volume.fully_checked_at);
    view! {
        <dl class="figures">
            <Figure name="Lost or damaged" value=lost tone />
            <Figure name="Files" value=units::count(volume.files) />
            <Figure name="Bytes" value=units::bytes(volume.bytes) />
            <Figure name="Protected" value=view! { <WhenOr at=protected otherwise="never" /> } />
            <Figure name="Checked" value=view! { <WhenOr at=checked otherwise="never" /> } />
            <Figure name="Full check" value=view! { <WhenOr at=full otherwise="never" /> } />
            <Figure name="Folder" value=view! { <code>{volume.path.clone()}</code> } />
        </dl>
    }
}

fn copies(volume: &VolumeView) -> AnyView {
    if volume.copies.is_empty() {
        return view! {
            <Empty>
                "None: what is lost here is lost. Add a " <code>"[[volume.copy]]"</code> " to the configuration and restart."
            </Empty>
        }
        .into_any();
    }
    let rows: Vec<_> = volume.copies.iter().map(|copy| copy_row(copy, volume.files)).collect();
    view! {
        <Table
            caption="Copies in order of preference"
            columns=&[
                Text("Copy"), Text("Placement"), Number("Holds"), Text("Age"), Number("Faults"),
                Text("Rate"), Text("Limit"),
            ]
        >
            {rows}
        </Table>
    }
    .into_any()
}

fn copy_row(copy: &CopyView, files: u64) -> impl IntoView + use<> {
    let rate = match copy.bytes_per_second {
        Some(rate) => format!("{}/s", units::bytes(rate as u64)),
        None => "not measured yet".to_owned(),
    };
    let faults = if copy.faults > 0 { "number bad-text" } else { "number" };
    view! {
        <tr>
            <th scope="row">
                {copy.name.clone()} " " <code class="muted">{copy.path.clone()}</code> {reach(&copy.reach)}
            </th>
            <td data-label="Placement">{copy.placement.as_str()} ", " {copy.kind.as_str()}</td>
            <td data-label="Holds" class="number">
                {coverage(copy, files)}
            </td>
            <td data-label="Age">
                {age(copy.age)}
            </td>
            <td data-label="Faults" class=faults>
                {units::count(copy.faults)}
            </td>
            <td data-label="Rate">{rate}</td>
            <td data-label="Limit">
                <span>
                    {copy.limit.limits.to_string()} " " <span class="muted">{copy.limit.basis.clone()}</span>
                </span>
            </td>
        </tr>
    }
}

/// Why a place cannot be reached; nothing where it is.
pub fn reach(reach: &Reach) -> Option<impl IntoView + use<>> {
    let (tone, word) = badge::reach(reach)?;
    let why = reach.because().map(str::to_owned);
    Some(view! {
        <Badge tone word />
        <p class="reason">{why}</p>
    })
}

/// When what it holds was on the volume, as far as that is known.
fn age(age: CopyAge) -> AnyView {
    match (age.as_of(), age.adopted_at) {
        (None, Some(at)) => view! { "adopted " <When at /> }.into_any(),
        (as_of, _) => view! { <WhenOr at=as_of otherwise="never written" /> }.into_any(),
    }
}

/// `300 files, 93 %`: how much of the catalogue a copy holds; 100 % is all of it, however little is missing.
fn coverage(copy: &CopyView, files: u64) -> String {
    let held = units::counted(copy.files, "file", "files");
    if files == 0 { held } else { format!("{held}, {} %", progress::percent(copy.files, files)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::port::JobView;
    use crate::ui::rendered;

    fn page(viewer: Option<Viewer>) -> String {
        page_of(VolumeView::sample(), viewer)
    }

    fn page_of(view: VolumeView, viewer: Option<Viewer>) -> String {
        let all = Everything {
            at: DateTime::UNIX_EPOCH,
            volume: view,
            health: Some(VolumeHealth::sample()),
            active: vec![],
            findings: FindingsPage { findings: vec![], total: 0, next: None },
            filter: FindingsFilter::default(),
            jobs: vec![JobView::sample().report],
            draft: String::new(),
            viewer,
        };
        rendered(|| volume(all))
    }

    #[test]
    fn it_shows_how_the_volume_stands() {
        let html = page(Some(Viewer::sample()));
        for needed in [
            "Read-only",
            "ext4 reported 1 error",
            "12 files are missing",
            "300 files, 93 %",
            "offsite",
            ">15<",
            "Next: ",
            "1 of 2 met",
            "Last 24 hours",
            "href=\"#findings\"",
        ] {
            assert!(html.contains(needed), "{needed} in {html}");
        }
    }

    #[test]
    fn what_cannot_be_reached_says_why_and_what_is_slow_is_not_known_yet() {
        let mut view = VolumeView::sample();
        view.reach = Reach::Unreachable("the folder /srv/uploads does not exist".into());
        view.copies[0].reach = Reach::Unreachable("the folder /backup/local is empty".into());
        view.copies[1].reach = Reach::NotKnownYet("it has not answered for 2 s".into());
        let html = page_of(view, None);
        for needed in [
            "nothing is known of the files in it: the folder /srv/uploads does not exist",
            "Unreachable",
            "the folder /backup/local is empty",
            "Not known yet",
            "it has not answered for 2 s",
        ] {
            assert!(html.contains(needed), "{needed} in {html}");
        }
        assert!(!page(None).contains("Unreachable"));
    }

    #[test]
    fn who_may_only_look_gets_no_forms_that_act() {
        use salvor_domain::account::Role;
        let viewer = Viewer { role: Role::Viewer, ..Viewer::sample() };
        assert!(!page(Some(viewer)).contains("method=\"post\""));
        assert!(page(Some(Viewer::sample())).contains("/console/do/set_mode"));
    }
}
