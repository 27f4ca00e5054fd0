//! `/proc/mdstat`: every software RAID of the machine in one text.
//!
//! An array whose lines make no sense is `unknown`; the others still count. The text ends with the line `unused devices`: without
//! it, some of its arrays may be missing.

use std::str::FromStr;

use salvor_domain::health::{Level, Probe, Reading};

use crate::inspect::{Subject, WHOLE};
use crate::md::{Array, Running, Work};

/// One for each array that the text names, of the node with the array's name.
pub fn readings(text: &str) -> Vec<Reading> {
    arrays(text)
        .into_iter()
        .map(|array| {
            let id = array.name.clone();
            array.into_reading(Probe::Md, id)
        })
        .collect()
}

pub fn inspect(text: &str) -> Vec<Subject> {
    let arrays = arrays(text);
    let broken = arrays.iter().find(|array| array.level == Level::Unknown);
    let problem =
        broken.map(|array| format!("{} in {}", array.reason, array.name)).or_else(|| incomplete(text));
    let worst = arrays.iter().map(|array| array.level).max().unwrap_or(Level::Ok);
    let whole = match &problem {
        Some(problem) => {
            Subject::new(WHOLE, worst.max(Level::Unknown), format!("not all of it could be read: {problem}"))
        }
        None if arrays.is_empty() => Subject::new(WHOLE, Level::Ok, "there is no software RAID"),
        None => {
            let well = arrays.iter().filter(|array| array.level == Level::Ok).count();
            Subject::new(WHOLE, worst, format!("{well} of {} arrays are well", arrays.len()))
        }
    };
    let parse = problem.map_or_else(|| "ok".into(), |problem| format!("error: {problem}"));
    let whole = whole.with("array_count", arrays.len()).with("parse", parse);
    [whole].into_iter().chain(arrays).collect()
}

fn incomplete(text: &str) -> Option<String> {
    if !text.starts_with("Personalities") {
        return Some("it does not begin as /proc/mdstat does".into());
    }
    let ends = text.lines().any(|line| line.starts_with("unused devices:"));
    (!ends).then(|| "it ends before its last line, \"unused devices\"".into())
}

fn arrays(text: &str) -> Vec<Subject> {
    let mut lines = text.lines().peekable();
    let mut arrays = Vec::new();
    while let Some(line) = lines.next() {
        let Some((name, head)) = line.split_once(" : ").filter(|_| !line.starts_with(char::is_whitespace))
        else {
            continue;
        };
        let name = name.trim();
        if name.is_empty() || name == "Personalities" || name.starts_with("unused") {
            continue;
        }
        let mut details = Vec::new();
        while let Some(detail) = lines.next_if(|line| line.starts_with(char::is_whitespace)) {
            details.push(detail);
        }
        arrays.push(array(name, head, &details).unwrap_or_else(|problem| Subject::unknown(name, problem)));
    }
    arrays
}

/// Of what the head of an array says: `active raid1 sdb2[2](F) sdc[1](S) sda2[0]`.
struct Head<'a> {
    activity: &'a str,
    mode: Option<&'a str>,
    level: &'a str,
    members: u64,
    faulty: u64,
    spare: u64,
}

fn array(name: &str, head: &str, details: &[&str]) -> Result<Subject, String> {
    let head = Head::read(head)?;
    let status = details.first().ok_or("its second line is missing")?;
    let (width, working) = match (head.activity, head.level) {
        ("inactive", _) => (0, 0),
        (_, "raid0" | "linear") => (head.members, head.members),
        _ => width(status)?,
    };
    let progress = details.iter().find_map(|line| Progress::find(line)).transpose()?;
    let is_container =
        head.level == "unknown" && status.contains("super external:") && !status.contains("external:/");
    let running = match (head.activity, head.mode) {
        ("inactive", _) if is_container => Running::Container,
        // A read-only array that waits for its first write is as good as any.
        ("active", None | Some("(auto-read-only)")) => Running::Yes,
        ("active", Some(_)) => Running::ReadOnly,
        _ => Running::No,
    };
    let subject = Array {
        name,
        level: head.level,
        running,
        width,
        down: width - working,
        faulty: head.faulty,
        work: progress.as_ref().map_or(Work::None, Progress::work),
    }
    .judge();
    let subject = if running == Running::No && status.contains("[UU") {
        Subject {
            reason: format!("{} (its status still says that all members are up)", subject.reason),
            ..subject
        }
    } else {
        subject
    };
    let subject = subject
        .with("level", head.level)
        .with("activity", progress.as_ref().map_or(head.activity, |progress| progress.activity))
        .with("disks_active", working)
        .with("disks_total", width)
        .with("failed", head.faulty)
        .with("spare", head.spare)
        .with("down", width - working);
    Ok(match progress {
        Some(progress) => progress.tell(subject),
        None => subject.with("pct", "-"),
    })
}

impl<'a> Head<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        let mut words = text.split_whitespace().peekable();
        let activity = words.next().ok_or("its state is missing")?;
        if !["active", "inactive", "broken"].contains(&activity) {
            return Err(format!("its state \"{activity}\" is not one that md has"));
        }
        let mode = words.next_if(|word| word.starts_with('('));
        let level = words.next_if(|word| !word.contains('[')).unwrap_or("unknown");
        let mut head = Self { activity, mode, level, members: 0, faulty: 0, spare: 0 };
        for word in words {
            let flags = flags(word)?;
            head.members += 1;
            head.faulty += u64::from(flags.contains("(F)"));
            head.spare += u64::from(flags.contains("(S)"));
        }
        Ok(head)
    }
}

/// The `(F)` of `sdb2[2](F)`.
fn flags(member: &str) -> Result<&str, String> {
    let malformed = || format!("malformed component {member}");
    let (device, rest) = member.split_once('[').ok_or_else(malformed)?;
    let (number, flags) = rest.split_once(']').ok_or_else(malformed)?;
    if device.is_empty() || u64::from_str(number).is_err() {
        return Err(format!("malformed component state [{number}] of {device}"));
    }
    let known = ["(F)", "(S)", "(W)", "(J)", "(R)"];
    let mut left = flags;
    while let Some(next) = known.iter().find_map(|&flag| left.strip_prefix(flag)) {
        left = next;
    }
    if left.is_empty() { Ok(flags) } else { Err(malformed()) }
}

/// `[4/3] [U_UU]`: how many members there should be, and how many work.
fn width(status: &str) -> Result<(u64, u64), String> {
    let bracketed = |word: &'static str| format!("its second line has no {word}");
    let inner =
        |word: &str| word.strip_prefix('[').and_then(|word| word.strip_suffix(']')).map(str::to_owned);
    let words: Vec<String> = status.split_whitespace().filter_map(inner).collect();
    let (width, working) = words
        .iter()
        .find_map(|word| {
            let (width, working) = word.split_once('/')?;
            Some((width.parse::<u64>().ok()?, working.parse::<u64>().ok()?))
        })
        .ok_or_else(|| bracketed("[members/working]"))?;
    let marks = words
        .iter()
        .find(|word| !word.is_empty() && word.chars().all(|mark| mark == 'U' || mark == '_'))
        .ok_or_else(|| bracketed("[UU]"))?;
    let up = marks.matches('U').count() as u64;
    if marks.len() as u64 != width || up != working {
        return Err(format!("it says [{width}/{working}] and [{marks}], which do not fit"));
    }
    Ok((width, working))
}

/// `[=>....]  recovery =  8.5% (16775552/195310144) finish=17.0min speed=259783K/sec`, or `resync=DELAYED`.
struct Progress<'a> {
    activity: &'static str,
    pace: Option<Pace<'a>>,
}

struct Pace<'a> {
    percent: f64,
    synced: &'a str,
    finish_minutes: f64,
    speed: u64,
}

impl<'a> Progress<'a> {
    fn find(line: &'a str) -> Option<Result<Self, String>> {
        const KINDS: [(&str, &str); 4] = [
            ("recovery", "recovering"),
            ("resync", "resyncing"),
            ("check", "checking"),
            ("reshape", "reshaping"),
        ];
        let (activity, rest) = KINDS.iter().find_map(|&(word, activity)| {
            let (_, rest) = line.split_once(word)?;
            Some((activity, rest.trim_start().strip_prefix('=')?.trim()))
        })?;
        if rest.starts_with(char::is_uppercase) {
            return Some(Ok(Self { activity, pace: None }));
        }
        let pace = Pace::read(rest).ok_or_else(|| format!("malformed progress \"{}\"", line.trim()));
        Some(pace.map(|pace| Self { activity, pace: Some(pace) }))
    }

    fn work(&self) -> Work {
        let percent = self.pace.as_ref().map(|pace| pace.percent);
        match self.activity {
            "recovering" => Work::Rebuild(percent),
            "resyncing" => Work::Resync(percent),
            "checking" => Work::Check,
            _ => Work::Reshape,
        }
    }

    fn tell(self, subject: Subject) -> Subject {
        match self.pace {
            None => subject.with("pct", 0),
            Some(pace) => subject
                .with("pct", pace.percent)
                .with("synced", pace.synced)
                .with("finish_min", pace.finish_minutes)
                .with("speed_kps", pace.speed),
        }
    }
}

impl<'a> Pace<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut words = text.split_whitespace();
        Some(Self {
            percent: words.next()?.strip_suffix('%')?.parse().ok()?,
            synced: words.next()?.strip_prefix('(')?.strip_suffix(')')?,
            finish_minutes: words.next()?.strip_prefix("finish=")?.strip_suffix("min")?.parse().ok()?,
            speed: words.next()?.strip_prefix("speed=")?.strip_suffix("K/sec")?.parse().ok()?,
        })
    }
}
