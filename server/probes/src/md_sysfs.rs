//! Software RAID as sysfs has it: `/sys/block/md0/md/…`, one value a file.

use std::collections::BTreeMap;

use salvor_domain::health::thresholds::Thresholds;
use salvor_domain::health::{Level, Probe, Reading};

use crate::inspect::{Subject, WHOLE};
use crate::md::{Array, Running, Work};

/// Values by their path beneath `/sys/block/NAME/md`: `level`, `array_state`, `dev-sda1/state`, …
pub type Values = BTreeMap<String, String>;

/// Of the array `name`, a node of that name.
pub fn reading(name: &str, values: &Values, thresholds: &Thresholds) -> Reading {
    array(name, values, thresholds).into_reading(Probe::Md, name)
}

/// Of lines such as `sys/block/md1/md/array_state=clean`.
pub fn inspect(text: &str) -> Vec<Subject> {
    let mut arrays: BTreeMap<&str, Values> = BTreeMap::new();
    for line in text.lines() {
        let Some((path, value)) = line.split_once('=') else { continue };
        let Some((name, path)) = path.split_once("block/").and_then(|(_, path)| path.split_once("/md/"))
        else {
            continue;
        };
        arrays.entry(name).or_default().insert(path.to_owned(), value.to_owned());
    }
    if arrays.is_empty() {
        return vec![Subject::unknown(WHOLE, "no line has the form sys/block/md0/md/array_state=clean")];
    }
    arrays.iter().map(|(name, values)| array(name, values, &Thresholds::default())).collect()
}

fn array(name: &str, values: &Values, thresholds: &Thresholds) -> Subject {
    read(name, values, thresholds).unwrap_or_else(|problem| Subject::unknown(name, problem))
}

fn read(name: &str, values: &Values, thresholds: &Thresholds) -> Result<Subject, String> {
    let value = |path: &str| values.get(path).map(|value| value.trim()).filter(|value| !value.is_empty());
    let needed = |path: &str| value(path).ok_or_else(|| format!("{path} is missing"));
    let number = |path: &str| {
        let text = needed(path)?;
        text.parse::<u64>().map_err(|_| format!("{path} is \"{text}\", which is no number"))
    };
    let level = needed("level")?;
    let state = needed("array_state")?;
    let width = number("raid_disks")?;
    // An array without redundancy, and one that does not run, has neither of these.
    let has_redundancy = !matches!(level, "raid0" | "linear");
    let running = running(state, value("metadata_version").unwrap_or_default(), level)?;
    let is_up = matches!(running, Running::Yes | Running::ReadOnly);
    let down = if has_redundancy && is_up { number("degraded")? } else { 0 };
    let action = if has_redundancy && is_up { needed("sync_action")? } else { "idle" };
    let ratio = value("sync_completed").and_then(ratio);
    let members = |flag: &str| members(values, flag);
    let faulty = members("faulty");
    let mismatches = value("mismatch_cnt").and_then(|count| count.parse::<u64>().ok());
    let percent = ratio.map(|ratio| (ratio * 1000.0).round() / 10.0);
    let array = Array {
        name,
        level,
        running,
        width,
        down,
        faulty: faulty.len() as u64,
        work: work(action, percent)?,
    };
    let mut subject = array.judge();
    // Writes in flight make mirrors differ for a moment without harm: md(4). Others should not.
    if let Some(count) = mismatches.filter(|&count| count > thresholds.md.warning_mismatches)
        && !matches!(level, "raid1" | "raid10")
        && subject.level < Level::Warning
    {
        subject.level = Level::Warning;
        subject.reason = format!(
            "its last check found {count} sectors that do not fit each other: run repair after a look at its disks"
        );
    }
    Ok(subject
        .with("level", level)
        .with("array_state", state)
        .with("raid_disks", width)
        .with("degraded", down)
        .with("sync_action", action)
        .with_some("faulty", joined(&faulty))
        .with_some("spare", joined(&members("spare")))
        .with_some("mismatch_cnt", mismatches)
        .with_some("sync_completed_ratio", ratio))
}

fn running(state: &str, metadata: &str, level: &str) -> Result<Running, String> {
    Ok(match state {
        "clean" | "active" | "active-idle" | "write-pending" | "read-auto" => Running::Yes,
        "readonly" => Running::ReadOnly,
        "inactive"
            if level == "container" || (metadata.starts_with("external:") && !metadata.contains('/')) =>
        {
            Running::Container
        }
        "clear" | "inactive" | "suspended" | "broken" => Running::No,
        _ => return Err(format!("array_state is \"{state}\", which md does not have")),
    })
}

fn work(action: &str, percent: Option<f64>) -> Result<Work, String> {
    Ok(match action {
        "idle" | "frozen" => Work::None,
        "check" => Work::Check,
        "recover" => Work::Rebuild(percent),
        "resync" | "repair" => Work::Resync(percent),
        "reshape" => Work::Reshape,
        _ => return Err(format!("sync_action is \"{action}\", which md does not have")),
    })
}

/// Names of the members whose state has this flag: `dev-sdp/state` is `faulty`, or `faulty,write_error`.
fn members<'a>(values: &'a Values, flag: &str) -> Vec<&'a str> {
    values
        .iter()
        .filter_map(|(path, state)| {
            let name = path.strip_prefix("dev-")?.strip_suffix("/state")?;
            state.trim().split(',').any(|word| word == flag).then_some(name)
        })
        .collect()
}

fn joined(names: &[&str]) -> Option<String> {
    (!names.is_empty()).then(|| names.join(", "))
}

/// Of `1569888 / 2093056`, to ten digits; `none` and `delayed` have none.
fn ratio(text: &str) -> Option<f64> {
    let (done, all) = text.split_once('/')?;
    let (done, all) = (done.trim().parse::<f64>().ok()?, all.trim().parse::<f64>().ok()?);
    (all > 0.0).then(|| (done / all * 1e10).round() / 1e10)
}
