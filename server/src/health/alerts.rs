//! What Alertmanager sends: each alert is a signal of the probe `alert`.

/// Notifications are taken in one after the other.
pub const LOCK: i64 = 0x616c_6572_7473;
