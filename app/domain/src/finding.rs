//! What a check found, and how often.

use crate::words;

words! {
    FindingKind ("kind of finding") {
        /// In the catalogue, not on the volume.
        Missing = "missing",
        /// Same size and time as in the catalogue, other bytes.
        Corrupt = "corrupt",
        /// There, but the disk does not give its bytes.
        Unreadable = "unreadable",
        /// Newer than the catalogue: its owner wrote it again.
        Changed = "changed",
        /// On the volume, not in the catalogue.
        Extra = "extra",
        /// Its name is lost: it lies in `lost+found`.
        Orphan = "orphan",
    }
}

words! {
    FindingState ("state of a finding") {
        Open = "open",
        /// The file is back, or no longer differs.
        Resolved = "resolved",
        /// An operator said that nothing is to be done (a file that its owner deleted).
        Dismissed = "dismissed",
    }
}

impl FindingKind {
    /// Whether a restore brings such a file back, and the gate waits for it.
    pub fn is_loss(self) -> bool {
        matches!(self, Self::Missing | Self::Corrupt | Self::Unreadable)
    }
}

/// How many findings of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FindingCounts {
    pub missing: u64,
    pub corrupt: u64,
    pub unreadable: u64,
    pub changed: u64,
    pub extra: u64,
    pub orphan: u64,
}

impl FindingCounts {
    pub fn of(&self, kind: FindingKind) -> u64 {
        match kind {
            FindingKind::Missing => self.missing,
            FindingKind::Corrupt => self.corrupt,
            FindingKind::Unreadable => self.unreadable,
            FindingKind::Changed => self.changed,
            FindingKind::Extra => self.extra,
            FindingKind::Orphan => self.orphan,
        }
    }

    pub fn add(&mut self, kind: FindingKind, count: u64) {
        *match kind {
            FindingKind::Missing => &mut self.missing,
            FindingKind::Corrupt => &mut self.corrupt,
            FindingKind::Unreadable => &mut self.unreadable,
            FindingKind::Changed => &mut self.changed,
            FindingKind::Extra => &mut self.extra,
            FindingKind::Orphan => &mut self.orphan,
        } += count;
    }

    pub fn total(&self) -> u64 {
        FindingKind::ALL.iter().map(|&kind| self.of(kind)).sum()
    }

    /// Files that a restore would bring back.
    pub fn losses(&self) -> u64 {
        self.missing + self.corrupt + self.unreadable
    }
}
