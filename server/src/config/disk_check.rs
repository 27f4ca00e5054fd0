//! `[volume.disk_check]`: the tool that checks a volume's file system, and on what. Nothing else is ever run, and no shell takes part.

use std::path::{Path, PathBuf};

use salvor_domain::disk_check::{DEVICE, DiskTool};
use serde::Deserialize;

use super::ConfigError;
use super::raw::wrong;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskCheckConfig {
    pub tool: DiskTool,
    /// For scrubs the mount point or the pool.
    pub device: String,
    /// What is run instead of the tool's usual command.
    command: Option<Vec<String>>,
}

impl DiskCheckConfig {
    /// The program and its arguments.
    pub fn argv(&self) -> Vec<String> {
        let named = |word: &str| word.replace(DEVICE, &self.device);
        match &self.command {
            Some(command) => command.iter().map(|word| named(word)).collect(),
            None => self.tool.usual_command().iter().map(|word| named(word)).collect(),
        }
    }

    pub fn device_path(&self) -> PathBuf {
        PathBuf::from(&self.device)
    }

    /// Only of the usual command it is known how to pause it and to go on.
    pub fn can_pause(&self) -> bool {
        self.tool.is_scrub() && self.command.is_none()
    }
}

/// As it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    tool: String,
    device: String,
    command: Option<Vec<String>>,
}

impl Raw {
    /// `volume` is its name, for errors.
    pub fn parse(self, volume: &str) -> Result<DiskCheckConfig, ConfigError> {
        let key = |key: &str| format!("volume \"{volume}\", disk_check.{key}");
        let tool: DiskTool = self.tool.parse().map_err(|why| wrong(key("tool"), why))?;
        let fits = match tool {
            // A pool has a name.
            DiskTool::ZpoolScrub => self.device.starts_with(|c: char| c.is_ascii_alphabetic()),
            _ => Path::new(&self.device).is_absolute(),
        };
        if !fits {
            let right = match tool {
                DiskTool::E2fsck | DiskTool::XfsRepair => {
                    "name the device by its full path, such as \"/dev/sdb1\""
                }
                DiskTool::BtrfsScrub => "name the mount point by its full path, such as \"/srv\"",
                DiskTool::ZpoolScrub => "name the pool, such as \"tank\"",
            };
            return Err(wrong(
                key("device"),
                format!("\"{}\" is not what {} works on: {right}", self.device, tool.name()),
            ));
        }
        if let Some(command) = &self.command {
            check_command(command).map_err(|why| wrong(key("command"), why))?;
        }
        Ok(DiskCheckConfig { tool, device: self.device, command: self.command })
    }
}

fn check_command(command: &[String]) -> Result<(), String> {
    let example = "write for example [\"e2fsck\", \"-f\", \"-y\", \"-C\", \"3\", \"{device}\"]";
    match command.split_first() {
        None => Err(format!("it is empty; {example}")),
        Some((program, _)) if program.is_empty() || program.contains(DEVICE) => {
            Err(format!("its first word has to be a program; {example}"))
        }
        // What is guarded has to be what is worked on.
        Some((_, words)) if !words.iter().any(|word| word.contains(DEVICE)) => {
            Err(format!("none of its words is {DEVICE}, which stands for the device; {example}"))
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<DiskCheckConfig, String> {
        let raw: Raw = toml::from_str(text).map_err(|why| why.to_string())?;
        raw.parse("uploads").map_err(|why| why.to_string())
    }

    #[test]
    fn a_tool_and_a_device_are_enough() {
        let of = |text| parsed(text).unwrap().argv().join(" ");
        assert_eq!(of("tool = \"e2fsck\"\ndevice = \"/dev/sdb1\""), "e2fsck -f -y -C 3 /dev/sdb1");
        assert_eq!(of("tool = \"btrfs_scrub\"\ndevice = \"/srv\""), "btrfs scrub start -B -d /srv");
        let own = "tool = \"e2fsck\"\ndevice = \"/dev/a b\"\ncommand = [\"nice\", \"e2fsck\", \"-fy\", \"{device}\"]";
        let own = parsed(own).unwrap();
        assert_eq!(own.argv(), ["nice", "e2fsck", "-fy", "/dev/a b"]);
        assert!(!own.can_pause());
        assert!(parsed("tool = \"zpool_scrub\"\ndevice = \"tank\"").unwrap().can_pause());
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (text, words) in [
            (
                "tool = \"fsck\"\ndevice = \"/dev/sdb1\"",
                &["uploads", "disk_check.tool", "fsck", "e2fsck"][..],
            ),
            ("tool = \"e2fsck\"\ndevice = \"sdb1\"", &["disk_check.device", "sdb1", "/dev/sdb1"]),
            ("tool = \"zpool_scrub\"\ndevice = \"-x\"", &["disk_check.device", "-x", "tank"]),
            (
                "tool = \"e2fsck\"\ndevice = \"/dev/sdb1\"\ncommand = []",
                &["disk_check.command", "empty", "{device}"],
            ),
            (
                "tool = \"e2fsck\"\ndevice = \"/dev/sdb1\"\ncommand = [\"e2fsck\", \"/dev/sdc1\"]",
                &["disk_check.command", "none of its words", "{device}"],
            ),
            ("tool = \"e2fsck\"", &["device"]),
            ("tool = \"e2fsck\"\ndevice = \"/dev/sdb1\"\nshell = \"sh\"", &["shell", "command"]),
        ] {
            let message = parsed(text).unwrap_err();
            for word in words {
                assert!(message.contains(word), "\"{word}\" is not in: {message}");
            }
        }
    }
}
