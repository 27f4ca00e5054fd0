//! One ticket: what is missing, what became of each line, what was said, and the answer.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_router::hooks::{use_params_map, use_query_map};
use salvor_domain::account::Permission;
use salvor_domain::ticket::{LineState, TicketState, Verdict};
use salvor_domain::units;

use crate::accounts::port::Viewer;
use crate::ports::Ports;
use crate::problem::Problem;
use crate::tickets::api::{CloseTicket, ReplyTicket, RestoreTicket};
use crate::tickets::port::{LineView, MessageView, TicketView};
use crate::ui::address::DRAFT;
use crate::ui::form::{Select, TextArea};
use crate::ui::table::Column::Text;
use crate::ui::{Address, Badge, Empty, Heading, Hidden, PostForm, Submit, Table, When, badge, loaded};

#[component]
pub fn TicketPage() -> impl IntoView {
    let number = use_params_map().with_untracked(|params| params.get("number")).unwrap_or_default();
    let draft = use_query_map().with_untracked(|query| query.get(DRAFT)).unwrap_or_default();
    let viewer = use_context::<Option<Viewer>>().flatten();
    let may_answer = viewer.is_some_and(|viewer| viewer.role.may(Permission::AnswerTickets));
    loaded(load(use_context::<Ports>(), number), move |view| ticket(&view, may_answer, draft))
}

async fn load(ports: Option<Ports>, number: String) -> Result<TicketView, Problem> {
    let number =
        number.parse().map_err(|_| Problem::NotFound(format!("There is no ticket \"{number}\".")))?;
    ports.ok_or(Problem::Unavailable)?.tickets.ticket(number).await
}

fn ticket(view: &TicketView, may_answer: bool, draft: String) -> impl IntoView + use<> {
    let (tone, word) = badge::ticket(view.state);
    let site = view.site.as_ref().map(|site| format!(", site {site}"));
    let acts = may_answer.then(|| acts(view));
    let form = may_answer.then(|| form(view.number, draft));
    view! {
        <Heading title=format!("Ticket #{}", view.number)>
            <Badge tone word />
        </Heading>
        <p class="muted">
            "From " {view.email.clone()} {site} ", " <When at=view.created_at exact=true /> "."
        </p>
        {acts}
        <section aria-labelledby="lines">
            <h2 id="lines">"Lines"</h2>
            {lines(&view.lines)}
        </section>
        <section aria-labelledby="messages">
            <h2 id="messages">"Messages"</h2>
            {messages(view)}
            {form}
        </section>
    }
}

fn can_restore(line: &LineView) -> bool {
    line.verdict == Some(Verdict::Restorable)
        && line.state.restoring().is_ok()
        && line.state != LineState::Restoring
}

fn acts(view: &TicketView) -> impl IntoView + use<> {
    let restorable = view.lines.iter().filter(|line| can_restore(line)).count();
    let number = view.number;
    let restore = (restorable > 0).then(|| {
        let many = units::counted(u64::try_from(restorable).unwrap_or(u64::MAX), "file", "files");
        view! {
            <PostForm action=RestoreTicket::PATH>
                <Hidden name="request[number]" value=number.to_string() />
                <Submit label=format!("Restore {many}") />
            </PostForm>
        }
    });
    let close = (!matches!(view.state, TicketState::Closed | TicketState::Restoring)).then(|| {
        view! {
            <PostForm action=CloseTicket::PATH>
                <Hidden name="request[number]" value=number.to_string() />
                <Submit label="Close the ticket" class="button quiet" />
            </PostForm>
        }
    });
    view! {
        <div class="actions">
            {restore}
            {close}
        </div>
    }
}

fn lines(lines: &[LineView]) -> AnyView {
    if lines.is_empty() {
        return view! { <Empty>"No files were named. The customer's own words are below."</Empty> }
            .into_any();
    }
    let rows: Vec<_> = lines.iter().map(line).collect();
    view! {
        <Table
            caption="Files and pages that the customer named"
            columns=&[
                Text("Reported"), Text("State"), Text("Verdict"), Text("Told the customer"),
                Text("Job"),
            ]
        >
            {rows}
        </Table>
    }
    .into_any()
}

fn line(line: &LineView) -> impl IntoView + use<> {
    let (tone, word) = badge::line(line.state);
    let job = match &line.job {
        Some(job) => {
            view! { <a href=String::from(Address::console(&["jobs", job]))>"The restore"</a> }.into_any()
        }
        None => view! { <span class="muted">"none"</span> }.into_any(),
    };
    let file = line.path.as_ref().map(|path| {
        let volume = line.volume.clone().unwrap_or_default();
        view! { <p class="muted">{format!("{volume}: {path}")}</p> }
    });
    view! {
        <tr>
            <th scope="row" class="path">
                {line.input.clone()} {file}
            </th>
            <td data-label="State">
                <Badge tone word />
            </td>
            <td data-label="Verdict">{line.verdict.map_or("Not looked up yet", badge::verdict)}</td>
            <td data-label="Told the customer">{line.detail.clone()}</td>
            <td data-label="Job">{job}</td>
        </tr>
    }
}

fn messages(view: &TicketView) -> AnyView {
    if view.messages.is_empty() {
        return match &view.note {
            Some(note) => view! { <p class="said">{note.clone()}</p> }.into_any(),
            None => view! { <Empty>"None yet."</Empty> }.into_any(),
        };
    }
    let rows: Vec<_> = view.messages.iter().map(message).collect();
    view! {
        <ol class="updates" role="list">
            {rows}
        </ol>
    }
    .into_any()
}

fn message(message: &MessageView) -> impl IntoView + use<> {
    let (class, kind) = if message.public { ("", None) } else { ("internal", Some("Note, operators only")) };
    view! {
        <li class=class>
            <p class="cluster">
                <strong>{message.author.clone()}</strong>
                <When at=message.at exact=true />
                <span class="muted">{kind}</span>
            </p>
            <p class="said">{message.body.clone()}</p>
        </li>
    }
}

fn form(number: i64, draft: String) -> impl IntoView {
    let whom = vec![
        ("true".to_owned(), "To the customer".to_owned()),
        ("false".to_owned(), "A note that only operators see".to_owned()),
    ];
    view! {
        <PostForm action=ReplyTicket::PATH class="stack form">
            <Hidden name="request[number]" value=number.to_string() />
            <TextArea name="request[body]" label="Reply" value=draft />
            <Select name="request[public]" label="Who reads it" options=whom />
            <Submit label="Send" />
        </PostForm>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;

    #[test]
    fn each_line_has_its_verdict_and_its_state() {
        let html = rendered(|| ticket(&TicketView::sample(), true, String::new()));
        for needed in ["Restored", "Lost, a copy has it", "It is back and verified.", "My gallery is empty."]
        {
            assert!(html.contains(needed), "{needed} in {html}");
        }
        assert!(
            !html.contains("restore_ticket") && !html.contains("close_ticket"),
            "all is under way already"
        );
    }

    #[test]
    fn what_can_be_restored_can_be_clicked_and_notes_are_marked() {
        let mut view = TicketView::sample();
        view.state = TicketState::NeedsOperator;
        view.lines[1].state = LineState::Failed;
        view.messages[0].public = false;
        let html = rendered(|| ticket(&view, true, "typed".into()));
        for needed in ["Restore 1 file", "close_ticket", "operators only", "typed</textarea>"] {
            assert!(html.contains(needed), "{needed} in {html}");
        }
        assert!(!rendered(|| ticket(&view, false, String::new())).contains("<form"));
    }
}
