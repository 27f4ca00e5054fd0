//! Disk checks: with a tool that the test makes up, and (as root) with the real ones on loop devices.

mod real;
mod scripted;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use salvor::config::Config;
use salvor::core::Core;
use salvor::events;
use salvor::restore::store::disk_checks;
use salvor::restore::{Worker, service};
use salvor::volumes::{service as volumes, store as volume_store};
use salvor_domain::account::Actor;
use salvor_domain::disk_check::DiskCheckReport;
use salvor_domain::ids::JobId;
use salvor_domain::job::{JobControl, JobReport, JobRequest};
use salvor_domain::volume::Mode;
use tokio_util::sync::CancellationToken;

use crate::support::TestApp;
use crate::support::facts::{PATIENCE, until_async};
use crate::support::jobs::job;

/// The volume `uploads` with a disk that is checked like this.
struct Disk<'a> {
    app: &'a TestApp,
    core: Core,
}

impl<'a> Disk<'a> {
    /// `path` is the volume's, where it is not that of the test's own.
    fn new(app: &'a TestApp, path: Option<&Path>, section: &str) -> Self {
        let file = app.path("salvor.toml");
        let mut text = std::fs::read_to_string(&file).unwrap();
        if let Some(path) = path {
            text = text.replacen("path = \"files\"", &format!("path = \"{}\"", path.display()), 1);
        }
        std::fs::write(&file, format!("{text}\n  [volume.disk_check]\n{section}\n")).unwrap();
        let config = Config::load(Some(&file), std::iter::empty()).unwrap();
        let core = Core { config: Arc::new(config), ..app.core.clone() };
        Self { app, core }
    }

    /// One that runs a script on an image; the script finds the image as `$1`.
    fn scripted(app: &'a TestApp, script: &str) -> Self {
        let (image, tool) = (app.path("image"), app.path("tool"));
        std::fs::write(&image, "").unwrap();
        write_tool(&tool, script);
        let section = format!(
            "tool = \"e2fsck\"\ndevice = \"{}\"\ncommand = [\"{}\", \"{{device}}\"]",
            image.display(),
            tool.display()
        );
        Self::new(app, None, &section)
    }

    async fn set_mode(&self, mode: Mode) {
        let actor = Actor::salvor();
        volumes::set_mode(&self.core, &actor, "uploads", mode, "the test says so", false).await.unwrap();
    }

    async fn out_of_service(&self) {
        self.set_mode(Mode::ReadOnly).await;
        self.set_mode(Mode::Failover).await;
    }

    async fn start(&self) -> JobId {
        let asked = job(JobRequest::DiskCheck {});
        let started = service::start(&self.core, &Actor::salvor(), asked, None).await.unwrap();
        started.job.parse().unwrap()
    }

    async fn ended(&self, id: JobId) -> JobReport {
        Worker::run_until_ended(self.core.clone(), id, CancellationToken::new()).await.unwrap();
        self.report(id).await
    }

    async fn run(&self) -> JobReport {
        let id = self.start().await;
        self.ended(id).await
    }

    async fn report(&self, id: JobId) -> JobReport {
        service::job(&self.core, id).await.unwrap()
    }

    async fn until(&self, id: JobId, fact: &str, is_so: impl Fn(&DiskCheckReport) -> bool) -> JobReport {
        until_async(PATIENCE, fact, async || {
            let report = self.report(id).await;
            if report.disk_check.as_ref().is_some_and(&is_so) { Ok(report) } else { Err(report) }
        })
        .await
    }

    async fn control(&self, id: JobId, control: JobControl) -> Result<JobReport, salvor::error::Error> {
        service::control(&self.core, &Actor::salvor(), id, control).await
    }

    async fn log(&self, about: &str) -> Vec<String> {
        let mut tx = self.core.db.read().await.unwrap();
        let log = events::about(&mut tx, about, 100).await.unwrap();
        log.into_iter().map(|event| event.summary).collect()
    }

    async fn output(&self, id: JobId) -> String {
        service::output(&self.core, id).await.unwrap()
    }

    /// What the gate asks.
    async fn last(&self) -> Option<(DateTime<Utc>, Option<bool>)> {
        let mut tx = self.core.db.read().await.unwrap();
        let volume = volume_store::volume(&mut tx, "uploads").await.unwrap().unwrap();
        disk_checks::last_disk_check(&mut tx, volume.id).await.unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.app.path(name)
    }
}

/// A script that works in its own folder.
fn write_tool(file: &Path, script: &str) {
    std::fs::write(file, format!("#!/bin/bash\ncd \"$(dirname \"$0\")\"\n{script}\n")).unwrap();
    std::fs::set_permissions(file, PermissionsExt::from_mode(0o755)).unwrap();
}

#[track_caller]
fn check(report: &JobReport) -> &DiskCheckReport {
    report.disk_check.as_ref().unwrap_or_else(|| panic!("no disk check in {report:#?}"))
}

/// Runs a program that has to succeed.
#[track_caller]
fn order(program: &str, args: &[&str]) -> String {
    let done = attempt(program, args).unwrap_or_else(|| panic!("{program} is not there"));
    assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn attempt(program: &str, args: &[&str]) -> Option<Output> {
    Command::new(program).args(args).stdin(Stdio::null()).output().ok()
}
