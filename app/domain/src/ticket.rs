//! Tickets: a customer's report of missing files, line by line.
//!
//! ```text
//!              all lines diagnosed        files on their way back
//!   open ───────────────┬─────────────▶ restoring ──── every line verified ───▶ answered ──▶ closed
//!                       │                   ▲                                     │ ▲
//!                       └─▶ needs_operator ─┤ (restore, or a reply ───────────────┼─┘)
//!                              ▲            └─────── still missing ───────────────┤
//!                              └───────────────────────────────────────────────────┘
//! ```

use chrono::{DateTime, Utc};

use crate::{Refused, words};

words! {
    TicketState ("state of a ticket") {
        /// Came in; its lines are being looked up.
        Open = "open",
        /// At least one of its files is on its way back.
        Restoring = "restoring",
        /// A person has to look: free text, a file in no copy, or "still missing".
        NeedsOperator = "needs_operator",
        /// The customer was told.
        Answered = "answered",
        Closed = "closed",
    }
}

words! {
    /// What became of a line when it was looked up.
    Verdict ("verdict") {
        /// The file is on the volume and good.
        Present = "present",
        BeingRestored = "being_restored",
        /// Lost on the volume, held by a copy.
        Restorable = "restorable",
        /// The volume has a newer file of that name.
        Overwritten = "overwritten",
        /// Its owner deleted it.
        Deleted = "deleted",
        InNoCopy = "in_no_copy",
        /// Not a file that Salvor knows.
        NotOurs = "not_ours",
    }
}

words! {
    LineState ("state of a line") {
        /// Not looked up yet.
        New = "new",
        /// Looked up; nothing is being done for it now.
        Diagnosed = "diagnosed",
        /// An item of a running restore.
        Restoring = "restoring",
        /// Verified back on the volume.
        Restored = "restored",
        /// A restore tried and could not.
        Failed = "failed",
        /// The customer says that it is back.
        Confirmed = "confirmed",
        /// The customer says that it is still missing.
        StillMissing = "still_missing",
    }
}

/// At most this many lines in one ticket.
pub const MAX_LINES: usize = 500;
/// The longest line, in bytes: a long URL.
pub const MAX_LINE_BYTES: usize = 2_000;
/// The longest note or reply, in bytes.
pub const MAX_NOTE_BYTES: usize = 10_000;

impl LineState {
    pub fn restoring(self) -> Result<Self, Refused> {
        match self {
            Self::Diagnosed | Self::Failed | Self::StillMissing | Self::Restoring => Ok(Self::Restoring),
            other => Err(Refused::because(format!("a line that is {other} cannot be restored"))),
        }
    }

    /// Only a line on its way back becomes restored: never before the restore said so (promises I2 and I9).
    pub fn restored(self) -> Result<Self, Refused> {
        match self {
            Self::Restoring => Ok(Self::Restored),
            other => Err(Refused::because(format!("a line that is {other} was not being restored"))),
        }
    }

    /// The restore found it there, by its size and time: nothing was brought back, and its content was not read.
    pub fn in_place(self) -> Result<Self, Refused> {
        match self {
            Self::Restoring => Ok(Self::Diagnosed),
            other => Err(Refused::because(format!("a line that is {other} was not being restored"))),
        }
    }

    pub fn failed(self) -> Result<Self, Refused> {
        match self {
            Self::Restoring => Ok(Self::Failed),
            other => Err(Refused::because(format!("a line that is {other} was not being restored"))),
        }
    }

    pub fn confirm(self, fixed: bool) -> Result<Self, Refused> {
        match self {
            Self::Diagnosed | Self::Restored | Self::Failed | Self::Confirmed | Self::StillMissing => {
                Ok(if fixed { Self::Confirmed } else { Self::StillMissing })
            }
            Self::New | Self::Restoring => Err(Refused::because("this file is still being worked on")),
        }
    }
}

/// One line as far as the state of its ticket depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineFacts {
    pub state: LineState,
    pub verdict: Option<Verdict>,
}

/// The state that a ticket's lines put it in; a ticket without lines waits for an operator.
///
/// `replied` says that an operator has answered since the last word of the customer.
pub fn state_by_lines(lines: &[LineFacts], replied: bool) -> TicketState {
    let any = |test: fn(&LineFacts) -> bool| lines.iter().any(test);
    if any(|line| line.state == LineState::New) {
        TicketState::Open
    } else if any(|line| line.state == LineState::Restoring) {
        TicketState::Restoring
    } else if !replied && (lines.is_empty() || any(|line| line.needs_operator())) {
        TicketState::NeedsOperator
    } else if !lines.is_empty() && lines.iter().all(|line| line.state == LineState::Confirmed) {
        TicketState::Closed
    } else {
        TicketState::Answered
    }
}

impl LineFacts {
    /// Whether a person has to look at it.
    pub fn needs_operator(self) -> bool {
        match self.state {
            LineState::Failed | LineState::StillMissing => true,
            LineState::Diagnosed => matches!(
                self.verdict,
                Some(Verdict::Restorable | Verdict::BeingRestored | Verdict::InNoCopy | Verdict::Overwritten)
                    | None
            ),
            LineState::New | LineState::Restoring | LineState::Restored | LineState::Confirmed => false,
        }
    }
}

/// A ticket closed by an operator, or reopened by its customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub state: TicketState,
    pub since: DateTime<Utc>,
}

impl Standing {
    pub fn close(self, now: DateTime<Utc>) -> Result<Self, Refused> {
        match self.state {
            TicketState::Closed => Err(Refused::because("the ticket is closed already")),
            TicketState::Restoring => {
                Err(Refused::because("its files are still on their way back; the ticket closes itself"))
            }
            _ => Ok(Self { state: TicketState::Closed, since: now }),
        }
    }

    /// The standing after its lines changed.
    pub fn follow(self, lines: &[LineFacts], replied: bool, now: DateTime<Utc>) -> Self {
        let state = state_by_lines(lines, replied);
        if state == self.state { self } else { Self { state, since: now } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// "Restored" comes only out of "restoring", and a ticket is never answered while a line is on its way.
        #[test]
        fn never_told_before_it_is_true(calls in proptest::collection::vec((0usize..3, 0u8..5), 1..80)) {
            let mut lines = [LineFacts { state: LineState::Diagnosed, verdict: Some(Verdict::Restorable) }; 3];
            for (which, call) in calls {
                let before = lines[which].state;
                let next = match call {
                    0 => before.restoring(),
                    1 => before.restored(),
                    2 => before.failed(),
                    3 => before.in_place(),
                    _ => before.confirm(which == 0),
                };
                if let Ok(next) = next {
                    prop_assert!(next != LineState::Restored || before == LineState::Restoring);
                    lines[which].state = next;
                }
                let state = state_by_lines(&lines, false);
                if lines.iter().any(|line| line.state == LineState::Restoring) {
                    prop_assert_eq!(state, TicketState::Restoring);
                }
                if lines.iter().any(|line| line.state == LineState::StillMissing) {
                    prop_assert!(state != TicketState::Closed && state != TicketState::Answered);
                }
            }
        }
    }

    #[test]
    fn lines_put_their_ticket_in_its_state() {
        let line = |state, verdict| LineFacts { state, verdict: Some(verdict) };
        assert_eq!(state_by_lines(&[], false), TicketState::NeedsOperator);
        assert_eq!(state_by_lines(&[], true), TicketState::Answered);
        let back = line(LineState::Restored, Verdict::Restorable);
        assert_eq!(state_by_lines(&[back], false), TicketState::Answered);
        assert_eq!(
            state_by_lines(&[back, line(LineState::Diagnosed, Verdict::InNoCopy)], false),
            TicketState::NeedsOperator
        );
        assert_eq!(
            state_by_lines(&[line(LineState::Confirmed, Verdict::Restorable)], false),
            TicketState::Closed
        );
    }
}
