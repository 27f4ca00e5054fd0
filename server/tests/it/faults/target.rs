//! Faults of the places as wholes: a volume or its copies that are away for a while.

use salvor::restore::{revival, store};
use salvor::volumes::service as volumes;
use salvor_domain::job::JobReport;
use salvor_domain::stuck::SETTLED_AFTER;

use super::{FILES, fill, goes_on, in_vain, lost, stuck, told_once};
use crate::support::jobs::{check, job, protect, restore, start, tree, until, with_worker, without_own};

on_both_engines! {
    async fn a_volume_that_is_away_holds_its_jobs_up(app: &TestApp) {
        let before = lost(app).await;
        let ids = [start(app, job(restore())).await, start(app, job(check(true))).await];
        std::fs::rename(app.path("files"), app.path("away")).unwrap();
        with_worker(&app.core, async {
            for id in ids {
                let report = stuck(app, id).await;
                assert!(report.reason.as_ref().unwrap().contains("does not exist"), "{report:#?}");
                assert_eq!((report.findings.missing, report.files.failed), (0, 0), "{report:#?}");
            }
            in_vain(app, ids[0], 2).await;
            std::fs::rename(app.path("away"), app.path("files")).unwrap();
            assert_eq!(goes_on(app, ids[0]).await.exit_code(), 0);
            goes_on(app, ids[1]).await;
        })
        .await;
        for id in ids {
            told_once(app, id).await;
        }
        assert!(without_own(tree(&app.path("files"))) == before);
    }

    async fn when_all_copies_are_away_a_restore_waits_for_one(app: &TestApp) {
        let before = lost(app).await;
        let id = start(app, job(restore())).await;
        std::fs::rename(app.path("copies"), app.path("away")).unwrap();
        with_worker(&app.core, async {
            let report = stuck(app, id).await;
            let reason = report.reason.clone().unwrap();
            assert!(reason.contains("local") && reason.contains("offsite"), "{report:#?}");
            in_vain(app, id, 2).await;
            std::fs::rename(app.path("away"), app.path("copies")).unwrap();
            let report = goes_on(app, id).await;
            assert_eq!((report.exit_code(), report.files.done), (0, FILES as u64), "{report:#?}");
        })
        .await;
        told_once(app, id).await;
        assert!(without_own(tree(&app.path("files"))) == before);
        let view = volumes::volume(&app.core, "uploads").await.unwrap();
        assert!(view.copies.iter().all(|copy| copy.faults == 0), "a copy that is away has lost nothing");
    }

    async fn when_all_copies_vanish_in_mid_restore_it_waits_for_one(app: &TestApp) {
        let before = lost(app).await;
        let id = start(app, job(restore())).await;
        with_worker(&app.core, async {
            until(app, id, "it has a plan", |report| report.plan.is_some()).await;
            std::fs::rename(app.path("copies"), app.path("away")).unwrap();
            let is_over = |report: &JobReport| report.tries_again_at.is_some() || report.state == "finished";
            let report = until(app, id, "it is stuck, or was quicker", is_over).await;
            std::fs::rename(app.path("away"), app.path("copies")).unwrap();
            assert_eq!(report.files.failed, 0, "nothing is lost: {report:#?}");
            let report = if report.state == "finished" { report } else { goes_on(app, id).await };
            assert_eq!((report.exit_code(), report.files.done), (0, FILES as u64), "{report:#?}");
        })
        .await;
        assert!(without_own(tree(&app.path("files"))) == before);
        let view = volumes::volume(&app.core, "uploads").await.unwrap();
        assert!(view.copies.iter().all(|copy| copy.faults == 0), "a copy that is away has lost nothing");
    }

    async fn a_try_that_has_only_begun_is_not_said_to_go_on(app: &TestApp) {
        lost(app).await;
        let id = start(app, job(restore())).await;
        std::fs::rename(app.path("copies"), app.path("away")).unwrap();
        with_worker(&app.core, stuck(app, id)).await;
        app.advance(chrono::TimeDelta::seconds(61));
        revival::revive(&app.core, Some(id)).await.unwrap();
        let (begun, mut tx) = (app.core.clock.now(), app.core.db.begin().await.unwrap());
        let job = store::lock(&mut tx, id).await.unwrap().unwrap();
        assert!(job.state.is_active() && job.stuck.is_some(), "it is being tried");
        let job = revival::settle(&mut tx, job, false, begun + SETTLED_AFTER / 2).await.unwrap();
        assert!(job.stuck.is_some(), "nothing has come of it yet");
        let job = revival::settle(&mut tx, job, false, begun + SETTLED_AFTER * 2).await.unwrap();
        assert!(job.stuck.is_none());
    }

    async fn a_copy_that_is_away_holds_protect_up(app: &TestApp) {
        fill(app);
        let id = start(app, job(protect())).await;
        std::fs::rename(app.path("copies/offsite"), app.path("away")).unwrap();
        with_worker(&app.core, async {
            let report = stuck(app, id).await;
            assert!(report.reason.as_ref().unwrap().contains("offsite"), "{report:#?}");
            in_vain(app, id, 1).await;
            std::fs::rename(app.path("away"), app.path("copies/offsite")).unwrap();
            let report = goes_on(app, id).await;
            assert_eq!((report.exit_code(), report.files.done), (0, FILES as u64), "{report:#?}");
        })
        .await;
        told_once(app, id).await;
        assert!(without_own(tree(&app.path("copies/offsite"))) == without_own(tree(&app.path("files"))));
    }
}
