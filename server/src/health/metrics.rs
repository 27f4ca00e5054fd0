//! Storage health as figures for a monitoring system. What is not known has no sample, or says that it is unknown.

use salvor_app::health::port::{SignalView, SignalsFilter};
use salvor_domain::health::{Level, Probe};

use super::service;
use crate::core::Core;
use crate::error::Result;
use crate::http::metrics::Page;

/// Facts of [`Probe::Space`], and what they are called here.
const SPACE: [(&str, &str, &str); 2] = [
    ("used_percent", "salvor_filesystem_used_percent", "Blocks in use, of those that may be used."),
    ("inodes_used_percent", "salvor_filesystem_inodes_used_percent", "Inodes in use."),
];

pub async fn into(page: &mut Page, core: &Core) -> Result<()> {
    let now = core.clock.now();
    let mut hosts = service::hosts(core).await?;
    // One that only alerts name has nobody who could fall silent.
    hosts.retain(|host| !host.alerts_only);
    page.family("salvor_host_silent", "gauge", "1 while nothing that the host said counts.");
    for host in &hosts {
        page.sample("salvor_host_silent", &[("host", &host.name)], u8::from(host.silent));
    }
    page.family("salvor_host_report_age_seconds", "gauge", "Since the host reported.");
    for host in &hosts {
        let age = (now - host.reported_at).num_seconds().max(0);
        page.sample("salvor_host_report_age_seconds", &[("host", &host.name)], age);
    }
    let signals = service::signals(core, &SignalsFilter::default()).await?;
    page.family("salvor_signal_level", "stateset", "The level of the signal.");
    for signal in &signals {
        for level in Level::ALL {
            let mut labels = labels(signal).to_vec();
            labels.push(("salvor_signal_level", level.as_str()));
            page.sample("salvor_signal_level", &labels, u8::from(signal.level == *level));
        }
    }
    page.family("salvor_signal_muted", "gauge", "1 while an operator keeps the signal quiet.");
    for signal in &signals {
        page.sample("salvor_signal_muted", &labels(signal), u8::from(signal.muted.is_some()));
    }
    for (fact, name, help) in SPACE {
        page.family(name, "gauge", help);
        let known = |signal: &&SignalView| signal.probe == Probe::Space && signal.level != Level::Unknown;
        for signal in signals.iter().filter(known) {
            if let Some(value) = signal.facts.get(fact).and_then(serde_json::Value::as_f64) {
                page.sample(name, &[("host", &signal.host), ("subject", &signal.subject)], value);
            }
        }
    }
    Ok(())
}

fn labels(signal: &SignalView) -> [(&str, &str); 3] {
    [("host", &signal.host), ("probe", signal.probe.as_str()), ("subject", &signal.subject)]
}
