//! The store functions of this slice, on both engines.

use chrono::{DateTime, Utc};
use salvor_app::volumes::port::FindingsFilter;
use salvor_domain::cost::{Basis, Measurement};
use salvor_domain::digest::Digest;
use salvor_domain::finding::{FindingKind, FindingState};
use salvor_domain::ids::JobId;
use salvor_domain::path::FilePath;
use salvor_domain::progress::Amount;
use salvor_domain::readiness::CopyAge;
use salvor_domain::volume::{FileState, ModeState};

use super::catalogue::{self, CatalogueRow};
use super::findings::{self, NewFinding};
use super::{rates_store, store};
use crate::database::testing::databases;
use crate::database::{Db, Tx};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

fn job(number: u8) -> JobId {
    JobId::new(at(0), [number; 10])
}

fn path(bytes: &[u8]) -> FilePath {
    FilePath::new(bytes).unwrap()
}

fn row(name: &[u8], size: u64, holders: u64) -> CatalogueRow {
    CatalogueRow {
        path: path(name),
        size,
        mtime_ns: -1,
        digest: Digest([7; 32]),
        mode: 0o640,
        state: FileState::Present,
        holders,
        verified_at: at(0),
    }
}

fn lost(name: &[u8], kind: FindingKind) -> NewFinding {
    NewFinding { path: path(name), kind, size: 5, detail: "seen".into() }
}

fn names(rows: &[CatalogueRow]) -> Vec<&[u8]> {
    rows.iter().map(|row| row.path.as_bytes()).collect()
}

/// A volume with two copies, and an open transaction on it.
async fn volume(db: &Db) -> (Tx, i64) {
    let mut tx = db.begin().await.unwrap();
    let mode = ModeState::Normal { since: at(0), reason: "first seen".into(), by: "salvor".into() };
    store::add_volume(&mut tx, "uploads", &mode).await.unwrap();
    let volume = store::volume(&mut tx, "uploads").await.unwrap().unwrap();
    assert_eq!(volume.mode, mode);
    store::add_copy(&mut tx, volume.id, 0, "onsite").await.unwrap();
    store::add_copy(&mut tx, volume.id, 61, "offsite").await.unwrap();
    (tx, volume.id)
}

#[tokio::test]
async fn the_catalogue_keeps_bytes_and_their_order() {
    let (_folder, all) = databases().await;
    for db in all {
        let (mut tx, id) = volume(&db).await;
        let long: Vec<u8> = std::iter::repeat_n(&b"0123456789abcdef/"[..], 300)
            .flatten()
            .copied()
            .take(tx.longest_path().min(4_095))
            .chain([b'x'])
            .take(tx.longest_path())
            .collect();
        let mut rows: Vec<_> =
            [&b"caf\xe9/\xff.jpg"[..], b"caf\xc3\xa9/a", b"B", b"a b", b"a/b", b"a", &long]
                .iter()
                .map(|name| row(name, 10, (1 << 61) | 1))
                .collect();
        catalogue::upsert(&mut tx, id, &rows).await.unwrap();
        rows.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        let all = catalogue::after(&mut tx, id, None, 100).await.unwrap();
        assert_eq!(all, rows, "every field comes back, in byte order");
        let second = catalogue::after(&mut tx, id, Some(all[1].path.as_bytes()), 2).await.unwrap();
        assert_eq!(second, rows[2..4]);
        let middle = catalogue::range(&mut tx, id, b"a", b"a/b").await.unwrap();
        assert_eq!(names(&middle), [&b"a"[..], b"a b", b"a/b"]);
        let asked: Vec<_> = all.iter().rev().map(|row| row.path.clone()).chain([path(b"unknown")]).collect();
        assert_eq!(catalogue::get(&mut tx, id, &asked).await.unwrap(), rows);
        assert_eq!(
            catalogue::find_by_name(&mut tx, id, b"a", 9).await.unwrap(),
            [path(b"a"), path(b"caf\xc3\xa9/a")]
        );
        assert_eq!(
            catalogue::find_by_name(&mut tx, id, b"\xff.jpg", 9).await.unwrap(),
            [path(b"caf\xe9/\xff.jpg")]
        );
    }
}

#[tokio::test]
async fn more_rows_than_a_statement_holds_are_written_read_and_counted() {
    let (_folder, all) = databases().await;
    for db in all {
        let (mut tx, id) = volume(&db).await;
        let rows: Vec<_> = (0..2_500_u64).map(|n| row(format!("f{n:05}").as_bytes(), n, n % 4)).collect();
        catalogue::upsert(&mut tx, id, &rows).await.unwrap();
        let paths: Vec<_> = rows.iter().map(|row| row.path.clone()).collect();
        catalogue::set_state(&mut tx, id, &paths, FileState::Missing).await.unwrap();
        catalogue::set_state(&mut tx, id, &paths[..1], FileState::Tombstone).await.unwrap();
        catalogue::verified(&mut tx, id, &paths[..2_000], at(60)).await.unwrap();
        let back = catalogue::get(&mut tx, id, &paths).await.unwrap();
        assert_eq!(back[0].state, FileState::Tombstone, "a tombstone is not verified away");
        assert_eq!((back[1].state, back[1].verified_at), (FileState::Present, at(60)));
        assert_eq!((back[2_000].state, back[2_000].verified_at), (FileState::Missing, at(0)));
        catalogue::set_holder(&mut tx, id, 61, &paths, true).await.unwrap();
        let figures = catalogue::figures(&mut tx, id, &[61, 0, 5]).await.unwrap();
        assert_eq!(figures.all, Amount { files: 2_499, bytes: (0..2_500).sum() });
        let files = |amounts: &[Amount]| amounts.iter().map(|amount| amount.files).collect::<Vec<_>>();
        assert_eq!(files(&figures.held), [2_499, 1_250, 0]);
        assert_eq!((files(&figures.first), figures.in_none.files), (vec![2_499, 0, 0], 0));
        let figures = catalogue::figures(&mut tx, id, &[1, 0]).await.unwrap();
        assert_eq!((files(&figures.first), figures.in_none.files), (vec![1_250, 625], 624), "each file once");
        assert!(catalogue::has_any(&mut tx, id, Some(1)).await.unwrap());
        assert!(!catalogue::has_any(&mut tx, id, Some(5)).await.unwrap());
        let held = catalogue::get(&mut tx, id, &paths[1..2]).await.unwrap();
        assert_eq!(held[0].holders >> 61, 1);
    }
}

#[tokio::test]
async fn a_faulty_copy_is_remembered_until_it_has_good_bytes() {
    let (_folder, all) = databases().await;
    for db in all {
        let (mut tx, id) = volume(&db).await;
        catalogue::upsert(&mut tx, id, &[row(b"a", 1, (1 << 61) | 1)]).await.unwrap();
        for reason in ["other bytes", "gone"] {
            store::record_copy_fault(&mut tx, id, 61, &path(b"a"), reason, job(1), at(1)).await.unwrap();
        }
        assert_eq!(store::copies(&mut tx, id).await.unwrap()[1].faults, 1, "one file, however often");
        assert_eq!(catalogue::get(&mut tx, id, &[path(b"a")]).await.unwrap()[0].holders, 1);
        store::clear_copy_faults(&mut tx, id, 61, &[path(b"a")]).await.unwrap();
        assert_eq!(store::copies(&mut tx, id).await.unwrap()[1].faults, 0);
    }
}

#[tokio::test]
async fn rates_are_averaged_and_the_newest_full_check_counts() {
    let (_folder, all) = databases().await;
    for db in all {
        let (mut tx, id) = volume(&db).await;
        for (basis, files, seconds) in
            [(Basis::Job, 100, 1.0), (Basis::Drill, 200, 2.0), (Basis::Probe, 9, 9.0)]
        {
            let measured = Measurement {
                at: at(files),
                basis,
                files: files as u64,
                bytes: files as u64 * 10_000,
                seconds,
            };
            rates_store::add(&mut tx, id, 0, &measured, Some(job(1))).await.unwrap();
        }
        let age = CopyAge { protected_at: Some(at(5)), except: 2, adopted_at: None, taken_at: Some(at(3)) };
        store::set_copy_age(&mut tx, id, 61, age).await.unwrap();
        let copies = store::copies(&mut tx, id).await.unwrap();
        assert_eq!(
            (copies[0].measured_jobs, copies[0].bytes_per_second),
            (2, Some(1e6)),
            "a probe is no rate"
        );
        assert_eq!((copies[1].age, copies[1].files_per_second), (age, None));
        assert!(copies[1].holds(1 << 61) && !copies[0].holds(1 << 61));
        store::set_checked_at(&mut tx, id, at(30), Some(at(20))).await.unwrap();
        store::set_checked_at(&mut tx, id, at(40), Some(at(10))).await.unwrap();
        store::set_checked_at(&mut tx, id, at(50), None).await.unwrap();
        let volume = store::volume_by_id(&mut tx, id).await.unwrap().unwrap();
        assert_eq!((volume.checked_at, volume.full_check_started_at), (Some(at(50)), Some(at(20))));
    }
}

#[tokio::test]
async fn findings_open_resolve_and_stay_dismissed() {
    use FindingKind::{Changed, Corrupt, Missing};
    let (_folder, all) = databases().await;
    for db in all {
        let (mut tx, id) = volume(&db).await;
        let found = [lost(b"a", Missing), lost(b"a", Corrupt), lost(b"b\xff", Missing), lost(b"c", Changed)];
        findings::report(&mut tx, id, job(1), at(1), &found).await.unwrap();
        findings::dismiss(&mut tx, id, &path(b"b\xff"), at(2)).await.unwrap();
        findings::report(&mut tx, id, job(2), at(3), &found[..3]).await.unwrap();
        let counts = findings::counts(&mut tx, id).await.unwrap();
        assert_eq!((counts.missing, counts.corrupt, counts.changed), (1, 1, 1), "b stays dismissed");
        assert!(findings::recount(&mut tx, id).await.unwrap(), "what was kept is what a count finds");
        let losses = findings::open_losses_after(&mut tx, id, None, 10).await.unwrap();
        assert_eq!(losses, [(path(b"a"), Corrupt)], "each file once; what changed is not lost");

        let kinds = [Missing, Changed];
        let looked = |since| findings::Looked { job: job(2), since: at(since) };
        let elsewhere =
            findings::resolve_unseen(&mut tx, id, looked(3), &kinds, |_| false, at(4)).await.unwrap();
        assert_eq!(elsewhere, 0, "nobody looked there");
        let during =
            findings::resolve_unseen(&mut tx, id, looked(1), &kinds, |path| path == b"c", at(4)).await;
        assert_eq!(during.unwrap(), 0, "another job saw it while this one looked");
        let there =
            findings::resolve_unseen(&mut tx, id, looked(3), &kinds, |path| path == b"c", at(4)).await;
        assert_eq!(there.unwrap(), 1);
        assert_eq!(findings::resolve(&mut tx, id, &[path(b"a"), path(b"z")], at(5)).await.unwrap(), 2);
        assert_eq!(findings::counts(&mut tx, id).await.unwrap().total(), 0);
        findings::report(&mut tx, id, job(3), at(6), &found[..1]).await.unwrap();
        findings::report(&mut tx, id, job(3), at(6), &found[..1]).await.unwrap();
        assert_eq!(findings::counts(&mut tx, id).await.unwrap().missing, 1, "seen twice, counted once");
        assert!(findings::recount(&mut tx, id).await.unwrap());
        assert_eq!(
            findings::of_files(&mut tx, id, &[path(b"a")]).await.unwrap(),
            [(path(b"a"), Corrupt, FindingState::Resolved), (path(b"a"), Missing, FindingState::Open)],
            "found again, open again"
        );
    }
}

#[tokio::test]
async fn pages_of_findings_follow_each_other_without_gap_or_repeat() {
    let (_folder, all) = databases().await;
    for db in all {
        let (mut tx, id) = volume(&db).await;
        let found: Vec<_> = (0..7_u8)
            .flat_map(|n| {
                [
                    lost(&[b'd', b'/', 0xf8 + n], FindingKind::Missing),
                    lost(&[b'd', b'/', 0xf8 + n], FindingKind::Extra),
                ]
            })
            .collect();
        findings::report(&mut tx, id, job(1), at(1), &found).await.unwrap();
        let mut filter = FindingsFilter { limit: Some(5), ..FindingsFilter::default() };
        let mut seen = Vec::new();
        loop {
            let page = findings::page(&mut tx, id, &filter).await.unwrap().unwrap();
            assert_eq!(page.total, 14);
            seen.extend(page.findings.into_iter().map(|finding| (finding.path_hex, finding.kind.as_str())));
            filter.after = page.next;
            if filter.after.is_none() {
                break;
            }
        }
        let unique: std::collections::BTreeSet<_> = seen.iter().cloned().collect();
        assert!(seen.len() == 14 && seen.is_sorted() && unique.len() == 14, "{seen:?}");

        let ask = FindingsFilter {
            kind: Some(FindingKind::Missing),
            search: Some("d/".into()),
            ..FindingsFilter::default()
        };
        assert_eq!(findings::page(&mut tx, id, &ask).await.unwrap().unwrap().total, 7);
        let nowhere = FindingsFilter { search: Some("x".into()), ..ask };
        assert_eq!(findings::page(&mut tx, id, &nowhere).await.unwrap().unwrap().findings, []);
        let bad = FindingsFilter { after: Some("page 2".into()), ..FindingsFilter::default() };
        assert_eq!(findings::page(&mut tx, id, &bad).await.unwrap(), Err(findings::BadPage));
    }
}

#[tokio::test]
async fn a_tombstone_outlives_those_who_read_the_row_before() {
    let (_folder, all) = databases().await;
    for db in all {
        let (mut tx, id) = volume(&db).await;
        let deleted = row(b"a", 1, 1);
        catalogue::upsert(&mut tx, id, std::slice::from_ref(&deleted)).await.unwrap();
        catalogue::set_state(&mut tx, id, &[path(b"a")], FileState::Tombstone).await.unwrap();
        let state = async |tx: &mut Tx| catalogue::get(tx, id, &[path(b"a")]).await.unwrap()[0].state;

        catalogue::set_state(&mut tx, id, &[path(b"a")], FileState::Missing).await.unwrap();
        catalogue::upsert(&mut tx, id, std::slice::from_ref(&deleted)).await.unwrap();
        assert_eq!(state(&mut tx).await, FileState::Tombstone);

        let newer = CatalogueRow { mtime_ns: deleted.mtime_ns + 1, ..deleted };
        catalogue::upsert(&mut tx, id, &[newer]).await.unwrap();
        assert_eq!(state(&mut tx).await, FileState::Present, "its owner uploaded it again");
    }
}

/// What was kept is what a count finds.
async fn assert_figures_are_right(tx: &mut Tx, id: i64) -> catalogue::Figures {
    let kept = catalogue::figures(tx, id, &[0, 61]).await.unwrap();
    assert!(catalogue::recount(tx, id).await.unwrap(), "kept: {kept:?}");
    assert_eq!(catalogue::figures(tx, id, &[0, 61]).await.unwrap(), kept);
    kept
}

#[tokio::test]
async fn the_figures_are_kept_in_whatever_changes_them() {
    let (_folder, all) = databases().await;
    for db in all {
        let (mut tx, id) = volume(&db).await;
        let mut rows: Vec<_> = (0..1_500_u64).map(|n| row(format!("f{n:05}").as_bytes(), n, n % 2)).collect();
        catalogue::upsert(&mut tx, id, &rows).await.unwrap();
        let first = assert_figures_are_right(&mut tx, id).await;
        assert_eq!((first.all.files, first.held[0].files, first.held[1].files), (1_500, 750, 0));
        let paths: Vec<_> = rows.iter().map(|row| row.path.clone()).collect();

        // Other sizes and holders, one new file, and one that its owner deleted and that stays deleted.
        catalogue::set_state(&mut tx, id, &paths[..10], FileState::Tombstone).await.unwrap();
        assert_eq!(assert_figures_are_right(&mut tx, id).await.all.files, 1_490);
        rows.iter_mut().for_each(|row| (row.size, row.holders) = (row.size + 1, 1 << 61));
        rows.push(row(b"new", 7, 1));
        catalogue::upsert(&mut tx, id, &rows).await.unwrap();
        let second = assert_figures_are_right(&mut tx, id).await;
        assert_eq!((second.all.files, second.held[1].files), (1_491, 1_490));

        catalogue::set_holder(&mut tx, id, 0, &paths, true).await.unwrap();
        catalogue::set_holder(&mut tx, id, 61, &paths[..100], false).await.unwrap();
        catalogue::set_state(&mut tx, id, &paths[20..40], FileState::Missing).await.unwrap();
        catalogue::verified(&mut tx, id, &paths, at(9)).await.unwrap();
        let third = assert_figures_are_right(&mut tx, id).await;
        assert_eq!((third.held[0].files, third.held[1].files), (1_491, 1_400));
        tx.commit().await.unwrap();

        // Two at once, of the same files.
        let change = |bit: u8| {
            let (db, paths) = (db.clone(), paths.clone());
            async move {
                let mut tx = db.begin().await.unwrap();
                catalogue::set_holder(&mut tx, id, bit, &paths, bit == 61).await.unwrap();
                tx.commit().await.unwrap();
            }
        };
        tokio::join!(change(0), change(61));
        let mut tx = db.begin().await.unwrap();
        let fourth = assert_figures_are_right(&mut tx, id).await;
        assert_eq!((fourth.held[0].files, fourth.held[1].files), (1, 1_490));
    }
}

#[tokio::test]
async fn outlines_are_the_catalogue_in_pages() {
    let (_folder, all) = databases().await;
    for db in all {
        let (mut tx, id) = volume(&db).await;
        let odd = [&b"a 1 b"[..], b"caf\xe9/\xff.jpg", b"1 2 3 ", b"a\n'%d"];
        let mut rows: Vec<_> = odd.iter().map(|name| row(name, 9, (1 << 61) | 1)).collect();
        rows.extend((0..50_u64).map(|n| row(format!("f{n:02}").as_bytes(), n, n)));
        rows[0].mtime_ns = i64::MAX;
        catalogue::upsert(&mut tx, id, &rows).await.unwrap();
        catalogue::set_state(&mut tx, id, &[path(b"f07")], FileState::Tombstone).await.unwrap();
        let expected = catalogue::after(&mut tx, id, None, 100).await.unwrap();
        let expected: Vec<catalogue::Outline> = expected.into_iter().map(Into::into).collect();
        let mut found = Vec::new();
        loop {
            let after = found.last().map(|last: &catalogue::Outline| last.path.as_bytes().to_vec());
            let mut page = catalogue::outlines(&mut tx, id, after.as_deref(), 7).await.unwrap();
            if page.is_empty() {
                break;
            }
            while let Some(outline) = page.take(None).unwrap() {
                found.push(outline);
            }
        }
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn what_is_not_over_is_found_between_two_files() {
    let (_folder, all) = databases().await;
    for db in all {
        let (mut tx, id) = volume(&db).await;
        let found: Vec<_> = [&b"a"[..], b"b", b"c", b"d"].map(|name| lost(name, FindingKind::Missing)).into();
        findings::report(&mut tx, id, job(1), at(1), &found).await.unwrap();
        findings::report(&mut tx, id, job(1), at(1), &[lost(b"b", FindingKind::Corrupt)]).await.unwrap();
        findings::dismiss(&mut tx, id, &path(b"c"), at(2)).await.unwrap();
        findings::resolve(&mut tx, id, &[path(b"a")], at(2)).await.unwrap();
        let open = findings::unresolved_between(&mut tx, id, &path(b"a"), &path(b"c")).await.unwrap();
        assert_eq!(open, [path(b"b"), path(b"c")]);
    }
}

#[tokio::test]
async fn findings_that_have_long_been_over_are_forgotten() {
    let (_folder, all) = databases().await;
    for db in all {
        let (mut tx, id) = volume(&db).await;
        let found: Vec<_> = [&b"a"[..], b"b", b"c", b"d"].map(|name| lost(name, FindingKind::Missing)).into();
        findings::report(&mut tx, id, job(1), at(1), &found).await.unwrap();
        findings::resolve(&mut tx, id, &[path(b"a"), path(b"b")], at(2)).await.unwrap();
        findings::resolve(&mut tx, id, &[path(b"c")], at(9)).await.unwrap();
        assert!(findings::has_resolved(&mut tx, id, at(5)).await.unwrap());
        assert_eq!(findings::forget_resolved(&mut tx, id, at(5), 1).await.unwrap(), 1);
        assert_eq!(findings::forget_resolved(&mut tx, id, at(5), 9).await.unwrap(), 1);
        assert!(!findings::has_resolved(&mut tx, id, at(5)).await.unwrap());
        let left =
            findings::of_files(&mut tx, id, &[path(b"a"), path(b"b"), path(b"c"), path(b"d")]).await.unwrap();
        let left: Vec<_> = left.into_iter().map(|(path, _, state)| (path.to_string(), state)).collect();
        let expected = [("c".to_owned(), FindingState::Resolved), ("d".to_owned(), FindingState::Open)];
        assert_eq!(left, expected);
    }
}
