//! How bad what is, where the recorded outputs do not reach.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use salvor_domain::health::thresholds::Thresholds;
use salvor_domain::health::{Facts, Level, Reading};
use salvor_probes::alertmanager::Payload;
use salvor_probes::inspect::{Subject, inspect};
use salvor_probes::{e2fsck, md_sysfs, mdstat, smart, zfs_kstat, zpool};

fn only(kind: &str, text: &str) -> Subject {
    let mut subjects = inspect(kind, Path::new("tank-state.txt"), text).unwrap().subjects;
    subjects.retain(|subject| subject.name != "*");
    assert_eq!(subjects.len(), 1, "{subjects:?}");
    subjects.remove(0)
}

fn fixture(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)).unwrap()
}

// md

fn array(head: &str, status: &str) -> Reading {
    let text = format!("Personalities : [raid1]\nmd0 : {head}\n      {status}\n\nunused devices: <none>\n");
    mdstat::readings(&text).remove(0)
}

#[test]
fn an_array_that_lost_more_than_it_can_stops_writes() {
    for (head, status, level, stops) in [
        ("active raid5 a[0] b[1] c[2]", "9 blocks [3/3] [UUU]", Level::Ok, false),
        ("active raid5 a[0] b[1] c[2](F)", "9 blocks [3/2] [UU_]", Level::Critical, false),
        ("active raid5 a[0] b[1](F) c[2](F)", "9 blocks [3/1] [U__]", Level::Critical, true),
        ("active raid6 a[0] b[1](F) c[2](F) d[3]", "9 blocks [4/2] [U__U]", Level::Critical, false),
        ("broken raid0 a[0] b[1](F)", "9 blocks 64k chunks", Level::Critical, true),
        ("inactive a[0](S)", "9 blocks super 1.2", Level::Critical, true),
        ("inactive b[1](S) a[0](S)", "9 blocks super external:imsm", Level::Ok, false),
        ("active (read-only) raid1 a[0] b[1]", "9 blocks [2/2] [UU]", Level::Warning, false),
        ("active (auto-read-only) raid1 a[0] b[1]", "9 blocks [2/2] [UU]", Level::Ok, false),
        ("active raid1 a[0] b[1](Q)", "9 blocks [2/2] [UU]", Level::Unknown, false),
        ("active raid1 a[0] b[1]", "9 blocks [2/1] [UU]", Level::Unknown, false),
        ("active raid1 a[0] b[1]", "9 blocks", Level::Unknown, false),
        ("resting raid1 a[0] b[1]", "9 blocks [2/2] [UU]", Level::Unknown, false),
    ] {
        let reading = array(head, status);
        assert_eq!((reading.level, reading.stops_writes), (level, stops), "{head}: {}", reading.reason);
        assert_eq!(reading.subject, "md0");
    }
}

fn sysfs(changes: &[(&str, &str)]) -> Reading {
    let usual = [
        ("level", "raid5"),
        ("array_state", "clean"),
        ("raid_disks", "3"),
        ("degraded", "0"),
        ("sync_action", "idle"),
        ("sync_completed", "none"),
        ("dev-sda/state", "in_sync"),
    ];
    let mut values: md_sysfs::Values =
        usual.iter().map(|&(path, value)| (path.into(), value.into())).collect();
    for &(path, value) in changes {
        match value {
            "" => values.remove(path),
            _ => values.insert(path.into(), format!("{value}\n")),
        };
    }
    md_sysfs::reading("md0", &values, &Thresholds::default())
}

#[test]
fn sysfs_tells_the_same() {
    for (changes, level, stops) in [
        (&[][..], Level::Ok, false),
        (&[("degraded", "1")], Level::Critical, false),
        (
            &[("degraded", "1"), ("sync_action", "recover"), ("sync_completed", "1 / 2")],
            Level::Warning,
            false,
        ),
        (&[("degraded", "2")], Level::Critical, true),
        (&[("degraded", "")], Level::Unknown, false),
        (&[("level", "raid0"), ("degraded", ""), ("sync_action", "")], Level::Ok, false),
        (&[("array_state", "inactive"), ("degraded", "")], Level::Critical, true),
        (&[("array_state", "odd")], Level::Unknown, false),
        (&[("mismatch_cnt", "1024")], Level::Ok, false),
        (&[("mismatch_cnt", "1025")], Level::Warning, false),
        (&[("mismatch_cnt", "1025"), ("level", "raid1")], Level::Ok, false),
        (&[("dev-sdb/state", "faulty,write_error")], Level::Warning, false),
    ] {
        let reading = sysfs(changes);
        assert_eq!((reading.level, reading.stops_writes), (level, stops), "{changes:?}: {}", reading.reason);
    }
}

#[test]
fn mdadm_says_it_in_words() {
    let degraded = fixture("mdadm-detail/raid1-faulty-with-spare.txt");
    assert_eq!(only("mdadm-detail", &degraded).level, Level::Warning, "a rebuild is running");
    let failed = degraded.replace("clean, degraded, recovering", "active, FAILED");
    assert!(only("mdadm-detail", &failed).stops_writes);
    let cut = degraded.replace("Failed Devices : 1", "");
    assert_eq!(only("mdadm-detail", &cut).level, Level::Unknown);
}

// Disks

fn disk(text: &str, before: Option<&Facts>) -> Reading {
    let reading = smart::reading("sda", text, &Thresholds::default());
    match before {
        None => reading,
        Some(before) => smart::with_growth(reading, before),
    }
}

#[test]
fn a_counter_that_grew_is_a_warning() {
    let text = fixture("smartctl/sata-hgst-errlog-exit64.json");
    let first = disk(&text, None);
    assert_eq!((first.level, first.subject.as_str()), (Level::Ok, "sda"));
    assert_eq!(disk(&text, Some(&first.facts)).level, Level::Ok, "it did not grow");
    let before = Facts::from([("udma_crc".into(), 11.into())]);
    let grown = disk(&text, Some(&before));
    assert_eq!(grown.level, Level::Warning);
    assert!(
        grown.reason.contains("CRC errors on the cable grew from 11 to 12 within a day"),
        "{}",
        grown.reason
    );
    assert_eq!(grown.facts["occurrence"], "12", "it calls again when it grows further");
    let failing = Reading { level: Level::Critical, ..first };
    assert_eq!(smart::with_growth(failing, &before).level, Level::Critical);
}

#[test]
fn heat_is_told_and_no_temperature_is_none() {
    let text = fixture("smartctl/sata-wd140-healthy.json");
    let at =
        |degrees: u32| disk(&text.replace("\"current\": 32", &format!("\"current\": {degrees}")), None).level;
    assert_eq!(
        [at(54), at(55), at(64), at(65)],
        [Level::Ok, Level::Warning, Level::Warning, Level::Critical]
    );
    let volume = disk(&fixture("smartctl/raid-volume-no-smart.json"), None);
    assert!(volume.level == Level::Unknown && !volume.facts.contains_key("temp_c"));
    let hot = fixture("smartctl/sas-seagate-grown56.json").replace("\"current\": 34", "\"current\": 70");
    assert_eq!(disk(&hot, None).level, Level::Critical, "beyond what the disk itself allows");
    let none = fixture("smartctl/sas-seagate-grown56.json").replace("\"current\": 34", "\"current\": 0");
    assert!(!disk(&none, None).facts.contains_key("temp_c"));
}

#[test]
fn nvme_says_how_much_is_left() {
    let text = fixture("smartctl/nvme-intel-healthy.json");
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        disk(&text.replace(from, to), None)
    };
    assert_eq!(with("\"available_spare\": 100", "\"available_spare\": 9").level, Level::Critical);
    assert_eq!(with("\"percentage_used\": 0", "\"percentage_used\": 95").level, Level::Warning);
    let warned = with("\"critical_warning\": 0", "\"critical_warning\": 9");
    assert_eq!(warned.level, Level::Critical);
    assert!(warned.reason.contains("spare blocks run out, read-only"), "{}", warned.reason);
}

#[test]
fn a_disk_that_sleeps_or_says_nothing_is_not_known() {
    let asleep = r#"{"smartctl":{"exit_status":2,"messages":[{"string":"Device is in STANDBY mode, exit(2)"}]},"device":{"protocol":"ATA"}}"#;
    assert_eq!(disk(asleep, None).level, Level::Unknown);
    let silent = fixture("smartctl/sata-wd140-healthy.json").replace("\"passed\": true", "\"other\": true");
    let reading = disk(&silent, None);
    assert_eq!(
        reading.level,
        Level::Unknown,
        "counters of zero alone do not make a disk well: {}",
        reading.reason
    );
}

// ZFS

#[test]
fn a_pool_is_as_bad_as_the_worst_that_is_said_of_it() {
    let text = fixture("zpool-text/jc-v4-features.txt");
    let scan = "scrub repaired 0B in 11:16:03 with 0 errors on Sun Feb 12 11:40:04 2023";
    for (from, to, level, words) in [
        (scan, scan, Level::Ok, "the pool is online"),
        (scan, "scrub canceled on Sun Feb 12 11:40:04 2023", Level::Ok, "canceled, and vouches for nothing"),
        (scan, "scrub repaired 0B in 11:16:03 with 2 errors on Sun Feb 12", Level::Critical, "left 2 errors"),
        ("No known data errors", "3 data errors, use '-v' for a list", Level::Critical, "3 data errors"),
        (
            "No known data errors",
            "Permanent errors have been detected in the following files:\n\n        /tank/a b\n        <metadata>:<0x0>",
            Level::Critical,
            "2 data errors",
        ),
        (
            "No known data errors",
            "List of errors unavailable: permission denied",
            Level::Unknown,
            "nothing is said",
        ),
        (" state: ONLINE", " state: DEGRADED", Level::Critical, "degraded"),
        (" state: ONLINE", " state: SUSPENDED", Level::Critical, "suspended"),
        (" state: ONLINE", " state: SHINY", Level::Unknown, "\"SHINY\""),
        (
            "wwn-0x5000c500c65ac66f  ONLINE       0     0     0",
            "wwn-0x5000c500c65ac66f  ONLINE       0     0  1.5K",
            Level::Warning,
            "count 1536 ",
        ),
        (
            "wwn-0x5000c500c65ac66f  ONLINE ",
            "wwn-0x5000c500c65ac66f  OFFLINE",
            Level::Warning,
            "wwn-0x5000c500c65ac66f OFFLINE",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        let pool = only("zpool-text", &text.replacen(from, to, 1));
        assert_eq!(pool.level, level, "{to}: {}", pool.reason);
        assert!(pool.reason.contains(words), "{to}: {}", pool.reason);
        assert_eq!(pool.stops_writes, to.contains("SUSPENDED"));
    }
    let resilver = text.replace(" state: ONLINE", " state: DEGRADED").replace(
        scan,
        "resilver in progress since Sun Feb 12 11:40:04 2023\n\t1G scanned, 2.50% done, 01:00:00 to go",
    );
    let pool = only("zpool-text", &resilver);
    assert_eq!((pool.level, &pool.facts["scan_pct"]), (Level::Warning, &2.5.into()), "{}", pool.reason);
}

/// Without `--json-int` ZFS writes its numbers as people read them.
#[test]
fn json_with_words_for_numbers_is_read_as_well() {
    let json = |errors: &str, scan_errors: &str| {
        format!(
            r#"{{"pools":{{"tank":{{"name":"tank","state":"ONLINE","error_count":"0",
            "scan_stats":{{"function":"SCRUB","state":"FINISHED","errors":"{scan_errors}","to_examine":"93.6G"}},
            "vdevs":{{"tank":{{"name":"tank","state":"ONLINE","read_errors":"{errors}"}}}}}}}}}}"#
        )
    };
    let reading = |text: &str| zpool::readings(text).remove(0);
    let well = reading(&json("0", "0"));
    assert_eq!((well.level, well.subject.as_str()), (Level::Ok, "pool:tank"));
    assert_eq!(reading(&json("1.2K", "0")).level, Level::Warning);
    assert_eq!(reading(&json("0", "1")).level, Level::Critical);
    let odd = reading(&json("0", "many"));
    assert_eq!(odd.facts["scan_state"], "unknown", "{}", odd.reason);
}

#[test]
fn no_pool_is_well_only_where_zpool_says_so() {
    let verdict = |text| inspect("zpool-text", Path::new("-"), text).unwrap().verdict();
    assert_eq!(verdict("no pools available\n"), Level::Ok);
    assert_eq!(verdict("The ZFS modules are not loaded.\n"), Level::Unknown);
}

#[test]
fn a_pool_has_the_name_of_its_file() {
    for (file, name) in
        [("/proc/spl/kstat/zfs/tank/state", "tank"), ("pool2-state.txt", "pool2"), ("-", "pool")]
    {
        let subjects = inspect("zfs-kstat", Path::new(file), "DEGRADED\n").unwrap().subjects;
        assert_eq!((subjects[0].name.as_str(), subjects[0].level), (name, Level::Critical));
    }
    assert!(zfs_kstat::reading("tank", "SUSPENDED\n").stops_writes);
}

// Checks of file systems

#[test]
fn a_check_that_repaired_is_not_simply_well() {
    let last = "uploads: 515/51200 files (0.0% non-contiguous), 8346/51200 blocks\n";
    for (text, level, code) in [
        (last.to_owned(), Level::Ok, Some(0)),
        ("/dev/sda1: clean, 515/51200 files, 8346/51200 blocks\n".to_owned(), Level::Ok, Some(0)),
        (format!("\nuploads: ***** FILE SYSTEM WAS MODIFIED *****\n{last}"), Level::Warning, Some(1)),
        (
            format!(
                "uploads: ***** FILE SYSTEM WAS MODIFIED *****\nuploads: ********** WARNING: Filesystem still has errors **********\n{last}"
            ),
            Level::Critical,
            Some(4),
        ),
        ("/dev/sda1: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.\n".to_owned(), Level::Critical, Some(4)),
        ("Pass 1: Checking inodes, blocks, and sizes\n".to_owned(), Level::Unknown, None),
    ] {
        assert_eq!(only("e2fsck", &text).level, level, "{text}");
        assert_eq!(e2fsck::Summary::read(&text).exit_code(), code, "{text}");
    }
}

#[test]
fn the_share_that_is_done_grows_from_pass_to_pass() {
    let share = |line: &str| line.parse::<e2fsck::Progress>().unwrap().share();
    let shares = ["1 0 2 a", "1 2 2 a", "2 5 10 a b", "3 1 1 a", "4 0 0 a", "5 4 4 a"].map(share);
    assert!(shares.is_sorted() && shares[0] == 0.0 && shares[5] == 1.0, "{shares:?}");
    for line in ["", "1 2 3", "6 1 1 a", "0 1 1 a", "1 -1 1 a", "Pass 1: Checking"] {
        assert!(line.parse::<e2fsck::Progress>().is_err(), "{line}");
    }
}

#[test]
fn xfs_repair_is_well_only_at_its_end_and_without_a_word_too_much() {
    let clean = "Phase 1 - find and verify superblock...\nPhase 2 - using internal log\n        - zero log...\n\
        Phase 7 - verify link counts...\nNo modify flag set, skipping filesystem flush and exiting.\n";
    assert_eq!(only("xfs", clean).level, Level::Ok);
    let worse = clean.replace("Phase 7", "something new is odd with inode 7\nPhase 7");
    assert_eq!(only("xfs", &worse).level, Level::Critical);
}

#[test]
fn a_superblock_with_errors_stops_writes() {
    let tripped = fixture("ext4/tune2fs-tripped.txt");
    let fs = only("ext4", &tripped);
    assert!(fs.level == Level::Critical && fs.stops_writes && fs.reason.contains("htree_dirblock_to_tree"));
    let counted = tripped.replace("clean with errors", "clean");
    assert_eq!(only("ext4", &counted).level, Level::Critical, "the count alone says it");
    assert_eq!(only("ext4", "Filesystem state:         clean\n").level, Level::Ok);
    assert_eq!(only("ext4", "Filesystem state:         not clean\n").level, Level::Warning);
}

// Alertmanager

#[test]
fn an_alert_needs_nothing_but_itself() {
    let payload = Payload::parse(
        r#"{"alerts":[{},{"labels":null,"annotations":null,"status":"resolved"}],"commonLabels":null}"#,
    )
    .unwrap();
    let [one, two] = &payload.alerts[..] else { panic!("two alerts") };
    assert!(payload.is_firing(one) && !payload.is_firing(two));
    assert_eq!((one.level(), one.host(), one.node()), (Level::Warning, None, None));
    assert!(Payload::parse("{}").is_err());
}

#[test]
fn an_alert_tells_what_it_is_about() {
    let payload = Payload::parse(&fixture("alertmanager/firing-2.json")).unwrap();
    let alert = &payload.alerts[0];
    assert_eq!((alert.key().as_str(), alert.name()), ("97fdec0cf487e7a0", "NodeRAIDDegraded"));
    assert_eq!((alert.host(), alert.node().as_deref()), (Some("store1"), Some("md0")));
    assert_eq!((alert.level(), alert.ends_at()), (Level::Critical, None), "the year 1 is no end");
    assert_eq!(alert.starts_at().unwrap().to_rfc3339(), "2026-11-22T20:34:15.959725516+00:00");
    let labelled = |labels: &str| {
        Payload::parse(&format!(r#"{{"alerts":[{{"labels":{labels}}}]}}"#)).unwrap().alerts.remove(0)
    };
    let alert = labelled(
        r#"{"instance":"store2:9100","mountpoint":"/srv/a","device":"/dev/sda1","severity":"info"}"#,
    );
    assert_eq!(
        (alert.host(), alert.node().as_deref(), alert.level()),
        (Some("store2"), Some("fs:/srv/a"), Level::Ok)
    );
    assert_eq!(labelled(r#"{"b":"2","a":"1"}"#).key(), "a=1,b=2");
}

#[test]
fn alerts_that_were_left_out_are_not_forgotten() {
    let text =
        fixture("alertmanager/truncated.json").replace("\"status\":\"firing\"", "\"status\":\"resolved\"");
    assert_eq!(only("alertmanager", &text).level, Level::Unknown);
}
