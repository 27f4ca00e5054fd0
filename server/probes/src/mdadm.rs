//! `mdadm --detail`: one array, or several one after the other.

use std::collections::BTreeMap;

use crate::inspect::{Subject, WHOLE};
use crate::md::{Array, Running, Work};

/// A text about one array calls it `array`; of several, each has its device's name.
pub fn inspect(text: &str) -> Vec<Subject> {
    let mut arrays: Vec<(&str, BTreeMap<&str, &str>)> = Vec::new();
    for line in text.lines() {
        if let Some(device) = line.strip_suffix(':').filter(|line| line.starts_with('/')) {
            arrays.push((device, BTreeMap::new()));
        } else if let (Some((_, values)), Some((key, value))) = (arrays.last_mut(), line.split_once(" : ")) {
            values.entry(key.trim()).or_insert(value.trim());
        }
    }
    match &arrays[..] {
        [] => vec![Subject::unknown(
            WHOLE,
            "it does not begin with the device of an array, as in \"/dev/md0:\"",
        )],
        [(device, values)] => vec![array("array", device, values)],
        _ => arrays.iter().map(|(device, values)| array(device, device, values)).collect(),
    }
}

fn array(name: &str, device: &str, values: &BTreeMap<&str, &str>) -> Subject {
    read(name, device, values).unwrap_or_else(|problem| Subject::unknown(name, problem))
}

fn read(name: &str, device: &str, values: &BTreeMap<&str, &str>) -> Result<Subject, String> {
    let needed = |key: &str| values.get(key).copied().ok_or_else(|| format!("the line \"{key}\" is missing"));
    let number = |key: &str| {
        let text = needed(key)?;
        text.parse::<u64>().map_err(|_| format!("{key} is \"{text}\", which is no number"))
    };
    let percent = |key: &str| {
        values
            .get(key)
            .and_then(|text| text.split_once('%'))
            .and_then(|(figure, _)| figure.parse::<u64>().ok())
    };
    let level = needed("Raid Level")?;
    let state = needed("State")?;
    let (width, active) = (number("Raid Devices")?, number("Active Devices")?);
    let (working, failed, spare) =
        (number("Working Devices")?, number("Failed Devices")?, number("Spare Devices")?);
    let says = |word: &str| state.split([',', ' ']).any(|part| part == word);
    let done =
        ["Rebuild Status", "Resync Status", "Reshape Status", "Check Status"].into_iter().find_map(percent);
    let share = done.map(|done| done as f64);
    let work = if says("recovering") {
        Work::Rebuild(share)
    } else if says("resyncing") {
        Work::Resync(share)
    } else if says("reshaping") {
        Work::Reshape
    } else if says("checking") {
        Work::Check
    } else {
        Work::None
    };
    let running = if says("FAILED") || says("inactive") || says("Not") || says("broken") {
        Running::No
    } else if says("read-only") || says("readonly") {
        Running::ReadOnly
    } else if says("clean") || says("active") {
        Running::Yes
    } else {
        return Err(format!("its state \"{state}\" is not one that mdadm has"));
    };
    let down = width.saturating_sub(active);
    let array = Array { name, level, running, width, down, faulty: failed, work };
    Ok(array
        .judge()
        .with("device", device)
        .with("level", level)
        .with("state", state)
        .with("raid_devices", width)
        .with("active", active)
        .with("working", working)
        .with("failed", failed)
        .with("spare", spare)
        .with_some("rebuild_pct", done))
}
