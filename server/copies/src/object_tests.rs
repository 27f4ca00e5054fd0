use std::path::Path;

use axum::http::Method;
use salvor_engine::{Confirmed, Label, Object, WriteFault, WriteFaultKind};

use super::*;
use crate::place::{S3Credentials, S3Place};
use crate::secret::Secret;
use bucket::{BUCKET, Bucket, Fault, KEY, SECRET};

#[path = "../testing/bucket.rs"]
mod bucket;
#[path = "object_rclone_tests.rs"]
mod rclone;

fn secret(value: &str) -> Secret {
    Secret::Variable { name: "A_TEST".into(), value: Some(value.into()) }
}

fn place(endpoint: &str, key: &str) -> S3Place {
    S3Place {
        bucket: BUCKET.into(),
        endpoint: endpoint.into(),
        region: "us-east-1".into(),
        root: "uploads".into(),
        virtual_host_style: false,
        credentials: S3Credentials::Keys {
            access_key_id: secret(key),
            secret_access_key: secret(SECRET),
            session_token: None,
        },
    }
}

fn limits() -> Limits {
    Limits {
        step: Duration::from_millis(500),
        part: Duration::from_secs(20),
        look: Duration::from_millis(500),
        retries: 2,
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(10),
        at_once: 8,
        failures: 3,
        rest: Duration::from_secs(3600),
    }
}

fn copy(bucket: &Bucket) -> ObjectCopy {
    ObjectCopy::s3("offsite", &place(&bucket.endpoint, KEY), limits()).unwrap()
}

pub(super) fn path(name: impl Into<Vec<u8>>) -> FilePath {
    FilePath::new(name.into()).unwrap()
}

pub(super) fn noise(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

pub(super) fn object(content: &[u8], mtime_ns: i64) -> Object {
    Object { size: content.len() as u64, mtime_ns, digest: Digest(*blake3::hash(content).as_bytes()) }
}

pub(super) fn put(copy: &ObjectCopy, name: &str, content: &[u8]) -> Result<(), WriteFault> {
    put_over(copy, name, content, None)
}

fn put_over(
    copy: &ObjectCopy,
    name: &str,
    content: &[u8],
    over: Option<&salvor_engine::Stored>,
) -> Result<(), WriteFault> {
    let mut upload = copy.upload(&path(name), &object(content, 7), over)?;
    for chunk in content.chunks(100_000) {
        upload.write(chunk)?;
    }
    upload.finish().map(drop)
}

pub(super) fn read(opened: Result<Opened, SourceFault>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    opened.map_err(|fault| io::Error::other(fault.to_string()))?.reader.read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn names(copy: &ObjectCopy) -> Vec<(String, u64)> {
    let mut names = Vec::new();
    copy.list(&mut |holding| {
        names.push((holding.path.to_string(), holding.stat.size));
        ControlFlow::Continue(())
    })
    .unwrap();
    names.sort();
    names
}

pub(super) const NAMES: [&str; 5] =
    ["anna/summer day.jpg", "anna/grüße 夏.jpg", "odd/#1 100% a+b.jpg", "odd/what?&=.jpg", "plain"];

#[test]
fn what_is_stored_is_listed_described_and_read_back() {
    let bucket = Bucket::open();
    let copy = copy(&bucket);
    for (size, name) in [0, 1, 30_000, 30_001, 5].into_iter().zip(NAMES) {
        put(&copy, name, &noise(size)).unwrap();
        let stat = copy.stat(&path(name)).unwrap();
        assert_eq!((stat.size, stat.mtime_ns), (size as u64, Some(7)));
        assert_eq!(stat.digest, Some(object(&noise(size), 7).digest));
        assert_eq!(read(copy.open(&path(name))).unwrap(), noise(size), "{name}");
    }
    let mut expected: Vec<_> = NAMES.into_iter().map(str::to_owned).zip([0, 1, 30_000, 30_001, 5]).collect();
    expected.sort();
    assert_eq!(names(&copy), expected);
    assert_eq!(read(copy.open_at(&path("plain"), 3)).unwrap(), noise(5)[3..]);
    assert_eq!(read(copy.open_at(&path("plain"), 5)).unwrap(), b"");
    assert!(bucket.path("uploads/plain").is_file(), "beneath the root");
}

#[test]
fn a_small_object_costs_one_request() {
    let bucket = Bucket::open();
    let copy = copy(&bucket);
    put(&copy, "a/file", &noise(30_000)).unwrap();
    bucket.seen();
    read(copy.open(&path("a/file"))).unwrap();
    assert_eq!(bucket.seen(), ["GET /backups/uploads/a/file"]);
}

#[test]
fn a_large_object_goes_in_parts_and_comes_back_whole() {
    let bucket = Bucket::open();
    let copy = copy(&bucket);
    let content = noise((8 << 20) + 12_345);
    put(&copy, "film", &content).unwrap();
    let parts = bucket.seen().iter().filter(|line| line.starts_with("PUT")).count();
    assert_eq!(parts, 2);
    assert_eq!(copy.stat(&path("film")).unwrap().size, content.len() as u64);
    assert!(read(copy.open(&path("film"))).unwrap() == content);
}

#[test]
fn what_a_store_confirms_rests_on_a_checksum_or_on_the_size_alone() {
    let bucket = Bucket::open();
    let copy = copy(&bucket);
    let content = noise((16 << 20) + 5);
    let confirmed = |name: &str, content: &[u8]| {
        let mut upload = copy.upload(&path(name), &object(content, 7), None)?;
        content.chunks(250_000).try_for_each(|chunk| upload.write(chunk))?;
        upload.finish()
    };
    assert_eq!(confirmed("small", &content[..70_000]).unwrap(), Confirmed::ByChecksum);
    bucket.fail(Method::PUT, Fault::Flip, 1);
    let refused = confirmed("flipped", &content[..70_000]).unwrap_err();
    assert!(refused.reason.contains("BadDigest"), "{refused}");
    assert_eq!(confirmed("film", &content).unwrap(), Confirmed::ByChecksum);
    assert_eq!(confirmed("even", &content[..16 << 20]).unwrap(), Confirmed::ByChecksum);
    bucket.fail(Method::PUT, Fault::Flip, 1);
    assert_eq!(confirmed("other", &content).unwrap(), Confirmed::BySize);
    assert!(read(copy.open(&path("other"))).unwrap() != content);
}

#[test]
fn names_that_a_store_cannot_keep_are_refused_with_the_reason() {
    let bucket = Bucket::open();
    let copy = copy(&bucket);
    for (name, why) in [
        (&b"anna/\xff.jpg"[..], "UTF-8"),
        (b" spaced", "space"),
        (b"line\nfeed", "control"),
        (&[&b"a23456789/".repeat(102)[..], b"a2345"].concat(), "1,024"),
    ] {
        let name = FilePath::new(name).unwrap();
        let Err(refused) = copy.upload(&name, &object(b"x", 0), None) else { panic!("{name}") };
        assert!(refused.reason.contains(why), "{refused}");
        let Err(SourceFault::Io(refused)) = copy.open(&name).map(drop) else { panic!("{name}") };
        assert!(refused.contains(why), "{refused}");
    }
    assert_eq!(names(&copy), []);
}

#[test]
fn a_read_that_was_cut_goes_on_where_it_broke() {
    let bucket = Bucket::open();
    let copy = copy(&bucket);
    let content = noise(300_000);
    put(&copy, "a", &content).unwrap();
    bucket.seen();
    bucket.fail(Method::GET, Fault::Cut(100_000), 1);
    assert!(read(copy.open(&path("a"))).unwrap() == content);
    let seen = bucket.seen();
    assert_eq!(seen.len(), 2, "{seen:?}");
    let from: u64 = seen[1].split_once("bytes=").unwrap().1.split('-').next().unwrap().parse().unwrap();
    assert!(from > 0 && from <= 100_000, "{seen:?}");
}

#[test]
fn a_store_that_is_busy_for_a_moment_is_asked_again() {
    let bucket = Bucket::open();
    let copy = copy(&bucket);
    bucket.fail(Method::PUT, Fault::Unavailable, 2);
    put(&copy, "a", b"content").unwrap();
    bucket.fail(Method::GET, Fault::Unavailable, 2);
    assert_eq!(read(copy.open(&path("a"))).unwrap(), b"content");
}

#[test]
fn one_that_hangs_or_keeps_failing_costs_a_bounded_time_and_then_none() {
    for (fault, words) in [(Fault::Stall, "does not answer within 0.5 s"), (Fault::Unavailable, "503")] {
        let bucket = Bucket::open();
        let copy = copy(&bucket);
        put(&copy, "a", b"content").unwrap();
        bucket.fail(Method::GET, fault, usize::MAX);
        let began = Instant::now();
        let mut last = String::new();
        for _ in 0..3 {
            let Err(SourceFault::Io(why)) = copy.open(&path("a")).map(drop) else { panic!() };
            last = why;
        }
        assert!(last.contains(words) && last.contains("s3://backups/uploads"), "{last}");
        // Three files of three tries of half a second, and a little.
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
        bucket.seen();
        let Err(SourceFault::Gone(why)) = copy.open(&path("a")).map(drop) else { panic!() };
        assert!(why.contains("left alone"), "{why}");
        assert_eq!(bucket.seen(), [""; 0], "it is not even asked");
    }
}

#[test]
fn bytes_that_were_changed_or_left_out_on_the_way_are_given_as_they_come() {
    // It is the reader who compares checksums.
    let bucket = Bucket::open();
    let copy = copy(&bucket);
    put(&copy, "a", &noise(1000)).unwrap();
    bucket.fail(Method::GET, Fault::Flip, 1);
    assert_ne!(read(copy.open(&path("a"))).unwrap(), noise(1000));
    bucket.fail(Method::GET, Fault::Short(400), 1);
    assert_eq!(read(copy.open(&path("a"))).unwrap(), noise(1000)[..400]);
}

#[test]
fn a_missing_file_is_told_from_a_missing_copy() {
    let bucket = Bucket::open();
    let copy = copy(&bucket);
    assert_eq!(copy.open(&path("a")).map(drop), Err(SourceFault::NotFound));
    assert_eq!(copy.stat(&path("a")), Err(SourceFault::NotFound));
    copy.reachable().unwrap();
    let gone = |copy: ObjectCopy| match copy.open(&path("a")).map(drop) {
        Err(SourceFault::Gone(why)) => why,
        other => panic!("{other:?}"),
    };
    let stranger = ObjectCopy::s3("offsite", &place(&bucket.endpoint, "who"), limits()).unwrap();
    let why = gone(stranger);
    assert!(why.contains("credentials") && why.contains("NotSignedUp"), "{why}");
    std::fs::rename(bucket.path(""), bucket.path("").with_file_name("away")).unwrap();
    let why = gone(self::copy(&bucket));
    assert!(why.contains("no such bucket"), "{why}");
    let endpoint = bucket.endpoint.clone();
    drop(bucket);
    let why = gone(ObjectCopy::s3("offsite", &place(&endpoint, KEY), limits()).unwrap());
    assert!(why.contains("cannot be reached") && why.contains("refused"), "{why}");
    let nowhere = ObjectCopy::s3("offsite", &place("http://nowhere.invalid", KEY), limits()).unwrap();
    let why = gone(nowhere);
    assert!(why.contains("cannot be reached"), "{why}");
}

#[test]
fn without_its_secret_it_does_not_open_and_says_what_is_missing() {
    let mut place = place("http://127.0.0.1:1", KEY);
    let missing = Secret::File(Path::new("/nowhere/key").into());
    place.credentials =
        S3Credentials::Keys { access_key_id: secret(KEY), secret_access_key: missing, session_token: None };
    let Err(SourceFault::Gone(why)) = ObjectCopy::s3("offsite", &place, limits()).map(drop) else { panic!() };
    assert!(why.contains("secret_access_key") && why.contains("/nowhere/key"), "{why}");
}

#[test]
fn what_someone_else_wrote_meanwhile_is_left_alone() {
    let bucket = Bucket::open();
    let copy = copy(&bucket);
    let mut late = copy.upload(&path("a"), &object(b"late", 7), None).unwrap();
    late.write(b"late").unwrap();
    put(&copy, "a", b"early").unwrap();
    let refused = late.finish().unwrap_err();
    assert_eq!(refused.kind, WriteFaultKind::Exists, "{refused}");
    assert_eq!(read(copy.open(&path("a"))).unwrap(), b"early");

    let seen = copy.look(&path("a")).unwrap().unwrap();
    put_over(&copy, "a", b"second", Some(&seen)).unwrap();
    let refused = put_over(&copy, "a", b"third", Some(&seen)).unwrap_err();
    assert_eq!(refused.kind, WriteFaultKind::Exists, "{refused}");
    assert_eq!(read(copy.open(&path("a"))).unwrap(), b"second");
}

#[test]
fn what_is_set_aside_lies_in_quarantine_and_is_not_listed_as_a_file() {
    let bucket = Bucket::open();
    let copy = copy(&bucket);
    put(&copy, "anna/a", b"newer").unwrap();
    let aside = copy.set_aside(&path("anna/a"), &Label::new("job").unwrap()).unwrap();
    assert_eq!(aside, b".salvor/quarantine/job/anna/a");
    assert_eq!(std::fs::read(bucket.path("uploads/.salvor/quarantine/job/anna/a")).unwrap(), b"newer");
    assert_eq!(names(&copy), [("anna/a".to_owned(), 5)]);
}

#[test]
fn an_upload_that_is_not_finished_leaves_nothing_to_see() {
    let bucket = Bucket::open();
    let copy = copy(&bucket);
    let content = noise(9 << 20);
    let mut upload = copy.upload(&path("film"), &object(&content, 7), None).unwrap();
    upload.write(&content).unwrap();
    drop(upload);
    assert_eq!(copy.stat(&path("film")), Err(SourceFault::NotFound));
    assert_eq!(names(&copy), []);
}

#[test]
fn the_times_that_other_tools_keep_are_read() {
    for (text, expected) in [
        ("1700000000", Some(1_700_000_000_000_000_000)),
        ("1700000000.25", Some(1_700_000_000_250_000_000)),
        ("1700000000.1234567891", Some(1_700_000_000_123_456_789)),
        ("-1.5", Some(-1_500_000_000)),
        ("yesterday", None),
        ("1.x", None),
        ("99999999999", None),
    ] {
        assert_eq!(nanoseconds(text), expected, "{text}");
    }
}
