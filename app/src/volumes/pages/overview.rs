//! The overview: where everything stands, worst first, and what to do first.

use leptos::prelude::*;
use salvor_domain::job::{JobReport, JobRequest};
use salvor_domain::readiness::Verdict;
use salvor_domain::units;
use salvor_domain::volume::Mode;

use super::volume::reach;
use crate::incidents::port::IncidentView;
use crate::ports::Ports;
use crate::problem::Problem;
use crate::restore::islands::LiveJobs;
use crate::restore::port::ReadinessView;
use crate::tickets::pages::lines;
use crate::tickets::port::{TicketView, TicketsFilter};
use crate::ui::table::Column::{Number, Text};
use crate::ui::time::WhenOr;
use crate::ui::{Address, Badge, Empty, Heading, Table, Tone, When, badge, loaded};
use crate::volumes::port::VolumeView;

/// Jobs and tickets beyond these are one click away.
const SHOWN: u32 = 20;

#[derive(Debug, Clone)]
struct Overview {
    volumes: Vec<VolumeView>,
    readiness: Vec<ReadinessView>,
    active: Vec<JobReport>,
    incidents: Vec<IncidentView>,
    tickets: Vec<TicketView>,
}

#[component]
pub fn OverviewPage() -> impl IntoView {
    loaded(load(use_context::<Ports>()), overview)
}

async fn load(ports: Option<Ports>) -> Result<Overview, Problem> {
    let ports = ports.ok_or(Problem::Unavailable)?;
    Ok(Overview {
        volumes: ports.volumes.volumes().await?,
        readiness: ports.jobs.readiness(None).await?,
        active: ports.jobs.jobs(None, true, SHOWN).await?,
        incidents: ports.incidents.incidents(true, SHOWN).await?,
        tickets: ports.tickets.tickets(TicketsFilter::default()).await?,
    })
}

fn overview(now: Overview) -> impl IntoView {
    let (tone, word) = standing(&now);
    view! {
        <Heading title="Overview">
            <Badge tone word />
        </Heading>
        <section aria-labelledby="volumes">
            <h2 id="volumes">"Volumes"</h2>
            {volumes(&now.volumes, &now.readiness)}
        </section>
        <section aria-labelledby="running">
            <h2 id="running">"Jobs under way"</h2>
            <LiveJobs jobs=now.active />
        </section>
        <section aria-labelledby="incidents">
            <h2 id="incidents">"Open incidents"</h2>
            {incidents(&now.incidents)}
        </section>
        <section aria-labelledby="tickets">
            <h2 id="tickets">"Tickets"</h2>
            {tickets(&now.tickets)}
        </section>
    }
}

/// The whole in one line: the worst thing there is.
fn standing(now: &Overview) -> (Tone, String) {
    let lost: u64 = now.volumes.iter().map(|volume| volume.findings.losses()).sum();
    let unreachable = now.volumes.iter().filter(|volume| !volume.reach.is_reached()).count();
    let stopped = now.volumes.iter().filter(|volume| volume.mode.mode() != Mode::Normal).count();
    let unchecked = now.volumes.iter().filter(|volume| volume.checked_at.is_none()).count();
    // What a plan has found lost is no finding yet.
    let awaited: u64 = now.active.iter().map(to_bring_back).sum();
    let many = |count: usize, one: &str, more: &str| {
        units::counted(u64::try_from(count).unwrap_or(u64::MAX), one, more)
    };
    if unreachable > 0 {
        (Tone::Bad, format!("{} out of reach", many(unreachable, "volume is", "volumes are")))
    } else if lost > 0 {
        (Tone::Bad, format!("{} lost or damaged", units::counted(lost, "file is", "files are")))
    } else if awaited > 0 {
        (Tone::Bad, format!("{} to be brought back", units::counted(awaited, "file is", "files are")))
    } else if stopped > 0 {
        (Tone::Warn, format!("{} not normal", many(stopped, "volume is", "volumes are")))
    } else if unchecked > 0 || now.volumes.is_empty() {
        (Tone::Plain, "Not known: nothing was checked yet".to_owned())
    } else {
        (Tone::Ok, "No losses known".to_owned())
    }
}

/// Files that the volume misses until the job has done its work.
fn to_bring_back(job: &JobReport) -> u64 {
    let to_volume = match &job.request {
        JobRequest::Restore { to_folder, .. } => to_folder.is_none(),
        JobRequest::Reunite { .. } => true,
        _ => false,
    };
    let left = job.files.total.saturating_sub(job.files.done + job.files.skipped);
    if to_volume && !job.dry_run { left } else { 0 }
}

fn volumes(volumes: &[VolumeView], readiness: &[ReadinessView]) -> AnyView {
    if volumes.is_empty() {
        return view! {
            <Empty>
                "No volume is configured. Add a " <code>"[[volume]]"</code> " to "
                <code>"salvor.toml"</code> " and restart."
            </Empty>
        }
        .into_any();
    }
    let ready = |volume: &VolumeView| {
        readiness
            .iter()
            .map(|view| &view.readiness)
            .find(|ready| ready.volume == volume.name)
            .map(|r| r.verdict)
    };
    let rows: Vec<_> = volumes.iter().map(|volume| volume_row(volume, ready(volume))).collect();
    view! {
        <Table
            caption="Volumes and how they stand"
            columns=&[
                Text("Volume"), Text("Mode"), Number("Lost or damaged"), Number("Files"),
                Text("Protected"), Text("Full check"), Text("Readiness"),
            ]
        >
            {rows}
        </Table>
    }
    .into_any()
}

fn volume_row(volume: &VolumeView, ready: Option<Verdict>) -> impl IntoView + use<> {
    let ready = ready.map(|verdict| {
        let (tone, word) = badge::readiness(verdict);
        view! {
            <a href="/console/readiness">
                <Badge tone word />
            </a>
        }
    });
    let address = Address::console(&["volumes", &volume.name]);
    let (tone, word) = badge::mode(volume.mode.mode());
    let losses = volume.findings.losses();
    let reason = (volume.mode.mode() != Mode::Normal)
        .then(|| view! { <p class="reason">{volume.mode.reason().to_owned()}</p> });
    let first = first_step(volume).map(|step| view! { <p class="reason">{step}</p> });
    let class = if losses > 0 { "number bad-text" } else { "number" };
    view! {
        <tr>
            <th scope="row">
                <a href=String::from(address)>{volume.name.clone()}</a>
                {first}
            </th>
            <td data-label="Mode">
                <Badge tone word />
                {reason}
                {reach(&volume.reach)}
            </td>
            <td data-label="Lost or damaged" class=class>
                {known_losses(volume)}
            </td>
            <td data-label="Files" class="number">
                {format!("{} · {}", units::count(volume.files), units::bytes(volume.bytes))}
            </td>
            <td data-label="Protected">
                <WhenOr at=volume.protected_at otherwise="never" />
            </td>
            <td data-label="Full check">
                <WhenOr at=volume.fully_checked_at otherwise="never" />
            </td>
            <td data-label="Readiness">{ready}</td>
        </tr>
    }
}

/// Zero is said only of what was looked at (promise I10).
fn known_losses(volume: &VolumeView) -> String {
    match volume.findings.losses() {
        0 if volume.checked_at.is_none() => "not known".to_owned(),
        losses => units::count(losses),
    }
}

/// What a volume needs before anything else makes sense.
fn first_step(volume: &VolumeView) -> Option<&'static str> {
    if volume.copies.is_empty() {
        Some("It has no copy: add a [[volume.copy]] to the configuration.")
    } else if volume.files == 0 {
        Some("Nothing is catalogued yet: run protect, or adopt a copy that has the files.")
    } else {
        None
    }
}

fn incidents(incidents: &[IncidentView]) -> AnyView {
    if incidents.is_empty() {
        return view! {
            <Empty>"None. " <a href="/console/incidents">"Open one"</a> " when customers should know something."</Empty>
        }
        .into_any();
    }
    let rows: Vec<_> = incidents
        .iter()
        .map(|incident| {
            let (tone, word) = badge::incident(incident.status);
            let address = Address::console(&["incidents", &incident.id.to_string()]);
            view! {
                <li>
                    <a href=String::from(address)>{incident.name.clone()}</a>
                    <Badge tone word />
                    <span class="muted">"updated " <When at=incident.updated_at /></span>
                </li>
            }
        })
        .collect();
    view! { <ul class="lines">{rows}</ul> }.into_any()
}

fn tickets(tickets: &[TicketView]) -> AnyView {
    if tickets.is_empty() {
        return view! { <Empty>"No customer is waiting."</Empty> }.into_any();
    }
    let waiting = tickets.iter().filter(|ticket| badge::ticket(ticket.state).0 == Tone::Bad).count();
    let rows: Vec<_> = tickets
        .iter()
        .take(10)
        .map(|ticket| {
            let (tone, word) = badge::ticket(ticket.state);
            let address = Address::console(&["tickets", &ticket.number.to_string()]);
            view! {
                <li>
                    <a href=String::from(address)>{format!("#{} {}", ticket.number, ticket.email)}</a>
                    <Badge tone word />
                    <span class="muted">
                        {lines(ticket)} ", "
                        <When at=ticket.updated_at />
                    </span>
                </li>
            }
        })
        .collect();
    let ask = (waiting > 0).then(|| {
        view! {
            <p>
                <a href="/console/tickets?state=needs_operator">
                    {units::counted(u64::try_from(waiting).unwrap_or(0), "ticket needs", "tickets need")}
                    " an operator"
                </a>
            </p>
        }
    });
    view! {
        {ask}
        <ul class="lines">{rows}</ul>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::port::JobView;
    use crate::ui::rendered;
    use crate::volumes::port::Reach;

    fn sample() -> Overview {
        Overview {
            volumes: vec![VolumeView::sample()],
            readiness: vec![ReadinessView::sample()],
            active: vec![JobView::sample().report],
            incidents: vec![IncidentView::sample()],
            tickets: vec![TicketView::sample()],
        }
    }

    #[test]
    fn the_worst_is_said_first_and_the_unknown_is_not_green() {
        let mut now = sample();
        assert_eq!(standing(&now), (Tone::Bad, "15 files are lost or damaged".into()));
        now.volumes[0].findings = Default::default();
        assert_eq!(standing(&now), (Tone::Bad, "18 files are to be brought back".into()));
        now.active.clear();
        assert_eq!(standing(&now).0, Tone::Warn, "read-only");
        now.volumes[0].reach = Reach::NotKnownYet("it has not answered for 2 s".into());
        assert_eq!(standing(&now), (Tone::Bad, "1 volume is out of reach".into()));
        let html = rendered(|| overview(now.clone()));
        assert!(html.contains("Not known yet") && html.contains("it has not answered for 2 s"), "{html}");
        now.volumes.clear();
        assert_eq!(standing(&now).0, Tone::Plain);
    }

    #[test]
    fn everything_open_is_on_it() {
        let html = rendered(|| overview(sample()));
        for needed in [
            "Read-only",
            "ext4 reported 1 error",
            "href=\"/console/volumes/uploads\"",
            "href=\"/console/readiness\"",
            "40 of 60 files",
            "Some uploaded files are missing",
            "#1 rose@example.com",
        ] {
            assert!(html.contains(needed), "{needed} in {html}");
        }
    }

    #[test]
    fn an_empty_console_says_what_to_do_first() {
        let mut volume = VolumeView { files: 0, checked_at: None, ..VolumeView::sample() };
        volume.findings = Default::default();
        assert_eq!(
            (first_step(&volume).unwrap(), known_losses(&volume).as_str()),
            ("Nothing is catalogued yet: run protect, or adopt a copy that has the files.", "not known")
        );
        let empty = Overview {
            volumes: vec![],
            readiness: vec![],
            active: vec![],
            incidents: vec![],
            tickets: vec![],
        };
        let html = rendered(|| overview(empty));
        assert!(html.contains("[[volume]]") && html.contains("No customer is waiting"));
    }
}
