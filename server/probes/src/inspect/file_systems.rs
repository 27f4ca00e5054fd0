//! Texts about file systems, told apart by what they say, and given to the probes that read them.

use salvor_domain::health::thresholds::Thresholds;
use salvor_domain::health::{Level, Reading};

use super::{Subject, WHOLE};
use crate::mountinfo::Mount;
use crate::{btrfs, diskstats, ext4, kernel_log, mountinfo, space};

/// The one that a text is about, where it does not give it a name of its own.
const FS: &str = "fs";

/// The files `errors_count` and so on of `/sys/fs/ext4/…`, with or without a line of mountinfo; or lines of the kernel's log.
pub fn ext4(text: &str) -> Vec<Subject> {
    if !text.lines().any(|line| line.starts_with("errors_count=")) {
        return kernel_log(text);
    }
    let counts = ext4::Counts::parse(text).reading(FS);
    let mount = mountinfo::parse(text).into_iter().find(|mount| mount.kind == "ext4");
    let mount = mount.map(|mount| mount.reading(FS, true));
    vec![together([counts].into_iter().chain(mount))]
}

/// Lines of the kernel's log: one for each device that they say something of. Silence is not proof.
pub fn kernel_log(text: &str) -> Vec<Subject> {
    let mut ledger = kernel_log::Ledger::default();
    kernel_log::lines(text).for_each(|line| ledger.note(&line));
    let heard: Vec<(&str, &kernel_log::Heard)> = ledger.all().collect();
    match heard[..] {
        [] => vec![Subject::unknown(FS, "no line says anything of a file system or a disk")],
        [(device, heard)] => vec![Subject::of(FS, heard.reading(FS, device))],
        _ => {
            heard.iter().map(|(device, heard)| Subject::of(*device, heard.reading(device, device))).collect()
        }
    }
}

/// Device stats, a scrub, `filesystem show`, or lines of mountinfo.
pub fn btrfs(text: &str) -> Vec<Subject> {
    if text.trim_start().starts_with('{') || text.contains("_errs") {
        return vec![match btrfs::stats(text) {
            Ok(stats) => Subject::of(FS, stats.reading(FS, None)),
            Err(problem) => Subject::unknown(FS, problem),
        }];
    }
    if let Some(scrub) = btrfs::scrub::parse(text) {
        return vec![Subject::of(FS, scrub.reading(FS))];
    }
    let shown = btrfs::show(text);
    if let [only] = &shown[..] {
        return vec![Subject::of(FS, only.reading(FS))];
    }
    if !shown.is_empty() {
        return shown.iter().map(|one| Subject::of(&*one.label, one.reading(&one.label))).collect();
    }
    let mounts: Vec<Mount> =
        mountinfo::parse(text).into_iter().filter(|mount| mount.kind == "btrfs").collect();
    match &mounts[..] {
        [] => vec![Subject::unknown(
            FS,
            "it is neither device stats, a scrub, filesystem show nor a btrfs in mountinfo",
        )],
        [mount] => vec![Subject::of(FS, mount.reading(FS, true))],
        _ => {
            mounts.iter().map(|mount| Subject::of(&*mount.point, mount.reading(&mount.point, true))).collect()
        }
    }
}

/// `/proc/self/mountinfo` or `/proc/diskstats`.
pub fn proc(text: &str) -> Vec<Subject> {
    let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
    let mounts = mountinfo::parse(text);
    let understood = if mounts.is_empty() { diskstats::parse(text).len() } else { mounts.len() };
    let whole = match lines - understood.min(lines) {
        _ if lines == 0 => Subject::unknown(WHOLE, "it is empty"),
        0 => Subject::new(WHOLE, Level::Ok, "every line is understood"),
        bad => {
            Subject::unknown(WHOLE, format!("{bad} of {lines} lines are not those of mountinfo or diskstats"))
        }
    };
    let kept =
        mounts.iter().filter(|mount| matches!(&*mount.kind, "btrfs" | "ext2" | "ext3" | "ext4" | "xfs"));
    let mounts = kept.map(|mount| Subject::of(&*mount.point, mount.reading(&mount.point, false)));
    [whole.with("lines", lines)].into_iter().chain(mounts).collect()
}

/// Lines such as `uploads f_frsize=1024 f_blocks=27860 …`.
pub fn statvfs(text: &str) -> Vec<Subject> {
    let limits = Thresholds::default().space;
    let told: Vec<Subject> = space::parse(text)
        .into_iter()
        .map(|(name, space)| match space {
            Ok(space) => Subject::of(&*name, space.reading(&name, &limits)),
            Err(problem) => Subject::unknown(name, problem),
        })
        .collect();
    if told.is_empty() {
        vec![Subject::unknown(FS, "no line has values such as f_blocks=27860")]
    } else {
        told
    }
}

/// Several readings of the same thing as one: the worst speaks first.
fn together(readings: impl Iterator<Item = Reading>) -> Subject {
    let mut readings: Vec<Reading> = readings.collect();
    readings.sort_by_key(|reading| std::cmp::Reverse(reading.level));
    let reasons: Vec<&str> = readings.iter().map(|reading| reading.reason.as_str()).collect();
    let level = readings.first().map_or(Level::Unknown, |reading| reading.level);
    let mut subject = Subject::new(FS, level, reasons.join("; "));
    subject.stops_writes = readings.iter().any(|reading| reading.stops_writes);
    subject.facts = readings.into_iter().flat_map(|reading| reading.facts).collect();
    subject
}
