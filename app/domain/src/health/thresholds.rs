//! From where on a reading is a warning or critical. Every figure names where it comes from, and `[health.thresholds]` of the
//! configuration can change it.

/// Of all probes. What the configuration leaves out keeps its default.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    pub space: Space,
    pub smart: Smart,
    pub md: Md,
}

/// Free blocks and inodes, in percent of what there is.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Space {
    pub warning_free_percent: f64,
    pub critical_free_percent: f64,
}

impl Default for Space {
    /// The node-exporter mixin's `NodeFilesystemAlmostOutOfSpace`: 5 % and 3 %.
    fn default() -> Self {
        Self { warning_free_percent: 5.0, critical_free_percent: 3.0 }
    }
}

/// What disks say of themselves. A disk that calls itself failing is critical whatever stands here.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Smart {
    /// °C, of ATA and SAS disks.
    pub warning_temperature: f64,
    pub critical_temperature: f64,
    /// °C, of NVMe disks, which are made to run hotter.
    pub warning_nvme_temperature: f64,
    pub critical_nvme_temperature: f64,
    /// Sectors that were replaced, in the disk's life (ATA 5; grown defects of SAS).
    pub warning_reallocated: u64,
    /// Sectors that cannot be read now (ATA 197, 198), and reads that failed (187; media errors of NVMe).
    pub warning_unreadable: u64,
    /// Errors on the cable, in the disk's life (ATA 199). Growth is a warning whatever the count.
    pub warning_crc_errors: u64,
    /// Writes that failed for good, of SAS.
    pub critical_uncorrected_writes: u64,
    /// Of the life that an NVMe disk was made for.
    pub warning_percentage_used: u64,
}

impl Default for Smart {
    /// Temperatures: the critical limit in the examples of smartd.conf(5) (`-W 4,45,55`) is our warning; for NVMe, about where makers
    /// set the warning and critical composite temperatures. Sectors: smartd reports the first one that is pending or uncorrectable
    /// (`-C 197 -U 198`); Scrutiny holds attributes 5, 187, 197 and 198 for critical ones. CRC errors: from Scrutiny's observed failure
    /// rates of attribute 199, by which 108 of them fail a disk. Wear: at 100 % the expected life ends (NVMe specification); this
    /// leaves time to buy.
    fn default() -> Self {
        Self {
            warning_temperature: 55.0,
            critical_temperature: 65.0,
            warning_nvme_temperature: 75.0,
            critical_nvme_temperature: 85.0,
            warning_reallocated: 1,
            warning_unreadable: 1,
            warning_crc_errors: 100,
            critical_uncorrected_writes: 1,
            warning_percentage_used: 90,
        }
    }
}

/// Software RAID.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Md {
    /// Sectors that a check found different; more than these are a warning, but on mirrors.
    pub warning_mismatches: u64,
}

impl Default for Md {
    /// netdata's `mdstat_mismatch_cnt`.
    fn default() -> Self {
        Self { warning_mismatches: 1024 }
    }
}
