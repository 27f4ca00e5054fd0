//! `zpool status` for people.

use super::{Pool, Scan, count, describe, is_well};

const KEYS: [&str; 10] =
    ["pool", "state", "status", "action", "see", "scan", "remove", "checkpoint", "config", "errors"];

/// In the order of the text.
pub fn pools(text: &str) -> Vec<Pool> {
    let mut pools: Vec<Vec<(&str, Vec<&str>)>> = Vec::new();
    for line in text.lines() {
        match (section(line), pools.last_mut()) {
            (Some(("pool", name)), _) => pools.push(vec![("pool", vec![name])]),
            (Some((key, rest)), Some(pool)) => pool.push((key, vec![rest])),
            (None, Some(pool)) => {
                if let Some((_, lines)) = pool.last_mut() {
                    lines.push(line);
                }
            }
            (_, None) => {}
        }
    }
    pools.iter().map(|sections| pool(sections)).collect()
}

/// `  scan: scrub repaired …`: keys stand to the left of the tab that everything else begins with.
fn section(line: &str) -> Option<(&str, &str)> {
    let (key, rest) = line.split_once(':').filter(|_| !line.starts_with('\t'))?;
    let key = key.trim_start();
    KEYS.contains(&key).then(|| (key, rest.trim()))
}

fn pool(sections: &[(&str, Vec<&str>)]) -> Pool {
    let all =
        |key: &'static str| sections.iter().filter(move |(name, _)| *name == key).map(|(_, lines)| lines);
    let text = |key| -> Option<String> {
        let words: Vec<&str> = all(key).next()?.iter().flat_map(|line| line.split_whitespace()).collect();
        Some(words.join(" "))
    };
    let scan_words = text("scan").unwrap_or_else(|| "none".into());
    let errors: Vec<String> =
        all("errors").filter_map(|lines| lines.first().map(|&line| line.to_owned())).collect();
    let data_errors = all("errors").filter_map(|lines| data_errors(lines)).max();
    let mut pool = Pool {
        name: text("pool").unwrap_or_default(),
        state: text("state").unwrap_or_default(),
        scan: scan(&scan_words),
        scan_words,
        data_errors,
        is_hollow: true,
        ..Pool::default()
    };
    for lines in all("config") {
        devices(&mut pool, lines);
    }
    let errors = if errors.is_empty() { "absent".into() } else { errors.join("; ") };
    pool.more = vec![("data_errors", data_errors.into()), ("errors_line", errors.into())];
    if let Some(status) = text("status") {
        pool.more.push(("status", status.into()));
    }
    if let (Scan::Scrubbing(_) | Scan::Resilvering(_), Some(eta)) = (&pool.scan, eta(&pool.scan_words)) {
        pool.more.push(("scan_eta", eta.into()));
    }
    pool
}

/// Without `-v` a count, with it the files themselves.
fn data_errors(lines: &[&str]) -> Option<u64> {
    let (first, rest) = lines.split_first()?;
    if *first == "No known data errors" {
        return Some(0);
    }
    if first.starts_with("Permanent errors have been detected") {
        return Some(rest.iter().filter(|line| !line.trim().is_empty()).count().max(1) as u64);
    }
    let (number, rest) = first.split_once(' ')?;
    rest.starts_with("data errors").then(|| count(number)).flatten()
}

/// Lines such as `\t    loop3   UNAVAIL      0     0     0  corrupted data`, deeper where they lie beneath another.
fn devices(pool: &mut Pool, lines: &[&str]) {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let rows: Vec<&str> = lines.iter().copied().filter(|line| !line.trim().is_empty()).collect();
    for (at, row) in rows.iter().enumerate() {
        let mut words = row.split_whitespace();
        let (Some(name), Some(state)) = (words.next(), words.next()) else { continue };
        if (name, state) == ("NAME", "STATE") {
            continue;
        }
        pool.is_hollow = false;
        let rest: Vec<&str> = words.collect();
        let counters: Vec<u64> = rest.iter().map_while(|word| count(word)).take(3).collect();
        let note = rest.get(counters.len()..).unwrap_or_default().join(" ");
        let errors = [0, 1, 2].map(|at| counters.get(at).copied().unwrap_or(0));
        let is_leaf = rows.get(at + 1).is_none_or(|next| depth(next) <= depth(row));
        pool.device_errors = errors.iter().fold(pool.device_errors, |sum, &count| sum.saturating_add(count));
        if is_leaf && !is_well(state) {
            let note = (!note.is_empty()).then(|| format!("({note})"));
            pool.bad.push(describe(name, state, errors, note));
        }
    }
}

fn scan(words: &str) -> Scan {
    let percent = words.split([',', ' ']).find_map(|word| word.strip_suffix('%')?.parse::<f64>().ok());
    let with_errors = || {
        let (_, rest) = words.split_once(" with ")?;
        count(rest.strip_suffix(" errors").or_else(|| rest.split_once(" errors").map(|(number, _)| number))?)
    };
    match words {
        "none" | "none requested" => Scan::Never,
        _ if words.starts_with("scrub in progress") || words.starts_with("scrub paused") => {
            Scan::Scrubbing(percent)
        }
        _ if words.starts_with("resilver in progress") => Scan::Resilvering(percent),
        _ if words.contains("canceled") => Scan::Canceled,
        _ if words.starts_with("scrub repaired") || words.starts_with("resilvered") => {
            with_errors().map_or(Scan::Other, |errors| Scan::Finished { errors })
        }
        _ => Scan::Other,
    }
}

/// What zpool says of the end of a scan, `none` where it says that it cannot.
fn eta(words: &str) -> Option<String> {
    if words.contains("no estimated completion time") {
        return Some("none".into());
    }
    let (before, _) = words.split_once(" to go")?;
    before.rsplit(", ").next().map(str::to_owned)
}
