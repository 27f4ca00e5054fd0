//! Probes: from the raw text of one tool or kernel file to [`Reading`](salvor_domain::health::Reading)s, and the taking of them on this machine.
//!
//! One module a source; each has a pure function from text to readings, which the fixtures test, and knows nothing of how
//! the text was come by. What takes readings here (`machine`) only reads; the canary alone writes, one small file. A text that cannot be
//! understood is `unknown` with the reason, never `ok`, and never keeps the other subjects of the same text from being read.

pub mod alertmanager;
pub mod btrfs;
pub mod canary;
pub mod diskstats;
pub mod e2fsck;
pub mod ext4;
pub mod inspect;
pub mod kernel_log;
pub mod machine;
mod md;
pub mod md_sysfs;
pub mod mdadm;
pub mod mdstat;
pub mod mountinfo;
pub mod smart;
pub mod space;
pub mod tune2fs;
pub mod watch;
pub mod xfs;
pub mod xfs_repair;
pub mod zfs_kstat;
pub mod zpool;
