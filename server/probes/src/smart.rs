//! `smartctl -x -j`: what a disk says of itself. ATA, NVMe and SAS each say other things.
//!
//! A disk that could not be asked is `unknown`: neither well nor failing. One that calls itself well may not be: counters decide with
//! it. Error-log entries alone (exit bit 6) are history, and CRC errors are the cable's: a warning at most.

mod json;

use salvor_domain::health::thresholds::{Smart, Thresholds};
use salvor_domain::health::{Facts, Level, Probe, Reading};
use serde_json::Value;

use self::json::{Ata, Nvme, Report};
use crate::inspect::Subject;

/// Of the disk `id`, as in `sda`.
pub fn reading(id: &str, text: &str, thresholds: &Thresholds) -> Reading {
    let mut reading = disk(text, &thresholds.smart).into_reading(Probe::Smart, id);
    // Nothing to draw a line of.
    if reading.facts.get("temp_c").and_then(Value::as_i64) == Some(0) {
        reading.facts.remove("temp_c");
    }
    reading
}

/// Those of the facts that only grow on a disk that is not well.
pub fn counters(facts: &Facts) -> Facts {
    let known = facts.iter().filter(|(fact, _)| COUNTERS.iter().any(|(counter, _)| counter == fact));
    known.map(|(fact, count)| (fact.clone(), count.clone())).collect()
}

/// The reading of a disk whose counters were `before` a while ago. That they grew is a warning whatever they count, as it is to smartd,
/// which mails each time that one of its error counts went up.
pub fn with_growth(reading: Reading, before: &Facts) -> Reading {
    let grown = COUNTERS.iter().filter_map(|(fact, what)| {
        let count = |facts: &Facts| facts.get(*fact).and_then(Value::as_u64);
        let (before, now) = (count(before)?, count(&reading.facts)?);
        (now > before).then(|| (format!("{what} grew from {before} to {now}"), now))
    });
    let (grown, counts): (Vec<String>, Vec<u64>) = grown.unzip();
    if grown.is_empty() {
        return reading;
    }
    let grown = format!("{} within a day", grown.join("; "));
    let reason = match reading.level {
        Level::Ok => format!("{grown}, though {}", reading.reason),
        _ => format!("{}; {grown}", reading.reason),
    };
    // Whoever muted it is called again when it grows further.
    let occurrence = counts.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    Reading { level: reading.level.max(Level::Warning), reason, ..reading }.with("occurrence", occurrence)
}

pub fn inspect(text: &str) -> Vec<Subject> {
    vec![disk(text, &Smart::default())]
}

fn disk(text: &str, limits: &Smart) -> Subject {
    let report: Report = match serde_json::from_str(text) {
        Ok(report) => report,
        Err(error) => return unknown(format!("it is not the JSON of smartctl: {error}")),
    };
    if report.smartctl.is_none() && report.device.is_none() {
        return unknown("it is not the JSON of smartctl: it names no device".into());
    }
    let facts = facts(&report);
    let mut found = Found::default();
    if let Some(reason) = report.why_not_asked() {
        found.say(Level::Unknown, reason);
    } else {
        found.judge(&report, limits);
    }
    Subject { facts, ..found.into_subject(&report) }
}

fn unknown(reason: String) -> Subject {
    Subject::unknown("disk", reason)
}

/// Counters that only grow on a disk that is not well, and what they count.
const COUNTERS: [(&str, &str); 9] = [
    ("reallocated", "replaced sectors"),
    ("pending", "sectors that cannot be read"),
    ("offline_uncorrectable", "uncorrectable sectors"),
    ("reported_uncorrect", "failed reads"),
    ("udma_crc", "CRC errors on the cable"),
    ("media_errors", "media errors"),
    ("grown_defects", "grown defects"),
    ("uncorrected_read", "uncorrected reads"),
    ("uncorrected_write", "uncorrected writes"),
];

/// What is wrong, and how bad that is.
#[derive(Default)]
struct Found(Vec<(Level, String)>);

impl Found {
    fn say(&mut self, level: Level, what: impl Into<String>) {
        self.0.push((level, what.into()));
    }

    fn at_least(&mut self, value: Option<u64>, limit: u64, level: Level, [one, many]: [&str; 2]) {
        if let Some(value) = value.filter(|&value| value >= limit) {
            self.say(level, format!("{value} {}", if value == 1 { one } else { many }));
        }
    }

    fn judge(&mut self, report: &Report, limits: &Smart) {
        match report.passed() {
            Some(true) => {}
            Some(false) => self.say(Level::Critical, "the disk says that it is failing: replace it"),
            None => self.say(Level::Unknown, "the disk does not say whether it is well"),
        }
        if report.exit_bit(4) && report.passed() != Some(false) {
            self.say(Level::Critical, "an attribute that foretells failure is below its limit: replace it");
        }
        if report.exit_bit(5) {
            self.say(Level::Warning, "an attribute was below its limit in the past");
        }
        if report.exit_bit(7) {
            self.say(Level::Warning, "its self-tests found errors");
        }
        if let Some(ata) = &report.ata_smart_attributes {
            self.ata(ata, limits);
        }
        if let Some(nvme) = &report.nvme_smart_health_information_log {
            self.nvme(nvme, limits);
        }
        self.scsi(report, limits);
        self.temperature(report, limits);
    }

    fn ata(&mut self, ata: &Ata, limits: &Smart) {
        use Level::Warning;
        self.at_least(
            ata.count(5),
            limits.warning_reallocated,
            Warning,
            ["replaced sector", "replaced sectors"],
        );
        self.at_least(
            ata.count(197),
            limits.warning_unreadable,
            Warning,
            ["sector that cannot be read", "sectors that cannot be read"],
        );
        self.at_least(
            ata.count(198),
            limits.warning_unreadable,
            Warning,
            ["uncorrectable sector", "uncorrectable sectors"],
        );
        self.at_least(ata.count(187), limits.warning_unreadable, Warning, ["failed read", "failed reads"]);
        self.at_least(
            ata.count(199),
            limits.warning_crc_errors,
            Warning,
            ["CRC error in its life: look at its cable", "CRC errors in its life: look at its cable"],
        );
    }

    fn nvme(&mut self, nvme: &Nvme, limits: &Smart) {
        let warnings = nvme.warnings();
        if !warnings.is_empty() {
            self.say(Level::Critical, format!("its critical warning is set: {}", warnings.join(", ")));
        }
        if let (Some(spare), Some(limit)) = (nvme.available_spare, nvme.available_spare_threshold)
            && spare < limit
        {
            self.say(
                Level::Critical,
                format!("{spare} % spare blocks are left, less than its limit of {limit} %"),
            );
        }
        self.at_least(
            nvme.media_errors,
            limits.warning_unreadable,
            Level::Warning,
            ["media error", "media errors"],
        );
        self.at_least(
            nvme.percentage_used,
            limits.warning_percentage_used,
            Level::Warning,
            ["% of the life it was made for is used"; 2],
        );
    }

    fn scsi(&mut self, report: &Report, limits: &Smart) {
        let (read, write) = (report.uncorrected("read"), report.uncorrected("write"));
        self.at_least(
            write,
            limits.critical_uncorrected_writes,
            Level::Critical,
            ["uncorrected write", "uncorrected writes"],
        );
        self.at_least(
            read,
            limits.warning_unreadable,
            Level::Warning,
            ["uncorrected read", "uncorrected reads"],
        );
        self.at_least(
            report.scsi_grown_defect_list,
            limits.warning_reallocated,
            Level::Warning,
            ["grown defect", "grown defects"],
        );
    }

    fn temperature(&mut self, report: &Report, limits: &Smart) {
        let Some(degrees) = report.temperature() else { return };
        let (warning, critical) = if report.nvme_smart_health_information_log.is_some() {
            (limits.warning_nvme_temperature, limits.critical_nvme_temperature)
        } else {
            (limits.warning_temperature, limits.critical_temperature)
        };
        let trip = report.temperature.as_ref().and_then(|temperature| temperature.drive_trip);
        let is_critical = degrees as f64 >= critical || trip.is_some_and(|trip| trip > 0 && degrees >= trip);
        if is_critical {
            self.say(Level::Critical, format!("{degrees} °C, too hot to work: cool it"));
        } else if degrees as f64 >= warning {
            self.say(Level::Warning, format!("{degrees} °C, hot"));
        }
    }

    /// The worst first.
    fn into_subject(mut self, report: &Report) -> Subject {
        self.0.sort_by_key(|&(level, _)| std::cmp::Reverse(level));
        let Some(&(level, _)) = self.0.first() else {
            return Subject::new("disk", Level::Ok, report.well());
        };
        let reasons: Vec<String> = self.0.into_iter().map(|(_, reason)| reason).collect();
        let but = if level > Level::Unknown && report.passed() == Some(true) {
            ", though the disk calls itself well"
        } else {
            ""
        };
        Subject::new("disk", level, reasons.join("; ") + but)
    }
}

fn facts(report: &Report) -> Facts {
    let ata = report.ata_smart_attributes.as_ref();
    let nvme = report.nvme_smart_health_information_log.as_ref();
    let count = |id| ata.and_then(|ata| ata.count(id));
    let nvme_count = |field: fn(&Nvme) -> Option<u64>| nvme.and_then(field);
    let subject = Subject::unknown("disk", "")
        .with("exit_status", report.exit_status())
        .with("passed", report.passed())
        .with_some("exit_bits", report.exit_bits())
        .with_some("exit_means", report.exit_means())
        .with_some("protocol", report.device.as_ref().and_then(|device| device.protocol.clone()))
        .with_some("model", report.model().map(str::to_owned))
        .with_some("serial", report.serial_number.clone())
        .with_some("temp_c", report.temperature.as_ref().and_then(|temperature| temperature.current))
        .with_some("power_on_hours", report.power_on_time.as_ref().and_then(|time| time.hours))
        .with_some("error_log_count", report.error_log_count())
        .with_some("attributes", ata.map(|ata| ata.table.len()))
        .with_some("when_failed", ata.map(Ata::when_failed))
        .with_some("reallocated", count(5))
        .with_some("pending", count(197))
        .with_some("offline_uncorrectable", count(198))
        .with_some("reported_uncorrect", count(187))
        .with_some("udma_crc", count(199))
        .with_some("command_timeout_raw", ata.and_then(|ata| ata.raw(188)))
        .with_some("critical_warning", nvme_count(|nvme| nvme.critical_warning))
        .with_some("available_spare", nvme_count(|nvme| nvme.available_spare))
        .with_some("available_spare_threshold", nvme_count(|nvme| nvme.available_spare_threshold))
        .with_some("percentage_used", nvme_count(|nvme| nvme.percentage_used))
        .with_some("media_errors", nvme_count(|nvme| nvme.media_errors))
        .with_some("num_err_log_entries", nvme_count(|nvme| nvme.num_err_log_entries))
        .with_some("grown_defects", report.scsi_grown_defect_list)
        .with_some("uncorrected_read", report.uncorrected("read"))
        .with_some("uncorrected_write", report.uncorrected("write"));
    subject.facts
}
