//! The queue of tickets, with filters in the address.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use leptos_router::params::ParamsMap;
use salvor_domain::ticket::TicketState;
use salvor_domain::units;

use crate::ports::Ports;
use crate::problem::Problem;
use crate::tickets::port::{TicketView, TicketsFilter};
use crate::ui::form::Select;
use crate::ui::table::Column::Text;
use crate::ui::{Address, Badge, Empty, Field, Heading, Submit, Table, When, badge, loaded};

/// As many as the port gives a page: a full page may have a next one.
const PAGE: usize = 50;

#[component]
pub fn QueuePage() -> impl IntoView {
    let filter = use_query_map().with_untracked(filter);
    loaded(load(use_context::<Ports>(), filter), |(filter, tickets)| queue(&filter, &tickets))
}

async fn load(
    ports: Option<Ports>,
    filter: TicketsFilter,
) -> Result<(TicketsFilter, Vec<TicketView>), Problem> {
    let tickets = ports.ok_or(Problem::Unavailable)?.tickets.tickets(filter.clone()).await?;
    Ok((filter, tickets))
}

/// The filter that an address asks for; a word that is none of ours asks for nothing.
fn filter(query: &ParamsMap) -> TicketsFilter {
    let text = |name| query.get(name).filter(|text| !text.trim().is_empty());
    TicketsFilter {
        state: text("state").and_then(|word| word.parse().ok()),
        search: text("search"),
        before: text("before").and_then(|number| number.parse().ok()),
    }
}

fn queue(filter: &TicketsFilter, tickets: &[TicketView]) -> impl IntoView + use<> {
    view! {
        <Heading title="Tickets" />
        {filter_form(filter)}
        {table(filter, tickets)}
    }
}

fn filter_form(filter: &TicketsFilter) -> impl IntoView + use<> {
    let mut states = vec![(String::new(), "All that are not closed".to_owned())];
    states.extend(
        TicketState::ALL.iter().map(|state| (state.as_str().to_owned(), badge::ticket(*state).1.to_owned())),
    );
    let selected = filter.state.map_or("", TicketState::as_str);
    view! {
        <form method="get" action="/console/tickets" class="filters">
            <Select name="state" label="State" options=states selected />
            <Field
                name="search"
                label="Part of an address, a site or a line"
                value=filter.search.clone().unwrap_or_default()
                optional=true
            />
            <Submit label="Filter" class="button quiet" />
        </form>
    }
}

fn table(filter: &TicketsFilter, tickets: &[TicketView]) -> AnyView {
    if tickets.is_empty() {
        let words = if *filter == TicketsFilter::default() {
            "No customer is waiting. They report missing files at /report."
        } else {
            "No ticket matches."
        };
        return view! { <Empty>{words}</Empty> }.into_any();
    }
    let rows: Vec<_> = tickets.iter().map(row).collect();
    let next = tickets.last().filter(|_| tickets.len() >= PAGE).map(|last| {
        let address = Address::console(&["tickets"])
            .with("state", filter.state.map_or("", TicketState::as_str))
            .with("search", filter.search.as_deref().unwrap_or_default())
            .with("before", &last.number.to_string());
        view! {
            <p>
                <a href=String::from(address)>"Older tickets"</a>
            </p>
        }
    });
    view! {
        <Table
            caption="Tickets, newest first"
            columns=&[Text("Ticket"), Text("State"), Text("Lines"), Text("Came"), Text("Last change")]
        >
            {rows}
        </Table>
        {next}
    }
    .into_any()
}

fn row(ticket: &TicketView) -> impl IntoView + use<> {
    let (tone, word) = badge::ticket(ticket.state);
    let address = Address::console(&["tickets", &ticket.number.to_string()]);
    view! {
        <tr>
            <th scope="row">
                <a href=String::from(address)>{format!("#{} {}", ticket.number, ticket.email)}</a>
                " " <span class="muted">{ticket.site.clone()}</span>
            </th>
            <td data-label="State">
                <Badge tone word />
            </td>
            <td data-label="Lines">{lines(ticket)}</td>
            <td data-label="Came">
                <When at=ticket.created_at />
            </td>
            <td data-label="Last change">
                <When at=ticket.updated_at />
            </td>
        </tr>
    }
}

/// `1 of 2 back`, or that there are only words.
pub fn lines(ticket: &TicketView) -> String {
    use salvor_domain::ticket::LineState::{Confirmed, Restored};
    let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let back = ticket.lines.iter().filter(|line| matches!(line.state, Restored | Confirmed)).count();
    match ticket.lines.len() {
        0 => "words only".to_owned(),
        all if back == 0 => units::counted(wide(all), "line", "lines"),
        all => format!("{} of {} back", units::count(wide(back)), units::count(wide(all))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;

    #[test]
    fn the_queue_says_what_is_back() {
        let html = rendered(|| queue(&TicketsFilter::default(), &[TicketView::sample()]));
        assert!(html.contains("1 of 2 back") && html.contains("#1 rose@example.com"), "{html}");
        assert!(rendered(|| queue(&TicketsFilter::default(), &[])).contains("/report"));
    }

    #[test]
    fn an_address_is_read_as_a_filter() {
        let mut query = ParamsMap::new();
        query.insert("state", "needs_operator".into());
        query.insert("before", "x".into());
        let read = filter(&query);
        assert_eq!(
            read,
            TicketsFilter { state: Some(TicketState::NeedsOperator), ..TicketsFilter::default() }
        );
    }
}
