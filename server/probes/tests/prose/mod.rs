//! What the prose in `fixtures/EXPECT.tsv` says, as a test of the facts, the verdict and its reason. "warn" there is our `warning`, and
//! "healthy" our `ok`.

use salvor_domain::health::Level;
use salvor_probes::{mountinfo, xfs};

use super::Told;

type Matcher = fn(&Told) -> bool;

pub const MATCHERS: &[(&str, Matcher)] = &[
    // mdstat
    ("degraded (1 of 4 down, no rebuild running)", |md| {
        md.level("critical") && md.because(&["degraded", "1 of 4", "no rebuild is running"])
    }),
    ("degraded+rebuilding", |md| {
        md.level("warning") && md.because(&["degraded", "rebuild is running, at 8.5 %"])
    }),
    ("critical: inactive although status line says [2/2] [UU]", |md| {
        md.level("critical")
            && md.is("activity", "inactive")
            && md.because(&["not running", "status still says"])
    }),
    ("warn: full width but 2 faulty members; resync DELAYED", |md| {
        md.level("warning") && md.because(&["all 4 members work", "2 faulty", "a resync waits"])
    }),
    ("healthy, check running", |md| md.level("ok") && md.because(&["check is running"])),
    ("error: malformed component state [X] (must not be read as healthy)", |whole| {
        whole.level("unknown") && whole.says("parse", &["error: malformed component state [X]"])
    }),
    // smartctl. "upstream" is Scrutiny: it counts attributes of its own for NVMe and SAS, and calls a disk failing that only is not known.
    ("passed (18 attributes)", |disk| {
        disk.level("ok") && disk.is("passed", "True") && disk.is("attributes", "18")
    }),
    ("failed smart+scrutiny (17 attributes)", |disk| {
        disk.level("critical") && disk.is("passed", "False") && disk.is("attributes", "17")
    }),
    ("failed by observed-rate rule on attr 199; SMART passed", |disk| {
        disk.is("passed", "True") && disk.level("warning") && disk.because(&["108 CRC errors"])
    }),
    ("passed (16 attributes)", |disk| {
        disk.level("ok") && disk.is("passed", "True") && disk.is("protocol", "NVMe")
    }),
    ("failed by scrutiny on media_errors", |disk| disk.level("warning") && disk.because(&["7 media errors"])),
    ("passed (13 attributes)", |disk| disk.is("passed", "True") && disk.is("protocol", "SCSI")),
    ("failed smart (0 attributes)", |disk| disk.level("unknown") && disk.is("attributes", "(absent)")),
    ("healthy", |disk| disk.level("ok") && disk.because(&["well"])),
    ("critical: exit 216 = bits 3,4,6,7", |disk| disk.level("critical") && disk.is("exit_bits", "3,4,6,7")),
    ("warn at most: cable/CRC counter, not media; alert on delta", |disk| {
        disk.level("warning") && disk.because(&["CRC errors", "cable"]) && !disk.because(&["replace"])
    }),
    ("warn/critical: media_errors=7", |disk| disk.level("warning") && disk.because(&["7 media errors"])),
    ("warn: grown defects 56, uncorrected 0; smartctl block absent", |disk| {
        disk.level("warning") && disk.because(&["56 grown defects"]) && !disk.because(&["uncorrected"])
    }),
    ("unknown (device could not be opened), never healthy, never \"disk failing\"", |disk| {
        disk.level("unknown")
            && disk.because(&["could not be asked", "Open failed"])
            && !disk.because(&["failing"])
    }),
    ("unknown: RAID volume, no SMART, temp 0 is not a temperature", |disk| {
        disk.level("unknown") && disk.because(&["RAID volume", "no SMART", "0 °C are not a temperature"])
    }),
    ("warn: passed but 304 reallocated", |disk| {
        disk.level("warning") && disk.because(&["304 replaced sectors", "calls itself well"])
    }),
    ("critical: 535 uncorrected writes, 260 grown defects though passed=true", |disk| {
        disk.level("critical")
            && disk.because(&["535 uncorrected writes", "260 grown defects", "calls itself well"])
    }),
    ("healthy/info: exit 64 = old error-log entries only", |disk| {
        disk.level("ok") && disk.is("exit_bits", "6") && disk.because(&["old entries in its error log"])
    }),
    // zpool
    ("scrub finished, 0 errors", |pool| pool.is("scan_state", "finished") && pool.is("scan_errors", "0")),
    ("absent in file (no data-error statement)", |pool| {
        pool.is("errors_line", "absent") && pool.is("data_errors", "None") && !pool.level("ok")
    }),
    ("scrub repaired 0B in 14h7m with 1 errors", |pool| {
        pool.says("scan", &["scrub repaired 0B in 14h7m with 1 errors"]) && pool.is("scan_errors", "1")
    }),
    ("critical although state ONLINE and all vdev counters 0", |pool| {
        pool.level("critical") && pool.is("state", "ONLINE") && pool.because(&["1 data error"])
    }),
    ("in progress 0.00% done, no ETA (704G/1.66T scanned, 0B issued)", |pool| {
        pool.is("scan_state", "scrubbing")
            && pool.is("scan_pct", "0.0")
            && pool.is("scan_eta", "none")
            && pool.says("scan", &["704G / 1.66T scanned", "0B / 1.66T issued", "0.00% done"])
    }),
    ("scrub 10:42:32, 0 errors", |pool| pool.says("scan", &["10:42:32"]) && pool.is("scan_errors", "0")),
    ("none (no scan line)", |pool| pool.is("scan", "none") && pool.is("scan_state", "never")),
    ("healthy but never scrubbed", |pool| pool.level("ok") && pool.because(&["never scrubbed"])),
    ("scrub 11:16:03, 0 errors", |pool| pool.says("scan", &["11:16:03"]) && pool.is("scan_errors", "0")),
    ("healthy (status: text = upgrade notice only)", |pool| {
        pool.level("ok") && pool.says("status", &["features are not enabled"])
    }),
    ("3 healthy, rpool degraded", |whole| {
        whole.level("critical") && whole.because(&["3 of 4", "not so: rpool"])
    }),
    ("warn/critical although ONLINE", |pool| pool.level("critical") && pool.is("state", "ONLINE")),
    // Alertmanager
    (
        "no fingerprint, no truncatedAlerts, no per-alert status, no generatorURL; startsAt has -05:00 offset: all must be optional",
        |payload| {
            payload.is("note", "no fingerprint, no truncatedAlerts, no per-alert status, no generatorURL")
                && payload.is("startsAt", "2018-03-07T06:33:21.873077559-05:00")
                && payload.level("warning")
        },
    ),
    // ext4, XFS
    ("True via emergency_ro; vfs flags and super opts both say rw", |fs| {
        fs.level("critical") && fs.is("readonly", "True") && fs.because(&["emergency_ro"])
    }),
    ("still plain rw; every access EIO", |fs| {
        let mounts = mountinfo::parse("43 27 7:0 / /srv/x rw,relatime - xfs /dev/loop0 rw,attr2,noquota");
        let access = xfs::reading("fs:/srv/x", Err(5)).level;
        fs.level("critical")
            && mounts.iter().all(|mount| mount.read_only().is_none())
            && access == Level::Critical
    }),
    // e2fsck
    ("not strictly increasing: \"5 4 4\" then \"5 3 4\" then \"5 4 4\"", |check| {
        check.says("note", &["not strictly increasing", "\"5 4 4\" then \"5 3 4\""])
            && check.is("last", "5 4 4 salvor-a")
    }),
    // statvfs
    ("critical: create=ENOSPC with 91.7% blocks free", |fs| {
        fs.level("critical") && fs.is("avail_pct", "91.7")
    }),
    ("root reserve: bavail not bfree", |fs| fs.is("avail_pct", "0.0") && fs.level("critical")),
];
