//! Who may do what: roles, permissions and the one table between them.

use crate::words;

words! {
    /// What an operator or a token may do, least first; each role may do all that the ones before it may, except to report.
    Role ("role") {
        /// A storage host's token: it reports, and reads nothing.
        Agent = "agent",
        Viewer = "viewer",
        Responder = "responder",
        Operator = "operator",
        Admin = "admin",
    }
}

words! {
    /// One kind of act. Every server function and every route of the console and the API asks for one of these.
    Permission ("permission") {
        /// Tell of storage health, which may take a volume out of normal: for agents, and for whoever may do that by hand.
        Report = "report",
        /// Read the console: volumes, jobs, findings, incidents, tickets.
        View = "view",
        /// Open, update and resolve incidents; keep components.
        WriteIncidents = "write_incidents",
        /// Reply to tickets and ask for their files.
        AnswerTickets = "answer_tickets",
        /// Mute and unmute signals of storage health.
        MuteSignals = "mute_signals",
        /// Start, approve, pause, resume, cancel and retry jobs.
        RunJobs = "run_jobs",
        /// Change the mode of a volume, through its gate.
        SetMode = "set_mode",
        /// Say that a file was deleted by its owner.
        MarkDeleted = "mark_deleted",
        /// Bring a volume back to normal although its gate is not open.
        OverrideGate = "override_gate",
        /// Add and disable users and tokens.
        ManageAccounts = "manage_accounts",
    }
}

impl Permission {
    /// The least role that has this permission: the permission table.
    pub fn least_role(self) -> Role {
        match self {
            Self::Report => Role::Agent,
            Self::View => Role::Viewer,
            Self::WriteIncidents | Self::AnswerTickets | Self::MuteSignals => Role::Responder,
            Self::RunJobs | Self::SetMode | Self::MarkDeleted => Role::Operator,
            Self::OverrideGate | Self::ManageAccounts => Role::Admin,
        }
    }
}

impl Role {
    pub fn may(self, permission: Permission) -> bool {
        match permission {
            Permission::Report => self == Self::Agent || self.may(Permission::SetMode),
            _ => self >= permission.least_role(),
        }
    }
}

/// Who did something: the word that events and states keep.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Actor {
    /// An address, `token:NAME`, `cli:USER` or `salvor`.
    pub name: String,
    pub role: Role,
}

impl Actor {
    /// Salvor itself, when a rule acts.
    pub fn salvor() -> Self {
        Self { name: "salvor".into(), role: Role::Admin }
    }

    pub fn may(&self, permission: Permission) -> bool {
        self.role.may(permission)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_has_all_of_the_lesser_ones() {
        for pair in Role::ALL.windows(2) {
            for &permission in Permission::ALL.iter().filter(|permission| **permission != Permission::Report)
            {
                assert!(!pair[0].may(permission) || pair[1].may(permission), "{permission}");
            }
        }
        assert!(!Role::Viewer.may(Permission::RunJobs) && !Role::Operator.may(Permission::OverrideGate));
    }

    #[test]
    fn an_agent_reports_and_nothing_else() {
        for &permission in Permission::ALL {
            assert_eq!(Role::Agent.may(permission), permission == Permission::Report, "{permission}");
        }
        for (role, may) in
            [(Role::Viewer, false), (Role::Responder, false), (Role::Operator, true), (Role::Admin, true)]
        {
            assert_eq!(role.may(Permission::Report), may, "{role}");
        }
    }
}
