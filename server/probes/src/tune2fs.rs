//! `tune2fs -l`: what an ext4 keeps in its superblock, also while it is not mounted.

use std::collections::BTreeMap;

use salvor_domain::health::Level;

use crate::inspect::Subject;

pub fn is_one(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("Filesystem state:"))
}

pub fn inspect(text: &str) -> Vec<Subject> {
    let values: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect();
    vec![judge(&values)]
}

fn judge(values: &BTreeMap<&str, &str>) -> Subject {
    let value = |key: &str| values.get(key).copied().filter(|value| !value.is_empty());
    let Some(state) = value("Filesystem state") else {
        return Subject::unknown("fs", "the line \"Filesystem state\" is missing or empty");
    };
    // The line is there only once an error was counted.
    let count = value("FS Error count").map_or(Ok(0), str::parse::<u64>);
    let Ok(count) = count else {
        return Subject::unknown("fs", "\"FS Error count\" is no number").with("state", state);
    };
    let first = value("First error function");
    let subject = match state {
        _ if state.contains("error") || count > 0 => {
            let place = first.map_or_else(String::new, |function| format!(", first in {function}"));
            let reason = format!(
                "the state is \"{state}\" and {count} errors are counted{place}: unmount it and run e2fsck"
            );
            Subject::new("fs", Level::Critical, reason).stopping_writes()
        }
        "clean" => Subject::new("fs", Level::Ok, "the superblock says clean, and counts no errors"),
        "not clean" => Subject::new(
            "fs",
            Level::Warning,
            "it was not unmounted cleanly: run e2fsck before the next mount",
        ),
        _ => Subject::unknown("fs", format!("its state \"{state}\" is not one that ext4 has")),
    };
    subject
        .with("state", state)
        .with("fs_error_count", count)
        .with_some("errors_behavior", value("Errors behavior"))
        .with_some("last_checked", value("Last checked"))
        .with_some("first_error_time", value("First error time"))
        .with_some("first_error_func", first)
        .with_some(
            "first_error_ino",
            value("First error inode #").and_then(|inode| inode.parse::<u64>().ok()),
        )
        .with_some("first_error_err", value("First error err"))
        .with_some("last_error_time", value("Last error time"))
}
