//! `zpool status -j`, output version 0.1. With `--json-int` counts are numbers, without it the words that people are shown.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Pool, Scan, count, describe, is_well};

#[derive(Deserialize)]
struct Output {
    pools: BTreeMap<String, PoolJson>,
}

#[derive(Deserialize)]
struct PoolJson {
    name: String,
    state: String,
    status: Option<String>,
    scan_stats: Option<ScanJson>,
    error_count: Option<Count>,
    #[serde(default)]
    vdevs: BTreeMap<String, Device>,
    #[serde(default)]
    logs: BTreeMap<String, Device>,
    #[serde(default)]
    special: BTreeMap<String, Device>,
    #[serde(default)]
    dedup: BTreeMap<String, Device>,
    #[serde(default)]
    l2cache: BTreeMap<String, Device>,
    #[serde(default)]
    spares: BTreeMap<String, Device>,
}

#[derive(Deserialize)]
struct ScanJson {
    function: String,
    state: String,
    errors: Option<Count>,
    to_examine: Option<Count>,
    issued: Option<Count>,
}

#[derive(Deserialize)]
struct Device {
    name: String,
    state: String,
    read_errors: Option<Count>,
    write_errors: Option<Count>,
    checksum_errors: Option<Count>,
    aux: Option<String>,
    #[serde(default)]
    vdevs: BTreeMap<String, Device>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Count {
    Number(u64),
    Words(String),
}

/// Sorted by name.
pub fn pools(text: &str) -> Result<Vec<Pool>, serde_json::Error> {
    let output: Output = serde_json::from_str(text)?;
    Ok(output.pools.into_values().map(pool).collect())
}

fn pool(json: PoolJson) -> Pool {
    let scan = json.scan_stats.as_ref();
    let scan_words = scan.map_or_else(
        || "none".to_owned(),
        |scan| format!("{} {} errors={}", scan.function, scan.state, value(&scan.errors).unwrap_or(0)),
    );
    let data_errors = value(&json.error_count);
    let mut more = vec![("error_count", data_errors.into())];
    if let Some(root) = json.vdevs.get(&json.name) {
        let [read, write, checksum] = root.errors();
        more.extend(
            [("read_errors", read), ("write_errors", write), ("checksum_errors", checksum)]
                .map(|(name, count)| (name, count.into())),
        );
    }
    if let Some(status) = &json.status {
        more.push(("status", status.split_whitespace().collect::<Vec<_>>().join(" ").into()));
    }
    let mut pool = Pool {
        scan: scan.map_or(Scan::Never, ScanJson::read),
        scan_words,
        data_errors,
        is_hollow: json.vdevs.is_empty(),
        more,
        name: json.name,
        state: json.state,
        ..Pool::default()
    };
    for devices in [&json.vdevs, &json.logs, &json.special, &json.dedup, &json.l2cache, &json.spares] {
        devices.values().for_each(|device| device.add_to(&mut pool));
    }
    pool
}

impl ScanJson {
    fn read(&self) -> Scan {
        let percent = || {
            let (done, all) = (value(&self.issued)? as f64, value(&self.to_examine)? as f64);
            (all > 0.0).then(|| (done / all * 10_000.0).round() / 100.0)
        };
        match (self.function.as_str(), self.state.as_str()) {
            ("NONE", _) | (_, "NONE") => Scan::Never,
            ("RESILVER", "SCANNING") => Scan::Resilvering(percent()),
            (_, "SCANNING") => Scan::Scrubbing(percent()),
            // That the count of errors is not given, or not understood, is not zero errors.
            (_, "FINISHED") => value(&self.errors).map_or(Scan::Other, |errors| Scan::Finished { errors }),
            (_, "CANCELED") => Scan::Canceled,
            _ => Scan::Other,
        }
    }
}

impl Device {
    fn errors(&self) -> [u64; 3] {
        [&self.read_errors, &self.write_errors, &self.checksum_errors].map(|count| value(count).unwrap_or(0))
    }

    fn add_to(&self, pool: &mut Pool) {
        let errors = self.errors();
        pool.device_errors = errors.iter().fold(pool.device_errors, |sum, &count| sum.saturating_add(count));
        if self.vdevs.is_empty() && !is_well(&self.state) {
            let note = self.aux.as_ref().map(|aux| format!("aux={aux}"));
            pool.bad.push(describe(&self.name, &self.state, errors, note));
        }
        self.vdevs.values().for_each(|device| device.add_to(pool));
    }
}

fn value(field: &Option<Count>) -> Option<u64> {
    match field.as_ref()? {
        Count::Number(number) => Some(*number),
        Count::Words(words) => count(words.trim_end_matches('B')),
    }
}
