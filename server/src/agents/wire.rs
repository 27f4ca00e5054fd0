//! What a server and an agent say to each other about jobs, as JSON.
//!
//! The agent asks again and again ([`Poll`]), and what it is to do comes with the answer ([`Orders`]); what came of a call it tells part
//! by part ([`Told`]). A call names a volume of the agent's own configuration and what is to be done there: never a folder, a
//! command or an address, so that a server can make an agent do nothing that is not configured on its host.

use salvor_domain::disk_check::DiskTool;
use salvor_domain::identity::Sight;
use salvor_domain::path::FilePath;
use salvor_engine::{CheckOutcome, Expected, FolderId, MarkKind, Rates, Stop, WalkEvent};
use serde::{Deserialize, Serialize};

use crate::restore::drivers::disk_check::attend::{Course, Facts, Heard};
use crate::restore::drivers::disk_check::device::InTheWay;
use crate::restore::planner::{Scope, Seen};
use crate::restore::store::disk_checks::Process;

/// Asked for work about once a second, or as soon as the last answer came.
pub const WORK: &str = "/api/v1/agent/work";
pub const TOLD: &str = "/api/v1/agent/told";

/// The server keeps an agent waiting for so long when there is nothing new; then it is asked again.
pub const HOLD: std::time::Duration = std::time::Duration::from_millis(900);
/// After so long without the other side, either gives the calls between them up.
pub const SILENT: std::time::Duration = std::time::Duration::from_secs(5);
/// Of the weight of one part that is told; a single path is far less.
pub const PART_BYTES: usize = 1 << 20;

/// An agent asks what is to be done, and says how far it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Poll {
    /// As its reports name it.
    pub host: String,
    pub version: String,
    /// New with each connection: calls of an old one are nobody's.
    pub connection: String,
    /// What its own configuration has there.
    pub volumes: Vec<Own>,
    /// The number of the last call that it has heard of.
    pub heard: u64,
    pub at_work: Vec<AtWork>,
}

/// A volume that lies on the agent's host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    pub name: String,
    /// What checks its disk, where that is configured.
    pub disk_tool: Option<DiskTool>,
}

/// A call in the agent's hands.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct AtWork {
    pub call: u64,
    pub files: u64,
    pub bytes: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Orders {
    pub calls: Vec<Call>,
    /// One for each that the agent is at.
    pub courses: Vec<Going>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    /// Growing within a connection.
    pub id: u64,
    pub volume: String,
    /// The volume's folder must still be this one.
    pub folder: Option<FolderId>,
    pub ask: Ask,
    pub rates: Rates,
}

/// Whether a call is to go on, and how fast.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Going {
    pub call: u64,
    pub stop: Option<Stop>,
    pub rates: Rates,
}

/// What an agent is asked to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Where the volume lies, and what tells its folder from another.
    Sight,
    Mark(MarkKind, String),
    StillThere,
    Look(Vec<FilePath>),
    Walk {
        folder: Option<FilePath>,
        scope: Scope,
    },
    Check {
        files: Vec<Expected>,
        /// None: as many as the agent's host has processors.
        threads: Option<usize>,
    },
    Disk(DiskAsk),
}

/// What is asked of the check of a volume's disk: how that is done is configured on the agent's host.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskAsk {
    Facts,
    Look,
    IsAlive(Process),
    Pause,
    Run(Course),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskPart {
    Done,
    Facts(Facts),
    /// What keeps the tool from its device.
    Looked(Option<InTheWay>),
    IsAlive(bool),
    Heard(Vec<Heard>),
}

/// One part of what came of a call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Told {
    pub host: String,
    pub connection: String,
    pub call: u64,
    /// From 0 on: a part that is told again is known by it.
    pub number: u64,
    pub part: Part,
    pub is_last: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Done,
    Sight {
        /// For people.
        path: String,
        folder: FolderId,
        sight: Sight,
    },
    Seen(Vec<Seen>),
    Found(Vec<WalkEvent>),
    Checked(Vec<CheckOutcome>),
    Disk(DiskPart),
    /// It could not be done, with the reason.
    Failed(String),
    /// A folder there does not answer.
    Silent(String),
}

/// What became of a part.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Taken {
    /// The number of the part that is waited for; none where nobody waits for the call any more.
    pub next: Option<u64>,
}

/// Cuts into parts that can be told.
pub fn portions<T>(items: Vec<T>, weight: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut portions = Vec::new();
    let (mut open, mut open_bytes) = (Vec::new(), 0);
    for item in items {
        open_bytes += weight(&item);
        open.push(item);
        if open_bytes >= PART_BYTES {
            portions.push(std::mem::take(&mut open));
            open_bytes = 0;
        }
    }
    if !open.is_empty() {
        portions.push(open);
    }
    portions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_cut_into_parts() {
        assert!(portions(Vec::<u8>::new(), |_| 1).is_empty());
        let cut = portions(vec![7; 5], |_| PART_BYTES / 2);
        assert_eq!(cut.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    }
}
