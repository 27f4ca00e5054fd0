//! A volume whose copy is a bucket: protected to it, lost, restored from it; and what happens when the bucket lies.

use std::sync::Arc;

use axum::http::Method;
use salvor::config::CopyConfig;
use salvor::core::Core;
use salvor::volumes::service as volumes;
use salvor_copies::place::{CopyPlace, S3Credentials, S3Place};
use salvor_copies::secret::Secret;
use salvor_domain::volume::Placement;

use crate::support::TestApp;
use crate::support::jobs::{check, protect, restore, run_on as run, tree};
use bucket::{BUCKET, Bucket, Fault, KEY, SECRET};

#[path = "../../copies/testing/bucket.rs"]
#[expect(dead_code, reason = "the crate of the copies uses the rest of it")]
pub mod bucket;

const FILES: [(&str, usize); 5] = [
    ("anna/summer day.jpg", 30_000),
    ("anna/grüße 夏.jpg", 1),
    ("odd/#1 100% a+b.jpg", 700_000),
    ("odd/what?&=.jpg", 30_000),
    ("empty", 0),
];

fn fill(app: &TestApp) {
    for (seed, (name, size)) in FILES.into_iter().enumerate() {
        let bytes: Vec<u8> = (0..size).map(|at| ((at * 31 + seed * 7) ^ (at >> 8)) as u8).collect();
        app.write(format!("files/{name}"), &bytes);
    }
}

/// This Salvor with a bucket as the first copy, and of the others those that `kept` names.
pub async fn with_bucket(app: &TestApp, bucket: &Bucket, kept: &[&str]) -> Core {
    let secret = |value: &str| Secret::Variable { name: "A_TEST".into(), value: Some(value.into()) };
    let place = CopyPlace::S3(S3Place {
        bucket: BUCKET.into(),
        endpoint: bucket.endpoint.clone(),
        region: "us-east-1".into(),
        root: "uploads".into(),
        virtual_host_style: false,
        credentials: S3Credentials::Keys {
            access_key_id: secret(KEY),
            secret_access_key: secret(SECRET),
            session_token: None,
        },
    });
    let mut config = (*app.core.config).clone();
    let copies = &mut config.volumes[0].copies;
    let like = copies[0].clone();
    copies.retain(|copy| kept.contains(&copy.name.as_str()));
    copies.insert(0, CopyConfig { name: "bucket".into(), placement: Placement::Offsite, place, ..like });
    let core = Core { config: Arc::new(config), ..app.core.clone() };
    volumes::register(&core).await.unwrap();
    core
}

fn lose_everything(app: &TestApp) {
    for name in ["anna", "odd"] {
        std::fs::remove_dir_all(app.path(format!("files/{name}"))).unwrap();
    }
    std::fs::remove_file(app.path("files/empty")).unwrap();
}

fn customers_files(app: &TestApp) -> usize {
    tree(&app.path("files")).keys().filter(|path| !path.starts_with(".salvor")).count()
}

on_both_engines! {
    async fn what_was_protected_to_a_bucket_comes_back_from_it(app: &TestApp) {
        let bucket = Bucket::open();
        let core = with_bucket(app, &bucket, &[]).await;
        fill(app);
        let before = tree(&app.path("files"));
        let protected = run(&core, protect()).await;
        assert_eq!((protected.files.done, protected.files.failed), (5, 0), "{protected:#?}");
        assert!(bucket.path("uploads/anna/summer day.jpg").is_file());

        lose_everything(app);
        let restored = run(&core, restore()).await;
        assert_eq!((restored.files.done, restored.files.failed), (5, 0), "{restored:#?}");
        assert_eq!(restored.sources["bucket"].files, 5);
        let mut after = tree(&app.path("files"));
        after.retain(|path, _| !path.starts_with(".salvor"));
        assert!(after == before, "bytes, times and permissions");
        let checked = run(&core, check(true)).await;
        assert_eq!(checked.findings.total(), 0, "{checked:#?}");

        let again = run(&core, protect()).await;
        assert_eq!((again.files.done, again.files.failed), (0, 0), "nothing is sent twice");
        let view = volumes::volume(&core, "uploads").await.unwrap();
        assert!(view.copies[0].path.starts_with("s3://backups/uploads at http://"), "{}", view.copies[0].path);
        assert!(view.copies[0].reach.is_reached());
        assert_eq!((view.copies[0].files, view.copies[0].faults), (5, 0));
    }

    async fn a_bucket_that_lies_is_noticed_and_the_next_copy_is_asked(app: &TestApp) {
        let bucket = Bucket::open();
        let core = with_bucket(app, &bucket, &["local"]).await;
        fill(app);
        run(&core, protect()).await;
        lose_everything(app);
        bucket.fail(Method::GET, Fault::Flip, usize::MAX);
        let restored = run(&core, restore()).await;
        assert_eq!((restored.files.done, restored.files.failed), (5, 0), "{restored:#?}");
        assert_eq!(customers_files(app), 5);
        // Of an empty file no bit can be flipped.
        let view = volumes::volume(&core, "uploads").await.unwrap();
        assert_eq!(view.copies[0].faults, 4, "{view:#?}");
        assert_eq!(restored.sources["local"].files, 4);
    }

    async fn a_bucket_that_is_gone_holds_up_nobody(app: &TestApp) {
        let bucket = Bucket::open();
        let core = with_bucket(app, &bucket, &["local"]).await;
        fill(app);
        run(&core, protect()).await;
        lose_everything(app);
        drop(bucket);
        let restored = run(&core, restore()).await;
        assert_eq!((restored.files.done, restored.files.failed), (5, 0), "{restored:#?}");
        assert_eq!(restored.sources["local"].files, 5);
        let view = volumes::volume(&core, "uploads").await.unwrap();
        assert!(view.copies[0].reach.because().is_some(), "{view:#?}");
    }

    async fn a_bucket_that_keeps_other_bytes_than_it_was_given_is_no_holder(app: &TestApp) {
        let bucket = Bucket::open();
        let core = with_bucket(app, &bucket, &[]).await;
        let film: Vec<u8> = (0..9 << 20).map(|at: u32| (at % 251) as u8).collect();
        app.write("files/film", &film);
        // Its first part; the mark that this store gives to objects in parts does not tell.
        bucket.fail(Method::PUT, Fault::Flip, 1);
        let protected = run(&core, protect()).await;
        assert_eq!((protected.files.done, protected.files.failed), (0, 1), "{protected:#?}");
        let failure = &protected.failures[0];
        assert!(failure.path == "film" && failure.reason.contains("other bytes than were written"), "{failure:?}");
        let held = async || volumes::volume(&core, "uploads").await.unwrap().copies[0].files;
        assert_eq!(held().await, 0);
        let again = run(&core, protect()).await;
        assert_eq!((again.files.done, again.files.failed), (1, 0), "{again:#?}");
        assert_eq!(held().await, 1);
        assert!(std::fs::read(bucket.path("uploads/film")).unwrap() == film);
    }

    async fn a_name_that_is_not_text_fails_on_the_bucket_alone_and_says_why(app: &TestApp) {
        use std::os::unix::ffi::OsStrExt;
        let bucket = Bucket::open();
        let core = with_bucket(app, &bucket, &["local"]).await;
        fill(app);
        let name = std::ffi::OsStr::from_bytes(b"caf\xe9.jpg");
        app.write(std::path::Path::new("files").join(name), b"latin");
        let protected = run(&core, protect()).await;
        assert_eq!((protected.files.done, protected.files.failed), (5, 1), "{protected:#?}");
        let reason = &protected.failures[0].reason;
        assert!(reason.contains("bucket") && reason.contains("UTF-8"), "{reason}");
        assert!(app.path("copies/local").join(name).is_file(), "the other copy has it");
    }
}
