//! `/metrics`: figures for a monitoring system, as OpenMetrics text.

use std::fmt::Write;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use salvor_domain::finding::FindingKind;
use salvor_domain::readiness::Verdict;

use crate::core::Core;
use crate::gateway::{self, Gateway};
use crate::http::Answer;
use crate::tickets::Tickets;
use crate::{events, health, restore, volumes};

const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub async fn metrics(
    State(core): State<Core>,
    State(tickets): State<Tickets>,
    State(gateway): State<Gateway>,
) -> Answer<Response> {
    let mut page = Page::default();
    page.family("salvor_build", "info", "What runs here.");
    page.sample("salvor_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    volumes_into(&mut page, &core).await?;
    readiness_into(&mut page, &core).await?;
    health::metrics::into(&mut page, &core).await?;
    gateway::metrics_into(&mut page, &gateway);
    page.family("salvor_jobs", "gauge", "Jobs by their state.");
    for (state, count) in restore::service::counts(&core).await? {
        page.sample("salvor_jobs", &[("state", &state)], count);
    }
    page.family("salvor_tickets", "gauge", "Tickets by their state.");
    for (state, count) in tickets.counts().await? {
        page.sample("salvor_tickets", &[("state", &state)], count);
    }
    let newest = events::newest_id(&mut core.db.read().await?).await?;
    page.family("salvor_events", "counter", "Events recorded.");
    page.sample("salvor_events_total", &[], newest);
    Ok(([(CONTENT_TYPE, TEXT)], page.finish()).into_response())
}

async fn volumes_into(page: &mut Page, core: &Core) -> Answer<()> {
    let views = volumes::service::volumes(core).await?;
    page.family("salvor_volume_files", "gauge", "Files in the catalogue.");
    for view in &views {
        page.sample("salvor_volume_files", &[("volume", &view.name)], view.files);
    }
    page.family("salvor_volume_bytes", "gauge", "Bytes in the catalogue.");
    for view in &views {
        page.sample("salvor_volume_bytes", &[("volume", &view.name)], view.bytes);
    }
    page.family("salvor_volume_unreachable", "gauge", "1 while the volume's folder is not reached.");
    for view in &views {
        page.sample(
            "salvor_volume_unreachable",
            &[("volume", &view.name)],
            u8::from(!view.reach.is_reached()),
        );
    }
    page.family("salvor_volume_mode", "stateset", "The mode of the volume.");
    for view in &views {
        for mode in salvor_domain::volume::Mode::ALL {
            let labels = [("volume", view.name.as_str()), ("salvor_volume_mode", mode.as_str())];
            page.sample("salvor_volume_mode", &labels, u8::from(view.mode.mode() == *mode));
        }
    }
    page.family("salvor_findings", "gauge", "Open findings.");
    for view in &views {
        for kind in FindingKind::ALL {
            let labels = [("volume", view.name.as_str()), ("kind", kind.as_str())];
            page.sample("salvor_findings", &labels, view.findings.of(*kind));
        }
    }
    page.family("salvor_copy_files", "gauge", "Files of the catalogue that the copy is known to hold.");
    for view in &views {
        for copy in &view.copies {
            page.sample("salvor_copy_files", &[("volume", &view.name), ("copy", &copy.name)], copy.files);
        }
    }
    page.family("salvor_copy_faults", "gauge", "Files that the copy gave wrongly or not at all.");
    for view in &views {
        for copy in &view.copies {
            page.sample("salvor_copy_faults", &[("volume", &view.name), ("copy", &copy.name)], copy.faults);
        }
    }
    Ok(())
}

/// What is not known has no sample.
async fn readiness_into(page: &mut Page, core: &Core) -> Answer<()> {
    let views = restore::readiness::readiness(core, None).await?;
    let ready = || views.iter().map(|view| &view.readiness);
    page.family("salvor_readiness", "stateset", "Whether the volume's objective is met.");
    for view in ready() {
        for (objective, judged) in [("rpo", &view.rpo), ("rto", &view.rto), ("drill", &view.drill)] {
            for verdict in Verdict::ALL {
                let labels = [
                    ("volume", view.volume.as_str()),
                    ("objective", objective),
                    ("salvor_readiness", verdict.as_str()),
                ];
                page.sample("salvor_readiness", &labels, u8::from(judged.verdict == *verdict));
            }
        }
    }
    page.family(
        "salvor_rto_seconds",
        "gauge",
        "Time to bring everything back: its lower and its upper bound.",
    );
    for view in ready() {
        let Some(range) = view.rto.range else { continue };
        for (bound, seconds) in [("low", range.low_seconds), ("high", range.high_seconds)] {
            page.sample("salvor_rto_seconds", &[("volume", &view.volume), ("bound", bound)], seconds);
        }
    }
    page.family(
        "salvor_copy_age_seconds",
        "gauge",
        "Since the last protect that brought the copy everything.",
    );
    for view in ready() {
        for copy in &view.copies {
            let Some(age) = copy.rpo.range else { continue };
            let labels = [("volume", view.volume.as_str()), ("copy", copy.name.as_str())];
            page.sample("salvor_copy_age_seconds", &labels, age.low_seconds);
        }
    }
    page.family("salvor_drill_age_seconds", "gauge", "Since the last drill of the copy.");
    for view in ready() {
        for copy in &view.copies {
            let Some(age) = copy.drill.range else { continue };
            let labels = [("volume", view.volume.as_str()), ("copy", copy.name.as_str())];
            page.sample("salvor_drill_age_seconds", &labels, age.low_seconds);
        }
    }
    Ok(())
}

/// The text as it grows.
#[derive(Default)]
pub struct Page(String);

impl Page {
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a String cannot fail.
        let _ = writeln!(self.0, "# TYPE {name} {kind}\n# HELP {name} {help}");
    }

    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn finish(self) -> String {
        self.0 + "# EOF\n"
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_open_metrics() {
        let mut page = Page::default();
        page.family("x", "gauge", "Help.");
        page.sample("x", &[("name", "a\"b\\c\n")], 1);
        page.sample("x", &[], 2);
        assert_eq!(
            page.finish(),
            "# TYPE x gauge\n# HELP x Help.\nx{name=\"a\\\"b\\\\c\\n\"} 1\nx 2\n# EOF\n"
        );
    }
}
