use chrono::TimeDelta;
use salvor_domain::finding::FindingCounts;
use salvor_domain::health::Probe;
use salvor_domain::job::{JobKind, JobRequest};
use salvor_domain::volume::GatePointKind::{CopiesVerified, DiskCheck, FullCheck, NoErrors, NothingMissing};
use salvor_domain::volume::{GatePoint, GatePointKind};

use super::*;
use crate::health::port::Mute;
use crate::restore::port::JobView;

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

/// What a case starts from: a volume that is normal and whole, on disks that are well.
struct Case {
    volume: VolumeView,
    health: VolumeHealth,
    jobs: Vec<JobReport>,
}

impl Case {
    fn well() -> Self {
        let mut volume = VolumeView::sample();
        volume.mode = ModeState::Normal { since: NOW, reason: "first seen".into(), by: "salvor".into() };
        volume.findings = FindingCounts::default();
        (volume.gate_points, volume.gate) = (Vec::new(), Vec::new());
        let mut health = VolumeHealth::sample();
        health.level = Level::Ok;
        health.signals[0].level = Level::Ok;
        Self { volume, health, jobs: Vec::new() }
    }

    fn signal(mut self, probe: Probe, level: Level, stops_writes: bool) -> Self {
        self.health.level = level;
        let signal = SignalView { probe, level, stops_writes, ..SignalView::sample() };
        self.health.signals = vec![signal];
        self
    }

    fn muted(mut self) -> Self {
        let mute = Mute { reason: "known".into(), by: "ann".into(), until: NOW + TimeDelta::hours(1) };
        self.health.signals[0].muted = Some(mute);
        self
    }

    fn read_only(mut self, points: &[(GatePointKind, bool)]) -> Self {
        self.volume.mode = VolumeView::sample().mode;
        self.volume.gate_points = points
            .iter()
            .map(|&(kind, met)| GatePoint { kind, what: kind.to_string(), met, detail: kind.to_string() })
            .collect();
        self
    }

    fn offline(mut self, points: &[(GatePointKind, bool)]) -> Self {
        self = self.read_only(points);
        let ModeState::ReadOnly { since, tripped_at, reason, by, evidence } = self.volume.mode else {
            panic!()
        };
        self.volume.mode = ModeState::Failover { since, tripped_at, reason, by, evidence };
        self
    }

    fn lost(mut self, missing: u64) -> Self {
        self.volume.findings.missing = missing;
        self
    }

    fn job(mut self, kind: JobKind, state: &str) -> Self {
        let request = match kind {
            JobKind::Check => JobRequest::Check { full: true, paths: vec![] },
            JobKind::Drill => JobRequest::Drill { from: vec![], sample: None, seed: None },
            JobKind::DiskCheck => JobRequest::DiskCheck {},
            _ => JobView::sample().report.request,
        };
        self.jobs.push(JobReport { kind, request, state: state.into(), ..JobView::sample().report });
        self
    }

    fn with(mut self, change: impl FnOnce(&mut VolumeView)) -> Self {
        change(&mut self.volume);
        self
    }

    fn glance(&self) -> Glance {
        Glance::new(&self.volume, Some(&self.health), &self.jobs, NOW)
    }
}

#[test]
fn what_to_do_next() {
    use Level::{Critical, Unknown, Warning};
    let tripped = || {
        Case::well().signal(Probe::Ext4, Critical, true).read_only(&[(NoErrors, false), (FullCheck, false)])
    };
    let cases = [
        (Case::well(), "nothing to do"),
        (Case::well().job(JobKind::Check, "running"), "nothing to do"),
        (Case::well().signal(Probe::Smart, Warning, false), "look at fs:/srv/uploads on store1 today"),
        (Case::well().signal(Probe::Smart, Warning, false).muted(), "nothing to do"),
        (Case::well().signal(Probe::Smart, Critical, false), "look at fs:/srv/uploads on store1 now"),
        (
            Case::well().signal(Probe::Ext4, Critical, true),
            "make it read-only: what is written now may be lost",
        ),
        (
            Case::well().signal(Probe::Agent, Unknown, false),
            "see why nothing is known of fs:/srv/uploads on store1",
        ),
        (Case::well().lost(3), "plan a restore of 3 files"),
        (
            Case::well().lost(3).job(JobKind::Restore, "planned"),
            "read the plan of \"Restore of uploads\" and approve it",
        ),
        (
            Case::well().lost(3).job(JobKind::Restore, "running"),
            "wait for \"Restore of uploads\", which is under way",
        ),
        (
            Case::well().with(|v| v.reach = Reach::Unreachable("no such folder".into())),
            "see why /srv/uploads cannot be reached: is its disk mounted?",
        ),
        (
            Case::well().with(|v| v.copies.clear()),
            "give it a copy: add a [[volume.copy]] to the configuration",
        ),
        (Case::well().with(|v| v.files = 0), "run protect, or adopt a copy that has the files"),
        (Case::well().with(|v| v.checked_at = None), "start a check"),
        // Tripped, and still mounted.
        (tripped(), "take it offline and check its disk"),
        (tripped().lost(3), "take it offline and check its disk"),
        (tripped().job(JobKind::Check, "running"), "take it offline and check its disk"),
        // Offline.
        (tripped().offline(&[(NoErrors, false)]), "check its disk"),
        (
            tripped().offline(&[(DiskCheck, false)]).job(JobKind::DiskCheck, "running"),
            "wait for \"Disk check of uploads\", which is under way",
        ),
        (tripped().offline(&[(DiskCheck, false)]), "check its disk"),
        (tripped().offline(&[(DiskCheck, true)]), "mount it, and bring it back to read-only"),
        // Back, and the rest of the gate.
        (Case::well().read_only(&[(DiskCheck, false)]), "take it offline and check its disk"),
        (
            Case::well().lost(3).read_only(&[(DiskCheck, true), (FullCheck, false), (NothingMissing, false)]),
            "plan a restore of 3 files",
        ),
        (
            Case::well().lost(3).read_only(&[(NothingMissing, false)]).job(JobKind::Restore, "running"),
            "wait for \"Restore of uploads\", which is under way",
        ),
        (
            Case::well().signal(Probe::Smart, Critical, false).read_only(&[(NoErrors, false)]),
            "look at fs:/srv/uploads on store1 now",
        ),
        (Case::well().read_only(&[(FullCheck, false), (CopiesVerified, false)]), "start a full check"),
        (
            Case::well().read_only(&[(FullCheck, false)]).job(JobKind::Check, "running"),
            "wait for \"Full check of uploads\", which is under way",
        ),
        (Case::well().read_only(&[(FullCheck, true), (CopiesVerified, false)]), "run a drill of its copies"),
        (
            Case::well().read_only(&[(FullCheck, true), (CopiesVerified, true)]),
            "the gate is open: return it to normal",
        ),
    ];
    for (at, (case, words)) in cases.iter().enumerate() {
        assert_eq!(case.glance().next.words, *words, "case {at}");
    }
}

#[test]
fn the_worst_is_said_with_its_time() {
    let case = Case::well().lost(12).read_only(&[(FullCheck, false)]);
    let glance = case.glance();
    let said = "uploads is read-only since 00:00 UTC: ext4 reported 1 error; 12 files are lost or damaged";
    assert_eq!((glance.urgency, glance.what.as_str()), (Level::Critical, said));
    let next_day = Glance::new(&case.volume, None, &[], NOW + TimeDelta::days(1));
    assert!(next_day.what.contains("since 1970-01-01 00:00 UTC"), "{}", next_day.what);
    let danger = Case::well().signal(Probe::Ext4, Level::Critical, true).lost(2).glance();
    assert!(
        danger.what.starts_with("uploads is in danger since 00:00 UTC")
            && danger.what.ends_with("2 files are lost or damaged")
    );
}

#[test]
fn what_is_not_known_is_not_green() {
    let level = |case: &Case| case.glance().urgency;
    assert_eq!(level(&Case::well()), Level::Ok);
    assert_eq!(level(&Case::well().with(|v| v.checked_at = None)), Level::Unknown);
    assert_eq!(level(&Case::well().signal(Probe::Agent, Level::Unknown, false)), Level::Unknown);
    let mut silent = Case::well();
    (silent.health.level, silent.health.signals) = (Level::Unknown, vec![]);
    assert_eq!(level(&silent), Level::Unknown);
    assert_eq!(Glance::new(&silent.volume, None, &[], NOW).urgency, Level::Unknown);
    let unchecked = Case::well().with(|v| v.checked_at = None).glance();
    assert_eq!(unchecked.losses, None);
}

#[test]
fn files_on_their_way_back_are_not_back() {
    let case = Case::well().job(JobKind::Restore, "running");
    assert_eq!(case.glance().what, "18 files are to be brought back to uploads");
}

#[test]
fn the_head_line_speaks_of_the_worst_and_counts_the_others() {
    let mut all = Glances {
        at: NOW,
        volumes: vec![Case::well().glance(), Case::well().lost(1).glance(), Case::well().lost(2).glance()],
        hosts: vec![],
        drafts: vec![],
    };
    let HeadLine { level, what, next, .. } = all.headline();
    assert_eq!(
        (level, what.as_str()),
        (Level::Critical, "1 file is lost or damaged on uploads (1 more volume needs you too)")
    );
    assert_eq!(next.unwrap().words, "plan a restore of 1 file");
    all.volumes.truncate(1);
    assert_eq!(all.headline().what, "uploads is normal, and no loss is known");
    all.hosts = vec![HostGlance { silent: true, ..HostGlance::from(&HostView::sample()) }];
    assert_eq!(all.headline().level, Level::Unknown, "a silent host is never part of a green line");
    all.volumes.clear();
    assert_eq!(all.headline().what, "No volume is configured");
}

#[test]
fn what_presses_is_said_on_every_page_but_its_own() {
    let tripped = Case::well().signal(Probe::Ext4, Level::Critical, true).read_only(&[(FullCheck, false)]);
    let tripped = tripped.job(JobKind::Check, "running").glance();
    let mut all = Glances {
        at: NOW,
        volumes: vec![Case::well().signal(Probe::Smart, Level::Warning, false).glance()],
        hosts: vec![],
        drafts: vec![],
    };
    assert_eq!(all.pressing(None), None, "a warning waits for the overview");
    all.volumes.push(tripped);
    let pressing = all.pressing(None).unwrap();
    assert_eq!(pressing.what, "uploads is read-only since 00:00 UTC: ext4 reported 1 error");
    assert_eq!(pressing.doing.unwrap().words, "Full check of uploads is under way");
    all.volumes[1].doing = None;
    assert_eq!(all.pressing(None).unwrap().doing.unwrap().words, "nothing yet");
    assert_eq!(all.pressing(Some("uploads")), None, "its own page says it");
    all.drafts = vec![Draft { id: "I1".into(), name: "Uploads".into() }];
    let untold = all.pressing(Some("uploads")).unwrap();
    assert_eq!(untold.next.unwrap().href.as_deref(), Some("/console/incidents/I1"));
    all.drafts.push(all.drafts[0].clone());
    assert_eq!(all.headline().draft.unwrap().words, "publish or discard 2 draft incidents");
    // An override takes it away, whatever is still read.
    all.volumes.pop();
    all.drafts.clear();
    assert_eq!(all.pressing(None), None);
}

#[test]
fn what_is_waited_for_is_said_once() {
    let case = Case::well().lost(3).read_only(&[(NothingMissing, false)]).job(JobKind::Restore, "running");
    let all = Glances { at: NOW, volumes: vec![case.glance()], hosts: vec![], drafts: vec![] };
    let line = all.headline();
    assert!(line.doing.is_none() && line.next.unwrap().words.contains("which is under way"));
}

/// Whatever is so: a volume that is not normal, or that misses files, is never called well; and there is always a step.
#[test]
fn never_well_by_mistake() {
    for (mode, lost, level) in
        (0..3).flat_map(|mode| (0..2).flat_map(move |lost| (0..4).map(move |l| (mode, lost, l))))
    {
        for (stops, met) in [(false, false), (false, true), (true, false), (true, true)] {
            let (points, level) = ([(NoErrors, met), (FullCheck, met)], Level::ALL[level]);
            let case = Case::well().signal(Probe::Ext4, level, stops).lost(lost);
            let case = match mode {
                0 => case,
                1 => case.read_only(&points),
                _ => case.offline(&points),
            };
            let glance = case.glance();
            let is_well = mode == 0 && lost == 0 && level == Level::Ok;
            assert_eq!(
                (glance.urgency == Level::Ok, glance.next.href.is_none()),
                (is_well, is_well),
                "{glance:?}"
            );
        }
    }
}
