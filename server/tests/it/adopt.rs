//! Copies that other tools made: adopted, and the volume restored from them after it was lost as a whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use salvor::config::Config;
use salvor::copies::Copies;
use salvor::core::Core;
use salvor::error::Error;
use salvor::restore::{Worker, service};
use salvor::volumes::service as volumes;
use salvor_app::restore::port::NewJob;
use salvor_app::volumes::port::FindingsFilter;
use salvor_domain::account::Actor;
use salvor_domain::ids::JobId;
use salvor_domain::job::{JobReport, JobRequest};
use salvor_domain::path::FilePath;
use salvor_domain::volume::Mode;
use tokio_util::sync::CancellationToken;

use crate::support::TestApp;
use crate::support::jobs::{job, protect, restore, rot, run_new_on, run_on as run, tree};

#[path = "../../copies/testing/sshd.rs"]
#[expect(dead_code, reason = "the crate of the copies uses the rest of it")]
mod sshd;

use sshd::{Server, skipped, user};

pub fn adopt(copy: &str) -> JobRequest {
    JobRequest::Protect { to: vec![], adopt: Some(copy.to_owned()) }
}

/// The empty folder is a new disk, and not one that is not mounted: somebody says so.
pub async fn restored_to_a_new_disk(core: &Core) -> JobReport {
    run_new_on(core, NewJob { replaced: true, ..job(restore()) }).await
}

async fn open_findings(core: &Core) -> BTreeMap<String, String> {
    let page = volumes::findings(core, "uploads", &FindingsFilter::default()).await.unwrap();
    page.findings.into_iter().map(|finding| (finding.path, finding.kind.to_string())).collect()
}

/// `cp -a`: what a backup tool leaves.
pub fn copied(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

pub fn fill(app: &TestApp) {
    for number in 0..30 {
        let bytes: Vec<u8> = (0..2_000 + number * 7).map(|at| (at * number % 251) as u8).collect();
        app.write(format!("files/anna/{}/p{number}.jpg", number % 3), &bytes);
    }
    app.write("files/empty.txt", b"");
    app.write("files/large.bin", &noise(700_000));
    std::fs::set_permissions(
        app.path("files/empty.txt"),
        std::os::unix::fs::PermissionsExt::from_mode(0o640),
    )
    .unwrap();
}

/// The day this is for: every file of the volume is lost, and so is the copy beside it.
pub fn lose(app: &TestApp) {
    for name in ["files", "copies/local"] {
        std::fs::remove_dir_all(app.path(name)).unwrap();
        std::fs::create_dir(app.path(name)).unwrap();
    }
}

pub fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// The same Salvor with other copies in its configuration.
pub async fn with_copies(app: &TestApp, copies: &str, variables: &[(&str, &str)]) -> Core {
    let file = app.path("more.toml");
    let volume = "[server]\ndata_dir = \"data\"\n[[volume]]\nname = \"uploads\"\npath = \"files\"\n";
    std::fs::write(&file, format!("{volume}{copies}")).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let config = Arc::new(Config::load(Some(&file), variables).unwrap());
    let core = Core { config, copies: Copies::default(), ..app.core.clone() };
    volumes::register(&core).await.unwrap();
    core
}

fn sftp(server: &Server) -> String {
    format!(
        "[[volume.copy]]\nname = \"far\"\nkind = \"sftp\"\nplacement = \"offsite\"\nhost = \"127.0.0.1\"\nport = {}\nuser = \"{}\"\n\
         root = \"{}\"\nkey_file = \"{}\"\nhost_key = \"{}\"\n",
        server.port,
        user(),
        server.at("files").display(),
        server.at("id_ed25519").display(),
        server.fingerprint("host_ed25519.pub")
    )
}

fn restic(repository: &Path, root: &Path) -> String {
    format!(
        "[[volume.copy]]\nname = \"vault\"\nkind = \"restic\"\nplacement = \"offsite\"\nrepository = \"{}\"\nroot = \"{}\"\n\
         password_env = \"VAULT\"\n",
        repository.display(),
        root.display()
    )
}

/// Backs the volume up; `false` where restic is not installed.
fn backed_up(app: &TestApp) -> bool {
    let restic = |args: &[&std::ffi::OsStr]| {
        let mut command = Command::new("restic");
        command
            .args(["--no-cache", "-q", "-r"])
            .arg(app.path("repo"))
            .args(args)
            .env("RESTIC_PASSWORD", "hush");
        command.status()
    };
    if restic(&["init".as_ref()]).is_err() {
        skipped("it reads what restic wrote, which is not installed here");
        return false;
    }
    assert!(restic(&["backup".as_ref(), app.path("files").as_ref()]).unwrap().success());
    true
}

/// Without the whole seconds' fractions, which SFTP does not keep.
fn seconds(tree: BTreeMap<PathBuf, (Vec<u8>, i64, i64, u32)>) -> BTreeMap<PathBuf, (Vec<u8>, i64, u32)> {
    tree.into_iter().map(|(path, (bytes, mtime, _, mode))| (path, (bytes, mtime, mode))).collect()
}

on_both_engines! {
    async fn a_volume_is_restored_from_a_folder_that_another_tool_filled(app: &TestApp) {
        fill(app);
        copied(&app.path("files"), &app.path("copies/local"));
        let before = tree(&app.path("files"));
        std::fs::remove_dir_all(app.path("files")).unwrap();
        std::fs::create_dir(app.path("files")).unwrap();
        let dry = NewJob { dry_run: true, ..job(adopt("local")) };
        let planned = service::start(&app.core, &Actor::salvor(), dry, None).await.unwrap().job.parse().unwrap();
        Worker::run_until_ended(app.core.clone(), planned, CancellationToken::new()).await.unwrap();
        assert_eq!(service::job(&app.core, planned).await.unwrap().files.total, 32);

        let report = run(&app.core, adopt("local")).await;
        assert_eq!((report.exit_code(), report.files.done, report.files.failed), (1, 32, 0), "{report:#?}");
        assert!(!app.path("files/.salvor").exists(), "who adopts writes to no disk");
        assert_eq!((report.findings.missing, report.sources["local"].files), (32, 32), "{report:#?}");
        assert!(tree(&app.path("files")).is_empty(), "nothing is written");
        let report = restored_to_a_new_disk(&app.core).await;
        assert_eq!((report.exit_code(), report.files.done), (0, 32), "{report:#?}");
        assert_eq!(tree(&app.path("files")), before);
        // What is known is not read again.
        let again = run(&app.core, adopt("local")).await;
        assert_eq!((again.exit_code(), again.files.total), (0, 0), "{again:#?}");
        assert_eq!(again.plan.unwrap().in_place, 32);
        let view = volumes::volume(&app.core, "uploads").await.unwrap();
        assert_eq!((view.files, view.copies[0].files, view.findings.losses()), (32, 32, 0));
    }

    async fn each_file_is_judged_and_what_the_catalogue_knows_stays(app: &TestApp) {
        fill(app);
        let only_local = JobRequest::Protect { to: vec!["local".into()], adopt: None };
        assert_eq!(run(&app.core, only_local).await.exit_code(), 0);
        let file = |name: &str| FilePath::new(name).unwrap();
        volumes::mark_deleted(&app.core, &Actor::salvor(), "uploads", &file("anna/0/p0.jpg")).await.unwrap();
        app.write("files/new.txt", b"only just uploaded");
        app.write("files/touched.txt", b"a newer version");
        app.write("files/rotten.txt", b"bytes as they should be");
        app.write("files/lost.txt", b"soon lost");
        app.write("files/short.txt", b"all of it");
        copied(&app.path("files"), &app.path("copies/offsite"));
        // The copy: damage, an older and a newer version, a file that is nowhere else.
        rot(&app.path("copies/offsite/anna/1/p1.jpg"));
        for (name, age) in [("anna/2/p2.jpg", -100), ("anna/0/p3.jpg", 100)] {
            let path = app.path("copies/offsite").join(name);
            let mtime = std::fs::metadata(&path).unwrap().modified().unwrap();
            std::fs::write(&path, b"another version").unwrap();
            let moved = if age < 0 { mtime - std::time::Duration::from_secs(100) } else { mtime + std::time::Duration::from_secs(100) };
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(moved).unwrap();
        }
        // The volume, since the copy was made.
        std::fs::remove_file(app.path("files/lost.txt")).unwrap();
        rot(&app.path("files/rotten.txt"));
        let mtime = |path: PathBuf| std::fs::metadata(path).unwrap().modified().unwrap();
        app.write("files/short.txt", b"all");
        let as_before = mtime(app.path("copies/offsite/short.txt"));
        std::fs::File::options().write(true).open(app.path("files/short.txt")).unwrap().set_modified(as_before).unwrap();
        rot(&app.path("files/anna/0/p6.jpg"));
        let later = as_before + std::time::Duration::from_secs(3600);
        app.write("files/touched.txt", b"an even newer version");
        std::fs::File::options().write(true).open(app.path("files/touched.txt")).unwrap().set_modified(later).unwrap();
        volumes::set_mode(&app.core, &Actor::salvor(), "uploads", Mode::ReadOnly, "a test", true).await.unwrap();
        let before = (tree(&app.path("files")), tree(&app.path("copies/offsite")));

        let report = run(&app.core, adopt("offsite")).await;
        assert_eq!((tree(&app.path("files")), tree(&app.path("copies/offsite"))), before, "nothing is written");
        // 31 of the catalogue but the deleted one, and five that it did not know.
        assert_eq!((report.files.total, report.files.done, report.files.skipped), (36, 33, 2), "{report:#?}");
        assert_eq!(report.failures.len(), 1, "{report:#?}");
        assert_eq!(report.failures[0].path, "anna/1/p1.jpg");
        assert!(report.failures[0].reason.contains("not those of the catalogue"), "{report:#?}");
        let found: Vec<_> = open_findings(&app.core).await.into_iter().collect();
        let expected = [("lost.txt", "missing"), ("short.txt", "corrupt"), ("touched.txt", "changed")];
        assert_eq!(found, expected.map(|(path, kind)| (path.to_owned(), kind.to_owned())));
        let view = volumes::volume(&app.core, "uploads").await.unwrap();
        let offsite = view.copies.iter().find(|copy| copy.name == "offsite").unwrap();
        assert_eq!((view.files, offsite.files, offsite.faults), (36, 33, 1));
        // Where size and time are the same, a full check tells; then the catalogue's version wins.
        rot(&app.path("files/anna/1/p1.jpg"));
        run(&app.core, JobRequest::Check { full: true, paths: vec![] }).await;
        let restored = run(&app.core, restore()).await;
        assert_eq!((restored.exit_code(), restored.files.done), (0, 5), "{restored:#?}");
        assert_eq!(std::fs::read(app.path("files/rotten.txt")).unwrap(), b"bytes as they should be");
        assert_eq!(std::fs::read(app.path("files/touched.txt")).unwrap(), b"an even newer version");
    }

    async fn what_cannot_be_adopted_is_refused_in_words(app: &TestApp) {
        fill(app);
        let refused = |request| service::start(&app.core, &SALVOR, job(request), None);
        static SALVOR: std::sync::LazyLock<Actor> = std::sync::LazyLock::new(Actor::salvor);
        let Err(Error::Invalid(message)) = refused(adopt("tape")).await else { panic!() };
        assert!(message.contains("local, offsite"), "{message}");
        let first = refused(adopt("local")).await.unwrap();
        let Err(Error::Conflict { message, .. }) = refused(adopt("offsite")).await else { panic!() };
        assert!(message.contains("is being adopted already") && message.contains(&first.job), "{message}");
        // The two kinds do not stand in each other's way, and only the one that writes waits for normal.
        let protecting = refused(protect()).await.unwrap();
        let set = |mode| volumes::set_mode(&app.core, &SALVOR, "uploads", mode, "a test", true);
        set(Mode::ReadOnly).await.unwrap();
        let state = async |report: &JobReport| service::job(&app.core, report.job.parse().unwrap()).await.unwrap().state;
        assert_eq!((state(&first).await.as_str(), state(&protecting).await.as_str()), ("planning", "paused"));
        set(Mode::Failover).await.unwrap();
        let id: JobId = first.job.parse().unwrap();
        Worker::run_until_ended(app.core.clone(), id, CancellationToken::new()).await.unwrap();
        assert_eq!(state(&first).await, "paused");
        service::control(&app.core, &SALVOR, id, salvor_domain::job::JobControl::Cancel).await.unwrap();
        let Err(Error::Conflict { message, .. }) = refused(adopt("local")).await else { panic!() };
        assert!(message.contains("offline"), "{message}");
    }

    async fn a_lost_volume_comes_back_from_restic_and_over_sftp_what_is_damaged_there(app: &TestApp) {
        let Some(server) = Server::sshd() else { return };
        fill(app);
        if !backed_up(app) {
            return;
        }
        copied(&app.path("files"), &server.at("files"));
        let before = tree(&app.path("files"));
        lose(app);
        let copies = format!("{}{}", restic(&app.path("repo"), &app.path("files")), sftp(&server));
        let core = with_copies(app, &copies, &[("VAULT", "hush")]).await;

        let report = run(&core, adopt("vault")).await;
        assert_eq!((report.files.done, report.files.failed, report.findings.missing), (32, 0, 32), "{report:#?}");
        let report = restored_to_a_new_disk(&core).await;
        assert_eq!((report.exit_code(), report.sources["vault"].files), (0, 32), "{report:#?}");
        assert_eq!(tree(&app.path("files")), before);
        // The other copy has the same bytes.
        let report = run(&core, adopt("far")).await;
        assert_eq!((report.exit_code(), report.files.done), (0, 32), "{report:#?}");

        // A flipped bit in each pack of data; the volume is lost again.
        lose(app);
        for folder in std::fs::read_dir(app.path("repo/data")).unwrap() {
            for pack in std::fs::read_dir(folder.unwrap().path()).unwrap() {
                let pack = pack.unwrap().path();
                if std::fs::metadata(&pack).unwrap().len() > 30_000 {
                    let mut bytes = std::fs::read(&pack).unwrap();
                    bytes[20_000] ^= 1;
                    std::fs::remove_file(&pack).unwrap();
                    std::fs::write(&pack, bytes).unwrap();
                }
            }
        }
        let core = Core { copies: Copies::default(), ..core };
        let report = restored_to_a_new_disk(&core).await;
        assert_eq!((report.exit_code(), report.files.done), (0, 32), "{report:#?}");
        let far = report.sources.get("far").map_or(0, |amount| amount.files);
        assert!((1..32).contains(&far), "{report:#?}");
        assert_eq!(tree(&app.path("files")), before);
        let view = volumes::volume(&core, "uploads").await.unwrap();
        let faults = |name: &str| view.copies.iter().find(|copy| copy.name == name).unwrap().faults;
        assert_eq!((faults("vault"), faults("far")), (far, 0));
        let to_vault = JobRequest::Protect { to: vec!["vault".into()], adopt: None };
        let Err(Error::Invalid(message)) = service::start(&core, &Actor::salvor(), job(to_vault), None).await else { panic!() };
        assert!(message.contains("does not write to it"), "{message}");
        let Err(Error::Invalid(message)) = service::start(&core, &Actor::salvor(), job(protect()), None).await else { panic!() };
        assert!(message.contains("salvor protect uploads --adopt vault"), "{message}");
        // A snapshot says when it was taken; a folder on another machine does not. Neither was brought everything by Salvor.
        let age = |name: &str| {
            let copy = view.copies.iter().find(|copy| copy.name == name).unwrap();
            (copy.age.adopted_at.is_some(), copy.age.taken_at.is_some(), copy.age.protected_at)
        };
        assert_eq!((age("vault"), age("far")), ((true, true, None), (true, false, None)));
    }

    async fn a_lost_volume_comes_back_over_sftp_alone(app: &TestApp) {
        let Some(server) = Server::sshd() else { return };
        fill(app);
        copied(&app.path("files"), &server.at("files"));
        let before = seconds(tree(&app.path("files")));
        lose(app);
        let core = with_copies(app, &sftp(&server), &[]).await;
        assert_eq!(run(&core, adopt("far")).await.findings.missing, 32);
        let report = restored_to_a_new_disk(&core).await;
        assert_eq!((report.exit_code(), report.sources["far"].files), (0, 32), "{report:#?}");
        assert_eq!(seconds(tree(&app.path("files"))), before);
        // A copy that goes away pauses the job, and loses nothing by it.
        app.write("files/a", b"x");
        std::fs::rename(server.at("files"), server.at("away")).unwrap();
        let Err(Error::Conflict { message, .. }) = service::start(&core, &Actor::salvor(), job(adopt("far")), None).await else { panic!() };
        assert!(message.contains("there is no such folder"), "{message}");
    }
}
