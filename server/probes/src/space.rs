//! Room for blocks and for inodes, as `statvfs` tells it. What root keeps for itself is not room: `f_bavail` counts, not `f_bfree`.

use std::collections::BTreeMap;

use salvor_domain::health::thresholds;
use salvor_domain::health::{Level, Probe, Reading};
use salvor_domain::units;

/// What `statvfs` tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes of a block.
    pub block_size: u64,
    pub blocks: u64,
    pub free: u64,
    /// Free, and not kept for root.
    pub available: u64,
    /// Zero where a file system makes inodes as it needs them.
    pub inodes: u64,
    pub inodes_free: u64,
}

/// `NAME f_frsize=1024 f_blocks=27860 …`, one file system a line.
pub fn parse(text: &str) -> Vec<(String, Result<Space, String>)> {
    let lines = text.lines().filter(|line| line.contains("f_"));
    lines.map(|line| (line.split_whitespace().next().unwrap_or_default().to_owned(), values(line))).collect()
}

fn values(line: &str) -> Result<Space, String> {
    let values: BTreeMap<&str, &str> =
        line.split_whitespace().filter_map(|word| word.split_once('=')).collect();
    let number = |name: &str| {
        let value = values.get(name).ok_or_else(|| format!("{name} is not said"))?;
        value.parse().map_err(|_| format!("{name} is \"{value}\", not a number"))
    };
    Ok(Space {
        block_size: number("f_frsize")?,
        blocks: number("f_blocks")?,
        free: number("f_bfree")?,
        available: number("f_bavail")?,
        inodes: number("f_files")?,
        inodes_free: number("f_ffree")?,
    })
}

impl Space {
    pub fn available_percent(&self) -> Option<f64> {
        percent(self.available, self.blocks)
    }

    pub fn inodes_free_percent(&self) -> Option<f64> {
        percent(self.inodes_free, self.inodes)
    }

    /// As `df` says it: of what is not kept for root.
    pub fn used_percent(&self) -> Option<f64> {
        let used = self.blocks.saturating_sub(self.free);
        percent(used, used.saturating_add(self.available))
    }

    pub fn reading(&self, subject: &str, limits: &thresholds::Space) -> Reading {
        let blocks = self.available_percent();
        let inodes = self.inodes_free_percent();
        let level = level(blocks, limits).max(level(inodes, limits));
        let bytes = units::bytes(self.available.saturating_mul(self.block_size));
        let why = match (blocks, inodes) {
            (None, _) => "it does not tell how large it is".to_owned(),
            (Some(_), Some(left)) if level > Level::Ok && self::level(inodes, limits) == level => format!(
                "{} of its inodes are free ({left:.1} %), so {}: delete files, or make a larger file system",
                units::count(self.inodes_free),
                if self.inodes_free == 0 { "no file can be made" } else { "soon no file can be made" },
            ),
            (Some(left), _) if level > Level::Ok => {
                format!("{bytes} are free ({left:.1} %): delete files, or make it larger")
            }
            (Some(left), _) => format!("{bytes} are free ({left:.1} %)"),
        };
        let level = if blocks.is_none() { Level::Unknown } else { level };
        let mut reading = Reading::new(Probe::Space, subject, level, why)
            .with("f_frsize", self.block_size)
            .with("f_blocks", self.blocks)
            .with("f_bfree", self.free)
            .with("f_bavail", self.available)
            .with("f_files", self.inodes)
            .with("f_ffree", self.inodes_free);
        let figures =
            [("avail_pct", blocks), ("inode_free_pct", inodes), ("used_percent", self.used_percent())];
        for (name, figure) in figures {
            if let Some(figure) = figure {
                reading = reading.with(name, tenths(figure));
            }
        }
        reading
    }
}

fn level(left: Option<f64>, limits: &thresholds::Space) -> Level {
    match left {
        Some(left) if left < limits.critical_free_percent => Level::Critical,
        Some(left) if left < limits.warning_free_percent => Level::Warning,
        _ => Level::Ok,
    }
}

fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64 * 100.0)
}

fn tenths(figure: f64) -> f64 {
    (figure * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
empty f_frsize=1024 f_blocks=27860 f_bfree=27846 f_bavail=25553 f_files=128 f_ffree=117 f_favail=117 avail%=91.7
inodes-full f_frsize=1024 f_blocks=27860 f_bfree=27844 f_bavail=25551 f_files=128 f_ffree=0 f_favail=0
blocks-full f_frsize=1024 f_blocks=27860 f_bfree=707 f_bavail=0 f_files=128 f_ffree=116 f_favail=116
odd f_frsize=1024 f_blocks=many
";

    fn reading(name: &str) -> Reading {
        let space = parse(TEXT).into_iter().find(|(found, _)| found == name).unwrap().1.unwrap();
        space.reading(name, &thresholds::Space::default())
    }

    #[test]
    fn no_inodes_left_is_critical_with_all_blocks_free() {
        let full = reading("inodes-full");
        assert_eq!((full.level, full.stops_writes), (Level::Critical, false));
        assert_eq!((&full.facts["avail_pct"], &full.facts["inode_free_pct"]), (&91.7.into(), &0.0.into()));
        assert!(full.reason.contains("inodes"), "{}", full.reason);
        assert_eq!(reading("empty").level, Level::Ok);
    }

    #[test]
    fn what_root_keeps_is_not_room() {
        let full = reading("blocks-full");
        assert_eq!(full.level, Level::Critical);
        assert_eq!((&full.facts["f_bavail"], &full.facts["used_percent"]), (&0.into(), &100.0.into()));
    }

    #[test]
    fn the_bounds_are_those_of_the_thresholds() {
        let limits = thresholds::Space::default();
        let space = |available, inodes_free| Space {
            block_size: 1,
            blocks: 1000,
            free: available,
            available,
            inodes: 1000,
            inodes_free,
        };
        for (available, inodes_free, expected) in [
            (50, 50, Level::Ok),
            (49, 50, Level::Warning),
            (50, 49, Level::Warning),
            (30, 50, Level::Warning),
            (29, 50, Level::Critical),
            (500, 29, Level::Critical),
        ] {
            assert_eq!(space(available, inodes_free).reading("x", &limits).level, expected);
        }
        let unlimited = Space { inodes: 0, ..space(500, 0) }.reading("x", &limits);
        assert!(unlimited.level == Level::Ok && !unlimited.facts.contains_key("inode_free_pct"));
        assert_eq!(Space::default().reading("x", &limits).level, Level::Unknown, "it has no size");
    }

    #[test]
    fn a_line_that_is_not_understood_keeps_no_other_from_being_read() {
        let all = parse(TEXT);
        assert_eq!(all.len(), 4);
        assert_eq!(all[3].1, Err("f_blocks is \"many\", not a number".into()));
    }
}
