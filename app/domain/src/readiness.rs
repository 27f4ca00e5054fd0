//! Readiness: whether a restore would be good enough today, judged before the day it is needed.
//!
//! RPO is the age of what a copy holds; RTO is how long bringing everything back from it would take, by measured rates.
//! Each is held against an objective and comes out as met, missed or unknown, with the reason in words. An estimate whose
//! range lies across the objective is unknown: it is not called met (promise I10).

use chrono::{DateTime, Utc};

use crate::progress::{Amount, EtaRange};
use crate::span::Span;
use crate::volume::Placement;
use crate::{cost, units, words};

words! {
    Verdict ("verdict") {
        Met = "met",
        /// No objective is configured for it.
        Unset = "unset",
        Unknown = "unknown",
        Missed = "missed",
    }
}

/// What a volume is held to; absent means nothing is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Objectives {
    /// The most that may be lost: the age that the newest good copy may have.
    pub rpo: Option<Span>,
    /// How long bringing everything back may take.
    pub rto: Option<Span>,
    /// How old the last good drill of a copy may be.
    pub drill_every: Option<Span>,
}

/// What is known of how old a copy is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct CopyAge {
    /// Start of the last protect that brought it everything there was, and how many files it could not bring.
    pub protected_at: Option<DateTime<Utc>>,
    pub except: u64,
    /// Of a copy that another tool makes: when it was last listed to be adopted, and when what it listed was taken, where the
    /// copy says so.
    pub adopted_at: Option<DateTime<Utc>>,
    pub taken_at: Option<DateTime<Utc>>,
}

impl CopyAge {
    /// What was on the volume then is in the copy.
    pub fn as_of(&self) -> Option<DateTime<Utc>> {
        self.protected_at.max(self.taken_at)
    }
}

/// A copy as it stands, for [`judge`].
#[derive(Debug, Clone, PartialEq)]
pub struct CopyFacts {
    pub name: String,
    pub placement: Placement,
    /// What it holds of the catalogue.
    pub held: Amount,
    /// What would come from it if every file came from the first copy that holds it.
    pub first: Amount,
    pub age: CopyAge,
    /// Files that it gave wrongly or not at all.
    pub faults: u64,
    /// How long `held` takes, and `first`.
    pub whole: cost::Estimate,
    pub part: cost::Estimate,
    pub last_drill: Option<DrillResult>,
}

/// What a drill found of one copy.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct DrillResult {
    pub job: String,
    pub at: DateTime<Utc>,
    pub verified: u64,
    pub failed: u64,
    /// Chosen, and not reached in the time that a drill takes.
    pub skipped: u64,
    pub bytes: u64,
    pub seconds: f64,
    /// Why the first of those that failed did.
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct VolumeFacts {
    pub volume: String,
    /// The catalogue, tombstones left out.
    pub all: Amount,
    pub in_no_copy: Amount,
    /// In order of preference.
    pub copies: Vec<CopyFacts>,
}

/// One objective with what became of it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Judged {
    pub verdict: Verdict,
    pub objective_seconds: Option<u64>,
    /// What it was held against: an age is both ends alike; absent when it is not known.
    pub range: Option<EtaRange>,
    /// One sentence.
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CopyReadiness {
    pub name: String,
    pub placement: Placement,
    pub held: Amount,
    /// Files of the catalogue that it does not hold.
    pub lacking: u64,
    pub faults: u64,
    #[serde(flatten)]
    pub age: CopyAge,
    pub rpo: Judged,
    pub rto: Judged,
    pub drill: Judged,
    /// What the RTO rests on.
    pub basis: String,
    pub last_drill: Option<DrillResult>,
}

/// A volume's readiness, as `GET /api/v1/readiness` answers it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Readiness {
    pub volume: String,
    /// The worst of what an objective is set for.
    pub verdict: Verdict,
    pub files: u64,
    pub bytes: u64,
    pub in_no_copy: u64,
    pub rpo: Judged,
    pub rto: Judged,
    pub drill: Judged,
    pub copies: Vec<CopyReadiness>,
    /// What a person should look at, worst first; empty when all is well.
    pub warnings: Vec<String>,
}

/// Holds what is known against the objectives.
pub fn judge(objectives: Objectives, facts: &VolumeFacts, now: DateTime<Utc>) -> Readiness {
    let copies: Vec<CopyReadiness> =
        facts.copies.iter().map(|copy| judge_copy(objectives, copy, facts.all, now)).collect();
    let rpo = whole_rpo(objectives.rpo, facts, now);
    let rto = whole_rto(objectives.rto, facts);
    let drill = whole_drill(objectives.drill_every, &copies);
    let verdict = [rpo.verdict, rto.verdict, drill.verdict].into_iter().max().unwrap_or(Verdict::Unknown);
    let mut readiness = Readiness {
        volume: facts.volume.clone(),
        verdict,
        files: facts.all.files,
        bytes: facts.all.bytes,
        in_no_copy: facts.in_no_copy.files,
        rpo,
        rto,
        drill,
        copies,
        warnings: Vec::new(),
    };
    readiness.warnings = warnings(&readiness);
    readiness
}

fn judge_copy(objectives: Objectives, copy: &CopyFacts, all: Amount, now: DateTime<Utc>) -> CopyReadiness {
    let lacking = all.files.saturating_sub(copy.held.files);
    CopyReadiness {
        name: copy.name.clone(),
        placement: copy.placement,
        held: copy.held,
        lacking,
        faults: copy.faults,
        age: copy.age,
        rpo: copy_rpo(objectives.rpo, copy, lacking, now),
        rto: copy_rto(objectives.rto, copy, lacking, all.files),
        drill: copy_drill(objectives.drill_every, copy.last_drill.as_ref(), now),
        basis: copy.whole.basis.clone(),
        last_drill: copy.last_drill.clone(),
    }
}

fn copy_rpo(objective: Option<Span>, copy: &CopyFacts, lacking: u64, now: DateTime<Utc>) -> Judged {
    let Some(at) = copy.age.as_of() else { return of_unknown_age(objective, &copy.age, now) };
    let age = age_seconds(at, now);
    let ago = units::duration(age);
    let mut reason = match copy.age.protected_at == Some(at) {
        true => format!("everything that was there {ago} ago is in it"),
        false => format!("what it holds was taken {ago} ago"),
    };
    if copy.age.except > 0 && copy.age.protected_at == Some(at) {
        reason.push_str(&format!(", but for {} that could not be brought to it", files(copy.age.except)));
    }
    Judged::held(objective, exactly(age), reason).unless_lacking(lacking)
}

/// No protect, and no word of the copy itself, says how old it is.
fn of_unknown_age(objective: Option<Span>, age: &CopyAge, now: DateTime<Utc>) -> Judged {
    match age.adopted_at {
        Some(at) => {
            let ago = units::duration(age_seconds(at, now));
            let reason = format!("it was adopted {ago} ago; how old its files were then is not known");
            Judged::unknown(objective, reason)
        }
        None => Judged::lost(objective, "no protect has ever brought it everything".into()),
    }
}

fn copy_rto(objective: Option<Span>, copy: &CopyFacts, lacking: u64, all: u64) -> Judged {
    if all == 0 {
        return Judged::unknown(objective, EMPTY.into());
    }
    if copy.held.files == 0 && lacking > 0 {
        return Judged::lost(objective, "it is not known to hold any file".into());
    }
    let Some(range) = copy.whole.range else {
        return Judged::unknown(objective, unmeasured(&copy.whole.basis));
    };
    let takes = takes(range);
    let what = match lacking {
        0 => format!("everything comes back from it in {takes}"),
        _ => format!("the {} that it holds come back in {takes}", files(copy.held.files)),
    };
    Judged::held(objective, range, format!("{what}, by {}", copy.whole.basis)).unless_lacking(lacking)
}

fn copy_drill(objective: Option<Span>, last: Option<&DrillResult>, now: DateTime<Utc>) -> Judged {
    let Some(last) = last else {
        return Judged::lost(objective, "it was never drilled".into());
    };
    let age = age_seconds(last.at, now);
    let ago = units::duration(age);
    if last.failed > 0 {
        let why = last.reason.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
        let verdict = if objective.is_some() { Verdict::Missed } else { Verdict::Unset };
        let reason = format!("the drill {ago} ago failed for {}{why}", files(last.failed));
        let objective_seconds = objective.map(Span::seconds);
        return Judged { verdict, objective_seconds, range: Some(exactly(age)), reason };
    }
    let verified = format!("{} verified {ago} ago", files(last.verified));
    match last.verified {
        0 => {
            let why = last.reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            Judged::lost(objective, format!("the drill {ago} ago verified nothing{why}"))
        }
        _ => Judged::held(objective, exactly(age), verified),
    }
}

/// The newest copy that has everything; if none has, the oldest of those that are needed together.
fn whole_rpo(objective: Option<Span>, facts: &VolumeFacts, now: DateTime<Utc>) -> Judged {
    if facts.copies.is_empty() {
        return Judged::lost(objective, "it has no copy: what is lost is lost".into());
    }
    let age = |copy: &CopyFacts| copy.age.as_of().map(|at| age_seconds(at, now));
    let whole = facts.copies.iter().filter(|copy| copy.held.files >= facts.all.files);
    let newest =
        whole.filter_map(|copy| Some((age(copy)?, copy.name.as_str()))).min_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((age, name)) = newest {
        let reason = format!("the newest whole copy, {name}, is {} old", units::duration(age));
        return Judged::held(objective, exactly(age), reason);
    }
    if facts.in_no_copy.files > 0 {
        return Judged::lost(objective, format!("{} in no copy", are(facts.in_no_copy.files)));
    }
    let needed: Option<Vec<f64>> = facts.copies.iter().filter(|copy| copy.first.files > 0).map(age).collect();
    match needed.and_then(|ages| ages.into_iter().reduce(f64::max)) {
        Some(age) => {
            let reason = format!(
                "no copy is whole; together they are, and the oldest is {} old",
                units::duration(age)
            );
            Judged::held(objective, exactly(age), reason)
        }
        // Copies that were adopted are there, however old they are.
        None => match facts.copies.iter().find(|copy| copy.first.files > 0 && copy.age.as_of().is_none()) {
            Some(copy) if copy.age.adopted_at.is_some() => {
                let judged = of_unknown_age(objective, &copy.age, now);
                Judged { reason: format!("{}: {}", copy.name, judged.reason), ..judged }
            }
            _ => Judged::lost(objective, "no protect has ever been completed".into()),
        },
    }
}

/// From all copies at once, each file from the first that holds it.
fn whole_rto(objective: Option<Span>, facts: &VolumeFacts) -> Judged {
    if facts.copies.is_empty() {
        return Judged::lost(objective, "it has no copy to restore from".into());
    }
    if facts.in_no_copy.files > 0 {
        return Judged::lost(
            objective,
            format!("{} in no copy and could not be restored", are(facts.in_no_copy.files)),
        );
    }
    if facts.all.files == 0 {
        return Judged::unknown(objective, EMPTY.into());
    }
    let used: Vec<&CopyFacts> = facts.copies.iter().filter(|copy| copy.first.files > 0).collect();
    if let Some(blind) = used.iter().find(|copy| copy.part.range.is_none()) {
        return Judged::unknown(objective, format!("{}: {}", blind.name, unmeasured(&blind.part.basis)));
    }
    let Some(range) = cost::side_by_side(used.iter().map(|copy| copy.part.range)) else {
        return Judged::unknown(objective, "nothing was measured: run a drill".into());
    };
    let names: Vec<&str> = used.iter().map(|copy| copy.name.as_str()).collect();
    Judged::held(
        objective,
        range,
        format!("everything comes back in {} from {}", takes(range), names.join(" and ")),
    )
}

/// Why it is not known how long a copy takes, and what helps: no drill does where the copy is held up.
fn unmeasured(basis: &str) -> String {
    if basis.starts_with("it is ") { basis.to_owned() } else { format!("{basis}: run a drill") }
}

/// Every copy must have been drilled; the worst one speaks.
fn whole_drill(objective: Option<Span>, copies: &[CopyReadiness]) -> Judged {
    let worst = copies.iter().max_by(|a, b| {
        let oldest =
            |copy: &CopyReadiness| copy.drill.range.map_or(f64::INFINITY, |range| range.high_seconds);
        a.drill.verdict.cmp(&b.drill.verdict).then(oldest(a).total_cmp(&oldest(b)))
    });
    match worst {
        Some(copy) => {
            Judged { reason: format!("{}: {}", copy.name, copy.drill.reason), ..copy.drill.clone() }
        }
        None => Judged::lost(objective, "there is no copy to drill".into()),
    }
}

fn warnings(readiness: &Readiness) -> Vec<String> {
    let mut warnings = Vec::new();
    for (what, judged) in [("RPO", &readiness.rpo), ("RTO", &readiness.rto), ("Drills", &readiness.drill)] {
        let limit = judged.objective_seconds.map(|seconds| units::duration(seconds as f64));
        match (judged.verdict, limit) {
            (Verdict::Missed, Some(limit)) => {
                warnings.push(format!("{what}: the objective of {limit} is missed: {}.", judged.reason));
            }
            (Verdict::Unknown, Some(limit)) => {
                warnings.push(format!(
                    "{what}: whether the objective of {limit} is met is not known: {}.",
                    judged.reason
                ));
            }
            _ => {}
        }
    }
    for copy in &readiness.copies {
        if copy.lacking > 0 && readiness.files > 0 {
            let (lacking, all) = (units::count(copy.lacking), files(readiness.files));
            let are = if copy.lacking == 1 { "is" } else { "are" };
            warnings.push(format!("{}: {lacking} of {all} {are} not in it.", copy.name));
        }
        if copy.faults > 0 {
            let gave = units::counted(copy.faults, "file", "files");
            warnings.push(format!("{}: it gave {gave} wrongly or not at all.", copy.name));
        }
        if copy.age.except > 0 {
            let left = files(copy.age.except);
            warnings.push(format!("{}: the last protect could not bring {left} to it.", copy.name));
        }
        // A drill that failed, or found no file to verify, is told whether or not drills are asked for.
        if copy.drill.verdict == Verdict::Unset
            && copy.last_drill.as_ref().is_some_and(|drill| drill.failed > 0 || drill.verified == 0)
        {
            warnings.push(format!("{}: {}.", copy.name, copy.drill.reason));
        }
    }
    warnings
}

const EMPTY: &str = "the catalogue is empty: run protect, or protect --adopt with a copy that has the files";

impl Judged {
    /// A copy that lacks files meets no objective.
    fn unless_lacking(self, lacking: u64) -> Self {
        match lacking {
            0 => self,
            _ => Self {
                verdict: if self.verdict == Verdict::Met { Verdict::Missed } else { self.verdict },
                reason: format!("{}; {} not in it", self.reason, are(lacking)),
                ..self
            },
        }
    }

    /// A known range against the objective.
    fn held(objective: Option<Span>, range: EtaRange, reason: String) -> Self {
        let verdict = match objective.map(Span::seconds_f64) {
            None => Verdict::Unset,
            Some(limit) if range.high_seconds <= limit => Verdict::Met,
            Some(limit) if range.low_seconds > limit => Verdict::Missed,
            Some(_) => Verdict::Unknown,
        };
        Self { verdict, objective_seconds: objective.map(Span::seconds), range: Some(range), reason }
    }

    /// What misses any objective there is.
    fn lost(objective: Option<Span>, reason: String) -> Self {
        let verdict = if objective.is_some() { Verdict::Missed } else { Verdict::Unset };
        Self { verdict, objective_seconds: objective.map(Span::seconds), range: None, reason }
    }

    fn unknown(objective: Option<Span>, reason: String) -> Self {
        let verdict = if objective.is_some() { Verdict::Unknown } else { Verdict::Unset };
        Self { verdict, objective_seconds: objective.map(Span::seconds), range: None, reason }
    }
}

fn age_seconds(at: DateTime<Utc>, now: DateTime<Utc>) -> f64 {
    (now - at).num_milliseconds().max(0) as f64 / 1e3
}

fn exactly(seconds: f64) -> EtaRange {
    EtaRange { low_seconds: seconds, high_seconds: seconds }
}

fn takes(range: EtaRange) -> String {
    match range.high_seconds {
        0.0..1.0 => "less than a second".into(),
        _ => units::duration_range(range.low_seconds, range.high_seconds),
    }
}

fn files(count: u64) -> String {
    units::counted(count, "file", "files")
}

fn are(count: u64) -> String {
    units::counted(count, "file is", "files are")
}

#[cfg(test)]
mod tests;
