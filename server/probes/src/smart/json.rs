//! The parts of smartctl's JSON (format version 1.0) that are read, each of which may be absent.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub struct Report {
    pub smartctl: Option<Smartctl>,
    pub device: Option<Device>,
    model_name: Option<String>,
    scsi_model_name: Option<String>,
    pub serial_number: Option<String>,
    smart_status: Option<Status>,
    pub temperature: Option<Temperature>,
    pub power_on_time: Option<Time>,
    pub ata_smart_attributes: Option<Ata>,
    ata_smart_error_log: Option<BTreeMap<String, ErrorLog>>,
    pub nvme_smart_health_information_log: Option<Nvme>,
    pub scsi_grown_defect_list: Option<u64>,
    scsi_error_counter_log: Option<BTreeMap<String, Counters>>,
}

#[derive(Debug, Deserialize)]
pub struct Smartctl {
    exit_status: Option<u8>,
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Debug, Deserialize)]
struct Message {
    string: String,
}

#[derive(Debug, Deserialize)]
pub struct Device {
    pub protocol: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Status {
    passed: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub struct Temperature {
    pub current: Option<i64>,
    pub drive_trip: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub struct Time {
    pub hours: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub struct Ata {
    #[serde(default)]
    pub table: Vec<Attribute>,
}

#[derive(Debug, Deserialize)]
pub struct Attribute {
    id: u64,
    #[serde(default)]
    when_failed: String,
    raw: Raw,
}

#[derive(Debug, Deserialize)]
struct Raw {
    value: u64,
    #[serde(default)]
    string: String,
}

#[derive(Debug, Deserialize)]
struct ErrorLog {
    count: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub struct Nvme {
    pub critical_warning: Option<u64>,
    pub available_spare: Option<u64>,
    pub available_spare_threshold: Option<u64>,
    pub percentage_used: Option<u64>,
    pub media_errors: Option<u64>,
    pub num_err_log_entries: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Counters {
    total_uncorrected_errors: Option<u64>,
}

/// smartctl(8), "EXIT STATUS".
const EXIT_BITS: [&str; 8] = [
    "the command line was not understood",
    "the device could not be opened",
    "a SMART command failed",
    "the disk says that it is failing",
    "an attribute that foretells failure is below its limit",
    "an attribute was below its limit in the past",
    "the error log has entries",
    "the self-test log has errors",
];

impl Report {
    pub fn passed(&self) -> Option<bool> {
        self.smart_status.as_ref().and_then(|status| status.passed)
    }

    pub fn exit_status(&self) -> Option<u8> {
        self.smartctl.as_ref().and_then(|smartctl| smartctl.exit_status)
    }

    pub fn exit_bit(&self, bit: u8) -> bool {
        self.exit_status().is_some_and(|status| status & (1 << bit) != 0)
    }

    fn bits(&self) -> impl Iterator<Item = u8> {
        (0..8).filter(|&bit| self.exit_bit(bit))
    }

    /// `3,4,6,7`, where there are any.
    pub fn exit_bits(&self) -> Option<String> {
        let bits: Vec<String> = self.bits().map(|bit| bit.to_string()).collect();
        (!bits.is_empty()).then(|| bits.join(","))
    }

    pub fn exit_means(&self) -> Option<String> {
        let means: Vec<&str> =
            self.bits().filter_map(|bit| EXIT_BITS.get(usize::from(bit)).copied()).collect();
        (!means.is_empty()).then(|| means.join("; "))
    }

    /// Set where the disk itself was not heard.
    pub fn why_not_asked(&self) -> Option<String> {
        if self.exit_bit(0) || self.exit_bit(1) {
            let messages = self.smartctl.iter().flat_map(|smartctl| &smartctl.messages);
            let said: Vec<&str> = messages.map(|message| message.string.as_str()).collect();
            let said = if said.is_empty() { "smartctl does not say why".into() } else { said.join("; ") };
            return Some(format!("the disk could not be asked: {said}"));
        }
        let has_counters = self.ata_smart_attributes.as_ref().is_some_and(|ata| !ata.table.is_empty())
            || self.nvme_smart_health_information_log.is_some()
            || self.scsi_error_counter_log.is_some()
            || self.scsi_grown_defect_list.is_some();
        if self.passed().is_some() || has_counters {
            return None;
        }
        let mut reason = "the disk has no SMART".to_owned();
        if self.model().is_some_and(|model| model.to_lowercase().contains("raid")) {
            reason =
                "it is a RAID volume and has no SMART: ask the disks behind its controller (smartctl -d)"
                    .into();
        }
        if self.temperature.as_ref().and_then(|temperature| temperature.current) == Some(0) {
            reason += "; its 0 °C are not a temperature";
        }
        Some(reason)
    }

    pub fn model(&self) -> Option<&str> {
        self.model_name.as_deref().or(self.scsi_model_name.as_deref())
    }

    /// 0 is what a disk without a sensor says.
    pub fn temperature(&self) -> Option<i64> {
        self.temperature.as_ref()?.current.filter(|&degrees| degrees > 0)
    }

    pub fn uncorrected(&self, direction: &str) -> Option<u64> {
        self.scsi_error_counter_log.as_ref()?.get(direction)?.total_uncorrected_errors
    }

    pub fn error_log_count(&self) -> Option<u64> {
        self.ata_smart_error_log.as_ref()?.values().find_map(|log| log.count)
    }

    /// One sentence about a disk that is.
    pub fn well(&self) -> String {
        let mut reason = "the disk says that it is well".to_owned();
        if let Some(degrees) = self.temperature() {
            reason += &format!(", at {degrees} °C");
        }
        if let Some(count) = self.error_log_count().filter(|&count| count > 0) {
            reason += &format!("; {count} old entries in its error log");
        }
        if let Some(count) =
            self.ata_smart_attributes.as_ref().and_then(|ata| ata.count(199)).filter(|&n| n > 0)
        {
            reason += &format!("; {count} CRC errors on the cable in its life");
        }
        if self.exit_bit(2) {
            reason += "; a SMART command failed, so that some of it may be missing";
        }
        reason
    }
}

impl Ata {
    pub fn raw(&self, id: u64) -> Option<u64> {
        Some(self.table.iter().find(|attribute| attribute.id == id)?.raw.value)
    }

    /// Some makers keep more than the count in the raw value; smartctl writes the count first.
    pub fn count(&self, id: u64) -> Option<u64> {
        let raw = &self.table.iter().find(|attribute| attribute.id == id)?.raw;
        let digits: String = raw.string.chars().take_while(char::is_ascii_digit).collect();
        Some(digits.parse().unwrap_or(raw.value))
    }

    /// `5:now`, or `none`.
    pub fn when_failed(&self) -> String {
        let failed =
            self.table.iter().filter(|attribute| !matches!(attribute.when_failed.as_str(), "" | "-"));
        let failed: Vec<String> =
            failed.map(|attribute| format!("{}:{}", attribute.id, attribute.when_failed)).collect();
        if failed.is_empty() { "none".into() } else { failed.join(", ") }
    }
}

impl Nvme {
    /// The NVMe specification, "SMART / Health Information".
    pub fn warnings(&self) -> Vec<&'static str> {
        const BITS: [&str; 6] = [
            "spare blocks run out",
            "temperature out of range",
            "reliability degraded",
            "read-only",
            "its backup of volatile memory failed",
            "its persistent memory region is read-only",
        ];
        let set = self.critical_warning.unwrap_or(0);
        let mut named: Vec<&str> = BITS
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| set & (1 << bit) != 0)
            .map(|(_, word)| word)
            .collect();
        if named.is_empty() && set != 0 {
            named.push("for a reason that has no name yet");
        }
        named
    }
}
