//! `btrfs scrub status`, of a whole file system or (`-d`) device by device.

use std::collections::BTreeMap;

use salvor_domain::health::{Facts, Level, Probe, Reading};
use salvor_domain::units;

/// One part: a device, or the whole.
#[derive(Debug, Clone, Default, PartialEq)]
struct Part {
    /// `/dev/loop1 (id 2)`
    device: Option<String>,
    /// `finished`, `running`, `aborted`, `interrupted`
    status: String,
    lines: BTreeMap<String, String>,
    /// `csum`, `read`, `super`, `verify`, `corrected`, `uncorrectable`, `unverified`
    counts: BTreeMap<String, u64>,
    /// It says that it found no errors.
    says_clean: bool,
}

/// A scrub: the last one, or the one that runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Scrub(Vec<Part>);

/// `None` where the text is none of a scrub.
pub fn parse(text: &str) -> Option<Scrub> {
    let mut parts: Vec<Part> = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim();
        let begins = trimmed.starts_with("Scrub device ")
            || trimmed.starts_with("scrub done for ")
            || trimmed.starts_with("UUID:")
            || trimmed.contains("no stats available");
        // Device by device, `UUID:` stands above them all.
        if begins && parts.last().is_some_and(|part| part.device.is_none() && part.status.is_empty()) {
            parts.pop();
        }
        if begins {
            let device = trimmed.strip_prefix("Scrub device ").and_then(|rest| rest.rsplit_once(' '));
            parts.push(Part { device: device.map(|(device, _)| device.to_owned()), ..Part::default() });
        }
        if trimmed.contains("no stats available")
            && let Some(part) = parts.last_mut()
        {
            part.status = "never".into();
        }
        if let (Some(part), Some((name, value))) = (parts.last_mut(), trimmed.split_once(':')) {
            part.line(name, value.trim());
        }
    }
    parts.retain(|part| !part.status.is_empty());
    (!parts.is_empty()).then_some(Scrub(parts))
}

impl Part {
    fn line(&mut self, name: &str, value: &str) {
        match name {
            "Status" => self.status = value.to_owned(),
            "Error summary" if value == "no errors found" => self.says_clean = true,
            "Error summary" => {
                let pairs = value.split_whitespace().filter_map(|pair| pair.split_once('='));
                let counts = pairs.filter_map(|(name, count)| Some((name.to_owned(), count.parse().ok()?)));
                self.counts.extend(counts);
            }
            "Corrected" | "Uncorrectable" | "Unverified" => {
                if let Ok(count) = value.parse() {
                    self.counts.insert(name.to_lowercase(), count);
                }
            }
            _ => drop(self.lines.insert(name.to_owned(), value.to_owned())),
        }
    }

    fn errors(&self) -> u64 {
        let found =
            ["csum", "read", "super", "verify"].iter().filter_map(|name| self.counts.get(*name)).sum();
        u64::max(found, self.count("corrected") + self.count("uncorrectable"))
    }

    fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }
}

impl Scrub {
    fn count(&self, name: &str) -> u64 {
        self.0.iter().map(|part| part.count(name)).sum()
    }

    /// Of all parts: what has not ended, or not well, outranks what has finished.
    pub fn status(&self) -> &str {
        let has = |status: &str| self.0.iter().any(|part| part.status == status);
        let known = ["running", "aborted", "interrupted", "never", "finished"];
        known.into_iter().find(|status| has(status)).unwrap_or_else(|| &self.0[0].status)
    }

    pub fn errors(&self) -> u64 {
        self.0.iter().map(Part::errors).sum()
    }

    /// What the tool ends with: 3 where bytes are wrong for good.
    fn exit_code(&self) -> u8 {
        match self.status() {
            _ if self.count("uncorrectable") > 0 => 3,
            "aborted" | "interrupted" => 1,
            _ => 0,
        }
    }

    pub fn reading(&self, subject: &str) -> Reading {
        let (errors, lost) = (self.errors(), self.count("uncorrectable"));
        let told = |count| units::counted(count, "error", "errors");
        let (level, why) = match self.status() {
            _ if lost > 0 => (
                Level::Critical,
                format!(
                    "the scrub found {} that no device had right: restore the files that the kernel's log names",
                    told(lost)
                ),
            ),
            _ if errors > 0 => (
                Level::Warning,
                format!("the scrub found {} and corrected them: look after {}", told(errors), self.devices()),
            ),
            "running" => (Level::Ok, "a scrub runs, and has found no errors so far".into()),
            "finished" if self.0.iter().all(|part| part.says_clean) => {
                (Level::Ok, "the last scrub found no errors".into())
            }
            "never" => (Level::Ok, "it has never been scrubbed: run btrfs scrub now and then".into()),
            status @ ("aborted" | "interrupted") => (
                Level::Unknown,
                format!(
                    "the last scrub was {status}: what it did not reach is not known; run btrfs scrub resume"
                ),
            ),
            other => (Level::Unknown, format!("a scrub that is \"{other}\" says nothing")),
        };
        let mut reading = Reading::new(Probe::Btrfs, subject, level, why);
        reading.facts = self.facts();
        reading
    }

    fn devices(&self) -> String {
        let bad = self.0.iter().filter(|part| part.errors() > 0).filter_map(|part| part.device.clone());
        let bad: Vec<String> = bad.collect();
        if bad.is_empty() { "its devices".into() } else { bad.join(", ") }
    }

    fn facts(&self) -> Facts {
        let mut facts = Facts::from([
            ("status".into(), self.status().into()),
            ("errors".into(), self.errors().into()),
            ("rc".into(), self.exit_code().into()),
        ]);
        for name in ["csum", "read", "super", "verify", "corrected", "uncorrectable", "unverified"] {
            if self.0.iter().any(|part| part.counts.contains_key(name)) {
                facts.insert(name.into(), self.count(name).into());
            }
        }
        if self.errors() > 0 && self.0.iter().any(|part| part.device.is_some()) {
            facts.insert("device".into(), self.devices().into());
        }
        let first = &self.0[0];
        if let [part] = &self.0[..] {
            let named = [
                ("Total to scrub", "total"),
                ("ETA", "eta"),
                ("Duration", "duration"),
                ("Scrub started", "started"),
            ];
            for (line, fact) in named {
                if let Some(value) = part.lines.get(line) {
                    facts.insert(fact.into(), value.as_str().into());
                }
            }
        } else if let Some(started) = first.lines.get("Scrub started") {
            facts.insert("started".into(), started.as_str().into());
        }
        if let Some(percent) = self.percent() {
            facts.insert("pct".into(), percent.into());
        }
        facts
    }

    /// `Bytes scrubbed:   77.25MiB  (38.48%)`
    fn percent(&self) -> Option<f64> {
        let [part] = &self.0[..] else { return None };
        let (_, percent) = part.lines.get("Bytes scrubbed")?.split_once('(')?;
        percent.trim_end_matches([')', '%']).parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(text: &str) -> Reading {
        parse(text).unwrap().reading("fs:/a")
    }

    const RUNNING: &str = "UUID:             9162\nScrub started:    Sun Nov 22 20:30:41 2026\nStatus:           running\n\
        Duration:         0:00:04\nETA:              Sun Nov 22 20:30:53 2026\nTotal to scrub:   200.77MiB\n\
        Bytes scrubbed:   77.25MiB  (38.48%)\nError summary:    no errors found\n";

    #[test]
    fn a_running_one_tells_how_far_it_is() {
        let reading = reading(RUNNING);
        assert_eq!((reading.level, &reading.facts["status"]), (Level::Ok, &"running".into()));
        assert_eq!((&reading.facts["pct"], &reading.facts["total"]), (&38.48.into(), &"200.77MiB".into()));
        assert_eq!(reading.facts["eta"], "Sun Nov 22 20:30:53 2026");
    }

    #[test]
    fn no_errors_found_is_not_clean_where_it_was_aborted() {
        for status in ["aborted", "interrupted"] {
            let reading = reading(&RUNNING.replace("running", status));
            assert_eq!((reading.level, &reading.facts["rc"]), (Level::Unknown, &1.into()));
        }
        assert_eq!(reading(&RUNNING.replace("running", "finished")).level, Level::Ok);
        assert_eq!(reading("UUID: 9162\n\tno stats available\n").facts["status"], "never");
    }

    #[test]
    fn errors_are_summed_over_the_devices_and_the_device_is_named() {
        let two = "WARNING: errors detected during scrubbing, corrected\n\nScrub device /dev/loop0 (id 1) done\nStatus:   finished\n\
            Error summary:    no errors found\n\nScrub device /dev/loop1 (id 2) done\nStatus:           finished\n\
            Error summary:    csum=5632 read=1\n  Corrected:      5633\n  Uncorrectable:  0\n  Unverified:     0\n";
        let corrected = reading(two);
        assert_eq!((corrected.level, &corrected.facts["errors"]), (Level::Warning, &5633.into()));
        assert_eq!(
            (&corrected.facts["device"], &corrected.facts["rc"]),
            (&"/dev/loop1 (id 2)".into(), &0.into())
        );
        let lost = reading(&two.replace("Uncorrectable:  0", "Uncorrectable:  2"));
        assert_eq!((lost.level, &lost.facts["rc"]), (Level::Critical, &3.into()));
    }

    #[test]
    fn other_text_is_no_scrub() {
        assert!(parse("").is_none() && parse("ERROR: not a btrfs filesystem: /\n").is_none());
    }
}
