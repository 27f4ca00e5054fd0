//! Events: append-only rows of who did what when. Audit log, live feed and status snapshot are all read from them.

use chrono::{DateTime, Utc};

use crate::words;

words! {
    EventKind ("kind of event") {
        JobCreated = "job.created",
        JobPlanned = "job.planned",
        JobApproved = "job.approved",
        JobPaused = "job.paused",
        JobResumed = "job.resumed",
        JobCancelled = "job.cancelled",
        JobFinished = "job.finished",
        JobFailed = "job.failed",
        JobRetried = "job.retried",
        /// Files that wait in a job are brought sooner.
        JobRaised = "job.raised",
        /// What a job or a copy keeps within.
        LimitChanged = "limit.changed",
        /// Something a person should know about while a job runs; the job's log is read from these.
        JobNote = "job.note",
        /// A copy gave bytes that do not match the catalogue.
        CopyRefused = "copy.refused",
        ModeChanged = "volume.mode_changed",
        FileMarkedDeleted = "volume.file_marked_deleted",
        /// The tool of its file system came to its end on a volume.
        DiskChecked = "volume.disk_checked",
        /// A person said that a volume or a copy has a new, empty disk.
        DiskReplaced = "volume.disk_replaced",
        ComponentAdded = "component.added",
        ComponentChanged = "component.changed",
        IncidentOpened = "incident.opened",
        IncidentUpdated = "incident.updated",
        /// Written from the facts, for an operator to publish.
        IncidentDrafted = "incident.drafted",
        IncidentPublished = "incident.published",
        /// A draft that nobody published.
        IncidentDiscarded = "incident.discarded",
        /// For operators: a part of the incident's timeline that is not public.
        IncidentNote = "incident.note",
        TicketOpened = "ticket.opened",
        TicketDiagnosed = "ticket.diagnosed",
        TicketRestoring = "ticket.restoring",
        TicketReplied = "ticket.replied",
        TicketAnswered = "ticket.answered",
        TicketConfirmed = "ticket.confirmed",
        TicketReopened = "ticket.reopened",
        TicketClosed = "ticket.closed",
        /// A signal came to or left warning or critical.
        SignalChanged = "signal.changed",
        SignalMuted = "signal.muted",
        SignalUnmuted = "signal.unmuted",
        /// A host has not reported for so long that nothing it said counts any more.
        HostSilent = "host.silent",
        HostBack = "host.back",
        /// A person had a message to a webhook tried again that was given up.
        MessageSentAgain = "webhook.sent_again",
        SignedIn = "account.signed_in",
        SignInRefused = "account.sign_in_refused",
        UserAdded = "account.user_added",
        UserDisabled = "account.user_disabled",
        TokenCreated = "account.token_created",
        /// From its first report on, an agent's token is for that host alone.
        TokenBound = "account.token_bound",
        TokenRevoked = "account.token_revoked",
    }
}

/// One event as it is read back: `id` grows with time and is what a feed resumes from.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Event {
    pub id: i64,
    pub at: DateTime<Utc>,
    /// Who: see [`crate::account::Actor::name`].
    pub actor: String,
    pub kind: EventKind,
    /// What it happened to: a job's, incident's or ticket's id, a volume's name.
    pub subject: String,
    /// One sentence for people.
    pub summary: String,
}
