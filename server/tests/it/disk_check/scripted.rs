//! A tool of the test's own: its progress, its exit codes, its end, and what becomes of it when Salvor dies.

use http::Method;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use salvor_domain::account::Role;
use salvor_domain::disk_check::DiskVerdict;
use serde_json::{Value, json};

use super::*;
use crate::support::jobs::{check as file_check, fill, with_worker};

/// It writes its number and waits to be ended, at the latest with the folder of the test; `go-on` lets it end well.
const WAITS: &str = "if [ -e go-on ]; then exit 0; fi\n\
    echo $$ > pid.new; mv pid.new pid\nwhile [ -e tool ]; do sleep 0.05; done";

async fn pid_in(file: &Path) -> Pid {
    let read = async || std::fs::read_to_string(file).map_err(|error| error.kind());
    let text = until_async(PATIENCE, "the tool wrote its number", read).await;
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

fn is_gone(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).unwrap_or_default();
    test_kill_process(pid).is_err() || stat.contains(") Z ")
}

on_both_engines! {
    /// It steps back, repairs something, and is run again: what comes of that is in the report, the log and the output.
    async fn a_repair_is_confirmed_by_a_further_run(app: &TestApp) {
        let disk = Disk::scripted(
            app,
            "echo 'Pass 1: Checking inodes, blocks, and sizes'\n\
             echo '1 1 2 disk' >&3; echo '5 4 4 disk' >&3; echo '5 3 4 disk' >&3\n\
             if [ -e repaired ]; then echo 'disk: 9/99 files (0.0% non-contiguous), 8/99 blocks'; exit 0; fi\n\
             touch repaired\n\
             echo \"Entry 'a.jpg' in /rose (12) has deleted/unused inode 13.  Clear? yes\"\n\
             echo 'Unattached inode 14' >&2\necho 'Connect to /lost+found? yes'\nexit 1",
        );
        disk.out_of_service().await;
        let report = disk.run().await;
        assert_eq!((report.state.as_str(), report.exit_code()), ("finished", 0), "{report:#?}");
        let told = check(&report);
        assert_eq!((told.round, told.exit_code, told.verdict), (2, Some(0), Some(DiskVerdict::Repaired)));
        assert_eq!((told.pass, told.percent), (Some(5), Some(100.0)));
        assert_eq!((told.cleared_entries, told.reconnected_inodes, told.output_lines), (1, 1, 8));
        let summary = told.summary.clone().unwrap();
        assert!(summary.contains("repaired") && summary.contains("run reunite"), "{summary}");
        let id: JobId = report.job.parse().unwrap();
        let output = disk.output(id).await;
        assert_eq!(output.matches("$ ").count(), 2, "{output}");
        assert!(output.contains("Unattached inode 14\nConnect to /lost+found? yes\n"), "in their order: {output}");
        let log = disk.log(&report.job).await.join("\n");
        assert!(log.contains("run again") && log.contains(&summary), "{log}");
        let volume = disk.log("uploads").await.join("\n");
        assert!(volume.contains(&format!("Disk check of uploads: {summary}.")), "{volume}");
        assert_eq!(disk.last().await.unwrap().1, Some(true));
        // As scripts read it.
        let token = app.token(Role::Viewer).await;
        let shown = app.get_as(&token, &format!("/api/v1/jobs/{id}")).await.json();
        assert_eq!(shown["kind"], "disk_check");
        assert_eq!((&shown["disk_check"]["verdict"], &shown["disk_check"]["exit_code"]), (&json!("repaired"), &json!(0)));
        let text = app.get_as(&token, &format!("/api/v1/jobs/{id}/output")).await;
        assert_eq!((text.header("content-type"), text.text()), ("text/plain; charset=utf-8", output));
        let page = app.page(&app.session(Role::Viewer).await, &format!("/console/jobs/{id}")).await.text();
        assert!(page.contains("Disk check of uploads") && page.contains("class=\"output\""), "{page}");
    }

    /// The exit code of the command line says how it ended, and the words say why.
    async fn every_end_is_told(app: &TestApp) {
        let disk = Disk::scripted(app, "echo told\n. ./how");
        disk.out_of_service().await;
        for (how, exit, state, words) in [
            ("exit 0", 0, "finished", "found nothing wrong"),
            ("exit 4", 1, "finished", "could not correct"),
            ("exit 32", 1, "finished", "not checked now"),
            ("exit 1", 1, "finished", "in each of 5 runs"),
            ("exit 8", 3, "failed", "could not work on the device"),
            ("exit 16", 3, "failed", "does not understand"),
            ("kill -9 $$", 3, "failed", "signal 9"),
        ] {
            std::fs::write(disk.path("how"), how).unwrap();
            let output = app.program(&["disk-check", "uploads", "--json"]).output().await.unwrap();
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!((output.status.code(), &report["state"]), (Some(exit), &json!(state)), "{how}: {report}");
            let summary = report["disk_check"]["summary"].as_str().unwrap();
            assert!(summary.contains(words), "{how}: {summary}");
            assert_eq!(disk.last().await.unwrap().1, Some(exit == 0), "{how}");
        }
        std::fs::write(disk.path("how"), "exit 4").unwrap();
        let output = app.program(&["disk-check", "uploads"]).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("could not correct") && said.contains("| told"), "{said}");
    }

    async fn output_is_bounded(app: &TestApp) {
        let disk = Disk::scripted(app, "seq 1 12000 | sed 's/^/line /'\nyes wide | head -c 90000 | tr -d '\\n'");
        disk.out_of_service().await;
        let report = disk.run().await;
        // The command itself is a line, too.
        assert_eq!((check(&report).output_lines, check(&report).output_left_out), (12_002, 2_002));
        let output = disk.output(report.job.parse().unwrap()).await;
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines.len(), 10_001);
        assert_eq!((lines[1], lines[4_999], lines[5_000]), ("line 1", "line 4999", "… 2,002 lines are not kept …"));
        assert_eq!((lines[5_001], lines[9_999]), ("line 7002", "line 12000"));
        assert!(lines[10_000].len() <= 1_000 && lines[10_000].starts_with("widewide"), "{}", lines[10_000].len());
    }

    /// Live figures while it runs; it cannot be paused, and ends when it is cancelled.
    async fn a_repair_is_watched_and_cancelled(app: &TestApp) {
        let disk = Disk::scripted(
            app,
            "trap 'echo stopped; exit 32' TERM\nhead -c 5000000 /dev/zero > /dev/null\n\
             echo 'Pass 2: Checking directory structure'\necho '2 3 4 disk' >&3; echo '2 1 4 disk' >&3\n\
             echo $$ > pid.new; mv pid.new pid\nwhile [ -e tool ]; do sleep 0.05; done",
        );
        disk.out_of_service().await;
        let id = disk.start().await;
        with_worker(&disk.core, async {
            let report = disk.until(id, "it has told what it does", |told| told.tail.len() == 2 && told.pass.is_some()).await;
            let told = check(&report);
            assert_eq!((told.pass, told.percent, told.verdict), (Some(2), Some(85.0), None), "{told:#?}");
            assert_eq!(report.state, "running");
            assert!(told.activity.as_ref().unwrap().starts_with("working"), "{told:#?}");
            assert_eq!(disk.last().await.unwrap().1, None);
            let refused = disk.control(id, JobControl::Pause).await.unwrap_err().to_string();
            assert!(refused.contains("e2fsck cannot be paused"), "{refused}");
            // Nobody else begins beside it.
            let again = service::start(&disk.core, &Actor::salvor(), job(JobRequest::DiskCheck {}), None).await;
            assert!(again.unwrap_err().to_string().contains("is running"));
            let cancelled = disk.control(id, JobControl::Cancel).await.unwrap();
            assert_eq!(cancelled.state, "cancelled");
            let pid = pid_in(&disk.path("pid")).await;
            until_async(PATIENCE, "the tool has ended", async || is_gone(pid)).await;
            disk.until(id, "its last words are kept", |told| told.tail.iter().any(|line| line == "stopped")).await;
        })
        .await;
        let report = disk.report(id).await;
        assert_eq!((check(&report).verdict, check(&report).exit_code), (Some(DiskVerdict::Unfinished), Some(32)));
        assert!(check(&report).summary.as_ref().unwrap().contains("not checked now"));
        assert_eq!((report.exit_code(), disk.last().await.unwrap().1), (1, Some(false)));
    }

    /// Salvor is killed, the tool lives on: a second one does not begin beside it, and begins from the start after it.
    async fn after_a_kill_it_begins_anew_when_the_old_one_has_ended(app: &TestApp) {
        let disk = Disk::scripted(app, WAITS);
        disk.out_of_service().await;
        let mut salvor = app.program(&["disk-check", "uploads"]).spawn().unwrap();
        let pid = pid_in(&disk.path("pid")).await;
        let mut tx = disk.core.db.read().await.unwrap();
        let volume = volume_store::volume(&mut tx, "uploads").await.unwrap().unwrap();
        drop(tx);
        let id = until_async(PATIENCE, "the job knows its process", async || {
            let jobs = service::jobs(&disk.core, Some(&volume.name), true, 1).await.unwrap();
            let found = jobs.iter().find(|job| job.disk_check.as_ref().is_some_and(|told| told.activity.is_some()));
            found.map(|job| job.job.parse::<JobId>().unwrap()).ok_or(jobs)
        })
        .await;
        let began = disk.last().await.unwrap().0;
        salvor.kill().await.unwrap();
        assert!(!is_gone(pid), "it outlives Salvor");
        // What ten seconds of waiting would do.
        app.advance(chrono::TimeDelta::seconds(11));
        let stuck = disk.ended(id).await;
        assert!(stuck.is_stuck(), "{stuck:#?}");
        let why = stuck.reason.unwrap();
        assert!(why.contains(&format!("process {}", pid.as_raw_pid())) && why.contains("starts anew"), "{why}");
        std::fs::write(disk.path("go-on"), "").unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        until_async(PATIENCE, "it has ended", async || is_gone(pid)).await;
        disk.control(id, JobControl::Resume).await.unwrap();
        let report = disk.ended(id).await;
        assert_eq!((report.exit_code(), check(&report).round), (0, 1), "{report:#?}");
        assert!(disk.log(&report.job).await.join("\n").contains("starts again from the beginning"));
        let (again, well) = disk.last().await.unwrap();
        assert!(again > began && well == Some(true), "the gate counts from the run that came to its end");
    }

    /// What goes on by itself must not: its disk may be mounted a minute later.
    async fn a_salvor_that_ends_takes_its_tool_with_it(app: &TestApp) {
        let disk = Disk::scripted(app, WAITS);
        disk.out_of_service().await;
        let id = disk.start().await;
        let pid = with_worker(&disk.core, async { pid_in(&disk.path("pid")).await }).await;
        assert!(is_gone(pid));
        let report = disk.report(id).await;
        assert_eq!((report.state.as_str(), check(&report).activity.as_ref()), ("running", None));
        std::fs::write(disk.path("go-on"), "").unwrap();
        assert_eq!(disk.ended(id).await.exit_code(), 0);
    }

    /// In service, by a tool that goes on where it was.
    async fn a_scrub_is_paused_and_resumed(app: &TestApp) {
        let disk = Disk::new(app, None, "tool = \"zpool_scrub\"\ndevice = \"tank\"");
        std::fs::create_dir(disk.path("bin")).unwrap();
        write_tool(
            &disk.path("bin/zpool"),
            "case \"$*\" in\n\
             'scrub -w tank') echo $$ > pid.new; mv pid.new pid; if [ -e paused ]; then rm paused; exit 0; fi\n\
             while [ ! -e paused -a -e zpool ]; do sleep 0.05; done;;\n\
             'scrub -p tank') touch paused;;\n\
             'status tank') echo '  scan: scrub repaired 4K in 00:00:09 with 0 errors on Sun';;\n\
             *) exit 2;; esac",
        );
        let path = format!("{}:/usr/bin:/bin", disk.path("bin").display());
        let id = disk.start().await;
        let id_text = id.to_string();
        let mut salvor = app.program(&["job", "work", &id_text]).env("PATH", &path).spawn().unwrap();
        let pid = pid_in(&disk.path("bin/pid")).await;
        disk.until(id, "its process is known", |told| told.activity.is_some()).await;
        let paused = disk.control(id, JobControl::Pause).await.unwrap();
        assert!(paused.state == "paused" && check(&paused).can_pause);
        salvor.wait().await.unwrap();
        assert!(is_gone(pid) && disk.path("bin/paused").exists(), "it was told to pause, not killed");
        assert!(disk.log(&id_text).await.join("\n").contains("goes on where it was"));
        disk.control(id, JobControl::Resume).await.unwrap();
        let done = app.program(&["job", "work", &id_text, "--json"]).env("PATH", &path).output().await.unwrap();
        let report: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!((done.status.code(), &report["disk_check"]["verdict"]), (Some(0), &json!("repaired")), "{report}");
        assert_eq!(report["disk_check"]["round"], 1);
    }

    async fn what_stands_against_it_is_named(app: &TestApp) {
        let token = app.token(Role::Operator).await;
        let asked = json!({ "kind": "disk_check", "volume": "uploads" });
        let refused = app.post_as(&token, "/api/v1/jobs", asked).await.problem(422);
        assert!(refused["detail"].as_str().unwrap().contains("[volume.disk_check]"), "{refused}");
        let disk = Disk::scripted(app, "exit 0");
        let start = async || {
            let started = service::start(&disk.core, &Actor::salvor(), job(JobRequest::DiskCheck {}), None).await;
            started.unwrap_err().to_string()
        };
        let why = start().await;
        assert!(why.contains("in service") && why.contains("salvor mode uploads failover"), "{why}");
        let plan = app.program(&["disk-check", "uploads", "--dry-run"]).output().await.unwrap();
        let said = String::from_utf8_lossy(&plan.stdout).into_owned();
        assert!(plan.status.success() && said.contains("would run: ") && said.contains("nothing was run"), "{said}");
        assert_eq!(disk.last().await, None, "a plan is no check");
        disk.set_mode(Mode::ReadOnly).await;
        fill(app);
        let other = service::start(&disk.core, &Actor::salvor(), job(file_check(true)), None).await.unwrap();
        let why = start().await;
        assert!(why.contains("The check") && why.contains(&other.job), "{why}");
        disk.control(other.job.parse().unwrap(), JobControl::Cancel).await.unwrap();
        std::fs::remove_file(disk.path("image")).unwrap();
        let failed = disk.run().await;
        assert_eq!((failed.state.as_str(), failed.exit_code()), ("failed", 3));
        assert!(failed.reason.unwrap().contains("does not exist"));
        assert_eq!(disk.last().await, None, "it never began");
        // Files are none of its business.
        let text = app.call(&token, Method::GET, &format!("/api/v1/jobs/{}/output", other.job), None).await;
        assert!(text.problem(404)["detail"].as_str().unwrap().contains("has no output"));
    }
}

/// It does not listen to SIGTERM.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_end_is_killed() {
    crate::support::run(crate::support::Engine::Sqlite, async |app| {
        let disk = Disk::scripted(app, &format!("trap '' TERM\n{WAITS}"));
        disk.out_of_service().await;
        let id = disk.start().await;
        with_worker(&disk.core, async {
            let pid = pid_in(&disk.path("pid")).await;
            disk.control(id, JobControl::Cancel).await.unwrap();
            until_async(PATIENCE, "it has been killed", async || is_gone(pid)).await;
        })
        .await;
    })
    .await;
}
