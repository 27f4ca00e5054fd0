//! All incidents, open ones first.

use leptos::prelude::*;
use salvor_domain::account::Permission;

use crate::accounts::port::Viewer;
use crate::incidents::port::IncidentView;
use crate::ports::Ports;
use crate::problem::Problem;
use crate::ui::table::Column::Text;
use crate::ui::{Address, Badge, Empty, Heading, Table, When, badge, loaded};

const SHOWN: u32 = 100;

#[component]
pub fn IncidentsPage() -> impl IntoView {
    let viewer = use_context::<Option<Viewer>>().flatten();
    let may_write = viewer.is_some_and(|viewer| viewer.role.may(Permission::WriteIncidents));
    loaded(load(use_context::<Ports>()), move |all| incidents(&all, may_write))
}

async fn load(ports: Option<Ports>) -> Result<Vec<IncidentView>, Problem> {
    ports.ok_or(Problem::Unavailable)?.incidents.incidents(false, SHOWN).await
}

fn incidents(all: &[IncidentView], may_write: bool) -> impl IntoView + use<> {
    let open =
        may_write.then(|| view! { <a class="button" href="/console/incidents/open">"Open an incident"</a> });
    view! {
        <Heading title="Incidents">
            {open}
        </Heading>
        {table(all)}
    }
}

fn table(all: &[IncidentView]) -> AnyView {
    if all.is_empty() {
        return view! {
            <Empty>
                "None so far. An incident tells the customers on the status page what happens; open one as soon as they may notice something."
            </Empty>
        }
        .into_any();
    }
    let rows: Vec<_> = all.iter().map(row).collect();
    view! {
        <Table
            caption="Incidents, open ones first"
            columns=&[Text("Incident"), Text("Status"), Text("Impact"), Text("Started"), Text("Last update")]
        >
            {rows}
        </Table>
    }
    .into_any()
}

fn row(incident: &IncidentView) -> impl IntoView + use<> {
    let (tone, word) = if incident.draft { badge::draft() } else { badge::incident(incident.status) };
    let (impact_tone, impact) = badge::impact(incident.impact);
    let address = Address::console(&["incidents", &incident.id.to_string()]);
    view! {
        <tr>
            <th scope="row">
                <a href=String::from(address)>{incident.name.clone()}</a>
            </th>
            <td data-label="Status">
                <Badge tone word />
            </td>
            <td data-label="Impact">
                <Badge tone=impact_tone word=impact />
            </td>
            <td data-label="Started">
                <When at=incident.started_at />
            </td>
            <td data-label="Last update">
                <When at=incident.updated_at />
            </td>
        </tr>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;

    #[test]
    fn each_incident_has_its_status_in_words() {
        let html = rendered(|| incidents(&[IncidentView::sample()], true));
        assert!(html.contains("Identified") && html.contains("Major impact"), "{html}");
        let draft = IncidentView { draft: true, ..IncidentView::sample() };
        assert!(rendered(|| incidents(&[draft], true)).contains("Draft, not public"));
        let html = rendered(|| incidents(&[], false));
        assert!(html.contains("None so far") && !html.contains("/incidents/open"), "{html}");
    }
}
