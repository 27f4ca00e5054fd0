//! btrfs: the error counters of its devices, its scrubs, and devices that are missing.
//!
//! The counters are for life: a file system that had trouble years ago still counts it. So what makes a level is their growth; that
//! they are not zero is worth a look. A scrub that was aborted has found nothing wrong only in what it reached.

use std::collections::BTreeMap;

use salvor_domain::health::{Level, Probe, Reading};
use salvor_domain::units;
use serde::Deserialize;

pub mod scrub;

/// Counters of one device, by their names without `_io`.
pub type Counters = BTreeMap<String, u64>;

/// The counters of a file system's devices, by device (`/dev/sda`) or by number (`devid 2`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats(pub BTreeMap<String, Counters>);

/// `btrfs device stats` as text or JSON, or the files `error_stats` of sysfs one after another, each after a line `devid N`.
pub fn stats(text: &str) -> Result<Stats, String> {
    let stats = if text.trim_start().starts_with('{') { from_json(text)? } else { from_text(text)? };
    if stats.0.is_empty() { Err("no device is named".into()) } else { Ok(stats) }
}

#[derive(Deserialize)]
struct Json {
    #[serde(rename = "device-stats")]
    devices: Vec<BTreeMap<String, serde_json::Value>>,
}

/// Numbers come as text.
fn from_json(text: &str) -> Result<Stats, String> {
    let json: Json =
        serde_json::from_str(text).map_err(|why| format!("this is not `btrfs device stats`: {why}"))?;
    let mut stats = Stats::default();
    for device in json.devices {
        let name = device.get("device").and_then(|name| name.as_str()).ok_or("a device has no name")?;
        let counters = stats.0.entry(name.to_owned()).or_default();
        for (counter, value) in device.iter().filter(|(counter, _)| counter.ends_with("_errs")) {
            let value = value.as_u64().or_else(|| value.as_str()?.parse().ok());
            counters.insert(
                counter.clone(),
                value.ok_or_else(|| format!("{counter} of {name} is not a number"))?,
            );
        }
    }
    Ok(stats)
}

fn from_text(text: &str) -> Result<Stats, String> {
    let mut stats = Stats::default();
    let mut device = None;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with("devid ") {
            device = Some(line.to_owned());
            stats.0.entry(line.to_owned()).or_default();
            continue;
        }
        let (name, value) =
            line.rsplit_once(char::is_whitespace).ok_or_else(|| format!("\"{line}\" is no counter"))?;
        let (device, counter) = match name.trim_end().strip_prefix('[').and_then(|name| name.split_once("]."))
        {
            Some((device, counter)) => (device.to_owned(), counter),
            None => {
                (device.clone().ok_or_else(|| format!("\"{line}\" belongs to no device"))?, name.trim_end())
            }
        };
        let value =
            value.parse().map_err(|_| format!("{counter} of {device} is \"{value}\", not a number"))?;
        stats.0.entry(device).or_default().insert(counter.to_owned(), value);
    }
    Ok(stats)
}

impl Stats {
    pub fn total(&self) -> u64 {
        self.0.values().flat_map(BTreeMap::values).fold(0, |sum, &count| sum.saturating_add(count))
    }

    /// `/dev/loop1 corruption_errs=15131`, or `none`. sysfs numbers its devices: `devid 2 corruption_errs 15131`.
    pub fn nonzero(&self) -> String {
        let mut told = Vec::new();
        for (device, counters) in &self.0 {
            let between = if device.starts_with("devid ") { ' ' } else { '=' };
            for (counter, count) in counters.iter().filter(|(_, count)| **count > 0) {
                told.push(format!("{device} {counter}{between}{count}"));
            }
        }
        if told.is_empty() { "none".into() } else { told.join(", ") }
    }

    /// What has been added since; counters that were set back to zero count anew.
    pub fn grown_since(&self, before: &Self) -> u64 {
        let mut grown: u64 = 0;
        for (device, counters) in &self.0 {
            for (counter, &now) in counters {
                let then =
                    before.0.get(device).and_then(|counters| counters.get(counter)).copied().unwrap_or(0);
                grown = grown.saturating_add(if now < then { now } else { now - then });
            }
        }
        grown
    }

    /// `before`: as they were a while ago; where that is not known, nothing is known to have grown.
    pub fn reading(&self, subject: &str, before: Option<&Self>) -> Reading {
        let total = self.total();
        let grown = before.map_or(0, |before| self.grown_since(before));
        let errors = |count| units::counted(count, "error", "errors");
        let (level, why) = match (grown, total) {
            (0, 0) => (Level::Ok, "btrfs counts no errors of its devices".to_owned()),
            (0, _) => (
                Level::Warning,
                format!(
                    "btrfs has counted {} in all ({}), none of them lately: when the cause is mended, run btrfs device stats -z",
                    errors(total),
                    self.nonzero()
                ),
            ),
            _ => (
                Level::Critical,
                format!(
                    "btrfs counts {} more ({}): run btrfs scrub, and replace the device if they go on",
                    errors(grown),
                    self.nonzero()
                ),
            ),
        };
        let reading = Reading::new(Probe::Btrfs, subject, level, why)
            .with("devices", self.0.len())
            .with("nonzero", self.nonzero())
            .with("total_errors", total)
            .with("grown", grown);
        if total > 0 { reading.with("occurrence", total.to_string()) } else { reading }
    }
}

/// What `btrfs filesystem show` tells of one file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub label: String,
    pub total_devices: u64,
    /// Numbers of the devices that are not there.
    pub missing: Vec<String>,
    /// Some device is missing that is not named.
    pub some_missing: bool,
}

/// `btrfs filesystem show`: one or more file systems.
pub fn show(text: &str) -> Vec<Shown> {
    let mut all: Vec<Shown> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("Label: ") {
            let label = rest.split("uuid:").next().unwrap_or_default().trim().trim_matches('\'').to_owned();
            all.push(Shown { label, total_devices: 0, missing: vec![], some_missing: false });
            continue;
        }
        let Some(shown) = all.last_mut() else { continue };
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["Total", "devices", count, ..] => shown.total_devices = count.parse().unwrap_or_default(),
            ["devid", number, ..] if words.contains(&"MISSING") || line.contains("<missing disk>") => {
                shown.missing.push(number.to_owned());
            }
            ["***", "Some", "devices", "missing", ..] => shown.some_missing = true,
            _ => {}
        }
    }
    all
}

impl Shown {
    /// `devid 3`, or `none`.
    pub fn missing(&self) -> String {
        match &self.missing[..] {
            [] if self.some_missing => "some".into(),
            [] => "none".into(),
            some => some.iter().map(|number| format!("devid {number}")).collect::<Vec<_>>().join(", "),
        }
    }

    pub fn reading(&self, subject: &str) -> Reading {
        let is_whole = self.missing.is_empty() && !self.some_missing;
        let (level, why) = match (self.total_devices, is_whole) {
            (0, _) => (Level::Unknown, "how many devices it has is not said".to_owned()),
            (_, true) => (Level::Ok, "all devices are there".to_owned()),
            _ => (
                Level::Critical,
                format!(
                    "{} is missing: add a device, then run btrfs replace, or btrfs device remove missing",
                    self.missing()
                ),
            ),
        };
        Reading::new(Probe::Btrfs, subject, level, why)
            .with("label", self.label.as_str())
            .with("total_devices", self.total_devices)
            .with("missing", self.missing())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[/dev/loop0].write_io_errs    0\n[/dev/loop1].corruption_errs  15131\n";

    #[test]
    fn text_json_and_sysfs_say_the_same() {
        let text = stats(TEXT).unwrap();
        assert_eq!((text.total(), text.nonzero().as_str()), (15_131, "/dev/loop1 corruption_errs=15131"));
        let json = r#"{"device-stats": [{"device": "/dev/loop0", "devid": "1", "write_io_errs": "0"},
            {"device": "/dev/loop1", "corruption_errs": 15131}]}"#;
        assert_eq!(stats(json).unwrap(), text);
        let sysfs = stats("devid 1\nwrite_errs 0\ndevid 2\ncorruption_errs 15131\n").unwrap();
        assert_eq!((sysfs.0.len(), sysfs.nonzero().as_str()), (2, "devid 2 corruption_errs 15131"));
    }

    #[test]
    fn only_growth_is_critical() {
        let now = stats(TEXT).unwrap();
        let before = stats(&TEXT.replace("15131", "15000")).unwrap();
        assert_eq!(now.reading("x", Some(&now)).level, Level::Warning);
        assert_eq!(now.reading("x", None).level, Level::Warning, "since when is not known");
        let grown = now.reading("x", Some(&before));
        assert_eq!(
            (grown.level, &grown.facts["grown"], &grown.facts["occurrence"]),
            (Level::Critical, &131.into(), &"15131".into())
        );
        let reset = stats(&TEXT.replace("15131", "0")).unwrap();
        assert_eq!(reset.reading("x", Some(&now)).level, Level::Ok, "set back to zero");
        let again = stats(&TEXT.replace("15131", "2")).unwrap();
        assert_eq!(again.grown_since(&now), 2, "set back, and grown since");
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for text in [
            "",
            "nonsense\n",
            "write_errs 1\n",
            "[/dev/a].write_io_errs many\n",
            "{}",
            "{\"device-stats\": []}",
        ] {
            assert!(stats(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_missing_device_is_named() {
        let shown = show(
            "Label: 'salvor-b'  uuid: 54df\n\tTotal devices 3 FS bytes used 143.75MiB\n\tdevid    1 size 300.00MiB used 128.00MiB \
             path /dev/loop0\n\tdevid    3 size 0 used 0 path  MISSING\n\nLabel: none  uuid: 1\n\tTotal devices 1 FS bytes used 1\n",
        );
        assert_eq!((shown.len(), shown[0].total_devices, shown[0].missing().as_str()), (2, 3, "devid 3"));
        assert_eq!(shown[0].reading("x").level, Level::Critical);
        assert_eq!(shown[1].reading("x").level, Level::Ok);
    }
}
