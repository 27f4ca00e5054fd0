//! Stores that another tool filled: rclone, which also serves them. What lies there in parts has no checksum that anybody
//! could compare; its bytes are read all the same.

use std::path::Path;
use std::process::Command;

use salvor::error::Error;
use salvor::restore::service;
use salvor::volumes::service as volumes;
use salvor_domain::account::Actor;
use salvor_domain::job::JobReport;

use crate::adopt::{adopt, copied, fill, lose, noise, restored_to_a_new_disk, with_copies};
use crate::support::TestApp;
use crate::support::jobs::{job, protect, rot, run_on as run, tree};
use served::Served;

#[path = "../../copies/testing/served.rs"]
#[expect(dead_code, reason = "the crate of the copies uses the rest of it")]
mod served;

const KEY: &str = "test-key";
const SECRET: &str = "test-secret";
/// Files of the volume; two of them, at the S3 store, in parts.
const FILES: u64 = 34;

fn serve_s3() -> Option<Served> {
    Served::start("s3", &["--auth-key", &format!("{KEY},{SECRET}")])
}

fn s3(served: &Served) -> String {
    format!(
        "[[volume.copy]]\nname = \"bucket\"\nkind = \"s3\"\nplacement = \"offsite\"\nbucket = \"backups\"\nroot = \"uploads\"\n\
         endpoint = \"{}\"\naccess_key_id_env = \"KEY\"\nsecret_access_key_env = \"SECRET\"\n",
        served.endpoint
    )
}

const LOCAL: &str =
    "[[volume.copy]]\nname = \"local\"\nkind = \"fs\"\nplacement = \"onsite\"\npath = \"copies/local\"\n";

const S3_SECRETS: [(&str, &str); 2] = [("KEY", KEY), ("SECRET", SECRET)];

fn serve_webdav() -> Option<Served> {
    Served::start("webdav", &["--user", "ann", "--pass", "hush"])
}

fn webdav(served: &Served) -> String {
    format!(
        "[[volume.copy]]\nname = \"dav\"\nkind = \"webdav\"\nplacement = \"offsite\"\nroot = \"uploads\"\n\
         endpoint = \"{}\"\nuser = \"ann\"\npassword_env = \"DAV\"\n",
        served.endpoint
    )
}

fn fill_with_large(app: &TestApp) {
    fill(app);
    app.write("files/film/a.mov", &noise(12_000_001));
    app.write("files/film/b.mov", &noise(10 << 20));
}

/// `rclone copy` into the bucket, large files in parts of 5 MiB.
fn upload(app: &TestApp, served: &Served) {
    std::fs::create_dir_all(served.path("backups")).unwrap();
    let remote = format!(
        ":s3,provider=Other,access_key_id={KEY},secret_access_key={SECRET},endpoint=\"{}\":backups/uploads",
        served.endpoint
    );
    let copied = Command::new("rclone")
        .args(["copy", "--s3-upload-cutoff", "5Mi", "--s3-chunk-size", "5Mi", "--exclude", "/.salvor/**"])
        .arg(app.path("files"))
        .arg(remote)
        .env("RCLONE_CONFIG", app.path("rclone.conf"))
        .output()
        .unwrap();
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
}

fn told(report: &JobReport) -> (u64, u64, u64) {
    (report.files.done, report.files.failed, report.findings.missing)
}

/// Bytes and whole seconds: neither kind of store keeps permissions.
fn kept(root: &Path, times: bool) -> Vec<(String, Vec<u8>, i64)> {
    let all = tree(root).into_iter();
    all.map(|(path, (bytes, mtime, ..))| (path.display().to_string(), bytes, if times { mtime } else { 0 }))
        .collect()
}

on_both_engines! {
    async fn a_lost_volume_comes_back_from_a_bucket_that_another_tool_filled(app: &TestApp) {
        let Some(served) = serve_s3() else { return };
        fill_with_large(app);
        upload(app, &served);
        let before = kept(&app.path("files"), true);
        lose(app);
        let core = with_copies(app, &s3(&served), &S3_SECRETS).await;
        let report = run(&core, adopt("bucket")).await;
        assert_eq!(told(&report), (FILES, 0, FILES), "{report:#?}");
        let report = restored_to_a_new_disk(&core).await;
        assert_eq!((report.exit_code(), report.sources["bucket"].files), (0, FILES), "{report:#?}");
        assert!(kept(&app.path("files"), true) == before, "bytes and times");
        let again = run(&core, adopt("bucket")).await;
        assert_eq!((again.files.total, again.plan.unwrap().in_place), (0, FILES));
    }

    async fn a_bucket_is_a_holder_only_of_objects_whose_bytes_are_right(app: &TestApp) {
        let Some(served) = serve_s3() else { return };
        fill_with_large(app);
        upload(app, &served);
        // As large as before, with the same metadata; one in parts and one not.
        for name in ["film/a.mov", "anna/0/p6.jpg"] {
            rot(&served.path("backups/uploads").join(name));
        }
        copied(&app.path("files"), &app.path("copies/local"));
        let core = with_copies(app, &format!("{}{LOCAL}", s3(&served)), &S3_SECRETS).await;
        run(&core, adopt("local")).await;
        let report = run(&core, adopt("bucket")).await;
        assert_eq!(told(&report), (FILES - 2, 2, 0), "{report:#?}");
        let failed: Vec<_> = report.failures.iter().map(|failure| failure.path.as_str()).collect();
        assert_eq!(failed, ["anna/0/p6.jpg", "film/a.mov"]);
        assert!(report.failures.iter().all(|failure| failure.reason.contains("not those of the catalogue")), "{report:#?}");
        let view = volumes::volume(&core, "uploads").await.unwrap();
        let bucket = view.copies.iter().find(|copy| copy.name == "bucket").unwrap();
        assert_eq!((view.files, bucket.files, bucket.faults), (FILES, FILES - 2, 2));
    }

    async fn a_lost_volume_comes_back_from_webdav(app: &TestApp) {
        let Some(served) = serve_webdav() else { return };
        fill_with_large(app);
        copied(&app.path("files"), &served.path("uploads"));
        let before = kept(&app.path("files"), false);
        lose(app);
        let core = with_copies(app, &webdav(&served), &[("DAV", "hush")]).await;
        let report = run(&core, adopt("dav")).await;
        assert_eq!(told(&report), (FILES, 0, FILES), "{report:#?}");
        let report = restored_to_a_new_disk(&core).await;
        assert_eq!((report.exit_code(), report.sources["dav"].files), (0, FILES), "{report:#?}");
        assert!(kept(&app.path("files"), false) == before);
        // What is new goes there as well.
        app.write("files/new.txt", b"since then");
        let report = run(&core, protect()).await;
        assert_eq!((report.exit_code(), report.files.done), (0, 1), "{report:#?}");
        assert_eq!(std::fs::read(served.path("uploads/new.txt")).unwrap(), b"since then");
        // A server that is away has lost nothing.
        drop(served);
        let refused = service::start(&core, &Actor::salvor(), job(adopt("dav")), None).await;
        let Err(Error::Conflict { message, .. }) = refused else { panic!("{refused:?}") };
        assert!(message.contains("cannot be reached"), "{message}");
    }
}
