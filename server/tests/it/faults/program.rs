//! Faults under the real program: a disk that fails, two workers at once, a database that another program holds.

use std::process::Command;

use super::run;
use crate::crash::house::{House, shown};
use crate::support::jobs::{tree, without_own};

/// A restore that waits for a worker, and what has to be there in the end.
fn broken_house() -> (House, String, impl Fn(&House)) {
    let house = House::new(0);
    house.write_files(1);
    assert!(house.run(&["protect", "uploads"]).status.success());
    let before = without_own(tree(&house.at("files")));
    for site in 0..50 {
        std::fs::remove_dir_all(house.at("files").join(format!("site {site}"))).unwrap();
    }
    let started = house.report(&["restore", "uploads", "--detach", "--json"]);
    let id = started["job"].as_str().unwrap().to_owned();
    (house, id, move |house| assert!(without_own(tree(&house.at("files"))) == before))
}

/// Runs a worker on the job whose calls of `call` all fail with EIO, then one on a disk that is well again.
fn on_a_failing_disk(call: &str) {
    if !run(Command::new("strace").args(["-f", "-o", "/dev/null", "-e", "inject=syncfs:error=EIO", "true"])) {
        return eprintln!("skipped: strace is missing, or may not trace here");
    }
    let (house, id, is_right) = broken_house();
    let work = house.salvor(&["job", "work", &id]);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    traced.args(["-e", &format!("inject={call}:error=EIO")]).arg(work.get_program()).args(work.get_args());
    let output = traced.env("SALVOR_LOG", "error").output().unwrap();
    let said = shown(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{said} {}", shown(&output.stderr));
    assert!(said.contains("input/output error"), "{said}");
    assert!(
        said.contains("goes on with it by itself") && said.contains(&format!("salvor job resume {id}")),
        "{said}"
    );
    let report = house.report(&["job", "show", &id, "--json"]);
    assert_eq!((&report["state"], &report["files"]["failed"]), (&"paused".into(), &0.into()), "{report}");
    assert!(report["tries_again_at"].is_string() && report["files"]["done"] == 0, "{report}");
    let output = house.run(&["job", "resume", &id]);
    assert!(output.status.success(), "{}", shown(&output.stdout));
    is_right(&house);
}

#[test]
fn a_disk_that_confirms_nothing_holds_a_restore_up() {
    on_a_failing_disk("syncfs");
}

#[test]
fn a_disk_that_takes_nothing_holds_a_restore_up() {
    on_a_failing_disk("linkat");
}

#[test]
fn two_workers_share_a_job_and_do_nothing_twice() {
    let (house, id, is_right) = broken_house();
    let mut workers: Vec<_> = (0..2).map(|_| house.salvor(&["job", "work", &id]).spawn().unwrap()).collect();
    for worker in &mut workers {
        assert!(worker.wait().unwrap().success());
    }
    let report = house.report(&["job", "show", &id, "--json"]);
    assert_eq!((&report["state"], &report["files"]["failed"]), (&"finished".into(), &0.into()), "{report}");
    assert_eq!(report["sources"]["local"]["files"], report["files"]["done"], "{report}");
    is_right(&house);
}

#[test]
fn a_database_that_another_program_holds_for_long_is_waited_for() {
    let (house, id, is_right) = broken_house();
    // Longer than a statement waits: some of what the worker wants to write fails.
    let held = house.hold_database(std::time::Duration::from_secs(23));
    let output = house.run(&["job", "work", &id, "--json"]);
    held.join().unwrap();
    let report = house.report(&["job", "show", &id, "--json"]);
    let output = match report["state"].as_str() {
        // The worker had given up on it; nothing is lost.
        Some("finished") => output,
        _ => house.run(&["job", "work", &id, "--json"]),
    };
    assert!(output.status.success(), "{} {}", shown(&output.stdout), shown(&output.stderr));
    is_right(&house);
}
