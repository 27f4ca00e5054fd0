//! Storage health: hosts, what they read of their disks, arrays and file systems, and what that means for volumes.

pub mod api;
pub mod facts;
pub mod glance;
pub mod history;
pub mod islands;
pub mod pages;
pub mod port;
pub mod words;

use crate::health::port::{SignalKey, SignalView};
use crate::ui::Address;

/// The page of one signal.
pub fn signal_page(signal: &SignalView) -> Address {
    address(&signal.host, signal.probe.as_str(), &signal.subject)
}

/// The page of a signal by its key.
pub fn page_of(key: &SignalKey) -> Address {
    address(&key.host, key.probe.as_str(), &key.subject)
}

fn address(host: &str, probe: &str, subject: &str) -> Address {
    Address::console(&["health", "signal"]).with("host", host).with("probe", probe).with("subject", subject)
}

impl From<&SignalView> for SignalKey {
    fn from(signal: &SignalView) -> Self {
        Self { host: signal.host.clone(), probe: signal.probe, subject: signal.subject.clone() }
    }
}

/// Where a host stands on the page of all.
pub fn host_anchor(host: &str) -> String {
    format!("host-{}", anchor_text(host))
}

/// Where a node stands on the page of all.
pub fn node_anchor(host: &str, node: &str) -> String {
    format!("{}--{}", anchor_text(host), anchor_text(node))
}

/// Letters, digits and a few signs stay; others are told apart by their number.
fn anchor_text(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' => out.push(char::from(byte)),
            _ => out.push_str(&format!("-{byte:02x}")),
        }
        out
    })
}
