//! Quantities as people write and read them.

use std::fmt;
use std::str::FromStr;

/// A transfer rate. Written `100 Mbit/s`, `12.5 MB/s`, `800 KiB/s`; bits or bytes, decimal or binary prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bandwidth {
    bytes_per_second: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a bandwidth; write for example \"100 Mbit/s\" or \"20 MB/s\"")]
pub struct InvalidBandwidth(String);

impl Bandwidth {
    pub fn bytes_per_second(self) -> u64 {
        self.bytes_per_second
    }
}

impl FromStr for Bandwidth {
    type Err = InvalidBandwidth;

    fn from_str(text: &str) -> Result<Self, InvalidBandwidth> {
        let invalid = || InvalidBandwidth(text.to_owned());
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let number: f64 = trimmed[..digits].parse().map_err(|_| invalid())?;
        let unit = trimmed[digits..].trim().strip_suffix("/s").ok_or_else(invalid)?;
        let (prefix, bytes) = if let Some(prefix) = unit.strip_suffix("bit") {
            (prefix, 1.0 / 8.0)
        } else {
            (unit.strip_suffix('B').ok_or_else(invalid)?, 1.0)
        };
        let factor = match prefix {
            "" => 1.0,
            "k" | "K" => 1e3,
            "M" => 1e6,
            "G" => 1e9,
            "Ki" => 1024.0,
            "Mi" => 1024.0 * 1024.0,
            "Gi" => 1024.0 * 1024.0 * 1024.0,
            _ => return Err(invalid()),
        };
        let rate = number * bytes * factor;
        if !(1.0..1e15).contains(&rate) {
            return Err(invalid());
        }
        Ok(Self { bytes_per_second: rate.round() as u64 })
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", bytes(self.bytes_per_second))
    }
}

/// The units of sizes for people, each a thousand of the one before.
pub const BYTES: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];

/// `1.3 GB`: decimal units, as disks and links are sold.
pub fn bytes(count: u64) -> String {
    let mut value = count as f64;
    let mut unit = 0;
    // 999.95 would print as 1000.0 of the smaller unit.
    while value >= 999.95 && unit + 1 < BYTES.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{count} B"),
        _ if value < 9.995 => format!("{value:.2} {}", BYTES[unit]),
        _ => format!("{value:.1} {}", BYTES[unit]),
    }
}

/// `12,345`
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 file`, `2 files`
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// `45 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`: two units at the most.
pub fn duration(seconds: f64) -> String {
    let whole = if seconds.is_finite() { seconds.max(0.0).round() as u64 } else { u64::MAX };
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big} {big_unit}"),
        _ => format!("{big} {big_unit} {small} {small_unit}"),
    };
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => two(whole / 60, "min", whole % 60, "s"),
        3_600..86_400 => two(whole / 3_600, "h", whole % 3_600 / 60, "min"),
        _ => two(whole / 86_400, "d", whole % 86_400 / 3_600, "h"),
    }
}

/// `2–4 min`: a range of seconds in words, one unit where both ends share it.
pub fn duration_range(low_seconds: f64, high_seconds: f64) -> String {
    let (low, high) = (duration(low_seconds), duration(high_seconds));
    match (low.split_once(' '), high.split_once(' ')) {
        _ if low == high => high,
        (Some((low_number, low_unit)), Some((_, high_unit))) if low_unit == high_unit => {
            format!("{low_number}–{high}")
        }
        _ => format!("{low} – {high}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bandwidths_are_read_in_bits_and_bytes() {
        let rate = |text: &str| text.parse::<Bandwidth>().map(Bandwidth::bytes_per_second);
        assert_eq!(rate("100 Mbit/s"), Ok(12_500_000));
        assert_eq!(rate("12.5MB/s"), Ok(12_500_000));
        assert_eq!(rate("1 MiB/s"), Ok(1_048_576));
        for wrong in ["", "fast", "100", "100 Mbit", "-1 MB/s", "0 MB/s", "1 XB/s", "1.2.3 MB/s"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn quantities_read_well() {
        assert_eq!(
            (bytes(999), bytes(1_500), bytes(999_960), bytes(30_000_000)),
            ("999 B".into(), "1.50 kB".into(), "1.00 MB".into(), "30.0 MB".into())
        );
        assert_eq!(
            (count(999), count(1_000), count(1_234_567)),
            ("999".into(), "1,000".into(), "1,234,567".into())
        );
        assert_eq!(
            (duration(0.4), duration(200.0), duration(7_500.0)),
            ("0 s".into(), "3 min 20 s".into(), "2 h 5 min".into())
        );
        assert_eq!(duration_range(120.0, 240.0), "2–4 min");
        assert_eq!(duration_range(40.0, 70.0), "40 s – 1 min 10 s");
    }
}
