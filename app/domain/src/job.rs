//! Jobs: check, protect, restore, reunite, drill, disk check. What is asked for, how a job lives, and what it reports.
//!
//! ```text
//!               plan ready             approve
//!   planning ───────────────▶ planned ─────────▶ running ──── all segments done ───▶ finished
//!     │  │       (approved beforehand: straight to running)     │  ▲                     │
//!     │  └────── pause, stick ──▶ paused ◀── pause, stick ──────┘  │                     │
//!     │                             └──── resume, try again ───────┘◀─── retry ──────────┤
//!     └──▶ failed (it could not run, with the reason)   cancelled ────────── retry ──────┘
//! ```
//! `failed` can be entered from planning and running, `cancelled` from everything that has not ended. A job that Salvor itself
//! paused for a cause that may pass says when it is tried again ([`crate::stuck`]), and a worker then resumes it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::disk_check::{DiskCheckReport, DiskVerdict};
use crate::finding::FindingCounts;
use crate::limits::JobLimits;
use crate::path::{FilePath, Glob};
use crate::progress::{Amount, EtaRange};
use crate::volume::Mode;
use crate::{Refused, words};

words! {
    JobKind ("kind of job") {
        Check = "check",
        Protect = "protect",
        Restore = "restore",
        Reunite = "reunite",
        Drill = "drill",
        DiskCheck = "disk_check",
    }
}

impl JobKind {
    /// Within a sentence.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::DiskCheck => "disk check",
            other => other.as_str(),
        }
    }
}

/// What a job is to do, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobRequest {
    Check {
        /// Read every byte, not only names, sizes and times.
        #[serde(default)]
        full: bool,
        /// Only these paths; empty means all.
        #[serde(default)]
        paths: Vec<Glob>,
    },
    Protect {
        /// Names of copies; empty means every copy of the volume.
        #[serde(default)]
        to: Vec<String>,
        /// A copy that another tool made: the catalogue is filled from what it holds, and nothing is copied.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        adopt: Option<String>,
    },
    Restore {
        /// Names of copies to read from; empty means every copy, in the volume's order.
        #[serde(default)]
        from: Vec<String>,
        /// Only these paths; empty means all.
        #[serde(default)]
        paths: Vec<Glob>,
        /// Only these very files (with `paths`: those too); in JSON their bytes in hexadecimal.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        files: Vec<FilePath>,
        /// A folder outside the volume to restore into; absent means the volume itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to_folder: Option<String>,
    },
    /// Gives files whose names were lost their places back.
    Reunite {
        /// Folders to look in; empty means `lost+found`.
        #[serde(default)]
        from: Vec<String>,
    },
    /// Restores a sample to scratch, verifies it and keeps the rates.
    Drill {
        /// Names of copies; empty means every copy of the volume.
        #[serde(default)]
        from: Vec<String>,
        /// Files from each copy; absent means as many as tell something.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sample: Option<u64>,
        /// What the choice of files was drawn with: the same again chooses the same again. Given by Salvor when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<u32>,
    },
    /// The file system's own tool, as the configuration names it, on the volume's device.
    DiskCheck {},
}

impl JobRequest {
    pub fn kind(&self) -> JobKind {
        match self {
            Self::Check { .. } => JobKind::Check,
            Self::Protect { .. } => JobKind::Protect,
            Self::Restore { .. } => JobKind::Restore,
            Self::Reunite { .. } => JobKind::Reunite,
            Self::Drill { .. } => JobKind::Drill,
            Self::DiskCheck {} => JobKind::DiskCheck,
        }
    }

    /// A protect that only fills the catalogue from a copy, and writes to no disk.
    pub fn adopts(&self) -> bool {
        matches!(self, Self::Protect { adopt: Some(_), .. })
    }
}

/// What a job was doing when it was paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Planning,
    Running,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum JobState {
    /// Looking at what there is to do.
    Planning {
        since: DateTime<Utc>,
    },
    /// The plan can be read and waits for approval.
    Planned {
        since: DateTime<Utc>,
    },
    Running {
        since: DateTime<Utc>,
    },
    Paused {
        since: DateTime<Utc>,
        by: String,
        reason: String,
        during: Phase,
        /// When Salvor tries it again by itself; absent when it waits for a person's word.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tries_again_at: Option<DateTime<Utc>>,
    },
    /// It came to its end; whether all is well say its figures.
    Finished {
        at: DateTime<Utc>,
    },
    /// It could not run.
    Failed {
        at: DateTime<Utc>,
        reason: String,
    },
    Cancelled {
        at: DateTime<Utc>,
        by: String,
    },
}

impl JobState {
    /// The word in the database and in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Planning { .. } => "planning",
            Self::Planned { .. } => "planned",
            Self::Running { .. } => "running",
            Self::Paused { .. } => "paused",
            Self::Finished { .. } => "finished",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    pub fn has_ended(&self) -> bool {
        matches!(self, Self::Finished { .. } | Self::Failed { .. } | Self::Cancelled { .. })
    }

    pub fn ended_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Finished { at } | Self::Failed { at, .. } | Self::Cancelled { at, .. } => Some(*at),
            _ => None,
        }
    }

    /// Whether workers may do something for it now.
    pub fn is_active(&self) -> bool {
        matches!(self, Self::Planning { .. } | Self::Running { .. })
    }

    pub fn plan_ready(self, approved: bool, now: DateTime<Utc>) -> Result<Self, Refused> {
        match self {
            Self::Planning { .. } if approved => Ok(Self::Running { since: now }),
            Self::Planning { .. } => Ok(Self::Planned { since: now }),
            other => Err(other.refuses("be planned")),
        }
    }

    pub fn approve(self, now: DateTime<Utc>) -> Result<Self, Refused> {
        match self {
            Self::Planned { .. } => Ok(Self::Running { since: now }),
            other => Err(other.refuses("be approved")),
        }
    }

    pub fn pause(self, by: String, reason: String, now: DateTime<Utc>) -> Result<Self, Refused> {
        let during = match self {
            Self::Planning { .. } => Phase::Planning,
            Self::Running { .. } => Phase::Running,
            // Whoever does not want it to be tried again says so.
            Self::Paused { during, tries_again_at: Some(_), .. } => during,
            other => return Err(other.refuses("be paused")),
        };
        Ok(Self::Paused { since: now, by, reason, during, tries_again_at: None })
    }

    /// Salvor itself pauses it, for a cause that may pass.
    pub fn stick(
        self,
        by: String,
        reason: String,
        tries_again_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Self, Refused> {
        let during = match self {
            Self::Planning { .. } => Phase::Planning,
            Self::Running { .. } => Phase::Running,
            other => return Err(other.refuses("be stuck")),
        };
        Ok(Self::Paused { since: now, by, reason, during, tries_again_at: Some(tries_again_at) })
    }

    /// Salvor itself goes on with it, when that is due; never with what a person paused.
    pub fn try_again(self, now: DateTime<Utc>) -> Result<Self, Refused> {
        match self {
            Self::Paused { tries_again_at: Some(at), .. } if crate::stuck::is_due(at, now) => {
                self.resume(now)
            }
            other => Err(other.refuses("be tried again yet")),
        }
    }

    /// When Salvor tries it again by itself.
    pub fn tries_again_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Paused { tries_again_at, .. } => *tries_again_at,
            _ => None,
        }
    }

    pub fn resume(self, now: DateTime<Utc>) -> Result<Self, Refused> {
        match self {
            Self::Paused { during: Phase::Planning, .. } => Ok(Self::Planning { since: now }),
            Self::Paused { during: Phase::Running, .. } => Ok(Self::Running { since: now }),
            other => Err(other.refuses("be resumed")),
        }
    }

    pub fn cancel(self, by: String, now: DateTime<Utc>) -> Result<Self, Refused> {
        match self {
            ended if ended.has_ended() => Err(ended.refuses("be cancelled")),
            _ => Ok(Self::Cancelled { at: now, by }),
        }
    }

    pub fn finish(self, now: DateTime<Utc>) -> Result<Self, Refused> {
        match self {
            Self::Running { .. } => Ok(Self::Finished { at: now }),
            other => Err(other.refuses("finish")),
        }
    }

    pub fn fail(self, reason: String, now: DateTime<Utc>) -> Result<Self, Refused> {
        match self {
            Self::Planning { .. } | Self::Running { .. } => Ok(Self::Failed { at: now, reason }),
            other => Err(other.refuses("fail")),
        }
    }

    /// Go on with what failed or was left: from the plan if there is one, else by planning anew.
    pub fn retry(self, has_plan: bool, now: DateTime<Utc>) -> Result<Self, Refused> {
        match self {
            ended if ended.has_ended() && has_plan => Ok(Self::Running { since: now }),
            ended if ended.has_ended() => Ok(Self::Planning { since: now }),
            other => Err(other.refuses("be retried")),
        }
    }

    fn refuses(&self, what: &str) -> Refused {
        Refused::because(format!("a job that is {} cannot {what}", self.word()))
    }
}

/// An operator's word to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobControl {
    Approve,
    Pause,
    Resume,
    Cancel,
    Retry,
}

impl std::str::FromStr for JobControl {
    type Err = crate::UnknownWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Ok(match word {
            "approve" => Self::Approve,
            "pause" => Self::Pause,
            "resume" => Self::Resume,
            "cancel" => Self::Cancel,
            "retry" => Self::Retry,
            _ => {
                return Err(crate::UnknownWord {
                    what: "word to a job",
                    found: word.to_owned(),
                    allowed: "approve pause resume cancel retry",
                });
            }
        })
    }
}

/// What a job intends, made before it moves a byte. For a restore: from where, how many, how long.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Plan {
    pub total: Amount,
    /// Nameless files on the volume itself that a reunite gives their places back first; not part of `total`.
    #[serde(default)]
    pub reunite: Amount,
    /// By copy, in order of preference; those that are out of reach come last.
    pub sources: Vec<PlannedSource>,
    /// Files asked for that are there and look good (same size and time).
    pub in_place: u64,
    /// Files that are newer on the volume than in the catalogue: they stay.
    pub newer: u64,
    /// Files asked for that their owner deleted: they stay deleted.
    pub tombstoned: u64,
    /// Files that no copy holds: nothing can be done for them from here.
    pub in_no_copy: u64,
    /// Their bytes, which the job's do not count.
    #[serde(default)]
    pub in_no_copy_bytes: u64,
    /// The first hundred of those.
    pub in_no_copy_paths: Vec<String>,
    /// Time that the whole needs, copies working side by side; absent when that of any of them is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<EtaRange>,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PlannedSource {
    pub name: String,
    pub amount: Amount,
    /// Time that this copy needs for its part; absent when nothing was ever measured.
    pub estimate: Option<EtaRange>,
    /// Where the estimate comes from, for people: `3 jobs and a drill in the last 30 days`, `its bandwidth limit`.
    pub basis: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileCounts {
    pub total: u64,
    pub done: u64,
    pub failed: u64,
    pub skipped: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ByteCounts {
    pub total: u64,
    pub done: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Failure {
    pub path: String,
    pub reason: String,
}

/// At most this many failures travel in a report.
pub const REPORTED_FAILURES: usize = 100;

/// The state of a job as `--json`, the API and the pages show it. The fields down to `failures` are the contract.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct JobReport {
    pub job: String,
    pub kind: JobKind,
    pub volume: String,
    pub state: String,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    /// Active seconds: planning and running, pauses left out.
    pub seconds: f64,
    pub files: FileCounts,
    pub bytes: ByteCounts,
    pub findings: FindingCounts,
    pub sources: BTreeMap<String, Amount>,
    pub failures: Vec<Failure>,

    pub created_at: DateTime<Utc>,
    pub created_by: String,
    pub request: JobRequest,
    /// Why it is paused or failed; absent otherwise.
    pub reason: Option<String>,
    /// It is paused for a cause that may pass: when a worker tries again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries_again_at: Option<DateTime<Utc>>,
    pub plan: Option<Plan>,
    pub dry_run: bool,
    pub eta: Option<EtaRange>,
    /// What holds a job up that is under way, where that is known: `offsite is paused by its limit`. Its end is not known then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    pub files_per_second: Option<f64>,
    pub bytes_per_second: Option<f64>,
    /// The ticket that asked for it.
    pub ticket: Option<i64>,
    /// What it keeps within.
    #[serde(default)]
    pub limits: JobLimits,
    /// The volume's mode just now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_mode: Option<Mode>,
    /// Of a disk check alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_check: Option<DiskCheckReport>,
}

/// What a report calls the volume's own nameless files among its sources.
pub const REUNITED: &str = "reunite";

impl JobReport {
    /// Paused for a cause that may pass: tried again by itself, without anybody's word.
    pub fn is_stuck(&self) -> bool {
        self.state == "paused" && self.tries_again_at.is_some()
    }

    /// Its state for people, who want to know what waits for them and what does not.
    pub fn word(&self) -> &str {
        if self.is_stuck() { "stuck" } else { &self.state }
    }

    /// 0: all is well. 1: it ended and something is wrong, or (of a plan alone) would be. 3: it could not run, or could not
    /// go on yet.
    pub fn exit_code(&self) -> u8 {
        match self.state.as_str() {
            "failed" => 3,
            "paused" if self.is_stuck() => 3,
            // The plan of a reunite knows already whom it will leave; others find only in their work.
            "finished" if self.dry_run => {
                let leaves = self.kind == JobKind::Reunite && !self.is_well();
                u8::from(self.files.failed > 0 || leaves)
            }
            "finished" if self.files.failed == 0 && self.is_well() => 0,
            _ => 1,
        }
    }

    /// A check is well when it found nothing; a restore or protect when it left nothing.
    fn is_well(&self) -> bool {
        match self.kind {
            JobKind::Check | JobKind::Protect => self.findings.total() == 0,
            JobKind::Restore => self.plan.as_ref().is_none_or(|plan| plan.in_no_copy == 0),
            // Orphans that nobody knows are for a person to look at.
            JobKind::Reunite => self.findings.orphan == 0,
            // A drill that verified nothing says nothing.
            JobKind::Drill => self.files.done > 0,
            JobKind::DiskCheck => {
                self.disk_check.as_ref().and_then(|check| check.verdict).is_some_and(DiskVerdict::is_well)
            }
        }
    }
}

#[cfg(test)]
mod tests;
