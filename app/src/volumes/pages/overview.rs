//! The overview: where everything stands, worst first, and what to do first.

use chrono::{DateTime, Utc};
use leptos::prelude::*;
use salvor_domain::job::JobReport;
use salvor_domain::units;

use crate::health::glance::Glances;
use crate::health::islands::LiveGlances;
use crate::health::port::{HostView, VolumeHealth};
use crate::incidents::port::IncidentView;
use crate::ports::Ports;
use crate::problem::Problem;
use crate::restore::islands::LiveJobs;
use crate::restore::port::ReadinessView;
use crate::tickets::pages::lines;
use crate::tickets::port::{TicketView, TicketsFilter};
use crate::ui::{Address, Badge, Empty, Heading, RenderedAt, Tone, When, badge, loaded};
use crate::volumes::port::VolumeView;

/// Jobs and tickets beyond these are one click away.
const SHOWN: u32 = 20;

#[derive(Debug, Clone)]
struct Overview {
    at: DateTime<Utc>,
    volumes: Vec<VolumeView>,
    health: Vec<VolumeHealth>,
    hosts: Vec<HostView>,
    readiness: Vec<ReadinessView>,
    active: Vec<JobReport>,
    incidents: Vec<IncidentView>,
    tickets: Vec<TicketView>,
}

#[component]
pub fn OverviewPage() -> impl IntoView {
    let at = use_context::<RenderedAt>().map_or(DateTime::UNIX_EPOCH, |RenderedAt(at)| at);
    loaded(load(use_context::<Ports>(), at), overview)
}

async fn load(ports: Option<Ports>, at: DateTime<Utc>) -> Result<Overview, Problem> {
    let ports = ports.ok_or(Problem::Unavailable)?;
    Ok(Overview {
        at,
        volumes: ports.volumes.volumes().await?,
        // What cannot be read is unknown, and shown as that; the rest of the page stands all the same.
        health: ports.health.volumes().await.unwrap_or_default(),
        hosts: ports.health.hosts().await.unwrap_or_default(),
        readiness: ports.jobs.readiness(None).await?,
        active: ports.jobs.jobs(None, true, SHOWN).await?,
        incidents: ports.incidents.incidents(true, SHOWN).await?,
        tickets: ports.tickets.tickets(TicketsFilter::default()).await?,
    })
}

fn overview(now: Overview) -> impl IntoView {
    view! {
        <Heading title="Overview" />
        {volumes(&now)}
        <section aria-labelledby="running">
            <h2 id="running">"Jobs under way"</h2>
            <LiveJobs jobs=now.active among_volumes=true />
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

fn volumes(now: &Overview) -> AnyView {
    if now.volumes.is_empty() {
        return view! {
            <Empty>
                "No volume is configured. Add a " <code>"[[volume]]"</code> " to "
                <code>"salvor.toml"</code> " and restart."
            </Empty>
        }
        .into_any();
    }
    let glances = Glances::new(&now.volumes, &now.health, &now.hosts, &now.active, &now.incidents, now.at);
    let readiness = now.readiness.iter().map(|view| &view.readiness);
    let readiness = readiness.map(|ready| (ready.volume.clone(), ready.verdict)).collect();
    view! {
        <section aria-label="Volumes and hosts">
            <LiveGlances glances jobs=now.active.clone() readiness />
        </section>
    }
    .into_any()
}

fn incidents(incidents: &[IncidentView]) -> AnyView {
    if incidents.is_empty() {
        return view! {
            <Empty>"None. " <a href="/console/incidents">"Open one"</a> " when customers should know something."</Empty>
        }
        .into_any();
    }
    let drafts = u64::try_from(incidents.iter().filter(|incident| incident.draft).count()).unwrap_or(0);
    let waiting = (drafts > 0).then(|| {
        let words = units::counted(drafts, "draft incident waits", "draft incidents wait");
        view! {
            <p>
                <Badge tone=Tone::Warn word="Draft" />
                {format!(" {words} for you: customers see it once you have published it.")}
            </p>
        }
    });
    let rows: Vec<_> = incidents
        .iter()
        .map(|incident| {
            let (tone, word) = match incident.draft {
                true => (Tone::Warn, "Draft"),
                false => badge::incident(incident.status),
            };
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
    view! {
        {waiting}
        <ul class="lines">{rows}</ul>
    }
    .into_any()
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
            at: DateTime::UNIX_EPOCH,
            volumes: vec![VolumeView::sample()],
            health: vec![VolumeHealth::sample()],
            hosts: vec![HostView::sample()],
            readiness: vec![ReadinessView::sample()],
            active: vec![JobView::sample().report],
            incidents: vec![IncidentView::sample()],
            tickets: vec![TicketView::sample()],
        }
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
            "store1",
        ] {
            assert!(html.contains(needed), "{needed} in {html}");
        }
    }

    #[test]
    fn the_worst_is_said_first_and_the_unknown_is_not_green() {
        let mut now = sample();
        now.volumes[0].reach = Reach::NotKnownYet("it has not answered for 2 s".into());
        let html = rendered(|| overview(now.clone()));
        assert!(html.contains("Not known yet") && html.contains("it has not answered for 2 s"), "{html}");
        (now.health, now.hosts, now.volumes[0].checked_at) = (vec![], vec![], None);
        now.volumes[0].findings = Default::default();
        let html = rendered(|| overview(now));
        assert!(html.contains("Health: Unknown") && html.contains("not known"), "{html}");
        assert!(html.contains("No host reports yet"), "{html}");
    }

    #[test]
    fn a_draft_waits_for_somebody() {
        let mut now = sample();
        assert!(!rendered(|| overview(now.clone())).contains("waits for you"));
        now.incidents[0].draft = true;
        let html = rendered(|| overview(now));
        assert!(html.contains("1 draft incident waits for you"), "{html}");
    }

    #[test]
    fn an_empty_console_says_what_to_do_first() {
        let (volumes, health, hosts, readiness) = (vec![], vec![], vec![], vec![]);
        let (active, incidents, tickets) = (vec![], vec![], vec![]);
        let at = DateTime::UNIX_EPOCH;
        let empty = Overview { at, volumes, health, hosts, readiness, active, incidents, tickets };
        let html = rendered(|| overview(empty));
        assert!(html.contains("[[volume]]") && html.contains("No customer is waiting"));
    }
}
