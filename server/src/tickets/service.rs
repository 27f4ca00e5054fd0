//! The port of tickets: reports come in, customers and operators read them and have their say.
//!
//! Invariants: what the customer is answered says nothing of the files (that is the tracking page's business, behind its
//! secret); secrets are stored as hashes; the customer's view has no internal notes and no operator's address
//! (promise I7).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use salvor_app::problem::Problem;
use salvor_app::tickets::port::{
    LineView, MessageView, NewTicket, Submitted, TicketView, TicketsFilter, TicketsPort,
};
use salvor_domain::account::{Actor, Permission, Role};
use salvor_domain::event::EventKind;
use salvor_domain::text::stray;
use salvor_domain::ticket::{LineState, MAX_NOTE_BYTES, Standing, TicketState};
use salvor_domain::units::counted;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::diagnose::spells;
use super::follow::{self, no_such_ticket};
use super::limit::Limit;
use super::standing::{Voice, settle};
use super::store::{self, Line, Ticket};
use super::submit::{self, FieldErrors, Report};
use crate::clock::{new_secret, secret_hash};
use crate::core::Core;
use crate::database::Tx;
use crate::error::{Error, Result};
use crate::volumes::service::require;
use crate::{events, volumes};

const LOOK_EVERY: Duration = Duration::from_secs(1);
pub const CUSTOMER: &str = "customer";
/// What a customer sees in place of an operator's address.
const TEAM: &str = "support";

/// Cheap to clone; the clones share the limit and the follower's bell.
#[derive(Clone)]
pub struct Tickets {
    pub(super) core: Core,
    limit: Arc<Limit>,
    changed: Arc<Notify>,
}

/// Why a report was not taken.
#[derive(Debug)]
pub enum NotTaken {
    Fields(FieldErrors),
    Other(Error),
}

impl Tickets {
    pub fn new(core: Core) -> Self {
        Self { core, limit: Arc::default(), changed: Arc::default() }
    }

    /// How many tickets there are, by the word of their state: for monitoring.
    pub async fn counts(&self) -> Result<Vec<(String, i64)>> {
        Ok(store::counts(&mut self.core.db.read().await?).await?)
    }

    /// Follows the tickets until the program stops: by a timer, and at once when one came in here.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = follow::round(&self.core).await
                && !self.core.db.is_away()
            {
                tracing::warn!(%error, "tickets wait: the database did not answer");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.changed.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Takes a report, or says by field what would be right.
    pub async fn take(&self, caller: &str, ticket: &NewTicket) -> Result<Submitted, NotTaken> {
        let report = submit::checked(ticket).map_err(NotTaken::Fields)?;
        self.spend(caller).map_err(NotTaken::Other)?;
        self.keep(report).await.map_err(NotTaken::Other)
    }

    fn spend(&self, caller: &str) -> Result<()> {
        match self.limit.take(caller, self.core.clock.now()) {
            true => Ok(()),
            false => Err(Error::TooMany(
                "That were many messages in a short time. Wait a few minutes, then send this again; one report holds \
                 many files."
                    .into(),
            )),
        }
    }

    async fn keep(&self, report: Report) -> Result<Submitted> {
        let now = self.core.clock.now();
        let (secret, hash) = new_secret();
        let state = if report.lines.is_empty() { TicketState::NeedsOperator } else { TicketState::Open };
        let mut ticket = Ticket {
            number: 0,
            email: report.email,
            site: report.site,
            note: report.note,
            standing: Standing { state, since: now },
            replied: false,
            created_at: now,
            updated_at: now,
        };
        let mut tx = self.core.db.begin().await?;
        ticket.number = store::insert(&mut tx, &ticket, &hash).await?;
        let number = ticket.number;
        for (line, input) in (1..).zip(&report.lines) {
            store::insert_line(&mut tx, number, &new_line(line, input, now)).await?;
        }
        if let Some(note) = &ticket.note {
            let message = MessageView { at: now, author: CUSTOMER.into(), public: true, body: note.clone() };
            store::insert_message(&mut tx, number, &message).await?;
        }
        let lines = counted(report.lines.len() as u64, "line", "lines");
        let summary = format!("Ticket {number} came in with {lines}.");
        events::record(&mut tx, now, &customer(), EventKind::TicketOpened, number, &summary).await?;
        tx.commit().await?;
        self.changed.notify_one();
        Ok(Submitted { number, url: format!("{}/tickets/{secret}", self.core.config.server.public_url) })
    }

    async fn number_of(&self, secret: &str) -> Result<i64> {
        let mut tx = self.core.db.read().await?;
        let number = store::number_by_secret(&mut tx, &secret_hash(secret)).await?;
        number.ok_or_else(|| Error::not_found("There is no ticket behind this link. Was it copied whole?"))
    }

    async fn customers_view(&self, secret: &str) -> Result<TicketView> {
        let (ticket, lines, messages, volumes) = self.read(self.number_of(secret).await?).await?;
        let lines = lines.into_iter().map(|line| self.unnamed(line, &volumes)).collect();
        let mut view = self.assembled(ticket, lines, messages, &volumes);
        view.messages.retain(|message| message.public);
        for message in &mut view.messages {
            if message.author != CUSTOMER && message.author != Actor::salvor().name {
                message.author = TEAM.into();
            }
        }
        for line in &mut view.lines {
            line.job = None;
        }
        Ok(view)
    }

    async fn confirmed(&self, secret: &str, line: i64, fixed: bool) -> Result<()> {
        let number = self.number_of(secret).await?;
        let now = self.core.clock.now();
        let (mut tx, mut ticket) = self.locked(number).await?;
        let lines = store::lines(&mut tx, number).await?;
        let Some(line) = lines.into_iter().find(|other| other.line == line) else {
            return Err(Error::not_found(format!("This ticket has no line {line}.")));
        };
        let state = line.state.confirm(fixed)?;
        if state == line.state {
            return Ok(());
        }
        let line = Line { state, updated_at: now, ..line };
        store::save_line(&mut tx, number, &line).await?;
        let (kind, summary) = match fixed {
            true => (
                EventKind::TicketConfirmed,
                format!("Ticket {number}: line {} is fixed, says its customer.", line.line),
            ),
            false => {
                ticket.replied = false;
                (
                    EventKind::TicketReopened,
                    format!("Ticket {number}: line {} is still missing, says its customer.", line.line),
                )
            }
        };
        events::record(&mut tx, now, &customer(), kind, number, &summary).await?;
        // A closed ticket stays closed on good news.
        if !(fixed && ticket.standing.state == TicketState::Closed) {
            settle(&mut tx, ticket, now, Voice::Person).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn noted(&self, secret: &str, body: &str) -> Result<()> {
        let body = worded(body)?;
        let number = self.number_of(secret).await?;
        self.spend(&format!("ticket {number}"))?;
        let now = self.core.clock.now();
        let (mut tx, mut ticket) = self.locked(number).await?;
        let message = MessageView { at: now, author: CUSTOMER.into(), public: true, body };
        store::insert_message(&mut tx, number, &message).await?;
        let was_done = matches!(ticket.standing.state, TicketState::Answered | TicketState::Closed);
        ticket.replied = false;
        settle(&mut tx, ticket, now, Voice::Person).await?;
        let (kind, what) = match was_done {
            true => (EventKind::TicketReopened, "its customer wrote again"),
            false => (EventKind::TicketReplied, "its customer wrote"),
        };
        events::record(&mut tx, now, &customer(), kind, number, &format!("Ticket {number}: {what}.")).await?;
        Ok(tx.commit().await?)
    }

    async fn replied(&self, actor: &Actor, number: i64, body: &str, public: bool) -> Result<()> {
        require(actor, Permission::AnswerTickets)?;
        let body = worded(body)?;
        let now = self.core.clock.now();
        let (mut tx, mut ticket) = self.locked(number).await?;
        let message = MessageView { at: now, author: actor.name.clone(), public, body };
        store::insert_message(&mut tx, number, &message).await?;
        let what = if public { "replied to the customer" } else { "left a note" };
        let summary = format!("Ticket {number}: {} {what}.", actor.name);
        events::record(&mut tx, now, actor, EventKind::TicketReplied, number, &summary).await?;
        if public && ticket.standing.state != TicketState::Closed {
            ticket.replied = true;
            settle(&mut tx, ticket, now, Voice::Person).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn closed(&self, actor: &Actor, number: i64) -> Result<()> {
        require(actor, Permission::AnswerTickets)?;
        let now = self.core.clock.now();
        let (mut tx, ticket) = self.locked(number).await?;
        let standing = ticket.standing.close(now)?;
        store::save(&mut tx, &Ticket { standing, updated_at: now, ..ticket }).await?;
        let summary = format!("Ticket {number} was closed by {}.", actor.name);
        events::record(&mut tx, now, actor, EventKind::TicketClosed, number, &summary).await?;
        Ok(tx.commit().await?)
    }

    async fn restored(&self, actor: &Actor, number: i64) -> Result<()> {
        require(actor, Permission::AnswerTickets)?;
        follow::restore(&self.core, actor, number).await
    }

    async fn page(&self, filter: TicketsFilter) -> Result<Vec<TicketView>> {
        if let Some(character) = filter.search.as_deref().and_then(stray) {
            return Err(Error::invalid(format!(
                "`search` holds the control character {character}: leave it out"
            )));
        }
        let mut tx = self.core.db.read().await?;
        let volumes = volume_names(&mut tx).await?;
        let page = store::page(&mut tx, &filter).await?;
        Ok(page.into_iter().map(|(ticket, lines)| self.assembled(ticket, lines, vec![], &volumes)).collect())
    }

    async fn view(&self, number: i64) -> Result<TicketView> {
        let (ticket, lines, messages, volumes) = self.read(number).await?;
        Ok(self.assembled(ticket, lines, messages, &volumes))
    }

    async fn read(&self, number: i64) -> Result<(Ticket, Vec<Line>, Vec<MessageView>, HashMap<i64, String>)> {
        let mut tx = self.core.db.read().await?;
        let ticket = store::ticket(&mut tx, number).await?.ok_or_else(|| no_such_ticket(number))?;
        let lines = store::lines(&mut tx, number).await?;
        let messages = store::messages(&mut tx, number).await?;
        Ok((ticket, lines, messages, volume_names(&mut tx).await?))
    }

    /// A line as its customer may see it: without the place of a file that the line itself does not spell out.
    fn unnamed(&self, line: Line, volumes: &HashMap<i64, String>) -> Line {
        let place = line.place.filter(|(id, path)| {
            let volume = volumes.get(id);
            volume.is_some_and(|volume| spells(&self.core.config.volumes, &line.input, volume, path))
        });
        Line { place, ..line }
    }

    async fn locked(&self, number: i64) -> Result<(Tx, Ticket)> {
        let mut tx = self.core.db.begin().await?;
        let ticket = store::lock(&mut tx, number).await?.ok_or_else(|| no_such_ticket(number))?;
        Ok((tx, ticket))
    }

    fn assembled(
        &self,
        ticket: Ticket,
        lines: Vec<Line>,
        messages: Vec<MessageView>,
        volumes: &HashMap<i64, String>,
    ) -> TicketView {
        TicketView {
            number: ticket.number,
            state: ticket.standing.state,
            email: ticket.email,
            site: ticket.site,
            note: ticket.note,
            created_at: ticket.created_at,
            updated_at: ticket.updated_at,
            lines: lines.into_iter().map(|line| self.line_view(line, volumes)).collect(),
            messages,
        }
    }

    fn line_view(&self, line: Line, volumes: &HashMap<i64, String>) -> LineView {
        let volume = line.place.as_ref().and_then(|(id, _)| volumes.get(id).cloned());
        let url = line.place.as_ref().zip(volume.as_deref()).and_then(|((_, path), volume)| {
            self.core.config.volume(volume)?.url_patterns.iter().find_map(|pattern| pattern.url_of(path))
        });
        let detail = match line.state {
            LineState::New if line.detail.is_empty() => "We are looking it up.".to_owned(),
            _ => line.detail,
        };
        LineView {
            line: line.line,
            input: line.input,
            path: line.place.map(|(_, path)| path.to_string()),
            volume,
            verdict: line.verdict,
            state: line.state,
            detail,
            job: line.job.map(|job| job.to_string()),
            url,
            updated_at: line.updated_at,
        }
    }
}

#[async_trait]
impl TicketsPort for Tickets {
    async fn submit(&self, caller: &str, ticket: NewTicket) -> Result<Submitted, Problem> {
        self.take(caller, &ticket).await.map_err(|not_taken| match not_taken {
            NotTaken::Fields(errors) => Problem::Invalid(submit::in_words(&errors)),
            NotTaken::Other(error) => error.into(),
        })
    }

    async fn by_secret(&self, secret: &str) -> Result<TicketView, Problem> {
        Ok(self.customers_view(secret).await?)
    }

    async fn confirm(&self, secret: &str, line: i64, fixed: bool) -> Result<TicketView, Problem> {
        self.confirmed(secret, line, fixed).await?;
        Ok(self.customers_view(secret).await?)
    }

    async fn add_note(&self, secret: &str, body: &str) -> Result<TicketView, Problem> {
        self.noted(secret, body).await?;
        Ok(self.customers_view(secret).await?)
    }

    async fn tickets(&self, filter: TicketsFilter) -> Result<Vec<TicketView>, Problem> {
        Ok(self.page(filter).await?)
    }

    async fn ticket(&self, number: i64) -> Result<TicketView, Problem> {
        Ok(self.view(number).await?)
    }

    async fn restore(&self, actor: &Actor, number: i64) -> Result<TicketView, Problem> {
        self.restored(actor, number).await?;
        Ok(self.view(number).await?)
    }

    async fn reply(
        &self,
        actor: &Actor,
        number: i64,
        body: &str,
        public: bool,
    ) -> Result<TicketView, Problem> {
        self.replied(actor, number, body, public).await?;
        Ok(self.view(number).await?)
    }

    async fn close(&self, actor: &Actor, number: i64) -> Result<TicketView, Problem> {
        self.closed(actor, number).await?;
        Ok(self.view(number).await?)
    }
}

fn new_line(line: i64, input: &str, now: DateTime<Utc>) -> Line {
    Line {
        line,
        input: input.to_owned(),
        place: None,
        verdict: None,
        state: LineState::New,
        detail: String::new(),
        job: None,
        updated_at: now,
    }
}

/// Customers have no account and no role; their acts are bounded by the secret of their ticket.
fn customer() -> Actor {
    Actor { name: CUSTOMER.into(), role: Role::Viewer }
}

/// A text that says something, can be kept, and is not too long.
fn worded(body: &str) -> Result<String> {
    let body = body.trim();
    match body.len() {
        0 => Err(Error::invalid("Write something first: the text is empty.")),
        long if long > MAX_NOTE_BYTES => {
            Err(Error::invalid(format!("The text is at most {MAX_NOTE_BYTES} bytes long, this has {long}.")))
        }
        _ => match stray(body) {
            Some(character) => Err(Error::invalid(format!(
                "The text holds the control character {character}: leave it out."
            ))),
            None => Ok(body.to_owned()),
        },
    }
}

async fn volume_names(tx: &mut Tx) -> Result<HashMap<i64, String>> {
    let volumes = volumes::store::volumes(tx).await?;
    Ok(volumes.into_iter().map(|volume| (volume.id, volume.name)).collect())
}
