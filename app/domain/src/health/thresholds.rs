//! From where on a reading is a warning or critical. Every figure names where it comes from, and `[health.thresholds]` of the
//! configuration can change it.

/// Of all probes. What the configuration leaves out keeps its default.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    pub space: Space,
    pub smart: Smart,
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

/// What disks say of themselves.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Smart {
    /// °C.
    pub warning_temperature: f64,
    pub critical_temperature: f64,
}

impl Default for Smart {
    fn default() -> Self {
        Self { warning_temperature: 55.0, critical_temperature: 65.0 }
    }
}
