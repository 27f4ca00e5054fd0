//! What the pages and the API say of jobs, and what can be asked of them.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use salvor_domain::account::Actor;
use salvor_domain::cost::Measurement;
use salvor_domain::event::Event;
use salvor_domain::ids::JobId;
use salvor_domain::job::{JobControl, JobKind, JobReport, JobRequest};
use salvor_domain::limits::{JobLimits, LimitsChange};
use salvor_domain::path::Glob;
use salvor_domain::progress::Sample;
use salvor_domain::readiness::Readiness;

use crate::problem::Problem;

/// A job to start: `POST /api/v1/jobs` reads this.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NewJob {
    pub volume: String,
    #[serde(flatten)]
    pub request: JobRequest,
    /// Plan only: nothing is moved.
    #[serde(default)]
    pub dry_run: bool,
    /// Wait after the plan until somebody approves it.
    #[serde(default)]
    pub hold: bool,
    /// What it keeps within.
    #[serde(default)]
    pub limits: JobLimits,
    /// The volume's disk is a new, empty one: without this word, an empty folder is taken for a disk that is not mounted. Only
    /// for a restore of the volume itself.
    #[serde(default)]
    pub replaced: bool,
    /// Copies of which the same is true, by name. Only for a protect.
    #[serde(default)]
    pub replaced_copies: Vec<String>,
}

impl NewJob {
    /// What is asked for, and nothing else said.
    pub fn new(volume: impl Into<String>, request: JobRequest) -> Self {
        Self {
            volume: volume.into(),
            request,
            dry_run: false,
            hold: false,
            limits: JobLimits::default(),
            replaced: false,
            replaced_copies: Vec::new(),
        }
    }
}

/// A job as its page shows it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct JobView {
    pub report: JobReport,
    /// Newest first.
    pub log: Vec<Event>,
    /// Progress over time, at most a few hundred points.
    pub samples: Vec<Sample>,
}

/// A volume's readiness, and what its figures rest on: `GET /api/v1/readiness` answers these.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ReadinessView {
    #[serde(flatten)]
    pub readiness: Readiness,
    /// In the copies' order.
    pub rates: Vec<CopyRates>,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CopyRates {
    pub name: String,
    /// The newest first.
    pub measured: Vec<Measurement>,
}

#[async_trait]
pub trait JobsPort: Send + Sync {
    /// Newest first; `volume` and `active` narrow it down.
    async fn jobs(&self, volume: Option<&str>, active: bool, limit: u32) -> Result<Vec<JobReport>, Problem>;
    async fn job(&self, id: JobId) -> Result<JobView, Problem>;
    async fn start(&self, actor: &Actor, job: NewJob) -> Result<JobReport, Problem>;
    /// Of one volume, or of all.
    async fn readiness(&self, volume: Option<&str>) -> Result<Vec<ReadinessView>, Problem>;
    async fn control(&self, actor: &Actor, id: JobId, control: JobControl) -> Result<JobReport, Problem>;
    /// Brings files sooner that wait in a restore; gives how many.
    async fn raise(&self, actor: &Actor, id: JobId, paths: &[Glob]) -> Result<u64, Problem>;
    /// What the job keeps within from now on.
    async fn set_limits(
        &self,
        actor: &Actor,
        id: JobId,
        change: LimitsChange,
        gentle: bool,
    ) -> Result<JobReport, Problem>;
}

impl JobView {
    pub fn sample() -> Self {
        let at = DateTime::<Utc>::UNIX_EPOCH;
        let amount = |files| salvor_domain::progress::Amount { files, bytes: files * 30_000 };
        Self {
            report: JobReport {
                job: "00000000-0000-7000-8000-000000000001".into(),
                kind: JobKind::Restore,
                volume: "uploads".into(),
                state: "running".into(),
                started_at: Some(at),
                finished_at: None,
                seconds: 42.0,
                files: salvor_domain::job::FileCounts { total: 60, done: 40, failed: 1, skipped: 2 },
                bytes: salvor_domain::job::ByteCounts { total: 1_800_000, done: 1_200_000 },
                findings: Default::default(),
                sources: [("local".to_owned(), amount(30)), ("offsite".to_owned(), amount(10))].into(),
                failures: vec![salvor_domain::job::Failure {
                    path: "rose/a.jpg".into(),
                    reason: "the copy \"local\" holds other bytes".into(),
                }],
                created_at: at,
                created_by: "ann@example.com".into(),
                request: JobRequest::Restore { from: vec![], paths: vec![], files: vec![], to_folder: None },
                reason: None,
                tries_again_at: None,
                plan: Some(salvor_domain::job::Plan {
                    total: amount(60),
                    reunite: amount(0),
                    sources: vec![salvor_domain::job::PlannedSource {
                        name: "local".into(),
                        amount: amount(45),
                        estimate: Some(salvor_domain::progress::EtaRange {
                            low_seconds: 20.0,
                            high_seconds: 50.0,
                        }),
                        basis: "3 jobs and a drill in the last 30 days".into(),
                    }],
                    in_place: 258,
                    newer: 1,
                    tombstoned: 0,
                    in_no_copy: 1,
                    in_no_copy_bytes: 48_211,
                    in_no_copy_paths: vec!["rose/lost.jpg".into()],
                    estimate: Some(salvor_domain::progress::EtaRange {
                        low_seconds: 20.0,
                        high_seconds: 50.0,
                    }),
                }),
                dry_run: false,
                eta: Some(salvor_domain::progress::EtaRange { low_seconds: 12.0, high_seconds: 25.0 }),
                held: None,
                files_per_second: Some(1.0),
                bytes_per_second: Some(30_000.0),
                ticket: None,
                limits: JobLimits::default(),
                volume_mode: Some(salvor_domain::volume::Mode::Normal),
                disk_check: None,
            },
            log: vec![],
            samples: vec![
                Sample { active_seconds: 0.0, files: 0, bytes: 0 },
                Sample { active_seconds: 42.0, files: 40, bytes: 1_200_000 },
            ],
        }
    }
}

impl ReadinessView {
    /// A drilled onsite copy, and an offsite one of which nothing is known.
    pub fn sample() -> Self {
        use chrono::TimeDelta;
        use salvor_domain::cost::{Basis, Estimate};
        use salvor_domain::progress::{Amount, EtaRange};
        use salvor_domain::readiness::{CopyAge, CopyFacts, DrillResult, Objectives, VolumeFacts, judge};
        use salvor_domain::volume::Placement;

        let now = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(100);
        let amount = |files| Amount { files, bytes: files * 30_000 };
        let estimate = |range: Option<(f64, f64)>, basis: &str| Estimate {
            range: range.map(|(low_seconds, high_seconds)| EtaRange { low_seconds, high_seconds }),
            basis: basis.into(),
        };
        let local = CopyFacts {
            name: "local".into(),
            placement: Placement::Onsite,
            held: amount(300),
            first: amount(300),
            age: CopyAge { protected_at: Some(now - TimeDelta::hours(30)), ..CopyAge::default() },
            faults: 1,
            whole: estimate(Some((3_600.0, 7_200.0)), "a drill in the last 30 days"),
            part: estimate(Some((3_600.0, 7_200.0)), "a drill in the last 30 days"),
            last_drill: Some(DrillResult {
                job: "00000000-0000-7000-8000-000000000002".into(),
                at: now - TimeDelta::days(2),
                verified: 199,
                failed: 1,
                skipped: 0,
                bytes: 5_970_000,
                seconds: 2.0,
                reason: Some("rose/a.jpg: its bytes there do not have the catalogue's checksum".into()),
            }),
        };
        let offsite = CopyFacts {
            name: "offsite".into(),
            placement: Placement::Offsite,
            held: amount(320),
            first: amount(20),
            age: CopyAge { protected_at: Some(now - TimeDelta::hours(3)), ..CopyAge::default() },
            faults: 0,
            whole: estimate(None, "not measured yet"),
            part: estimate(None, "not measured yet"),
            last_drill: None,
        };
        let span = |text: &str| text.parse().ok();
        let objectives = Objectives { rpo: span("24h"), rto: span("4h"), drill_every: span("7d") };
        let facts = VolumeFacts {
            volume: "uploads".into(),
            all: amount(320),
            in_no_copy: amount(0),
            copies: vec![local, offsite],
        };
        let measured = |days, bytes| Measurement {
            at: now - TimeDelta::days(days),
            basis: if days == 2 { Basis::Drill } else { Basis::Job },
            files: 200,
            bytes,
            seconds: 2.0,
        };
        Self {
            readiness: judge(objectives, &facts, now),
            rates: vec![
                CopyRates {
                    name: "local".into(),
                    measured: vec![measured(2, 5_970_000), measured(9, 7_000_000), measured(20, 4_000_000)],
                },
                CopyRates { name: "offsite".into(), measured: vec![] },
            ],
        }
    }
}
