//! How a ticket moves when something about it changed, and the one message that answers it (promise I9).
//!
//! Invariant: [`settle`] runs in the transaction of the change, on a locked ticket; a ticket becomes answered and its
//! message is written in that one transaction, so a process that dies between two of them neither forgets the answer
//! nor gives it twice.

use chrono::{DateTime, Utc};
use salvor_app::tickets::port::MessageView;
use salvor_domain::account::Actor;
use salvor_domain::event::EventKind;
use salvor_domain::ticket::{LineFacts, LineState, Standing, TicketState, Verdict};
use salvor_domain::units::counted;

use super::store::{self, Line, Ticket};
use crate::database::Tx;
use crate::events;

/// Who speaks when a ticket becomes answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// Salvor itself: it writes the answer.
    Salvor,
    /// A person just did; nothing needs to be added.
    Person,
}

/// Brings a ticket's state up to its lines and messages, and keeps it.
pub async fn settle(
    tx: &mut Tx,
    mut ticket: Ticket,
    now: DateTime<Utc>,
    voice: Voice,
) -> sqlx::Result<Ticket> {
    let lines = store::lines(tx, ticket.number).await?;
    let facts: Vec<LineFacts> = lines.iter().map(Line::facts).collect();
    let awaits_reply = store::awaits_reply(tx, &ticket).await?;
    let before = ticket.standing.state;
    // Closed is closed: what Salvor finds out later reopens nothing, only a person does.
    if before != TicketState::Closed || voice == Voice::Person {
        ticket.standing = following(ticket.standing, &facts, ticket.replied, awaits_reply, now);
    }
    ticket.updated_at = now;
    let after = ticket.standing.state;
    if after == TicketState::Answered && before != after && voice == Voice::Salvor {
        let body = answer(&lines);
        let message = MessageView { at: now, author: Actor::salvor().name, public: true, body };
        store::insert_message(tx, ticket.number, &message).await?;
        let summary = format!("Ticket {} was answered.", ticket.number);
        events::record(tx, now, &Actor::salvor(), EventKind::TicketAnswered, ticket.number, &summary).await?;
    }
    if after == TicketState::Closed && before != after {
        let summary = format!("Ticket {} was closed: its customer has every file back.", ticket.number);
        events::record(tx, now, &Actor::salvor(), EventKind::TicketClosed, ticket.number, &summary).await?;
    }
    store::save(tx, &ticket).await?;
    Ok(ticket)
}

/// Lines say where a ticket stands; words of the customer that nobody answered keep it with the operators.
fn following(
    standing: Standing,
    lines: &[LineFacts],
    replied: bool,
    awaits_reply: bool,
    now: DateTime<Utc>,
) -> Standing {
    let next = standing.follow(lines, replied, now);
    let is_done = matches!(next.state, TicketState::Answered | TicketState::Closed);
    match is_done && awaits_reply {
        true if standing.state == TicketState::NeedsOperator => standing,
        true => Standing { state: TicketState::NeedsOperator, since: now },
        false => next,
    }
}

/// What Salvor writes when nothing more is to be done: by kind of outcome, in the customer's words. Says "back" only of
/// lines that a restore has verified, and of files that were only looked at no more than that they are there.
fn answer(lines: &[Line]) -> String {
    let count = |test: &dyn Fn(&Line) -> bool| lines.iter().filter(|line| test(line)).count() as u64;
    let back = count(&|line| matches!(line.state, LineState::Restored | LineState::Confirmed));
    let diagnosed =
        |verdict| count(&|line: &Line| line.state == LineState::Diagnosed && line.verdict == Some(verdict));
    let mut said = Vec::new();
    if back > 0 {
        let total = lines.len() as u64;
        said.push(match (back, total) {
            (1, 1) => "Your file is back and verified.".to_owned(),
            _ => format!("{back} of {} are back and verified.", counted(total, "file", "files")),
        });
    }
    let files = |n| counted(n, "file", "files");
    for (verdict, words) in [
        (Verdict::Present, "on the server"),
        (Verdict::Deleted, "deleted by the owner and not brought back"),
        (Verdict::NotOurs, "not known to us: please check the address"),
    ] {
        match diagnosed(verdict) {
            0 => {}
            n => said.push(format!("{}: {words}.", files(n))),
        }
    }
    if back > 0 || diagnosed(Verdict::Present) > 0 {
        said.push("Is everything as it should be? Please tell us below, file by file.".to_owned());
    } else {
        said.push("If that is not right, write to us below.".to_owned());
    }
    said.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(state: LineState, verdict: Verdict) -> Line {
        Line {
            line: 1,
            input: "a.jpg".into(),
            place: None,
            verdict: Some(verdict),
            state,
            detail: String::new(),
            job: None,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_answer_says_back_of_what_is_back() {
        let back = line(LineState::Restored, Verdict::Restorable);
        let there = line(LineState::Diagnosed, Verdict::Present);
        let unknown = line(LineState::Diagnosed, Verdict::NotOurs);
        assert!(answer(std::slice::from_ref(&back)).starts_with("Your file is back and verified."));
        let mixed = answer(&[back, there.clone(), unknown.clone()]);
        assert!(mixed.starts_with("1 of 3 files are back and verified.\n1 file: on the server"), "{mixed}");
        for none_back in [answer(&[there]), answer(&[unknown])] {
            assert!(!none_back.contains("back and verified"), "{none_back}");
        }
    }

    #[test]
    fn unanswered_words_keep_a_ticket_with_the_operators() {
        let (then, now) = (DateTime::UNIX_EPOCH, DateTime::from_timestamp(9, 0).unwrap());
        let answered = Standing { state: TicketState::Answered, since: then };
        let facts = [line(LineState::Restored, Verdict::Restorable).facts()];
        assert_eq!(following(answered, &facts, false, false, now), answered);
        let waiting = following(answered, &facts, false, true, now);
        assert_eq!((waiting.state, waiting.since), (TicketState::NeedsOperator, now));
        assert_eq!(following(waiting, &facts, false, true, now), waiting);
    }
}
